//! `server`: where the gateway listens, and what applies to every client connection.

use std::fmt;
use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroU32};
use std::path::PathBuf;

use frontgate_filters::filter::build::Secret;
pub use frontgate_filters::words::network::Network;
use frontgate_filters::words::selector::Selector;
use frontgate_filters::words::spanned::Spanned;
use frontgate_filters::words::units::{Duration, Share, Size};
use schemars::{JsonSchema, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::dns::Dns;
use super::forms::{Short, address, deserialize_short_or_long, optional_socket, schemas, short_or, socket};
use super::route::FilterUse;
use super::tls::ListenerTls;

/// `server`: listeners, and what applies to every client connection.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// The addresses that clients connect to.
    pub listeners: Vec<Spanned<Listener>>,
    /// The admin address: health, metrics, reload and more. Unless it is on loopback, a token is required.
    pub admin: Option<Spanned<Admin>>,
    /// A read-only address for probes and metrics: /livez, /readyz, /healthz, /metrics.
    #[serde(deserialize_with = "optional_socket")]
    pub status: Option<Spanned<SocketAddr>>,
    /// Number of worker threads, at most 1024, or `auto`: as many as the control group (cgroup) allows.
    pub threads: Threads,
    /// Proxies in front of the gateway that may set X-Forwarded-*, Forwarded, X-Real-IP, X-Client-Cert*, X-SSL-*, X-Request-Id, X-BFF-Version,
    /// traceparent, tracestate and baggage. From everybody else these are removed, in every spelling.
    pub trusted_proxies: Vec<Spanned<Network>>,
    /// Maximum sizes of a request.
    pub limits: Limits,
    /// Timeouts towards clients.
    pub timeouts: ServerTimeouts,
    /// Whether a client that closed its half of the connection still gets its answer, however long that takes; otherwise it counts as one
    /// that has left where the answer is not there within 0.3 s.
    pub half_close: bool,
    /// A directory for what a restart shall not lose: the last five configurations that were accepted, as their files held them, and the
    /// endpoints that were discovered last. It is made where it does not exist; without it nothing is written to disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_dir: Option<Spanned<PathBuf>>,
    /// How names are resolved: those of endpoints, and those of the hosts that key sets come from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns: Option<Spanned<Dns>>,
    /// From where on the gateway counts as overloaded: then routes of low `priority` are refused, and connections are not kept alive.
    pub overload: Overload,
    /// How the process shuts down.
    pub drain: Drain,
    /// Filters that run before those of every route. Their marks are also on 404, 405 and 400.
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
            half_close: false,
            state_dir: None,
            dns: None,
            overload: Overload::default(),
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
    #[serde(deserialize_with = "socket")]
    pub address: SocketAddr,
    /// A name, for a socket that systemd listens on: the one with this `FileDescriptorName=` is taken, whatever its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Spanned<String>>,
    /// TLS spoken there; without it clear text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Spanned<ListenerTls>>,
    /// Protocols spoken there, by default `[http1]`, and `[h2, http1]` with `tls`. `h2` in clear text means HTTP/2 with prior knowledge, and
    /// stands there beside `http1`. With `tls` and `[h2]` alone, clients that do not ask for HTTP/2 (ALPN) are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocols: Option<Vec<Protocol>>,
    /// For a listener behind a load balancer that says by the PROXY protocol, version 1 or 2, for whom it connects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<Spanned<ProxyProtocol>>,
    /// Answers every request, without exception, with 308 to the same host, path (in its normal form) and query over HTTPS at this port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect_to_https: Option<NonZeroU16>,
}

impl Server {
    /// The headers that tell upstreams of certificates, of all listeners, each with its fact.
    pub fn cert_headers(&self) -> impl Iterator<Item = (&str, &Spanned<Selector>)> {
        let tls = self.listeners.iter().filter_map(|listener| listener.tls.as_ref());
        let headers = tls.filter_map(|tls| tls.client_auth.as_ref()).flat_map(|auth| &auth.cert_headers);
        headers.map(|(name, fact)| (name.as_str(), fact))
    }
}

impl Listener {
    /// Whether this protocol is spoken there.
    pub fn speaks(&self, protocol: Protocol) -> bool {
        match &self.protocols {
            Some(protocols) => protocols.contains(&protocol),
            None => protocol == Protocol::Http1 || self.tls.is_some(),
        }
    }
}

/// Who connects for others: what a PROXY header says is believed because everybody else is kept out.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct ProxyProtocol {
    /// Networks and addresses that have to send a PROXY header before anything else. Connections from everywhere else are closed.
    pub from: Vec<Spanned<Network>>,
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

