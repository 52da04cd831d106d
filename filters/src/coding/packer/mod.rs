//! Packs one body while it streams: what it holds back is bounded, and is given out whenever it is asked for.

mod brotli;
mod gzip;
mod kept;
mod zstd;

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use self::brotli::Brotli;
use self::gzip::Gzip;
use self::zstd::Zstd;
use super::Coding;

/// How many bodies are packed at once in this process. Each takes up to 2 MiB while it is under way; beyond this, answers go out as they are.
const MOST_AT_ONCE: usize = 1024;
/// Room for what is packed, at a time.
const ROOM: usize = 16 << 10;
/// Of the buffer that every body of a thread is packed into, more than this is given back.
const KEPT_BUFFER: usize = 256 << 10;

static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);

/// What follows the bytes that are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// More, at once: what packs better together may be held back.
    More,
    /// Perhaps more, later: a client must be able to open all that came so far.
    Pause,
    /// Nothing.
    End,
}

/// Packs one body.
pub struct Packer {
    coding: Coding,
    length: Option<u64>,
    /// Made for the first bytes: an answer to HEAD has none.
    state: Option<State>,
    /// Whether something may be held back.
    holds: bool,
    _place: Place,
}

enum State {
    Zstd(Zstd),
    Brotli(Brotli),
    Gzip(Gzip),
}

impl Packer {
    /// For a body of this length, where it is known. None where too many are under way already.
    pub fn new(coding: Coding, length: Option<u64>) -> Option<Self> {
        Some(Self { coding, length, state: None, holds: false, _place: Place::take(MOST_AT_ONCE)? })
    }

    /// What its coding is.
    pub fn coding(&self) -> Coding {
        self.coding
    }

    /// What these bytes pack to, with what was held back; nothing where all is held back. After [`Then::End`] there is no more to say.
    pub fn pack(&mut self, bytes: &[u8], then: Then) -> io::Result<Option<Bytes>> {
        if then != Then::End && bytes.is_empty() && !(self.holds && then == Then::Pause) {
            return Ok(None);
        }
        let state = match &mut self.state {
            Some(state) => state,
            None => self.state.insert(State::new(self.coding, self.length)?),
        };
        self.holds = then == Then::More;
        thread_local! { static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) } }
        BUFFER.with_borrow_mut(|out| {
            out.clear();
            let packed = match state {
                State::Zstd(zstd) => zstd.pack(bytes, then, out),
                State::Brotli(brotli) => brotli.pack(bytes, then, out),
                State::Gzip(gzip) => gzip.pack(bytes, then, out),
            };
            // A copy of its own length: what waits for a slow client takes no more than it is long.
            let packed = packed.map(|()| (!out.is_empty()).then(|| Bytes::copy_from_slice(out)));
            out.clear();
            out.shrink_to(KEPT_BUFFER);
            packed
        })
    }
}

impl State {
    fn new(coding: Coding, length: Option<u64>) -> io::Result<Self> {
        Ok(match coding {
            Coding::Zstd => Self::Zstd(Zstd::new(length)?),
            Coding::Brotli => Self::Brotli(Brotli::new(length)),
            Coding::Gzip => Self::Gzip(Gzip::new()),
        })
    }
}

/// A body's place among those under way.
struct Place;

impl Place {
    fn take(most: usize) -> Option<Self> {
        let more = |under_way| (under_way < most).then_some(under_way + 1);
        UNDER_WAY.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|_| Self)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        UNDER_WAY.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The base-two logarithm of the window that a body of this length fills, no more than `most`.
fn window(length: Option<u64>, least: u32, most: u32) -> u32 {
    length.map_or(most, |length| (u64::BITS - length.saturating_sub(1).leading_zeros()).clamp(least, most))
}

/// What a library should never say.
fn stuck(what: &str) -> io::Error {
    io::Error::other(format!("{what} makes no progress"))
}
