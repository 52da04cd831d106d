//! What operators see of a filter, and hold it in: typed, so that nobody needs to know which kind it is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::pseudonym::Part;

/// The state of a filter, for status pages and metrics. A kind with more to show gets a field here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspection {
    /// Its circuits that a request or an operator ever asked for, by the names of their upstreams.
    pub circuits: Vec<CircuitStatus>,
    /// How long ago the keys that it verifies with were last known to be the issuer's, where they come from a URL and were had.
    pub key_age: Option<Duration>,
    /// Whether it has no keys that it may verify with, so that every token is refused.
    pub lacks_keys: bool,
    /// Whom it refused of late for asking too much, those it refused most first.
    pub refused: Vec<RefusedKey>,
    /// Its drill, where it is one.
    pub fault: Option<FaultStatus>,
}

/// What an operator sees of a drill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultStatus {
    /// Whether it goes on.
    pub state: FaultState,
    /// When it ends, as RFC 3339 writes it.
    pub until: String,
    /// How many requests it holds.
    pub active: u32,
    /// How many faults of each kind there were.
    pub injected: Vec<(&'static str, u64)>,
    /// Its rules, in words.
    pub rules: Vec<String>,
}

/// Whether a drill goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultState {
    /// It does.
    Running,
    /// An operator has stopped all drills.
    Stopped,
    /// It has stopped by itself, as too many answers were errors.
    Tripped,
    /// Its time is over.
    Over,
}

/// A key that a limit refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedKey {
    /// Its tier, where there are tiers.
    pub tier: Option<Arc<str>>,
    /// Who it is.
    pub key: Arc<[Part]>,
    /// How often.
    pub refused: u64,
    /// When for the last time.
    pub last: Instant,
}

/// What an operator sees of a circuit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CircuitStatus {
    /// The upstream that it protects.
    pub upstream: Arc<str>,
    /// What requests meet.
    pub state: CircuitState,
    /// Requests in the window.
    pub requests: u32,
    /// Those of them that failed.
    pub failures: u32,
    /// Those of them that were slow.
    pub slow: u32,
    /// How long until it is probed, while it is open and not forced.
    pub left: Option<Duration>,
    /// What an operator holds it in.
    pub forced: Option<Forced>,
    /// Probes under way.
    pub probes: u32,
}

/// The state of a circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CircuitState {
    /// Everything passes.
    Closed,
    /// A few probes pass.
    HalfOpen,
    /// Nothing passes.
    Open,
}

impl CircuitState {
    /// As logs and metrics write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open => "open",
        }
    }
}

/// A state that an operator holds a circuit in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forced {
    /// Nothing passes, without end.
    Open,
    /// Everything passes, whatever comes of it.
    Closed,
}

impl Forced {
    /// As operators write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}
