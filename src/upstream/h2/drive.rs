//! A connection's own task: it is made and greeted, reads and writes for all of its streams, and ends when it is idle for too long, left by
//! its peer, or found dead.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::{Connection, SendRequest};
use h2::{Ping, PingPong, Reason};
use pingora_core::protocols::l4::ext::{TcpKeepalive, set_tcp_keepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::pulse::{Beat, Pulse};
use super::shared::{Queue, Shared};
use super::{H2, UNTOLD, builder};
use crate::config::model::UpstreamProtocol;
use crate::gathered::ReadTurn;
use crate::upstream::cause::Cause;
use crate::upstream::connect::{HTTP1, connect};
use crate::upstream::h1::{Io, begins_with_tls};
use crate::upstream::pool::Endpoint;

/// How long the last words of a connection that nobody uses may take.
const LINGER: Duration = Duration::from_secs(1);

/// The socket of a connection, which notes that something has come.
struct Heard {
    io: Io,
    turn: ReadTurn,
    shared: Arc<Shared>,
}

/// What keeps a connection going.
pub(super) struct Driver {
    connection: Connection<Heard, Bytes>,
    pings: Option<PingPong>,
    endpoint: Arc<Endpoint>,
    shared: Arc<Shared>,
    pulse: Pulse,
    /// How much had come, and how many streams had been opened, at the last look.
    received: u64,
    opened: u64,
    timer: Pin<Box<Sleep>>,
    fired: bool,
    /// Until when it may say its last words.
    closing: Option<Instant>,
}

/// A connection whose peer has greeted, so that it is known to speak HTTP/2 and how many streams it takes.
pub(super) async fn dial(endpoint: &Arc<Endpoint>, queue: Arc<Queue>) -> Result<(SendRequest<Bytes>, Driver), Cause> {
    let auto = endpoint.protocol == UpstreamProtocol::Auto;
    let (io, agreed) = connect(endpoint, if auto { &[H2, HTTP1] } else { &[H2] }).await?;
    if endpoint.tls().is_some() && !agreed {
        if auto {
            endpoint.note_http1();
        }
        return Err(Cause::OtherProtocol);
    }
    if let Some(socket) = io.tcp() {
        // A host that is gone is found by the kernel, too: this costs its peers nothing that they count.
        let _ = set_tcp_keepalive(
            socket,
            &TcpKeepalive {
                idle: Duration::from_secs(5),
                interval: Duration::from_secs(2),
                count: 4,
                user_timeout: Duration::from_secs(13),
            },
        );
    }
    let now = Instant::now();
    let shared = Arc::new(Shared::new(endpoint.clone(), now, queue));
    let handshake = builder().handshake(Heard { io, turn: ReadTurn::default(), shared: shared.clone() }).await;
    let (requests, mut connection) = handshake.map_err(|_| shared.why())?;
    let pings = connection.ping_pong();
    let timer = Box::pin(tokio::time::sleep(Duration::ZERO));
    let pulse = Pulse::new(now);
    let mut driver =
        Driver { connection, pings, endpoint: endpoint.clone(), shared, pulse, received: 0, opened: 0, timer, fired: true, closing: None };
    poll_fn(|cx| driver.poll_greeting(cx)).await?;
    Ok((requests, driver))
}

impl Driver {
    /// What is known of the connection.
    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Ready when the peer's settings have come, which are the first that it says (RFC 9113, section 3.4).
    fn poll_greeting(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Cause>> {
        match Pin::new(&mut self.connection).poll(cx) {
            Poll::Ready(Err(error)) if error.is_library() => Poll::Ready(Err(match self.shared.why() {
                Cause::SpeaksTls => Cause::SpeaksTls,
                _ => Cause::OtherProtocol,
            })),
            // In TLS 1.3 only here it is said that our certificate is not taken.
            Poll::Ready(_) => Poll::Ready(Err(self.shared.why())),
            Poll::Pending if self.connection.max_concurrent_send_streams() == UNTOLD => Poll::Pending,
            Poll::Pending => Poll::Ready(Ok(())),
        }
    }

    /// Keeps the connection going to its end. It takes streams for as long as `listed` is held.
    pub(super) async fn run<L>(mut self, mut listed: Option<L>) {
        poll_fn(|cx| self.poll(cx, &mut listed)).await;
        // In this order: nobody is given a stream on what is about to end.
        drop(listed);
    }

    fn poll<L>(&mut self, cx: &mut Context<'_>, listed: &mut Option<L>) -> Poll<()> {
        loop {
            if let Poll::Ready(end) = Pin::new(&mut self.connection).poll(cx) {
                if end.is_err_and(|error| error.is_remote() && error.reason() == Some(Reason::ENHANCE_YOUR_CALM)) {
                    // Whether or not it was asked too often: it is not asked as often any more.
                    self.endpoint.spare();
                }
                return Poll::Ready(());
            }
            let now = Instant::now();
            self.look(now, cx);
            let sparing = self.shared.grpc.load(Ordering::Relaxed) || self.endpoint.is_spared();
            let due = match self.pulse.beat(now, sparing) {
                Beat::Ask => {
                    if self.pings.as_mut().is_none_or(|pings| pings.send_ping(Ping::opaque()).is_err()) {
                        return Poll::Ready(());
                    }
                    self.pulse.asked(now);
                    continue;
                }
                Beat::Dead => {
                    log::warn!("the HTTP/2 connection to endpoint {} is dead: it is silent, and left", self.endpoint.text);
                    self.shared.dead.store(true, Ordering::Relaxed);
                    return Poll::Ready(());
                }
                Beat::Rest(due) => due,
            };
            let Some(idle) = self.idle(now, listed) else { return Poll::Ready(()) };
            let due = due.into_iter().chain([idle]).min().unwrap_or(idle);
            if self.fired || due < self.timer.deadline().into_std() {
                self.timer.as_mut().reset(due.into());
            }
            self.fired = self.timer.as_mut().poll(cx).is_ready();
            if !self.fired {
                return Poll::Pending;
            }
        }
    }

    /// Notes what has happened since the last look.
    fn look(&mut self, now: Instant, cx: &mut Context<'_>) {
        let (received, opened) = (self.shared.received.load(Ordering::Relaxed), self.shared.opened.load(Ordering::Relaxed));
        if std::mem::replace(&mut self.opened, opened) != opened {
            self.pulse.opened(now);
        }
        if std::mem::replace(&mut self.received, received) != received {
            self.pulse.heard(now);
        }
        if self.shared.streams.load(Ordering::Relaxed) == 0 {
            self.pulse.is_idle();
        }
        if self.pulse.is_asked() && self.pings.as_mut().is_some_and(|pings| pings.poll_pong(cx).is_ready()) {
            self.pulse.answered();
        }
    }

    /// Ends a connection that nobody has used for as long as it is kept. When it has to be looked at again; none where its time is over.
    fn idle<L>(&mut self, now: Instant, listed: &mut Option<L>) -> Option<Instant> {
        if self.shared.streams.load(Ordering::Relaxed) > 0 {
            // Whoever ends the last stream wakes nobody.
            return Some(now + Duration::from_secs(1));
        }
        let kept_until = self.shared.kept_until();
        if listed.is_some() && now < kept_until {
            return Some(kept_until);
        }
        // With the last who could use it, the connection says goodbye by itself.
        *listed = None;
        let closing = *self.closing.get_or_insert(now + LINGER);
        if now < closing { Some(closing) } else { None }
    }
}

impl Heard {
    /// These bytes have come: who answers in TLS what came in clear text does not speak the other protocol otherwise.
    fn heard(&self, bytes: &[u8]) {
        let is_first = self.shared.received.fetch_add(1, Ordering::Relaxed) == 0;
        if is_first && self.shared.is_clear() && begins_with_tls(bytes) {
            self.shared.broke(Cause::SpeaksTls);
        }
    }

    /// Passes on what came of a write. Where it failed, what the peer had said before it closed says why.
    fn written<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if matches!(written, Poll::Ready(Err(_))) {
            let mut space = [0; 512];
            // Little can have come: nobody has asked for anything yet, or it does not matter any more.
            for _ in 0..4 {
                let mut read = ReadBuf::new(&mut space);
                match Pin::new(&mut self.io).poll_read(cx, &mut read) {
                    Poll::Ready(Ok(())) if !read.filled().is_empty() => self.heard(read.filled()),
                    Poll::Ready(Err(error)) => {
                        self.shared.broke(Cause::of(&error));
                        break;
                    }
                    _ => break,
                }
            }
        }
        written
    }
}

impl AsyncRead for Heard {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.turn.poll(cx));
        let before = buf.filled().len();
        let read = Pin::new(&mut this.io).poll_read(cx, buf);
        this.turn.read(&read, buf.filled().len() - before);
        if buf.filled().len() > before {
            this.heard(&buf.filled()[before..]);
        }
        if let Poll::Ready(Err(error)) = &read {
            this.shared.broke(Cause::of(error));
        }
        read
    }
}

impl AsyncWrite for Heard {
    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write(cx, bytes);
        this.written(cx, written)
    }
    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, slices: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write_vectored(cx, slices);
        this.written(cx, written)
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.io).poll_flush(cx);
        this.written(cx, flushed)
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}
