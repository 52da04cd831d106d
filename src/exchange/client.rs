//! The client's side of an exchange: whoever reads the request and takes the answer.

use std::future::poll_fn;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use pingora_http::{RequestHeader, ResponseHeader};

use crate::door::wire::Refusal;
use crate::upstream::faulty::Hold;
use crate::upstream::h1::Upload;

/// Why a client is no use any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// It has left, or does not take its answer in time.
    Left,
    /// What it sent is refused for this reason.
    Refused(Refusal),
}

/// Why a client cannot be told what an upstream has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Objection {
    /// It would take for a tunnel what is none.
    NoTunnel,
    /// Whoever changes the protocol has not read the request.
    Forged,
}

/// A client with one request.
///
/// What it reads and whether it has left is polled beside everything else that the exchange waits for: each poll may be dropped and asked
/// again, and nothing is lost.
#[allow(async_fn_in_trait, reason = "the exchange is generic over it, and nobody needs its futures by name")]
pub(crate) trait Client: Send {
    /// The request.
    fn request(&self) -> &RequestHeader;
    /// How the request's body is framed.
    fn framing(&self) -> Upload;
    /// The protocol that the client asks to change to.
    fn upgrade(&self) -> Option<&HeaderValue>;
    /// Why this final head is nothing that the client can be told.
    fn objects_to(&self, _: &ResponseHeader) -> Option<Objection> {
        None
    }
    /// Whether informational answers may be sent.
    fn takes_informational(&self) -> bool;
    /// The next part of the request's body; none at its end.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Lost>>;
    /// Nobody takes more of the body just now: what has come of it is held for as long. Ready where it shows that the client has left.
    fn gather(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
    /// Ready once the client has left. Only after the body's end.
    fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// The answer may have long pauses: from here on the connection itself finds out whether the client is still there.
    fn keep_alive(&self) {}
    /// Queues an informational head, or the one that changes the protocol.
    fn inform(&mut self, head: ResponseHeader);
    /// Queues the answer's head; with `end` there is no body.
    fn head(&mut self, head: ResponseHeader, end: bool);
    /// Queues a part of the body; `end` comes once.
    fn body(&mut self, data: Bytes, end: bool);
    /// Queues trailers, which end the body.
    fn trailers(&mut self, trailers: HeaderMap);
    /// Takes the queued answer back, where none of it was sent. Whether that was so.
    fn take_back(&mut self) -> bool;
    /// Its answer is held for a time from when it could go out.
    fn hold(&mut self, _: Hold) {}
    /// Whether more of the answer may be queued.
    fn has_room(&self) -> bool;
    /// Whether something is queued.
    fn has_queued(&self) -> bool;
    /// Writes what is queued.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Lost>>;
    /// Writes what is queued, and waits for nothing else.
    async fn flush(&mut self) -> Result<(), Lost> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }
}
