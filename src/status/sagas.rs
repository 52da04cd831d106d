//! What is told of sagas: which there are, what became of each of their steps, and what operators made of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Where a saga is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SagaState {
    /// Its steps are under way.
    Running,
    /// What was done is being taken back.
    Undoing,
    /// It needs an operator.
    Stuck,
    /// Every step is done.
    Done,
    /// What was done has been taken back.
    Undone,
    /// An operator has given it up.
    Abandoned,
}

impl SagaState {
    /// Every state, each at its own number: the open ones first.
    pub(crate) const ALL: [Self; 6] = [Self::Running, Self::Undoing, Self::Stuck, Self::Done, Self::Undone, Self::Abandoned];
    /// Those of sagas that have not ended.
    pub(crate) const OPEN: [Self; 3] = [Self::Running, Self::Undoing, Self::Stuck];

    /// As it is written.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Undoing => "undoing",
            Self::Stuck => "stuck",
            Self::Done => "done",
            Self::Undone => "undone",
            Self::Abandoned => "abandoned",
        }
    }

    /// As it was written.
    #[cfg_attr(not(feature = "saga"), allow(dead_code, reason = "nobody is asked for sagas"))]
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.label() == text)
    }
}

/// The sagas that were asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SagaList {
    /// The oldest of each state first.
    pub sagas: Vec<SagaBrief>,
    /// How many more there are that fit.
    pub more: u64,
    /// Whether all were looked at, so that there are no more than that.
    pub complete: bool,
    /// The ids of those that cannot be read, whatever their route.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<String>,
}

/// A saga in a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SagaBrief {
    /// Its id.
    pub id: String,
    /// The route that it began on.
    pub route: String,
    /// Where it is.
    pub state: SagaState,
    /// The step that this is about, where it is about one.
    #[serde(default)]
    pub step: Option<String>,
    /// When it began (RFC 3339).
    pub begun: String,
    /// How long ago that is, in milliseconds.
    pub age_ms: u64,
    /// For how long it is in this state, in milliseconds.
    pub unchanged_ms: u64,
    /// How often the call was tried that is under way, or that it is stuck at.
    #[serde(default)]
    pub attempts: Option<u32>,
    /// When it is tried again, in milliseconds from now.
    #[serde(default)]
    pub next_attempt_ms: Option<u64>,
    /// Why it is stuck, or what was wrong with the last attempt.
    #[serde(default)]
    pub trouble: Option<String>,
}

/// A saga with everything that is known of it. Values of its client and of its upstreams are told by their pseudonyms, as the access log has
/// them, and not at all where they are called like secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SagaStatus {
    /// What is told of it in a line.
    #[serde(flatten)]
    pub brief: SagaBrief,
    /// When its state last changed (RFC 3339).
    pub changed: String,
    /// The identifier of the request that began it.
    pub request_id: String,
    /// Its steps, in their order.
    pub steps: Vec<SagaStepStatus>,
    /// Why it turned to undoing, where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// What its steps refer to of the client's request.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub facts: BTreeMap<String, String>,
    /// How long the client's body is that its steps send, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_bytes: Option<u64>,
    /// What its client is told, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<SagaAnswer>,
    /// What operators did, the last acts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub acts: Vec<SagaAct>,
    /// What can be done about a stuck one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ways: Vec<SagaWay>,
    /// The hash of the definition that it goes by.
    pub definition: String,
}

/// What the open sagas of a route need of the configuration in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SagaNeeds {
    /// The route that they began on.
    pub route: String,
    /// How many are open.
    pub open: u64,
    /// The upstreams that some of them have still to ask, by name, and how many of them have to.
    pub upstreams: BTreeMap<String, u64>,
}

/// Something that can be done about a stuck saga.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SagaWay {
    /// The command that does it.
    pub command: String,
    /// When it is right, and what follows.
    pub when: String,
}

/// What became of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SagaStepStatus {
    /// Its name.
    pub name: String,
    /// The `Idempotency-Key` of all its attempts, which its upstream knows it by.
    pub key: String,
    /// That of all attempts of its undo, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo_key: Option<String>,
    /// What is asked: method, upstream and path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asks: Option<String>,
    /// The same of its undo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo_asks: Option<String>,
    /// What it came to.
    pub came_to: SagaStep,
    /// What its undo came to; nothing where there is none to be made.
    #[serde(default)]
    pub undo: Option<SagaUndo>,
    /// What is kept of its answer, since others refer to it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, String>,
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SagaStep {
    /// It was not sent yet.
    Waiting,
    /// It was not sent, and will not be.
    NeverMade,
    /// It is under way, or next.
    Running,
    /// Its answer was as expected.
    Done,
    /// It failed.
    Failed,
    /// Whether it has happened is not known.
    Unknown,
}

/// What an undo came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SagaUndo {
    /// Those behind it come first.
    Waiting,
    /// It is under way, or next.
    Running,
    /// It is done.
    Done,
    /// It never succeeded, or cannot be made.
    Stuck,
    /// Whether it was made is not known.
    Unknown,
    /// It is not made: an operator wants its step to stay as it is.
    Stays,
}

impl SagaStep {
    /// As it is written.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::NeverMade => "never made",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

impl SagaUndo {
    /// As it is written.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
            Self::Stuck => "stuck",
            Self::Unknown => "unknown",
            Self::Stays => "stays",
        }
    }
}

/// What a saga's client is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SagaAnswer {
    /// The status.
    pub status: u16,
    /// The type of the body.
    pub content_type: String,
    /// How long the body is, in bytes.
    pub bytes: u64,
}

/// What an operator did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SagaAct {
    /// When (RFC 3339).
    pub at: String,
    /// Who, as far as that is known.
    pub who: String,
    /// `retry`, `abandon` or `undo`.
    pub what: String,
    /// What was written to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// The answer to an operator who does something about a saga.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SagaObeyed {
    /// The saga's id.
    pub id: String,
    /// `retry`, `abandon` or `undo`.
    pub what: String,
    /// Where it is now.
    pub state: SagaState,
    /// The steps that stay as they are where the others are taken back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stays: Vec<String>,
}

/// All sagas together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SagasStatus {
    /// Whether what they have to remember can be written.
    pub journal: SagaJournal,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// How many are open, by route and state, where there are any.
    pub open: Vec<SagaCount>,
    /// Of how many something cannot be read, which nobody goes on with.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unreadable: u64,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Sagas of a route in a state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SagaCount {
    /// The route that they began on.
    pub route: String,
    /// Where they are.
    pub state: SagaState,
    /// How many.
    pub count: u64,
}

/// Whether what sagas have to remember can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SagaJournal {
    /// It can.
    Open,
    /// Another process has the file.
    Elsewhere,
    /// It cannot.
    Unavailable,
    /// This process has given it up, and is on its way out.
    Closed,
}
