//! One request of an HTTP/2 client on its way to who answers it.
//!
//! Pingora's request machinery is given a session that holds the request alone, as over HTTP/1. The stream waits among what the request carries
//! along, until the request's hooks take it to answer.

use std::sync::Arc;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::Request;
use parking_lot::Mutex;
use pingora_core::protocols::Digest;
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_http::RequestHeader;

use crate::door::h1::Down;
use crate::websocket;

/// A stream: on one half comes the request's body, the other takes the answer. Dropped before its end it is reset.
pub(crate) struct Stream {
    /// The body.
    pub body: RecvStream,
    /// Where the answer's head goes.
    pub answer: SendResponse<Bytes>,
}

/// Where a stream waits.
#[derive(Clone)]
struct Waiting(Arc<Mutex<Option<Stream>>>);

/// The session of a request that has come on a connection with this digest.
pub(super) fn session(request: Request<RecvStream>, answer: SendResponse<Bytes>, digest: Arc<ProxyDigest>) -> ServerSession {
    let (mut parts, body) = request.into_parts();
    parts.extensions.insert(Waiting(Arc::new(Mutex::new(Some(Stream { body, answer })))));
    let mut head = RequestHeader::from(parts);
    websocket::take(&mut head);
    let digest = Digest { proxy_digest: Some(digest), ..Digest::default() };
    ServerSession::new_custom(Box::new(Down::new(head, digest)))
}

/// The stream of a request that came over HTTP/2, once.
pub(crate) fn take(head: &RequestHeader) -> Option<Stream> {
    head.extensions.get::<Waiting>()?.0.lock().take()
}
