//! What a gRPC call must be before anything is decided about it: on a protocol that can carry it, with a time that is one.

use std::time::Instant;

use frontgate_filters::filter::Facts;
use frontgate_filters::grpc::{Call, GRPC_TIMEOUT, Wire, from_timeout};
use frontgate_filters::reply::Reply;
use http::Version;
use pingora_http::RequestHeader;

use crate::refusals;

/// Whether the request is a call goes into `facts`: from here on it is answered as one. The error is the answer to one that cannot be served,
/// to be given once the request has its identifier.
pub(super) fn recognise(head: &RequestHeader, facts: &mut Facts) -> Result<(), Reply> {
    let call = Call::of(head);
    if call.as_ref().is_some_and(|call| call.wire == Wire::Plain) && head.version != Version::HTTP_2 {
        // It could not read the answer either.
        return Err(refusals::needs_http2());
    }
    facts.grpc = call;
    Ok(())
}

/// Settles until when the call's client waits.
pub(super) fn deadline(head: &RequestHeader, facts: &mut Facts, now: Instant) -> Result<(), Reply> {
    let Some(call) = &mut facts.grpc else { return Ok(()) };
    let mut said = head.headers.get_all(GRPC_TIMEOUT).iter();
    let Some(first) = said.next() else { return Ok(()) };
    let timeout = from_timeout(first.as_bytes()).filter(|_| said.next().is_none());
    let timeout = timeout.ok_or_else(|| refusals::bad_request("The grpc-timeout is no time: up to eight digits and a unit."))?;
    // So far away that no clock gets there: it never is over.
    call.deadline = now.checked_add(timeout);
    Ok(())
}
