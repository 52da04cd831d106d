//! Values that can be written in several forms: one or many, a word or a number, or null for none.

use std::fmt;

use frontgate_filters::words::spanned::{Place, Spanned};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::{Answer, ExpectedCall, Sent};

/// What an upstream answers: the same each time, or a list, of which the last answer stays.
#[derive(Clone, Debug)]
pub(in crate::suite) struct Answers(pub Vec<Answer>);

/// A text, or several.
#[derive(Clone, Debug)]
pub(in crate::suite) struct Texts(pub Vec<String>);

/// A value that is expected, or that there is none.
#[derive(Clone, Debug)]
pub(in crate::suite) enum Nullable<T> {
    /// There is none.
    Nothing,
    /// This one.
    Is(Spanned<T>),
}

/// What is expected of a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::suite) enum Field {
    /// It is not there.
    Absent,
    /// It is there, whatever it says.
    Any,
    /// It has these lines.
    Lines(Vec<String>),
}

/// What is expected of a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::suite) enum Decided {
    /// It goes on.
    Passes,
    /// It is not asked, since one before it answers, or the route does not list it.
    NotAsked,
    /// It answers.
    Answers,
    /// It answers with this status.
    Status(u16),
}

impl Decided {
    const WORDS: [(&'static str, Self); 3] = [("passes", Self::Passes), ("not_asked", Self::NotAsked), ("answers", Self::Answers)];
}

impl fmt::Display for Decided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "{status}"),
            word => f.write_str(Self::WORDS.iter().find(|(_, known)| known == word).map_or("", |(name, _)| name)),
        }
    }
}

/// A key that is there with no value says that there is none.
pub(super) fn nullable<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Nullable<T>>, D::Error> {
    let value = Option::<Spanned<T>>::deserialize(deserializer)?;
    Ok(Some(value.map_or(Nullable::Nothing, Nullable::Is)))
}

/// All members of a list.
fn members<'de, T: Deserialize<'de>, A: SeqAccess<'de>>(list: A) -> Result<Vec<T>, A::Error> {
    Vec::deserialize(SeqAccessDeserializer::new(list))
}

impl<'de> Deserialize<'de> for Answers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;
        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Answers;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an answer such as {status: 200, json: {}}, or a list of answers")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Answers, A::Error> {
                Answer::deserialize(MapAccessDeserializer::new(map)).map(|one| Answers(vec![one]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Answers, A::Error> {
                let all = members(list)?;
                if all.is_empty() { Err(de::Error::custom("the list of answers is empty")) } else { Ok(Answers(all)) }
            }
        }
        deserializer.deserialize_any(OneOrMany)
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Field::deserialize(deserializer)? {
            Field::Lines(lines) => Ok(Self(lines)),
            Field::Any => Ok(Self(vec!["*".to_owned()])),
            Field::Absent => Ok(Self(Vec::new())),
        }
    }
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Lines;
        impl<'de> Visitor<'de> for Lines {
            type Value = Field;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a list of texts, or null")
            }
            fn visit_unit<E>(self) -> Result<Field, E> {
                Ok(Field::Absent)
            }
            fn visit_str<E>(self, text: &str) -> Result<Field, E> {
                Ok(if text == "*" { Field::Any } else { Field::Lines(vec![text.to_owned()]) })
            }
            fn visit_u64<E>(self, number: u64) -> Result<Field, E> {
                Ok(Field::Lines(vec![number.to_string()]))
            }
            fn visit_bool<E>(self, value: bool) -> Result<Field, E> {
                Ok(Field::Lines(vec![value.to_string()]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Field, A::Error> {
                members(list).map(Field::Lines)
            }
        }
        deserializer.deserialize_any(Lines)
    }
}

impl<'de> Deserialize<'de> for ExpectedCall {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TimesOrSent;
        impl<'de> Visitor<'de> for TimesOrSent {
            type Value = ExpectedCall;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("how many requests are sent, or a map of what is sent, such as {path: /users/7}")
            }
            fn visit_u64<E: de::Error>(self, times: u64) -> Result<ExpectedCall, E> {
                u32::try_from(times).map(ExpectedCall::Times).map_err(|_| E::custom(format!("nobody sends {times} requests")))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ExpectedCall, A::Error> {
                Sent::deserialize(MapAccessDeserializer::new(map)).map(|sent| ExpectedCall::Sent(Box::new(sent)))
            }
        }
        deserializer.deserialize_any(TimesOrSent)
    }
}

impl<'de> Deserialize<'de> for Decided {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordOrStatus;
        impl Visitor<'_> for WordOrStatus {
            type Value = Decided;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`passes`, `not_asked`, `answers`, or a status such as 401")
            }
            fn visit_u64<E: de::Error>(self, status: u64) -> Result<Decided, E> {
                match u16::try_from(status) {
                    Ok(status) if (200..600).contains(&status) => Ok(Decided::Status(status)),
                    _ => Err(E::custom(format!("{status} is not a status that a filter answers with: 200 to 599"))),
                }
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Decided, E> {
                let known = Decided::WORDS.iter().find(|(word, _)| *word == text);
                known.map(|(_, decided)| *decided).ok_or_else(|| {
                    let near = crate::config::diagnostics::nearest(text, Decided::WORDS.iter().map(|(word, _)| *word));
                    let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
                    E::custom(format!("`{text}` is none of `passes`, `not_asked`, `answers` and a status such as 401{near}"))
                })
            }
        }
        deserializer.deserialize_any(WordOrStatus)
    }
}

/// What an editor is told of each of these types.
macro_rules! schemas {
    ($($form:ident: $name:literal = |$generator:ident| $schema:expr;)*) => {$(
        impl JsonSchema for $form {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }
            fn json_schema($generator: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    )*};
}

schemas! {
    Answers: "Answers" = |generator| {
        let one = generator.subschema_for::<Answer>();
        json_schema!({"description": "An answer, or a list of them, of which the last one stays.",
                      "anyOf": [one, {"type": "array", "items": one, "minItems": 1}]})
    };
    ExpectedCall: "ExpectedCall" = |generator| {
        let sent = generator.subschema_for::<Sent>();
        json_schema!({"description": "How many requests are sent for the call, or what the last of them is.",
                      "anyOf": [{"type": "integer", "minimum": 0}, sent]})
    };
    Texts: "Texts" = |_generator| json_schema!({
        "description": "A text, or a list of texts.", "anyOf": [{"type": ["string", "integer", "boolean"]}, {"type": "array", "items": {"type": "string"}}],
    });
    Field: "Field" = |_generator| json_schema!({
        "description": "A text, `*` for any, a list of all lines, or null for none.",
        "anyOf": [{"type": ["string", "integer", "boolean", "null"]}, {"type": "array", "items": {"type": "string"}}],
    });
    Decided: "Decided" = |_generator| json_schema!({
        "description": "What the filter decides.",
        "anyOf": [{"enum": ["passes", "not_asked", "answers"]}, {"type": "integer", "minimum": 200, "maximum": 599}],
    });
}

impl<T> Nullable<T> {
    /// Where it is written.
    pub(in crate::suite) fn place(&self) -> Place {
        match self {
            Self::Nothing => Place::default(),
            Self::Is(value) => value.place,
        }
    }
}
