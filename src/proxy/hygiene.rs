//! What a request must be before anything is decided about it: one host, one normal path, a size, and a client that is who it is.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use frontgate_filters::reply::Reply;
use http::header::{CONTENT_LENGTH, HOST, ORIGIN};
use http::{HeaderName, HeaderValue, StatusCode, Version};
use pingora_http::RequestHeader;
use pingora_proxy::Session;

use super::Ctx;
use crate::door::wire::Refusal;
use crate::router::{host_of, normalise};

/// What only trusted proxies may say: which version answers, and which trace a request belongs to.
const TRUSTED_ONLY: [HeaderName; 3] =
    [HeaderName::from_static("x-bff-version"), HeaderName::from_static("traceparent"), HeaderName::from_static("tracestate")];

/// The host that a request names.
pub enum Host {
    /// So many bytes at the begin of the Host header.
    Header(usize),
    /// In another form than it stands there, or from elsewhere.
    Own(String),
}

impl Host {
    /// Its name, lower-cased and without a port; empty where HTTP/1.0 names none. `head` is the head that was checked.
    pub fn name<'h>(&'h self, head: &'h RequestHeader) -> &'h str {
        match self {
            Self::Header(length) => {
                let header = head.headers.get(HOST).and_then(|value| value.as_bytes().get(..*length));
                header.and_then(|name| std::str::from_utf8(name).ok()).unwrap_or_default()
            }
            Self::Own(name) => name,
        }
    }
}

/// Checks the request and settles what is known of it: identifier, client, host, path. What passes has a host and a normalised path.
pub fn receive(session: &mut Session, ctx: &mut Ctx) -> Result<Host, Reply> {
    let peer = ctx.facts.client_ip;
    ctx.from_trusted = ctx.snapshot.trusts(peer);
    let head = session.req_header();
    ctx.facts.request_id = request_id(head, ctx.from_trusted);
    if ctx.from_trusted {
        ctx.facts.client_ip = client_ip(head, peer, &|ip| ctx.snapshot.trusts(ip));
    }
    ctx.facts.origin = head.headers.get(ORIGIN).cloned();
    if head.version == Version::HTTP_2 {
        limits(head, ctx)?;
    }
    let host = host(head)?;
    say_host(session.req_header_mut());
    path(session)?;
    forget_spelling(session.req_header_mut());
    strip_identity(session, ctx);
    if !ctx.from_trusted {
        for name in &TRUSTED_ONLY {
            session.req_header_mut().remove_header(name);
        }
    }
    Ok(host)
}

/// HTTP/1.0 may name its host in the target alone, which is brought into another form: what chose the route is what the upstream is told.
fn say_host(head: &mut RequestHeader) {
    if head.version != Version::HTTP_10 || head.headers.contains_key(HOST) {
        return;
    }
    let authority =
        std::str::from_utf8(head.raw_path()).ok().and_then(absolute_form).map(|(authority, _)| HeaderValue::from_str(authority));
    if let Some(Ok(authority)) = authority {
        head.insert_header(HOST, authority).expect("a known name");
    }
}

/// Lets go of the client's spelling of header names, which no further hop is told: Pingora would copy it for each attempt, and keep it in step
/// with every change.
fn forget_spelling(head: &mut RequestHeader) {
    // A path that no `Uri` can hold is kept beside it, where this would lose it.
    if head.uri.path_and_query().map(|path| path.as_str().as_bytes()) != Some(head.raw_path()) {
        return;
    }
    let empty = RequestHeader::from(http::Request::new(()).into_parts().0);
    let parts = http::request::Parts::from(std::mem::replace(head, empty));
    *head = RequestHeader::from(parts);
}

/// Removes every header that says who is asking, whatever its case, and with underscores too: some servers read both alike.
fn strip_identity(session: &mut Session, ctx: &Ctx) {
    let names = ctx.snapshot.identity_headers();
    if names.is_empty() {
        return;
    }
    let alike = |name: &HeaderName, other: &HeaderName| {
        let (name, other) = (name.as_str().as_bytes(), other.as_str().as_bytes());
        name.len() == other.len() && name.iter().zip(other).all(|(a, b)| a == b || matches!((a, b), (b'_' | b'-', b'_' | b'-')))
    };
    let forged: Vec<HeaderName> =
        session.req_header().headers.keys().filter(|key| names.iter().any(|name| alike(key, name))).cloned().collect();
    for name in forged {
        session.req_header_mut().remove_header(&name);
    }
}

/// The limits that the guard keeps for HTTP/1.
fn limits(head: &RequestHeader, ctx: &Ctx) -> Result<(), Reply> {
    let limits = ctx.snapshot.rules.head;
    let size: usize = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if head.headers.len() > limits.lines {
        return Err(refusal(Refusal::MANY_HEADERS));
    }
    if size > limits.bytes {
        return Err(refusal(Refusal::LARGE_HEAD));
    }
    if head.raw_path().len() > limits.target {
        return Err(refusal(Refusal::LONG_URI));
    }
    Ok(())
}

fn refusal(refusal: Refusal) -> Reply {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST);
    Reply::problem(status, refusal.code, refusal.detail)
}

fn bad(detail: &'static str) -> Reply {
    Reply::problem(StatusCode::BAD_REQUEST, "bad_request", detail)
}

