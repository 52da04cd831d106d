//! An HTTP/2 client with one request, on its stream: no wait for the client's window is without a deadline, and none keeps the upload from being
//! read.

mod tunnel;

use std::cell::RefCell;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant, SystemTime};

use bytes::{Bytes, BytesMut};
use frontgate_filters::words::fields::lists;
use h2::SendStream;
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, EXPECT, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::Session;

use super::Ctx;
use super::open::Sent;
use crate::decide::content_length;
use crate::door::wire::Refusal;
use crate::door::{Patience, Seat, h2 as door};
use crate::exchange::client::{Client, Lost, Objection};
use crate::gathered::Gathered;
use crate::upstream::faulty::Hold;
use crate::upstream::h1::{ROOM, Upload};
use crate::upstream::timer::Timer;
use crate::websocket::{self, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, WEBSOCKET};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// One request of an HTTP/2 client.
pub(super) struct Http2<'s> {
    request: &'s RequestHeader,
    stream: door::Stream,
    seat: Option<Arc<Seat>>,
    /// What has come of its body, and waits.
    gathered: Gathered,
    framing: Upload,
    /// Whether it is to become a WebSocket.
    websocket: bool,
    /// Whether the client waits to be told to send its body, and whether it was told so.
    expects: bool,
    continued: bool,
    answer: Answer,
    /// Where the answer's body goes once its head was written.
    writer: Option<SendStream<Bytes>>,
    status: Option<StatusCode>,
    read: u64,
    sent: u64,
    /// How long its upload may pause; none where it may as long as it likes, as a gRPC call's.
    body_timeout: Option<Duration>,
    write_timeout: Duration,
    reading: Patience,
    writing: Patience,
    /// How much the connection had moved when this request's answer was taken last.
    flowed: u64,
    timer: Timer,
    slow: Timer,
    /// What holds its answer, where something does.
    hold: Option<Hold>,
}

/// What is queued of an answer.
#[derive(Default)]
struct Answer {
    head: Option<(Box<ResponseHeader>, bool)>,
    data: Bytes,
    trailers: Option<HeaderMap>,
    /// Whether its end is queued, and whether that was written.
    end: bool,
    ended: bool,
}

impl<'s> Http2<'s> {
    /// The client of the request that this stream brought; none where the request has come otherwise, or is answered already.
    pub(super) fn new(session: &'s Session, ctx: &Ctx) -> Option<Self> {
        let request = session.req_header();
        let stream = door::take(request)?;
        let websocket = websocket::is_asked_for(request);
        let framing = match content_length(request) {
            // What comes on the stream is no body.
            _ if websocket => Upload::None,
            Some(0) => Upload::Length(0),
            _ if stream.body.is_end_stream() => Upload::None,
            Some(length) => Upload::Length(length),
            None => Upload::Chunked,
        };
        let is_call = ctx.facts.grpc.is_some() && ctx.snapshot.route(ctx.route).takes_calls;
        Some(Self {
            request,
            stream,
            seat: ctx.seat.clone(),
            gathered: Gathered::default(),
            framing,
            websocket,
            expects: lists(&request.headers, &EXPECT, "100-continue"),
            continued: false,
            answer: Answer::default(),
            writer: None,
            status: None,
            read: 0,
            sent: 0,
            body_timeout: (!is_call).then_some(ctx.snapshot.rules.body_timeout),
            write_timeout: ctx.snapshot.rules.write_timeout,
            reading: Patience::default(),
            writing: Patience::default(),
            flowed: 0,
            timer: Timer::new(),
            slow: Timer::new(),
            hold: None,
        })
    }

    /// The stream as one end of a tunnel, once the head that says so was written.
    pub(super) fn into_tunnel(self) -> Option<tunnel::Stream> {
        Some(tunnel::Stream::new(self.stream.body, self.writer?, self.seat))
    }

    /// Sends an informational head. A client that is gone is found out by what is read from it.
    fn say(&mut self, head: ResponseHeader) {
        let _ = self.stream.answer.send_informational(fit(head));
    }

    /// Whether a head that nobody has to get may be sent: none is held for who does not read.
    fn is_worth_saying(&self, head: &ResponseHeader) -> bool {
        let repeats = head.status == StatusCode::CONTINUE && self.continued;
        !repeats && self.status.is_none() && self.seat.as_ref().is_none_or(|seat| !seat.flow.is_blocked())
    }

    /// Somebody wants the body that the client holds back until it is told so: it was not refused by then. Who has begun to send it waits for
    /// nothing.
    fn go_on(&mut self) {
        if !std::mem::take(&mut self.expects) || self.read > 0 || self.status.is_some() {
            return;
        }
        self.continued = true;
        if let Ok(head) = ResponseHeader::build_no_case(StatusCode::CONTINUE, Some(0)) {
            self.say(head);
        }
    }

