//! How a match is written: a map from facts to a value, a list of values, or `"*"`.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::{Fact, Match, Wanted};
use crate::words::spanned::Spanned;

impl<'de> Deserialize<'de> for Match {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Facts;
        impl<'de> Visitor<'de> for Facts {
            type Value = Match;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map from facts of the request to their values, such as {header.X-Api-Version: \"2\"}")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Match, A::Error> {
                let mut facts = Vec::new();
                while let Some((selector, wanted)) = map.next_entry()? {
                    facts.push(Fact { selector, wanted });
                }
                Ok(Match { facts })
            }
        }
        deserializer.deserialize_map(Facts)
    }
}

impl Serialize for Match {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.facts.len()))?;
        for fact in &self.facts {
            map.serialize_entry(&fact.selector, &fact.wanted.value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Wanted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;
        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Wanted;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value, a list of values, or \"*\" for any")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Wanted, E> {
                Ok(if text == "*" { Wanted::Any } else { Wanted::OneOf(vec![Spanned::nowhere(text.to_owned())]) })
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Wanted, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = list.next_element()? {
                    values.push(value);
                }
                Ok(Wanted::OneOf(values))
            }
        }
        // As text: `2.10` is what is written there, and no number.
        deserializer.deserialize_str(OneOrMany)
    }
}

impl Serialize for Wanted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Any => serializer.serialize_str("*"),
            Self::OneOf(values) => match &values[..] {
                [one] => one.serialize(serializer),
                values => values.serialize(serializer),
            },
        }
    }
}

impl JsonSchema for Match {
    fn schema_name() -> Cow<'static, str> {
        "Match".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let value = json_schema!({"type": ["string", "number", "boolean"]});
        json_schema!({
            "description": "Facts of the request that must all hold: each a selector with its value, a list of values, or \"*\" for any.",
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {"anyOf": [value, {"type": "array", "items": value, "minItems": 1}]},
        })
    }
}
