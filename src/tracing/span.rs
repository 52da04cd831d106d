//! The spans of a request in OTLP's form: one for the request, one for each of its attempts, with the attributes that OpenTelemetry's
//! conventions for HTTP and RPC name, and a few of the gateway's own.
//!
//! No query is in them, and no header but the user agent.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::{Duration, UNIX_EPOCH};

use frontgate_filters::grpc::Status;
use http::Version;

use super::Ended;
use super::protobuf::{Value, attribute, bytes, fixed32, fixed64, message, number};
use super::queue::Spans;
use crate::config::model::UpstreamProtocol;
use crate::telemetry::{Attempt, Flag};
use crate::upstream::attempts::Tried;

/// Fields of a span.
mod field {
    pub(super) const TRACE: u32 = 1;
    pub(super) const SPAN: u32 = 2;
    pub(super) const PARENT: u32 = 4;
    pub(super) const NAME: u32 = 5;
    pub(super) const KIND: u32 = 6;
    pub(super) const START: u32 = 7;
    pub(super) const END: u32 = 8;
    pub(super) const ATTRIBUTE: u32 = 9;
    pub(super) const STATUS: u32 = 15;
    pub(super) const FLAGS: u32 = 16;
}
/// The field of a `ScopeSpans` that holds a span.
const SPANS: u32 = 2;
/// Kinds of spans.
const SERVER: u64 = 2;
const CLIENT: u64 = 3;
/// The status of a span that has failed.
const ERROR: u64 = 2;
/// In the flags: that it is known whether the parent is elsewhere, and that it is.
const KNOWN: u32 = 0x100;
const REMOTE: u32 = 0x200;
/// The most bytes of a text that clients choose.
const LONGEST: usize = 1024;

/// A span's identity.
struct Identity<'i> {
    span: u64,
    parent: Option<u64>,
    remote: bool,
    name: &'i str,
    kind: u64,
    /// Since 1970.
    start: Duration,
    end: Duration,
}

/// The spans of a request that has ended.
pub(super) fn spans(ended: &Ended<'_>) -> Spans {
    let mut out = Vec::with_capacity(1024);
    ended.tried.iter().for_each(|tried| client(&mut out, ended, tried));
    server(&mut out, ended);
    Spans { bytes: out, count: ended.tried.len() as u32 + 1 }
}

fn begin(out: &mut Vec<u8>, ended: &Ended<'_>, identity: &Identity<'_>) {
    bytes(out, field::TRACE, &ended.traced.trace.to_be_bytes());
    bytes(out, field::SPAN, &identity.span.to_be_bytes());
    if let Some(parent) = identity.parent {
        bytes(out, field::PARENT, &parent.to_be_bytes());
    }
    bytes(out, field::NAME, identity.name.as_bytes());
    number(out, field::KIND, identity.kind);
    fixed64(out, field::START, nanoseconds(identity.start));
    fixed64(out, field::END, nanoseconds(identity.end));
    let place = if identity.parent.is_some() { KNOWN | if identity.remote { REMOTE } else { 0 } } else { 0 };
    fixed32(out, field::FLAGS, u32::from(ended.traced.flags()) | place);
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Says that a span has failed, by what.
fn fail(out: &mut Vec<u8>, what: &str, words: &str) {
    text(out, "error.type", what);
    message(out, field::STATUS, |out| {
        if !words.is_empty() {
            bytes(out, 2, words.as_bytes());
        }
        number(out, 3, ERROR);
    });
}

fn text(out: &mut Vec<u8>, name: &str, value: &str) {
    attribute(out, field::ATTRIBUTE, name, Value::Text(value));
}

fn count(out: &mut Vec<u8>, name: &str, value: u64) {
    attribute(out, field::ATTRIBUTE, name, Value::Number(i64::try_from(value).unwrap_or(i64::MAX)));
}

/// The methods that the conventions know.
fn method(sent: &str) -> Option<&str> {
    let known = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"];
    known.contains(&sent).then_some(sent)
}

/// Bytes as text, as far as there is room for it.
fn bounded(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(&bytes[..bytes.len().min(LONGEST)])
}

/// A host as it is asked for, and its port where it says one.
fn host(asked: &[u8]) -> (Cow<'_, str>, Option<u16>) {
    let Cow::Borrowed(whole) = bounded(asked) else { return (bounded(asked), None) };
    match whole.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => match port.parse() {
            Ok(port) => (name.trim_matches(['[', ']']).into(), Some(port)),
            Err(_) => (whole.into(), None),
        },
        _ => (whole.trim_matches(['[', ']']).into(), None),
    }
}