    /// Nothing of the answer is taken just now. When patience with that ends: while the socket takes nothing at all, the connection's own
    /// deadline holds; but a stream that has had its turn and still is not taken from is one whose client has closed its window.
    fn until_taken(&mut self) -> Instant {
        if let Some(seat) = &self.seat {
            let flowed = seat.flow.given();
            if !self.writing.is_waiting() {
                self.flowed = flowed;
            } else if seat.flow.is_blocked() && flowed - self.flowed < seat.flow.round() {
                self.writing.excuse();
            }
        }
        self.writing.until_taken(self.write_timeout)
    }

    /// Writes the head that is queued.
    fn write_head(&mut self) -> Result<(), Lost> {
        let Some((head, end)) = self.answer.head.take() else { return Ok(()) };
        let mut head = fit(*head);
        if !head.headers().contains_key(DATE) {
            head.headers_mut().insert(DATE, date());
        }
        self.writer = Some(self.stream.answer.send_response(head, end).map_err(|_| Lost::Left)?);
        self.answer.ended = end;
        self.seat.iter().for_each(|seat| seat.flow.answered(0, 0));
        Ok(())
    }
}

impl Sent for Http2<'_> {
    fn sent(&self) -> (Option<StatusCode>, u64, u64) {
        (self.status.filter(|_| self.writer.is_some()), self.read, self.sent)
    }
}

impl Answer {
    /// Sends as much as the client's window takes; how much that was. The end goes with the last of it.
    fn poll_send(&mut self, writer: &mut SendStream<Bytes>, cx: &mut Context<'_>) -> Poll<Result<usize, h2::Error>> {
        if self.data.is_empty() {
            if self.end && !self.ended {
                self.ended = true;
                match self.trailers.take() {
                    Some(trailers) => writer.send_trailers(trailers)?,
                    None => writer.send_data(Bytes::new(), true)?,
                }
            }
            return Poll::Ready(Ok(0));
        }
        writer.reserve_capacity(self.data.len());
        // Room is only told of where it grows.
        while writer.capacity() == 0 {
            match ready!(writer.poll_capacity(cx)) {
                Some(more) => more?,
                None => return Poll::Ready(Err(h2::Reason::CANCEL.into())),
            };
        }
        let part = self.data.split_to(writer.capacity().min(self.data.len()));
        let count = part.len();
        self.ended = self.end && self.data.is_empty() && self.trailers.is_none();
        writer.send_data(part, self.ended)?;
        Poll::Ready(Ok(count))
    }
}

