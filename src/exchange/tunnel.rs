//! A connection that has changed its protocol: bytes pass both ways, untouched, until either side ends or nothing has moved for too long.
//!
//! When the gateway goes away, a WebSocket is told so in its own words, to both sides and between two frames; of other protocols nobody knows
//! where anything could be said, and they go on for as long as they may.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::upstream::h1::{Io, ROOM, poll_read_buf};
use crate::upstream::timer::Timer;
use crate::websocket::{Frames, going_away};

/// What an end may have in store that nobody has read.
pub(crate) trait Ahead {
    /// The other end takes nothing just now: what has come is held for as long.
    fn gather(&mut self, _: &mut Context<'_>) {}
}

/// A socket holds what has come by itself.
impl Ahead for Io {}

/// One end of a tunnel, and what was read from it already.
pub(crate) struct Side<T> {
    /// The bytes below.
    pub io: T,
    /// What is to be passed on.
    pub read: BytesMut,
    over: bool,
    /// Where its frames end, of a WebSocket.
    frames: Option<Frames>,
    farewell: Farewell,
}

/// How far the other side was told that the gateway goes away: this is what passes from one side to it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Farewell {
    /// It was not.
    No,
    /// What is to be passed on is the word itself.
    Saying,
    /// It was: nothing else passes to it.
    Said,
}

impl<T> Side<T> {
    /// An end of which this was read.
    pub(crate) fn new(io: T, read: BytesMut) -> Self {
        Self { io, read, over: false, frames: None, farewell: Farewell::No }
    }

    /// This is the last that the other side is told. What was read and did not pass by then is only looked at.
    fn say(&mut self, last: &[u8]) {
        if let Some(frames) = &mut self.frames {
            frames.take(&self.read);
        }
        self.read = last.into();
        self.farewell = Farewell::Saying;
    }
}

/// Two ends of a tunnel.
pub(crate) struct Tunnel<A, B> {
    /// The client.
    pub client: Side<A>,
    /// The upstream.
    pub upstream: Side<B>,
    /// How long nothing may move.
    pub idle: Duration,
    /// Whether what passes is a WebSocket.
    pub websocket: bool,
}

/// How many bytes have passed from the client, and back to it. Whoever lends it knows, however the tunnel ends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Passed<'p> {
    /// From the client to the upstream.
    pub there: &'p mut u64,
    /// From the upstream to the client.
    pub back: &'p mut u64,
}

/// Why a tunnel has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    /// Its sides ended it, or one of them broke.
    Ended,
    /// Nothing has moved for too long.
    Idle,
    /// The gateway goes away, and both sides have said goodbye.
    GoneAway,
}

