//! Values that have a short form beside the long one: a key of one part, a rate without a burst.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU32;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Serialize, Serializer};

use super::{KeyParts, TierRate};
use crate::words::selector::Selector;
use crate::words::spanned::Spanned;
use crate::words::units::Rate;

impl<'de> Deserialize<'de> for KeyParts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;
        impl<'de> Visitor<'de> for OneOrMany {
            type Value = KeyParts;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a selector such as client_ip, or a list of them")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<KeyParts, E> {
                text.parse().map(|part| KeyParts(vec![Spanned::nowhere(part)])).map_err(E::custom)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<KeyParts, A::Error> {
                let mut parts = Vec::new();
                while let Some(part) = list.next_element()? {
                    parts.push(part);
                }
                Ok(KeyParts(parts))
            }
        }
        deserializer.deserialize_any(OneOrMany)
    }
}

impl Serialize for KeyParts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0[..] {
            [one] => one.serialize(serializer),
            parts => parts.serialize(serializer),
        }
    }
}

impl JsonSchema for KeyParts {
    fn schema_name() -> Cow<'static, str> {
        "KeyParts".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let selector = generator.subschema_for::<Selector>();
        json_schema!({"description": "A selector, or a list of them.", "anyOf": [selector, {"type": "array", "items": selector, "minItems": 1}]})
    }
}

#[derive(serde::Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TierRateMap {
    /// How many requests a key may make, such as 10/s.
    rate: Rate,
    /// How many of them may come at once; by default as many as `rate` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    burst: Option<NonZeroU32>,
}

impl<'de> Deserialize<'de> for TierRate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RateOrMap;
        impl<'de> Visitor<'de> for RateOrMap {
            type Value = TierRate;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a rate such as 50/s, or a map of `rate` and `burst`")
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<TierRate, E> {
                self.visit_str(&number.to_string())
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<TierRate, E> {
                text.parse().map(|rate| TierRate { rate, burst: None }).map_err(E::custom)
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<TierRate, A::Error> {
                let TierRateMap { rate, burst } = TierRateMap::deserialize(MapAccessDeserializer::new(map))?;
                Ok(TierRate { rate, burst })
            }
        }
        deserializer.deserialize_any(RateOrMap)
    }
}

impl Serialize for TierRate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.burst {
            None => self.rate.serialize(serializer),
            burst => TierRateMap { rate: self.rate, burst }.serialize(serializer),
        }
    }
}

impl JsonSchema for TierRate {
    fn schema_name() -> Cow<'static, str> {
        "TierRate".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let rate = generator.subschema_for::<Rate>();
        let map = generator.subschema_for::<TierRateMap>();
        json_schema!({"description": "A rate, or a map of `rate` and `burst`.", "anyOf": [rate, map]})
    }
}