/// The admin address: `127.0.0.1:9901`, or a map with a token.
#[derive(Clone, Debug, PartialEq)]
pub struct Admin {
    /// IP address and port.
    pub address: SocketAddr,
    /// The token expected as `Authorization: Bearer`; required unless the address is on loopback.
    pub token: Option<Secret>,
}

#[derive(serde::Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AdminMap {
    /// IP address and port.
    #[serde(deserialize_with = "socket")]
    address: SocketAddr,
    /// The token expected as `Authorization: Bearer`; required unless the address is on loopback.
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
    /// A fixed number.
    Count(NonZeroU32),
}

impl Threads {
    /// More of them than any machine has cores is a mistake, and costs memory.
    pub const MOST: u32 = 1024;
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
                let few = u32::try_from(count).ok().filter(|count| *count <= Threads::MOST).and_then(NonZeroU32::new);
                few.map(Threads::Count)
                    .ok_or_else(|| E::custom(format!("expected `auto` or a whole number from 1 to {}, found {count}", Threads::MOST)))
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

/// Maximum sizes of a request, and how many clients there may be.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Maximum size of the request line and all headers together; above it 431.
    pub headers: Size,
    /// Maximum number of header lines; above it 431.
    pub header_count: u32,
    /// Maximum length of the request target; above it 414.
    pub uri: Size,
    /// Maximum size of the body; above it 413. A route may set its own.
    pub body: Size,
    /// Maximum number of client connections on all listeners together; above it new ones are closed. Without it the limit of open files is
    /// the only bound. Connections of operators are not counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<NonZeroU32>,
    /// Maximum number of connections of one client address, of IPv6 of one /64 network; above it new ones are closed. A proxy in front that
    /// does not speak the PROXY protocol is one client. Without it there is no such bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections_per_client: Option<NonZeroU32>,
    /// Maximum number of requests that are open at once on one HTTP/2 connection.
    pub streams: NonZeroU32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            headers: Size(64 << 10),
            header_count: 100,
            uri: Size(8 << 10),
            body: Size(10 << 20),
            connections: None,
            connections_per_client: None,
            streams: NonZeroU32::MIN.saturating_add(99),
        }
    }
}

/// Timeouts towards clients.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct ServerTimeouts {
    /// Until a connection is ready for its first request: for the PROXY header and the TLS handshake together.
    pub handshake: Duration,
    /// Until the whole head (request line and headers) has arrived.
    pub header: Duration,
    /// Until the body has arrived: this long, plus one second for every 500 bytes received. A single pause may be twice as long at most.
    pub body: Duration,
    /// How long an idle connection is kept open for the next request.
    pub keepalive: Duration,
    /// How long an HTTP/2 connection takes requests, less up to a tenth at random: then the client is asked to open another one (GOAWAY), and
    /// what it has asked for by then is answered.
    pub max_age: Duration,
    /// Until a client has taken its answer: this long, plus one second for every 500 bytes that it took. Where it takes nothing for this
    /// long, its connection ends; of an HTTP/2 client's only the stream, where it reads others.
    pub write: Duration,
    /// How long a tunnel (a WebSocket) may be idle. No other timeout ends one.
    pub tunnel: Duration,
}

impl Default for ServerTimeouts {
    fn default() -> Self {
        let seconds = |s| Duration(std::time::Duration::from_secs(s));
        Self {
            handshake: seconds(5),
            header: seconds(10),
            body: seconds(30),
            keepalive: seconds(75),
            max_age: seconds(3600),
            write: seconds(30),
            tunnel: seconds(3600),
        }
    }
}

/// From where on the gateway counts as overloaded. Above a bound routes of `priority: low` are refused with 503, and connections are closed
/// after their answers; half-way from there to all there is (of `lag` at four times as much) those of normal priority are refused, too.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Overload {
    /// Share of the memory that the process may have: of the control group's limit, of its own limits (RLIMIT_AS, RLIMIT_DATA), or of its own
    /// and what the machine has left, whichever is nearest. 100% is never passed.
    pub memory: Share,
    /// Share of the files and sockets that clients' connections may come up to: of RLIMIT_NOFILE what is not kept back for operators and
    /// upstreams. 100% is never passed.
    pub descriptors: Share,
    /// How late a worker thread comes to what is due, for a second on end.
    pub lag: Duration,
}

impl Default for Overload {
    fn default() -> Self {
        Self { memory: Share(0.9), descriptors: Share(0.9), lag: Duration(std::time::Duration::from_millis(100)) }
    }
}

/// How the process shuts down.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Drain {
    /// How long /readyz fails before the listeners close; connections are still accepted.
    pub notice: Duration,
    /// How long requests in flight may take after that.
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
        "description": "`auto`, or a number.", "anyOf": [{"const": "auto"}, {"type": "integer", "minimum": 1, "maximum": Threads::MOST}],
    });
}
