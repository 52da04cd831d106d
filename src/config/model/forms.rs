//! Values that can be written in a short form or as a map, or that have a syntax of their own.

use std::fmt;
use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};

use frontgate_filters::words::spanned::Spanned;
use schemars::{Schema, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};

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

/// An address as it is written; the error says what was probably meant.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("`{text}` is not an IP address and a port{}", meant(text)))
}

/// What who wrote this meant by it.
pub(super) fn meant(text: &str) -> String {
    if let Some(bare) = text.strip_prefix("https://") {
        let bare = bare.split('/').next().unwrap_or_default();
        let with_port = if bare.parse::<SocketAddr>().is_ok() { bare.to_owned() } else { format!("{bare}:443") };
        return match with_port.parse::<SocketAddr>() {
            Ok(_) => format!(
                ": write {with_port}, and `tls: {{}}` beside `endpoints` (of a listener: `tls` with its certificate beside `address`)"
            ),
            Err(_) => {
                ": addresses are written without https://; that TLS is spoken is said by `tls` beside `endpoints` or `address`".to_owned()
            }
        };
    }
    let bare = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
    if bare != text && bare.parse::<SocketAddr>().is_ok() {
        return format!(": write {bare}");
    }
    let (host, port) = match bare.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() => (host, Some(port)),
        _ => (bare, None),
    };
    let local = host.eq_ignore_ascii_case("localhost");
    let is_name = host.bytes().any(|byte| byte.is_ascii_alphabetic())
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    match (host.parse::<IpAddr>(), bare.parse::<IpAddr>(), port) {
        (_, Ok(IpAddr::V6(_)), Some(port)) if host.parse::<IpAddr>().is_ok() => format!(": write \"[{host}]:{port}\""),
        (_, Ok(IpAddr::V6(address)), _) => format!(": the port is missing, as in \"[{address}]:8080\""),
        (_, Ok(address), _) => format!(": the port is missing, as in {address}:8080"),
        (.., Some(port)) if host.is_empty() || host == "*" => format!(": write 0.0.0.0:{port}"),
        (.., Some(port)) if local => format!(": write 127.0.0.1:{port}"),
        (.., Some(_)) if is_name => ": a name can be an endpoint alone, write the address".to_owned(),
        (.., None) if local => ": the port is missing, as in 127.0.0.1:8080".to_owned(),
        (.., None) if bare.parse::<u16>().is_ok() => format!(": write 127.0.0.1:{bare}, or 0.0.0.0:{bare} for every interface"),
        _ => ", as in 127.0.0.1:8080 or \"[::1]:8080\"".to_owned(),
    }
}

/// An address alone.
pub(super) fn socket<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    Written::deserialize(deserializer).map(|written| written.0)
}

/// An address with its place, if there is one.
pub(super) fn optional_socket<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Spanned<SocketAddr>>, D::Error> {
    let written = Option::<Spanned<Written>>::deserialize(deserializer)?;
    Ok(written.map(|written| Spanned { value: written.value.0, place: written.place }))
}

struct Written(SocketAddr);

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        address(&String::deserialize(deserializer)?).map(Self).map_err(de::Error::custom)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_none_is_answered_with_what_was_meant() {
        for (text, words) in [
            ("localhost:8081", "write 127.0.0.1:8081"),
            ("localhost", "the port is missing, as in 127.0.0.1:8080"),
            ("users.internal:8080", "a name can be an endpoint alone"),
            ("10.0.0.1", "the port is missing, as in 10.0.0.1:8080"),
            ("::1:8080", "write \"[::1]:8080\""),
            (":8080", "write 0.0.0.0:8080"),
            ("*:8080", "write 0.0.0.0:8080"),
            ("8080", "write 127.0.0.1:8080, or 0.0.0.0:8080"),
            ("http://10.0.0.1:80/", "write 10.0.0.1:80"),
            ("https://10.0.0.1", "write 10.0.0.1:443, and `tls: {}` beside `endpoints`"),
            ("https://10.0.0.1:8443/x", "write 10.0.0.1:8443"),
            ("https://users.internal", "that TLS is spoken is said by `tls` beside `endpoints` or `address`"),
            ("10.0.0.1:80000", "as in 127.0.0.1:8080"),
            ("", "as in 127.0.0.1:8080"),
        ] {
            let why = address(text).expect_err("no address");
            assert!(why.contains(words), "{why}");
        }
    }
}
