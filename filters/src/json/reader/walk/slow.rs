//! What a chunk's end cuts, taken up with the next chunk piece by piece; and how the text may end.

use super::{Fate, Walker};
use crate::json::bits::Classify;
use crate::json::policy::Target;
use crate::json::reader::fault::{Defect, What};
use crate::json::reader::scalar::Next;
use crate::json::reader::state::{Mode, State};
use crate::json::white::next;

impl<C: Classify> Walker<'_, C> {
    /// One piece of a value, or of what comes before it.
    #[inline(never)]
    pub(super) fn slow(&mut self, at: usize, mode: Mode) -> Result<usize, Defect> {
        let data = self.strings.data;
        match mode {
            Mode::InString => return Ok(self.strings.quote().map_or(data.len(), |quote| self.done(quote + 1))),
            Mode::InScalar => return self.slow_scalar(at),
            Mode::InName => return Ok(self.slow_name(at)),
            _ => {}
        }
        let Some((at, byte)) = next(data, at) else { return Ok(data.len()) };
        match mode {
            Mode::Root => self.root(at, byte),
            Mode::Name if byte != b'"' => Err(Defect(at, What::NoName)),
            Mode::Name => {
                if self.state.watched() {
                    let head = if self.frame().kept { self.state.header.comma } else { self.place(at) };
                    (self.state.header.head, self.state.header.name.0) = (head, self.place(at + 1));
                    self.state.header.held.clear();
                }
                self.state.mode = Mode::InName;
                Ok(at + 1)
            }
            Mode::Colon if byte != b':' => Err(Defect(at, What::NoColon)),
            Mode::Colon => {
                self.state.mode = Mode::Value;
                Ok(at + 1)
            }
            Mode::Value => self.slow_value(at, byte),
            _ => Err(Defect(at, What::Second)),
        }
    }

    fn slow_name(&mut self, at: usize) -> usize {
        let data = self.strings.data;
        let quote = self.strings.quote();
        let end = quote.unwrap_or(data.len());
        if self.state.watched() {
            self.hold(&data[at..end]);
        }
        let Some(quote) = quote else { return end };
        if self.state.watched() {
            self.state.header.name.1 = self.place(quote);
            let lookup = &self.plan.stages[self.frame().stage as usize].lookup;
            let held = &self.state.header.held;
            // One that was not held whole is too long for any name.
            let target = if held.len() > 6 * self.plan.longest { lookup.default } else { lookup.find_raw(held, held.contains(&b'\\')) };
            self.state.header.target = target;
        }
        self.state.mode = Mode::Colon;
        quote + 1
    }

    fn slow_scalar(&mut self, at: usize) -> Result<usize, Defect> {
        let data = self.strings.data;
        for (index, &byte) in data[at..].iter().enumerate() {
            match self.state.scalar.next(byte) {
                Next::On(scalar) => self.state.scalar = scalar,
                Next::Over => return Ok(self.done(at + index)),
                Next::Wrong(what) => return Err(Defect(at + index, what)),
            }
        }
        Ok(data.len())
    }

    fn slow_value(&mut self, at: usize, byte: u8) -> Result<usize, Defect> {
        if self.state.watched() {
            let mut target = self.state.header.target;
            let mut head = self.state.header.head;
            if !self.state.is_object() {
                let plan = self.plan;
                head = if self.frame().kept { self.state.header.comma } else { self.place(at) };
                let stage = self.frame().stage;
                target = self.element(&plan.stages[stage as usize], byte);
            }
            match target.node() {
                None if target == Target::KEEP => {
                    self.state.output.resume(head);
                    self.frame().kept = true;
                }
                None => self.state.output.stop(head),
                Some(stage) => {
                    let name = self.state.header.name;
                    match self.arrive(stage, head, name, at, byte) {
                        Fate::Inside => {
                            self.state.mode = Mode::First;
                            return Ok(at + 1);
                        }
                        Fate::Refused(what) => return Err(Defect(at, what)),
                        Fate::Stays | Fate::Goes => {}
                    }
                }
            }
        }
        self.pass(at, byte)
    }

    /// Begins to pass over a value.
    fn pass(&mut self, at: usize, byte: u8) -> Result<usize, Defect> {
        match byte {
            b'"' => {
                self.state.mode = Mode::InString;
                Ok(at + 1)
            }
            b'{' | b'[' => self.enter(at, byte).map(|()| at + 1),
            _ => Ok(self.begin_scalar(at)),
        }
    }

    /// The whole document's value. A scalar stays whatever the plan says.
    fn root(&mut self, at: usize, byte: u8) -> Result<usize, Defect> {
        self.state.root.0 = self.place(at);
        let plan = self.plan;
        match self.stay(0, &plan.stages[0], at, byte) {
            Fate::Inside => {
                self.state.mode = Mode::First;
                Ok(at + 1)
            }
            Fate::Refused(what) => Err(Defect(at, what)),
            Fate::Stays | Fate::Goes => self.pass(at, byte),
        }
    }

    /// Remembers a part of a name, as far as it may be one that is looked for: in full it is that one or none.
    pub(super) fn hold(&mut self, part: &[u8]) {
        let held = &mut self.state.header.held;
        let room = (6 * self.plan.longest + 1).saturating_sub(held.len());
        held.extend_from_slice(&part[..part.len().min(room)]);
    }
}

/// Whether the text may end in this state, and what is wrong if not.
pub(in crate::json::reader) fn ended(state: &State) -> Result<(), What> {
    match state.mode {
        Mode::End => Ok(()),
        Mode::InScalar if state.depth == 0 && state.scalar.is_complete() => Ok(()),
        Mode::Root => Err(What::Nothing),
        _ => Err(What::Early),
    }
}

/// The end of a value that ends with the text, where only that shows its end.
pub(in crate::json::reader) fn end(state: &mut State, length: u64) {
    if state.mode == Mode::InScalar {
        state.mode = Mode::End;
        let end = state.output.place(length);
        state.found.end(std::mem::take(&mut state.marks), end);
        state.root.1 = end;
    }
}
