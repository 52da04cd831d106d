//! gRPC over HTTP/2, as far as a gateway has to know it: which requests are calls, what their statuses mean, how long they may take, and where
//! a message ends (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).
//!
//! Nothing of a message itself is read.

mod message;
mod status;
mod timeout;
pub mod web;

use std::time::Instant;

use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Method};
use pingora_http::RequestHeader;

pub use message::{Messages, TooLarge};
pub use status::{STATUS_FIELDS, Status, percent_encoded};
pub use timeout::{from_timeout, to_timeout};

/// Where a call says how long it may take.
pub const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// Where an answer says what came of a call.
pub const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// Where it says so to people.
pub const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
/// Where it says when to try again, in milliseconds.
pub const GRPC_RETRY_PUSHBACK_MS: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

/// The media type that every kind of call begins with.
const MEDIA_TYPE: &[u8] = b"application/grpc";

/// How a call's messages and its status lie in HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// gRPC itself: its status is a trailer.
    Plain,
    /// gRPC-Web: its status is the last frame of the body.
    Web,
    /// The same in base64.
    WebText,
}

/// A request that is a gRPC call.
#[derive(Clone, Debug)]
pub struct Call {
    /// How it is written.
    pub wire: Wire,
    /// The media type that it was sent as, which its answer has, too.
    pub content_type: HeaderValue,
    /// Until when its client waits, where it says so.
    pub deadline: Option<Instant>,
    /// What its client is told came of it, once that is known.
    pub status: Option<Status>,
    /// The same where it was the upstream that said so at the end of an answer, and it is for the upstream to answer for.
    pub told: Option<Status>,
}

impl Call {
    /// The call that this request is, where it is one. Its deadline is still to be read.
    pub fn of(head: &RequestHeader) -> Option<Box<Self>> {
        if head.method != Method::POST {
            return None;
        }
        let content_type = head.headers.get(CONTENT_TYPE)?;
        let wire = wire_of(content_type.as_bytes())?;
        Some(Box::new(Self { wire, content_type: content_type.clone(), deadline: None, status: None, told: None }))
    }

    /// What came of it, as its upstream is to answer for: that its own client's time was over is nobody else's doing.
    pub fn blamed(&self, status: Status, now: Instant) -> Status {
        if status == Status::DEADLINE_EXCEEDED && self.is_over(now) { Status::CANCELLED } else { status }
    }

    /// Whether its client's own time is over, or all but over: the upstream, which is told less than is left, gives up first.
    pub fn is_over(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| now + SHORT_OF >= deadline)
    }
}

/// How much sooner than its client an upstream may give a call up whose time is over.
const SHORT_OF: std::time::Duration = std::time::Duration::from_millis(50);

/// How a body of this media type is written, where it is gRPC.
pub fn wire_of(content_type: &[u8]) -> Option<Wire> {
    let begins = |text: &[u8], start: &[u8]| text.len() >= start.len() && text[..start.len()].eq_ignore_ascii_case(start);
    if !begins(content_type, MEDIA_TYPE) {
        return None;
    }
    let mut rest = &content_type[MEDIA_TYPE.len()..];
    let mut wire = Wire::Plain;
    for (name, found) in [(&b"-web-text"[..], Wire::WebText), (b"-web", Wire::Web)] {
        if begins(rest, name) {
            (rest, wire) = (&rest[name.len()..], found);
            break;
        }
    }
    matches!(rest.first(), None | Some(b'+' | b';' | b' ' | b'\t')).then_some(wire)
}

/// What follows the name of a media type of gRPC: `+proto`, parameters, or nothing.
pub fn suffix_of(content_type: &[u8]) -> &[u8] {
    let name = match wire_of(content_type) {
        Some(Wire::Plain) => MEDIA_TYPE.len(),
        Some(Wire::Web) => MEDIA_TYPE.len() + b"-web".len(),
        Some(Wire::WebText) => MEDIA_TYPE.len() + b"-web-text".len(),
        None => return b"",
    };
    &content_type[name..]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn call(method: &str, content_type: &str) -> Option<Box<Call>> {
        let mut head = RequestHeader::build(method, b"/a.B/C", None).expect("a head");
        head.insert_header("content-type", content_type).expect("a header");
        Call::of(&head)
    }

    #[test]
    fn a_call_is_a_post_of_its_media_type() {
        for (content_type, wire) in [
            ("application/grpc", Wire::Plain),
            ("application/grpc+proto", Wire::Plain),
            ("Application/GRPC; charset=utf-8", Wire::Plain),
            ("application/grpc-web", Wire::Web),
            ("application/grpc-web+json", Wire::Web),
            ("application/grpc-web-text", Wire::WebText),
            ("application/grpc-web-text+proto", Wire::WebText),
        ] {
            let call = call("POST", content_type).unwrap_or_else(|| panic!("{content_type}"));
            assert_eq!((call.wire, call.content_type.as_bytes()), (wire, content_type.as_bytes()));
        }
        for content_type in
            ["application/grp", "application/grpcx", "application/grpc-webx", "application/grpc-web-texts", "text/plain", ""]
        {
            assert!(call("POST", content_type).is_none(), "{content_type}");
        }
        assert!(call("GET", "application/grpc").is_none());
    }

    #[test]
    fn a_suffix_is_what_follows_the_name() {
        for (content_type, suffix) in [
            ("application/grpc", ""),
            ("application/grpc+proto", "+proto"),
            ("application/grpc-web-text+json", "+json"),
            ("application/grpc-web;a=b", ";a=b"),
            ("text/plain", ""),
        ] {
            assert_eq!(suffix_of(content_type.as_bytes()), suffix.as_bytes(), "{content_type}");
        }
    }

    #[test]
    fn a_deadline_of_the_clients_own_is_not_the_upstreams_to_answer_for() {
        let now = Instant::now();
        let mut call = call("POST", "application/grpc").expect("a call");
        assert_eq!(call.blamed(Status::DEADLINE_EXCEEDED, now), Status::DEADLINE_EXCEEDED);

        call.deadline = Some(now + Duration::from_secs(1));
        assert_eq!(call.blamed(Status::DEADLINE_EXCEEDED, now), Status::DEADLINE_EXCEEDED);
        assert!(!call.is_over(now));

        let late = now + Duration::from_millis(960);
        assert_eq!(call.blamed(Status::DEADLINE_EXCEEDED, late), Status::CANCELLED);
        assert_eq!(call.blamed(Status::UNAVAILABLE, late), Status::UNAVAILABLE);
        assert!(call.is_over(late));
    }
}
