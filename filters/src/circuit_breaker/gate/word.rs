//! The one word that requests contend for.

use super::terms::{Forced, State};

/// The word: 2 bits of state, 2 of force, 5 of openings in a row, 15 of epoch, 40 of the state's own: when it ends, or probes that succeeded.
/// The epoch changes with every change of state, so that what comes late is known to be late.
#[derive(Clone, Copy)]
pub struct Word(pub u64);

const OWN_BITS: u32 = 40;
const OWN_MASK: u64 = (1 << OWN_BITS) - 1;
const EPOCH_MASK: u64 = (1 << 15) - 1;
const MOST_OPENINGS: u64 = (1 << 5) - 1;

impl Word {
    /// Packs its parts; what is too large for its bits is cut.
    pub fn new(state: State, forced: Option<Forced>, openings: u64, epoch: u64, own: u64) -> Self {
        let state = match state {
            State::Closed => 0,
            State::HalfOpen => 1,
            State::Open => 2,
        };
        let forced = match forced {
            None => 0,
            Some(Forced::Open) => 1,
            Some(Forced::Closed) => 2,
        };
        Self(state << 62 | forced << 60 | openings.min(MOST_OPENINGS) << 55 | (epoch & EPOCH_MASK) << OWN_BITS | own.min(OWN_MASK))
    }
    /// What requests meet, where nobody forces it.
    pub fn state(self) -> State {
        match self.0 >> 62 {
            0 => State::Closed,
            1 => State::HalfOpen,
            _ => State::Open,
        }
    }
    /// What an operator holds the circuit in.
    pub fn forced(self) -> Option<Forced> {
        match self.0 >> 60 & 3 {
            0 => None,
            1 => Some(Forced::Open),
            _ => Some(Forced::Closed),
        }
    }
    /// Openings without a closing between.
    pub fn openings(self) -> u64 {
        self.0 >> 55 & MOST_OPENINGS
    }
    /// Which state it is, counted from the first.
    pub fn epoch(self) -> u64 {
        self.0 >> OWN_BITS & EPOCH_MASK
    }
    /// The state's own number.
    pub fn own(self) -> u64 {
        self.0 & OWN_MASK
    }
}
