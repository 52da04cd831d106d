//! What calls came to.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use frontgate_filters::json::{Document, Found};

/// How a call ended.
#[derive(Debug, Default)]
pub(super) enum Outcome {
    /// It has not.
    #[default]
    Pending,
    /// It was not made, and need not be.
    Skipped,
    /// It failed, and nothing stands in for it.
    Failed,
    /// With one answer, or what stands in for it.
    One(One),
    /// With an answer for each value.
    Each(Answers),
}

/// One answer.
#[derive(Clone, Debug)]
pub(super) struct One {
    pub(super) document: Arc<Document>,
    /// Whether it stands in for an answer: it is what counts, and no part of it.
    pub(super) stands_in: bool,
}

/// Answers by the values that they are for.
#[derive(Debug, Default)]
pub(super) struct Answers {
    pub(super) documents: Vec<Arc<Document>>,
    /// What was found for each value, in the order of the values.
    pub(super) entries: Vec<Entry>,
    /// The entry of each value.
    pub(super) by_value: Index,
}

/// What was found for a value.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    /// Nothing, and that is no failure.
    Nothing,
    /// The call for it failed.
    Failed,
    One(Element),
    Many(Vec<Element>),
}

/// An answer, or an element of one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element {
    /// The index of the document.
    pub(super) document: usize,
    /// None is the whole answer.
    pub(super) found: Option<Found>,
}

/// A value that calls are made for: texts and other scalars are never the same, however they are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key<'v> {
    is_text: bool,
    /// By this an element of a batch's answer says that it is for it.
    text: Cow<'v, [u8]>,
}

impl<'v> Key<'v> {
    /// Of a value's JSON; null is none.
    pub(super) fn of(json: Cow<'v, [u8]>) -> Option<Self> {
        let is_text = json.first() == Some(&b'"');
        if json.first() == Some(&b'n') {
            return None;
        }
        let text = match json {
            json if !is_text => json,
            // What is no text, as half a surrogate pair, stands for itself.
            json if json.contains(&b'\\') => serde_json::from_slice::<String>(&json).map_or(json, |text| text.into_bytes().into()),
            Cow::Borrowed(json) => Cow::Borrowed(&json[1..json.len() - 1]),
            Cow::Owned(json) => json[1..json.len() - 1].to_vec().into(),
        };
        Some(Self { is_text, text })
    }
}

/// Which of several values each is, in the order in which they came. Upstreams choose them, and there are as many as a call is made for at most.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// By the text, the numbers of a scalar and of a text that is written so.
    numbers: HashMap<Box<[u8]>, [Option<u32>; 2], foldhash::quality::RandomState>,
    count: u32,
}

impl Index {
    /// Adds a value; false where it is there already.
    pub(super) fn insert(&mut self, key: Key<'_>) -> bool {
        let number = match self.numbers.get_mut(&*key.text) {
            Some(numbers) => &mut numbers[usize::from(key.is_text)],
            None => &mut self.numbers.entry(key.text.into()).or_default()[usize::from(key.is_text)],
        };
        let is_new = number.is_none();
        if is_new {
            *number = Some(self.count);
            self.count += 1;
        }
        is_new
    }

    /// The number of a value.
    pub(super) fn get(&self, key: &Key<'_>) -> Option<usize> {
        self.numbers.get(&*key.text)?[usize::from(key.is_text)].map(|number| number as usize)
    }

    /// The numbers of the values that are written so, whether as a text or not.
    pub(super) fn written(&self, key: &Key<'_>) -> impl Iterator<Item = usize> {
        self.numbers.get(&*key.text).into_iter().flatten().flatten().map(|number| *number as usize)
    }
}

