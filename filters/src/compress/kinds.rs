//! Media types as options name them: one, all of a group, or all that end alike.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::words::fields;

/// Some media types: `text/*`, `application/json` or `+json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MediaTypes {
    /// All of this group, as in `text/*`.
    Group(Box<str>),
    /// This one.
    One(Box<str>, Box<str>),
    /// All that end in this, as in `+json` (RFC 6838, section 4.2.8).
    Suffix(Box<str>),
}

impl FromStr for MediaTypes {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is none of `text/*`, `application/json` and `+json`: write a media type, a group of them or an end");
        let lower = text.to_ascii_lowercase();
        if let Some(end) = lower.strip_prefix('+') {
            // Its own grammar is the subtype's.
            return fields::media_type(format!("a/{end}").as_bytes())
                .filter(|_| !end.contains(['*', ';']))
                .map(|_| Self::Suffix(lower.into()))
                .ok_or_else(wrong);
        }
        let (group, name) = lower.split_once('/').ok_or_else(wrong)?;
        if fields::media_type(lower.as_bytes()).is_none() || group.contains('*') || lower.contains([';', ' ', '\t']) {
            return Err(wrong());
        }
        match name {
            "*" => Ok(Self::Group(group.into())),
            name if name.contains('*') => Err(wrong()),
            name => Ok(Self::One(group.into(), name.into())),
        }
    }
}

impl fmt::Display for MediaTypes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group(group) => write!(f, "{group}/*"),
            Self::One(group, name) => write!(f, "{group}/{name}"),
            Self::Suffix(end) => f.write_str(end),
        }
    }
}

impl<'de> Deserialize<'de> for MediaTypes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl Serialize for MediaTypes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for MediaTypes {
    fn schema_name() -> Cow<'static, str> {
        "MediaTypes".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"description": "A media type, `text/*` for a group of them, or `+json` for all that end so.", "type": "string"})
    }
}

impl MediaTypes {
    fn has(&self, group: &[u8], name: &[u8]) -> bool {
        match self {
            Self::Group(known) => known.as_bytes().eq_ignore_ascii_case(group),
            Self::One(known, one) => known.as_bytes().eq_ignore_ascii_case(group) && one.as_bytes().eq_ignore_ascii_case(name),
            Self::Suffix(end) => name.len().checked_sub(end.len()).is_some_and(|at| name[at..].eq_ignore_ascii_case(end.as_bytes())),
        }
    }

    /// Whether all that it names is never compressed, whatever is listed.
    pub(super) fn is_never_taken(&self) -> bool {
        matches!(self, Self::One(group, name) if streams(group.as_bytes(), name.as_bytes()))
    }
}

/// Whether an answer of these headers is of one of these types. One that names no type, or several, is of none.
pub(super) fn takes(types: &[MediaTypes], headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(CONTENT_TYPE).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else { return false };
    fields::media_type(line.as_bytes()).is_some_and(|(group, name)| !streams(group, name) && types.iter().any(|kind| kind.has(group, name)))
}

/// Streams of messages: each is waited for, and the messages of gRPC have a compression of their own.
fn streams(group: &[u8], name: &[u8]) -> bool {
    let grpc = b"grpc";
    match group.to_ascii_lowercase().as_slice() {
        b"text" => name.eq_ignore_ascii_case(b"event-stream"),
        b"application" => name.get(..grpc.len()).is_some_and(|start| start.eq_ignore_ascii_case(grpc)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn taken(types: &[&str], lines: &[&'static str]) -> bool {
        let types: Vec<MediaTypes> = types.iter().map(|text| text.parse().expect("media types")).collect();
        takes(&types, &lines.iter().map(|line| (CONTENT_TYPE, HeaderValue::from_static(line))).collect())
    }

    #[test]
    fn groups_single_types_and_ends() {
        let types = ["text/*", "application/json", "+json", "+XML"];

        for kind in [
            "text/html",
            "TEXT/Plain; charset=utf-8",
            "application/json",
            "Application/JSON;x=1",
            "application/problem+json",
            "image/svg+xml",
        ] {
            assert!(taken(&types, &[kind]), "{kind}");
        }
        for kind in
            ["application/jsonp", "application/octet-stream", "image/png", "json", "", "text", "application/json+x", "application/xml"]
        {
            assert!(!taken(&types, &[kind]), "{kind}");
        }
        assert!(!taken(&types, &[]) && !taken(&types, &["text/html", "text/html"]));
    }

    #[test]
    fn streams_of_messages_are_never_taken() {
        for kind in [
            "text/event-stream",
            "Text/Event-Stream; charset=utf-8",
            "application/grpc",
            "application/GRPC+json",
            "application/grpc-web-text",
        ] {
            assert!(!taken(&["text/*", "application/*", "+json"], &[kind]), "{kind}");
        }
        assert!("text/event-stream".parse::<MediaTypes>().expect("a type").is_never_taken());
        assert!(!"text/*".parse::<MediaTypes>().expect("a type").is_never_taken());
    }

    #[test]
    fn what_is_written_is_read_and_shown_again() {
        for text in ["text/*", "application/json", "+json", "application/vnd.api+json"] {
            assert_eq!(text.parse::<MediaTypes>().expect("media types").to_string(), text);
        }
        for text in
            ["*/*", "*", "json", "text/", "/json", "text/*html", "te*t/html", "text/html; charset=utf-8", "+", "+a b", "text /html", "+*"]
        {
            assert!(text.parse::<MediaTypes>().is_err(), "{text}");
        }
    }
}
