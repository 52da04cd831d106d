//! The walker for policies that only drop: looks at nothing but keys that may be among the policy's names.
//!
//! Where a key stands is known from counting: the depth from the brackets of whole blocks, and a frame for each container that a key on
//! some path led to. Arrays on the way have a frame but their elements have none: an object's keys are one deeper than the array. Only an
//! array directly within such an array breaks this, and is left to the member walker.
//!
//! Whether a removed member had others before it is seen from what stands before its key: a brace, or a comma that stays.

use super::bits::Classify;
use super::header::{self, too_long};
use super::state::{Frame, Mode};
use super::walk::{Defect, Walker};
use crate::trim::policy::Target;

/// What a candidate turned out to be.
enum Found {
    /// Nothing to do.
    Nothing,
    /// Go on here, in the state's mode.
    Next(usize),
}

impl<C: Classify> Walker<'_, C> {
    #[inline(always)]
    pub(super) fn candidates(&mut self, at: usize) -> Result<usize, Defect> {
        let mut begin = at;
        'begin: loop {
            let mut number = begin / 64;
            // Brackets and candidates of the block that are still to come.
            let mut from = u64::MAX << (begin % 64);
            let mut fresh = from;
            let mut depth = self.state.depth;
            let mut top = *self.state.frames.last().expect("within a container there is its frame");
            loop {
                let Some(block) = self.index.block(number) else {
                    self.state.depth = depth;
                    return self.cut(begin);
                };
                let nested = if top.object { 0 } else { block.nested };
                let events = (block.candidates | nested) & fresh;
                let (opens, closes) = (block.open & from, block.close & from);
                if events == 0 && depth >= top.depth + ones(closes) {
                    depth = depth + ones(opens) - ones(closes);
                    number += 1;
                    (from, fresh) = (u64::MAX, u64::MAX);
                    continue;
                }

                // To the first event: all ones below it, everywhere where there is none.
                let event = events & events.wrapping_neg();
                let below = event.wrapping_sub(1);
                if depth < top.depth + ones(closes & below)
                    && let Some(end) = closing(top.depth, depth, opens & below, closes & below)
                {
                    let end = 64 * number + end as usize;
                    if (self.index.data[end] == b'}') != top.object {
                        return Err(Defect(end));
                    }
                    self.state.frames.pop();
                    let Some(&outer) = self.state.frames.last() else {
                        self.state.candidates = false;
                        self.state.mode = Mode::Root;
                        return Ok(end + 1);
                    };
                    depth = top.depth - 1;
                    top = outer;
                    number = (end + 1) / 64;
                    from = u64::MAX << ((end + 1) % 64);
                    fresh = from;
                    continue;
                }
                depth = depth + ones(opens & below) - ones(closes & below);
                if event == 0 {
                    number += 1;
                    (from, fresh) = (u64::MAX, u64::MAX);
                    continue;
                }
                from &= !below;
                fresh = from & !event;

                let place = 64 * number + event.trailing_zeros() as usize;
                if nested & event != 0 {
                    if depth == top.depth {
                        self.state.depth = depth;
                        self.state.candidates = false;
                        self.state.floor = self.state.frames.len();
                        return self.enter(top.node, place);
                    }
                } else if let Found::Next(next) = self.candidate(place, depth, top, begin)? {
                    if self.state.mode == Mode::Candidates && next < self.index.data.len() {
                        begin = next;
                        continue 'begin;
                    }
                    return Ok(next);
                }
            }
        }
    }

    /// Looks at the string that ends right before `place`, in a container at `depth`.
    #[inline(always)]
    fn candidate(&mut self, place: usize, depth: u64, top: Frame, begin: usize) -> Result<Found, Defect> {
        let data = self.index.data;
        let members = top.depth + u64::from(!top.object);
        let node = if depth == members {
            top.node
        } else if depth < members {
            return Ok(Found::Nothing);
        } else {
            match self.policy.nodes[top.node as usize].default.node() {
                Some(node) => node,
                None => return Ok(Found::Nothing),
            }
        };
        let Some((colon, byte)) = self.next(place) else {
            self.state.depth = depth;
            return self.cut(begin).map(Found::Next);
        };
        if byte != b':' {
            return Ok(Found::Nothing);
        }
        // A key that began in an earlier chunk was looked at there.
        let Some(quote) = self.index.quote_before(place - 1) else {
            return Ok(Found::Nothing);
        };
        let raw = &data[quote + 1..place - 1];
        // At a block's beginning the string's end may be behind the window.
        let escaped = if place.is_multiple_of(64) { raw.contains(&b'\\') } else { self.index.escaped(place - 1) };
        let target = self.policy.nodes[node as usize].find_raw(raw, escaped);
        if target == Target::KEEP {
            return Ok(Found::Nothing);
        }
        self.state.depth = depth;
        let value = self.next(colon + 1);
        if target == Target::DROP {
            let Some(head) = self.head(quote) else {
                return Err(Defect(quote));
            };
            self.state.first = head == quote;
            return match value {
                Some((at, first)) => self.value(head, at, first, target).map(Found::Next),
                None => {
                    self.state.out.stop(head);
                    self.state.mode = Mode::Value(target);
                    Ok(Found::Next(data.len()))
                }
            };
        }
        match (value, target.node()) {
            (Some((at, b'{' | b'[')), Some(node)) => self.enter(node, at).map(Found::Next),
            (Some(_), _) => Ok(Found::Nothing),
            (None, _) => {
                self.state.mode = Mode::Value(target);
                Ok(Found::Next(data.len()))
            }
        }
    }

    /// Where the header of the key at `quote` begins: at its comma, or with itself where it is the first, or all before it were removed.
    /// `None`: this is no key.
    #[inline(always)]
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
    pub(super) fn first_candidate(&mut self, at: usize) -> Result<usize, Defect> {
        self.state.out.resume(at);
        self.first_key = at;
        self.state.mode = Mode::Candidates;
        Ok(at)
    }
}

#[inline(always)]
fn ones(bits: u64) -> u64 {
    u64::from(bits.count_ones())
}

/// The place of the close that ends the container at depth `top`, where `depth` are open before the brackets given.
#[inline(always)]
fn closing(top: u64, depth: u64, opens: u64, mut closes: u64) -> Option<u32> {
    let mut closed = 0;
    while closes != 0 {
        let bit = closes & closes.wrapping_neg();
        if depth + ones(opens & (bit - 1)) - closed == top {
            return Some(bit.trailing_zeros());
        }
        closed += 1;
        closes &= closes - 1;
    }
    None
}
