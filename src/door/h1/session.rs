//! The connection as a session of Pingora's, and as the client of an exchange.
//!
//! Pingora's request machinery is given a session that holds the request alone. The connection waits in the seat that it shares with the hooks
//! ([`Seat`]): they take it to answer, and put it back when it can serve another request.

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::Stream;
use http::{HeaderMap, HeaderValue, StatusCode};
use parking_lot::Mutex;
use pingora_core::protocols::Digest;
use pingora_core::protocols::http::HttpTask;
use pingora_core::protocols::http::custom::{CustomMessageWrite, server};
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_core::{Error, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};

use super::H1;
use crate::door::conn::{Conn, Fresh};
use crate::door::h2::Flow;
use crate::door::wire::Framing;
use crate::exchange::client::{Client, Lost};
use crate::upstream::faulty::Hold;
use crate::upstream::h1::Upload;

/// What a request's hooks find by its session's digest: what is known of the connection, and the connection itself.
pub(crate) struct Seat {
    /// What is known of the connection.
    pub conn: Arc<Conn>,
    /// Whether it has asked for anything yet.
    pub fresh: Fresh,
    /// How its bytes flow, where it is HTTP/2.
    pub flow: Flow,
    /// Where an HTTP/1 connection waits while Pingora has its request.
    pub h1: Mutex<Option<Box<H1>>>,
}

impl Seat {
    /// An empty one.
    pub(crate) fn new(conn: Arc<Conn>, fresh: Fresh) -> Self {
        Self { conn, fresh, flow: Flow::default(), h1: Mutex::default() }
    }
}

/// A request as Pingora has it.
pub(crate) struct Down {
    request: RequestHeader,
    digest: Digest,
}

impl Down {
    /// The session of a request whose connection waits where this digest leads to.
    pub(crate) fn new(request: RequestHeader, digest: Digest) -> Self {
        Self { request, digest }
    }
}

/// A connection that is being answered on.
pub(crate) struct Held<'r> {
    /// The connection.
    pub h1: Box<H1>,
    /// Its request.
    pub request: &'r RequestHeader,
    /// What holds its answer, where something does.
    pub hold: Option<Hold>,
}

impl Client for Held<'_> {
    fn request(&self) -> &RequestHeader {
        self.request
    }
    fn framing(&self) -> Upload {
        match self.h1.framing {
            Framing::None => Upload::None,
            Framing::Length(length) => Upload::Length(length),
            Framing::Chunked => Upload::Chunked,
        }
    }
    fn upgrade(&self) -> Option<&HeaderValue> {
        self.h1.upgrade.as_ref()
    }
    fn takes_informational(&self) -> bool {
        self.h1.version == http::Version::HTTP_11
    }
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<std::result::Result<Option<Bytes>, Lost>> {
        self.h1.poll_part(cx)
    }
    fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.h1.poll_gone(cx)
    }
    fn keep_alive(&self) {
        self.h1.keep_alive();
    }
    fn inform(&mut self, head: ResponseHeader) {
        // Who was told to go on is not told again.
        if head.status != StatusCode::CONTINUE || !self.h1.continued {
            self.h1.queue_informational(&head);
        }
    }
    fn head(&mut self, head: ResponseHeader, end: bool) {
        self.h1.queue_head(&head, &self.request.method, end);
    }
    fn body(&mut self, data: Bytes, end: bool) {
        self.h1.queue_body(data, end);
    }
    fn trailers(&mut self, trailers: HeaderMap) {
        self.h1.queue_trailers(&trailers);
    }
    fn take_back(&mut self) -> bool {
        self.h1.unqueue()
    }
    fn hold(&mut self, hold: Hold) {
        self.hold = Some(hold);
    }
    fn has_room(&self) -> bool {
        self.h1.queued() < crate::upstream::h1::ROOM
    }
    fn has_queued(&self) -> bool {
        self.h1.queued() > 0
    }
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<std::result::Result<(), Lost>> {
        if let Some(hold) = self.hold.as_mut().filter(|_| self.h1.queued() > 0) {
            ready!(hold.poll(cx));
            self.hold = None;
        }
        self.h1.poll_out(cx)
    }
}

