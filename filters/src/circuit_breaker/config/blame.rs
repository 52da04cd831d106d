//! What is the upstream's fault: `connect_failure`, `timeout`, a status or a range of them.

use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::spanned::Spanned;

/// Something that is the upstream's fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blame {
    /// No connection, or it broke off before the head.
    ConnectFailure,
    /// Too slow to connect or to answer.
    Timeout,
    /// An answer with a status of these.
    Status(RangeInclusive<u16>),
}

impl Blame {
    /// What is meant where nothing is written.
    pub(super) fn usual() -> Spanned<Vec<Self>> {
        Spanned::nowhere(vec![Self::ConnectFailure, Self::Timeout, Self::Status(500..=599)])
    }

    fn read(text: &str) -> Result<Self, String> {
        let status = |text: &str| text.parse().ok().filter(|status| (400..=599).contains(status));
        match text {
            "connect_failure" => return Ok(Self::ConnectFailure),
            "timeout" => return Ok(Self::Timeout),
            _ => {}
        }
        let (from, to) = text.split_once('-').unwrap_or((text, text));
        match (status(from), status(to)) {
            (Some(from), Some(to)) if from <= to => Ok(Self::Status(from..=to)),
            _ => {
                Err(format!("`{text}` is not a failure: connect_failure, timeout, or a status or range between 400 and 599, as in 500-599"))
            }
        }
    }
}

impl fmt::Display for Blame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConnectFailure => f.write_str("connect_failure"),
            Self::Timeout => f.write_str("timeout"),
            Self::Status(range) if range.start() == range.end() => write!(f, "{}", range.start()),
            Self::Status(range) => write!(f, "{}-{}", range.start(), range.end()),
        }
    }
}

impl Serialize for Blame {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Blame {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// A single status is a number where it is not quoted.
        struct TextOrNumber;
        impl Visitor<'_> for TextOrNumber {
            type Value = Blame;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("connect_failure, timeout, or a status or range such as 500-599")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Blame, E> {
                Blame::read(text).map_err(E::custom)
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Blame, E> {
                Blame::read(&number.to_string()).map_err(E::custom)
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Blame, E> {
                Blame::read(&number.to_string()).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(TextOrNumber)
    }
}

impl JsonSchema for Blame {
    fn schema_name() -> Cow<'static, str> {
        "CircuitFailure".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "What is the upstream's fault: connect_failure, timeout, a status, or a range of them.",
            "anyOf": [
                {"type": "string", "pattern": "^(connect_failure|timeout|[45][0-9]{2}(-[45][0-9]{2})?)$"},
                {"type": "integer", "minimum": 400, "maximum": 599},
            ],
        })
    }
}
