//! The writing side: how long a client may keep us waiting, and answers that are held back until they leave in one send.

use std::io;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use super::Guard;
use crate::door::outgoing::length;
use crate::door::wire::Refusal;

impl Guard {
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
    pub(super) fn let_go(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
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
