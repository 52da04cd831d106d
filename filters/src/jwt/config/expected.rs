//! A name that a claim must have: one, any of several, or any at all.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

/// A name that must be met: one, any of several, or any at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// `any`: it is not looked at.
    Any,
    /// One of these, to the letter.
    OneOf(Vec<String>),
}

impl Expected {
    /// Whether this name will do.
    pub fn takes(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(names) => names.iter().any(|known| known == name),
        }
    }
}

impl<'de> Deserialize<'de> for Expected {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMore;
        impl<'de> Visitor<'de> for OneOrMore {
            type Value = Expected;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name, a list of names, or `any`")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Expected, E> {
                match text {
                    "" => Err(E::custom("no token has an empty name: write a name, a list of names, or `any`")),
                    "any" => Ok(Expected::Any),
                    text => Ok(Expected::OneOf(vec![text.to_owned()])),
                }
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Expected, A::Error> {
                let mut names: Vec<String> = Vec::new();
                while let Some(name) = list.next_element::<String>()? {
                    if name.is_empty() || name == "any" {
                        return Err(de::Error::custom(format!("`{name}` is not allowed in a list of names")));
                    }
                    names.push(name);
                }
                if names.is_empty() {
                    return Err(de::Error::custom("no token satisfies an empty list: write names, or `any`"));
                }
                Ok(Expected::OneOf(names))
            }
        }
        deserializer.deserialize_any(OneOrMore)
    }
}

impl Serialize for Expected {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Any => serializer.serialize_str("any"),
            Self::OneOf(names) if names.len() == 1 => serializer.serialize_str(&names[0]),
            Self::OneOf(names) => names.serialize(serializer),
        }
    }
}

impl JsonSchema for Expected {
    fn schema_name() -> Cow<'static, str> {
        "Expected".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let name = json_schema!({"type": "string", "minLength": 1});
        json_schema!({
            "description": "A name, a list of accepted names, or `any`.",
            "anyOf": [name, {"type": "array", "items": name, "minItems": 1}],
        })
    }
}
