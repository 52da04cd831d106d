//! The guard around each client connection: deadlines for the head, the body and the writes, one strict reading of the framing, and
//! refusals in this gateway's own words.
//!
//! Pingora reads from the guard as from a socket. It is given a request's bytes only when the whole head has been checked, and never a
//! byte beyond the request's end: what a client sends early waits here for its turn.

use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::{Buf, BytesMut};
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::tls::SslDigest;
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream, TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::conn::Conn;
use super::outgoing::{Outgoing, length};
use super::patience::{Patience, arm};
use super::wire::{BodyScan, HeadLimits, HeadScan, Refusal, check_head};
use crate::upstream::deadline::socket::Watchdog;

/// What the guard asks of the gateway.
pub trait Keeper: Send + Sync + 'static {
    /// The rules in force, asked once a request.
    fn rules(&self) -> Rules;
    /// The answer to a request that no hook will see, counted and logged: a whole HTTP/1.1 response that closes the connection.
    fn refuse(&self, refusal: Refusal, conn: &Conn) -> Vec<u8>;
}

/// What a client may send, and how slowly.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// How large a head may be.
    pub head: HeadLimits,
    /// How long a connection may be idle between two requests.
    pub keepalive: Duration,
    /// How long a head may take.
    pub header_timeout: Duration,
    /// How long a body may keep us waiting, and one second more for every 500 bytes.
    pub body_timeout: Duration,
    /// How long a client that does not read may keep us waiting, and one second more for every 500 bytes.
    pub write_timeout: Duration,
}

/// A client's stream with the guard in front.
pub struct Guard {
    io: Stream,
    conn: Arc<Conn>,
    keeper: Arc<dyn Keeper>,
    watchdog: Arc<Watchdog>,
    digest: Arc<ProxyDigest>,
    rules: Rules,
    /// The request being read, as `Conn::begun` counts.
    request: u32,
    in_head: bool,
    head: HeadScan,
    body: BodyScan,
    /// Bytes that were read and not handed on; the first `ready` of them may be.
    held: BytesMut,
    ready: usize,
    /// When the head began; for a connection's first one, when it was accepted.
    head_began: Option<Instant>,
    /// Since when the connection has been idle, and the timer that looks at it: it is not set anew for every request, but looks again
    /// when it fires.
    idle_since: Instant,
    idle: Option<Pin<Box<Sleep>>>,
    reading: Patience,
    writing: Patience,
    outgoing: Outgoing,
    refusing: Option<Refusing>,
    _count: Box<dyn Send + Sync>,
}

/// An answer on its way out, after which the connection closes.
struct Refusing {
    page: Vec<u8>,
    sent: usize,
    flushed: bool,
    /// Until when the client's bytes are still taken and thrown away, so that it can read the answer (RFC 9112, section 9.6).
    linger: Option<Pin<Box<Sleep>>>,
    drained: usize,
}

/// How many early bytes of a next request wait here before the socket's own buffer has to hold them.
const EARLY: usize = 16 << 10;
/// How long, and for how many bytes, a refused client is listened to.
const LINGER: (Duration, usize) = (Duration::from_secs(2), 1 << 20);

impl Guard {
    /// Guards `io`; `count` is dropped with it.
    pub fn new(io: Stream, conn: Arc<Conn>, keeper: Arc<dyn Keeper>, watchdog: Arc<Watchdog>, count: Box<dyn Send + Sync>) -> Self {
        let head = pingora_http::ResponseHeader::build_no_case(200, Some(0)).expect("200 is a status");
        Self {
            digest: Arc::new(ProxyDigest::new(Box::new(head), Some(Box::new(conn.clone())))),
            rules: keeper.rules(),
            io,
            conn,
            keeper,
            watchdog,
            request: 0,
            in_head: false,
            head: HeadScan::default(),
            body: BodyScan::Done,
            held: BytesMut::new(),
            ready: 0,
            head_began: Some(Instant::now()),
            idle_since: Instant::now(),
            idle: None,
            reading: Patience::default(),
            writing: Patience::default(),
            outgoing: Outgoing::default(),
            refusing: None,
            _count: count,
        }
    }

    /// Whether bytes go through as they are.
    fn is_open(&self) -> bool {
        self.conn.begun.load(Ordering::Acquire) == 0 || self.conn.upgraded.load(Ordering::Acquire)
    }

    /// Notices that the next request's turn has come.
    fn turn(&mut self) {
        let begun = self.conn.begun.load(Ordering::Acquire);
        if self.request != begun {
            if self.request > 0 {
                self.rules = self.keeper.rules();
                self.head_began = None;
                self.idle_since = Instant::now();
            }
            self.request = begun;
            self.in_head = true;
            self.head = HeadScan::default();
            self.reading.reset();
            self.writing.reset();
        }
    }

