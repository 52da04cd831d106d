//! What calls with `into` put into the answers of others, once all calls have ended.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell};
use std::ops::Range;

use frontgate_filters::json::{Change, Document, Found, Proved};

use super::Into;
use super::find::Known;
use super::results::{Key, Outcome, placed, within};
use crate::compose::values;

/// What is put in, and how much that is.
pub(super) struct Rendering {
    /// For each call, what there is for each of its values, in one piece each.
    entries: Vec<OnceCell<Vec<Option<Proved>>>>,
    /// Bytes that may still be put in.
    left: Cell<usize>,
    is_over: Cell<bool>,
}

impl Rendering {
    /// For so many calls; at most this many bytes are put in.
    pub(super) fn new(calls: usize, most: usize) -> Self {
        Self { entries: (0..calls).map(|_| OnceCell::new()).collect(), left: Cell::new(most), is_over: Cell::new(false) }
    }

    /// Whether there was more to put in than is allowed.
    pub(super) fn is_over(&self) -> bool {
        self.is_over.get()
    }

    /// What is in a range of an answer of this call, with what others put into it.
    pub(super) fn changed<'k>(&'k self, known: &Known<'k>, call: usize, document: &Document, range: Range<u64>) -> Proved {
        let mut changes = Vec::new();
        for &other in &known.aggregate.calls[call].gets {
            self.add(known, other, document, &range, &mut changes);
        }
        document.changed(range, &mut changes)
    }

    /// Adds what `call` puts into these objects.
    fn add<'k>(&'k self, known: &Known<'k>, call: usize, document: &Document, range: &Range<u64>, changes: &mut Vec<Change<'k>>) {
        let written = &known.aggregate.calls[call];
        let Some((each, into)) = written.each.as_ref().and_then(|each| Some((each, each.into.as_ref()?))) else { return };
        let otherwise = || written.otherwise.as_ref().map(|document| document.whole());
        let (answers, usual) = match &known.outcomes[call] {
            Outcome::Each(answers) => {
                let nothing = each.many.then(|| Proved::list([]));
                (Some(answers), otherwise().or(nothing))
            }
            Outcome::One(_) => (None, otherwise()),
            Outcome::Pending | Outcome::Skipped | Outcome::Failed => return,
        };
        let entries = answers.map(|answers| {
            self.entries[call].get_or_init(|| {
                let entry = |entry| known.entry(call, answers, entry).map(Proved::compact);
                answers.entries.iter().map(entry).collect()
            })
        });
        for (place, object) in placed(document, into.objects, Some(range.clone())) {
            let usual = || usual.clone().map(Cow::Owned);
            let of_key = |found: &Found| {
                let found = || entries?.get(answers?.by_value.get(&Key::of(document.bytes(found))?)?)?.as_ref();
                found().map(Cow::Borrowed).or_else(usual)
            };
            let mut keys = within(document, place, each.mark).peekable();
            let value = match keys.peek().copied() {
                None if is_list(into, document, object) => Some(Cow::Owned(Proved::list([]))),
                None => usual(),
                Some(first) if document.depth(first) > document.depth(object) + into.picked => match self.list(keys.map(of_key)) {
                    Some(list) => Some(Cow::Owned(list)),
                    None => return,
                },
                // Of two members of one name neither is the one.
                Some(first) => {
                    if keys.nth(1).is_none() {
                        of_key(first)
                    } else {
                        usual()
                    }
                }
            };
            let Some(value) = value else { continue };
            let mut existing = within(document, place, into.existing).peekable();
            if existing.peek().is_none() {
                if !self.takes(value.len() + 64) {
                    return;
                }
                changes.push(Change::Add(*object, &into.name, value));
                continue;
            }
            for member in existing {
                if !self.takes(value.len() + 64) {
                    return;
                }
                changes.push(Change::Replace(*member, value.clone()));
            }
        }
    }

    /// The results for a list of values in its order, null where there is none; nothing where that is more than may be put in.
    fn list<'k>(&self, results: impl Iterator<Item = Option<Cow<'k, Proved>>>) -> Option<Proved> {
        let (mut elements, mut length) = (Vec::new(), 0);
        for result in results {
            let element = result.unwrap_or_else(|| Cow::Owned(Proved::null()));
            length += element.len() + 64;
            if length > self.left.get() {
                self.is_over.set(true);
                return None;
            }
            elements.push(element);
        }
        Some(Proved::list(elements.iter().map(|element| &**element)))
    }

    /// Takes from what may be put in; whether there was enough.
    fn takes(&self, length: usize) -> bool {
        match self.left.get().checked_sub(length) {
            Some(left) => self.left.set(left),
            None => self.is_over.set(true),
        }
        !self.is_over()
    }
}

/// Whether there is an array where the value of this object would be, or on the way there: what belongs to it is a list, even if it is empty.
fn is_list(into: &Into, document: &Document, object: &Found) -> bool {
    let Some(way) = into.way.as_ref().filter(|_| document.get(object).first() == b'{') else { return false };
    let is_array = |read: Document| read.found().iter().any(|found| read.get(found).first() == b'[');
    values::read(way, document.get(object).to_bytes()).is_some_and(is_array)
}
