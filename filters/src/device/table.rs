//! The `devices` table as it is written.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

/// Classes and how they are told, in order: the first entry that matches names the class.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize, Serialize, JsonSchema)]
#[serde(transparent)]
#[schemars(rename = "Devices")]
pub struct Table(pub Vec<Entry>);

/// One entry: a map of one key, the class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The class's name.
    pub class: ClassName,
    /// How it is told.
    pub rule: Rule,
}

/// What a User-Agent holds or does not hold: `[ipad, tablet]`, or `{any: [android], none: [mobile]}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// At least one of these; where there are none, every User-Agent matches.
    pub any: Vec<Needle>,
    /// None of these.
    pub none: Vec<Needle>,
}

/// A class's name: `a` to `z`, digits and `_`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClassName(String);

impl ClassName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ClassName {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if text.is_empty() || text.len() > 64 || !text.bytes().all(fits) {
            return Err(format!("`{text}` is not a device class: write up to 64 of a to z, 0 to 9 and _"));
        }
        Ok(Self(text))
    }
}

impl From<ClassName> for String {
    fn from(name: ClassName) -> Self {
        name.0
    }
}

/// A part of a User-Agent, found whatever its case.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(inline)]
pub struct Needle(#[schemars(length(min = 1))] String);

impl Needle {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Needle {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Err("an empty text is in every User-Agent: write what tells the class apart".into());
        }
        if text.len() > super::LOOKED_AT {
            return Err(format!("only the first {} bytes of a User-Agent are looked at, and this text is longer", super::LOOKED_AT));
        }
        Ok(Self(text))
    }
}

impl From<Needle> for String {
    fn from(needle: Needle) -> Self {
        needle.0
    }
}

/// The long form of a rule.
#[derive(serde::Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RuleMap {
    /// At least one of these must be in the User-Agent; by default any User-Agent matches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    any: Vec<Needle>,
    /// None of these may be in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    none: Vec<Needle>,
}

impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListOrMap;
        impl<'de> Visitor<'de> for ListOrMap {
            type Value = Rule;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of texts, or a map of `any` and `none`")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Rule, A::Error> {
                let mut rule = Rule::default();
                while let Some(needle) = seq.next_element()? {
                    rule.any.push(needle);
                }
                rule.checked()
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Rule, A::Error> {
                let RuleMap { any, none } = RuleMap::deserialize(MapAccessDeserializer::new(map))?;
                Rule { any, none }.checked()
            }
        }
        deserializer.deserialize_any(ListOrMap)
    }
}

impl Rule {
    /// A rule that asks for nothing would take every device, which nobody writes on purpose.
    fn checked<E: de::Error>(self) -> Result<Self, E> {
        if self.any.is_empty() && self.none.is_empty() {
            return Err(E::custom("the rule names no text, so it would take every device"));
        }
        Ok(self)
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.none.is_empty() {
            return self.any.serialize(serializer);
        }
        RuleMap { any: self.any.clone(), none: self.none.clone() }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneKey;
        impl<'de> Visitor<'de> for OneKey {
            type Value = Entry;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of one key, the device class")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entry, A::Error> {
                let missing = || de::Error::custom("an entry is a map of one key, the device class: `- mobile: [iphone]`");
                let class = map.next_key::<ClassName>()?.ok_or_else(missing)?;
                let rule = map.next_value()?;
                match map.next_key::<String>()? {
                    None => Ok(Entry { class, rule }),
                    Some(second) => Err(de::Error::custom(format!(
                        "entries are ordered, so each needs a dash of its own: this one has `{}` and `{second}`",
                        class.0
                    ))),
                }
            }
        }
        deserializer.deserialize_map(OneKey)
    }
}

impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(self.class.as_str(), &self.rule)?;
        map.end()
    }
}

impl JsonSchema for Rule {
    fn schema_name() -> Cow<'static, str> {
        "DeviceRule".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let needles = generator.subschema_for::<Vec<Needle>>();
        json_schema!({
            "description": "A list of texts of which one is in the User-Agent, or a map of `any` and `none`.",
            "anyOf": [{"allOf": [needles], "minItems": 1}, generator.subschema_for::<RuleMap>()],
        })
    }
}

impl JsonSchema for Entry {
    fn schema_name() -> Cow<'static, str> {
        "Device".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A map of one key, the device class.",
            "type": "object", "minProperties": 1, "maxProperties": 1,
            "propertyNames": {"pattern": "^[a-z0-9_]+$"}, "additionalProperties": generator.subschema_for::<Rule>(),
        })
    }
}
