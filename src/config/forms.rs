//! Values that have a short form beside the long one, or a syntax of their own.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;

use frontgate_filters::registry::FilterEntry;
use frontgate_filters::words::spanned::Spanned;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde::{Serialize, Serializer};

use super::model::{AccessLog, Adaptive, Admin, Endpoint, FilterUse, FirstByte, LogFormat, LogTarget, Network, Secret, Threads};

/// A value that can be written as text; where `Long` is not [`NoMap`], also as a map.
trait Short: Sized {
    /// The map's form.
    type Long: for<'de> Deserialize<'de> + Into<Self>;
    /// What a message says was expected.
    const EXPECTED: &'static str;
    /// Reads the short form.
    fn short(text: &str) -> Result<Self, String>;
}

struct ShortOrLong<T>(PhantomData<T>);

impl<'de, T: Short> Visitor<'de> for ShortOrLong<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        T::short(text).map_err(E::custom)
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::Long::deserialize(MapAccessDeserializer::new(map)).map(Into::into)
    }
}

macro_rules! deserialize_short_or_long {
    ($($form:ty),*) => {$(
        impl<'de> Deserialize<'de> for $form {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(ShortOrLong(PhantomData))
            }
        }
    )*};
}
deserialize_short_or_long!(Admin, Endpoint, FilterUse, FirstByte);

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("`{text}` is not an IP address and a port, as in 127.0.0.1:8080 or \"[::1]:8080\""))
}

#[derive(serde::Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AdminMap {
    /// IP address and port.
    address: SocketAddr,
    /// What `Authorization: Bearer` must carry; required elsewhere than on loopback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<Secret>,
}

impl From<AdminMap> for Admin {
    fn from(map: AdminMap) -> Self {
        Self { address: map.address, token: map.token }
    }
}

impl Short for Admin {
    type Long = AdminMap;
    const EXPECTED: &'static str = "an address such as 127.0.0.1:9901, or a map of `address` and `token`";
    fn short(text: &str) -> Result<Self, String> {
        address(text).map(|address| Self { address, token: None })
    }
}

impl Serialize for Admin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.token {
            None => self.address.serialize(serializer),
            token => AdminMap { address: self.address, token: token.clone() }.serialize(serializer),
        }
    }
}

#[derive(serde::Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct EndpointMap {
    /// IP address and port.
    address: SocketAddr,
    /// Its share of the requests beside the others' weights; 0 takes none.
    #[serde(default = "EndpointMap::one")]
    weight: u32,
    /// What `X-BFF-Version` says of its answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<Spanned<String>>,
}

impl EndpointMap {
    fn one() -> u32 {
        1
    }
}

impl From<EndpointMap> for Endpoint {
    fn from(map: EndpointMap) -> Self {
        Self { address: map.address, weight: map.weight, version: map.version }
    }
}

impl Short for Endpoint {
    type Long = EndpointMap;
    const EXPECTED: &'static str = "an address such as 10.0.0.1:8080, or a map of `address`, `weight` and `version`";
    fn short(text: &str) -> Result<Self, String> {
        address(text).map(|address| Self { address, weight: 1, version: None })
    }
}

impl Serialize for Endpoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.weight == 1 && self.version.is_none() {
            return self.address.serialize(serializer);
        }
        EndpointMap { address: self.address, weight: self.weight, version: self.version.clone() }.serialize(serializer)
    }
}

#[derive(serde::Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FirstByteMap {
    /// As long as 99 of 100 took lately and 200 ms more, within these bounds.
    adaptive: Adaptive,
}

impl From<FirstByteMap> for FirstByte {
    fn from(map: FirstByteMap) -> Self {
        Self::Adaptive(map.adaptive)
    }
}

impl Short for FirstByte {
    type Long = FirstByteMap;
    const EXPECTED: &'static str = "a duration such as 2s, `adaptive`, or {adaptive: {min: 100ms, max: 5s}}";
    fn short(text: &str) -> Result<Self, String> {
        if text == "adaptive" { Ok(Self::Adaptive(Adaptive::default())) } else { text.parse().map(Self::Fixed) }
    }
}

impl Serialize for FirstByte {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Fixed(duration) => duration.serialize(serializer),
            Self::Adaptive(adaptive) => FirstByteMap { adaptive: *adaptive }.serialize(serializer),
        }
    }
}

impl From<FilterEntry> for FilterUse {
    fn from(entry: FilterEntry) -> Self {
        Self::Inline(entry)
    }
}

