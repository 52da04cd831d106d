//! A text that was found right, as it is after the plan: in parts that lie where they were read.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::found::{Finds, Found};
use super::output::Part;
use super::plan::Plan;
use super::state::State;
use crate::json::splice::{Gather, MemberName, Proved};

/// One JSON value, proved, as the plan left it. Places in it are counted in bytes of what is left.
#[derive(Debug)]
pub struct Document {
    plan: Arc<Plan>,
    /// Of the text, each with how many bytes there are before it.
    chunks: Vec<(u64, Bytes)>,
    /// Each with its place.
    parts: Vec<(u64, Part)>,
    length: u64,
    root: Range<u64>,
    found: Finds,
}

/// A change to a value of a [`Document`].
#[derive(Clone, Debug)]
pub enum Change<'a> {
    /// A marked object gets a member at its end.
    Add(Found, &'a MemberName, Cow<'a, Proved>),
    /// A marked value gives way to another.
    Replace(Found, Cow<'a, Proved>),
}

impl Change<'_> {
    fn at(&self) -> u64 {
        match self {
            Self::Add(found, ..) => found.end - 1,
            Self::Replace(found, _) => found.begin,
        }
    }

    fn end(&self) -> u64 {
        match self {
            Self::Add(found, ..) | Self::Replace(found, _) => found.end,
        }
    }
}

impl Document {
    pub(super) fn new(plan: Arc<Plan>, chunks: Vec<(u64, Bytes)>, state: State, end: u64) -> Self {
        let (parts, length) = state.output.finish(end);
        Self { plan, chunks, parts, length, root: state.root.0..state.root.1, found: state.found }
    }

    /// The value, without white space around it.
    pub fn whole(&self) -> Proved {
        self.cut(self.root.clone())
    }

    /// The marked values that stay, in the order of their beginnings.
    pub fn found(&self) -> &[Found] {
        &self.found.all
    }

    /// Those of one mark.
    pub fn marked(&self, number: u16) -> impl Iterator<Item = &Found> {
        self.found.all.iter().filter(move |found| found.number == number)
    }

    /// Of the arrays that a marked value is in, from the outermost on, the indexes in the text of the elements that lead to it.
    pub fn passed(&self, found: &Found) -> Vec<u32> {
        self.found.passed(found)
    }

    /// How many arrays a marked value is in: as many as [`passed`](Self::passed) has elements.
    pub fn depth(&self, found: &Found) -> usize {
        self.found.depth(found)
    }

    /// A marked value.
    pub fn get(&self, found: &Found) -> Proved {
        self.cut(found.range())
    }

