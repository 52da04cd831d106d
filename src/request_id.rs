//! Identifiers of requests, as logs, upstreams and clients see them.

use std::time::{SystemTime, UNIX_EPOCH};

use http::{HeaderName, HeaderValue};
use pingora_http::RequestHeader;

/// The header, known beforehand: a name in a string would be copied for every answer.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The request's identifier: kept from a proxy that is trusted, where it is harmless; else a fresh one.
pub(crate) fn request_id(head: &RequestHeader, trusted: bool) -> HeaderValue {
    if trusted
        && let Some(id) = head.headers.get(X_REQUEST_ID)
        && (1..=128).contains(&id.len())
        && id.as_bytes().iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
    {
        return id.clone();
    }
    new_request_id()
}

/// A fresh identifier: a UUIDv7, which sorts by time.
pub(crate) fn new_request_id() -> HeaderValue {
    let mut text = [0_u8; uuid::fmt::Hyphenated::LENGTH];
    // Without the counter that orders the identifiers of one millisecond: it is behind a lock.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let time = uuid::Timestamp::from_unix(uuid::NoContext, now.as_secs(), now.subsec_nanos());
    uuid::Uuid::new_v7(time).as_hyphenated().encode_lower(&mut text);
    // An owned value is shared without another allocation.
    HeaderValue::from_maybe_shared(bytes::Bytes::from_owner(text)).expect("hexadecimal digits and hyphens")
}
