//! What a request must be before anything is decided about it: one host, one normal path, a size, and a client that is who it is.

use std::borrow::Cow;
use std::net::IpAddr;

use frontgate_filters::filter::Facts;
use frontgate_filters::reply::Reply;
use frontgate_filters::words::{fields, reserved};
use http::header::{CONTENT_LENGTH, HOST, ORIGIN};
use http::{HeaderMap, HeaderName, HeaderValue, Version};
use pingora_http::RequestHeader;

use crate::action::X_BFF_VERSION;
use crate::door::wire::check_map;
use crate::exchange::timing::X_FRONTGATE_EXPLAIN;
use crate::refusals::{bad_request as bad, unreadable};
use crate::request_id::request_id;
use crate::router::{host_of, normalise};
use crate::snapshot::Snapshot;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The host that a request names.
pub(super) enum Host {
    /// This many bytes at the beginning of the Host header.
    Header(usize),
    /// In another form than it has there, or from elsewhere.
    Own(String),
}

impl Host {
    /// Its name, lower-cased and without a port; empty where HTTP/1.0 names none. `head` is the head that was checked.
    pub(super) fn name<'h>(&'h self, head: &'h RequestHeader) -> &'h str {
        match self {
            Self::Header(length) => {
                let header = head.headers.get(HOST).and_then(|value| value.as_bytes().get(..*length));
                header.and_then(|name| std::str::from_utf8(name).ok()).unwrap_or_default()
            }
            Self::Own(name) => name,
        }
    }
}

/// Checks the request and settles what is known of it: identifier, client, host, path. What passes has a host and a normalised path. The
/// client's address is the peer's at first; whether that peer is a trusted proxy goes into `trusted`.
///
/// The version that a client asks for who is no trusted proxy is taken out of the head with all else that only those may say, and goes into
/// `wish` where a route takes such wishes.
pub(super) fn receive(
    snapshot: &Snapshot,
    head: &mut RequestHeader,
    facts: &mut Facts,
    trusted: &mut bool,
    wish: &mut Option<HeaderValue>,
) -> Result<Host, Reply> {
    let peer = facts.client_ip;
    *trusted = snapshot.trusts(peer);
    facts.request_id = request_id(head, *trusted);
    if *trusted {
        facts.client_ip = client_ip(&head.headers, peer, &|ip| snapshot.trusts(ip));
        // Of two one may be a client's that its proxy has let pass.
        let asked = fields::only(&head.headers, &X_FRONTGATE_EXPLAIN).map_err(|_| bad("X-Frontgate-Explain is there several times."))?;
        if asked.is_some_and(|asked| asked == "1") {
            facts.steps = Some(Vec::new());
        }
    }
    facts.origin = head.headers.get(ORIGIN).cloned();
    // A head of bytes was checked where it was read.
    if head.version == Version::HTTP_2 {
        check_map(head, snapshot.rules.head).map_err(unreadable)?;
    }
    let host = host(head)?;
    say_host(head);
    path(head)?;
    forget_spelling(head);
    if !*trusted && snapshot.clients_choose() {
        *wish = head.headers.get(X_BFF_VERSION).cloned();
    }
    strip(head, snapshot.identity_headers(), *trusted);
    snapshot.certificate_headers.tell(head, facts);
    Ok(host)
}

/// HTTP/1.0 may name its host in the target alone, which is brought into another form: what chose the route is what the upstream is told.
fn say_host(head: &mut RequestHeader) {
    if head.version != Version::HTTP_10 || head.headers.contains_key(HOST) {
        return;
    }
    if let Some(Ok(authority)) = authority(head).map(HeaderValue::from_str) {
        head.insert_header(HOST, authority).expect("a known name");
    }
}

/// Lets go of the client's spelling of header names, which no further hop is told: Pingora would copy it for each attempt, and keep it in step
/// with every change.
fn forget_spelling(head: &mut RequestHeader) {
    let empty = RequestHeader::from(http::Request::new(()).into_parts().0);
    let parts = http::request::Parts::from(std::mem::replace(head, empty));
    *head = RequestHeader::from(parts);
}

/// Removes every header that says who is asking, and, from who is no trusted proxy, all that only those may say: whatever its case, and with
/// underscores too, since some servers read both alike.
fn strip(head: &mut RequestHeader, identity: &[HeaderName], trusted: bool) {
    let forged = |name: &HeaderName| {
        identity.iter().any(|one| reserved::are_alike(name.as_str(), one.as_str()))
            || if trusted { reserved::is_for_the_gateway(name) } else { reserved::is_for_proxies(name) }
    };
    let forged: Vec<HeaderName> = head.headers.keys().filter(|name| forged(name)).cloned().collect();
    for name in forged {
        head.remove_header(&name);
    }
}

/// The rightmost address of X-Forwarded-For that is not a trusted proxy's. A list that cannot be read ends at the last proxy that can.
fn client_ip(headers: &HeaderMap, peer: IpAddr, trusts: &dyn Fn(IpAddr) -> bool) -> IpAddr {
    let mut client = peer;
    let hops: Vec<&[u8]> = fields::list(headers, &X_FORWARDED_FOR).collect();
    for hop in hops.into_iter().rev() {
        let Some(ip) = fields::address(hop) else { break };
        client = ip;
        if !trusts(ip) {
            break;
        }
    }
    client
}

/// The target's authority and the rest of it, where it is in absolute form (RFC 9112, section 3.2.2).
fn absolute_form(target: &str) -> Option<(&str, &str)> {
    let after =
        |scheme: &str| target.get(..scheme.len()).filter(|start| start.eq_ignore_ascii_case(scheme)).map(|_| &target[scheme.len()..]);
    let rest = after("http://").or_else(|| after("https://"))?;
    Some(rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len())))
}

/// The host and port that the target itself names: of HTTP/2's pseudo-header, or of an absolute form.
pub(crate) fn authority(head: &RequestHeader) -> Option<&str> {
    match head.uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => std::str::from_utf8(head.raw_path()).ok().and_then(absolute_form).map(|(authority, _)| authority),
    }
}

fn host(head: &RequestHeader) -> Result<Host, Reply> {
    let header = match head.headers.get(HOST) {
        Some(value) => Some(fields::text(value).ok_or_else(|| bad("The Host header is not a host."))?),
        None => None,
    };
    let authority = authority(head);
    let read = |text| host_of(text).map_err(|_| bad("The Host header is not a host."));
    // What is borrowed is the header's beginning: only a port or a dot after it is left out.
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
fn path(head: &mut RequestHeader) -> Result<(), Reply> {
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
    if matches!(normal, Cow::Borrowed(_)) && head.uri.path_and_query().is_some_and(|whole| whole.as_str() == raw) {
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
    head.set_uri(uri);
    Ok(())
}

/// What Content-Length says.
pub(crate) fn content_length(head: &RequestHeader) -> Option<u64> {
    fields::number(&head.headers, &CONTENT_LENGTH)
}