/// What Pingora asks of a session whose answer it is not to write.
fn not_here<T>() -> Result<T> {
    Error::e_explain(ErrorType::InternalError, "the request's hooks answer it")
}

type Reader = Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>;

#[async_trait]
impl server::Session for Down {
    fn req_header(&self) -> &RequestHeader {
        &self.request
    }
    fn req_header_mut(&mut self) -> &mut RequestHeader {
        &mut self.request
    }
    fn digest(&self) -> Option<&Digest> {
        Some(&self.digest)
    }
    fn digest_mut(&mut self) -> Option<&mut Digest> {
        Some(&mut self.digest)
    }
    fn request_summary(&self) -> String {
        // No path: it may hold what logs must not.
        self.request.method.to_string()
    }
    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        not_here()
    }
    async fn drain_request_body(&mut self) -> Result<()> {
        Ok(())
    }
    async fn write_response_header(&mut self, _: Box<ResponseHeader>, _: bool) -> Result<()> {
        not_here()
    }
    async fn write_response_header_ref(&mut self, _: &ResponseHeader, _: bool) -> Result<()> {
        not_here()
    }
    async fn write_body(&mut self, _: Bytes, _: bool) -> Result<()> {
        not_here()
    }
    async fn write_trailers(&mut self, _: HeaderMap) -> Result<()> {
        not_here()
    }
    async fn response_duplex_vec(&mut self, _: Vec<HttpTask>) -> Result<bool> {
        not_here()
    }
    async fn read_body_or_idle(&mut self, _: bool) -> Result<Option<Bytes>> {
        not_here()
    }
    async fn shutdown(&mut self, _: u32, _: &str) {}
    async fn finish(&mut self) -> Result<()> {
        Ok(())
    }
    async fn finish_custom(&mut self) -> Result<()> {
        Ok(())
    }
    fn response_written(&self) -> Option<&ResponseHeader> {
        None
    }
    fn is_body_done(&mut self) -> bool {
        true
    }
    fn is_body_empty(&mut self) -> bool {
        true
    }
    fn body_bytes_sent(&self) -> usize {
        0
    }
    fn body_bytes_read(&self) -> usize {
        0
    }
    fn client_addr(&self) -> Option<&SocketAddr> {
        None
    }
    fn server_addr(&self) -> Option<&SocketAddr> {
        None
    }
    fn pseudo_raw_h1_request_header(&self) -> Bytes {
        Bytes::new()
    }
    fn enable_retry_buffering(&mut self) {}
    fn retry_buffer_truncated(&self) -> bool {
        true
    }
    fn get_retry_buffer(&self) -> Option<Bytes> {
        None
    }
    fn set_read_timeout(&mut self, _: Option<Duration>) {}
    fn get_read_timeout(&self) -> Option<Duration> {
        None
    }
    fn set_write_timeout(&mut self, _: Option<Duration>) {}
    fn get_write_timeout(&self) -> Option<Duration> {
        None
    }
    fn set_total_drain_timeout(&mut self, _: Option<Duration>) {}
    fn get_total_drain_timeout(&self) -> Option<Duration> {
        None
    }
    fn take_custom_message_reader(&mut self) -> Option<Reader> {
        None
    }
    fn restore_custom_message_reader(&mut self, _: Reader) -> Result<()> {
        Ok(())
    }
    fn take_custom_message_writer(&mut self) -> Option<Box<dyn CustomMessageWrite>> {
        None
    }
    fn restore_custom_message_writer(&mut self, _: Box<dyn CustomMessageWrite>) -> Result<()> {
        Ok(())
    }
}
