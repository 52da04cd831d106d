//! A client's HTTP/1 connection: requests are read once and strictly, each wait has its deadline, and an idle connection is a socket and a
//! small struct.
//!
//! Between requests the connection waits here ([`H1::next`]); while one is served, the request's hooks hold it as a
//! [`Client`](crate::exchange::client::Client), and give it back when the answer is whole.

mod answer;
mod read;
mod session;

#[cfg(test)]
mod tests;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Version};
use pingora_http::RequestHeader;
use tokio::io::AsyncWrite;

use super::conn::Conn;
use super::patience::{Patience, Taken};
use super::rules::{Keeper, Rules};
use super::socket;
use super::wire::{BodyScan, Framing, HeadScan, Refusal};
use crate::exchange::client::Lost;
use crate::upstream::h1::{Decoder, Io, Piece, give_back, poll_read_buf, spare};
use crate::upstream::timer::Timer;
pub(crate) use session::{Down, Held, Seat};

/// How many early bytes of a next request are kept before the socket's own buffer has to hold them.
const EARLY: usize = 16 << 10;
/// The most of a request's body that is read and thrown away after an early answer, so that the connection can be kept.
const DISCARD: u64 = 64 << 10;
/// How long, and for how many bytes, a client that was refused is listened to, so that it can read why (RFC 9112, section 9.6).
const LINGER: (Duration, usize) = (Duration::from_secs(2), 1 << 20);
/// How long a client that has closed its half is waited with for its answer where it has no right to one: it may have left, or have no more to
/// say.
const FAREWELL: Duration = Duration::from_millis(300);
/// A read is worth making from this much room on.
const LEAST: usize = 4096;

/// A client's connection.
pub(crate) struct H1 {
    io: Io,
    conn: Arc<Conn>,
    keeper: Arc<dyn Keeper>,
    rules: Rules,
    /// What was read and not used yet.
    input: BytesMut,
    head: HeadScan,
    /// Follows the request's body to its end.
    scan: BodyScan,
    /// Takes the body out of its framing.
    decoder: Decoder,
    /// How many bytes of `input` belong to the body, as far as was looked.
    checked: usize,
    framing: Framing,
    version: Version,
    /// The protocol that the client wants to change to.
    upgrade: Option<HeaderValue>,
    /// Whether the client waits to be told to send its body, and whether it was told so.
    expects: bool,
    continued: bool,
    /// Whether another request may follow, and whether the client may think so.
    keep: bool,
    wants_more: bool,
    read: u64,
    answer: answer::Answer,
    /// For what is read, and for what is written.
    timer: Timer,
    slow: Timer,
    reading: Patience,
    writing: Patience,
    taken: Taken,
    /// When the head began; for a connection's first one, when it was accepted.
    head_began: Option<Instant>,
    idle_since: Instant,
    /// Until when a request may begin, once the listener is closed.
    last_call: Option<Instant>,
    /// Since when the client has closed its half.
    half_closed: Option<Instant>,
    /// Whether the connection's end is a reset.
    resets: bool,
    /// Counts the connection for as long as it lives.
    count: Box<dyn Send + Sync>,
}

/// What a wait for the next request brings.
#[allow(clippy::large_enum_variant, reason = "a request is moved once; a box for each would be an allocation a request")]
pub(crate) enum Next {
    /// A request.
    Request(RequestHeader),
    /// No more requests.
    End,
    /// What is no request that can be served; the connection ends with this answer.
    Refused(Refusal),
    /// The client speaks HTTP/2.
    Http2,
}

impl H1 {
    /// A connection that was just accepted.
    pub(crate) fn new(io: Io, conn: Arc<Conn>, keeper: Arc<dyn Keeper>, count: Box<dyn Send + Sync>) -> Self {
        let now = Instant::now();
        let rules = keeper.rules();
        if let Some(socket) = io.tcp() {
            socket::end_unless_taken_within(socket, rules.write_timeout);
            socket::hold_little(socket);
        }
        Self {
            io,
            conn,
            rules,
            keeper,
            input: BytesMut::new(),
            head: HeadScan::default(),
            scan: BodyScan::Done,
            decoder: Decoder::new(crate::upstream::h1::Framing::None),
            checked: 0,
            framing: Framing::None,
            version: Version::HTTP_11,
            upgrade: None,
            expects: false,
            continued: false,
            keep: true,
            wants_more: true,
            read: 0,
            answer: answer::Answer::default(),
            timer: Timer::new(),
            slow: Timer::new(),
            reading: Patience::default(),
            writing: Patience::default(),
            taken: Taken::default(),
            head_began: Some(now),
            idle_since: now,
            last_call: None,
            half_closed: None,
            resets: false,
            count,
        }
    }

