//! Follows the policy through one chunk.
//!
//! Two walkers share this loop. The *member walker* visits every member of the containers on its way, and knows at each the state of the
//! policy. The *candidate walker* (see `candidates.rs`) visits only keys that a policy that only drops may name. Strings, scalars and
//! containers that stay or go whole are passed over in the same way by both.

use super::bits::Classify;
use super::header::{self, LONGEST_KEY, too_long};
use super::index::{Index, skip_white};
use super::state::{Frame, MAX_FRAMES, Mode, State};
use crate::trim::policy::{Policy, Target};

/// The input is not JSON at this byte of the chunk, or too deep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Defect(pub(super) usize);

/// The state that applies to the members of the innermost open container, if any does.
pub(super) fn context(policy: &Policy, state: &State) -> Option<u32> {
    let frame = state.frames.last()?;
    if !state.candidates {
        return Some(frame.node);
    }
    let members = frame.depth + u64::from(!frame.object);
    match state.depth {
        depth if depth == members => Some(frame.node),
        depth if depth > members => policy.nodes[frame.node as usize].default.node(),
        _ => None,
    }
}

#[inline(always)]
pub(crate) fn walk<C: Classify>(classify: C, policy: &Policy, state: &mut State, data: &[u8]) -> Result<(), Defect> {
    let mut carry = state.carry;
    let mut walker =
        Walker { index: Index::new(classify, data, &mut carry, policy.prefilter.as_ref()), policy, state, first_key: usize::MAX };
    walker.run()?;
    walker.index.finish();
    state.carry = carry;
    Ok(())
}

pub(super) struct Walker<'a, C> {
    pub(super) index: Index<'a, C>,
    pub(super) policy: &'a Policy,
    pub(super) state: &'a mut State,
    /// In this chunk, the key before which the candidate walker removed all members with their commas.
    pub(super) first_key: usize,
}