/// The values of a mark that lie in this range, or anywhere, each with its place among all that were found.
pub(super) fn placed(document: &Document, mark: u16, range: Option<Range<u64>>) -> impl Iterator<Item = (usize, &Found)> {
    let all = document.found();
    let (begin, end) = match range {
        Some(range) => {
            let begin = all.partition_point(|found| found.range().start < range.start);
            (begin, begin + all[begin..].partition_point(|found| found.range().start < range.end))
        }
        None => (0, all.len()),
    };
    let all = all[begin..end].iter().enumerate().map(move |(index, found)| (begin + index, found));
    all.filter(move |(_, found)| found.number == mark)
}

/// The values of a mark that lie in this range, or anywhere.
pub(super) fn marked(document: &Document, mark: u16, range: Option<Range<u64>>) -> impl Iterator<Item = &Found> {
    placed(document, mark, range).map(|(_, found)| found)
}

/// The values of a mark that lie in the value of this place, or are that one.
pub(super) fn within(document: &Document, place: usize, mark: u16) -> impl Iterator<Item = &Found> {
    let all = document.found();
    let Range { start, end } = all[place].range();
    let before = all[..place].iter().rev().take_while(|found| found.range().start == start).count();
    all[place - before..].iter().take_while(move |found| found.range().start < end).filter(move |found| found.number == mark)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use frontgate_filters::json::{Mark, Plan, Policy};

    use super::*;
    use crate::compose::values::read;

    #[test]
    fn a_value_is_the_same_however_it_is_written() {
        let key = |text: &'static str| {
            let both = [Cow::Borrowed(text.as_bytes()), Cow::Owned(text.as_bytes().to_vec())].map(Key::of);
            assert_eq!(both[0], both[1]);
            both.into_iter().next().flatten()
        };

        assert_eq!(key(r#""\u0041""#), key(r#""A""#));
        assert_ne!(key("1"), key(r#""1""#));
        assert_ne!(key("true"), key(r#""true""#));
        assert_eq!(key("null"), None);
        assert!(key(r#""\ud800""#).is_some());
        assert_eq!(key(r#""34""#).expect("a value").text, key("34").expect("a value").text);
    }

    #[test]
    fn values_are_numbered_in_their_order_and_found_by_what_they_are_or_by_how_they_are_written() {
        let key = |text: &'static str| Key::of(Cow::Borrowed(text.as_bytes())).expect("a value");
        let mut index = Index::default();

        let are_new = ["7", r#""a""#, "7", r#""7""#, r#""\u0061""#].map(|text| index.insert(key(text)));

        assert_eq!(are_new, [true, true, false, true, false]);
        assert_eq!(["7", r#""7""#, r#""a""#, "a"].map(|text| index.get(&key(text))), [Some(0), Some(2), Some(1), None]);
        let written = |text| index.written(&key(text)).collect::<Vec<_>>();
        assert_eq!((written("7"), written(r#""7""#), written("a"), written("b")), (vec![0, 2], vec![0, 2], vec![1], vec![]));
    }

    #[test]
    fn what_lies_in_a_value_is_found_from_its_place() {
        let marks = [(0, "a"), (1, "a.x"), (2, "a"), (1, "b.x"), (2, "b")];
        let marks: Vec<_> =
            marks.iter().map(|(number, place)| Mark { number: *number, place: place.parse().expect("a place"), each: true }).collect();
        let plan = Plan::new(&Policy::drop(&[]).expect("nothing is a policy"), &[], &marks).expect("a plan");
        let document = read(&Arc::new(plan), Bytes::from_static(br#"{"a": [{"x": 1}, {"y": 2}], "b": {"x": 3}}"#)).expect("JSON");

        for number in 0..3 {
            for (place, found) in placed(&document, number, None) {
                for mark in 0..3 {
                    let by_range: Vec<_> = marked(&document, mark, Some(found.range())).collect();
                    assert_eq!(within(&document, place, mark).collect::<Vec<_>>(), by_range, "{number} {place} {mark}");
                }
            }
        }
        assert_eq!(placed(&document, 1, None).count(), 2);
    }
}
