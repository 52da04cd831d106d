//! The registry of filters: the kinds that can be written under `filters:`, a line each.
//!
//! A filter is written as a map of one key, its kind: `stamp: {version_header: {value: v1}}`. `mode: observe` may be written inside
//! every kind and belongs to the chain, so it is taken out here before the kind's own options are read.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::filter::options::Options;

/// Whether a filter's decisions are carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// They are.
    #[default]
    Enforce,
    /// The filter decides, counts and logs, and never answers or alters.
    Observe,
}

/// One filter as it is written: its mode and its kind with the kind's options.
#[derive(Clone, Debug, PartialEq)]
pub struct FilterEntry {
    /// `mode`, by default `enforce`.
    pub mode: Mode,
    /// The kind and its options.
    pub config: FilterConfig,
}

macro_rules! registry {
    ($($(#[$doc:meta])* $kind:ident => $variant:ident),* $(,)?) => {
        /// Every kind of filter there is, with its options.
        #[derive(Clone, Debug, PartialEq)]
        pub enum FilterConfig { $($(#[$doc])* $variant(Box<crate::$kind::Config>),)* }

        impl FilterConfig {
            /// The keys of all kinds, as they are written.
            pub const KINDS: &'static [&'static str] = &[$(stringify!($kind)),*];

            /// The kind's key: folder, metric label and module have the same name.
            pub fn kind(&self) -> &'static str {
                match self { $(Self::$variant(_) => stringify!($kind),)* }
            }

            /// What the gateway asks of every kind.
            pub fn options(&self) -> &dyn Options {
                match self { $(Self::$variant(options) => options.as_ref(),)* }
            }

            fn read<'de, A: MapAccess<'de>>(kind: &str, map: &mut A) -> Result<FilterEntry, A::Error> {
                match kind {
                    $(stringify!($kind) => {
                        let Moded { mode, options } = map.next_value::<Moded<crate::$kind::Config>>()?;
                        Ok(FilterEntry { mode, config: Self::$variant(Box::new(options)) })
                    })*
                    other => Err(de::Error::unknown_field(other, Self::KINDS)),
                }
            }

            fn write<M: SerializeMap>(&self, mode: Mode, map: &mut M) -> Result<(), M::Error> {
                match self { $(Self::$variant(options) => map.serialize_entry(stringify!($kind), &with_mode(mode, options.as_ref())),)* }
            }

            fn schemas(generator: &mut SchemaGenerator) -> Vec<(&'static str, Schema)> {
                vec![$((stringify!($kind), <crate::$kind::Config>::json_schema(generator)),)*]
            }
        }
    };
}

registry! {
    /// Which pages of other origins may read answers.
    cors => Cors,
    /// Who the caller is, as a signed token says.
    jwt => Jwt,
    /// What the caller may do.
    rbac => Rbac,
    /// Compresses answers for clients that accept it.
    compress => Compress,
    /// Removes from JSON answers what a client cannot use or may not see.
    trim => Trim,
    /// Limits how many requests a caller may make.
    rate_limit => RateLimit,
    /// Which client addresses may come in.
    ip_access => IpAccess,
    /// Sets, adds and removes headers.
    headers => Headers,
    /// Lets pages call gRPC services.
    grpc_web => GrpcWeb,
    /// Names the version that answered.
    version_header => VersionHeader,
    /// Drills: makes a share of requests meet what goes wrong now and then.
    fault => Fault,
    /// Stops sending requests to an upstream that fails, and answers in its place.
    circuit_breaker => CircuitBreaker,
}

/// The options of a kind with its `mode` taken out.
struct Moded<T> {
    mode: Mode,
    options: T,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Moded<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Inner<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Inner<T> {
            type Value = Moded<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of the filter's options")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let mut mode = Mode::default();
                let options = T::deserialize(MapAccessDeserializer::new(WithoutMode { map, mode: &mut mode }))?;
                Ok(Moded { mode, options })
            }
        }
        deserializer.deserialize_map(Inner(std::marker::PhantomData))
    }
}

/// Hands on every entry but `mode`, which it keeps.
struct WithoutMode<'m, A> {
    map: A,
    mode: &'m mut Mode,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for WithoutMode<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        loop {
            match self.map.next_key::<String>()? {
                None => return Ok(None),
                Some(key) if key == "mode" => *self.mode = self.map.next_value()?,
                Some(key) => return seed.deserialize(key.into_deserializer()).map(Some),
            }
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

impl<'de> Deserialize<'de> for FilterEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneKey;
        impl<'de> Visitor<'de> for OneKey {
            type Value = FilterEntry;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of one key, the filter's kind")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<FilterEntry, A::Error> {
                let kind: String = map.next_key()?.ok_or_else(|| {
                    de::Error::custom(format!("a filter is a map of one key, its kind: one of {}", FilterConfig::KINDS.join(", ")))
                })?;
                let entry = FilterConfig::read(&kind, &mut map)?;
                match map.next_key::<String>()? {
                    None => Ok(entry),
                    Some(second) => Err(de::Error::custom(format!(
                        "a filter has one kind, and this one has `{kind}` and `{second}`: `mode` and all options belong inside the kind"
                    ))),
                }
            }
        }
        deserializer.deserialize_map(OneKey)
    }
}

/// The options as written, with `mode` beside them where it is not the default.
fn with_mode<T: Serialize>(mode: Mode, options: &T) -> serde_json::Value {
    let mut value = serde_json::to_value(options).unwrap_or_default();
    if let (Mode::Observe, Some(map)) = (mode, value.as_object_mut()) {
        map.insert("mode".into(), "observe".into());
    }
    value
}

impl Serialize for FilterEntry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        self.config.write(self.mode, &mut map)?;
        map.end()
    }
}

impl JsonSchema for FilterEntry {
    fn schema_name() -> Cow<'static, str> {
        "Filter".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mode = generator.subschema_for::<Mode>();
        let kinds: serde_json::Map<String, serde_json::Value> = FilterConfig::schemas(generator)
            .into_iter()
            .map(|(kind, mut schema)| {
                if let Some(properties) = schema.ensure_object().get_mut("properties").and_then(|p| p.as_object_mut()) {
                    properties.insert("mode".into(), mode.clone().to_value());
                }
                (kind.to_owned(), schema.to_value())
            })
            .collect();
        schemars::json_schema!({
            "description": "A map of one key, the filter's kind.",
            "type": "object", "properties": kinds, "additionalProperties": false, "minProperties": 1, "maxProperties": 1,
        })
    }
}