impl<A, B> Tunnel<A, B>
where
    A: AsyncRead + AsyncWrite + Ahead + Unpin,
    B: AsyncRead + AsyncWrite + Ahead + Unpin,
{
    /// Passes bytes both ways until both sides have ended, one broke, or nothing moved for too long; from `leaving` on a WebSocket is ended.
    pub(crate) async fn pass(self, passed: Passed<'_>, leaving: impl Future<Output = ()>) -> Over {
        let Self { client: mut a, upstream: mut b, idle, websocket } = self;
        if websocket {
            (a.frames, b.frames) = (Some(Frames::default()), Some(Frames::default()));
        }
        let mut timer = Timer::new();
        let mut due = Instant::now() + idle;
        let (mut leaving, mut leaves) = (pin!(leaving), false);
        poll_fn(|cx| {
            leaves = leaves || websocket && leaving.as_mut().poll(cx).is_ready();
            let before = *passed.there + *passed.back;
            let there = poll_way(&mut a, &mut b.io, passed.there, leaves.then_some(true), cx);
            let back = poll_way(&mut b, &mut a.io, passed.back, leaves.then_some(false), cx);
            match (there, back) {
                (Poll::Ready(Err(Broken)), _) | (_, Poll::Ready(Err(Broken))) => return Poll::Ready(Over::Ended),
                (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => {
                    if a.farewell == Farewell::No && b.farewell == Farewell::No {
                        return Poll::Ready(Over::Ended);
                    }
                    // All is said: both ends are good ones.
                    let _ = Pin::new(&mut a.io).poll_shutdown(cx);
                    let _ = Pin::new(&mut b.io).poll_shutdown(cx);
                    return Poll::Ready(Over::GoneAway);
                }
                _ => {}
            }
            if *passed.there + *passed.back != before {
                due = Instant::now() + idle;
            }
            timer.poll(cx, Some(due)).map(|()| Over::Idle)
        })
        .await
    }
}

struct Broken;

/// One direction, as far as it goes now. Ready when it has ended. `leaves` says that the gateway goes away, and whether its own words are
/// masked for this side.
fn poll_way<A, B>(from: &mut Side<A>, to: &mut B, passed: &mut u64, leaves: Option<bool>, cx: &mut Context<'_>) -> Poll<Result<(), Broken>>
where
    A: AsyncRead + Ahead + Unpin,
    B: AsyncWrite + Unpin,
{
    loop {
        let written = poll_written(from, to, passed, leaves.is_some(), cx);
        if written.is_pending() {
            from.io.gather(cx);
        }
        ready!(written)?;
        match (leaves, from.farewell, &from.frames) {
            (_, Farewell::Saying, _) => from.farewell = Farewell::Said,
            // A side that has closed waits for the other's word, not for ours.
            (Some(_), Farewell::No, Some(frames)) if frames.is_closed() => from.farewell = Farewell::Said,
            // Where it has ended altogether nobody is there to be told.
            (Some(masked), Farewell::No, Some(frames)) if frames.is_between() && !from.over => {
                from.say(&going_away(masked));
                continue;
            }
            _ => {}
        }
        if Pin::new(&mut *to).poll_flush(cx).map(|flushed| flushed.is_err()) == Poll::Ready(true) {
            return Poll::Ready(Err(Broken));
        }
        let answered = from.farewell == Farewell::Said && from.frames.is_some_and(|frames| frames.is_closed());
        if from.over || answered {
            return Poll::Ready(Ok(()));
        }
        from.read.reserve(ROOM);
        match poll_read_buf(&mut from.io, cx, &mut from.read) {
            Poll::Ready(Ok(0)) => {
                from.over = true;
                let _ = Pin::new(&mut *to).poll_shutdown(cx);
            }
            Poll::Ready(Ok(_)) => {}
            Poll::Ready(Err(_)) => return Poll::Ready(Err(Broken)),
            // An idle tunnel holds no buffer.
            Poll::Pending => {
                from.read = BytesMut::new();
                return Poll::Pending;
            }
        }
    }
}

/// Writes what was read: all of it, or, where the gateway goes away, the rest of the frame in progress.
fn poll_written<A, B>(from: &mut Side<A>, to: &mut B, passed: &mut u64, leaves: bool, cx: &mut Context<'_>) -> Poll<Result<(), Broken>>
where
    B: AsyncWrite + Unpin,
{
    if from.farewell == Farewell::Said {
        // Only looked at: what is behind the last word goes nowhere.
        if let Some(frames) = &mut from.frames {
            frames.take(&from.read);
        }
        from.read.clear();
    }
    while !from.read.is_empty() {
        let saying = from.farewell == Farewell::Saying;
        let most = match &from.frames {
            Some(frames) if leaves && !saying => frames.rest_of_frame(&from.read),
            _ => from.read.len(),
        };
        if most == 0 {
            break;
        }
        match Pin::new(&mut *to).poll_write(cx, &from.read[..most]) {
            Poll::Ready(Ok(count)) if count > 0 => {
                if !saying {
                    if let Some(frames) = &mut from.frames {
                        frames.take(&from.read[..count]);
                    }
                    *passed += count as u64;
                }
                from.read.advance(count);
            }
            Poll::Ready(_) => return Poll::Ready(Err(Broken)),
            Poll::Pending => return Poll::Pending,
        }
    }
    Poll::Ready(Ok(()))
}

#[cfg(test)]
mod tests;
