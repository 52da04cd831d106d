//! A refusal on its way out, and the client that is listened to for a while after it.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::Guard;
use crate::door::wire::Refusal;

/// An answer on its way out, after which the connection closes.
pub(super) struct Refusing {
    page: Vec<u8>,
    sent: usize,
    flushed: bool,
    /// Until when the client's bytes are still taken and thrown away, so that it can read the answer (RFC 9112, section 9.6).
    linger: Option<Pin<Box<Sleep>>>,
    drained: usize,
}

/// How long, and for how many bytes, a refused client is listened to.
const LINGER: (Duration, usize) = (Duration::from_secs(2), 1 << 20);

impl Guard {
    pub(super) fn refuse(&mut self, refusal: Refusal) {
        if self.refusing.is_none() {
            let page = self.keeper.refuse(refusal, &self.conn);
            self.refusing = Some(Refusing { page, sent: 0, flushed: false, linger: None, drained: 0 });
        }
    }

    /// Sends the refusal. Ready when it has left.
    pub(super) fn poll_refusal(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
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
    pub(super) fn poll_refused(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
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
}
