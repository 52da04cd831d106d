//! An HTTP/2 connection's stream: Pingora speaks the protocol, and a client that does not read is given up here.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use pingora_core::protocols::l4::stream::Stream as Socket;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::tls::SslDigest;
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::patience::Patience;
use super::rules::Rules;
use crate::upstream::timer::Timer;

/// The stream below an HTTP/2 session.
pub(super) struct Below {
    io: Socket,
    rules: Rules,
    digest: Arc<ProxyDigest>,
    writing: Patience,
    timer: Timer,
    /// Counts the connection for as long as it lives.
    _count: Box<dyn Send + Sync>,
}

impl Below {
    /// A stream whose digest leads to what is known of the connection.
    pub(super) fn new(io: Socket, rules: Rules, digest: Arc<ProxyDigest>, count: Box<dyn Send + Sync>) -> Self {
        Self { io, rules, digest, writing: Patience::default(), timer: Timer::new(), _count: count }
    }

    /// Lets a write through, for as long as the client's patience is ours.
    fn written<T>(&mut self, poll: Poll<io::Result<T>>, bytes: impl Fn(&T) -> usize, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        match poll {
            Poll::Ready(result) => {
                self.writing.moved(result.as_ref().map_or(0, bytes));
                Poll::Ready(result)
            }
            Poll::Pending => {
                let due = self.writing.due(self.rules.write_timeout);
                ready!(self.timer.poll(cx, Some(due)));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }
}

impl AsyncRead for Below {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Below {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let poll = Pin::new(&mut this.io).poll_write(cx, bytes);
        this.written(poll, |count| *count, cx)
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, slices: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let poll = Pin::new(&mut this.io).poll_write_vectored(cx, slices);
        this.written(poll, |count| *count, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let poll = Pin::new(&mut this.io).poll_flush(cx);
        this.written(poll, |()| 0, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

impl fmt::Debug for Below {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Below").field("io", &self.io).finish_non_exhaustive()
    }
}

#[async_trait]
impl Shutdown for Below {
    async fn shutdown(&mut self) {
        self.io.shutdown().await;
    }
}

impl UniqueID for Below {
    fn id(&self) -> UniqueIDType {
        self.io.id()
    }
}

impl Ssl for Below {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.io.get_ssl_digest()
    }
    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.io.selected_alpn_proto()
    }
}

impl GetTimingDigest for Below {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.io.get_timing_digest()
    }
}

impl GetProxyDigest for Below {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        Some(self.digest.clone())
    }
}

impl GetSocketDigest for Below {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.io.get_socket_digest()
    }
}

#[async_trait]
impl Peek for Below {}
