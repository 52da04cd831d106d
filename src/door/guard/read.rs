//! The reading side: a head is handed on when all of it has been checked, a body up to its end, and what comes early waits.

use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, ReadBuf};

use super::Guard;
use crate::door::patience::arm;
use crate::door::wire::{BodyScan, Refusal, check_head};

/// How many early bytes of a next request wait here before the socket's own buffer has to hold them.
const EARLY: usize = 16 << 10;

impl Guard {
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
