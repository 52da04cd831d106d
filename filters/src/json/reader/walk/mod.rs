//! Follows the grammar and the plan through one chunk.
//!
//! The two loops that do nearly all the work read as many members as the chunk has: `members` looks at each, `whole` only checks what stays or
//! goes whole. Where the chunk's end cuts something, `slow` takes it up with the next chunk, piece by piece. Nothing here calls itself.

mod between;
mod members;
mod slow;
mod whole;

use super::fault::{Defect, What};
use super::found::{Element, Marks};
use super::plan::{Plan, Stage};
use super::scalar::Scalar;
use super::state::{Frame, Mode, State};
use super::strings::Strings;
use super::{MOST_DEPTH, MOST_TOUCHED};
use crate::json::bits::{Classify, Work};
use crate::json::policy::Target;
pub(super) use slow::{end, ended};

/// A chunk to walk through, before which there were `base` bytes. Fails with a place in the whole text.
pub(super) struct Walk<'a> {
    pub(super) plan: &'a Plan,
    pub(super) state: &'a mut State,
    pub(super) data: &'a [u8],
    pub(super) base: u64,
}

impl Work for Walk<'_> {
    type Output = Result<(), (u64, What)>;

    #[inline(always)]
    fn run<C: Classify>(self, classify: C) -> Self::Output {
        let Self { plan, state, data, base } = self;
        let mut held = state.strings;
        let strings = Strings::new(classify, data, &mut held).map_err(|before| (base - before as u64, What::Utf8))?;
        let mut walker = Walker { strings, plan, state, base };
        walker.run().map_err(|Defect(at, what)| (base + at as u64, what))?;
        state.strings = held;
        Ok(())
    }
}

struct Walker<'a, C> {
    strings: Strings<'a, C>,
    plan: &'a Plan,
    state: &'a mut State,
    base: u64,
}

/// What becomes of a value.
enum Fate {
    Stays,
    Goes,
    /// Its members or elements are looked at.
    Inside,
    Refused(What),
}

impl<C: Classify> Walker<'_, C> {
    /// Each step takes the place it begins at and returns where it ends; at the chunk's end the mode says what would come next.
    #[inline(always)]
    fn run(&mut self) -> Result<(), Defect> {
        let end = self.strings.data.len();
        let mut at = 0;
        while at < end {
            at = match self.state.mode {
                Mode::First | Mode::After if self.state.watched() => self.members(at)?,
                Mode::First | Mode::After => self.whole(at)?,
                mode => self.slow(at, mode)?,
            };
        }
        self.strings.finish()
    }

    #[inline(always)]
    fn place(&self, at: usize) -> u64 {
        self.base + at as u64
    }

    #[inline(always)]
    fn frame(&mut self) -> &mut Frame {
        self.state.frames.last_mut().expect("within a container there is its frame")
    }

    /// The next element of an array at this stage begins. Returns where it leads.
    #[inline(always)]
    fn element(&mut self, stage: &Stage, byte: u8) -> Target {
        let State { frames, found, .. } = &mut *self.state;
        let frame = frames.last_mut().expect("within a container there is its frame");
        let index = frame.elements;
        frame.elements += 1;
        // Of a scalar it is noted only if it is marked: there may be many.
        if self.plan.marks && matches!(byte, b'{' | b'[') {
            frame.element = found.element(frame.within, index);
        }
        stage.element(index)
    }

    /// A container begins that stays or goes whole.
    #[inline(always)]
    fn enter(&mut self, at: usize, byte: u8) -> Result<(), Defect> {
        if !self.state.open(byte == b'{') {
            return Err(Defect(at, What::TooDeep));
        }
        self.state.mode = Mode::First;
        Ok(())
    }

    /// A member or element leads to this stage. Its header begins at `head`, itself at `at` with `byte`; what is between its quotes is its name.
    #[inline(always)]
    fn arrive(&mut self, number: u32, head: u64, name: (u64, u64), at: usize, byte: u8) -> Fate {
        let stage = &self.plan.stages[number as usize];
        if !stage.scalars() && !matches!(byte, b'{' | b'[') {
            self.state.output.stop(head);
            return Fate::Goes;
        }
        self.state.output.resume(head);
        self.frame().kept = true;
        if let Some(new) = stage.name {
            self.state.output.rename(name, new, self.plan.names[new as usize].len());
            self.state.touched += 1;
        }
        self.stay(number, stage, at, byte)
    }

    /// A value that leads to this stage stays.
    #[inline(always)]
    fn stay(&mut self, number: u32, stage: &Stage, at: usize, byte: u8) -> Fate {
        let marks = self.mark(stage, at, byte);
        if (marks.count != 0 || stage.name.is_some()) && self.state.touched > MOST_TOUCHED {
            return Fate::Refused(What::TooMany);
        }
        let object = byte == b'{';
        if object && stage.objects || byte == b'[' && stage.arrays {
            if !self.state.open(object) {
                return Fate::Refused(What::TooDeep);
            }
            let element = self.state.frames.last().map_or(Element::NONE, |frame| frame.element);
            self.state.frames.push(Frame { stage: number, object, kept: false, elements: 0, within: element, element, marks });
            return Fate::Inside;
        }
        self.state.marks = marks;
        Fate::Stays
    }

    /// Notes where a value begins, if its place is wanted.
    #[inline(always)]
    fn mark(&mut self, stage: &Stage, at: usize, byte: u8) -> Marks {
        let each: &[u16] = if byte == b'[' { &[] } else { &stage.each };
        if stage.whole.is_empty() && each.is_empty() {
            return Marks::default();
        }
        let begin = self.state.output.place(self.base + at as u64);
        let State { frames, found, touched, .. } = &mut *self.state;
        let element = match frames.last_mut() {
            None => Element::NONE,
            Some(frame) => {
                if !frame.object && !matches!(byte, b'{' | b'[') {
                    frame.element = found.element(frame.within, frame.elements - 1);
                }
                frame.element
            }
        };
        let marks = found.begin(&stage.whole, each, begin, element);
        *touched += marks.count as usize;
        marks
    }

    /// The marks of the value end that was passed over, before `at`.
    #[cold]
    #[inline(never)]
    fn end_marks(&mut self, at: usize) {
        let end = self.state.output.place(self.base + at as u64);
        let marks = std::mem::take(&mut self.state.marks);
        self.state.found.end(marks, end);
    }

    fn end_root(&mut self, at: usize) {
        self.state.mode = Mode::End;
        self.state.root.1 = self.state.output.place(self.place(at));
    }

    /// A value that was passed over ends before `at`.
    #[inline(always)]
    fn done(&mut self, at: usize) -> usize {
        self.state.mode = Mode::After;
        if self.state.watched() {
            if self.state.marks.count != 0 {
                self.end_marks(at);
            }
            match self.state.frames.last() {
                Some(frame) if frame.kept => self.state.output.resume(self.base + at as u64),
                Some(_) => {}
                None => self.end_root(at),
            }
        }
        at
    }

    /// A number or word that is to be read byte by byte.
    #[cold]
    #[inline(never)]
    fn begin_scalar(&mut self, at: usize) -> usize {
        self.state.scalar = Scalar::Start;
        self.state.mode = Mode::InScalar;
        at
    }
}

const _: () = assert!(MOST_DEPTH.is_multiple_of(64));
