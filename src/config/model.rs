//! What can be written in a configuration: one struct a section, every key with its default.
//!
//! These types say what was typed. Names that point elsewhere are checked in `check.rs` and resolved in `snapshot.rs`.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use frontgate_filters::device::Table;
pub use frontgate_filters::filter::build::Secret;
use frontgate_filters::registry::FilterEntry;
use frontgate_filters::reply::respond::Respond;
use frontgate_filters::words::condition::{Condition, StatusRange};
use frontgate_filters::words::selector::Selector;
use frontgate_filters::words::spanned::Spanned;
use frontgate_filters::words::units::{Duration, Share, Size};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A whole configuration, from one file or a directory of them.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The language's version: 1.
    pub version: Spanned<Version>,
    /// Where the gateway listens and what it allows a connection.
    #[serde(default)]
    pub server: Server,
    /// The pools of endpoints, by name.
    #[serde(default)]
    pub upstreams: BTreeMap<String, Spanned<Upstream>>,
    /// Classes of devices, first match first, by the User-Agent; by default a built-in table of smart_tv, console, wearable, tablet, mobile,
    /// bot and desktop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub devices: Option<Spanned<Table>>,
    /// The filters, by name: each defined once, used by routes.
    #[serde(default)]
    pub filters: BTreeMap<String, Spanned<FilterEntry>>,
    /// Which request goes where.
    #[serde(default)]
    pub routes: Vec<Spanned<Route>>,
    /// Logs.
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
        match u8::deserialize(deserializer)? {
            1 => Ok(Self(1)),
            other => Err(serde::de::Error::custom(format!("version {other} of the language is not known: write `version: 1`"))),
        }
    }
}

/// `server`: listeners and what holds for every connection.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// The addresses that clients connect to.
    pub listeners: Vec<Spanned<Listener>>,
    /// The operators' address: health, metrics, reload. Elsewhere than on loopback it needs a token.
    pub admin: Option<Spanned<Admin>>,
    /// A read-only address for probes and scrapes: /livez, /readyz, /healthz, /metrics.
    pub status: Option<Spanned<SocketAddr>>,
    /// Worker threads: a number, or `auto` for what the control group allows.
    pub threads: Threads,
    /// Who may set X-Forwarded-*, X-Request-Id, X-BFF-Version and traceparent.
    pub trusted_proxies: Vec<Spanned<Network>>,
    /// How large a request may be.
    pub limits: Limits,
    /// How long a client may take.
    pub timeouts: ServerTimeouts,
    /// How the process ends.
    pub drain: Drain,
    /// Filters before every route's own, and over 404, 405 and 400 too.
    pub filters: Vec<Spanned<FilterUse>>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listeners: Vec::new(),
            admin: None,
            status: None,
            threads: Threads::Auto,
            trusted_proxies: Vec::new(),
            limits: Limits::default(),
            timeouts: ServerTimeouts::default(),
            drain: Drain::default(),
            filters: Vec::new(),
        }
    }
}

/// An address that clients connect to.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// IP address and port; port 0 takes a free one.
    pub address: SocketAddr,
    /// What is spoken there; `h2` in clear text is HTTP/2 with prior knowledge.
    #[serde(default = "Listener::default_protocols")]
    pub protocols: Vec<Protocol>,
}

impl Listener {
    fn default_protocols() -> Vec<Protocol> {
        vec![Protocol::Http1]
    }
}

/// A version of HTTP.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// HTTP/1.1 and HTTP/1.0.
    Http1,
    /// HTTP/2.
    H2,
}

/// The operators' address: `127.0.0.1:9901`, or a map with a token.
#[derive(Clone, Debug, PartialEq)]
pub struct Admin {
    /// IP address and port.
    pub address: SocketAddr,
    /// What `Authorization: Bearer` must carry; required elsewhere than on loopback.
    pub token: Option<Secret>,
}

/// The number of worker threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Threads {
    /// As many as the control group's quota and the affinity mask allow.
    #[default]
    Auto,
    /// This many.
    Count(NonZeroU32),
}

/// A network in CIDR notation, or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(pub ipnet::IpNet);

