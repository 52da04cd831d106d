//! `telemetry`: what is recorded about requests.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use frontgate_filters::filter::build::Secret;
use frontgate_filters::words::spanned::Spanned;
use frontgate_filters::words::units::{Duration, Share};
use schemars::{JsonSchema, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::forms::{Short, deserialize_short_or_long, schemas, short_or};
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
    /// Spans of requests for a collector of OpenTelemetry, in a build with `otel`. The standard OTEL_ variables say what is not written here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracing: Option<Spanned<Tracing>>,
}

/// `tracing`: spans of requests for a collector of OpenTelemetry.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Tracing {
    /// The URL of the collector, which is sent OTLP over HTTP, at /v1/traces below it. Default: what OTEL_EXPORTER_OTLP_TRACES_ENDPOINT or
    /// OTEL_EXPORTER_OTLP_ENDPOINT says, else http://localhost:4318.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp: Option<Spanned<String>>,
    /// The share of traces that begin here and are recorded: one for all routes, or `routes` with their own and `otherwise`. What a trusted proxy
    /// says in `traceparent` comes before it. Default: what OTEL_TRACES_SAMPLER says, else all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample: Option<Sample>,
    /// Requests that are told of though their traces are not recorded.
    pub keep: Keep,
}

/// Shares of traces: one, or one for each of some routes.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct Sample {
    /// By the route's name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub routes: BTreeMap<String, Spanned<Share>>,
    /// Of all other requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otherwise: Option<Share>,
}

/// Shares of traces by route, as they are written.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Shares {
    /// By the route's name.
    pub routes: BTreeMap<String, Spanned<Share>>,
    /// Of all other requests. Default: what OTEL_TRACES_SAMPLER says, else all.
    pub otherwise: Option<Share>,
}

impl From<Shares> for Sample {
    fn from(map: Shares) -> Self {
        Self { routes: map.routes, otherwise: map.otherwise }
    }
}

impl Short for Sample {
    type Long = Shares;
    const EXPECTED: &'static str = "a share, as in 1%, or a map of `routes` and `otherwise`";
    fn short(text: &str) -> Result<Self, String> {
        Ok(Self { routes: BTreeMap::new(), otherwise: Some(text.parse()?) })
    }
}

deserialize_short_or_long!(Sample);

/// What is kept of requests that are not recorded.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Keep {
    /// Those that failed: by a status of 500 or above, by a gRPC status that the service is to answer for, or by an answer that broke off.
    pub errors: bool,
    /// Those that took longer, streams included. A WebSocket is not meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub over: Option<Spanned<Duration>>,
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
    Sample: "Sample" = |generator| short_or(generator.subschema_for::<Shares>(), "A share of all, or shares by the route's name.");
    AccessLog: "AccessLog" = |generator| json_schema!({
        "description": "`off`, or format and destination.", "anyOf": [{"const": "off"}, generator.subschema_for::<AccessLogMap>()],
    });
}
