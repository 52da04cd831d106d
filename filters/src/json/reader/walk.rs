//! Follows the grammar and the plan through one chunk.
//!
//! The two loops that do nearly all the work read as many members as the chunk has: `members` looks at each, `whole` only checks what stays or
//! goes whole. Where the chunk's end cuts something, `slow` takes it up with the next chunk, piece by piece. Nothing here calls itself.

use super::MOST_DEPTH;
use super::fault::{Defect, What};
use super::found::{Element, Marks};
use super::plan::{Plan, Stage};
use super::scalar::{self, Next, Scalar};
use super::state::{Frame, Mode, State};
use super::strings::Strings;
use crate::json::bits::{Classify, Work};
use crate::json::policy::Target;
use crate::json::white::next;

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

/// What comes after a name.
enum Colon {
    /// A colon, and a value that begins here with this byte.
    Value(usize, u8),
    /// Something else, here.
    Missing(usize),
    /// The chunk's end, before what this mode is about.
    Cut(Mode),
}

/// What comes after the name that ends with the quote at `quote`.
#[inline(always)]
fn after_name(data: &[u8], quote: usize) -> Colon {
    match data.get(quote + 1..).and_then(|rest| rest.first_chunk()) {
        Some(&[b':', byte]) if byte > b' ' => return Colon::Value(quote + 2, byte),
        _ => {}
    }
    match next(data, quote + 1) {
        Some((colon, b':')) => match next(data, colon + 1) {
            Some((at, byte)) => Colon::Value(at, byte),
            None => Colon::Cut(Mode::Value),
        },
        Some((at, _)) => Colon::Missing(at),
        None => Colon::Cut(Mode::Colon),
    }
}

/// After a value that ends before `at`: the first byte of the next one, where only a comma stands between.
#[inline(always)]
fn minified(data: &[u8], at: usize) -> Option<u8> {
    match data.get(at..)?.first_chunk() {
        Some(&[b',', byte]) if byte > b' ' => Some(byte),
        _ => None,
    }
}

/// Why no more of a container is read.
enum Stop {
    /// It ends before this.
    Closed(usize),
    /// A number or word that begins here is to be read byte by byte.
    Scalar(usize),
    /// The chunk ends, before what this mode is about.
    Cut(Mode),
}

/// The bracket that closes an object, or an array.
#[inline(always)]
fn closing(object: bool) -> u8 {
    if object { b'}' } else { b']' }
}

/// What becomes of a value.
enum Fate {
    Stays,
    Goes,
    /// Its members or elements are looked at.
    Inside,
    TooDeep,
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

