//! The request as the upstream gets it: the path that was checked, and who asked, told by the gateway alone.
//!
//! The head is written from the one that was received: nothing is copied that an upstream is only to be told.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use frontgate_filters::clock;
use frontgate_filters::filter::Facts;
use frontgate_filters::grpc::{GRPC_TIMEOUT, to_timeout};
use frontgate_filters::words::fields::{lists, members};
use http::header::{CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, VIA};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Version};
use pingora_http::RequestHeader;

use super::Order;
use super::client::Client;
use crate::action::{Chosen, X_BFF_VERSION};
use crate::door::Conn;
use crate::mirror::{Copied, Mirror};
use crate::request_id::X_REQUEST_ID;
use crate::telemetry::Traced;
use crate::telemetry::trace::{BAGGAGE, TRACEPARENT, TRACESTATE, baggage, state};
use crate::upstream::Pool;
use crate::upstream::h1::{Upload, is_of_this_hop};
use crate::upstream::line::{Fields, Line, Said};
use crate::upstream::pool::Endpoint;
use crate::via;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// The host that the client asked for, where a proxy says so.
pub(crate) const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// The scheme that the client asked by.
pub(crate) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Begins the request on this line.
pub(super) fn begin(line: &mut Line, client: &impl Client, framing: Upload, pool: &Pool, order: &Order<'_>) {
    let received = client.request();
    let target = target(received, order);
    // A body of no bytes is said to be one where the client said so.
    let framing = if framing == Upload::None && received.headers.contains_key(CONTENT_LENGTH) { Upload::Length(0) } else { framing };
    let protocols = protocols(client);
    line.begin(&received.method, &target, framing, &Forwarded { received, pool, order, protocols });
    if let Some(protocols) = protocols {
        line.offer(protocols);
    }
}

/// The request for a mirror's upstream: what the original's is sent, but what is about that connection alone.
pub(super) fn copied(client: &impl Client, order: &Order<'_>, mirror: &Mirror, body: Bytes) -> Copied {
    let received = client.request();
    let mut all = Copy(HeaderMap::with_capacity(received.headers.len() + 8));
    fields(&mut all, received, order, None);
    if let Some(pool) = order.attempts.current().map(|current| current.pick().pool()) {
        all.say(&HOST, host(received, pool, order));
    }
    let target = target(received, order).into_owned();
    Copied { method: received.method.clone(), target, fields: all.0, body, hash: mirror.hash(received, order.facts) }
}

/// The fields of a copy: in the form that both protocols take.
struct Copy(HeaderMap);

impl Fields for Copy {
    const HTTP2: bool = false;
    fn put(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.0.put(name, value);
    }
    fn say(&mut self, name: &HeaderName, value: &[u8]) {
        self.0.say(name, value);
    }
    fn list<'v>(&mut self, name: &HeaderName, values: impl Iterator<Item = &'v [u8]>, between: &[u8]) {
        self.0.list(name, values, between);
    }
}

/// The path that was checked, or what it was rewritten to, with the query.
fn target<'t>(received: &'t RequestHeader, order: &Order<'_>) -> Cow<'t, [u8]> {
    let query = || received.uri.query().map_or(String::new(), |query| format!("?{query}"));
    match order.rewritten {
        Some(path) => format!("{path}{}", query()).into_bytes().into(),
        // What was checked: there is no other form of it.
        None => received.uri.path_and_query().map_or("/", PathAndQuery::as_str).as_bytes().into(),
    }
}

/// The protocols that the client asks to change to, where the upstream may be asked.
pub(super) fn protocols(client: &impl Client) -> Option<&HeaderValue> {
    client.upgrade().filter(|protocols| !members(protocols.as_bytes()).any(is_read_by_gateways))
}