/// Whether a call has failed by the fault of who serves it.
pub(super) fn is_error(status: Status) -> bool {
    matches!(
        status,
        Status::UNKNOWN | Status::DEADLINE_EXCEEDED | Status::UNIMPLEMENTED | Status::INTERNAL | Status::UNAVAILABLE | Status::DATA_LOSS
    )
}

/// What is said of a gRPC call.
fn call(out: &mut Vec<u8>, ended: &Ended<'_>, path: &str, status: Option<Status>) {
    if ended.line.grpc_status.is_none() && status.is_none() {
        return;
    }
    text(out, "rpc.system.name", "grpc");
    text(out, "rpc.method", &bounded(path.trim_start_matches('/').as_bytes()));
    if let Some(status) = status {
        text(out, "rpc.response.status_code", &named(status));
    }
}

fn named(status: Status) -> Cow<'static, str> {
    status.name().map_or_else(|| status.number().to_string().into(), Cow::Borrowed)
}

/// The request's own span.
fn server(out: &mut Vec<u8>, ended: &Ended<'_>) {
    let (line, traced) = (ended.line, ended.traced);
    let end = line.ts.duration_since(UNIX_EPOCH).unwrap_or_default();
    let known = method(line.method);
    let name = match ended.route {
        Some(route) => format!("{} {route}", known.unwrap_or("HTTP")),
        None => known.unwrap_or("HTTP").to_owned(),
    };
    let identity = Identity {
        span: traced.span,
        parent: traced.parent,
        remote: true,
        name: &name,
        kind: SERVER,
        start: end.saturating_sub(line.duration),
        end,
    };
    message(out, SPANS, |out| {
        begin(out, ended, &identity);
        text(out, "http.request.method", known.unwrap_or("_OTHER"));
        if known.is_none() {
            text(out, "http.request.method_original", &bounded(line.method.as_bytes()));
        }
        if let Some(route) = ended.route {
            text(out, "http.route", route);
        }
        let path = line.path.split(|byte| *byte == b'?').next().unwrap_or_default();
        text(out, "url.path", &bounded(path));
        text(out, "url.scheme", if line.tls_version.is_some() { "https" } else { "http" });
        if let Some(asked) = line.host {
            let (name, port) = host(asked);
            text(out, "server.address", &name);
            if let Some(port) = port {
                count(out, "server.port", port.into());
            }
        }
        if let Some(ip) = line.client_ip {
            text(out, "client.address", &ip.to_string());
        }
        if let Some(agent) = line.user_agent {
            text(out, "user_agent.original", &bounded(agent));
        }
        let version = match ended.version {
            Version::HTTP_10 => "1.0",
            Version::HTTP_2 => "2",
            _ => "1.1",
        };
        text(out, "network.protocol.version", version);
        if let Some(status) = line.status {
            count(out, "http.response.status_code", status.into());
        }
        let came = line.grpc_status.and_then(Status::named);
        call(out, ended, &bounded(path), came);
        own(out, ended);
        match (line.status, came) {
            (Some(status), _) if status >= 500 => fail(out, &status.to_string(), ""),
            (_, Some(came)) if is_error(came) => fail(out, &named(came), ""),
            _ if ended.broke => fail(out, line.reason.unwrap_or("broken_off"), ""),
            _ => {}
        }
    });
}

/// What no convention has a name for.
fn own(out: &mut Vec<u8>, ended: &Ended<'_>) {
    let line = ended.line;
    let attempts = line.attempts.unwrap_or(0);
    let texts = [
        ("frontgate.route", Some(line.route)),
        ("frontgate.request_id", Some(line.request_id)),
        ("frontgate.upstream", line.upstream),
        ("frontgate.reason", line.reason),
        ("frontgate.flags", line.flag.map(Flag::letters)),
        ("frontgate.version", line.version),
        ("frontgate.device", line.device),
        ("frontgate.tier", line.tier),
        ("frontgate.limit", line.limit),
        ("frontgate.circuit", line.circuit),
        ("frontgate.kept", ended.kept),
    ];
    for (name, value) in texts {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            text(out, name, value);
        }
    }
    if attempts > 1 {
        count(out, "frontgate.attempts", attempts.into());
    }
}

