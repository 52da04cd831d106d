//! Path and query of a call, with values in them.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode, utf8_percent_encode};

use super::words::{Piece, Words};
use super::{Missing, Resolve, Source};
use crate::compose::reference::{Part, Text, Wrong};
use crate::compose::values::{Value, Values};

/// What a value has to be encoded of: all that is not unreserved (RFC 3986, section 2.3).
const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What is encoded of a text that stands in the configuration: what no path and no query has. Its escapes stay.
const LITERAL: &AsciiSet = &percent_encoding::CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// Path and query.
#[derive(Clone, Debug)]
pub(crate) struct Target<S> {
    path: Box<[Segment<S>]>,
    query: Box<[Parameter<S>]>,
}

/// One segment of a path, or several that are always the same, each with the slash before it.
#[derive(Clone, Debug)]
enum Segment<S> {
    Literal(Box<str>),
    Filled(Words<S>),
}

#[derive(Clone, Debug)]
enum Parameter<S> {
    Literal(Box<str>),
    /// The whole query of the request, as it came.
    Query(S),
    Filled(Words<S>),
}

impl<S: Source> Target<S> {
    /// Reads path and query.
    pub(crate) fn compile(text: &str, resolve: &mut Resolve<'_, S>) -> Result<Self, Wrong> {
        let wrong = |at: usize, message: &str| Err(Wrong { at, message: message.to_owned() });
        if !text.starts_with('/') {
            return wrong(0, "a path begins with `/`: the host is the upstream's");
        }
        if text.starts_with("//") {
            return wrong(0, "it begins with `//`, which would name a host");
        }
        let read = Text::parse(text)?;
        let (mut path, mut query) = (Parts::default(), None::<Parts<S>>);
        for part in &read.parts {
            match (part, &mut query) {
                (Part::Literal(text), None) => match text.split_once('?') {
                    Some((before, after)) => {
                        path.literal(before, '/')?;
                        query.insert(Parts::default()).literal(after, '&')?;
                    }
                    None => path.literal(text, '/')?,
                },
                (Part::Literal(text), Some(query)) => query.literal(text, '&')?,
                (part, None) => path.push(Piece::new(part, resolve)?),
                (part, Some(query)) => query.push(Piece::new(part, resolve)?),
            }
        }
        let path = path.finish().into_iter().skip(1).map(Segment::new).collect::<Result<Vec<_>, _>>()?;
        let query = query.map(Parts::finish).unwrap_or_default().into_iter().filter(|pieces| !pieces.is_empty()).map(Parameter::new);
        Ok(Self { path: Segment::merged(path), query: query.collect() })
    }

    /// What its references stand for.
    pub(crate) fn sources<'s>(&'s self, each: &mut dyn FnMut(&'s S)) {
        for segment in &self.path {
            if let Segment::Filled(words) = segment {
                words.sources(each);
            }
        }
        for parameter in &self.query {
            match parameter {
                Parameter::Literal(_) => {}
                Parameter::Query(source) => each(source),
                Parameter::Filled(words) => words.sources(each),
            }
        }
    }

    /// What those of its references stand for without whose values it cannot be asked for: those in its path.
    pub(crate) fn needed<'s>(&'s self, each: &mut dyn FnMut(&'s S)) {
        for segment in &self.path {
            if let Segment::Filled(words) = segment {
                words.needed(each);
            }
        }
    }

    /// Whether it may become the same as another one, for all that is known before there are values.
    pub(crate) fn may_be_like(&self, other: &Self) -> bool {
        let ((one, one_is_all), (other, other_is_all)) = (self.beginning(), other.beginning());
        match (one_is_all, other_is_all) {
            (true, true) => one == other,
            (true, false) => one.starts_with(&other),
            (false, true) => other.starts_with(&one),
            (false, false) => one.starts_with(&other) || other.starts_with(&one),
        }
    }

    /// What it always begins with, and whether that is all of it.
    fn beginning(&self) -> (String, bool) {
        let mut text = String::new();
        for segment in &self.path {
            match segment {
                Segment::Literal(literal) => text.push_str(literal),
                Segment::Filled(_) => return (text + "/", false),
            }
        }
        let is_all = self.query.is_empty();
        (text, is_all)
    }