/// Whether a protocol is one whose requests would pass through the tunnel unseen by any route and filter: another HTTP, or TLS with one in it.
fn is_read_by_gateways(protocol: &[u8]) -> bool {
    let name = protocol.split(|byte| *byte == b'/').next().unwrap_or_default();
    [&b"h2c"[..], b"h2", b"h3", b"http", b"tls"].iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// A request as it is forwarded.
struct Forwarded<'f, 'o> {
    received: &'f RequestHeader,
    pool: &'f Pool,
    order: &'f Order<'o>,
    protocols: Option<&'f HeaderValue>,
}

impl Said for Forwarded<'_, '_> {
    fn host(&self) -> &[u8] {
        host(self.received, self.pool, self.order)
    }

    fn fields<F: Fields>(&self, out: &mut F) {
        fields(out, self.received, self.order, self.protocols);
    }
}

fn fields<F: Fields>(out: &mut F, received: &RequestHeader, order: &Order<'_>, protocols: Option<&HeaderValue>) {
    let map = &received.headers;
    let nominated = map.contains_key(CONNECTION);
    // HTTP/2 clients may send a cookie in crumbs; HTTP/1 has one field for all (RFC 9113, section 8.2.3).
    let crumbs = !F::HTTP2 && received.version == Version::HTTP_2 && map.get_all(COOKIE).iter().nth(1).is_some();
    // What `stable` is told is for filters to say, where they say something.
    let chosen = order.chosen.as_deref().and_then(Chosen::names);
    for (name, value) in map {
        if is_ours(name)
            || chosen.is_some() && *name == X_BFF_VERSION
            || is_of_this_hop(name)
            || order.traced.is_some() && is_of_traces(name)
            || *name == GRPC_TIMEOUT && order.is_call()
            || crumbs && *name == COOKIE
            || nominated && is_nominated(map, name)
        {
            continue;
        }
        out.put(name, value);
    }
    if crumbs {
        out.list(&COOKIE, map.get_all(COOKIE).iter().map(HeaderValue::as_bytes), b"; ");
    }
    if F::HTTP2 && (order.is_call() || lists(map, &TE, "trailers")) {
        // The one thing that it can say there (RFC 9113, section 8.2.2), and servers of gRPC want to hear it: pages do not say it.
        out.say(&TE, b"trailers");
    }
    let passed = map.get_all(VIA).iter().map(HeaderValue::as_bytes);
    out.list(&VIA, passed.chain([via::member(received.version)]), b", ");
    identify(out, received, &Asker { conn: order.conn, from_trusted: order.from_trusted, facts: order.facts });
    if let Some(traced) = order.traced {
        trace(out, received, traced, order);
    }
    if let Some(variant) = &order.facts.variant
        && (chosen.is_some() || !map.contains_key(X_BFF_VERSION))
    {
        out.put(&X_BFF_VERSION, chosen.unwrap_or(variant));
    }
    if let Some(left) = left(order) {
        out.put(&GRPC_TIMEOUT, &to_timeout(left));
    }
    if let Some(protocols) = protocols
        && !F::HTTP2
    {
        out.say(&CONNECTION, b"upgrade");
        out.put(&UPGRADE, protocols);
    }
}

/// How much longer a gRPC call may take whose client says how long it waits.
fn left(order: &Order<'_>) -> Option<Duration> {
    order.facts.grpc.as_ref().filter(|_| order.is_call())?.deadline?;
    let deadline = order.attempts.current()?.deadline()?;
    Some(deadline.saturating_duration_since(clock::now()))
}

/// Fields that are left out where they stand, and said anew by [`fields`] and [`Line::begin`] where there is something to say: a
/// request's trailers go no further, and what is expected is met by the gateway. What else only a trusted proxy may say is not among a
/// request's fields unless one did.
fn is_ours(name: &HeaderName) -> bool {
    matches!(*name, HOST | CONNECTION | CONTENT_LENGTH | EXPECT | TRAILER | TRANSFER_ENCODING | UPGRADE | VIA)
        || *name == X_REQUEST_ID
        || *name == X_FORWARDED_FOR
        || *name == X_REAL_IP
}

/// Whether the client's `Connection` says that this field is for this hop alone.
fn is_nominated(map: &HeaderMap, name: &HeaderName) -> bool {
    lists(map, &CONNECTION, name.as_str())
}

/// The Host that the upstream is sent: its own, over TLS else the endpoint's name, else the client's. HTTP/1.0 may name none, and HTTP/1.1 has
/// to: then it is what the endpoint is called.
fn host<'r>(received: &'r RequestHeader, pool: &'r Pool, order: &'r Order<'_>) -> &'r [u8] {
    if let Some(host) = &pool.host {
        return host.as_bytes();
    }
    let endpoint = order.attempts.current().map(|current| current.pick().endpoint());
    let own = endpoint.and_then(Endpoint::own_host).map(str::as_bytes);
    let called = || endpoint.map(|endpoint| endpoint.authority.as_bytes());
    own.or_else(|| asked_host(received)).or_else(called).unwrap_or_default()
}

/// The host that the client asked for.
pub(crate) fn asked_host(received: &RequestHeader) -> Option<&[u8]> {
    let header = received.headers.get(HOST).map(HeaderValue::as_bytes);
    header.or_else(|| received.uri.authority().map(|authority| authority.as_str().as_bytes()))
}

/// What is said anew where the gateway makes spans of its own.
fn is_of_traces(name: &HeaderName) -> bool {
    // Asked of every field: lengths tell most of them apart.
    matches!(name.as_str(), "traceparent" | "tracestate" | "baggage")
}

/// Says which trace the request belongs to: who calls is this attempt. What came of it from a trusted proxy goes on as far as it is well-formed.
fn trace(out: &mut impl Fields, received: &RequestHeader, traced: &Traced, order: &Order<'_>) {
    out.say(&TRACEPARENT, &traced.header(order.attempts.count()));
    if traced.parent.is_some() {
        out.list(&TRACESTATE, state(&received.headers), b",");
    }
    if received.headers.contains_key(BAGGAGE) && !is_nominated(&received.headers, &BAGGAGE) {
        out.list(&BAGGAGE, baggage(&received.headers), b",");
    }
}

/// Who asks, as the gateway knows it.
pub(crate) struct Asker<'a> {
    /// The client's connection.
    pub conn: Option<&'a Conn>,
    /// Whether the client is a trusted proxy.
    pub from_trusted: bool,
    /// What is known of the request.
    pub facts: &'a Facts,
}

