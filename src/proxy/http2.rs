//! An HTTP/2 client, whose session is Pingora's.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use pingora_core::protocols::http::HttpTask;
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::Session;

use super::Ctx;
use crate::decide::content_length;
use crate::door::DRIP;
use crate::door::wire::Refusal;
use crate::exchange::client::{Client, Lost};
use crate::upstream::h1::Upload;
use crate::upstream::timer::Timer;

/// One request of an HTTP/2 client.
pub(super) struct Http2<'s> {
    session: &'s mut Session,
    tasks: Vec<HttpTask>,
    framing: Upload,
    status: Option<StatusCode>,
    /// Whether anything was written.
    written: bool,
    read: u64,
    sent: u64,
    /// Since when, and how long beside what has come, the body may keep us waiting.
    began: Instant,
    patience: Duration,
    timer: Timer,
}

impl<'s> Http2<'s> {
    pub(super) fn new(session: &'s mut Session, ctx: &Ctx) -> Self {
        let framing = match content_length(session.req_header()) {
            Some(0) => Upload::Length(0),
            _ if session.is_body_empty() => Upload::None,
            Some(length) => Upload::Length(length),
            None => Upload::Chunked,
        };
        Self {
            session,
            framing,
            tasks: Vec::new(),
            status: None,
            written: false,
            read: 0,
            sent: 0,
            began: Instant::now(),
            patience: ctx.snapshot.rules.body_timeout,
            timer: Timer::new(),
        }
    }

    /// The status that was sent, and the bytes of both bodies.
    pub(super) fn told(&self) -> (Option<StatusCode>, u64, u64) {
        (self.status.filter(|_| self.written), self.read, self.sent)
    }
}

impl Client for Http2<'_> {
    const POLLED: bool = false;

    fn request(&self) -> &RequestHeader {
        self.session.req_header()
    }
    fn framing(&self) -> Upload {
        self.framing
    }
    fn upgrade(&self) -> Option<&HeaderValue> {
        None
    }
    fn takes_informational(&self) -> bool {
        true
    }
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Lost>> {
        if self.session.downstream_session.is_body_done() {
            return Poll::Ready(Ok(None));
        }
        // Dropped and asked again, it loses nothing.
        match pin!(self.session.downstream_session.read_body_or_idle(false)).poll(cx) {
            Poll::Ready(Ok(part)) => {
                self.read += part.as_ref().map_or(0, |data| data.len() as u64);
                Poll::Ready(Ok(part))
            }
            Poll::Ready(Err(_)) => Poll::Ready(Err(Lost::Left)),
            Poll::Pending => {
                let due = self.began + self.patience + Duration::from_secs(self.read / DRIP);
                self.timer.poll(cx, Some(due)).map(|()| Err(Lost::Refused(Refusal::SLOW_BODY)))
            }
        }
    }
    fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        pin!(self.session.downstream_session.read_body_or_idle(true)).poll(cx).map(drop)
    }
    fn inform(&mut self, head: ResponseHeader) {
        self.tasks.push(HttpTask::Header(Box::new(head), false));
    }
    fn head(&mut self, head: ResponseHeader, end: bool) {
        self.status = Some(head.status);
        self.tasks.push(HttpTask::Header(Box::new(head), end));
    }
    fn body(&mut self, data: Bytes, end: bool) {
        self.sent += data.len() as u64;
        self.tasks.push(HttpTask::Body(Some(data), end));
    }
    fn trailers(&mut self, trailers: HeaderMap) {
        self.tasks.push(HttpTask::Trailer(Some(Box::new(trailers))));
    }
    fn take_back(&mut self) -> bool {
        if !self.written {
            self.tasks.clear();
        }
        !self.written
    }
    fn has_room(&self) -> bool {
        self.tasks.len() < 4
    }
    fn has_queued(&self) -> bool {
        !self.tasks.is_empty()
    }
    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Lost>> {
        Poll::Ready(Ok(()))
    }
    async fn flush(&mut self) -> Result<(), Lost> {
        let tasks = std::mem::take(&mut self.tasks);
        if tasks.is_empty() {
            return Ok(());
        }
        self.written = true;
        self.session.write_response_tasks(tasks).await.map(drop).map_err(|_| Lost::Left)
    }
}
