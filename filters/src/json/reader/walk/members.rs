//! A container each of whose members or elements is looked at.

use super::between::{Colon, after_name, closing, minified};
use super::{Fate, Walker};
use crate::json::bits::Classify;
use crate::json::policy::Target;
use crate::json::reader::fault::{Defect, What};
use crate::json::reader::scalar;
use crate::json::reader::state::Mode;
use crate::json::white::next;

impl<C: Classify> Walker<'_, C> {
    /// The innermost container's members or elements, each looked at.
    #[inline(always)]
    pub(super) fn members(&mut self, mut at: usize) -> Result<usize, Defect> {
        let data = self.strings.data;
        let plan = self.plan;
        let mut first = self.state.mode == Mode::First;
        'frame: loop {
            let Some(&frame) = self.state.frames.last() else { return Ok(at) };
            let stage = &plan.stages[frame.stage as usize];
            let mut kept = frame.kept;
            let close = closing(frame.object);
            'next: loop {
                // To the member or element.
                let Some((place, mut value)) = next(data, at) else {
                    self.state.mode = if first { Mode::First } else { Mode::After };
                    return Ok(data.len());
                };
                let mut head = place;
                at = place;
                if value == close {
                    self.leave(place);
                    first = false;
                    at = place + 1;
                    continue 'frame;
                } else if !first {
                    if value != b',' {
                        return Err(Defect(place, What::NoComma));
                    }
                    match next(data, place + 1) {
                        Some(next) => (at, value) = next,
                        None => {
                            self.state.header.comma = self.place(place);
                            self.state.mode = if frame.object { Mode::Name } else { Mode::Value };
                            return Ok(data.len());
                        }
                    }
                    // If all before it went, the comma and the space after it go too: as if this were the first.
                    if !kept {
                        head = at;
                    }
                }
                first = false;
                loop {
                    let target;
                    let mut name = (0, 0);
                    if frame.object {
                        if value != b'"' {
                            return Err(Defect(at, What::NoName));
                        }
                        let begin = at + 1;
                        let Some(quote) = self.strings.quote() else { return Ok(self.cut_name(head, begin)) };
                        target = stage.lookup.find_raw(&data[begin..quote], self.strings.slashed(quote));
                        name = (begin, quote);
                        match after_name(data, quote) {
                            Colon::Value(place, byte) => (at, value) = (place, byte),
                            Colon::Cut(mode) => return Ok(self.cut_header(head, name, target, mode)),
                            Colon::Missing(at) => return Err(Defect(at, What::NoColon)),
                        }
                    } else {
                        target = self.element(stage, value);
                    }

                    match target.node() {
                        None if target == Target::KEEP => {
                            self.state.output.resume(self.base + head as u64);
                            if !kept {
                                kept = true;
                                self.frame().kept = true;
                            }
                        }
                        None => self.state.output.stop(self.base + head as u64),
                        Some(stage) => {
                            let name = (self.place(name.0), self.place(name.1));
                            match self.arrive(stage, self.place(head), name, at, value) {
                                Fate::Inside => {
                                    first = true;
                                    at += 1;
                                    continue 'frame;
                                }
                                Fate::Stays => kept = true,
                                Fate::Goes => {}
                                Fate::Refused(what) => return Err(Defect(at, what)),
                            }
                        }
                    }
                    match value {
                        b'"' => match self.strings.quote() {
                            Some(quote) => at = quote + 1,
                            None => {
                                self.state.mode = Mode::InString;
                                return Ok(data.len());
                            }
                        },
                        b'{' | b'[' => {
                            self.enter(at, value)?;
                            return Ok(at + 1);
                        }
                        _ => match scalar::end(data, at, value) {
                            Some(end) => at = end,
                            None => return Ok(self.begin_scalar(at)),
                        },
                    }
                    if self.state.marks.count != 0 {
                        self.end_marks(at);
                    }
                    if kept {
                        self.state.output.resume(self.base + at as u64);
                    }
                    let Some(byte) = minified(data, at) else { continue 'next };
                    head = if kept { at } else { at + 1 };
                    (at, value) = (at + 1, byte);
                }
            }
        }
    }

    /// At the closing bracket of the innermost frame.
    #[inline(always)]
    fn leave(&mut self, at: usize) {
        self.state.output.resume(self.base + at as u64);
        let frame = self.state.frames.pop().expect("within a container there is its frame");
        self.state.depth -= 1;
        if frame.marks.count != 0 {
            self.state.marks = frame.marks;
            self.end_marks(at + 1);
        }
        if self.state.frames.is_empty() {
            self.end_root(at + 1);
        } else {
            self.state.mode = Mode::After;
        }
    }

    /// The chunk ends within the name that begins at `begin`.
    #[cold]
    #[inline(never)]
    fn cut_name(&mut self, head: usize, begin: usize) -> usize {
        let data = self.strings.data;
        let (head, name) = (self.place(head), self.place(begin));
        let header = &mut self.state.header;
        (header.head, header.name.0) = (head, name);
        header.held.clear();
        self.hold(&data[begin..]);
        self.state.mode = Mode::InName;
        data.len()
    }

    /// The chunk ends after the name.
    #[cold]
    #[inline(never)]
    fn cut_header(&mut self, head: usize, name: (usize, usize), target: Target, mode: Mode) -> usize {
        let (head, name) = (self.place(head), (self.place(name.0), self.place(name.1)));
        let header = &mut self.state.header;
        (header.head, header.name, header.target) = (head, name, target);
        self.state.mode = mode;
        self.strings.data.len()
    }
}