/// Says who asked.
pub(crate) fn identify(out: &mut impl Fields, received: &RequestHeader, asker: &Asker<'_>) {
    let map = &received.headers;
    let peer = asker.conn.and_then(|conn| conn.peer_value()).map(HeaderValue::as_bytes);
    let trusted = asker.from_trusted;
    let list = map.get_all(X_FORWARDED_FOR).iter().map(HeaderValue::as_bytes);
    let list = trusted.then_some(list).into_iter().flatten();
    // A trusted proxy's list goes on, with the proxy itself at its end.
    out.list(&X_FORWARDED_FOR, list.chain(peer), b", ");
    let client = asker.facts.client_ip;
    let is_peer = asker.conn.and_then(|conn| conn.peer).is_some_and(|peer| peer.ip().to_canonical() == client);
    match peer {
        Some(peer) if is_peer || !trusted => out.say(&X_REAL_IP, peer),
        _ if trusted => out.say(&X_REAL_IP, client.to_string().as_bytes()),
        _ => {}
    }
    if let Some(host) = asked_host(received)
        && !map.contains_key(X_FORWARDED_HOST)
    {
        out.say(&X_FORWARDED_HOST, host);
    }
    if !map.contains_key(X_FORWARDED_PROTO) {
        out.say(&X_FORWARDED_PROTO, if asker.facts.tls.is_some() { b"https" } else { b"http" });
    }
    out.put(&X_REQUEST_ID, &asker.facts.request_id);
}
