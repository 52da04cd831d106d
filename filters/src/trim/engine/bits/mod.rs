//! 64 bytes of JSON → bitmaps of what matters in them, by whatever instructions the processor has.
//!
//! [`Classify`] finds bytes; [`Carry::resolve`] then says which of them are structure and which are text within strings. Only the
//! first differs between processors, so that all see the same document.

mod scalar;
mod swar;
#[cfg(all(target_arch = "x86_64", not(miri)))]
mod x86;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::OnceLock;

use super::state::State;
use super::walk::{Defect, walk};
use crate::trim::policy::{Policy, Prefilter};
use scalar::Scalar;

/// The bytes of one block that can be structure, wherever they stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bytes64 {
    pub(crate) quote: u64,
    pub(crate) backslash: u64,
    /// `{` and `[`.
    pub(crate) open: u64,
    /// `}` and `]`.
    pub(crate) close: u64,
}

/// What tells keys that a policy may name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Keys64 {
    pub(crate) colon: u64,
    /// Everything up to the space, so also control characters that JSON does not know as white space.
    pub(crate) white: u64,
    /// `[`, and other bytes that are no bracket at all.
    pub(crate) square: u64,
    /// With the byte before it, hashes like the end of one of the policy's names.
    pub(crate) hash: u64,
}

/// One way to look at 64 bytes at once.
pub(crate) trait Classify: Copy {
    fn bytes(self, block: &[u8; 64]) -> Bytes64;
    /// Also what `bytes` says. The first byte goes before the block.
    fn keys(self, block: &[u8; 65], names: &Prefilter) -> (Bytes64, Keys64);
    /// Each bit becomes the parity of itself and all lower ones.
    fn prefix_xor(self, bits: u64) -> u64;
}

/// The instructions that bodies are read with: what this processor has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Backend(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Scalar,
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    Avx2,
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    Avx512,
}

impl Backend {
    /// Eight bytes at a time in plain registers: runs anywhere.
    pub const SCALAR: Self = Self(Kind::Scalar);

    /// The fastest one here. The first call looks at the processor and compares what it is about to choose with the scalar form.
    pub fn best() -> Self {
        static BEST: OnceLock<Backend> = OnceLock::new();
        *BEST.get_or_init(|| Self::available().pop().unwrap_or(Self::SCALAR))
    }

    /// All that run here, the slowest first. One that disagrees with the scalar form on a fixed sample is left out.
    pub fn available() -> Vec<Self> {
        let mut all = vec![Self::SCALAR];
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        {
            if let Some(token) = x86::Avx2::detect()
                && x86::agrees_with_scalar(token)
            {
                all.push(Self(Kind::Avx2));
            }
            if let Some(token) = x86::Avx512::detect()
                && x86::agrees_with_scalar(token)
            {
                all.push(Self(Kind::Avx512));
            }
        }
        all
    }

    /// Reads one chunk.
    #[inline]
    pub(crate) fn walk(self, policy: &Policy, state: &mut State, data: &[u8]) -> Result<(), Defect> {
        match self.0 {
            Kind::Scalar => walk(Scalar, policy, state, data),
            #[cfg(all(target_arch = "x86_64", not(miri)))]
            Kind::Avx2 => x86::walk_avx2(policy, state, data),
            #[cfg(all(target_arch = "x86_64", not(miri)))]
            Kind::Avx512 => x86::walk_avx512(policy, state, data),
        }
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The structure of one block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Block {
    /// Quotes that begin or end a string.
    pub(crate) quotes: u64,
    /// Those that end a string with a backslash in it.
    pub(crate) escaped: u64,
    pub(crate) open: u64,
    pub(crate) close: u64,
    /// The bytes after the closing quotes of strings that may be keys that the policy names.
    pub(crate) candidates: u64,
    /// `[` not right after a colon.
    pub(crate) nested: u64,
}

/// What one block tells the next.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Carry {
    /// All ones within a string.
    in_string: u64,
    /// 1 where the next byte is escaped.
    escape: u64,
    /// 1 where the string so far has a backslash.
    backslash: u64,
    /// 1 where the last byte hashes like the end of a name.
    hash: u64,
    /// 1 where the last byte closes a string that may be a name.
    name: u64,
    /// 1 where the last byte is a colon.
    colon: u64,
}

const EVEN: u64 = 0x5555_5555_5555_5555;

impl Carry {
    /// Whether the next byte is within a string.
    pub(crate) fn in_string(&self) -> bool {
        self.in_string != 0
    }

    /// Forgets what only serves keys within one chunk: a key that is cut is read byte by byte.
    pub(crate) fn begin_chunk(&mut self) {
        (self.hash, self.name, self.colon) = (0, 0, 0);
    }

    /// `valid` bytes of the block are input, the others are spaces. Returns the closing quotes too.
    #[inline(always)]
    pub(crate) fn resolve<C: Classify>(&mut self, classify: C, bytes: Bytes64, valid: u32) -> (Block, u64) {
        let mut escaped = self.escape;
        if bytes.backslash == 0 {
            self.escape = 0;
        } else {
            // The byte after a run of backslashes is escaped where the run is of odd length. Adding the first bit of a run to the run
            // carries to that byte; whether run and byte begin at places of like parity tells odd from even. An escaped backslash at
            // the very beginning belongs to no run.
            let slashes = bytes.backslash & !escaped;
            let starts = slashes & !(slashes << 1);
            let after_even = slashes.wrapping_add(starts & EVEN) & !slashes & !EVEN;
            let (after_odd, overflow) = slashes.overflowing_add(starts & !EVEN);
            escaped |= after_even | (after_odd & !slashes & EVEN);
            self.escape = if valid == 64 { u64::from(overflow) } else { escaped >> valid & 1 };
        }

        let quotes = bytes.quote & !escaped;
        let in_string = classify.prefix_xor(quotes) ^ self.in_string;
        self.in_string = ((in_string as i64) >> 63) as u64;

        // A string is a run of ones up to, not with, its closing quote. Any bit added within carries to that quote.
        let closing = quotes & !in_string;
        let (sum, first) = in_string.overflowing_add(bytes.backslash & in_string);
        let (sum, second) = sum.overflowing_add(self.backslash);
        self.backslash = u64::from(first | second);

        let (open, close) = (bytes.open & !in_string, bytes.close & !in_string);
        (Block { quotes, escaped: sum & closing, open, close, candidates: 0, nested: 0 }, closing)
    }

    /// As [`Self::resolve`], with what finds keys.
    #[inline(always)]
    pub(crate) fn resolve_keys<C: Classify>(&mut self, classify: C, bytes: Bytes64, keys: Keys64, valid: u32) -> Block {
        let (mut block, closing) = self.resolve(classify, bytes, valid);
        let names = closing & ((keys.hash << 1 | self.hash) | block.escaped);
        let inside = u64::MAX >> (64 - valid);
        block.candidates = (names << 1 | self.name) & (keys.colon | keys.white) & inside;
        block.nested = block.open & keys.square & !(keys.colon << 1 | self.colon);
        self.hash = keys.hash >> 63;
        self.name = names >> 63;
        self.colon = keys.colon >> 63;
        block
    }
}
