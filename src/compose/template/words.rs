//! Text with values in it: a header's, or a string's in JSON.

use super::{Missing, Resolve};
use crate::compose::reference::{Part, Text, Wrong};
use crate::compose::values::{NoText, Values};

/// The longest text that values may make, in bytes.
const LONGEST: usize = 64 * 1024;

/// Text with places for values.
#[derive(Clone, Debug)]
pub(crate) struct Words<S>(pub(super) Box<[Piece<S>]>);

/// A part of a text.
#[derive(Clone, Debug)]
pub(super) enum Piece<S> {
    Literal(Box<str>),
    Value { source: S, default: Option<Box<str>> },
}

impl<S> Piece<S> {
    /// Of a part that was read.
    pub(super) fn new(part: &Part, resolve: &mut Resolve<'_, S>) -> Result<Self, Wrong> {
        Ok(match part {
            Part::Literal(text) => Self::Literal(text.as_str().into()),
            Part::Reference(reference) if reference.spread => {
                let message = "only a whole text in a list of JSON can be spread: [\"{...a.items}\"]".to_owned();
                return Err(Wrong { at: reference.range.start, message });
            }
            Part::Reference(reference) => Self::Value { source: resolve(reference)?, default: reference.default.as_deref().map(Box::from) },
        })
    }
}

impl<S> Words<S> {
    /// Reads a text.
    pub(crate) fn compile(text: &str, resolve: &mut Resolve<'_, S>) -> Result<Self, Wrong> {
        Self::of(&Text::parse(text)?, resolve)
    }

    pub(super) fn of(text: &Text, resolve: &mut Resolve<'_, S>) -> Result<Self, Wrong> {
        text.parts.iter().map(|part| Piece::new(part, resolve)).collect::<Result<_, _>>().map(Self)
    }

    /// What its references stand for.
    pub(crate) fn sources<'s>(&'s self, each: &mut dyn FnMut(&'s S)) {
        for piece in &self.0 {
            if let Piece::Value { source, .. } = piece {
                each(source);
            }
        }
    }

    /// What those of its references stand for without whose values there is no text.
    pub(super) fn needed<'s>(&'s self, each: &mut dyn FnMut(&'s S)) {
        for piece in &self.0 {
            if let Piece::Value { source, default: None } = piece {
                each(source);
            }
        }
    }

    /// The text, with a list's elements between commas; nothing where a value is missing or null and has no default.
    pub(crate) fn expand(&self, values: &dyn Values<S>) -> Result<Option<Vec<u8>>, Missing> {
        let mut out = Vec::new();
        let plain = &mut |text: &[u8], out: &mut Vec<u8>| out.extend_from_slice(text);
        Ok(self.put(values, &mut out, plain)?.then_some(out))
    }

    /// Adds the text, each value by `put`; whether all of them were there.
    pub(super) fn put(&self, values: &dyn Values<S>, out: &mut Vec<u8>, put: &mut dyn FnMut(&[u8], &mut Vec<u8>)) -> Result<bool, Missing> {
        for piece in &self.0 {
            match piece {
                Piece::Literal(text) => out.extend_from_slice(text.as_bytes()),
                Piece::Value { source, default } => {
                    let mut first = true;
                    let found = values.find(source).map_or(Err(NoText::Null), |value| {
                        value.texts(&mut |text| {
                            // What is too long is not made longer, and refused below.
                            if out.len() <= LONGEST {
                                if !std::mem::take(&mut first) {
                                    out.push(b',');
                                }
                                put(text, out);
                            }
                        })
                    });
                    match (found, default) {
                        (Ok(()), _) => {}
                        (Err(NoText::Null), Some(default)) => put(default.as_bytes(), out),
                        (Err(NoText::Null), None) => return Ok(false),
                        (Err(NoText::None), _) => return Err(Missing),
                    }
                }
            }
        }
        if out.len() > LONGEST { Err(Missing) } else { Ok(true) }
    }
}
