//! The walker for policies that only drop: looks at nothing but keys that may be among the policy's names.
//!
//! Where a key stands is known from counting: the depth from the brackets of whole blocks, and a frame for each container that a key on
//! some path led to. Arrays on the way have a frame but their elements have none: an object's keys are one deeper than the array. Only an
//! array directly within such an array breaks this, and is left to the member walker.
//!
//! Whether a removed member had others before it is seen from what stands before its key: a brace, or a comma that stays.

use super::header::{self, too_long};
use super::index::is_scalar;
use super::pass::ones;
use super::state::{Defect, Frame, Mode};
use super::walk::Walker;
use crate::json::bits::{Classify, WINDOW};
use crate::json::policy::Target;

impl<C: Classify> Walker<'_, C> {
    #[inline(always)]
    pub(super) fn candidates(&mut self, at: usize) -> Result<usize, Defect> {
        let data = self.index.data;
        let mut begin = at;
        let mut number = at / 64;
        // What of the block is still to come.
        let mut from = u64::MAX << (at % 64);
        let mut depth = self.state.depth;
        let mut top = *self.frame();
        let mut deaf = self.deaf(top);
        loop {
            if !self.index.has(number) {
                self.state.depth = depth;
                return self.cut(begin);
            }
            let floor = watched(top);
            // Keys of the frame are at `floor`, or deeper where unnamed members lead to the same state again.
            (number, from, depth) = self.index.quiet(number, from, depth, floor, deaf);
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
            if depth >= watched(top) + ones(closes) {
                depth = depth + ones(opens) - ones(closes);
            } else {
                let mut brackets = opens | closes;
                while brackets != 0 {
                    let at = 64 * number + brackets.trailing_zeros() as usize;
                    let close = closes >> (at % 64) & 1 == 1;
                    brackets &= brackets - 1;
                    if depth != top.depth {
                        depth = if close { depth - 1 } else { depth + 1 };
                    } else if close {
                        if (data[at] == b'}') != top.object {
                            return Err(Defect(at));
                        }
                        self.state.frames.pop();
                        let Some(&outer) = self.state.frames.last() else {
                            self.state.candidates = false;
                            self.state.mode = Mode::Root;
                            return Ok(at + 1);
                        };
                        depth -= 1;
                        top = outer;
                        deaf = self.deaf(top);
                    } else if !top.object && data[at] == b'[' {
                        self.state.depth = depth;
                        self.state.candidates = false;
                        self.state.floor = self.state.frames.len();
                        return self.enter(top.node, at);
                    } else {
                        depth += 1;
                    }
                }
            }
            if event == 0 {
                number += 1;
                from = u64::MAX;
                continue;
            }
            from = !(below | event);

            // The closing quote of a string: is it a key?
            let end = 64 * number + event.trailing_zeros() as usize;
            let colon = match data.get(end + 1) {
                Some(b':') => end + 1,
                Some(b'!'..) => continue,
                _ => match self.next(end + 1) {
                    Some((colon, b':')) => colon,
                    Some(_) => continue,
                    None => {
                        self.state.depth = depth;
                        return self.cut(begin);
                    }
                },
            };
            // In which state?
            let members = top.depth + u64::from(!top.object);
            let mut node = &self.policy.nodes[top.node as usize];
            if depth != members {
                match node.default.node() {
                    Some(deeper) if depth > members => node = &self.policy.nodes[deeper as usize],
                    _ => continue,
                }
            }
            // A key that began in an earlier chunk was looked at there.
            let before = self.index.window.quotes[slot] & below;
            let quote = if before != 0 {
                64 * number + 63 - before.leading_zeros() as usize
            } else {
                match self.index.quote_before(end) {
                    Some(quote) => quote,
                    None => continue,
                }
            };
            let target = node.find_raw(&data[quote + 1..end], self.index.escaped(end));
            if target == Target::KEEP {
                continue;
            }

            let next = match (self.next(colon + 1), target.node()) {
                (Some((at, b'{' | b'[')), Some(node)) => {
                    self.state.depth = depth;
                    let next = self.enter(node, at)?;
                    depth += 1;
                    top = *self.frame();
                    deaf = self.deaf(top);
                    next
                }
                (Some(_), Some(_)) => continue,
                (None, Some(_)) => {
                    self.state.depth = depth;
                    self.state.mode = Mode::Value(target);
                    return Ok(data.len());
                }
                (value, None) => {
                    self.state.depth = depth;
                    let next = self.remove(quote, value)?;
                    if self.state.mode != Mode::Candidates {
                        return Ok(next);
                    }
                    next
                }
            };
            begin = next;
            number = next / 64;
            from = u64::MAX << (next % 64);
        }
    }

    /// With so many containers open, no key means anything in this frame.
    #[inline(always)]
    fn deaf(&self, top: Frame) -> u64 {
        match self.policy.nodes[top.node as usize].default.node() {
            Some(_) => i64::MAX as u64,
            None => watched(top) + 1,
        }
    }

    /// Removes the member whose key begins at `quote`. Returns where to go on, in the state's mode.
    #[inline(always)]
    fn remove(&mut self, quote: usize, value: Option<(usize, u8)>) -> Result<usize, Defect> {
        let head = match self.index.data[..quote].last() {
            Some(b',') if quote != self.first_key => quote - 1,
            _ => self.head(quote).ok_or(Defect(quote))?,
        };
        self.state.first = head == quote;
        let Some((at, first)) = value else {
            self.state.out.stop(head);
            self.state.mode = Mode::Value(Target::DROP);
            return Ok(self.index.data.len());
        };
        if !matches!(first, b'{' | b'[' | b'"') && !is_scalar(first) {
            return self.no_value(head, at, Target::DROP);
        }
        self.state.out.stop(head);
        match self.pass(at, first)? {
            Some(end) => Ok(self.done(end)),
            None => Ok(self.index.data.len()),
        }
    }

    /// Where the header of the key at `quote` begins: at its comma, or with itself where it is the first, or all before it were removed.
    /// `None`: this is no key.
    fn head(&self, quote: usize) -> Option<usize> {
        if quote == self.first_key {
            return Some(quote);
        }
        let mut at = quote;
        while at > 0 {
            at -= 1;
            match self.index.data[at] {
                b' ' | b'\n' | b'\r' | b'\t' => {}
                b',' => return Some(at),
                b'{' => return Some(quote),
                _ => return None,
            }
        }
        // The chunk begins here: a comma would have been held back with the header.
        Some(quote)
    }

    /// The chunk ends. What may be the beginning of a member's header is held back; nothing before `begin` is.
    #[cold]
    #[inline(never)]
    fn cut(&mut self, begin: usize) -> Result<usize, Defect> {
        let data = self.index.data;
        let end = data.len();
        self.state.mode = Mode::Candidates;
        let key = if self.index.finish() {
            self.index.quote_before(end).filter(|quote| !too_long(self.policy, end - quote - 1))
        } else {
            match data[begin..].iter().rposition(|byte| !matches!(byte, b' ' | b'\n' | b'\r' | b'\t')).map(|at| begin + at) {
                Some(comma) if data[comma] == b',' => return header::hold(self.policy, self.state, data, comma).map(|()| end),
                Some(quote) if data[quote] == b'"' => {
                    self.index.quote_before(quote).filter(|begin| !too_long(self.policy, quote - begin - 1))
                }
                _ => None,
            }
        };
        // In defective input the last quote may be escaped, outside of any string: then the one found may be long gone.
        if let Some(head) = key.filter(|&quote| quote >= begin).and_then(|quote| self.head(quote)) {
            header::hold(self.policy, self.state, data, head)?;
        }
        Ok(end)
    }

    /// At the quote of a key, all members before which were removed with their commas.
    pub(super) fn first_candidate(&mut self, at: usize) -> usize {
        self.state.out.resume(at);
        self.first_key = at;
        self.state.mode = Mode::Candidates;
        at
    }
}

/// At this depth and below, brackets are looked at one by one: they may end the frame, or open an array right in an array.
#[inline(always)]
fn watched(top: Frame) -> u64 {
    top.depth + u64::from(!top.object)
}
