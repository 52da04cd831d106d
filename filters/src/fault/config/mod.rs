//! What can be written of a drill.

mod abort;
mod delay;
mod problems;

use http::HeaderName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::abort::{Abort, Answer, GrpcStatus};
pub use self::delay::Delay;
pub(super) use self::delay::LONGEST;
use super::rule::Act;
use crate::words::matching::Match;
use crate::words::moment::Moment;
use crate::words::reserved;
use crate::words::selector::Selector;
use crate::words::spanned::Spanned;
use crate::words::units::{Duration, Share};

/// The options of `fault`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// When the drill is over, as 2026-12-01T18:00:00Z: at most 24 hours ahead when the configuration is loaded. Afterwards the filter does nothing.
    pub until: Spanned<Moment>,
    /// The maximum of all shares together; by default 10%. More than 50% needs `i_know: true`.
    #[serde(default = "tenth")]
    pub max_share: Spanned<Share>,
    /// Whether more than half of all requests may be hit; by default false.
    #[serde(default, skip_serializing_if = "is_false")]
    pub i_know: bool,
    /// The maximum of requests that are held at once; what comes beyond is not held. By default 100.
    #[serde(default = "hundred")]
    pub max_active: Spanned<u32>,
    /// Which requests may be hit: facts that must all hold; by default all.
    #[serde(default, rename = "match", skip_serializing_if = "Option::is_none")]
    pub matching: Option<Spanned<Match>>,
    /// Who is hit: the same value of this fact always has the same lot. By default, and without the fact, chance decides for each attempt anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Spanned<Selector>>,
    /// The name of a request header by which trusted proxies ask for faults, such as `delay=400ms, abort=503`: of the kinds that a rule has. From all
    /// others it is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trusted_header: Option<Name>,
    /// When the drill stops by itself until the next reload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_when: Option<StopWhen>,
    /// What happens to which share of requests.
    pub rules: Spanned<Vec<Spanned<Rule>>>,
}

/// What happens to a share of requests: one fault.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The answer comes later by this: a time, a time `between` two, or one that is long now and then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Spanned<Delay>>,
    /// An error is the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abort: Option<Spanned<Abort>>,
    /// The share of requests.
    pub share: Spanned<Share>,
    /// Where it happens; by default at the upstream.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub at: Spanned<At>,
}

/// Where a fault happens.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum At {
    /// Where the upstream would have failed: deadlines, retries, ejection, circuit breakers and fallbacks take it for real.
    #[default]
    Upstream,
    /// At the client's side, where nothing of that sees it.
    Client,
}

/// When a drill stops by itself.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct StopWhen {
    /// More than this share of answers are errors of a server: a status from 500 on, or one of gRPC that says so. From 20 answers on.
    pub error_ratio: Spanned<Share>,
    /// The time that answers are counted over.
    pub over: Spanned<Duration>,
}

/// The name of a request header that configuration may choose.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(try_from = "String", into = "String")]
#[schemars(inline)]
pub struct Name(String);

impl Name {
    /// As the header has it.
    pub(super) fn header(&self) -> Option<HeaderName> {
        HeaderName::from_bytes(self.0.as_bytes()).ok()
    }
}

impl TryFrom<String> for Name {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let name = HeaderName::from_bytes(text.as_bytes()).map_err(|_| format!("`{text}` is not a header name"))?;
        if reserved::for_claims(&name) || reserved::is_for_proxies(&name) {
            return Err(format!("`{text}` has a meaning of its own"));
        }
        Ok(Self(text))
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl Rule {
    /// The faults that are written: of a rule that is right, one.
    pub(super) fn acts(&self) -> Vec<Act> {
        let delay = self.delay.as_ref().map(|delay| Act::Delay(delay.value));
        let abort = self.abort.as_ref().and_then(|abort| abort.answer()).map(Act::Abort);
        delay.into_iter().chain(abort).collect()
    }
}

fn tenth() -> Spanned<Share> {
    Spanned::nowhere(Share(0.1))
}

fn hundred() -> Spanned<u32> {
    Spanned::nowhere(100)
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_usual(at: &Spanned<At>) -> bool {
    at.value == At::default()
}
