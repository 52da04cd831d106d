//! Who asks, as all calls of a request say it: made once, since it is the same for each of them.

use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, TRAILER, TRANSFER_ENCODING, UPGRADE, VIA};
use http::{HeaderMap, HeaderName, HeaderValue};
use pingora_http::RequestHeader;

use crate::exchange::{Asker, X_FORWARDED_HOST, X_FORWARDED_PROTO, asked_host, identify};
#[cfg(feature = "saga")]
use crate::request_id::X_REQUEST_ID;
use crate::telemetry::Traced;
use crate::telemetry::trace::{TRACEPARENT, TRACESTATE, state};
use crate::upstream::h1::is_of_this_hop;
use crate::upstream::line::Fields;
use crate::via;

/// What is said of the request that a call is made for.
#[derive(Debug, Default)]
pub(crate) struct Asks {
    fields: HeaderMap,
    /// The host that the client asked for.
    host: Option<Box<[u8]>>,
}

impl Asks {
    /// Of this request.
    pub(crate) fn new(received: &RequestHeader, asker: &Asker<'_>, traced: Option<&Traced>) -> Self {
        let map = &received.headers;
        let mut fields = HeaderMap::with_capacity(8);
        let passed = map.get_all(VIA).iter().map(HeaderValue::as_bytes);
        fields.list(&VIA, passed.chain([via::member(received.version)]), b", ");
        identify(&mut fields, received, asker);
        // Only of a trusted proxy they are still among a request's fields.
        copy(&mut fields, map, &[X_FORWARDED_HOST, X_FORWARDED_PROTO]);
        match traced {
            Some(traced) if traced.parent.is_some() => fields.list(&TRACESTATE, state(map), b","),
            Some(_) => {}
            // Who makes no spans passes on where others stand.
            None => copy(&mut fields, map, &[TRACEPARENT, TRACESTATE]),
        }
        Self { fields, host: asked_host(received).map(Into::into) }
    }

    /// Of a request that there is no more of than its identifier.
    #[cfg(feature = "saga")]
    pub(crate) fn of_id(request_id: HeaderValue) -> Self {
        let mut fields = HeaderMap::with_capacity(2);
        fields.say(&VIA, via::member(http::Version::HTTP_11));
        fields.insert(X_REQUEST_ID, request_id);
        Self { fields, host: None }
    }

    /// The host that the client asked for.
    pub(super) fn host(&self) -> Option<&[u8]> {
        self.host.as_deref()
    }

    /// What is said of hosts and schemes.
    pub(super) fn hosts(&self) -> [Option<&[u8]>; 3] {
        let said = |name: &HeaderName| self.fields.get(name).map(HeaderValue::as_bytes);
        [self.host(), said(&X_FORWARDED_HOST), said(&X_FORWARDED_PROTO)]
    }

    /// Says it, and of the call's own fields those that are not the gateway's to say.
    pub(super) fn say(&self, own: &HeaderMap, out: &mut impl Fields) {
        let is_said =
            |name: &HeaderName| self.fields.contains_key(name) || *name == TRACEPARENT || is_of_message(name) || is_of_this_hop(name);
        own.iter().filter(|(name, _)| !is_said(name)).for_each(|(name, value)| out.put(name, value));
        self.fields.iter().for_each(|(name, value)| out.put(name, value));
    }
}

fn copy(fields: &mut HeaderMap, from: &HeaderMap, names: &[HeaderName]) {
    for name in names {
        for value in from.get_all(name) {
            fields.append(name.clone(), value.clone());
        }
    }
}

/// What frames a message or its connection, and the host, which is said by itself.
fn is_of_message(name: &HeaderName) -> bool {
    use http::header::HOST;
    matches!(*name, HOST | CONNECTION | CONTENT_LENGTH | EXPECT | TRAILER | TRANSFER_ENCODING | UPGRADE)
}
