//! Where something is in the JSON of a call's answer, as it is written.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use frontgate_filters::json::place::Step;
use frontgate_filters::json::{Path, PathError, Place, path::Segment};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Members of an answer, as `trim` names them: `items.images.hd`, `**.debug`, `"a.b".c`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonPath(pub Path);

/// A value in an answer: arrays are entered by themselves, and a number is one element of them: `data.items.0`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonPlace(pub Place);

/// Values in the answer of a call: `cart.items.product_id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Within {
    /// The call's name.
    pub call: String,
    /// Where they are in its answer; all of it where nothing follows the name.
    pub at: Place,
    text: String,
}

impl Within {
    /// As it is written.
    pub fn written(&self) -> &str {
        &self.text
    }
}

/// What is wrong with a text that should be a path or a place.
fn wrong(text: &str, what: &str, error: &PathError) -> String {
    format!("`{text}` is not {what}: {} (at its byte {})", error.message, error.at + 1)
}

impl FromStr for JsonPath {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        ours(text)?;
        text.parse().map(Self).map_err(|error| wrong(text, "a path", &error))
    }
}

impl FromStr for JsonPlace {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        ours(text)?;
        let place: Place = text.parse().map_err(|error| wrong(text, "a place in an answer", &error))?;
        exact(text, &place).map(|()| Self(place))
    }
}

impl FromStr for Within {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        ours(text)?;
        let (call, rest) = text.split_once('.').unwrap_or((text, ""));
        let is_name = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        if !is_name(call) {
            return Err(format!("`{text}` does not begin with the name of a call, as in `cart.items.product_id`"));
        }
        let at = match text.len() == call.len() {
            true => Place::WHOLE,
            false => rest.parse().map_err(|error: PathError| {
                wrong(text, "a place in an answer", &PathError { at: error.at + call.len() + 1, message: error.message })
            })?,
        };
        exact(text, &at)?;
        Ok(Self { call: call.to_owned(), at, text: text.to_owned() })
    }
}

/// Whether a text is a path as it is written here, and not as other programs write them: `$.items[0].id`, `/items/0/id`.
fn ours(text: &str) -> Result<(), String> {
    foreign(text)
        .map_or(Ok(()), |meant| Err(format!("`{text}` is not a path here: write `{meant}`, or names with such characters in quotes")))
}

/// What is meant by a path of another program.
pub fn foreign(text: &str) -> Option<String> {
    let bare = text.strip_prefix("$.").or_else(|| text.strip_prefix('$').filter(|rest| rest.starts_with('[')));
    let bare = bare.or_else(|| text.strip_prefix('/'));
    let outside = text.split('"').step_by(2).any(|part| part.contains('['));
    let is_pointer = text.starts_with('/');
    if bare.is_none() && !outside {
        return None;
    }
    let dotted = bare.unwrap_or(text).replace("[*]", "").replace('[', ".").replace(['\'', ']'], "").replace("..", ".");
    let dotted = if is_pointer { dotted.replace('/', ".") } else { dotted };
    Some(dotted.trim_matches('.').to_owned())
}

/// Stars stand for many values at many places, and one is wanted.
fn exact(text: &str, place: &Place) -> Result<(), String> {
    match place.steps().iter().any(|step| matches!(step, Step::Segment(Segment::Any | Segment::Deep))) {
        true => Err(format!("`{text}` is not a place in an answer: `*` and `**` stand for several")),
        false => Ok(()),
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for JsonPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Within {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

macro_rules! as_text {
    ($($form:ty: $name:literal, $what:literal);*) => {$(
        impl<'de> Deserialize<'de> for $form {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
        impl Serialize for $form {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl JsonSchema for $form {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "description": $what})
            }
        }
    )*};
}
as_text!(
    JsonPath: "JsonPath", "Members of an answer's JSON: names and dots, `*` for any one name, `**` for any depth.";
    JsonPlace: "JsonPlace", "A value in an answer's JSON: names and dots; arrays are entered by themselves, a number is one element.";
    Within: "Within", "Values in the answer of a call: the call's name, then names and dots."
);
