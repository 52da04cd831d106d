//! The answers of one request: proved texts, and values in them.

use bytes::Bytes;
use frontgate_filters::json::place::Step;
use frontgate_filters::json::{Proved, Reader};
use smallvec::SmallVec;

use super::raw::{self, Found, Range};
use crate::compose::values;

/// All texts of a request, each of which is one JSON value.
#[derive(Debug, Default)]
pub(super) struct Documents(Vec<Bytes>);

/// A value by which others are told: most are short.
pub(super) type KeyText = SmallVec<[u8; 24]>;

/// A value in one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Span {
    pub(super) document: u32,
    pub(super) range: Range,
}

/// What lies at a place.
#[derive(Clone, Debug)]
pub(super) enum Data {
    Nothing,
    One(Span),
    /// The way there led through arrays.
    Many(Vec<Span>),
}

impl Documents {
    /// Takes a text in, if it is one JSON value.
    pub(super) fn read(&mut self, chunks: &[Bytes]) -> Option<Span> {
        let mut reader = Reader::new(values::whole());
        chunks.iter().try_for_each(|chunk| reader.push(chunk.clone())).ok()?;
        let text = reader.finish().ok()?.whole().into_bytes();
        Some(self.add(text))
    }

    /// Takes in a text that is one JSON value.
    pub(super) fn add(&mut self, text: Bytes) -> Span {
        let (document, range) = (self.0.len() as u32, Range::whole(&text));
        self.0.push(text);
        Span { document, range }
    }

    /// The text that a value is in.
    pub(super) fn text(&self, span: Span) -> &[u8] {
        self.0.get(span.document as usize).map_or(&[], |text| text)
    }

    /// A value, as it is written.
    pub(super) fn bytes(&self, span: Span) -> &[u8] {
        span.range.of(self.text(span))
    }

    /// The byte that tells its type.
    pub(super) fn first(&self, span: Span) -> u8 {
        self.bytes(span).first().copied().unwrap_or_default()
    }

    /// Whether it is null.
    pub(super) fn is_null(&self, span: Span) -> bool {
        self.first(span) == b'n'
    }

    /// What lies at a place of a value.
    pub(super) fn find(&self, span: Span, steps: &[Step]) -> Data {
        let within = |range| Span { document: span.document, range };
        match raw::find(self.text(span), span.range, steps) {
            Found::Nothing => Data::Nothing,
            Found::One(range) => Data::One(within(range)),
            Found::Many(ranges) => Data::Many(ranges.into_iter().map(within).collect()),
        }
    }

    /// The elements of an array.
    pub(super) fn elements(&self, span: Span) -> impl Iterator<Item = Span> {
        raw::elements(self.text(span), span.range).map(move |range| Span { document: span.document, range })
    }

    /// A value, proved for templates.
    pub(super) fn proved(&self, span: Span) -> Option<Proved> {
        let text = self.0.get(span.document as usize)?.slice(span.range.begin as usize..span.range.end as usize);
        values::read(&values::whole(), text).map(|document| document.whole())
    }

    /// The text of a scalar that is not null: of strings what they say.
    pub(super) fn scalar(&self, span: Span) -> Option<Vec<u8>> {
        let bytes = self.bytes(span);
        match bytes.first()? {
            b'"' => raw::decoded(bytes.get(1..bytes.len() - 1)?),
            b'{' | b'[' | b'n' => None,
            _ => Some(bytes.to_vec()),
        }
    }

    /// A value by which others are told: of strings what they say, or how they are written where that is no text. Null is none.
    pub(super) fn key(&self, span: Span) -> Option<KeyText> {
        let bytes = self.bytes(span);
        match bytes.first()? {
            b'n' => None,
            b'"' => match bytes.get(1..bytes.len() - 1)? {
                plain if !plain.contains(&b'\\') => Some(SmallVec::from_slice(plain)),
                _ => Some(self.scalar(span).map_or_else(|| SmallVec::from_slice(bytes), SmallVec::from_vec)),
            },
            _ => Some(SmallVec::from_slice(bytes)),
        }
    }

    /// What an element of a batch's answer says whose it is, by the place where it says so.
    pub(super) fn owner(&self, element: Span, by: &[Step]) -> Option<KeyText> {
        match self.find(element, by) {
            Data::One(span) => self.key(span),
            Data::Many(spans) => spans.first().and_then(|span| self.key(*span)),
            Data::Nothing => None,
        }
    }

    /// A value, or where it is an array its elements, however deep.
    pub(super) fn flat(&self, span: Span, each: &mut dyn FnMut(Span)) {
        match self.first(span) {
            b'[' => self.elements(span).for_each(|element| self.flat(element, each)),
            _ => each(span),
        }
    }
}
