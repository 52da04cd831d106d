//! Lets a [`Policy`] loose on a body, chunk by chunk.
//!
//! What is removed: for a member or an element that has others before it, from their comma to the value's end; for one that has none, from
//! its key to the next bracket, or through the next comma and the white space after it. Every other byte goes out as it came in.
//!
//! What is checked: that brackets match where their members are looked at and around what is passed over whole, that keys are strings
//! followed by a colon, that values are followed by a comma or the end, that numbers and words are made of letters, digits and signs. This
//! is enough for every byte of well-formed input, and for a defect not to show what `keep` hides; it does not make a validator.

mod candidates;
mod cut;
mod header;
mod held;
mod index;
mod members;
mod output;
mod pass;
mod state;
mod walk;

#[cfg(test)]
pub(super) mod tests;

use std::fmt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::bits::Backend;
use super::policy::Policy;
use state::{Defect, Mode, State};
use walk::Walk;

/// What becomes of a body that turns out not to be JSON, or ends too early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnMalformed {
    /// The rest goes out as it is; where the policy hides something (`keep`), the rest does not go out.
    Pass,
    /// [`Trimmer::push`] fails.
    Abort,
}

/// The body is not JSON, or nested too deep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Bytes of the body before the defect.
    pub at: u64,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the body is not JSON, or too deep, at byte {}", self.at)
    }
}

impl std::error::Error for Malformed {}

/// Trims one body, of one JSON value or several after each other.
#[derive(Debug)]
pub struct Trimmer {
    policy: Arc<Policy>,
    on_malformed: OnMalformed,
    backend: Backend,
    state: State,
    malformed: Option<Malformed>,
    input: u64,
    output: u64,
}

impl Trimmer {
    /// Allocates nothing.
    pub fn new(policy: Arc<Policy>, on_malformed: OnMalformed) -> Self {
        Self::with_backend(policy, on_malformed, Backend::best())
    }

    /// With a backend of one's own choice: for tests and measurements.
    pub fn with_backend(policy: Arc<Policy>, on_malformed: OnMalformed, backend: Backend) -> Self {
        Self { policy, on_malformed, backend, state: State::new(), malformed: None, input: 0, output: 0 }
    }

    /// Replaces `body`, the next chunk, by what goes out for it: the same chunk, less, or nothing; at a cut within a member's header also a
    /// few bytes of the one before. `last` says that no chunk follows.
    ///
    /// Once it failed, nothing more goes out and it fails each time.
    #[inline(never)]
    pub fn push(&mut self, body: &mut Option<Bytes>, last: bool) -> Result<(), Malformed> {
        let chunk = body.take().unwrap_or_default();
        let before = self.input;
        self.input += chunk.len() as u64;
        if self.policy.is_noop() {
            self.output = self.input;
            *body = Some(chunk).filter(|chunk| !chunk.is_empty());
            return Ok(());
        }
        if self.state.mode != Mode::Rest
            && !chunk.is_empty()
            && let Err(Defect(at)) = self.backend.run(Walk { policy: &self.policy, state: &mut self.state, data: &chunk })
        {
            self.malformed(before + at as u64, at);
        }
        *body = self.state.out.finish(chunk);
        if last && !self.ended() {
            self.malformed.get_or_insert(Malformed { at: self.input });
            if self.state.header.pending() && !self.policy.hides() {
                // What was held back of this very chunk comes after all else of it.
                let mut rest = Vec::new();
                std::mem::swap(&mut rest, self.state.header.held_mut());
                let mut whole = BytesMut::from(body.as_deref().unwrap_or_default());
                whole.extend_from_slice(&rest);
                *body = Some(whole.freeze());
            }
        }
        if let Some(malformed) = self.malformed
            && self.on_malformed == OnMalformed::Abort
        {
            *body = None;
            return Err(malformed);
        }
        self.output += body.as_ref().map_or(0, |body| body.len() as u64);
        Ok(())
    }

    /// From here on, `chunk_at` in the present chunk, nothing is looked at any more.
    #[cold]
    fn malformed(&mut self, at: u64, chunk_at: usize) {
        self.malformed = Some(Malformed { at });
        self.state.mode = Mode::Rest;
        if self.policy.hides() {
            header::forget(&mut self.state);
            self.state.out.stop(chunk_at);
        } else {
            header::release(&mut self.state, chunk_at);
        }
    }

    /// Whether the input may end here. A body of nothing but white space may.
    fn ended(&self) -> bool {
        match self.state.mode {
            Mode::Root | Mode::Rest => true,
            Mode::Scalar => self.state.frames.is_empty(),
            _ => false,
        }
    }

    /// Where the input was found defective, if it was.
    pub fn malformed_at(&self) -> Option<Malformed> {
        self.malformed
    }

    /// Whether the input was found defective.
    pub fn was_malformed(&self) -> bool {
        self.malformed.is_some()
    }

    /// Bytes taken in so far.
    pub fn input_bytes(&self) -> u64 {
        self.input
    }

    /// Bytes given out so far.
    pub fn output_bytes(&self) -> u64 {
        self.output
    }
}
