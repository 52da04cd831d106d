//! `telemetry`: what is recorded about requests.

use std::fmt;
use std::path::PathBuf;

use frontgate_filters::filter::build::Secret;
use frontgate_filters::words::spanned::Spanned;
use schemars::{JsonSchema, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::forms::schemas;
use crate::telemetry::LineFilter;

/// `telemetry`: what is recorded about requests.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Telemetry {
    /// The access log: one line per request.
    pub access_log: AccessLog,
    /// A secret of at least 16 bytes that makes the hashes of subjects and limit keys in the access log the same on every node and after a
    /// restart; without one they are those of one process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash_key: Option<Spanned<Secret>>,
}

/// `access_log: off`, or `{format: json, to: stdout, when: "status>=400 or share 1%"}`.
#[derive(Clone, Debug, PartialEq)]
pub enum AccessLog {
    /// No log.
    Off,
    /// Lines are written.
    On {
        /// The format of a line.
        format: LogFormat,
        /// Where lines go.
        to: LogTarget,
        /// Which requests have a line; by default every one.
        when: Option<Spanned<LineFilter>>,
    },
}

impl Default for AccessLog {
    fn default() -> Self {
        Self::On { format: LogFormat::Json, to: LogTarget::Stdout, when: None }
    }
}

#[derive(Default, serde::Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct AccessLogMap {
    /// The format of a line.
    format: LogFormat,
    /// Where lines go.
    to: LogTarget,
    /// Which requests have a line, as in `status>=400 or share 1%`; by default every one. What is asked of a line are its fields, and times
    /// have units: `duration>200ms`. A share takes the same requests on every gateway that has their identifiers.
    #[serde(skip_serializing_if = "Option::is_none")]
    when: Option<Spanned<LineFilter>>,
}

impl<'de> Deserialize<'de> for AccessLog {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OffOrMap;
        impl<'de> Visitor<'de> for OffOrMap {
            type Value = AccessLog;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`off`, or a map of `format`, `to` and `when`")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<AccessLog, E> {
                if text == "off" {
                    Ok(AccessLog::Off)
                } else {
                    Err(E::custom(format!("expected `off` or a map of `format`, `to` and `when`, found `{text}`")))
                }
            }
            /// Tools that write YAML of version 1.1 turn `off` into `false`.
            fn visit_bool<E: de::Error>(self, on: bool) -> Result<AccessLog, E> {
                Ok(if on { AccessLog::default() } else { AccessLog::Off })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<AccessLog, A::Error> {
                let AccessLogMap { format, to, when } = AccessLogMap::deserialize(MapAccessDeserializer::new(map))?;
                Ok(AccessLog::On { format, to, when })
            }
        }
        deserializer.deserialize_any(OffOrMap)
    }
}

impl Serialize for AccessLog {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Off => serializer.serialize_str("off"),
            Self::On { format, to, when } => AccessLogMap { format: *format, to: to.clone(), when: when.clone() }.serialize(serializer),
        }
    }
}

/// The format of a log line.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// One JSON object per line.
    #[default]
    Json,
}

/// Where log lines go.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum LogTarget {
    /// Standard output.
    #[default]
    Stdout,
    /// A file that lines are appended to; relative to the configuration file.
    File(Spanned<PathBuf>),
}

schemas! {
    AccessLog: "AccessLog" = |generator| json_schema!({
        "description": "`off`, or format and destination.", "anyOf": [{"const": "off"}, generator.subschema_for::<AccessLogMap>()],
    });
}
