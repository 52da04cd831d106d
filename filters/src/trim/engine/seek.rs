//! In objects whose unnamed members all go: from one named member to the next, without a look at those between.
//!
//! As members, they are not checked: only their strings and brackets count.

use super::bits::{Classify, WINDOW};
use super::header::{self, too_long};
use super::members::Step;
use super::pass::{closing, ones};
use super::state::Mode;
use super::walk::{Defect, Walker};
use crate::trim::policy::{Node, Target};

/// What was found.
pub(super) enum Sought {
    /// A named member: its key's first quote, its colon, and where it leads.
    Key { quote: usize, colon: usize, found: Target },
    /// The closing bracket.
    End(usize),
    /// Neither before the chunk's end; so many containers are open within the object.
    Cut { depth: u64 },
}

impl<C: Classify> Walker<'_, C> {
    /// From `at`, where `depth` containers are open in the object.
    #[inline(always)]
    pub(super) fn seek(&mut self, at: usize, mut depth: u64, node: &Node) -> Sought {
        let data = self.index.data;
        let mut number = at / 64;
        // What of the block is still to come.
        let mut from = u64::MAX << (at % 64);
        loop {
            if !self.index.has(number) {
                return Sought::Cut { depth };
            }
            (number, from, depth) = self.index.quiet(number, from, depth, 0, 1);
            if number >= self.index.end() {
                continue;
            }
            let window = &self.index.window;
            let slot = number % WINDOW;
            let (opens, closes, candidates) = (window.open[slot] & from, window.close[slot] & from, window.candidates[slot] & from);
            // To the first candidate: all ones below it, everywhere where there is none.
            let event = candidates & candidates.wrapping_neg();
            let below = event.wrapping_sub(1);
            let (opens, closes) = (opens & below, closes & below);
            if depth < ones(closes)
                && let Some(end) = closing(depth + 1, opens, closes)
            {
                return Sought::End(64 * number + end as usize);
            }
            depth = depth + ones(opens) - ones(closes);
            if event == 0 {
                number += 1;
                from = u64::MAX;
                continue;
            }
            from = !(below | event);
            if depth != 0 {
                continue;
            }
            // The closing quote of a string: is it a key?
            let end = 64 * number + event.trailing_zeros() as usize;
            let colon = match data.get(end + 1) {
                Some(b':') => end + 1,
                Some(b'!'..) => continue,
                _ => match self.next(end + 1) {
                    Some((colon, b':')) => colon,
                    Some(_) => continue,
                    None => return Sought::Cut { depth },
                },
            };
            // A key that began in an earlier chunk was looked at there.
            let before = self.index.window.quotes[slot] & below;
            let quote = if before != 0 { Some(64 * number + 63 - before.leading_zeros() as usize) } else { self.index.quote_before(end) };
            let Some(quote) = quote else { continue };
            let found = node.find_raw(&data[quote + 1..end], self.index.escaped(end));
            if found != Target::DROP {
                return Sought::Key { quote, colon, found };
            }
        }
    }

    /// Goes on in another chunk.
    pub(super) fn seek_on(&mut self, at: usize, depth: u64) -> Result<Step, Defect> {
        let frame = *self.frame();
        match self.seek(at, depth, &self.policy.nodes[frame.node as usize]) {
            Sought::Key { quote, .. } => {
                let head = if frame.kept { self.comma_before(quote)? } else { quote };
                Ok(Step::Member(head, quote, b'"'))
            }
            Sought::End(close) => self.after(close),
            Sought::Cut { depth } => self.cut_seek(at, depth).map(Step::To),
        }
    }

    /// The comma before the key at `quote`.
    #[inline(always)]
    pub(super) fn comma_before(&self, quote: usize) -> Result<usize, Defect> {
        match self.index.data[..quote].last() {
            Some(b',') => Ok(quote - 1),
            _ => self.before(quote).filter(|&at| self.index.data[at] == b',').ok_or(Defect(quote)),
        }
    }

    /// The last byte before `at` that is no white space.
    fn before(&self, at: usize) -> Option<usize> {
        self.index.data[..at].iter().rposition(|byte| !matches!(byte, b' ' | b'\n' | b'\r' | b'\t'))
    }

    /// The chunk ends. What may be the beginning of a named member's header is held back; nothing before `begin` is, but for a comma.
    #[cold]
    #[inline(never)]
    pub(super) fn cut_seek(&mut self, begin: usize, depth: u64) -> Result<usize, Defect> {
        let data = self.index.data;
        let end = data.len();
        self.state.mode = Mode::Seek { depth };
        let inside = self.index.finish();
        if depth != 0 {
            return Ok(end);
        }
        let kept = self.frame().kept;
        let last = self.before(end).filter(|&at| at >= begin);
        let key = match last {
            _ if inside => self.index.quote_before(end).filter(|quote| !too_long(self.policy, end - quote - 1)),
            Some(comma) if kept && data[comma] == b',' => return header::hold(self.policy, self.state, data, comma).map(|()| end),
            Some(quote) if data[quote] == b'"' => {
                self.index.quote_before(quote).filter(|begin| !too_long(self.policy, quote - begin - 1))
            }
            _ => None,
        };
        let Some(quote) = key.filter(|&quote| quote >= begin) else { return Ok(end) };
        let head = match (self.before(quote), kept) {
            (Some(comma), true) if data[comma] == b',' => comma,
            (Some(before), false) if matches!(data[before], b',' | b'{') => quote,
            // The chunk begins here: a comma would have been held back, so it is a value where something was kept.
            (None, false) => quote,
            _ => return Ok(end),
        };
        header::hold(self.policy, self.state, data, head).map(|()| end)
    }
}
