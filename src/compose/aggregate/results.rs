//! What calls came to.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use frontgate_filters::json::{Document, Found, Proved};

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
    pub(super) by_value: HashMap<Key, usize>,
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
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    is_text: bool,
    text: Box<[u8]>,
}

impl Key {
    /// Of a value; null is none.
    pub(super) fn of(value: &Proved) -> Option<Self> {
        if value.is_null() {
            return None;
        }
        let bytes = value.to_bytes();
        let is_text = value.first() == b'"';
        let text: Box<[u8]> = match is_text.then(|| &bytes[1..bytes.len() - 1]) {
            Some(plain) if !plain.contains(&b'\\') => plain.into(),
            // What is no text, as half a surrogate pair, stands for itself.
            Some(_) => serde_json::from_slice::<String>(&bytes).map_or_else(|_| bytes[..].into(), |text| text.into_bytes().into()),
            None => bytes[..].into(),
        };
        Some(Self { is_text, text })
    }

    /// Its text, by which an element of a batch's answer says that it is for it.
    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }
}

/// The values of a mark that lie in this range, or anywhere.
pub(super) fn marked(document: &Document, mark: u16, range: Option<Range<u64>>) -> impl Iterator<Item = &Found> {
    let all = document.found();
    let all = match range {
        Some(range) => {
            let begin = all.partition_point(|found| found.range().start < range.start);
            let end = begin + all[begin..].partition_point(|found| found.range().start < range.end);
            &all[begin..end]
        }
        None => all,
    };
    all.iter().filter(move |found| found.number == mark)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::compose::values::read;

    #[test]
    fn a_value_is_the_same_however_it_is_written() {
        let key = |text: &str| Key::of(&read(&Arc::default(), Bytes::copy_from_slice(text.as_bytes())).expect(text).whole());

        assert_eq!(key(r#""\u0041""#), key(r#""A""#));
        assert_ne!(key("1"), key(r#""1""#));
        assert_ne!(key("true"), key(r#""true""#));
        assert_eq!(key("null"), None);
        assert!(key(r#""\ud800""#).is_some());
        assert_eq!(key(r#""34""#).expect("a value").text(), key("34").expect("a value").text());
    }
}
