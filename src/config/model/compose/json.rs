//! JSON as it is written in YAML, where every value knows its place: a message can point at one text of a body.

use std::fmt;

use frontgate_filters::words::spanned::Spanned;
use schemars::json_schema;
use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Number;

use super::ordered::Ordered;
use crate::config::model::forms::schemas;

/// A JSON value whose texts may hold references.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Spanned<Self>>),
    /// An object, its members in the order in which they are written.
    Object(Ordered<Spanned<Self>>),
}

impl Json {
    /// Every text in it, with its place: those of lists and members, and of members of the name `...` what they name.
    pub fn texts<'j>(whole: &'j Spanned<Self>, found: &mut dyn FnMut(Spanned<&'j str>)) {
        match &whole.value {
            Self::Text(text) => found(Spanned { value: text, place: whole.place }),
            Self::List(items) => items.iter().for_each(|item| Self::texts(item, found)),
            Self::Object(members) => members.iter().for_each(|(_, member)| Self::texts(member, found)),
            Self::Null | Self::Bool(_) | Self::Number(_) => {}
        }
    }
}

impl Json {
    /// What is named to be spread anywhere in it: behind keys `...`.
    pub fn spread(whole: &Spanned<Self>) -> Vec<&str> {
        fn named(member: &Spanned<Json>) -> Vec<&str> {
            let mut named = Vec::new();
            Json::texts(member, &mut |text| named.push(text.value));
            named
        }
        match &whole.value {
            Self::List(items) => items.iter().flat_map(Self::spread).collect(),
            Self::Object(members) => {
                members.iter().flat_map(|(name, member)| if name == "..." { named(member) } else { Self::spread(member) }).collect()
            }
            Self::Text(_) | Self::Null | Self::Bool(_) | Self::Number(_) => Vec::new(),
        }
    }
}

/// Reads a value that may be null: that is written, too.
pub(in crate::config::model) fn written<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Json;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON value")
            }
            fn visit_unit<E: de::Error>(self) -> Result<Json, E> {
                Ok(Json::Null)
            }
            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Json, E> {
                Ok(Json::Bool(value))
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Json, E> {
                Ok(Json::Number(value.into()))
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Json, E> {
                Ok(Json::Number(value.into()))
            }
            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Json, E> {
                Number::from_f64(value).map(Json::Number).ok_or_else(|| E::custom(format!("JSON has no number `{value}`")))
            }
            fn visit_str<E: de::Error>(self, value: &str) -> Result<Json, E> {
                Ok(Json::Text(value.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element()? {
                    items.push(item);
                }
                Ok(Json::List(items))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Json::Object(Ordered(members)))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => value.serialize(serializer),
            Self::Number(value) => value.serialize(serializer),
            Self::Text(value) => value.serialize(serializer),
            Self::List(items) => items.serialize(serializer),
            Self::Object(members) => members.serialize(serializer),
        }
    }
}

schemas! {
    Json: "Json" = |_generator| json_schema!({"description": "Any JSON; its texts may hold references in braces."});
}
