//! Passes over values that stay or go whole. Where the chunk ends first, the mode says what is left of the value.

use super::index::is_scalar;
use super::state::{Defect, Mode};
use super::walk::Walker;
use crate::json::bits::{Classify, WINDOW};

impl<C: Classify> Walker<'_, C> {
    /// From a value's first byte to its end, if this chunk has it. No value begins with another byte than those of [`is_scalar`], a quote, a
    /// bracket.
    #[inline(always)]
    pub(super) fn pass(&mut self, at: usize, first: u8) -> Result<Option<usize>, Defect> {
        match first {
            b'"' => Ok(self.string(at + 1)),
            // Both closing brackets are two above the opening one.
            b'{' | b'[' => self.container(at + 1, 1, first + 2),
            _ => Ok(self.scalar(at)),
        }
    }

    /// The rest of a string.
    #[inline(always)]
    pub(super) fn string(&mut self, at: usize) -> Option<usize> {
        let quote = self.index.quote(at);
        if quote.is_none() {
            self.state.mode = Mode::String;
        }
        quote.map(|quote| quote + 1)
    }

    /// The rest of a number or a word.
    #[inline(always)]
    pub(super) fn scalar(&mut self, at: usize) -> Option<usize> {
        let data = self.index.data;
        let mut end = at;
        while let Some(&byte) = data.get(end) {
            if !is_scalar(byte) {
                return Some(end);
            }
            end += 1;
        }
        self.state.mode = Mode::Scalar;
        None
    }

    /// The rest of a container within which `depth` are open, itself included; `close` ends it.
    #[inline(always)]
    pub(super) fn container(&mut self, at: usize, mut depth: u64, close: u8) -> Result<Option<usize>, Defect> {
        let mut number = at / 64;
        let mut from = u64::MAX << (at % 64);
        while self.index.has(number) {
            let (opens, closes) = (self.index.window.open[number % WINDOW] & from, self.index.window.close[number % WINDOW] & from);
            if ones(closes) >= depth
                && let Some(end) = closing(depth, opens, closes)
            {
                let end = 64 * number + end as usize;
                return if self.index.data[end] == close { Ok(Some(end + 1)) } else { Err(Defect(end)) };
            }
            depth = depth + ones(opens) - ones(closes);
            number += 1;
            from = u64::MAX;
        }
        self.state.mode = Mode::Container { depth, close };
        Ok(None)
    }

    /// A value that was passed over ends before `at`.
    #[inline(always)]
    pub(super) fn done(&mut self, at: usize) -> usize {
        if self.state.candidates {
            if self.state.first {
                self.state.mode = Mode::Swallow { comma: false };
            } else {
                self.state.out.resume(at);
                self.state.mode = Mode::Candidates;
            }
        } else {
            match self.state.frames.last() {
                None => self.state.mode = Mode::Root,
                Some(frame) => {
                    if frame.kept {
                        self.state.out.resume(at);
                    }
                    self.state.mode = Mode::After;
                }
            }
        }
        at
    }
}

#[inline(always)]
pub(super) fn ones(bits: u64) -> u64 {
    u64::from(bits.count_ones())
}

/// The place of the close with which none of `depth` containers is open any more.
#[inline(always)]
fn closing(depth: u64, opens: u64, mut closes: u64) -> Option<u32> {
    let mut closed = 0;
    while closes != 0 {
        let bit = closes & closes.wrapping_neg();
        closed += 1;
        if depth + ones(opens & (bit - 1)) == closed {
            return Some(bit.trailing_zeros());
        }
        closes &= closes - 1;
    }
    None
}