/// An attempt's span.
fn client(out: &mut Vec<u8>, ended: &Ended<'_>, tried: &Tried) {
    let line = ended.line;
    let now = line.ts.duration_since(UNIX_EPOCH).unwrap_or_default();
    let at = |instant| now.saturating_sub(ended.now.saturating_duration_since(instant));
    let known = method(line.method);
    let identity = Identity {
        span: ended.traced.attempt(tried.number),
        parent: Some(ended.traced.span),
        remote: false,
        name: known.unwrap_or("HTTP"),
        kind: CLIENT,
        start: at(tried.began),
        end: at(tried.ended),
    };
    message(out, SPANS, |out| {
        begin(out, ended, &identity);
        text(out, "http.request.method", known.unwrap_or("_OTHER"));
        let endpoint = &tried.endpoint;
        let address = |ip: IpAddr| ip.to_canonical().to_string();
        match &endpoint.name {
            Some(name) => text(out, "server.address", &name.host),
            None => text(out, "server.address", &address(endpoint.address.ip())),
        }
        count(out, "server.port", endpoint.address.port().into());
        text(out, "network.peer.address", &address(endpoint.address.ip()));
        count(out, "network.peer.port", endpoint.address.port().into());
        let scheme = if endpoint.tls().is_some() { "https" } else { "http" };
        text(out, "url.full", &format!("{scheme}://{}{}", endpoint.authority, bounded(ended.target.as_bytes())));
        match endpoint.protocol {
            UpstreamProtocol::Http1 => text(out, "network.protocol.version", "1.1"),
            UpstreamProtocol::H2 => text(out, "network.protocol.version", "2"),
            UpstreamProtocol::Auto => {}
        }
        if tried.number > 1 {
            count(out, "http.request.resend_count", u64::from(tried.number) - 1);
        }
        text(out, "frontgate.upstream", &tried.upstream);
        if let Some(status) = tried.status {
            count(out, "http.response.status_code", status.into());
        }
        let is_last = ended.tried.last().is_some_and(|last| last.number == tried.number);
        let came = line.grpc_status.and_then(Status::named).filter(|_| is_last && tried.status.is_some());
        call(out, ended, ended.target, came);
        let why = tried.why.map(|cause| cause.to_string()).unwrap_or_default();
        match (tried.result, tried.status, came) {
            (Some(Attempt::Ok), Some(status), _) if status >= 400 => fail(out, &status.to_string(), ""),
            (Some(Attempt::Ok), _, Some(came)) if came != Status::OK => fail(out, &named(came), ""),
            (Some(Attempt::Ok), ..) => {}
            (Some(failed), ..) => fail(out, failed.label(), &why),
            // A connection that its other side had closed, or a client that has left.
            (None, Some(_), _) => {}
            (None, None, _) if is_last => text(out, "error.type", "cancelled"),
            (None, None, _) => fail(out, "reset", ""),
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_and_its_port_are_told_apart() {
        for (asked, name, port) in [
            ("shop.example", "shop.example", None),
            ("shop.example:8080", "shop.example", Some(8080)),
            ("[2001:db8::1]:80", "2001:db8::1", Some(80)),
            ("[2001:db8::1]", "2001:db8::1", None),
            ("shop.example:", "shop.example:", None),
            ("", "", None),
        ] {
            assert_eq!(host(asked.as_bytes()), (name.into(), port), "{asked}");
        }
        assert_eq!(host(b"sh\xf6p:80").1, None);
    }

    #[test]
    fn a_text_of_a_client_has_a_bound_and_is_text() {
        assert_eq!(bounded(&[b'a'; 5000]).len(), LONGEST);
        assert_eq!(bounded(b"a\xffb"), "a\u{fffd}b");
    }
}
