//! What is told of circuits, and what operators make of them.

use frontgate_filters::filter::inspect::{CircuitState as State, Forced};
use serde::{Deserialize, Serialize};

/// What is known of a circuit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CircuitStatus {
    /// The circuit breaker's name.
    pub filter: String,
    /// The upstream's.
    pub upstream: String,
    /// What requests meet.
    pub state: CircuitState,
    /// Requests in the window.
    pub requests: u32,
    /// Those of them that failed.
    pub failures: u32,
    /// Those of them that were slow.
    pub slow: u32,
    /// Probes under way.
    pub probes: u32,
    /// How much longer it stays open before it is probed, in milliseconds.
    pub open_for_ms: Option<u64>,
    /// What an operator holds it in.
    pub forced: Option<Force>,
    /// For how much longer, in milliseconds, where that has an end.
    #[serde(default)]
    pub forced_for_ms: Option<u64>,
}

/// The state of a circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CircuitState {
    /// Everything passes.
    Closed,
    /// A few probes pass.
    HalfOpen,
    /// Nothing passes.
    Open,
}

/// What an operator makes of a circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Force {
    /// Nothing passes, until further notice.
    Open,
    /// Everything passes, until further notice.
    Closed,
    /// It decides by itself again.
    Auto,
}

/// The answer to an operator who forces a circuit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct CircuitForced<'c> {
    /// The circuit breaker's name.
    pub filter: &'c str,
    /// The upstream's.
    pub upstream: &'c str,
    /// What it is forced to.
    pub force: Force,
    /// How long, in milliseconds, where that has an end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub for_ms: Option<u64>,
}

impl From<State> for CircuitState {
    fn from(state: State) -> Self {
        match state {
            State::Closed => Self::Closed,
            State::HalfOpen => Self::HalfOpen,
            State::Open => Self::Open,
        }
    }
}

impl CircuitState {
    /// As logs and metrics write it.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open => "open",
        }
    }
}

impl From<Forced> for Force {
    fn from(forced: Forced) -> Self {
        match forced {
            Forced::Open => Self::Open,
            Forced::Closed => Self::Closed,
        }
    }
}

impl Force {
    /// What a circuit is held in; nothing where it decides by itself.
    pub(crate) fn held(self) -> Option<Forced> {
        match self {
            Self::Open => Some(Forced::Open),
            Self::Closed => Some(Forced::Closed),
            Self::Auto => None,
        }
    }

    /// As it is written.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Auto => "auto",
        }
    }

    /// As it was written; none of the three is an error.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Open, Self::Closed, Self::Auto].into_iter().find(|force| force.label() == text)
    }
}
