//! Refusals that more than one part of the gateway gives: each text has its one home here.

use frontgate_filters::reply::Reply;
use http::header::{ALLOW, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use pingora_http::ResponseHeader;

use crate::door::wire::Refusal;
use crate::upstream::NoPick;

/// The answer to what should not happen.
pub(crate) fn internal() -> Reply {
    Reply::problem(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "The gateway failed to handle the request.")
}

/// The answer to a request that is malformed in this way.
pub(crate) fn bad_request(detail: &'static str) -> Reply {
    Reply::problem(StatusCode::BAD_REQUEST, "bad_request", detail)
}

/// The answer to a gRPC call over a protocol that cannot carry one.
pub(crate) fn needs_http2() -> Reply {
    let detail = "gRPC needs HTTP/2: over HTTP/1 only gRPC-Web is served.";
    Reply::problem(StatusCode::HTTP_VERSION_NOT_SUPPORTED, "grpc_needs_http2", detail)
}

/// The answer to a gRPC call with a message over the limit.
pub(crate) fn message_too_large() -> Reply {
    Reply::problem(StatusCode::PAYLOAD_TOO_LARGE, "message_too_large", "A message of the call is larger than allowed.")
}

/// The answer to a request that no route matches.
pub(crate) fn no_route() -> Reply {
    Reply::problem(StatusCode::NOT_FOUND, "no_route", "Nothing is served under this host and path.")
}

/// The answer to a request that has the facts of none of the routes of its host and path.
pub(crate) fn no_route_for_these_facts() -> Reply {
    Reply::problem(StatusCode::NOT_FOUND, "no_route", "Nothing is served under this host and path to a request like this one.")
}

/// The answer to a method that a host and path do not have; `allow` names those that they do.
pub(crate) fn wrong_method(allow: &str) -> Reply {
    let reply = Reply::problem(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "This resource has other methods.");
    reply.with(ALLOW, HeaderValue::from_str(allow).expect("method names are tokens"))
}

/// The answer to a request that is refused so that others, which matter more, are served.
pub(crate) fn overloaded() -> Reply {
    let detail = "The gateway has more to do than it can, and serves what matters more.";
    Reply::problem(StatusCode::SERVICE_UNAVAILABLE, "overloaded", detail).with(RETRY_AFTER, HeaderValue::from_static("5"))
}

/// The answer where the bodies that are held have no more memory.
pub(crate) fn no_memory() -> Reply {
    let detail = "The gateway has no more memory for what the answer is put together from.";
    Reply::problem(StatusCode::SERVICE_UNAVAILABLE, "no_memory", detail).with(RETRY_AFTER, HeaderValue::from_static("1"))
}

/// The answer to a body over the limit.
pub(crate) fn body_too_large() -> Reply {
    Reply::problem(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "The request body is larger than allowed.")
}

/// What the strict reading of the wire refuses, as an answer.
pub(crate) fn unreadable(refusal: Refusal) -> Reply {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST);
    let reply = Reply::problem(status, refusal.code, refusal.detail);
    match status {
        // A method that nothing behind the gateway is ever sent.
        StatusCode::METHOD_NOT_ALLOWED => reply.with(ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")),
        _ => reply,
    }
}

/// The answer to a CONNECT over HTTP/2 that wants to speak another protocol than there is (RFC 9220, section 3).
pub(crate) fn unknown_protocol() -> Reply {
    let detail = "No other protocol than `websocket` is spoken on a stream.";
    Reply::problem(StatusCode::NOT_IMPLEMENTED, "protocol_not_supported", detail)
}

/// The answer to who asked for a tunnel where there is none: what is there would be taken for one.
pub(crate) fn not_a_websocket() -> Reply {
    Reply::problem(StatusCode::BAD_GATEWAY, "not_a_websocket", "No WebSocket is served under this host and path.")
}

/// The answer to what is expected beside `100-continue` (RFC 9110, section 10.1.1).
pub(crate) fn unmet_expectation() -> Reply {
    let detail = "Nothing can be expected of the gateway but `100-continue`.";
    Reply::problem(StatusCode::EXPECTATION_FAILED, "expectation_failed", detail)
}

/// The answer to a request that goes in circles.
pub(crate) fn loops() -> Reply {
    Reply::problem(StatusCode::LOOP_DETECTED, "loop_detected", "The request has come through this gateway too often.")
}

/// An answer as HTTP/1.1 has it, for who asked so badly that no hook will see it.
pub(crate) fn page(head: &ResponseHeader, body: &[u8]) -> Vec<u8> {
    let mut page = format!("HTTP/1.1 {} {}\r\n", head.status.as_u16(), head.status.canonical_reason().unwrap_or("Error")).into_bytes();
    head.header_to_h1_wire(&mut page);
    page.extend_from_slice(b"\r\n");
    page.extend_from_slice(body);
    page
}

/// The answer where an upstream could not be reached, or broke off before its head.
pub(crate) fn bad_gateway() -> Reply {
    Reply::problem(StatusCode::BAD_GATEWAY, "upstream_unreachable", "The service behind the gateway did not answer.")
}

/// The answer to a WebSocket whose upstream is spoken to in HTTP/2.
pub(crate) fn no_websocket() -> Reply {
    let detail = "The service behind the gateway is spoken to in HTTP/2, over which no WebSocket is opened.";
    Reply::problem(StatusCode::NOT_IMPLEMENTED, "no_websocket", detail)
}

/// The answer where what an upstream sent is none.
pub(crate) fn no_answer() -> Reply {
    let detail = "The service behind the gateway sent an answer that cannot be read.";
    Reply::problem(StatusCode::BAD_GATEWAY, "upstream_unreadable", detail)
}

/// The answer where an upstream was too slow.
pub(crate) fn too_slow() -> Reply {
    Reply::problem(StatusCode::GATEWAY_TIMEOUT, "upstream_timeout", "The service behind the gateway did not answer in time.")
}

/// The answer where an upstream has no endpoint for a request.
pub(crate) fn no_endpoint(why: NoPick) -> Reply {
    let (code, detail) = match why {
        NoPick::Full => ("upstream_full", "The service behind the gateway has as many requests as it may."),
        NoPick::NoEndpoint => ("no_endpoint", "No endpoint can take the request."),
    };
    Reply::problem(StatusCode::SERVICE_UNAVAILABLE, code, detail).with(RETRY_AFTER, HeaderValue::from_static("1"))
}
