//! Which quotes, brackets and backslashes are structure, and which are text within strings: what the processor's form found, block after block.

use super::{Bytes64, Classify, Prefilter, Text64};

/// The structure of one block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Block {
    /// Quotes that begin or end a string.
    pub(crate) quotes: u64,
    /// Those that end one.
    pub(crate) closing: u64,
    /// Those that end a string with a backslash in it.
    pub(crate) escaped: u64,
    pub(crate) open: u64,
    pub(crate) close: u64,
}

/// The strings of one block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Strings {
    /// Quotes that begin or end one.
    pub(crate) quotes: u64,
    /// All of one but its closing quote.
    pub(crate) inside: u64,
    /// Closing quotes of those with a backslash.
    pub(crate) slashed: u64,
    /// Bytes with an escaping backslash before them, wherever they stand; also the first byte after the input.
    pub(crate) escaped: u64,
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
    /// 1 where the last byte may be the end of a name.
    end: u64,
}

const EVEN: u64 = 0x5555_5555_5555_5555;

impl Carry {
    /// Whether the next byte is within a string.
    pub(crate) fn in_string(&self) -> bool {
        self.in_string != 0
    }

    /// Forgets what only serves keys within one chunk: a key that is cut is read byte by byte.
    pub(crate) fn begin_chunk(&mut self) {
        self.end = 0;
    }

    /// `valid` bytes of the block are input, the others are spaces.
    #[inline(always)]
    pub(crate) fn resolve<C: Classify>(&mut self, classify: C, bytes: Bytes64, valid: u32) -> Block {
        // Most blocks have nothing to do with backslashes.
        let plain = bytes.backslash | self.escape | self.backslash == 0;
        let quotes = if plain { bytes.quote } else { bytes.quote & !self.escaped(bytes.backslash, valid) };
        let in_string = classify.prefix_xor(quotes) ^ self.in_string;
        self.in_string = ((in_string as i64) >> 63) as u64;
        let closing = quotes & !in_string;
        let mut escaped = 0;
        if !plain {
            // A string is a run of ones up to, not with, its closing quote. Any bit added within carries to that quote.
            let (sum, first) = in_string.overflowing_add(bytes.backslash & in_string);
            let (sum, second) = sum.overflowing_add(self.backslash);
            self.backslash = u64::from(first | second);
            escaped = sum & closing;
        }
        Block { quotes, closing, escaped, open: bytes.open & !in_string, close: bytes.close & !in_string }
    }

    /// As [`Self::resolve`], of what matters for strings.
    #[inline(always)]
    pub(crate) fn strings<C: Classify>(&mut self, classify: C, text: Text64, valid: u32) -> Strings {
        if text.backslash | self.escape | self.backslash == 0 {
            let inside = classify.prefix_xor(text.quote) ^ self.in_string;
            self.in_string = ((inside as i64) >> 63) as u64;
            return Strings { quotes: text.quote, inside, slashed: 0, escaped: 0 };
        }
        let escaped = self.escaped(text.backslash, valid);
        let quotes = text.quote & !escaped;
        let inside = classify.prefix_xor(quotes) ^ self.in_string;
        self.in_string = ((inside as i64) >> 63) as u64;
        let (sum, first) = inside.overflowing_add(text.backslash & inside);
        let (sum, second) = sum.overflowing_add(self.backslash);
        self.backslash = u64::from(first | second);
        Strings { quotes, inside, slashed: sum & quotes & !inside, escaped }
    }

    /// Also the closing quotes of strings that may be names.
    #[inline(always)]
    pub(crate) fn resolve_names<C: Classify>(
        &mut self,
        classify: C,
        block: &[u8; 64],
        before: &[u8; 64],
        names: &Prefilter,
        valid: u32,
    ) -> (Block, u64) {
        let (bytes, ends) = classify.names(block, before, names);
        let block = self.resolve(classify, bytes, valid);
        let candidates = block.closing & (ends << 1 | self.end | block.escaped);
        self.end = ends >> 63;
        (block, candidates)
    }

    /// The bytes that a backslash before them escapes.
    #[inline(always)]
    fn escaped(&mut self, backslash: u64, valid: u32) -> u64 {
        // The byte after a run of backslashes is escaped where the run is of odd length. Adding the first bit of a run to the run
        // carries to that byte; whether run and byte begin at places of like parity tells odd from even. An escaped backslash at
        // the very beginning belongs to no run.
        let slashes = backslash & !self.escape;
        let starts = slashes & !(slashes << 1);
        let after_even = slashes.wrapping_add(starts & EVEN) & !slashes & !EVEN;
        let (after_odd, overflow) = slashes.overflowing_add(starts & !EVEN);
        let escaped = self.escape | after_even | (after_odd & !slashes & EVEN);
        self.escape = if valid == 64 { u64::from(overflow) } else { escaped >> valid & 1 };
        escaped
    }
}