    /// The bytes of a marked value: where they lie, if that is in one piece.
    pub fn bytes(&self, found: &Found) -> Cow<'_, [u8]> {
        self.lying(found).map_or_else(|| Cow::Owned(self.get(found).into_bytes().into()), Cow::Borrowed)
    }

    /// All of it, where it is one piece of one chunk: where the value begins in that.
    fn in_one(&self) -> Option<(usize, &Bytes)> {
        match (&self.parts[..], &self.chunks[..]) {
            (&[(0, Part::Text { from, .. })], [(before, chunk)]) => Some(((from - before) as usize, chunk)),
            _ => None,
        }
    }

    /// The bytes of a marked value that lies in one piece.
    fn lying(&self, found: &Found) -> Option<&[u8]> {
        if let Some((from, chunk)) = self.in_one() {
            return chunk.get(from + found.begin as usize..from + found.end as usize);
        }
        let index = self.parts.partition_point(|(begin, _)| *begin <= found.begin).checked_sub(1)?;
        let &(begin, part) = self.parts.get(index)?;
        let end = self.parts.get(index + 1).map_or(self.length, |&(end, _)| end);
        let (Part::Text { from, .. }, true) = (part, found.end <= end) else { return None };
        let at = from + (found.begin - begin);
        let (before, chunk) = self.chunk(at)?;
        let skip = (at - before) as usize;
        chunk.get(skip..skip + (found.end - found.begin) as usize)
    }

    /// The value with members added at the end of objects: each is a marked object of this document, a name and a value. What is no object
    /// is passed over. A member of the same name that is there already stays before the new one: a plan can drop it, and [`Document::changed`]
    /// can give it another value.
    pub fn with_members<'a>(&self, members: impl IntoIterator<Item = (&'a Found, &'a MemberName, Proved)>) -> Proved {
        let mut changes: Vec<_> = members.into_iter().map(|(found, name, value)| Change::Add(*found, name, Cow::Owned(value))).collect();
        self.changed(self.root.clone(), &mut changes)
    }

    /// Where in the result the whole value stands, without white space around it.
    pub fn range(&self) -> Range<u64> {
        self.root.clone()
    }

    /// What is in a range that is one value's, with these changes to what is in it. They are sorted by this.
    ///
    /// A range must be that of a [`Found`] or of the whole. Changes outside of it, in what another change has replaced, and additions to what
    /// is no object are passed over.
    pub fn changed(&self, range: Range<u64>, changes: &mut Vec<Change<'_>>) -> Proved {
        changes.retain(|change| match change {
            Change::Add(found, ..) => self.byte(found.begin) == Some(b'{'),
            Change::Replace(..) => true,
        });
        changes.sort_by_key(Change::at);
        let mut gather = Gather::new();
        let (mut at, mut added) = (range.start, None);
        for change in changes.iter() {
            if change.at() < at || change.end() > range.end {
                continue;
            }
            match change {
                Change::Add(found, name, value) => {
                    let brace = found.end - 1;
                    self.gather(at..brace, &mut gather);
                    at = brace;
                    if added.replace(brace) == Some(brace) || !self.is_empty(found) {
                        gather.push(Bytes::from_static(b","));
                    }
                    gather.push(name.bytes());
                    gather.extend(value.gather());
                }
                Change::Replace(found, value) => {
                    self.gather(at..found.begin, &mut gather);
                    gather.extend(value.gather());
                    at = found.end;
                }
            }
        }
        self.gather(at..range.end, &mut gather);
        Proved::new(gather)
    }

    /// Whether a marked container has nothing in it.
    pub fn is_empty(&self, found: &Found) -> bool {
        let mut place = found.end - 1;
        while place > found.begin + 1 {
            match self.byte(place - 1) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => place -= 1,
                _ => return false,
            }
        }
        true
    }

    fn cut(&self, range: Range<u64>) -> Proved {
        let mut gather = Gather::new();
        self.gather(range, &mut gather);
        Proved::new(gather)
    }

    /// The byte at this place.
    fn byte(&self, place: u64) -> Option<u8> {
        if let Some((from, chunk)) = self.in_one() {
            return chunk.get(from + place as usize).filter(|_| place < self.length).copied();
        }
        let (begin, part) = self.parts.get(self.parts.partition_point(|(begin, _)| *begin <= place).checked_sub(1)?)?;
        let offset = place - begin;
        match part {
            Part::Name(name) => self.plan.names[*name as usize].get(offset as usize).copied(),
            Part::Text { from, .. } => {
                let at = from + offset;
                let (before, chunk) = self.chunk(at)?;
                chunk.get((at - before) as usize).copied()
            }
        }
    }

    fn chunk(&self, at: u64) -> Option<&(u64, Bytes)> {
        self.chunks.get(self.chunks.partition_point(|(before, _)| *before <= at).checked_sub(1)?)
    }

    /// Adds what is between two places.
    fn gather(&self, range: Range<u64>, gather: &mut Gather) {
        if let Some((from, chunk)) = self.in_one() {
            let end = range.end.min(self.length);
            if range.start < end {
                gather.push(chunk.slice(from + range.start as usize..from + end as usize));
            }
            return;
        }
        let first = self.parts.partition_point(|(begin, _)| *begin <= range.start).saturating_sub(1);
        for (index, &(begin, part)) in self.parts.iter().enumerate().skip(first) {
            if begin >= range.end {
                break;
            }
            let end = self.parts.get(index + 1).map_or(self.length, |&(end, _)| end);
            let (skip, until) = (range.start.saturating_sub(begin), range.end.min(end).saturating_sub(begin));
            if skip >= until {
                continue;
            }
            match part {
                Part::Name(name) => gather.push(self.plan.names[name as usize].slice(skip as usize..until as usize)),
                Part::Text { from, .. } => self.text(from + skip..from + until, gather),
            }
        }
    }

    /// Adds a part of the text.
    fn text(&self, range: Range<u64>, gather: &mut Gather) {
        let first = self.chunks.partition_point(|(before, _)| *before <= range.start).saturating_sub(1);
        for (before, chunk) in &self.chunks[first..] {
            if *before >= range.end {
                break;
            }
            let skip = range.start.saturating_sub(*before) as usize;
            let until = chunk.len().min((range.end - before) as usize);
            gather.push(chunk.slice(skip..until));
        }
    }
}