impl Short for FilterUse {
    type Long = FilterEntry;
    const EXPECTED: &'static str = "the name of a filter, or a map of one key, the filter's kind";
    fn short(text: &str) -> Result<Self, String> {
        Ok(Self::Named(text.to_owned()))
    }
}

impl Serialize for FilterUse {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Named(name) => serializer.serialize_str(name),
            Self::Inline(entry) => entry.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Threads {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AutoOrCount;
        impl Visitor<'_> for AutoOrCount {
            type Value = Threads;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`auto` or a whole number above 0")
            }
            fn visit_u64<E: de::Error>(self, count: u64) -> Result<Threads, E> {
                let count = u32::try_from(count).ok().and_then(NonZeroU32::new);
                count.map(Threads::Count).ok_or_else(|| E::custom("expected `auto` or a whole number above 0"))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Threads, E> {
                if text == "auto" { Ok(Threads::Auto) } else { Err(E::custom(format!("`{text}` is neither `auto` nor a number"))) }
            }
        }
        // As a number, so that `${THREADS}` may bring one.
        deserializer.deserialize_u64(AutoOrCount)
    }
}

impl Serialize for Threads {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Count(count) => count.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let single = || text.parse::<IpAddr>().map(ipnet::IpNet::from);
        text.parse()
            .or_else(|_| single())
            .map(Self)
            .map_err(|_| de::Error::custom(format!("`{text}` is neither a network such as 10.0.0.0/8 nor an IP address")))
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

#[derive(Default, serde::Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct AccessLogMap {
    /// The lines' form.
    format: LogFormat,
    /// Where they go.
    to: LogTarget,
}

impl<'de> Deserialize<'de> for AccessLog {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OffOrMap;
        impl<'de> Visitor<'de> for OffOrMap {
            type Value = AccessLog;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`off`, or a map of `format` and `to`")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<AccessLog, E> {
                if text == "off" {
                    Ok(AccessLog::Off)
                } else {
                    Err(E::custom(format!("expected `off` or a map of `format` and `to`, found `{text}`")))
                }
            }
            /// Tools that write YAML of version 1.1 turn `off` into `false`.
            fn visit_bool<E: de::Error>(self, on: bool) -> Result<AccessLog, E> {
                Ok(if on { AccessLog::default() } else { AccessLog::Off })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<AccessLog, A::Error> {
                let AccessLogMap { format, to } = AccessLogMap::deserialize(MapAccessDeserializer::new(map))?;
                Ok(AccessLog::On { format, to })
            }
        }
        deserializer.deserialize_any(OffOrMap)
    }
}

impl Serialize for AccessLog {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Off => serializer.serialize_str("off"),
            Self::On { format, to } => AccessLogMap { format: *format, to: to.clone() }.serialize(serializer),
        }
    }
}

macro_rules! schemas {
    ($($form:ident: $name:literal = |$generator:ident| $schema:expr;)*) => {$(
        impl JsonSchema for $form {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }
            fn json_schema($generator: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    )*};
}

schemas! {
    Admin: "Admin" = |generator| short_or(generator.subschema_for::<AdminMap>(), "127.0.0.1:9901, or a map with a token.");
    Endpoint: "Endpoint" = |generator| short_or(generator.subschema_for::<EndpointMap>(), "10.0.0.1:80, or a map with its weight and version.");
    FilterUse: "FilterUse" = |generator| short_or(generator.subschema_for::<FilterEntry>(), "The name of a filter, or a filter written in place.");
    FirstByte: "FirstByte" = |generator| short_or(generator.subschema_for::<FirstByteMap>(), "A duration such as 2s, `adaptive`, or its bounds.");
    AccessLog: "AccessLog" = |generator| json_schema!({
        "description": "`off`, or where the lines go.", "anyOf": [{"const": "off"}, generator.subschema_for::<AccessLogMap>()],
    });
    Threads: "Threads" = |_generator| json_schema!({
        "description": "`auto`, or a number.", "anyOf": [{"const": "auto"}, {"type": "integer", "minimum": 1}],
    });
    Network: "Network" = |_generator| json_schema!({"description": "A network such as 10.0.0.0/8, or one address.", "type": "string"});
}

fn short_or(long: Schema, description: &str) -> Schema {
    json_schema!({"description": description, "anyOf": [{"type": "string"}, long]})
}