    /// Path and query with all values: in a path they are percent-encoded, and a segment is never empty or dots by one; in a query encoded as
    /// forms are, and a parameter whose value is missing is left out.
    pub(crate) fn expand(&self, values: &dyn Values<S>) -> Result<String, Missing> {
        let mut out = Vec::with_capacity(64);
        for segment in &self.path {
            match segment {
                Segment::Literal(text) => out.extend_from_slice(text.as_bytes()),
                Segment::Filled(words) => {
                    out.push(b'/');
                    let begin = out.len();
                    let there =
                        words.put(values, &mut out, &mut |text, out| out.extend(percent_encode(text, VALUE).flat_map(str::bytes)))?;
                    if !there || leads_astray(&out[begin..]) {
                        return Err(Missing);
                    }
                }
            }
        }
        let mut between = b'?';
        for parameter in &self.query {
            let begin = out.len();
            out.push(between);
            let there = match parameter {
                Parameter::Literal(text) => {
                    out.extend_from_slice(text.as_bytes());
                    true
                }
                Parameter::Query(source) => match values.find(source) {
                    Some(Value::Text(query)) => {
                        out.extend_from_slice(&query);
                        !query.is_empty()
                    }
                    _ => false,
                },
                Parameter::Filled(words) => words.put(values, &mut out, &mut form)?,
            };
            if there {
                between = b'&';
            } else {
                out.truncate(begin);
            }
        }
        String::from_utf8(out).map_err(|_| Missing)
    }
}

/// As HTML forms write a value: a space is a plus.
fn form(text: &[u8], out: &mut Vec<u8>) {
    for (index, word) in text.split(|byte| *byte == b' ').enumerate() {
        if index > 0 {
            out.push(b'+');
        }
        out.extend(percent_encode(word, VALUE).flat_map(str::bytes));
    }
}

/// Whether a segment is empty, or one that servers resolve or refuse: dots, also those that are encoded, stand before a semicolon, or are a part
/// by themselves to whoever decodes a slash before it goes along the path; and control characters.
pub(crate) fn leads_astray(segment: &[u8]) -> bool {
    let decoded: Cow<'_, [u8]> = percent_decode(segment).into();
    let name = |part: &[u8]| part.split(|byte| *byte == b';').next().unwrap_or_default().len();
    let is_dots = |part: &[u8]| matches!(&part[..name(part)], b"." | b"..");
    name(&decoded) == 0 || decoded.iter().any(u8::is_ascii_control) || decoded.split(|byte| matches!(byte, b'/' | b'\\')).any(is_dots)
}

/// The segments of a path or the parameters of a query, as they are read.
struct Parts<S> {
    done: Vec<Vec<Piece<S>>>,
    open: Vec<Piece<S>>,
}

impl<S> Default for Parts<S> {
    fn default() -> Self {
        Self { done: Vec::new(), open: Vec::new() }
    }
}

impl<S> Parts<S> {
    fn push(&mut self, piece: Piece<S>) {
        self.open.push(piece);
    }

    fn literal(&mut self, text: &str, between: char) -> Result<(), Wrong> {
        let wrong = |message: &str| Err(Wrong { at: 0, message: message.to_owned() });
        let escaped = |at: usize| text.as_bytes().get(at + 1..at + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        if text.contains('#') {
            return wrong("`#` begins what is not sent; write `%23`");
        }
        if !text.match_indices('%').all(|(at, _)| escaped(at)) {
            return wrong("`%` begins an escape of two digits; write `%25`");
        }
        for (index, part) in text.split(between).enumerate() {
            if index > 0 {
                self.done.push(std::mem::take(&mut self.open));
            }
            if !part.is_empty() {
                self.open.push(Piece::Literal(utf8_percent_encode(part, LITERAL).to_string().into()));
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Vec<Vec<Piece<S>>> {
        self.done.push(self.open);
        self.done
    }
}

impl<S> Segment<S> {
    fn new(pieces: Vec<Piece<S>>) -> Result<Self, Wrong> {
        match literal(&pieces) {
            Some(text) if !text.is_empty() && leads_astray(text.as_bytes()) => {
                Err(Wrong { at: 0, message: format!("the segment `{text}` is one that servers resolve") })
            }
            Some(text) => Ok(Self::Literal(format!("/{text}").into())),
            None => Ok(Self::Filled(Words(pieces.into()))),
        }
    }

    /// What always follows each other is one.
    fn merged(segments: Vec<Self>) -> Box<[Self]> {
        let mut merged: Vec<Self> = Vec::with_capacity(segments.len());
        for segment in segments {
            match (merged.last_mut(), segment) {
                (Some(Self::Literal(before)), Self::Literal(text)) => *before = format!("{before}{text}").into(),
                (_, segment) => merged.push(segment),
            }
        }
        merged.into()
    }
}

impl<S: Source> Parameter<S> {
    fn new(mut pieces: Vec<Piece<S>>) -> Self {
        if let Some(text) = literal(&pieces) {
            return Self::Literal(text.into());
        }
        match &pieces[..] {
            [Piece::Value { source, default: None }] if source.is_query() => match pieces.pop() {
                Some(Piece::Value { source, .. }) => Self::Query(source),
                _ => Self::Filled(Words(pieces.into())),
            },
            _ => Self::Filled(Words(pieces.into())),
        }
    }
}

/// The text of these pieces, where there is no value among them.
fn literal<S>(pieces: &[Piece<S>]) -> Option<String> {
    let text = |piece: &Piece<S>| match piece {
        Piece::Literal(text) => Some(text.to_string()),
        Piece::Value { .. } => None,
    };
    pieces.iter().map(text).collect()
}
