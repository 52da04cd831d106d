//! What became of a request: each attempt at an upstream, what is done about a failed one, and how the exchange ended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pingora_http::ResponseHeader;

use crate::grpc::Status;
use crate::reply::Reply;

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The status that the client was sent; 0 where none was.
    pub status: u16,
    /// Whether the whole answer was sent.
    pub complete: bool,
    /// Whether it was the upstream that broke off after its head.
    pub upstream_broke: bool,
    /// What the upstream said at its answer's end came of a gRPC call; none of every other request, and where its head said so already.
    pub grpc: Option<Status>,
}

/// One attempt at an upstream.
pub struct Attempt<'a> {
    /// The upstream that was asked.
    pub upstream: &'a str,
    /// What came of it.
    pub result: Result<&'a ResponseHeader, Failure>,
    /// How long it took to the head or the failure.
    pub took: Duration,
    /// Now.
    pub now: Instant,
    /// Whether no further attempt would follow.
    pub last: bool,
    /// Whether the request could be sent once more: nothing of its body is lost.
    pub replayable: bool,
    /// What the head says came of a gRPC call, where it is all of the answer; none of every other request.
    pub grpc: Option<Status>,
}

/// Why an attempt brought no head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection, or it broke off before the head.
    Connect,
    /// Too slow to connect or to answer.
    Timeout,
    /// No endpoint could take it.
    Unavailable,
    /// The client left, or the gateway itself refused: nobody's fault upstream.
    Neutral,
}

/// What is done instead of passing a failed attempt on.
#[derive(Debug)]
pub enum Rescue {
    /// Nothing.
    Pass,
    /// This upstream is asked.
    Pool(Arc<str>),
    /// This is the answer.
    Reply(Reply),
}
