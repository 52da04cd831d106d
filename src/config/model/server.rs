//! `server`: where the gateway listens, and what holds for every connection.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;

use frontgate_filters::filter::build::Secret;
use frontgate_filters::words::spanned::Spanned;
use frontgate_filters::words::units::{Duration, Size};
use schemars::{JsonSchema, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::forms::{Short, address, deserialize_short_or_long, schemas, short_or};
use super::route::FilterUse;

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

#[derive(serde::Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AdminMap {
    /// IP address and port.
    address: SocketAddr,
    /// What `Authorization: Bearer` must carry; required elsewhere than on loopback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<Secret>,
}

impl From<AdminMap> for Admin {
    fn from(map: AdminMap) -> Self {
        Self { address: map.address, token: map.token }
    }
}

impl Short for Admin {
    type Long = AdminMap;
    const EXPECTED: &'static str = "an address such as 127.0.0.1:9901, or a map of `address` and `token`";
    fn short(text: &str) -> Result<Self, String> {
        address(text).map(|address| Self { address, token: None })
    }
}

impl Serialize for Admin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.token {
            None => self.address.serialize(serializer),
            token => AdminMap { address: self.address, token: token.clone() }.serialize(serializer),
        }
    }
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

impl fmt::Display for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Count(count) => write!(f, "{count}"),
        }
    }
}

impl<'de> Deserialize<'de> for Threads {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AutoOrCount;
        impl Visitor<'_> for AutoOrCount {
            type Value = Threads;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`auto` or a whole number above 0")
            }
            fn visit_u64<E: de::Error>(self, count: u64) -> Result<Threads, E> {
                let count = u32::try_from(count).ok().and_then(NonZeroU32::new);
                count.map(Threads::Count).ok_or_else(|| E::custom("expected `auto` or a whole number above 0"))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Threads, E> {
                if text == "auto" { Ok(Threads::Auto) } else { Err(E::custom(format!("`{text}` is neither `auto` nor a number"))) }
            }
        }
        // As a number, so that `${THREADS}` may bring one.
        deserializer.deserialize_u64(AutoOrCount)
    }
}

impl Serialize for Threads {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Count(count) => count.serialize(serializer),
        }
    }
}

/// A network in CIDR notation, or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(pub ipnet::IpNet);

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let single = || text.parse::<IpAddr>().map(ipnet::IpNet::from);
        text.parse()
            .or_else(|_| single())
            .map(Self)
            .map_err(|_| de::Error::custom(format!("`{text}` is neither a network such as 10.0.0.0/8 nor an IP address")))
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

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

deserialize_short_or_long!(Admin);

schemas! {
    Admin: "Admin" = |generator| short_or(generator.subschema_for::<AdminMap>(), "127.0.0.1:9901, or a map with a token.");
    Threads: "Threads" = |_generator| json_schema!({
        "description": "`auto`, or a number.", "anyOf": [{"const": "auto"}, {"type": "integer", "minimum": 1}],
    });
    Network: "Network" = |_generator| json_schema!({"description": "A network such as 10.0.0.0/8, or one address.", "type": "string"});
}
