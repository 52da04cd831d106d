//! Values that a request gives, in variables and in documents: numbers keep all their digits.

use std::fmt::Write;

use apollo_compiler::collections::IndexMap;
use frontgate_filters::json::Proved;
use serde::de::IgnoredAny;

use super::raw::{behind_string, behind_value, decoded, white};
use crate::compose::values;

/// How deep a value of a request may nest.
const MOST_NESTED: usize = 100;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Input {
    Null,
    Boolean(bool),
    /// As it is written: the numbers of GraphQL and of JSON are written alike.
    Number(Box<str>),
    Text(Box<str>),
    List(Vec<Input>),
    Object(Members),
}

/// The members of an object, or values by their names.
pub(super) type Members = IndexMap<Box<str>, Input>;

impl Input {
    /// Reads JSON. Of members of one name the last one counts.
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        let text = str::from_utf8(text).ok()?;
        serde_json::from_str::<IgnoredAny>(text).ok()?;
        Reading { text: text.as_bytes(), at: 0 }.value(0)
    }

    /// A member of an object.
    pub(super) fn member(&self, name: &str) -> Option<&Self> {
        if let Self::Object(members) = self { members.get(name) } else { None }
    }

    /// What a text says.
    pub(super) fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// As JSON.
    pub(super) fn json(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Boolean(value) => {
                // A string takes whatever is written to it.
                let _ = write!(out, "{value}");
            }
            Self::Number(digits) => out.push_str(digits),
            Self::Text(text) => quoted(text, out),
            Self::List(all) => {
                out.push('[');
                for (index, one) in all.iter().enumerate() {
                    out.push_str(if index > 0 { "," } else { "" });
                    one.write(out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (index, (name, value)) in members.iter().enumerate() {
                    out.push_str(if index > 0 { "," } else { "" });
                    quoted(name, out);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }

    /// As JSON for templates.
    pub(super) fn proved(&self) -> Option<Proved> {
        match self {
            Self::Null => Some(Proved::from(&serde_json::Value::Null)),
            Self::Boolean(value) => Some(Proved::from(&serde_json::Value::from(*value))),
            Self::Text(text) => Some(values::string(text)),
            Self::Number(_) | Self::List(_) | Self::Object(_) => {
                values::read(&Default::default(), self.json().into()).map(|document| document.whole())
            }
        }
    }

    /// What it takes of memory, about.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Null | Self::Boolean(_) => 32,
            Self::Number(text) | Self::Text(text) => 32 + text.len(),
            Self::List(all) => 32 + all.iter().map(Self::bytes).sum::<usize>(),
            Self::Object(members) => 64 + members.iter().map(|(name, value)| 64 + name.len() + value.bytes()).sum::<usize>(),
        }
    }
}

fn quoted(text: &str, out: &mut String) {
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}

/// Reads a text that was found to be one JSON value.
struct Reading<'t> {
    text: &'t [u8],
    at: usize,
}

impl Reading<'_> {
    fn value(&mut self, depth: usize) -> Option<Input> {
        if depth > MOST_NESTED {
            return None;
        }
        match self.next() {
            b'"' => self.string().map(Input::Text),
            b'{' => {
                let mut members = Members::default();
                self.at += 1;
                while self.next() == b'"' {
                    let name = self.string()?;
                    self.pass(b':');
                    members.insert(name, self.value(depth + 1)?);
                    self.pass(b',');
                }
                self.pass(b'}');
                Some(Input::Object(members))
            }
            b'[' => {
                let mut all = Vec::new();
                self.at += 1;
                while !matches!(self.next(), b']' | 0) {
                    all.push(self.value(depth + 1)?);
                    self.pass(b',');
                }
                self.pass(b']');
                Some(Input::List(all))
            }
            first => {
                let behind = behind_value(self.text, self.at);
                let word = str::from_utf8(self.text.get(self.at..behind)?).ok()?;
                self.at = behind;
                Some(match first {
                    b'n' => Input::Null,
                    b't' | b'f' => Input::Boolean(first == b't'),
                    b'-' | b'0'..=b'9' => Input::Number(word.into()),
                    _ => return None,
                })
            }
        }
    }

    /// The next byte that is not white, nothing at the end.
    fn next(&mut self) -> u8 {
        self.at = white(self.text, self.at);
        self.text.get(self.at).copied().unwrap_or(0)
    }

    fn pass(&mut self, byte: u8) {
        if self.next() == byte {
            self.at += 1;
        }
    }

    fn string(&mut self) -> Option<Box<str>> {
        let behind = behind_string(self.text, self.at);
        let text = decoded(self.text.get(self.at + 1..behind - 1)?)?;
        self.at = behind;
        String::from_utf8(text).ok().map(Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(text: &str) -> Option<String> {
        Input::read(text.as_bytes()).map(|value| value.json())
    }

    #[test]
    fn values_are_written_as_they_were_read() {
        for text in [
            "null",
            "true",
            "12345678901234567890123",
            "-0",
            "3.14159265358979323846",
            "1E400",
            r#""a\n\"é""#,
            "[]",
            "{}",
            r#"{"b":[1.0,{"a":null}],"a":false}"#,
        ] {
            assert_eq!(again(text).as_deref(), Some(text));
        }
        assert_eq!(again(" { \"a\" : [ 1 , 2 ] , \"\\u0062\" : \"\\u00e9\" } ").as_deref(), Some(r#"{"a":[1,2],"b":"é"}"#));
        assert_eq!(again(r#"{"a":1,"b":2,"a":3}"#).as_deref(), Some(r#"{"a":3,"b":2}"#), "the last one counts");
    }

    #[test]
    fn what_is_no_value_or_lies_too_deep_is_not_read() {
        for text in ["", "{", "01", "1 2", "[1,]", "\"\\ud800\"", "nul", "{\"a\" 1}", "\"\u{1}\""] {
            assert_eq!(again(text), None, "{text}");
        }
        let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(again(&deep(100)), Some(deep(100)));
        assert_eq!(again(&deep(102)), None);
        assert_eq!(again(&deep(100_000)), None);
        assert_eq!(Input::read(b"\"\xff\""), None);
    }
}
