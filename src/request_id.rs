//! Identifiers of requests, as logs, upstreams and clients see them.

use std::time::{SystemTime, UNIX_EPOCH};

use http::HeaderValue;

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