    /// The innermost container's members or elements, each looked at.
    #[inline(always)]
    fn members(&mut self, mut at: usize) -> Result<usize, Defect> {
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
                        target = self.element(stage);
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
                                Fate::TooDeep => return Err(Defect(at, What::TooDeep)),
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

    /// The rest of a container of which nothing is looked at, from where something in it begins or ended.
    #[inline(always)]
    fn whole(&mut self, at: usize) -> Result<usize, Defect> {
        let mut depth = self.state.depth;
        let end = self.whole_from(at, &mut depth);
        self.state.depth = depth;
        match end? {
            Stop::Closed(at) => Ok(self.done(at)),
            Stop::Scalar(at) => Ok(self.begin_scalar(at)),
            Stop::Cut(mode) => {
                self.state.mode = mode;
                Ok(self.strings.data.len())
            }
        }
    }

    #[inline(always)]
    fn whole_from(&mut self, mut at: usize, depth: &mut usize) -> Result<Stop, Defect> {
        let data = self.strings.data;
        let floor = self.state.frames.len();
        let mut first = self.state.mode == Mode::First;
        let mut close = closing(self.state.kind(*depth));
        'next: loop {
            // To the member or element.
            let Some((place, mut byte)) = next(data, at) else { return Ok(Stop::Cut(if first { Mode::First } else { Mode::After })) };
            at = place;
            if byte == close {
                at += 1;
                *depth -= 1;
                if *depth == floor {
                    return Ok(Stop::Closed(at));
                }
                first = false;
                close = closing(self.state.kind(*depth));
                continue;
            }
            if !first {
                if byte != b',' {
                    return Err(Defect(place, What::NoComma));
                }
                match next(data, place + 1) {
                    Some(next) => (at, byte) = next,
                    None => return Ok(Stop::Cut(if close == b'}' { Mode::Name } else { Mode::Value })),
                }
            }
            first = false;
            'member: loop {
                if close == b'}' {
                    if byte != b'"' {
                        return Err(Defect(at, What::NoName));
                    }
                    let Some(quote) = self.strings.quote() else { return Ok(Stop::Cut(Mode::InName)) };
                    match after_name(data, quote) {
                        Colon::Value(place, value) => (at, byte) = (place, value),
                        Colon::Missing(at) => return Err(Defect(at, What::NoColon)),
                        Colon::Cut(mode) => return Ok(Stop::Cut(mode)),
                    }
                }
                match byte {
                    b'"' => match self.strings.quote() {
                        Some(quote) => at = quote + 1,
                        None => return Ok(Stop::Cut(Mode::InString)),
                    },
                    b'{' | b'[' => {
                        if !self.state.note(*depth, byte == b'{') {
                            return Err(Defect(at, What::TooDeep));
                        }
                        *depth += 1;
                        // Both closing brackets are two above the opening one.
                        close = byte + 2;
                        at += 1;
                        match data.get(at) {
                            Some(&inner) if inner > b' ' && inner != close => {
                                byte = inner;
                                continue 'member;
                            }
                            _ => {
                                first = true;
                                continue 'next;
                            }
                        }
                    }
                    _ => match scalar::end(data, at, byte) {
                        Some(end) => at = end,
                        None => return Ok(Stop::Scalar(at)),
                    },
                }
                // Minified, and not at the chunk's end: as many containers as end here, and on to the next member or element.
                loop {
                    match data.get(at..).and_then(|rest| rest.first_chunk()) {
                        Some(&[b',', next]) if next > b' ' => {
                            (at, byte) = (at + 1, next);
                            continue 'member;
                        }
                        Some(&[byte, _]) if byte == close => {
                            at += 1;
                            *depth -= 1;
                            if *depth == floor {
                                return Ok(Stop::Closed(at));
                            }
                            close = closing(self.state.kind(*depth));
                        }
                        _ => continue 'next,
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn frame(&mut self) -> &mut Frame {
        self.state.frames.last_mut().expect("within a container there is its frame")
    }

    /// The next element of an array at this stage begins. Returns where it leads.
    #[inline(always)]
    fn element(&mut self, stage: &Stage) -> Target {
        let State { frames, found, .. } = &mut *self.state;
        let frame = frames.last_mut().expect("within a container there is its frame");
        let index = frame.elements;
        frame.elements += 1;
        if self.plan.marks {
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
        }
        self.stay(number, stage, at, byte)
    }

    /// A value that leads to this stage stays.
    #[inline(always)]
    fn stay(&mut self, number: u32, stage: &Stage, at: usize, byte: u8) -> Fate {
        let marks = self.mark(stage, at, byte);
        let object = byte == b'{';
        if object && stage.objects || byte == b'[' && stage.arrays {
            if !self.state.open(object) {
                return Fate::TooDeep;
            }
            let element = self.within();
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
        let element = self.within();
        self.state.found.begin(&stage.whole, each, begin, element)
    }

    /// The element that what begins now is in.
    #[inline(always)]
    fn within(&self) -> Element {
        self.state.frames.last().map_or(Element::NONE, |frame| frame.element)
    }

    /// The marks of the value end that was passed over, before `at`.
    #[cold]
    #[inline(never)]
    fn end_marks(&mut self, at: usize) {
        let end = self.state.output.place(self.base + at as u64);
        let marks = std::mem::take(&mut self.state.marks);
        self.state.found.end(marks, end);
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

    /// Remembers a part of a name, as far as it may be one that is looked for: in full it is that one or none.
    fn hold(&mut self, part: &[u8]) {
        let held = &mut self.state.header.held;
        let room = (6 * self.plan.longest + 1).saturating_sub(held.len());
        held.extend_from_slice(&part[..part.len().min(room)]);
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

    /// A number or word that is to be read byte by byte.
    #[cold]
    #[inline(never)]
    fn begin_scalar(&mut self, at: usize) -> usize {
        self.state.scalar = Scalar::Start;
        self.state.mode = Mode::InScalar;
        at
    }

    /// One piece of a value, or of what comes before it.
    #[inline(never)]
    fn slow(&mut self, at: usize, mode: Mode) -> Result<usize, Defect> {
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
                target = self.element(&plan.stages[stage as usize]);
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
                        Fate::TooDeep => return Err(Defect(at, What::TooDeep)),
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
            Fate::TooDeep => Err(Defect(at, What::TooDeep)),
            Fate::Stays | Fate::Goes => self.pass(at, byte),
        }
    }
}

const _: () = assert!(MOST_DEPTH.is_multiple_of(64));

/// Whether the text may end in this state, and what is wrong if not.
pub(super) fn ended(state: &State) -> Result<(), What> {
    match state.mode {
        Mode::End => Ok(()),
        Mode::InScalar if state.depth == 0 && state.scalar.is_complete() => Ok(()),
        Mode::Root => Err(What::Nothing),
        _ => Err(What::Early),
    }
}

/// The end of a value that ends with the text, where only that shows its end.
pub(super) fn end(state: &mut State, length: u64) {
    if state.mode == Mode::InScalar {
        state.mode = Mode::End;
        let end = state.output.place(length);
        state.found.end(std::mem::take(&mut state.marks), end);
        state.root.1 = end;
    }
}
