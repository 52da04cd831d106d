//! A stream of HTTP/2 as one end of a tunnel (RFC 8441, section 5): what it carries are bytes both ways, its end is the end of one of them, and a
//! reset breaks both.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::door::Seat;
use crate::exchange::tunnel::Ahead;
use crate::gathered::Gathered;

/// A stream whose answer's head was written.
pub(in crate::proxy) struct Stream {
    body: RecvStream,
    writer: SendStream<Bytes>,
    seat: Option<Arc<Seat>>,
    /// What has come and waits, and what was begun to be read of it.
    gathered: Gathered,
    held: Bytes,
    ended: bool,
}

impl Stream {
    pub(super) fn new(body: RecvStream, writer: SendStream<Bytes>, seat: Option<Arc<Seat>>) -> Self {
        Self { body, writer, seat, gathered: Gathered::default(), held: Bytes::new(), ended: false }
    }
}

/// The client has reset the stream, or its connection is gone.
fn broken<E>(_: E) -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while this.held.is_empty() {
            let Some(data) = ready!(this.gathered.poll(&mut this.body, cx)) else { return Poll::Ready(Ok(())) };
            this.held = data.map_err(broken)?;
            // Room for more is given back a part at a time, as fast as the upstream takes them.
            let count = this.held.len();
            this.body.flow_control().release_capacity(count).map_err(broken)?;
        }
        let count = this.held.len().min(buf.remaining());
        buf.put_slice(&this.held.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl Ahead for Stream {
    fn gather(&mut self, cx: &mut Context<'_>) {
        self.gathered.gather(&mut self.body, cx);
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.writer.reserve_capacity(bytes.len());
        // Room is only told of where it grows.
        while self.writer.capacity() == 0 {
            match ready!(self.writer.poll_capacity(cx)) {
                Some(more) => more.map_err(broken)?,
                None => return Poll::Ready(Err(broken(()))),
            };
        }
        let count = self.writer.capacity().min(bytes.len());
        self.writer.send_data(Bytes::copy_from_slice(&bytes[..count]), false).map_err(broken)?;
        // What its client says about its windows is no noise where it takes something for it.
        self.seat.iter().for_each(|seat| seat.flow.answered(count, bytes.len() - count));
        Poll::Ready(Ok(count))
    }

    /// What was sent is the connection's to write.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if std::mem::replace(&mut self.ended, true) {
            return Poll::Ready(Ok(()));
        }
        Poll::Ready(self.writer.send_data(Bytes::new(), true).map_err(broken))
    }
}