impl Client for Http2<'_> {
    fn request(&self) -> &RequestHeader {
        self.request
    }
    fn framing(&self) -> Upload {
        self.framing
    }
    fn upgrade(&self) -> Option<&HeaderValue> {
        self.websocket.then_some(&WEBSOCKET)
    }
    fn objects_to(&self, head: &ResponseHeader) -> Option<Objection> {
        if !self.websocket {
            return None;
        }
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            // The client has no key that it could look at this by.
            let key = self.request().headers.get(SEC_WEBSOCKET_KEY);
            let accepts = key.zip(head.headers.get(SEC_WEBSOCKET_ACCEPT)).is_some_and(|(key, accept)| websocket::accepts(key, accept));
            return (!accepts).then_some(Objection::Forged);
        }
        // Over HTTP/2 this would say that the stream is the tunnel.
        head.status.is_success().then_some(Objection::NoTunnel)
    }
    fn takes_informational(&self) -> bool {
        true
    }
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Lost>> {
        match self.gathered.poll(&mut self.stream.body, cx) {
            Poll::Ready(None) => Poll::Ready(Ok(None)),
            Poll::Ready(Some(Ok(data))) => {
                self.read += data.len() as u64;
                self.reading.moved(data.len() as u64);
                // Whoever has it takes no more than it can pass on.
                let _ = self.stream.body.flow_control().release_capacity(data.len());
                Poll::Ready(Ok(Some(data)))
            }
            Poll::Ready(Some(Err(_))) => Poll::Ready(Err(Lost::Left)),
            Poll::Pending => {
                self.go_on();
                let due = self.body_timeout.map(|timeout| self.reading.until_sent(timeout));
                ready!(self.timer.poll(cx, due));
                self.seat.iter().for_each(|seat| seat.flow.stalled());
                Poll::Ready(Err(Lost::Refused(Refusal::SLOW_BODY)))
            }
        }
    }
    fn gather(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.gathered.gather(&mut self.stream.body, cx);
        if self.gathered.is_broken() { Poll::Ready(()) } else { Poll::Pending }
    }
    fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.writer {
            Some(writer) => writer.poll_reset(cx).map(drop),
            None => self.stream.answer.poll_reset(cx).map(drop),
        }
    }
    /// A WebSocket begins with the status of any answer (RFC 8441, section 5).
    fn inform(&mut self, mut head: ResponseHeader) {
        if head.status == StatusCode::SWITCHING_PROTOCOLS && head.set_status(StatusCode::OK).is_ok() {
            for name in [SEC_WEBSOCKET_ACCEPT, UPGRADE, CONTENT_LENGTH] {
                head.remove_header(&name);
            }
            self.head(head, false);
        } else if self.is_worth_saying(&head) {
            self.say(head);
        }
    }
    fn head(&mut self, head: ResponseHeader, end: bool) {
        let bodyless = self.request().method == Method::HEAD || matches!(head.status.as_u16(), 204 | 304);
        self.status = Some(head.status);
        self.answer.end = end || bodyless;
        self.answer.head = Some((Box::new(head), self.answer.end));
    }
    fn body(&mut self, data: Bytes, end: bool) {
        if self.answer.end {
            return;
        }
        self.sent += data.len() as u64;
        self.answer.data = joined(std::mem::take(&mut self.answer.data), data);
        self.answer.end = end;
    }
    fn trailers(&mut self, trailers: HeaderMap) {
        if !self.answer.end {
            (self.answer.trailers, self.answer.end) = (Some(trailers), true);
        }
    }
    fn take_back(&mut self) -> bool {
        let is_queued = self.writer.is_none();
        if is_queued {
            (self.answer, self.status, self.sent) = (Answer::default(), None, 0);
        }
        is_queued
    }
    fn has_room(&self) -> bool {
        self.answer.data.len() < ROOM
    }
    fn has_queued(&self) -> bool {
        let answer = &self.answer;
        answer.head.is_some() || !answer.data.is_empty() || answer.end && !answer.ended
    }
    fn hold(&mut self, hold: Hold) {
        self.hold = Some(hold);
    }
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Lost>> {
        if self.hold.is_some() && self.has_queued() {
            ready!(self.hold.as_mut().map_or(Poll::Ready(()), |hold| hold.poll(cx)));
            self.hold = None;
        }
        self.write_head()?;
        let Some(writer) = &mut self.writer else { return Poll::Ready(Ok(())) };
        loop {
            match self.answer.poll_send(writer, cx) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(count)) => {
                    self.writing.moved(count as u64);
                    self.seat.iter().for_each(|seat| seat.flow.answered(count, self.answer.data.len()));
                }
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Lost::Left)),
                Poll::Pending => {
                    let due = self.until_taken();
                    ready!(self.slow.poll(cx, Some(due)));
                    self.seat.iter().for_each(|seat| seat.flow.stalled());
                    return Poll::Ready(Err(Lost::Left));
                }
            }
        }
    }
}

/// A head as HTTP/2 has it: without what belongs to connections of HTTP/1 (RFC 9113, section 8.2.2).
fn fit(head: ResponseHeader) -> http::Response<()> {
    let mut parts = http::response::Parts::from(head);
    for name in [CONNECTION, TRANSFER_ENCODING, UPGRADE, KEEP_ALIVE, PROXY_CONNECTION] {
        parts.headers.remove(name);
    }
    http::Response::from_parts(parts, ())
}

/// The date of now, made once a second on each thread.
fn date() -> HeaderValue {
    thread_local! {
        static DATE: RefCell<(u64, HeaderValue)> = const { RefCell::new((0, HeaderValue::from_static(""))) };
    }
    let now = SystemTime::now();
    let second = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    DATE.with_borrow_mut(|(made, value)| {
        if *made != second {
            // An owned value is shared without another allocation.
            let text = Bytes::from_owner(httpdate::fmt_http_date(now));
            (*made, *value) = (second, HeaderValue::from_maybe_shared(text).expect("letters, digits and signs"));
        }
        value.clone()
    })
}

/// Two parts as one: many small ones leave in one frame, since clients take a flood of tiny frames for an attack.
fn joined(first: Bytes, second: Bytes) -> Bytes {
    if first.is_empty() || second.is_empty() {
        return if first.is_empty() { second } else { first };
    }
    let mut both = first.try_into_mut().unwrap_or_else(|first| {
        let mut both = BytesMut::with_capacity(ROOM + second.len());
        both.extend_from_slice(&first);
        both
    });
    both.extend_from_slice(&second);
    both.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_parts_become_one() {
        let part = |text: &'static str| Bytes::from_static(text.as_bytes());

        let mut all = Bytes::new();
        for text in ["", "a", "bc", "", "def"] {
            all = joined(all, part(text));
        }

        assert_eq!(all, "abcdef");
    }
}
