//! What a limit answers to a request that it does not let through.

use http::StatusCode;
use http::header::RETRY_AFTER;

use super::law::Ruling;
use super::permit;
use crate::reply::Reply;

/// Over the rate.
pub(super) fn too_many(ruling: Option<Ruling>) -> Reply {
    refusal("rate_limited", "Too many requests. Retry after the time in Retry-After.", ruling.map_or(1, |r| r.retry_after()))
}

/// Over what may be in flight.
pub(super) fn too_many_at_once() -> Reply {
    refusal("too_many_at_once", "Too many requests in flight for this client.", 1)
}

fn refusal(code: &'static str, detail: &'static str, retry_after: u64) -> Reply {
    let mut reply = Reply::problem(StatusCode::TOO_MANY_REQUESTS, code, detail);
    reply.headers.reserve_exact(3);
    reply.with(RETRY_AFTER, permit::seconds(retry_after))
}

/// Not 429: to wait would not help. Not 401 either, which speaks of credentials, while a key may be a header of any kind.
pub(super) fn missing_key() -> Reply {
    Reply::problem(StatusCode::FORBIDDEN, "limit_key_missing", "The request lacks what this limit counts by.")
}
