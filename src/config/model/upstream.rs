//! `upstreams`: the services behind the gateway: endpoints, balancing, health, timeouts, retries.

use std::num::NonZeroU32;
use std::path::PathBuf;

use frontgate_filters::words::condition::{Condition, StatusRange};
use frontgate_filters::words::selector::Selector;
use frontgate_filters::words::spanned::Spanned;
use frontgate_filters::words::units::{Duration, Share};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use super::address::Address;
use super::discover::Discover;
use super::forms::{Short, deserialize_short_or_long, schemas, short_or};

/// An upstream: endpoints that serve the same thing.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// Its endpoints: `10.0.0.1:80`, `users.internal:8080`, or maps with weight and version. Each address that a name has is an endpoint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<Spanned<Endpoint>>,
    /// Where endpoints come from that come and go, beside those in `endpoints`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discover: Option<Spanned<Discover>>,
    /// How an endpoint is chosen for a request.
    #[serde(default)]
    pub balance: Balance,
    /// Active health checks; by default none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Spanned<Health>>,
    /// Whether /readyz and /healthz?full=1 fail while it has no healthy endpoint.
    #[serde(default)]
    pub required: bool,
    /// Outlier ejection; by default none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outlier: Option<Spanned<Outlier>>,
    /// How long an endpoint that became healthy again takes to reach its full share of requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_start: Option<Duration>,
    /// While no endpoint is healthy: whether all are tried, since the health checks may be what is wrong; otherwise 503 with Retry-After.
    #[serde(default = "Upstream::default_panic")]
    pub panic: bool,
    /// Maximum concurrent requests: with HTTP/1 as many connections; over HTTP/2 many requests share one. Health checks are not counted. By default unlimited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<NonZeroU32>,
    /// Retries; by default only after a stale keep-alive connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Spanned<Retry>>,
    /// Timeouts towards the upstream.
    #[serde(default)]
    pub timeouts: UpstreamTimeouts,
    /// The Host header that is sent; by default the client's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Spanned<String>>,
    /// The protocol that its endpoints are spoken to in, by default `http1`; gRPC needs HTTP/2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Spanned<UpstreamProtocol>>,
    /// TLS to its endpoints; by default they are spoken to in clear text. `tls: {}` verifies them with the system's certificates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Spanned<UpstreamTls>>,
}

/// TLS to an upstream: version 1.2 or 1.3, and always verified.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct UpstreamTls {
    /// The name that its certificate has to be for, also sent as SNI: of a host, or an IP address. By default what `host` names, else the
    /// endpoint's own address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<Spanned<String>>,
    /// The file of the authorities that it is verified with, in PEM, in place of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<Spanned<PathBuf>>,
    /// The file of the certificate that is shown to it, in PEM, followed by those that it was issued by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert: Option<Spanned<PathBuf>>,
    /// The file of the private key of `cert`, in PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<Spanned<PathBuf>>,
}

impl Upstream {
    /// Whether it is never spoken to in HTTP/2.
    pub fn speaks_http1_alone(&self) -> bool {
        self.protocol.as_ref().is_none_or(|protocol| protocol.value == UpstreamProtocol::Http1)
    }

    fn default_panic() -> bool {
        true
    }

    /// The protocol that its endpoints are spoken to in.
    pub fn protocol(&self) -> UpstreamProtocol {
        self.protocol.as_ref().map_or_else(UpstreamProtocol::default, |protocol| protocol.value)
    }
}

/// The protocol that an upstream's endpoints speak.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum UpstreamProtocol {
    /// HTTP/1.1: a connection for each request in flight.
    #[default]
    Http1,
    /// HTTP/2, in clear text with prior knowledge (h2c): requests share connections.
    H2,
    /// What each endpoint takes, HTTP/2 where it does (ALPN); only with `tls`.
    Auto,
}

impl UpstreamProtocol {
    /// As it is written.
    pub fn label(self) -> &'static str {
        match self {
            Self::Http1 => "http1",
            Self::H2 => "h2",
            Self::Auto => "auto",
        }
    }
}

/// An endpoint of an upstream, as it is written: `10.0.0.1:80`, `users.internal:8080`, or a map with its weight and version.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// Where it listens.
    pub address: Address,
    /// Its share of requests relative to the other weights; 0: none.
    pub weight: u32,
    /// The version that `X-BFF-Version` names on its answers.
    pub version: Option<Spanned<String>>,
}

#[derive(serde::Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EndpointMap {
    /// IP address or name, and port.
    address: Address,
    /// Its share of requests relative to the other weights; 0: none. Each address of a name has this weight.
    #[serde(default = "EndpointMap::one")]
    weight: u32,
    /// The version that `X-BFF-Version` names on its answers.
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
    const EXPECTED: &'static str =
        "an address such as 10.0.0.1:8080, a name such as users.internal:8080, or a map of `address`, `weight` and `version`";
    fn short(text: &str) -> Result<Self, String> {
        Address::parse(text).map(|address| Self { address, weight: 1, version: None })
    }
}

