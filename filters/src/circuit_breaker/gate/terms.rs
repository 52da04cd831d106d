//! What the state machine is told and what it says.

use std::fmt;

use super::super::window::Counts;
pub use crate::filter::inspect::{CircuitState as State, Forced};

/// When a circuit opens and closes. Times are in milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// What is remembered.
    pub window: u64,
    /// Ratios are not looked at below this many requests in the window.
    pub min_requests: u32,
    /// The share of failures that opens.
    pub failure_ratio: f64,
    /// This many failures without a success between them open.
    pub consecutive: Option<u32>,
    /// The share of slow answers that opens.
    pub slow_ratio: Option<f64>,
    /// How long it stays open the first time.
    pub open_for: u64,
    /// How long it stays open at most.
    pub max_open_for: u64,
    /// How many probes may be under way.
    pub probes: u32,
    /// This many probes in a row must succeed.
    pub successes: u32,
}

/// What came of a request that was let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It was answered.
    Success {
        /// Too slowly.
        slow: bool,
    },
    /// It failed.
    Failure {
        /// And slowly.
        slow: bool,
        /// The upstream asked for no requests for this many milliseconds.
        retry_after: Option<u64>,
    },
    /// It says nothing about the upstream.
    Neutral,
}

/// Whether a request may pass.
#[derive(Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may. The ticket must come back by [`super::Gate::release`].
    Pass(Ticket),
    /// It may not, for this many milliseconds where that is known.
    Refuse {
        /// Open or half-open.
        state: State,
        /// Until a probe may be tried.
        left: Option<u64>,
    },
}

/// What a request that was let through holds.
#[derive(Debug, PartialEq, Eq)]
pub struct Ticket {
    pub(super) epoch: u64,
    /// Whether it is one of the few that try an upstream whose circuit was open.
    pub probe: bool,
    /// Whether it still counts among the probes that are under way.
    pub(super) held: bool,
    /// When it was counted as a success.
    pub(super) counted: Option<u64>,
}

/// A circuit changed its state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// To this one.
    pub to: State,
    /// For this reason.
    pub cause: Cause,
}

/// Why a circuit changed its state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cause {
    /// Too large a share of failures.
    Failures(Counts),
    /// Too large a share of slow answers.
    Slow(Counts),
    /// This many failures in a row.
    Consecutive(u32),
    /// A probe failed.
    ProbeFailed,
    /// It was open for long enough.
    TimeUp,
    /// This many probes succeeded.
    Proven(u32),
    /// An operator said so.
    Operator,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failures(counts) => write!(f, "{} of {} requests failed", counts.failures, counts.requests),
            Self::Slow(counts) => write!(f, "{} of {} requests were slow", counts.slow, counts.requests),
            Self::Consecutive(count) => write!(f, "{count} failures in a row"),
            Self::ProbeFailed => f.write_str("a probe failed or was slow"),
            Self::TimeUp => f.write_str("it is time to probe"),
            Self::Proven(count) => write!(f, "{count} probes in a row succeeded"),
            Self::Operator => f.write_str("an operator asked for it"),
        }
    }
}

/// A circuit's state, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// What requests meet.
    pub state: State,
    /// What the window holds.
    pub counts: Counts,
    /// Milliseconds until it is probed, while it is open by itself.
    pub left: Option<u64>,
    /// What an operator holds it in.
    pub forced: Option<Forced>,
    /// Probes under way.
    pub probes: u32,
}