/// Kept from a proxy that is trusted, where it is harmless; else a UUIDv7, which sorts by time.
fn request_id(head: &RequestHeader, trusted: bool) -> HeaderValue {
    if trusted
        && let Some(id) = head.headers.get("x-request-id")
        && (1..=128).contains(&id.len())
        && id.as_bytes().iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
    {
        return id.clone();
    }
    new_request_id()
}

/// A fresh identifier.
pub fn new_request_id() -> HeaderValue {
    let mut text = [0_u8; uuid::fmt::Hyphenated::LENGTH];
    // Without the counter that orders the identifiers of one millisecond: it is behind a lock.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let time = uuid::Timestamp::from_unix(uuid::NoContext, now.as_secs(), now.subsec_nanos());
    uuid::Uuid::new_v7(time).as_hyphenated().encode_lower(&mut text);
    // An owned value is shared without another allocation.
    HeaderValue::from_maybe_shared(bytes::Bytes::from_owner(text)).expect("hexadecimal digits and hyphens")
}

/// The rightmost address of X-Forwarded-For that is not a trusted proxy's. A list that cannot be read ends at the last proxy that can.
fn client_ip(head: &RequestHeader, peer: IpAddr, trusts: &dyn Fn(IpAddr) -> bool) -> IpAddr {
    let mut client = peer;
    let values: Vec<&str> = head.headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok()).collect();
    for entry in values.iter().rev().flat_map(|value| value.rsplit(',')) {
        let Some(ip) = address(entry.trim()) else { break };
        client = ip;
        if !trusts(ip) {
            break;
        }
    }
    client
}

/// An address, with or without a port, IPv6 in brackets or not.
fn address(text: &str) -> Option<IpAddr> {
    let ip = text.parse::<IpAddr>().ok().or_else(|| text.parse::<std::net::SocketAddr>().ok().map(|socket| socket.ip()));
    let ip = ip.or_else(|| text.strip_prefix('[')?.strip_suffix(']')?.parse().ok());
    ip.map(|ip| ip.to_canonical())
}

/// The target's authority and the rest of it, where it stands in absolute form (RFC 9112, section 3.2.2).
fn absolute_form(target: &str) -> Option<(&str, &str)> {
    let after =
        |scheme: &str| target.get(..scheme.len()).filter(|start| start.eq_ignore_ascii_case(scheme)).map(|_| &target[scheme.len()..]);
    let rest = after("http://").or_else(|| after("https://"))?;
    Some(rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len())))
}

fn host(head: &RequestHeader) -> Result<Host, Reply> {
    let header = match head.headers.get(HOST) {
        Some(value) => Some(value.to_str().map_err(|_| bad("The Host header is not a host."))?),
        None => None,
    };
    let authority = match head.uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => std::str::from_utf8(head.raw_path()).ok().and_then(absolute_form).map(|(authority, _)| authority),
    };
    let read = |text| host_of(text).map_err(|_| bad("The Host header is not a host."));
    // What is borrowed stands at the header's begin: only a port or a dot is left out behind it.
    let of_header = |name: Cow<'_, str>| match name {
        Cow::Borrowed(name) => Ok(Host::Header(name.len())),
        Cow::Owned(name) => Ok(Host::Own(name)),
    };
    match (header, authority) {
        (Some(header), None) => of_header(read(header)?),
        (None, Some(authority)) => Ok(Host::Own(read(authority)?.into_owned())),
        // Of the two the URL's authority counts, so they must agree (RFC 9112, section 3.2.2).
        (Some(header), Some(authority)) if header.eq_ignore_ascii_case(authority) => of_header(read(header)?),
        (Some(_), Some(_)) => Err(bad("The Host header and the URL name different hosts.")),
        (None, None) if head.version == Version::HTTP_10 => Ok(Host::Own(String::new())),
        (None, None) => Err(bad("The request names no host.")),
    }
}

/// Makes the target a normalised path in origin form: what is checked from here on is what is sent.
fn path(session: &mut Session) -> Result<(), Reply> {
    let head = session.req_header();
    let raw = std::str::from_utf8(head.raw_path()).map_err(|_| bad("The path is not ASCII."))?;
    if raw == "*" {
        return Ok(());
    }
    let absolute = absolute_form(raw);
    let target = absolute.map_or(raw, |(_, rest)| rest);
    let (path, query) = match memchr::memchr(b'?', target.as_bytes()) {
        Some(mark) => (&target[..mark], Some(&target[mark + 1..])),
        None => (target, None),
    };
    let path = if path.is_empty() { "/" } else { path };
    let normal = normalise(path).map_err(|reason| bad(reason.reason()))?;
    if absolute.is_none() && matches!(normal, Cow::Borrowed(_)) && head.uri.path() == path {
        return Ok(());
    }
    let target = match query {
        Some(query) => format!("{normal}?{query}"),
        None => normal.into_owned(),
    };
    let unclean = || bad("The path holds a character that must be percent-encoded.");
    let mut parts = http::uri::Parts::default();
    parts.path_and_query = Some(target.parse().map_err(|_| unclean())?);
    // An HTTP/2 request keeps its host there.
    parts.authority = head.uri.authority().cloned();
    parts.scheme = head.uri.scheme().cloned();
    let uri = http::Uri::from_parts(parts).map_err(|_| unclean())?;
    session.req_header_mut().set_uri(uri);
    Ok(())
}

/// What Content-Length says.
pub fn content_length(head: &RequestHeader) -> Option<u64> {
    head.headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The body is over the limit.
pub fn body_too_large() -> Reply {
    Reply::problem(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "The request body is larger than allowed.")
}
