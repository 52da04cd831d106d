//! The bytes below an HTTP/2 connection: here its client is given up where it stops in the middle of a head, or takes nothing.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::frames::{Frames, Place};
use super::noise::{self, Noise};
use crate::door::Seat;
use crate::door::keep_alive;
use crate::door::patience::{Patience, Taken};
use crate::door::rules::Keeper;
use crate::gathered::ReadTurn;
use crate::upstream::h1::Io;
use crate::upstream::timer::Timer;

/// How the bytes of a connection flow that many requests share.
#[derive(Default)]
pub(crate) struct Flow {
    blocked: AtomicBool,
    given: AtomicU64,
    /// How many streams are open.
    pub(super) open: AtomicUsize,
    midway: AtomicBool,
    /// What was answered, as far as it counts against a client's noise.
    answered: AtomicU64,
    /// What counts as noise and is no frame: streams that stall, requests that are none.
    burden: AtomicU64,
    flooded: AtomicBool,
    /// How many streams there may be.
    pub(super) streams: AtomicU32,
}

impl Flow {
    /// Whether the socket takes nothing just now: then every request waits for it, and the connection has a deadline of its own.
    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::Relaxed)
    }

    /// How many bytes the socket has taken.
    pub(crate) fn given(&self) -> u64 {
        self.given.load(Ordering::Relaxed)
    }

    /// How many bytes pass until each of the connection's streams has had its turn with what is held of its answer.
    pub(crate) fn round(&self) -> u64 {
        u64::from(self.streams.load(Ordering::Relaxed)) * super::BUFFER as u64
    }

    /// So much of an answer was sent, and the client's window left so much for later.
    pub(crate) fn answered(&self, bytes: usize, rest: usize) {
        self.answered.fetch_add(noise::worth(bytes, rest), Ordering::Relaxed);
    }

    /// A stream ends because its client took or sent nothing.
    pub(crate) fn stalled(&self) {
        self.burden.fetch_add(noise::STALL, Ordering::Relaxed);
    }

    /// A request was none.
    pub(crate) fn malformed(&self) {
        self.burden.fetch_add(noise::MALFORMED, Ordering::Relaxed);
    }

    /// Ready once the client floods the connection, of which no more is read then.
    pub(super) fn poll_flooded(&self) -> Poll<()> {
        if self.flooded.load(Ordering::Relaxed) { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Whether the client is in the middle of something that has a deadline of its own.
    pub(super) fn is_midway(&self) -> bool {
        self.midway.load(Ordering::Relaxed)
    }
}

/// The stream below an HTTP/2 session.
pub(super) struct Below {
    io: Io,
    /// What was read before it was known that this is HTTP/2.
    read: BytesMut,
    keeper: Arc<dyn Keeper>,
    seat: Arc<Seat>,
    frames: Frames,
    turn: ReadTurn,
    noise: Noise,
    /// What counted as noise and was no frame, as of the last look.
    burden: u64,
    /// When what the client is in the middle of has begun.
    began: Option<Instant>,
    reading: Timer,
    patience: Patience,
    taken: Taken,
    writing: Timer,
    /// Counts the connection for as long as it lives.
    _count: Box<dyn Send + Sync>,
}

impl Below {
    /// The stream of a connection that was accepted then, of which these bytes were read.
    pub(super) fn new(
        io: Io,
        read: BytesMut,
        accepted: Instant,
        keeper: Arc<dyn Keeper>,
        seat: Arc<Seat>,
        count: Box<dyn Send + Sync>,
    ) -> Self {
        // Requests may come and go for days, or a single one may last as long.
        io.tcp().map(keep_alive);
        Self {
            io,
            read,
            keeper,
            seat,
            frames: Frames::new(),
            turn: ReadTurn::default(),
            noise: Noise::new(accepted),
            burden: 0,
            began: Some(accepted),
            reading: Timer::new(),
            patience: Patience::default(),
            taken: Taken::default(),
            writing: Timer::new(),
            _count: count,
        }
    }

    /// These bytes have come.
    fn came(&mut self, bytes: &[u8]) {
        if self.frames.take(bytes) {
            self.began = None;
        }
        match self.frames.place() {
            Place::Between => self.began = None,
            _ => {
                self.began.get_or_insert_with(Instant::now);
            }
        }
        let flow = &self.seat.flow;
        flow.midway.store(self.began.is_some(), Ordering::Relaxed);
        let burden = flow.burden.load(Ordering::Relaxed);
        let noise = self.frames.take_noise() + (burden - std::mem::replace(&mut self.burden, burden));
        if noise > 0 {
            let is_flood = self.noise.add(noise, flow.answered.load(Ordering::Relaxed), Instant::now());
            flow.flooded.fetch_or(is_flood, Ordering::Relaxed);
        }
    }

    /// Nothing comes just now. What has begun has its time, however it drips; what has not is waited for by whoever waits for it.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(began) = self.began else { return Poll::Pending };
        let rules = self.keeper.rules();
        let time = match self.frames.place() {
            // It may be a body's, where there is one.
            Place::Frame if self.seat.flow.open.load(Ordering::Relaxed) > 0 => rules.header_timeout.max(rules.body_timeout),
            _ => rules.header_timeout,
        };
        ready!(self.reading.poll(cx, Some(began + time)));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Lets a write through, for as long as the client takes something every now and then.
    fn written(&mut self, poll: Poll<io::Result<usize>>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let flow = &self.seat.flow;
        flow.blocked.store(poll.is_pending(), Ordering::Relaxed);
        match poll {
            Poll::Ready(Ok(count)) => {
                flow.given.fetch_add(count as u64, Ordering::Relaxed);
                self.taken.give(count);
                if self.patience.is_waiting() {
                    self.patience.moved(self.taken.more(self.io.tcp()));
                }
                poll
            }
            Poll::Ready(Err(_)) => poll,
            Poll::Pending => {
                let Self { patience, writing, taken, io, keeper, .. } = self;
                ready!(patience.poll_taken(cx, writing, keeper.rules().write_timeout, || taken.more(io.tcp())));
                // What the kernel still holds for it would stay for as long as it likes.
                let _ = self.io.tcp().map(TcpStream::set_zero_linger);
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }
}

impl AsyncRead for Below {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        if this.seat.flow.poll_flooded().is_ready() {
            // Whoever has the connection sees it when it runs again, and ends it.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        ready!(this.turn.poll(cx));
        if this.read.is_empty() {
            let read = Pin::new(&mut this.io).poll_read(cx, buf);
            this.turn.read(&read, buf.filled().len() - before);
            match read {
                Poll::Ready(result) => result?,
                Poll::Pending => return this.wait(cx),
            }
        } else {
            let count = this.read.len().min(buf.remaining());
            buf.put_slice(&this.read[..count]);
            this.read.advance(count);
            if this.read.is_empty() {
                this.read = BytesMut::new();
            }
        }
        this.came(&buf.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Below {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let poll = Pin::new(&mut this.io).poll_write(cx, bytes);
        this.written(poll, cx)
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, slices: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let poll = Pin::new(&mut this.io).poll_write_vectored(cx, slices);
        this.written(poll, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    /// All of what was to be written then is out: who took it has its patience back.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // TLS may hold back what a socket does not take.
        let poll = Pin::new(&mut this.io).poll_flush(cx).map_ok(|()| 0);
        if poll.is_pending() {
            return this.written(poll, cx).map_ok(|_| ());
        }
        this.patience.reset();
        poll.map_ok(|_| ())
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

impl Drop for Below {
    /// Whoever lets go of the connection, its end is said in TLS as well. What broke off was told in frames.
    fn drop(&mut self) {
        self.io.say_goodbye();
    }
}