    /// Waits for the next request. `h2` asks for the preface of HTTP/2, too.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>, h2: bool) -> Poll<Next> {
        loop {
            if !self.input.is_empty() {
                match self.take_head(h2) {
                    Ok(Some(next)) => return Poll::Ready(next),
                    Ok(None) => {}
                    Err(refusal) => return Poll::Ready(Next::Refused(refusal.of_opening(&self.input))),
                }
            }
            match self.poll_fill(cx) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Next::End),
                Poll::Ready(Ok(_)) => {
                    if !self.is_between() {
                        self.head_began.get_or_insert_with(Instant::now);
                    }
                }
                Poll::Pending => {
                    if self.input.is_empty() {
                        give_back(&mut self.input);
                    }
                    return self.wait_for_head(cx);
                }
            }
        }
    }

    /// No byte of the head is to be had now: its deadline runs from its first byte, however it drips. Between two requests it is the idle one.
    fn wait_for_head(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        let due = match self.head_began {
            Some(began) => began + self.rules.header_timeout,
            None => self.idle_since + self.rules.keepalive,
        };
        if self.is_between() {
            let due = self.last_call.map_or(due, |last| due.min(last));
            return self.timer.poll_idle(cx, self.idle_since(), due).map(|()| Next::End);
        }
        self.timer.poll(cx, Some(due)).map(|()| Next::Refused(Refusal::SLOW_HEAD))
    }

    /// The listener is closed: whoever has not asked for anything yet may still do so for this long; whoever has, for this long after the answer,
    /// as the next request may be on its way. Whether there is any of that time left.
    pub(crate) fn call_last(&mut self, time: Duration) -> bool {
        let now = Instant::now();
        let until = if self.head_began.is_some() { now } else { self.idle_since } + time;
        self.last_call = Some(until);
        until > now
    }

    /// When it was accepted, as long as it has not asked for anything; then since when it is idle.
    pub(super) fn idle_since(&self) -> Instant {
        self.head_began.unwrap_or(self.idle_since)
    }

    /// One read. The end of the stream is 0.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.input.capacity() == 0 {
            self.input = spare();
        }
        if self.input.capacity() - self.input.len() < LEAST {
            // Takes the whole block back where nobody else holds a part of it.
            self.input.reserve(EARLY - LEAST);
        }
        poll_read_buf(&mut self.io, cx, &mut self.input)
    }

    /// The next part of the request's body, without its framing.
    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Lost>> {
        loop {
            if self.checked < self.input.len() && !self.scan.is_done() {
                match self.scan.take(&self.input[self.checked..]) {
                    Ok(taken) => self.checked += taken,
                    Err(refusal) => return Poll::Ready(Err(self.refused(refusal))),
                }
            }
            // Only what was checked is taken out of its framing.
            let mut mine = self.input.split_to(self.checked);
            let piece = self.decoder.next(&mut mine, false);
            self.checked = mine.len();
            if mine.is_empty() {
                // Nothing to put back.
            } else {
                mine.unsplit(std::mem::take(&mut self.input));
                self.input = mine;
            }
            match piece {
                Ok(Some(Piece::Data(data))) => {
                    self.read += data.len() as u64;
                    return Poll::Ready(Ok(Some(data)));
                }
                Ok(Some(Piece::Trailers(_))) => continue,
                Ok(Some(Piece::End)) => return Poll::Ready(Ok(None)),
                Ok(None) => {}
                Err(_) => return Poll::Ready(Err(self.refused(Refusal::UNREADABLE))),
            }
            if self.expects {
                self.go_on(cx);
            }
            match self.poll_fill(cx) {
                // Who closed the half of a connection may still read why that was too early.
                Poll::Ready(Ok(0)) if self.rules.half_close => return Poll::Ready(Err(self.refused(Refusal::UNREADABLE))),
                Poll::Ready(Ok(0) | Err(_)) => {
                    self.keep = false;
                    return Poll::Ready(Err(Lost::Left));
                }
                Poll::Ready(Ok(count)) => self.reading.moved(count as u64),
                Poll::Pending => {
                    let due = self.reading.until_sent(self.rules.body_timeout);
                    ready!(self.timer.poll(cx, Some(due)));
                    return Poll::Ready(Err(self.refused(Refusal::SLOW_BODY)));
                }
            }
        }
    }

    /// Somebody wants the body that the client holds back until it is told so: it was not refused by then. Who has begun to send it waits for
    /// nothing.
    fn go_on(&mut self, cx: &mut Context<'_>) {
        if self.status().is_some() || self.read > 0 || !self.input.is_empty() || self.version != Version::HTTP_11 {
            return;
        }
        self.expects = false;
        self.continued = true;
        self.answer.put_page(b"HTTP/1.1 100 Continue\r\n\r\n");
        // What the socket does not take now leaves with what comes next; a client that is gone is found out by what is read from it.
        let _ = self.poll_out(cx);
    }

    fn refused(&mut self, refusal: Refusal) -> Lost {
        self.keep = false;
        Lost::Refused(refusal)
    }

    /// Ready once the client has left. Whatever comes meanwhile is the next request's, and waits.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.input.len() < EARLY && self.half_closed.is_none() {
            match self.poll_fill(cx) {
                Poll::Ready(Ok(0)) => self.half_closed = Some(Instant::now()),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) => {
                    self.keep = false;
                    return Poll::Ready(());
                }
                Poll::Pending => break,
            }
        }
        match self.half_closed {
            Some(since) if !self.rules.half_close => {
                ready!(self.timer.poll(cx, Some(since + FAREWELL)));
                self.keep = false;
                Poll::Ready(())
            }
            _ => Poll::Pending,
        }
    }

    /// Whether nothing of a request has come: empty lines may stand before one (RFC 9112, section 2.2).
    pub(crate) fn is_between(&self) -> bool {
        self.input.iter().all(|byte| matches!(byte, b'\r' | b'\n'))
    }

    /// Readies the connection for the next request, for which what little is left of the last one's body is read. Whether there may be one.
    pub(crate) async fn turn(&mut self) -> bool {
        if self.answer.is_whole() {
            self.end_by_reset(false);
        }
        if !self.keep || !self.answer.is_whole() || !self.discard().await {
            return false;
        }
        self.answer.reset();
        self.reading.reset();
        self.writing.reset();
        self.idle_since = Instant::now();
        // What was sent before has the same time each.
        self.half_closed = self.half_closed.map(|_| self.idle_since);
        self.head_began = (!self.is_between()).then_some(self.idle_since);
        self.head = HeadScan::default();
        self.rules = self.keeper.rules();
        (self.upgrade, self.expects, self.continued, self.read, self.checked) = (None, false, false, 0, 0);
        true
    }

    /// Reads and throws away what is left of a request's body after an early answer, where that is little. Whether its end was reached.
    async fn discard(&mut self) -> bool {
        let before = self.read;
        while !self.scan.is_done() || self.checked > 0 {
            match std::future::poll_fn(|cx| self.poll_part(cx)).await {
                Ok(Some(_)) if self.read - before <= DISCARD => {}
                Ok(None) => return true,
                _ => return false,
            }
        }
        true
    }

    /// Ends a connection on which nothing is left to be said, unless its answer broke off: that is not to look like an end.
    pub(crate) fn part(&mut self) {
        if self.status().is_none() || self.answer.is_whole() {
            self.io.say_goodbye();
        }
    }

    /// Sends the answer to a request that no hook will see, and listens to the client for a while, so that it can read it.
    pub(crate) async fn refuse(mut self: Box<Self>, refusal: Refusal) {
        let page = self.keeper.refuse(refusal, &self.conn);
        self.answer.put_page(&page);
        if std::future::poll_fn(|cx| self.poll_out(cx)).await.is_ok() {
            self.linger().await;
        }
    }

    /// Ends the connection so that what was sent can be read: what still comes is thrown away for a while.
    pub(crate) async fn linger(mut self: Box<Self>) {
        let _ = std::future::poll_fn(|cx| Pin::new(&mut self.io).poll_shutdown(cx)).await;
        let until = Instant::now() + LINGER.0;
        let mut drained = 0;
        std::future::poll_fn(|cx| {
            loop {
                self.input.clear();
                match self.poll_fill(cx) {
                    Poll::Ready(Ok(count)) if count > 0 && drained < LINGER.1 => drained += count,
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => return self.timer.poll(cx, Some(until)),
                }
            }
        })
        .await;
    }

    /// Whether it should end by [`H1::linger`]: the client may still be sending what nobody reads, be it a body or its next request.
    pub(crate) fn must_linger(&self) -> bool {
        self.answer.is_whole() && (!self.scan.is_done() || self.wants_more || !self.input.is_empty())
    }

    /// From here on the kernel finds out whether the client is still there.
    fn keep_alive(&self) {
        self.io.tcp().map(socket::keep_alive);
    }

    /// The bytes below, what was read of them already, and what counts the connection.
    pub(crate) fn into_parts(self) -> (Io, BytesMut, Box<dyn Send + Sync>) {
        (self.io, self.input, self.count)
    }

    /// The same for a tunnel, whose bytes may wait for as long as it may be idle.
    pub(crate) fn into_tunnel(self) -> (Io, BytesMut, Box<dyn Send + Sync>) {
        if let Some(socket) = self.io.tcp() {
            socket::end_unless_taken_within(socket, self.rules.tunnel);
        }
        self.into_parts()
    }
}
