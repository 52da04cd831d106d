//! The request as the upstream gets it: the path that was checked, and who asked, told by the gateway alone.

use http::header::{COOKIE, FORWARDED, HOST};
use http::{HeaderName, HeaderValue, Version};
use pingora_core::Result;
use pingora_http::RequestHeader;
use pingora_proxy::Session;

use super::Ctx;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Prepares the head for the attempt that begins.
pub fn prepare(session: &Session, head: &mut RequestHeader, ctx: &mut Ctx) -> Result<()> {
    let is_h2 = session.req_header().version == Version::HTTP_2;
    if let Some(path) = &ctx.rewritten {
        let raw = match session.req_header().uri.query() {
            Some(query) => format!("{path}?{query}").into_bytes(),
            None => path.clone().into_bytes(),
        };
        head.set_raw_path(&raw)?;
    }
    let peer = ctx.conn.as_ref().and_then(|conn| conn.peer).map(|peer| peer.ip().to_canonical());
    if ctx.from_trusted {
        keep_forwarded(head, peer)?;
    } else {
        head.remove_header(&FORWARDED);
        if let Some(peer) = peer {
            head.insert_header("X-Forwarded-For", ip_value(peer))?;
        }
    }
    let host = head.headers.get(HOST).cloned().or_else(|| {
        let authority = session.req_header().uri.authority()?;
        HeaderValue::from_str(authority.as_str()).ok()
    });
    if let Some(host) = host {
        if !(ctx.from_trusted && head.headers.contains_key(X_FORWARDED_HOST)) {
            head.insert_header("X-Forwarded-Host", host.clone())?;
        }
        if is_h2 && !head.headers.contains_key(HOST) {
            head.insert_header("Host", host)?;
        }
    }
    if !(ctx.from_trusted && head.headers.contains_key(X_FORWARDED_PROTO)) {
        head.insert_header("X-Forwarded-Proto", HeaderValue::from_static("http"))?;
    }
    head.insert_header("X-Real-IP", ip_value(ctx.facts.client_ip))?;
    head.insert_header("X-Request-Id", ctx.facts.request_id.clone())?;
    if is_h2 {
        merge_cookies(head)?;
    }
    let pool_host = ctx.pick().and_then(|pick| pick.pool().host.clone());
    if let Some(host) = pool_host {
        head.insert_header("Host", host)?;
    }
    Ok(())
}

fn ip_value(ip: std::net::IpAddr) -> HeaderValue {
    HeaderValue::from_str(&ip.to_string()).expect("an address is plain ASCII")
}

/// A trusted proxy's list goes on, with the proxy itself at its end.
fn keep_forwarded(head: &mut RequestHeader, peer: Option<std::net::IpAddr>) -> Result<()> {
    let Some(peer) = peer else { return Ok(()) };
    let mut list: Vec<u8> = Vec::new();
    for value in head.headers.get_all(X_FORWARDED_FOR) {
        list.extend_from_slice(value.as_bytes());
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(peer.to_string().as_bytes());
    head.insert_header("X-Forwarded-For", list)
}

/// HTTP/2 clients may send a cookie in crumbs; HTTP/1 has one header for all (RFC 9113, section 8.2.3).
fn merge_cookies(head: &mut RequestHeader) -> Result<()> {
    if head.headers.get_all(COOKIE).iter().nth(1).is_none() {
        return Ok(());
    }
    let crumbs: Vec<&[u8]> = head.headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    let whole = crumbs.join(&b"; "[..]);
    head.insert_header("Cookie", whole)
}
