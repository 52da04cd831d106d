//! Who asks, as all calls of a request say it: made once, since it is the same for each of them.

use bytes::BytesMut;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, EXPECT, TRAILER, TRANSFER_ENCODING, UPGRADE, VIA};
use http::{HeaderMap, HeaderName, HeaderValue};
use pingora_http::RequestHeader;

use crate::exchange::{Asker, X_FORWARDED_HOST, X_FORWARDED_PROTO, asked_host, identify};
#[cfg(feature = "saga")]
use crate::request_id::X_REQUEST_ID;
use crate::telemetry::Traced;
use crate::telemetry::trace::{TRACEPARENT, TRACESTATE, state};
use crate::upstream::h1::is_of_this_hop;
use crate::upstream::line::{Fields, fields_in};
use crate::via;

/// What calls ask for, where they do not say so themselves, and in which form.
const ACCEPTS: &[u8] = b"accept: application/json\r\n";
const IDENTITY: &[u8] = b"accept-encoding: identity\r\n";

/// What is said of the request that a call is made for.
#[derive(Debug, Default)]
pub(crate) struct Asks {
    /// The fields that each of its calls has, as they are sent over HTTP/1.1: written once. Those before are what calls ask for.
    lines: BytesMut,
    /// The host that the client asked for.
    host: Option<Box<[u8]>>,
}

impl Asks {
    /// Of this request.
    pub(crate) fn new(received: &RequestHeader, asker: &Asker<'_>, traced: Option<&Traced>) -> Self {
        let map = &received.headers;
        let mut lines = Self::begun();
        let passed = map.get_all(VIA).iter().map(HeaderValue::as_bytes);
        lines.list(&VIA, passed.chain([via::member(received.version)]), b", ");
        identify(&mut lines, received, asker);
        // Only of a trusted proxy they are still among a request's fields.
        copy(&mut lines, map, &[X_FORWARDED_HOST, X_FORWARDED_PROTO]);
        match traced {
            Some(traced) if traced.parent.is_some() => lines.list(&TRACESTATE, state(map), b","),
            Some(_) => {}
            // Who makes no spans passes on where others stand.
            None => copy(&mut lines, map, &[TRACEPARENT, TRACESTATE]),
        }
        Self { lines, host: asked_host(received).map(Into::into) }
    }

    /// Of a request that there is no more of than its identifier.
    #[cfg(feature = "saga")]
    pub(crate) fn of_id(request_id: HeaderValue) -> Self {
        let mut lines = Self::begun();
        lines.say(&VIA, via::member(http::Version::HTTP_11));
        lines.put(&X_REQUEST_ID, &request_id);
        Self { lines, host: None }
    }

    fn begun() -> BytesMut {
        let mut lines = BytesMut::with_capacity(512);
        lines.extend_from_slice(ACCEPTS);
        lines.extend_from_slice(IDENTITY);
        lines
    }

    /// The host that the client asked for.
    pub(super) fn host(&self) -> Option<&[u8]> {
        self.host.as_deref()
    }

    /// What is said of hosts and schemes.
    pub(super) fn hosts(&self) -> [Option<&[u8]>; 3] {
        [self.host(), self.said(&X_FORWARDED_HOST), self.said(&X_FORWARDED_PROTO)]
    }

    fn said(&self, name: &HeaderName) -> Option<&[u8]> {
        fields_in(&self.lines).find(|(said, _)| said.eq_ignore_ascii_case(name.as_str().as_bytes())).map(|(_, value)| value)
    }

    /// Says it, and of the call's own fields those that are not the gateway's to say.
    pub(super) fn say(&self, own: &HeaderMap, out: &mut impl Fields) {
        let is_said = |name: &HeaderName| {
            *name != ACCEPT && self.said(name).is_some() || *name == TRACEPARENT || is_of_message(name) || is_of_this_hop(name)
        };
        own.iter().filter(|(name, _)| !is_said(name)).for_each(|(name, value)| out.put(name, value));
        let asks_itself = !own.is_empty() && own.contains_key(ACCEPT);
        out.lines(if asks_itself { &self.lines[ACCEPTS.len()..] } else { &self.lines });
    }
}

/// Adds what calls ask for to a call's own fields.
pub(super) fn ask(fields: &mut HeaderMap) {
    fields.entry(ACCEPT).or_insert(HeaderValue::from_static("application/json"));
    fields.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
}

fn copy(out: &mut impl Fields, from: &HeaderMap, names: &[HeaderName]) {
    for name in names {
        from.get_all(name).iter().for_each(|value| out.put(name, value));
    }
}

/// What frames a message or its connection, and the host, which is said by itself.
fn is_of_message(name: &HeaderName) -> bool {
    use http::header::HOST;
    matches!(*name, HOST | CONNECTION | CONTENT_LENGTH | EXPECT | TRAILER | TRANSFER_ENCODING | UPGRADE)
}
