//! The structure of a chunk, found a window of blocks ahead of the walker.

use super::bits::{Block, Carry, Classify};
use crate::trim::policy::Prefilter;

/// Blocks that are classified at once: enough for the processor to overlap them, few enough to stay in its nearest cache.
const WINDOW: usize = 16;

/// Answers where structure stands in `data`; only ever moves forward.
pub(super) struct Index<'a, C> {
    classify: C,
    pub(super) data: &'a [u8],
    blocks: [Block; WINDOW],
    /// The first block that is not classified yet.
    end: usize,
    carry: &'a mut Carry,
    names: Option<&'a Prefilter>,
}

impl<'a, C: Classify> Index<'a, C> {
    #[inline(always)]
    pub(super) fn new(classify: C, data: &'a [u8], carry: &'a mut Carry, names: Option<&'a Prefilter>) -> Self {
        carry.begin_chunk();
        Self { classify, data, blocks: [Block::default(); WINDOW], end: 0, carry, names }
    }

    /// The block of this number, unless the chunk ends before it. It must not lie more than a window behind the furthest one asked for.
    #[inline(always)]
    pub(super) fn block(&mut self, number: usize) -> Option<&Block> {
        while number >= self.end {
            if self.end * 64 >= self.data.len() {
                return None;
            }
            self.fill();
        }
        Some(&self.blocks[number % WINDOW])
    }

    /// Classifies the next window.
    #[inline(always)]
    fn fill(&mut self) {
        let (data, classify) = (self.data, self.classify);
        let last = (self.end + WINDOW).min(data.len().div_ceil(64));
        let whole = last.min(data.len() / 64);
        // In registers, not behind a reference.
        let mut carry = *self.carry;
        let mut number = self.end;
        match self.names {
            None => {
                while number < whole {
                    let block = data[64 * number..].first_chunk().expect("a whole block");
                    self.blocks[number % WINDOW] = carry.resolve(classify, classify.bytes(block), 64).0;
                    number += 1;
                }
                if number < last {
                    let (block, valid) = padded(data, number);
                    let own = block.last_chunk().expect("64 of 65 bytes");
                    self.blocks[number % WINDOW] = carry.resolve(classify, classify.bytes(own), valid).0;
                }
            }
            Some(names) => {
                // The first block has no byte before it.
                if number == 0 && whole > 0 {
                    let (bytes, keys) = classify.keys(&padded(data, 0).0, names);
                    self.blocks[0] = carry.resolve_keys(classify, bytes, keys, 64);
                    number = 1;
                }
                while number < whole {
                    let block = data[64 * number - 1..].first_chunk().expect("a whole block and the byte before it");
                    let (bytes, keys) = classify.keys(block, names);
                    self.blocks[number % WINDOW] = carry.resolve_keys(classify, bytes, keys, 64);
                    number += 1;
                }
                if number < last {
                    let (block, valid) = padded(data, number);
                    let (bytes, keys) = classify.keys(&block, names);
                    self.blocks[number % WINDOW] = carry.resolve_keys(classify, bytes, keys, valid);
                }
            }
        }
        self.end = last;
        *self.carry = carry;
    }

    /// Classifies what is left, for the next chunk's sake. Returns whether the chunk ends within a string.
    #[inline(always)]
    pub(super) fn finish(&mut self) -> bool {
        while self.end * 64 < self.data.len() {
            self.fill();
        }
        self.carry.in_string()
    }

    /// The first quote at or after `at` that begins or ends a string.
    #[inline(always)]
    pub(super) fn quote(&mut self, at: usize) -> Option<usize> {
        let mut number = at / 64;
        let mut quotes = self.block(number)?.quotes & u64::MAX << (at % 64);
        while quotes == 0 {
            number += 1;
            quotes = self.block(number)?.quotes;
        }
        Some(64 * number + quotes.trailing_zeros() as usize)
    }

    /// Whether the string that ends with the quote at `at` has a backslash. Only for a quote that was found just now.
    #[inline(always)]
    pub(super) fn escaped(&self, at: usize) -> bool {
        self.blocks[at / 64 % WINDOW].escaped >> (at % 64) & 1 == 1
    }

    /// Where the string begins that ends before `end` or is open there, if it does in this chunk.
    #[inline(always)]
    pub(super) fn quote_before(&self, end: usize) -> Option<usize> {
        let mut number = end / 64;
        let mut below = (1 << (end % 64)) - 1;
        // The window holds blocks `first..self.end`; where `end` is the chunk's own end, its block may not exist.
        let first = self.end.saturating_sub(1) / WINDOW * WINDOW;
        if number >= self.end {
            number = self.end.checked_sub(1)?;
            below = u64::MAX;
        }
        if number < first {
            return self.quote_far_before(end);
        }
        loop {
            let quotes = self.blocks[number % WINDOW].quotes & below;
            if quotes != 0 {
                return Some(64 * number + 63 - quotes.leading_zeros() as usize);
            }
            if number == first {
                return self.quote_far_before(64 * first);
            }
            number -= 1;
            below = u64::MAX;
        }
    }

    /// As [`Self::quote_before`], behind the window: within a string every quote has an odd number of backslashes before it.
    #[cold]
    fn quote_far_before(&self, mut end: usize) -> Option<usize> {
        loop {
            let at = self.data[..end].iter().rposition(|&byte| byte == b'"')?;
            let slashes = self.data[..at].iter().rev().take_while(|&&byte| byte == b'\\').count();
            if slashes % 2 == 0 {
                return Some(at);
            }
            end = at - slashes;
        }
    }
}

/// The block of this number, with the byte before it where the chunk has one and spaces after the chunk's end; and how much of it is input.
#[inline(never)]
fn padded(data: &[u8], number: usize) -> ([u8; 65], u32) {
    let from = 64 * number;
    let mut block = [b' '; 65];
    if from > 0 {
        block[0] = data[from - 1];
    }
    let own = &data[from..data.len().min(from + 64)];
    block[1..=own.len()].copy_from_slice(own);
    (block, own.len() as u32)
}

/// The first byte at or after `at` that is no white space.
#[inline(always)]
pub(super) fn skip_white(data: &[u8], mut at: usize) -> usize {
    // Minified documents end it here; in printed ones a line break goes before a run of spaces.
    match data.get(at) {
        Some(byte) if *byte > b' ' => return at,
        Some(b'\n') => at += 1,
        _ => {}
    }
    loop {
        if let Some(eight) = data.get(at..).and_then(|rest| rest.first_chunk()) {
            let others = u64::from_le_bytes(*eight) ^ 0x2020_2020_2020_2020;
            if others == 0 {
                at += 8;
                continue;
            }
            at += others.trailing_zeros() as usize / 8;
        }
        match data.get(at) {
            Some(b' ' | b'\n' | b'\r' | b'\t') => at += 1,
            _ => return at,
        }
    }
}
