//! What is told of drills.

use std::collections::BTreeMap;

use frontgate_filters::filter::inspect::{FaultState, FaultStatus};
use serde::{Deserialize, Serialize};

/// All drills.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DrillsStatus {
    /// Whether an operator has stopped all of them.
    pub stopped: bool,
    /// Those of the configuration in force.
    pub drills: Vec<DrillStatus>,
}

/// What is known of a drill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DrillStatus {
    /// The filter's name.
    pub filter: String,
    /// Whether it goes on.
    pub state: DrillState,
    /// When it ends.
    pub until: String,
    /// How many requests it holds.
    pub active: u32,
    /// How many faults of each kind there were.
    pub injected: BTreeMap<String, u64>,
    /// Its rules, in words.
    pub rules: Vec<String>,
}

/// Whether a drill goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DrillState {
    /// It does.
    Running,
    /// An operator has stopped all drills.
    Stopped,
    /// It has stopped by itself, as too many answers were errors.
    Tripped,
    /// Its time is over.
    Over,
}

impl DrillState {
    /// As people are told it.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Tripped => "tripped",
            Self::Over => "over",
        }
    }
}

impl From<FaultState> for DrillState {
    fn from(state: FaultState) -> Self {
        match state {
            FaultState::Running => Self::Running,
            FaultState::Stopped => Self::Stopped,
            FaultState::Tripped => Self::Tripped,
            FaultState::Over => Self::Over,
        }
    }
}

impl DrillStatus {
    /// Of the filter of this name.
    pub(crate) fn new(filter: &str, status: FaultStatus) -> Self {
        Self {
            filter: filter.to_owned(),
            state: status.state.into(),
            until: status.until,
            active: status.active,
            injected: status.injected.into_iter().map(|(kind, count)| (kind.to_owned(), count)).collect(),
            rules: status.rules,
        }
    }
}
