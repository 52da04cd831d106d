//! The request as the upstream gets it: the path that was checked, and who asked, told by the gateway alone.

use http::header::{COOKIE, Entry, FORWARDED, HOST, HeaderMap};
use http::{HeaderName, HeaderValue, Version};
use pingora_core::Result;
use pingora_http::RequestHeader;
use pingora_proxy::Session;

use super::Ctx;
use crate::request_id::X_REQUEST_ID;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Prepares the head for the attempt that begins.
///
/// Header names go out in lower case, as every HTTP/2 hop would have made them: Pingora keeps the client's spelling in a second map, and
/// each name added to both costs two allocations.
pub fn prepare(session: &Session, head: &mut RequestHeader, ctx: &Ctx) -> Result<()> {
    let received = session.req_header();
    let is_h2 = received.version == Version::HTTP_2;
    let raw = match &ctx.rewritten {
        Some(path) => Some(received.uri.query().map_or_else(|| path.clone(), |query| format!("{path}?{query}")).into_bytes()),
        // A path that no `Uri` can hold is kept beside it, where the conversion below loses it.
        None if head.uri.path_and_query().map(|path| path.as_str().as_bytes()) != Some(head.raw_path()) => Some(head.raw_path().to_vec()),
        None => None,
    };
    let empty = RequestHeader::from(http::Request::new(()).into_parts().0);
    let mut parts = http::request::Parts::from(std::mem::replace(head, empty));
    parts.headers.reserve(6);
    identify(&mut parts.headers, received, ctx);
    if is_h2 {
        merge_cookies(&mut parts.headers);
    }
    if let Some(host) = ctx.attempts.current().and_then(|current| current.pick().pool().host.as_ref()) {
        parts.headers.insert(HOST, host.clone());
    }
    *head = RequestHeader::from(parts);
    if let Some(raw) = raw {
        head.set_raw_path(&raw)?;
    }
    Ok(())
}

/// Says who asked.
fn identify(headers: &mut HeaderMap, received: &RequestHeader, ctx: &Ctx) {
    let conn = ctx.conn.as_deref();
    let peer = conn.and_then(|conn| conn.peer_value());
    let named = headers.get(HOST).cloned();
    let is_named = named.is_some();
    let host = named.or_else(|| HeaderValue::from_str(received.uri.authority()?.as_str()).ok());
    if ctx.from_trusted {
        if let Some(peer) = peer {
            append_peer(headers, peer);
        }
        let client = ctx.facts.client_ip;
        match peer.filter(|_| conn.and_then(|conn| conn.peer).is_some_and(|peer| peer.ip().to_canonical() == client)) {
            Some(peer) => headers.insert(X_REAL_IP, peer.clone()),
            None => headers.insert(X_REAL_IP, HeaderValue::from_str(&client.to_string()).expect("an address is plain ASCII")),
        };
    } else {
        headers.remove(FORWARDED);
        for name in [X_FORWARDED_FOR, X_REAL_IP] {
            match peer {
                Some(peer) => headers.insert(name, peer.clone()),
                None => headers.remove(name),
            };
        }
    }
    if let Some(host) = host {
        if !is_named {
            headers.insert(HOST, host.clone());
        }
        say(headers, X_FORWARDED_HOST, host, ctx.from_trusted);
    }
    say(headers, X_FORWARDED_PROTO, HeaderValue::from_static("http"), ctx.from_trusted);
    headers.insert(X_REQUEST_ID, ctx.facts.request_id.clone());
}

/// Sets a header; `keep` leaves one that is there.
fn say(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue, keep: bool) {
    match headers.entry(name) {
        Entry::Occupied(_) if keep => {}
        Entry::Occupied(mut entry) => {
            entry.insert(value);
        }
        Entry::Vacant(entry) => {
            entry.insert(value);
        }
    }
}

/// A trusted proxy's list goes on, with the proxy itself at its end.
fn append_peer(headers: &mut HeaderMap, peer: &HeaderValue) {
    let mut list: Vec<u8> = Vec::new();
    for value in headers.get_all(X_FORWARDED_FOR) {
        list.extend_from_slice(value.as_bytes());
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(peer.as_bytes());
    if let Ok(list) = HeaderValue::from_maybe_shared(bytes::Bytes::from(list)) {
        headers.insert(X_FORWARDED_FOR, list);
    }
}

/// HTTP/2 clients may send a cookie in crumbs; HTTP/1 has one header for all (RFC 9113, section 8.2.3).
fn merge_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let crumbs: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(whole) = HeaderValue::from_maybe_shared(bytes::Bytes::from(crumbs.join(&b"; "[..]))) {
        headers.insert(COOKIE, whole);
    }
}
