//! Values that can be written in a short form or as a map, or that have a syntax of their own.

use std::fmt;
use std::marker::PhantomData;
use std::net::SocketAddr;

use schemars::{Schema, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, MapAccess, Visitor};

/// A value that can be written in short, as text, or as a map of its keys.
pub(super) trait Short: Sized {
    /// The map's form.
    type Long: for<'de> Deserialize<'de> + Into<Self>;
    /// What a message says was expected.
    const EXPECTED: &'static str;
    /// Reads the short form.
    fn short(text: &str) -> Result<Self, String>;
}

/// Reads either form.
pub(super) struct ShortOrLong<T>(pub(super) PhantomData<T>);

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

/// The two forms of each of these types, as serde reads them.
macro_rules! deserialize_short_or_long {
    ($($form:ty),*) => {$(
        impl<'de> ::serde::Deserialize<'de> for $form {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any($crate::config::model::forms::ShortOrLong(::std::marker::PhantomData))
            }
        }
    )*};
}
pub(super) use deserialize_short_or_long;

/// An address as it is written.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("`{text}` is not an IP address and a port, as in 127.0.0.1:8080 or \"[::1]:8080\""))
}

/// What an editor is told of each of these types.
macro_rules! schemas {
    ($($form:ident: $name:literal = |$generator:ident| $schema:expr;)*) => {$(
        impl ::schemars::JsonSchema for $form {
            fn schema_name() -> ::std::borrow::Cow<'static, str> {
                $name.into()
            }
            fn json_schema($generator: &mut ::schemars::SchemaGenerator) -> ::schemars::Schema {
                $schema
            }
        }
    )*};
}
pub(super) use schemas;

/// The schema of a value that is text or this map.
pub(super) fn short_or(long: Schema, description: &str) -> Schema {
    json_schema!({"description": description, "anyOf": [{"type": "string"}, long]})
}