impl<C: Classify> Walker<'_, C> {
    /// Each step takes the place it begins at and returns where it ends; at the chunk's end the mode says what would come next.
    #[inline(always)]
    fn run(&mut self) -> Result<(), Defect> {
        let end = self.index.data.len();
        let mut at = 0;
        while at < end {
            at = match self.state.mode {
                Mode::After => self.after(at)?,
                Mode::Candidates => self.candidates(at)?,
                Mode::Open => self.open(at)?,
                Mode::Container { depth, close } => self.container(at, depth, close)?,
                Mode::String => self.string(at),
                Mode::Scalar => self.scalar(at),
                Mode::Swallow { comma } => self.swallow(at, comma)?,
                Mode::Root => self.root(at)?,
                Mode::Header => header::resume(self.policy, self.state, self.index.data, at)?,
                Mode::LongKey(target) => match self.index.quote(at) {
                    Some(quote) => {
                        self.state.mode = Mode::Colon(target);
                        quote + 1
                    }
                    None => end,
                },
                Mode::Colon(target) => match self.next(at) {
                    None => end,
                    Some((at, b':')) => {
                        self.state.mode = Mode::Value(target);
                        at + 1
                    }
                    Some((at, _)) => return Err(Defect(at)),
                },
                Mode::Value(target) => match self.next(at) {
                    None => end,
                    Some((at, first)) => self.late_value(at, first, target)?,
                },
                Mode::Rest => end,
            };
        }
        Ok(())
    }

    /// The next byte that is no white space, and its place.
    #[inline(always)]
    pub(super) fn next(&self, at: usize) -> Option<(usize, u8)> {
        let at = skip_white(self.index.data, at);
        self.index.data.get(at).map(|&byte| (at, byte))
    }

    fn root(&mut self, at: usize) -> Result<usize, Defect> {
        match self.next(at) {
            None => Ok(self.index.data.len()),
            Some((at, b'{' | b'[')) if self.policy.prefilter.is_some() => {
                self.state.candidates = true;
                self.state.depth = 0;
                self.enter(0, at)
            }
            Some((at, b'{' | b'[')) => self.enter(0, at),
            Some((at, b'"')) => {
                self.state.mode = Mode::String;
                Ok(at + 1)
            }
            Some((at, first)) if is_scalar(first) => {
                self.state.mode = Mode::Scalar;
                Ok(at)
            }
            Some((at, _)) => Err(Defect(at)),
        }
    }

    #[inline(always)]
    fn frame(&mut self) -> &mut Frame {
        self.state.frames.last_mut().expect("within a container there is its frame")
    }

    /// After the opening bracket of the innermost frame.
    #[inline(always)]
    fn open(&mut self, at: usize) -> Result<usize, Defect> {
        match self.next(at) {
            None => Ok(self.index.data.len()),
            Some((at, b'}' | b']')) => self.leave(at),
            Some((at, first)) => self.member(at, at, first),
        }
    }

    /// After a value: to the next one's header, and through it.
    #[inline(always)]
    fn after(&mut self, at: usize) -> Result<usize, Defect> {
        let end = self.index.data.len();
        match self.next(at) {
            None => Ok(end),
            Some((comma, b',')) => {
                let found = self.next(comma + 1);
                if self.state.out.on() {
                    match found {
                        Some((at, first)) => self.member(comma, at, first),
                        None => header::hold(self.policy, self.state, self.index.data, comma).map(|()| end),
                    }
                } else {
                    // All before it was removed, so the comma and the space after it go too: as if the next member were the first.
                    match found {
                        Some((at, first)) => self.member(at, at, first),
                        None => {
                            self.state.mode = Mode::Swallow { comma: true };
                            Ok(end)
                        }
                    }
                }
            }
            Some((at, b'}' | b']')) => {
                self.state.out.resume(at);
                self.leave(at)
            }
            Some((at, _)) => Err(Defect(at)),
        }
    }

    /// At the closing bracket of the innermost frame.
    #[inline(always)]
    fn leave(&mut self, at: usize) -> Result<usize, Defect> {
        let frame = self.state.frames.pop().expect("within a container there is its frame");
        if (self.index.data[at] == b'}') != frame.object {
            return Err(Defect(at));
        }
        self.state.mode = if self.state.frames.len() > self.state.floor {
            Mode::After
        } else if self.state.floor == 0 {
            Mode::Root
        } else {
            self.state.floor = 0;
            self.state.candidates = true;
            Mode::Candidates
        };
        Ok(at + 1)
    }

    /// Begins to look at the members of the container that opens at `at`.
    #[inline(always)]
    pub(super) fn enter(&mut self, node: u32, at: usize) -> Result<usize, Defect> {
        if self.state.frames.len() == MAX_FRAMES {
            return Err(Defect(at));
        }
        if self.state.candidates {
            self.state.depth += 1;
            self.state.mode = Mode::Candidates;
        } else {
            self.state.mode = Mode::Open;
        }
        let object = self.index.data[at] == b'{';
        self.state.frames.push(Frame { node, object, kept: false, depth: self.state.depth });
        Ok(at + 1)
    }

    /// A member, or an element of an array, at `at`, where `first` stands. Its header begins at `head`: with the comma if one is to go with it.
    #[inline(always)]
    fn member(&mut self, head: usize, at: usize, first: u8) -> Result<usize, Defect> {
        let data = self.index.data;
        let frame = *self.frame();
        if !frame.object {
            return self.value(head, at, first, Target(frame.node));
        }
        if first != b'"' {
            return self.defect(head, at);
        }
        let node = &self.policy.nodes[frame.node as usize];
        let Some(quote) = self.index.quote(at + 1) else {
            return self.cut_key(head, at, data.len(), node.default);
        };
        let raw = &data[at + 1..quote];
        let Some((colon, byte)) = self.next(quote + 1) else {
            return self.cut_key(head, at, quote, node.default);
        };
        if byte != b':' {
            return self.defect(head, colon);
        }
        let target = node.find_raw(raw, self.index.escaped(quote));
        match self.next(colon + 1) {
            Some((at, first)) => self.value(head, at, first, target),
            None => self.cut_value(head, target, raw.len()),
        }
    }

    /// No value stands at `at`. What is before it shares the fate that the name alone decides, as it would if a chunk ended there.
    #[cold]
    #[inline(never)]
    fn no_value(&mut self, head: usize, at: usize, target: Target) -> Result<usize, Defect> {
        match target.node() {
            None if target == Target::DROP => self.state.out.stop(head),
            Some(node) if !self.policy.nodes[node as usize].scalars => self.state.out.stop(head),
            _ => self.state.out.resume(head),
        }
        Err(Defect(at))
    }

    /// What begins at `head` is no member's header: it goes out only where nothing is hidden.
    #[cold]
    #[inline(never)]
    fn defect(&mut self, head: usize, at: usize) -> Result<usize, Defect> {
        if self.policy.hides() {
            self.state.out.stop(head)
        } else {
            self.state.out.resume(head)
        }
        Err(Defect(at))
    }

    /// The chunk ends within the key at `at`, or before its colon. The key ends at `quote`, or goes on where that is the chunk's end.
    #[cold]
    #[inline(never)]
    fn cut_key(&mut self, head: usize, at: usize, quote: usize, default: Target) -> Result<usize, Defect> {
        let end = self.index.data.len();
        match default {
            Target::KEEP | Target::DROP if too_long(self.policy, quote - at - 1) => {
                if default == Target::KEEP {
                    self.state.out.resume(head)
                } else {
                    self.state.out.stop(head)
                }
                self.state.mode = if quote == end { Mode::LongKey(default) } else { Mode::Colon(default) };
            }
            _ if quote - at > LONGEST_KEY => return self.defect(head, at),
            _ => header::hold(self.policy, self.state, self.index.data, head)?,
        }
        Ok(end)
    }

    /// The chunk ends between a colon and its value.
    #[cold]
    #[inline(never)]
    fn cut_value(&mut self, head: usize, target: Target, key: usize) -> Result<usize, Defect> {
        match target.node() {
            Some(node) if !self.policy.nodes[node as usize].scalars => {
                if key > LONGEST_KEY {
                    return self.defect(head, head);
                }
                header::hold(self.policy, self.state, self.index.data, head)?;
            }
            _ => {
                if target == Target::DROP {
                    self.state.out.stop(head)
                } else {
                    self.state.out.resume(head)
                }
                self.state.mode = Mode::Value(target);
            }
        }
        Ok(self.index.data.len())
    }

    /// A value whose header was in another chunk.
    #[cold]
    #[inline(never)]
    fn late_value(&mut self, at: usize, first: u8, target: Target) -> Result<usize, Defect> {
        if self.state.header.pending() {
            let container = matches!(first, b'{' | b'[');
            let stays = match target.node() {
                None => target == Target::KEEP,
                Some(node) => container || self.policy.nodes[node as usize].scalars,
            };
            // What is no value at all shows nothing hidden where scalars stay: `value` finds the defect then, as it would without a cut.
            if stays { header::release(self.state, at) } else { header::forget(self.state) }
        }
        self.value(at, at, first, target)
    }

    /// A value at `at`, where `first` stands; its header begins at `head` and shares its fate.
    #[inline(always)]
    pub(super) fn value(&mut self, head: usize, at: usize, first: u8, target: Target) -> Result<usize, Defect> {
        let container = matches!(first, b'{' | b'[');
        if !container && first != b'"' && !is_scalar(first) {
            return self.no_value(head, at, target);
        }
        let stays = match target.node() {
            None => target == Target::KEEP,
            Some(node) if container => {
                self.state.out.resume(head);
                self.frame().kept = true;
                return self.enter(node, at);
            }
            Some(node) => self.policy.nodes[node as usize].scalars,
        };
        if stays {
            self.state.out.resume(head);
            if self.state.candidates {
                self.state.mode = Mode::Candidates;
                return Ok(at);
            }
            self.frame().kept = true;
        } else {
            self.state.out.stop(head);
        }
        if container {
            // Both closing brackets are two above the opening one.
            self.container(at + 1, 1, first + 2)
        } else if first == b'"' {
            Ok(self.string(at + 1))
        } else {
            Ok(self.scalar(at))
        }
    }

    /// The rest of a string.
    #[inline(always)]
    fn string(&mut self, at: usize) -> usize {
        match self.index.quote(at) {
            Some(quote) => self.done(quote + 1),
            None => {
                self.state.mode = Mode::String;
                self.index.data.len()
            }
        }
    }

    /// The rest of a number or a word.
    #[inline(always)]
    fn scalar(&mut self, at: usize) -> usize {
        let rest = &self.index.data[at..];
        match rest.iter().position(|&byte| !is_scalar(byte)) {
            Some(length) => self.done(at + length),
            None => {
                self.state.mode = Mode::Scalar;
                self.index.data.len()
            }
        }
    }

    /// The rest of a container within which `depth` are open, itself included; `close` ends it.
    #[inline(always)]
    fn container(&mut self, at: usize, mut depth: u64, close: u8) -> Result<usize, Defect> {
        let mut number = at / 64;
        let mut from = u64::MAX << (at % 64);
        while let Some(block) = self.index.block(number) {
            let (opens, closes) = (block.open & from, block.close & from);
            from = u64::MAX;
            if u64::from(closes.count_ones()) < depth {
                depth = depth + u64::from(opens.count_ones()) - u64::from(closes.count_ones());
                number += 1;
                continue;
            }
            let mut rest = closes;
            while rest != 0 {
                let bit = rest & rest.wrapping_neg();
                let below = bit - 1;
                // Closes before this one number `depth` at most, else an earlier one would have ended it.
                let open = depth + u64::from((opens & below).count_ones()) - u64::from((closes & below).count_ones());
                if open == 1 {
                    let end = 64 * number + bit.trailing_zeros() as usize;
                    return if self.index.data[end] == close { Ok(self.done(end + 1)) } else { Err(Defect(end)) };
                }
                rest &= rest - 1;
            }
            depth = depth + u64::from(opens.count_ones()) - u64::from(closes.count_ones());
            number += 1;
        }
        self.state.mode = Mode::Container { depth, close };
        Ok(self.index.data.len())
    }

    /// A value ends before `at`.
    #[inline(always)]
    fn done(&mut self, at: usize) -> usize {
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

    /// After a removed first member: white space and a comma go with it, so that the next one is the first.
    fn swallow(&mut self, at: usize, comma: bool) -> Result<usize, Defect> {
        match self.next(at) {
            None => Ok(self.index.data.len()),
            Some((at, b',')) if !comma => {
                self.state.mode = Mode::Swallow { comma: true };
                Ok(at + 1)
            }
            Some((at, b'}' | b']')) if !comma => {
                self.state.out.resume(at);
                self.state.mode = if self.state.candidates { Mode::Candidates } else { Mode::After };
                Ok(at)
            }
            Some((at, first)) if comma && !self.state.candidates => self.member(at, at, first),
            Some((at, b'"')) if comma => self.first_candidate(at),
            Some((at, _)) => Err(Defect(at)),
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
