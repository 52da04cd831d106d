//! The beginning of a member's header that a chunk's end cut.

use crate::json::policy::Target;

/// More white space than this in one cut header does not go out: the only place where a kept byte may get lost.
const WHITE: usize = 4096;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    /// Before the key, or an array's element.
    #[default]
    White,
    /// In the key: whether the next byte is escaped.
    Key { escape: bool },
    /// Before the colon.
    Colon,
    /// Before the value.
    Value(Target),
}

/// A header of which only the beginning has been seen.
#[derive(Debug, Default)]
pub(super) struct Header {
    pub(super) held: Vec<u8>,
    pub(super) phase: Phase,
    /// Where in `held` the key begins and ends, without quotes.
    pub(super) key: (usize, usize),
    /// The key has a backslash.
    pub(super) escaped: bool,
    /// No comma before it.
    pub(super) first: bool,
}

impl Header {
    pub(super) fn pending(&self) -> bool {
        !self.held.is_empty()
    }

    /// The bytes held back.
    pub(super) fn held_mut(&mut self) -> &mut Vec<u8> {
        &mut self.held
    }

    pub(super) fn push_white(&mut self, byte: u8) {
        if self.held.len() < WHITE {
            self.held.push(byte);
        }
    }
}
