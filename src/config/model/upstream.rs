//! `upstreams`: the services behind the gateway, with all that is known of them beforehand.

use std::net::SocketAddr;
use std::num::NonZeroU32;

use frontgate_filters::words::condition::{Condition, StatusRange};
use frontgate_filters::words::selector::Selector;
use frontgate_filters::words::spanned::Spanned;
use frontgate_filters::words::units::{Duration, Share};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use super::forms::{Short, address, deserialize_short_or_long, schemas, short_or};

/// A pool of endpoints that serve the same thing.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// Where its processes listen.
    pub endpoints: Vec<Spanned<Endpoint>>,
    /// How one of them is chosen.
    #[serde(default)]
    pub balance: Balance,
    /// How it is found out whether they live; by default only by the requests themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Spanned<Health>>,
    /// Whether the gateway is not ready without it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
    /// When an endpoint whose answers fail is left alone for a while; by default never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outlier: Option<Spanned<Outlier>>,
    /// How long an endpoint that has come back takes to get its whole share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_start: Option<Duration>,
    /// So many requests at once and no more, each on a connection of its own with HTTP/1; probes do not count. By default there is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<NonZeroU32>,
    /// When a failed attempt is followed by another; by default only where a pooled connection was stale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Spanned<Retry>>,
    /// How long it may take.
    #[serde(default)]
    pub timeouts: UpstreamTimeouts,
    /// The Host that it is sent; by default the client's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Spanned<String>>,
}

/// One process of a pool: `10.0.0.1:80`, or a map with its weight and version.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// IP address and port.
    pub address: SocketAddr,
    /// Its share of the requests beside the others' weights; 0 takes none.
    pub weight: u32,
    /// What `X-BFF-Version` says of its answers.
    pub version: Option<Spanned<String>>,
}

#[derive(serde::Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EndpointMap {
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

/// How it is found out whether endpoints live: a probe of each, every `interval` and up to a tenth more or less.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Health {
    /// What is asked for with GET; this or `tcp`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<Spanned<String>>,
    /// Only whether a connection is taken.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub tcp: bool,
    /// From one probe to the next.
    pub interval: Duration,
    /// How long a probe may take.
    pub timeout: Duration,
    /// So many failed probes in a row make an endpoint unhealthy.
    pub unhealthy_after: NonZeroU32,
    /// So many good ones in a row make it healthy.
    pub healthy_after: NonZeroU32,
    /// The statuses of a good answer.
    pub expect: StatusRange,
    /// What an endpoint is before its first probe.
    pub start: Start,
}

impl Default for Health {
    fn default() -> Self {
        let seconds = |s| Duration(std::time::Duration::from_secs(s));
        Self {
            path: None,
            tcp: false,
            interval: seconds(2),
            timeout: seconds(1),
            unhealthy_after: NonZeroU32::MIN.saturating_add(2),
            healthy_after: NonZeroU32::MIN.saturating_add(1),
            expect: StatusRange { first: 200, last: 299 },
            start: Start::Healthy,
        }
    }
}

/// What an endpoint is before its first probe.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// It takes requests at once.
    #[default]
    Healthy,
    /// It waits for good probes.
    Unhealthy,
}

/// When an endpoint is left alone although probes find it well.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Outlier {
    /// So many failed requests in a row: no connection, too slow, broken off, or a status from 500 on.
    pub consecutive: NonZeroU32,
    /// For how long the first time; the second time for twice that, and so on up to ten times.
    pub eject_for: Duration,
    /// No more than this share of a pool, but one endpoint of two or more always.
    pub max_ejected: Share,
}

impl Default for Outlier {
    fn default() -> Self {
        Self {
            consecutive: NonZeroU32::MIN.saturating_add(4),
            eject_for: Duration(std::time::Duration::from_secs(30)),
            max_ejected: Share(0.1),
        }
    }
}

/// When a failed attempt is followed by another. Only idempotent methods, and only before a byte went to the client.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// Attempts in all, the first one counted.
    pub attempts: NonZeroU32,
    /// What is tried again.
    pub when: Vec<Condition>,
    /// The share of the pool's requests in flight that may be further attempts; three always may.
    pub budget: Share,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: NonZeroU32::MIN.saturating_add(1), when: vec![Condition::ConnectFailure], budget: Share(0.2) }
    }
}

/// How an endpoint is chosen.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// In turn, by weight.
    #[default]
    RoundRobin,
    /// By chance, by weight.
    Random,
    /// The one of two drawn by weight that has fewer requests in flight for its weight.
    LeastRequest,
    /// The same one for the same value of a fact, as long as it lives and is not overloaded; `client_ip` where a request has no such fact.
    ConsistentHash(Spanned<Selector>),
}

/// How long a pool may take.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct UpstreamTimeouts {
    /// To take the connection.
    pub connect: Duration,
    /// From the request's last byte to the response's head: a duration, or `adaptive`.
    pub first_byte: FirstByte,
    /// Between two parts of the response's body.
    pub between_bytes: Duration,
    /// One attempt to its last byte; none by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<Duration>,
    /// How long an idle connection is kept.
    pub idle: Duration,
}

impl Default for UpstreamTimeouts {
    fn default() -> Self {
        let seconds = |s| Duration(std::time::Duration::from_secs(s));
        Self { connect: seconds(1), first_byte: FirstByte::Fixed(seconds(15)), between_bytes: seconds(30), total: None, idle: seconds(60) }
    }
}

/// How long the response's head may take: `2s`, `adaptive`, or `{adaptive: {min: 100ms, max: 5s}}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstByte {
    /// So long.
    Fixed(Duration),
    /// As long as 99 of 100 took lately and 200 ms more.
    Adaptive(Adaptive),
}

#[derive(serde::Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FirstByteMap {
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

/// The bounds of an adaptive timeout.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Adaptive {
    /// Never shorter.
    pub min: Duration,
    /// Never longer, and so long while too little is known.
    pub max: Duration,
}

impl Default for Adaptive {
    fn default() -> Self {
        let millis = |ms| Duration(std::time::Duration::from_millis(ms));
        Self { min: millis(100), max: millis(5000) }
    }
}

deserialize_short_or_long!(Endpoint, FirstByte);

schemas! {
    Endpoint: "Endpoint" = |generator| short_or(generator.subschema_for::<EndpointMap>(), "10.0.0.1:80, or a map with its weight and version.");
    FirstByte: "FirstByte" = |generator| short_or(generator.subschema_for::<FirstByteMap>(), "A duration such as 2s, `adaptive`, or its bounds.");
}
