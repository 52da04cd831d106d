//! The request as the upstream gets it: the path that was checked, and who asked, told by the gateway alone.
//!
//! The head is written from the one that was received: nothing is copied that an upstream is only to be told.

use bytes::BytesMut;
use frontgate_filters::words::fields::{lists, members};
use http::header::{CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, TRAILER, TRANSFER_ENCODING, UPGRADE, VIA};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Version};
use pingora_http::RequestHeader;

use super::Order;
use super::client::Client;
use crate::request_id::X_REQUEST_ID;
use crate::upstream::Pool;
use crate::upstream::h1::{Connection, Upload, is_of_this_hop, put_field};
use crate::via;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Begins the request on this connection.
pub(super) fn begin(connection: &mut Connection, client: &impl Client, framing: Upload, pool: &Pool, order: &Order<'_>) {
    let received = client.request();
    let query = || received.uri.query().map_or(String::new(), |query| format!("?{query}"));
    let rewritten = order.rewritten.map(|path| format!("{path}{}", query()));
    // What was checked: there is no other form of it.
    let target = rewritten.as_deref().or_else(|| received.uri.path_and_query().map(PathAndQuery::as_str)).unwrap_or("/").as_bytes();
    // A body of no bytes is said to be one where the client said so.
    let framing = if framing == Upload::None && received.headers.contains_key(CONTENT_LENGTH) { Upload::Length(0) } else { framing };
    let protocols = client.upgrade().filter(|protocols| !members(protocols.as_bytes()).any(is_read_by_gateways));
    connection.begin(&received.method, target, framing, |out| {
        fields(out, received, pool, order);
        if let Some(protocols) = protocols {
            put_field(out, b"connection", b"upgrade");
            put_field(out, b"upgrade", protocols.as_bytes());
        }
    });
    if let Some(protocols) = protocols {
        connection.offer(protocols);
    }
}

/// Whether a protocol is one whose requests would pass through the tunnel unseen by any route and filter: another HTTP, or TLS with one in it.
fn is_read_by_gateways(protocol: &[u8]) -> bool {
    let name = protocol.split(|byte| *byte == b'/').next().unwrap_or_default();
    [&b"h2c"[..], b"h2", b"h3", b"http", b"tls"].iter().any(|known| name.eq_ignore_ascii_case(known))
}

fn fields(out: &mut BytesMut, received: &RequestHeader, pool: &Pool, order: &Order<'_>) {
    let map = &received.headers;
    put_field(out, b"host", host(received, pool, order));
    let nominated = map.contains_key(CONNECTION);
    let crumbs = received.version == Version::HTTP_2 && map.get_all(COOKIE).iter().nth(1).is_some();
    for (name, value) in map {
        if is_ours(name) || is_of_this_hop(name) || crumbs && *name == COOKIE || nominated && is_nominated(map, name) {
            continue;
        }
        put_field(out, name.as_str().as_bytes(), value.as_bytes());
    }
    if crumbs {
        cookies(out, map);
    }
    let passed = map.get_all(VIA).iter().map(HeaderValue::as_bytes);
    put_list(out, b"via", passed.chain([via::member(received.version)]), b", ");
    identify(out, received, order);
}

/// Fields that are left out where they stand, and said anew by [`fields`] and [`Connection::begin`] where there is something to say: a
/// request's trailers go no further, and what is expected is met by the gateway. What else only a trusted proxy may say is not among a request's fields unless one did.
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

/// The Host that the upstream is sent: its own, else the client's. HTTP/1.0 may name none, and HTTP/1.1 has to: then it is the endpoint's address.
fn host<'r>(received: &'r RequestHeader, pool: &'r Pool, order: &'r Order<'_>) -> &'r [u8] {
    let endpoint = || order.attempts.current().map(|current| current.pick().endpoint().text.as_bytes());
    pool.host.as_ref().map(HeaderValue::as_bytes).or_else(|| asked_host(received)).or_else(endpoint).unwrap_or_default()
}

/// The host that the client asked for.
fn asked_host(received: &RequestHeader) -> Option<&[u8]> {
    let header = received.headers.get(HOST).map(HeaderValue::as_bytes);
    header.or_else(|| received.uri.authority().map(|authority| authority.as_str().as_bytes()))
}

/// Says who asked.
fn identify(out: &mut BytesMut, received: &RequestHeader, order: &Order<'_>) {
    let map = &received.headers;
    let peer = order.conn.and_then(|conn| conn.peer_value()).map(HeaderValue::as_bytes);
    let trusted = order.from_trusted;
    let list = map.get_all(X_FORWARDED_FOR).iter().map(HeaderValue::as_bytes);
    let list = trusted.then_some(list).into_iter().flatten();
    // A trusted proxy's list goes on, with the proxy itself at its end.
    put_list(out, b"x-forwarded-for", list.chain(peer), b", ");
    let client = order.facts.client_ip;
    let is_peer = order.conn.and_then(|conn| conn.peer).is_some_and(|peer| peer.ip().to_canonical() == client);
    match peer {
        Some(peer) if is_peer || !trusted => put_field(out, b"x-real-ip", peer),
        _ if trusted => put_field(out, b"x-real-ip", client.to_string().as_bytes()),
        _ => {}
    }
    if let Some(host) = asked_host(received)
        && !map.contains_key(X_FORWARDED_HOST)
    {
        put_field(out, b"x-forwarded-host", host);
    }
    if !map.contains_key(X_FORWARDED_PROTO) {
        put_field(out, b"x-forwarded-proto", if order.facts.tls.is_some() { b"https" } else { b"http" });
    }
    put_field(out, b"x-request-id", order.facts.request_id.as_bytes());
}

/// HTTP/2 clients may send a cookie in crumbs; HTTP/1 has one field for all (RFC 9113, section 8.2.3).
fn cookies(out: &mut BytesMut, map: &HeaderMap) {
    put_list(out, b"cookie", map.get_all(COOKIE).iter().map(HeaderValue::as_bytes), b"; ");
}

/// One field of several values; none where there are no values.
fn put_list<'v>(out: &mut BytesMut, name: &[u8], values: impl Iterator<Item = &'v [u8]>, between: &[u8]) {
    let mut any = false;
    for value in values {
        out.extend_from_slice(if any { between } else { name });
        if !any {
            out.extend_from_slice(b": ");
        }
        out.extend_from_slice(value);
        any = true;
    }
    if any {
        out.extend_from_slice(b"\r\n");
    }
}
