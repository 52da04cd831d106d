//! What can be written in a configuration: one struct a section, every key with its default.
//!
//! These types hold what was typed. Whether its names point anywhere is checked by `check`; they are resolved when a snapshot is compiled.

mod address;
mod canary;
mod compose;
mod discover;
mod dns;
mod forms;
mod graphql;
mod mirror;
mod route;
mod saga;
mod server;
mod split;
mod telemetry;
mod tls;
mod upstream;

use std::collections::BTreeMap;
use std::fmt;

use frontgate_filters::device::Table;
pub use frontgate_filters::filter::build::Secret;
use frontgate_filters::registry::FilterEntry;
use frontgate_filters::words::spanned::Spanned;
use schemars::JsonSchema;
use serde::de::{self, Visitor};
use serde::{Deserialize, Serialize};

pub use address::{Address, Name, is_host_name};
pub use canary::{By, CanaryOptions, MOST_VARIANTS, Otherwise, Sticky, Variant};
pub use compose::{
    Aggregate, AggregateLimits, Call, Errors, Expect, Json, JsonPath, JsonPlace, Ordered, Verb, When, WhenFact, Within, foreign,
};
pub use discover::{Discover, Etcd, EtcdFormat, EtcdTls};
pub use dns::{Dns, DnsServer};
pub use graphql::{GraphField, GraphHide, GraphLimits, GraphSchema, GraphTypes, Graphql, Introspection, Persisted};
pub use mirror::{Mirror, MirrorHeaders};
pub use route::{FilterUse, Priority, Redirect, Rewrite, Route, RouteLimits, Target};
pub use saga::{OnMissingKey, Saga, SagaKey, SagaStep, Undo};
pub use server::{Admin, Drain, Limits, Listener, Network, Overload, Protocol, ProxyProtocol, Server, ServerTimeouts, Threads};
pub use split::{AfterWrite, Sent, Split};
pub use telemetry::{AccessLog, Keep, LogFormat, LogTarget, Sample, Shares, Telemetry, Tracing};
pub use tls::{CertificatePair, ClientAuth, ClientAuthMode, ListenerTls, MinVersion};
pub use upstream::{
    Adaptive, Balance, Endpoint, FirstByte, Health, Outlier, Retry, Start, Upstream, UpstreamProtocol, UpstreamTimeouts, UpstreamTls,
};

/// A whole configuration, from one file or a directory of them.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The version of the configuration language: 1.
    pub version: Spanned<Version>,
    /// Listeners, and limits and timeouts of client connections.
    #[serde(default)]
    pub server: Server,
    /// The services behind the gateway, by name.
    #[serde(default)]
    pub upstreams: BTreeMap<String, Spanned<Upstream>>,
    /// Device classes by User-Agent, in order: the first match wins. Default: a built-in table of smart_tv, console, wearable, tablet, mobile,
    /// bot and desktop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub devices: Option<Spanned<Table>>,
    /// The filters, by name: each is defined once and used by any number of routes.
    #[serde(default)]
    pub filters: BTreeMap<String, Spanned<FilterEntry>>,
    /// Which requests there are and where each goes.
    #[serde(default)]
    pub routes: Vec<Spanned<Route>>,
    /// The access log, and spans.
    #[serde(default)]
    pub telemetry: Telemetry,
}

/// The only version of the language so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(extend("const" = 1))]
#[serde(transparent)]
pub struct Version(u8);

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct One;
        impl<'de> Visitor<'de> for One {
            type Value = Version;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the version of the configuration language: write `version: 1`")
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Version, E> {
                match number {
                    1 => Ok(Version(1)),
                    other => Err(E::custom(format!("unknown version {other} of the configuration language: write `version: 1`"))),
                }
            }
            fn visit_f64<E: de::Error>(self, _: f64) -> Result<Version, E> {
                Err(E::custom("the version of the configuration language is a whole number: write `version: 1`"))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Version, E> {
                Err(E::custom(format!("`{text}` is not a version of the configuration language: write `version: 1`")))
            }
        }
        // As a number, so that `${VERSION}` may bring one.
        deserializer.deserialize_u64(One)
    }
}
