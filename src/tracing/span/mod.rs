//! The spans of a request in OTLP's form: one for the request, one for each of its attempts, with the attributes that OpenTelemetry's
//! conventions for HTTP and RPC name, and a few of the gateway's own.
//!
//! No query is in them, and of headers nothing but the host and the user agent.

mod client;
mod server;

use std::borrow::Cow;
use std::time::Duration;

use frontgate_filters::grpc::Status;

use super::Ended;
use super::protobuf::{Value, attribute, bytes, fixed32, fixed64, message, number};
use super::queue::Spans;

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
    let method = method(ended.line.method);
    let last = ended.tried.last().map(|last| last.number);
    for tried in ended.tried {
        let is_last = last == Some(tried.number);
        client::write(&mut out, ended, &client::Asked { tried, number: tried.number, method, target: ended.target, call: None, is_last });
    }
    for call in ended.calls {
        let method = self::method(call.method.as_str());
        let last = call.tried.last().map(|last| last.number);
        for tried in &call.tried {
            let (number, is_last) = (call.base + tried.number, last == Some(tried.number));
            client::write(&mut out, ended, &client::Asked { tried, number, method, target: &call.path, call: Some(&call.name), is_last });
        }
    }
    server::write(&mut out, ended);
    let of_calls: usize = ended.calls.iter().map(|call| call.tried.len()).sum();
    Spans { bytes: out, count: (ended.tried.len() + of_calls) as u32 + 1 }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_a_client_has_a_bound_and_is_text() {
        assert_eq!(bounded(&[b'a'; 5000]).len(), LONGEST);
        assert_eq!(bounded(b"a\xffb"), "a\u{fffd}b");
    }
}
