//! A circuit's state, alone in its file: the breaker's state machine is also built without the rest of this crate.

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
