//! The structure of a chunk, found a window of blocks ahead of the walker.

use crate::json::bits::{Carry, Classify, Prefilter, Text, WINDOW, Window};

/// Answers where structure stands in `data`; only ever moves forward.
pub(super) struct Index<'a, C> {
    classify: C,
    pub(super) data: &'a [u8],
    pub(super) window: Window,
    /// The first block that is not classified yet.
    end: usize,
    carry: &'a mut Carry,
    names: Option<&'a Prefilter>,
}

impl<'a, C: Classify> Index<'a, C> {
    #[inline(always)]
    pub(super) fn new(classify: C, data: &'a [u8], carry: &'a mut Carry, names: Option<&'a Prefilter>) -> Self {
        carry.begin_chunk();
        Self { classify, data, window: Window::default(), end: 0, carry, names }
    }

    /// The first block that is not classified yet.
    #[inline(always)]
    pub(super) fn end(&self) -> usize {
        self.end
    }

    /// Whether there is a block of this number; then the window has it. It must not lie more than a window behind the furthest one asked for.
    #[inline(always)]
    pub(super) fn has(&mut self, number: usize) -> bool {
        number < self.end || self.fill_to(number)
    }

    #[cold]
    #[inline(never)]
    fn fill_to(&mut self, number: usize) -> bool {
        while number >= self.end {
            if self.end * 64 >= self.data.len() {
                return false;
            }
            self.fill();
        }
        true
    }

    /// From block `number`, of which only `from` is to come, past those in which nothing happens: no candidate, and no close that leaves
    /// fewer than `floor` of the `depth` containers open. Where fewer than `deaf` are never left, candidates do not count. Returns the block
    /// at which something happens or the window ends, what of it is to come, and how many containers are open there.
    #[inline(always)]
    pub(super) fn quiet(&self, mut number: usize, mut from: u64, mut depth: u64, floor: u64, deaf: u64) -> (usize, u64, u64) {
        let (window, end) = (&self.window, self.end);
        while number < end {
            let slot = number % WINDOW;
            let lowest = depth.wrapping_sub(u64::from((window.close[slot] & from).count_ones())) as i64;
            if lowest < floor as i64 || (window.candidates[slot] & from != 0 && lowest < deaf as i64) {
                break;
            }
            depth = lowest as u64 + u64::from((window.open[slot] & from).count_ones());
            number += 1;
            from = u64::MAX;
        }
        (number, from, depth)
    }

    /// Classifies the next window.
    #[inline(always)]
    fn fill(&mut self) {
        let last = (self.end + WINDOW).min(self.data.len().div_ceil(64));
        let text = Text { data: self.data, first: self.end, last, names: self.names };
        self.classify.fill(&mut self.window, text, self.carry);
        self.end = last;
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
        let mut from = u64::MAX << (at % 64);
        while self.has(number) {
            let quotes = self.window.quotes[number % WINDOW] & from;
            if quotes != 0 {
                return Some(64 * number + quotes.trailing_zeros() as usize);
            }
            number += 1;
            from = u64::MAX;
        }
        None
    }

    /// Whether the string that ends with the quote at `at` has a backslash. Only for a quote that was found just now.
    #[inline(always)]
    pub(super) fn escaped(&self, at: usize) -> bool {
        self.window.escaped[at / 64 % WINDOW] >> (at % 64) & 1 == 1
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
            let quotes = self.window.quotes[number % WINDOW] & below;
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

/// Bytes that numbers and words are made of. What they spell is not checked.
#[inline(always)]
pub(super) fn is_scalar(byte: u8) -> bool {
    const TABLE: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < 256 {
            table[byte] = matches!(byte as u8, b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'+' | b'-' | b'.');
            byte += 1;
        }
        table
    };
    TABLE[byte as usize]
}
