//! Follows the policy through one chunk.
//!
//! Two walkers share this loop. The *member walker* (see `members.rs`) visits every member of the containers on its way, and knows at each
//! the state of the policy. The *candidate walker* (see `candidates.rs`) visits only keys that a policy that only drops may name. Both pass
//! over strings, scalars and containers that stay or go whole in the same way (`pass.rs`), and leave what a chunk's end cuts to `cut.rs`.

use super::header;
use super::index::{Index, is_scalar};
use super::state::{Defect, Frame, MAX_FRAMES, Mode, State};
use crate::json::bits::{Classify, Work};
use crate::json::policy::Policy;
use crate::json::white;

/// A chunk to walk through.
pub(super) struct Walk<'a> {
    pub(super) policy: &'a Policy,
    pub(super) state: &'a mut State,
    pub(super) data: &'a [u8],
}

impl Work for Walk<'_> {
    type Output = Result<(), Defect>;

    #[inline(always)]
    fn run<C: Classify>(self, classify: C) -> Self::Output {
        let Self { policy, state, data } = self;
        let mut carry = state.carry;
        let mut walker =
            Walker { index: Index::new(classify, data, &mut carry, policy.prefilter.as_ref()), policy, state, first_key: usize::MAX };
        walker.run()?;
        walker.index.finish();
        state.carry = carry;
        Ok(())
    }
}

/// Where to go on.
pub(super) enum Step {
    /// At this place, in the state's mode.
    To(usize),
    /// With the member or element whose header begins at the first place (with the comma, if one is to go with it), itself at the second,
    /// where this byte stands.
    Member(usize, usize, u8),
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
            let step = match self.state.mode {
                Mode::After => self.after(at)?,
                Mode::Open => self.open(at)?,
                Mode::Swallow { comma } => self.swallow(at, comma)?,
                Mode::Candidates => Step::To(self.candidates(at)?),
                mode => Step::To(self.resume(at, mode)?),
            };
            at = match step {
                Step::To(at) => at,
                Step::Member(head, at, first) => self.members(head, at, first)?,
            };
        }
        Ok(())
    }

    /// Goes on with what an earlier chunk began.
    #[inline(never)]
    fn resume(&mut self, at: usize, mode: Mode) -> Result<usize, Defect> {
        let end = self.index.data.len();
        let passed = match mode {
            Mode::Container { depth, close } => self.container(at, depth, close)?,
            Mode::String => self.string(at),
            Mode::Scalar => self.scalar(at),
            Mode::Root => return self.root(at),
            Mode::Header => return header::resume(self.policy, self.state, self.index.data, at),
            Mode::LongKey(target) => {
                let Some(quote) = self.index.quote(at) else { return Ok(end) };
                self.state.mode = Mode::Colon(target);
                return Ok(quote + 1);
            }
            Mode::Colon(target) => match self.next(at) {
                None => None,
                Some((at, b':')) => {
                    self.state.mode = Mode::Value(target);
                    return Ok(at + 1);
                }
                Some((at, _)) => return Err(Defect(at)),
            },
            Mode::Value(target) => match self.next(at) {
                None => None,
                Some((at, first)) => return self.late_value(at, first, target),
            },
            Mode::Rest | Mode::After | Mode::Open | Mode::Swallow { .. } | Mode::Candidates => None,
        };
        Ok(passed.map_or(end, |at| self.done(at)))
    }

    /// The next byte that is no white space, and its place.
    #[inline(always)]
    pub(super) fn next(&self, at: usize) -> Option<(usize, u8)> {
        white::next(self.index.data, at)
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
    pub(super) fn frame(&mut self) -> &mut Frame {
        self.state.frames.last_mut().expect("within a container there is its frame")
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

    /// After a removed first member: white space and a comma go with it, so that the next one is the first.
    fn swallow(&mut self, at: usize, comma: bool) -> Result<Step, Defect> {
        match self.next(at) {
            None => Ok(Step::To(self.index.data.len())),
            Some((at, b',')) if !comma => {
                self.state.mode = Mode::Swallow { comma: true };
                Ok(Step::To(at + 1))
            }
            Some((at, b'}' | b']')) if !comma => {
                self.state.out.resume(at);
                self.state.mode = if self.state.candidates { Mode::Candidates } else { Mode::After };
                Ok(Step::To(at))
            }
            Some((at, first)) if comma && !self.state.candidates => Ok(Step::Member(at, at, first)),
            Some((at, b'"')) if comma => Ok(Step::To(self.first_candidate(at))),
            Some((at, _)) => Err(Defect(at)),
        }
    }
}