/// How large a request may be.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// The whole head: request line and headers; over it 431.
    pub headers: Size,
    /// How many header lines; over it 431.
    pub header_count: u32,
    /// The request target; over it 414.
    pub uri: Size,
    /// The body; over it 413. A route may say otherwise.
    pub body: Size,
}

impl Default for Limits {
    fn default() -> Self {
        Self { headers: Size(64 << 10), header_count: 100, uri: Size(8 << 10), body: Size(10 << 20) }
    }
}

/// How long a client may take.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct ServerTimeouts {
    /// The whole head, however it drips.
    pub header: Duration,
    /// The body: this long, and one second more for every 500 bytes that came.
    pub body: Duration,
    /// How long an idle connection is kept for the next request.
    pub keepalive: Duration,
    /// A client that does not read: this long, and one second more for every 500 bytes it took.
    pub write: Duration,
}

impl Default for ServerTimeouts {
    fn default() -> Self {
        let seconds = |s| Duration(std::time::Duration::from_secs(s));
        Self { header: seconds(10), body: seconds(30), keepalive: seconds(75), write: seconds(30) }
    }
}

/// How the process ends.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Drain {
    /// How long /readyz fails before the listeners close.
    pub notice: Duration,
    /// How long running requests may take from then on.
    pub timeout: Duration,
}

impl Default for Drain {
    fn default() -> Self {
        Self { notice: Duration::default(), timeout: Duration(std::time::Duration::from_secs(30)) }
    }
}

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

/// A route: which requests, and what becomes of them. One of `upstream`, `redirect` and `respond` must stand.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Its name in logs and metrics.
    pub name: Spanned<String>,
    /// The host: `shop.example`, `*.shop.example`, or none for every host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Spanned<String>>,
    /// The path: literal segments, `{name}` for one segment, `**` last for any number.
    pub path: Spanned<String>,
    /// The methods; none means all. GET includes HEAD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub methods: Option<Spanned<Vec<Spanned<String>>>>,
    /// The pool that answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<Spanned<String>>,
    /// A redirect instead of a pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect: Option<Spanned<Redirect>>,
    /// A fixed answer instead of a pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub respond: Option<Spanned<Respond>>,
    /// Its filters in order: names, or filters written in place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Spanned<FilterUse>>,
    /// What the pool is sent instead of the path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rewrite: Option<Spanned<Rewrite>>,
    /// All attempts together, to the last byte; none by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// Limits of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<RouteLimits>,
}

/// A route's own limits.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct RouteLimits {
    /// The request body; over it 413.
    pub body: Size,
}

/// A redirect: `{to: "/new/{rest}", status: 308}`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Redirect {
    /// The target: a path or an absolute URL, with the path's variables in braces; the query is kept.
    pub to: Spanned<String>,
    /// 301, 302, 303, 307 or 308 (the default).
    #[serde(default = "Redirect::default_status")]
    pub status: Spanned<u16>,
}

impl Redirect {
    fn default_status() -> Spanned<u16> {
        Spanned::nowhere(308)
    }
}

/// What the pool is sent instead of the path: one of the two.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Rewrite {
    /// The path without this prefix of whole segments.
    StripPrefix(Spanned<String>),
    /// Another path, with the path's variables in braces; `{rest}` is what `**` matched.
    Path(Spanned<String>),
}

/// A filter where it is used: a name, or a filter written in place.
#[derive(Clone, Debug, PartialEq)]
pub enum FilterUse {
    /// One of `filters`.
    Named(String),
    /// A filter of this route alone.
    Inline(FilterEntry),
}

/// `telemetry`: what is written down about requests.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Telemetry {
    /// The access log: one JSON line a request.
    pub access_log: AccessLog,
}

/// `access_log: off`, or `{format: json, to: stdout}`.
#[derive(Clone, Debug, PartialEq)]
pub enum AccessLog {
    /// None.
    Off,
    /// Lines to somewhere.
    On {
        /// The lines' form.
        format: LogFormat,
        /// Where they go.
        to: LogTarget,
    },
}

impl Default for AccessLog {
    fn default() -> Self {
        Self::On { format: LogFormat::Json, to: LogTarget::Stdout }
    }
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// One JSON object a line.
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
    /// A file, appended to; relative to the file that names it.
    File(Spanned<PathBuf>),
}

impl fmt::Display for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Count(count) => write!(f, "{count}"),
        }
    }
}
