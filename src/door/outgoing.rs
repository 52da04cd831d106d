//! An answer that is held back until all of it is here, so that it leaves in one send.

use std::io;

use bytes::{Buf, BytesMut};

/// The begin of an answer whose rest follows at once, so that all of it leaves together.
#[derive(Default)]
pub(super) struct Outgoing {
    pub(super) bytes: BytesMut,
    /// Something was taken that no flush has followed yet: below there is a buffer, too.
    pub(super) unflushed: bool,
}

impl Outgoing {
    /// More than this is not copied to save a system call or two.
    const MOST: usize = 64 << 10;
    /// Room to begin with: what an answer grows out of is copied again.
    const ROOM: usize = 16 << 10;

    /// Takes all of it, or nothing where that would be too much.
    pub(super) fn push(&mut self, slices: &[io::IoSlice<'_>]) -> bool {
        if self.bytes.len() + length(slices) > Self::MOST {
            return false;
        }
        if self.bytes.is_empty() {
            self.bytes.reserve(Self::ROOM);
        }
        slices.iter().for_each(|slice| self.bytes.extend_from_slice(slice));
        self.unflushed = true;
        true
    }

    /// Whether the last chunk is here (RFC 9112, section 7.1). Data that looks like it only makes the answer leave in two parts.
    pub(super) fn is_whole(&self) -> bool {
        // It may be all there is: what goes before it may have left already.
        self.bytes.ends_with(b"\r\n0\r\n\r\n") || *self.bytes == *b"0\r\n\r\n"
    }

    pub(super) fn sent(&mut self, count: usize) {
        self.bytes.advance(count);
        if self.bytes.is_empty() {
            // An idle connection holds no buffer.
            self.bytes = BytesMut::new();
        }
    }
}

/// The bytes of all slices together.
pub(super) fn length(slices: &[io::IoSlice<'_>]) -> usize {
    slices.iter().map(|slice| slice.len()).sum()
}
