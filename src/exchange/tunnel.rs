//! A connection that has changed its protocol: bytes pass both ways, untouched, until either side ends or nothing has moved for too long.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::upstream::h1::{ROOM, poll_read_buf};
use crate::upstream::timer::Timer;

/// One end of a tunnel, and what was read from it already.
pub(crate) struct Side<T> {
    /// The bytes below.
    pub io: T,
    /// What is to be passed on.
    pub read: BytesMut,
    over: bool,
}

impl<T> Side<T> {
    /// An end of which this was read.
    pub(crate) fn new(io: T, read: BytesMut) -> Self {
        Self { io, read, over: false }
    }
}

/// How many bytes passed from the first side to the second, and back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Passed {
    /// From the first to the second.
    pub there: u64,
    /// From the second to the first.
    pub back: u64,
}

/// Passes bytes both ways until both sides have ended, one broke, or nothing moved for so long.
pub(crate) async fn tunnel<A, B>(mut a: Side<A>, mut b: Side<B>, idle: Duration) -> Passed
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let mut passed = Passed::default();
    let mut timer = Timer::new();
    let mut due = Instant::now() + idle;
    poll_fn(|cx| {
        let before = passed;
        let there = poll_way(&mut a, &mut b.io, &mut passed.there, cx);
        let back = poll_way(&mut b, &mut a.io, &mut passed.back, cx);
        match (there, back) {
            (Poll::Ready(Err(Broken)), _) | (_, Poll::Ready(Err(Broken))) | (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => {
                return Poll::Ready(());
            }
            _ => {}
        }
        if passed != before {
            due = Instant::now() + idle;
        }
        timer.poll(cx, Some(due))
    })
    .await;
    passed
}

struct Broken;

/// One direction, as far as it goes now. Ready when it has ended.
fn poll_way<A, B>(from: &mut Side<A>, to: &mut B, passed: &mut u64, cx: &mut Context<'_>) -> Poll<Result<(), Broken>>
where
    A: AsyncRead + Unpin,
    B: AsyncWrite + Unpin,
{
    loop {
        while !from.read.is_empty() {
            match Pin::new(&mut *to).poll_write(cx, &from.read) {
                Poll::Ready(Ok(count)) if count > 0 => {
                    from.read.advance(count);
                    *passed += count as u64;
                }
                Poll::Ready(_) => return Poll::Ready(Err(Broken)),
                Poll::Pending => return Poll::Pending,
            }
        }
        if Pin::new(&mut *to).poll_flush(cx).map(|flushed| flushed.is_err()) == Poll::Ready(true) {
            return Poll::Ready(Err(Broken));
        }
        if from.over {
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

#[cfg(test)]
mod tests;