impl Serialize for Endpoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.weight == 1 && self.version.is_none() {
            return self.address.serialize(serializer);
        }
        EndpointMap { address: self.address.clone(), weight: self.weight, version: self.version.clone() }.serialize(serializer)
    }
}

/// Active health checks: each endpoint is probed every `interval` (jittered by up to 10 %).
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Health {
    /// The path requested with GET; set exactly one of this, `tcp` and `grpc`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<Spanned<String>>,
    /// Whether opening a TCP connection is enough.
    pub tcp: bool,
    /// The service that a gRPC server is asked about (`grpc.health.v1.Health/Check`); empty for all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc: Option<Spanned<String>>,
    /// Time between two probes.
    pub interval: Duration,
    /// Timeout of a probe.
    pub timeout: Duration,
    /// Consecutive failed probes until an endpoint is unhealthy.
    pub unhealthy_after: NonZeroU32,
    /// Consecutive successful probes until an endpoint is healthy.
    pub healthy_after: NonZeroU32,
    /// Statuses that count as success.
    pub expect: StatusRange,
    /// The state of an endpoint before its first probe.
    pub start: Start,
}

impl Default for Health {
    fn default() -> Self {
        let seconds = |s| Duration(std::time::Duration::from_secs(s));
        Self {
            path: None,
            tcp: false,
            grpc: None,
            interval: seconds(2),
            timeout: seconds(1),
            unhealthy_after: NonZeroU32::MIN.saturating_add(2),
            healthy_after: NonZeroU32::MIN.saturating_add(1),
            expect: StatusRange { first: 200, last: 299 },
            start: Start::Healthy,
        }
    }
}

/// The state of an endpoint before its first probe.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// It receives requests at once.
    #[default]
    Healthy,
    /// It receives none until enough probes succeed.
    Unhealthy,
}

/// Outlier ejection: an endpoint whose requests fail gets none for a while, even if it passes health checks.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Outlier {
    /// Consecutive failed requests (no connection, timeout, broken connection, status 500 or above) until an endpoint is ejected.
    pub consecutive: NonZeroU32,
    /// Duration of the first ejection; the second lasts twice as long, and so on up to ten times.
    pub eject_for: Duration,
    /// Maximum share of endpoints ejected at once; in an upstream of two or more, one may always be.
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

/// Retries: of idempotent methods only, and only before anything was sent to the client.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// Maximum attempts per request, including the first.
    pub attempts: NonZeroU32,
    /// What is retried.
    pub when: Vec<Condition>,
    /// Retry budget: the maximum share of the upstream's requests in flight that may be retries; three are always allowed.
    pub budget: Share,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: NonZeroU32::MIN.saturating_add(1), when: vec![Condition::ConnectFailure], budget: Share(0.2) }
    }
}

/// How an endpoint is chosen for a request.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// In turn, by weight (weighted round robin).
    #[default]
    RoundRobin,
    /// At random, by weight.
    Random,
    /// Of two endpoints drawn by weight, the one with fewer requests in flight for its weight.
    LeastRequest,
    /// The same endpoint for the same value of a selector, while that endpoint is healthy and not overloaded; `client_ip` where a request has no such value.
    ConsistentHash(Spanned<Selector>),
}

/// Timeouts towards an upstream.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct UpstreamTimeouts {
    /// Until the connection is established.
    pub connect: Duration,
    /// From the last byte of the request to the response's head: a duration, or `adaptive`.
    pub first_byte: FirstByte,
    /// Between two reads of the response body; events (`text/event-stream`) may pause for longer.
    pub between_bytes: Duration,
    /// One attempt, to the last byte of the response; by default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<Duration>,
    /// How long an idle connection is kept open.
    pub idle: Duration,
    /// How long a gRPC call may be idle: no message in either direction. It holds in place of `between_bytes`, which no call has; by default
    /// none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_idle: Option<Duration>,
}

impl Default for UpstreamTimeouts {
    fn default() -> Self {
        let seconds = |s| Duration(std::time::Duration::from_secs(s));
        Self {
            connect: seconds(1),
            first_byte: FirstByte::Fixed(seconds(15)),
            between_bytes: seconds(30),
            total: None,
            idle: seconds(60),
            stream_idle: None,
        }
    }
}

/// How long the response's head may take: `2s`, `adaptive`, or `{adaptive: {min: 100ms, max: 5s}}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstByte {
    /// A fixed duration.
    Fixed(Duration),
    /// The recent 99th percentile plus 200 ms.
    Adaptive(Adaptive),
}

#[derive(serde::Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FirstByteMap {
    /// The recent 99th percentile plus 200 ms, within these bounds.
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
    /// Lower bound.
    pub min: Duration,
    /// Upper bound, also used until enough requests were measured.
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
    Endpoint: "Endpoint" = |generator| short_or(generator.subschema_for::<EndpointMap>(), "10.0.0.1:80, users.internal:8080, or a map with its weight and version.");
    FirstByte: "FirstByte" = |generator| short_or(generator.subschema_for::<FirstByteMap>(), "A duration such as 2s, `adaptive`, or its bounds.");
}