    fn hand_on(&mut self, buf: &mut ReadBuf<'_>) {
        let count = self.ready.min(buf.remaining());
        buf.put_slice(&self.held[..count]);
        self.held.advance(count);
        self.ready -= count;
        if self.held.is_empty() {
            // An idle connection holds no buffer.
            self.held = BytesMut::new();
        }
    }

    /// Reads into `held`. `None` while nothing came, else how much.
    fn read_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        // Not zeroed: this is asked at least once a request, and mostly nothing comes.
        let mut space = [const { MaybeUninit::uninit() }; 4096];
        let mut buf = ReadBuf::uninit(&mut space);
        match Pin::new(&mut self.io).poll_read(cx, &mut buf) {
            Poll::Ready(Ok(())) => {
                self.held.extend_from_slice(buf.filled());
                Poll::Ready(Ok(buf.filled().len()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// The state that is shared with the hooks.
    pub fn conn(&self) -> &Conn {
        &self.conn
    }

    /// Waits for the next request. Ready with whether one has begun: its first bytes are held here until Pingora asks for them.
    pub fn poll_begun(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        // Before a turn: the answer before is not over until all of it has left.
        match self.let_go(cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => return Poll::Ready(false),
            Poll::Pending => return Poll::Pending,
        }
        self.turn();
        if !self.held.is_empty() {
            return Poll::Ready(true);
        }
        match self.read_more(cx) {
            Poll::Ready(read) => Poll::Ready(matches!(read, Ok(1..))),
            // What ends the wait ends the connection: a head whose first byte never came has no answer.
            Poll::Pending => self.wait_for_head(cx).map(|_| false),
        }
    }

    /// A whole head at the front of `bytes`, checked, with what has come of its body: how many bytes are the request's.
    fn head_of(&mut self, bytes: &[u8]) -> Result<Option<usize>, Refusal> {
        let Some((start, end)) = self.head.find(bytes, self.rules.head)? else { return Ok(None) };
        self.body = BodyScan::new(check_head(&bytes[start..end], self.rules.head)?);
        let body = self.body.take(&bytes[end..])?;
        self.in_head = false;
        Ok(Some(end + body))
    }

    fn poll_head(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let found = if self.held.is_empty() {
                // The usual way: the bytes go straight to where Pingora wants them.
                let before = buf.filled().len();
                match Pin::new(&mut self.io).poll_read(cx, buf) {
                    Poll::Pending => return self.wait_for_head(cx),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Ready(Ok(())) if buf.filled().len() == before => return Poll::Ready(Ok(())),
                    Poll::Ready(Ok(())) => {}
                }
                let bytes = &buf.filled()[before..];
                match self.head_of(bytes) {
                    Ok(Some(count)) => {
                        self.held.extend_from_slice(&buf.filled()[before + count..]);
                        buf.set_filled(before + count);
                        return Poll::Ready(Ok(()));
                    }
                    Ok(None) => {
                        self.held.extend_from_slice(bytes);
                        buf.set_filled(before);
                        self.head_began.get_or_insert_with(Instant::now);
                        continue;
                    }
                    Err(refusal) => {
                        buf.set_filled(before);
                        Err(refusal)
                    }
                }
            } else {
                let held = std::mem::take(&mut self.held);
                let found = self.head_of(&held);
                self.held = held;
                found
            };
            match found {
                Ok(Some(count)) => {
                    self.ready = count;
                    self.hand_on(buf);
                    return Poll::Ready(Ok(()));
                }
                Ok(None) => {
                    self.head_began.get_or_insert_with(Instant::now);
                    match self.read_more(cx) {
                        Poll::Pending => return self.wait_for_head(cx),
                        Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                        Poll::Ready(Ok(0)) => return Poll::Ready(Ok(())),
                        Poll::Ready(Ok(_)) => {}
                    }
                }
                Err(refusal) => {
                    self.refuse(refusal);
                    return self.poll_refused(cx);
                }
            }
        }
    }

    /// No byte of the head to be had now: its deadline runs from its first byte, however it drips.
    fn wait_for_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(began) = self.head_began else { return self.wait_idle(cx) };
        if self.reading.since.is_none() {
            self.reading.since = Some(began);
            arm(&mut self.reading.timer, began + self.rules.header_timeout);
        }
        match self.reading.timer.as_mut().map(|timer| timer.as_mut().poll(cx)) {
            Some(Poll::Ready(())) if self.held.is_empty() => Poll::Ready(Ok(())),
            Some(Poll::Ready(())) => {
                self.refuse(Refusal::SLOW_HEAD);
                self.poll_refused(cx)
            }
            _ => Poll::Pending,
        }
    }

    /// Between two requests: Pingora would wait for ever, so the connection ends here.
    fn wait_idle(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (since, keepalive) = (self.idle_since, self.rules.keepalive);
        let timer = self.idle.get_or_insert_with(|| Box::pin(tokio::time::sleep_until((since + keepalive).into())));
        while timer.as_mut().poll(cx).is_ready() {
            if since.elapsed() >= keepalive {
                return Poll::Ready(Ok(()));
            }
            timer.as_mut().reset((since + keepalive).into());
        }
        Poll::Pending
    }

    fn poll_body(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.body.is_done() {
            return self.poll_after(cx);
        }
        let before = buf.filled().len();
        match Pin::new(&mut self.io).poll_read(cx, buf) {
            Poll::Pending if self.reading.wait(self.rules.body_timeout, cx) => Poll::Ready(self.broken(Refusal::SLOW_BODY)),
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) => {
                let bytes = &buf.filled()[before..];
                self.reading.moved(bytes.len());
                match self.body.take(bytes) {
                    Ok(taken) => {
                        self.held.extend_from_slice(&bytes[taken..]);
                        buf.set_filled(before + taken);
                        Poll::Ready(Ok(()))
                    }
                    Err(refusal) => {
                        buf.set_filled(before);
                        Poll::Ready(self.broken(refusal))
                    }
                }
            }
        }
    }

    /// The request is whole and its answer is on the way: whatever comes is the next request's, and waits. A client that has closed its
    /// half still gets the answer; one that is gone shows as an error.
    fn poll_after(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.held.len() < EARLY {
            match self.read_more(cx) {
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(0)) | Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(_)) => {}
            }
        }
        Poll::Pending
    }

    /// Breaks off a request that the hooks already have: they answer with the reason.
    fn broken(&mut self, refusal: Refusal) -> io::Result<()> {
        let _ = self.conn.refusal.set(refusal);
        Err(io::ErrorKind::InvalidData.into())
    }

    fn refuse(&mut self, refusal: Refusal) {
        if self.refusing.is_none() {
            let page = self.keeper.refuse(refusal, &self.conn);
            self.refusing = Some(Refusing { page, sent: 0, flushed: false, linger: None, drained: 0 });
        }
    }

    /// Sends the refusal. Ready when it has left.
    fn poll_refusal(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(refusing) = &mut self.refusing else { return Poll::Ready(Ok(())) };
        while refusing.sent < refusing.page.len() {
            match Pin::new(&mut self.io).poll_write(cx, &refusing.page[refusing.sent..]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => refusing.sent += count,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending if self.writing.wait(self.rules.write_timeout, cx) => {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
        if !refusing.flushed {
            match Pin::new(&mut self.io).poll_flush(cx) {
                Poll::Ready(Ok(())) => refusing.flushed = true,
                other => return other,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// After the refusal the client's bytes are taken for a while, then Pingora sees the end of the stream.
    fn poll_refused(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.poll_refusal(cx) {
            Poll::Ready(Ok(())) => {}
            other => return other,
        }
        let Some(refusing) = &mut self.refusing else { return Poll::Ready(Ok(())) };
        if refusing.linger.is_none() {
            refusing.linger = Some(Box::pin(tokio::time::sleep(LINGER.0)));
            // Half of the connection ends here, so that a client that waits for the end has it.
            let _ = Pin::new(&mut self.io).poll_shutdown(cx);
        }
        let mut space = [0_u8; 4096];
        loop {
            let mut buf = ReadBuf::new(&mut space);
            match Pin::new(&mut self.io).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() && refusing.drained < LINGER.1 => refusing.drained += buf.filled().len(),
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => {
                    let over = refusing.linger.as_mut().is_some_and(|timer| timer.as_mut().poll(cx).is_ready());
                    return if over { Poll::Ready(Ok(())) } else { Poll::Pending };
                }
            }
        }
    }

    /// Keeps what is written while the rest of the answer follows at once; whether it did.
    fn keep(&mut self, slices: &[io::IoSlice<'_>]) -> bool {
        if !self.conn.ending.load(Ordering::Relaxed) {
            return false;
        }
        let fits = !self.is_open() && self.outgoing.push(slices);
        if !fits || self.outgoing.is_whole() {
            self.conn.ending.store(false, Ordering::Relaxed);
        }
        fits
    }

    /// Passes on what was kept. Ready when all of it has left.
    fn poll_kept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.bytes.is_empty() {
            let poll = Pin::new(&mut self.io).poll_write(cx, &self.outgoing.bytes);
            match self.written(poll, |count| *count, cx) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => self.outgoing.sent(count),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Empties the buffer below, for as long as the client's patience is ours.
    fn flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.io).poll_flush(cx);
        ready!(self.written(poll, |()| 0, cx))?;
        self.outgoing.unflushed = false;
        Poll::Ready(Ok(()))
    }

    /// Pingora waits for the client, or is done with it: nothing is kept any longer, whatever was announced.
    fn let_go(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.conn.ending.store(false, Ordering::Relaxed);
        if !self.outgoing.unflushed {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_kept(cx))?;
        self.flush(cx)
    }

    /// Whether what Pingora writes now is a page of its own, for a request that reached no hook.
    fn is_parser_page(&self) -> bool {
        !self.is_open() && self.conn.seen.load(Ordering::Acquire) != self.conn.begun.load(Ordering::Acquire)
    }

    /// Lets a write through, with the client's patience and the upstream's clock in mind.
    fn written<T>(&mut self, poll: Poll<io::Result<T>>, bytes: impl Fn(&T) -> usize, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        match poll {
            Poll::Ready(Ok(value)) => {
                if self.writing.since.is_some()
                    && let Some(upstream) = self.conn.upstream()
                {
                    self.watchdog.resume(upstream);
                }
                self.writing.moved(bytes(&value));
                Poll::Ready(Ok(value))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                if self.writing.since.is_none()
                    && let Some(upstream) = self.conn.upstream()
                {
                    self.watchdog.pause(upstream);
                }
                if self.writing.wait(self.rules.write_timeout, cx) {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
                Poll::Pending
            }
        }
    }
}

impl AsyncRead for Guard {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let guard = self.get_mut();
        if guard.refusing.is_some() {
            return guard.poll_refused(cx);
        }
        if let Poll::Ready(Err(error)) = guard.let_go(cx) {
            return Poll::Ready(Err(error));
        }
        if guard.is_open() {
            guard.ready = guard.held.len();
        } else {
            guard.turn();
        }
        if guard.ready > 0 {
            guard.hand_on(buf);
            return Poll::Ready(Ok(()));
        }
        if guard.is_open() {
            return Pin::new(&mut guard.io).poll_read(cx, buf);
        }
        if guard.in_head { guard.poll_head(cx, buf) } else { guard.poll_body(cx, buf) }
    }
}

impl AsyncWrite for Guard {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let guard = self.get_mut();
        if guard.is_parser_page() {
            guard.refuse(Refusal::UNREADABLE);
            return Poll::Ready(Ok(bytes.len()));
        }
        if guard.keep(&[io::IoSlice::new(bytes)]) {
            return Poll::Ready(Ok(bytes.len()));
        }
        ready!(guard.poll_kept(cx))?;
        let poll = Pin::new(&mut guard.io).poll_write(cx, bytes);
        guard.written(poll, |count| *count, cx)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let guard = self.get_mut();
        if guard.refusing.is_some() {
            return guard.poll_refusal(cx);
        }
        if guard.conn.ending.load(Ordering::Relaxed) && !guard.outgoing.bytes.is_empty() {
            // The flush after the last chunk is not far.
            return Poll::Ready(Ok(()));
        }
        ready!(guard.poll_kept(cx))?;
        guard.flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let guard = self.get_mut();
        ready!(guard.let_go(cx))?;
        Pin::new(&mut guard.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, slices: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let guard = self.get_mut();
        if guard.is_parser_page() {
            guard.refuse(Refusal::UNREADABLE);
            return Poll::Ready(Ok(length(slices)));
        }
        if guard.keep(slices) {
            return Poll::Ready(Ok(length(slices)));
        }
        ready!(guard.poll_kept(cx))?;
        let poll = Pin::new(&mut guard.io).poll_write_vectored(cx, slices);
        guard.written(poll, |count| *count, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard").field("io", &self.io).field("conn", &self.conn).finish_non_exhaustive()
    }
}

#[async_trait]
impl Shutdown for Guard {
    async fn shutdown(&mut self) {
        if self.refusing.is_some() {
            let _ = std::future::poll_fn(|cx| self.poll_refused(cx)).await;
        } else {
            let _ = std::future::poll_fn(|cx| self.let_go(cx)).await;
        }
        self.io.shutdown().await;
    }
}

impl UniqueID for Guard {
    fn id(&self) -> UniqueIDType {
        self.io.id()
    }
}

impl Ssl for Guard {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.io.get_ssl_digest()
    }
    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.io.selected_alpn_proto()
    }
}

impl GetTimingDigest for Guard {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.io.get_timing_digest()
    }
}

impl GetProxyDigest for Guard {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        Some(self.digest.clone())
    }
}

impl GetSocketDigest for Guard {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.io.get_socket_digest()
    }
}

#[async_trait]
impl Peek for Guard {
    async fn try_peek(&mut self, buf: &mut [u8]) -> io::Result<bool> {
        self.io.try_peek(buf).await
    }
}
