//! The listeners' side: each connection is accepted, read and answered here, in front of the one proxy they share.
//!
//! HTTP/1 is read by [`h1`]; a connection that begins with HTTP/2's preface is Pingora's from then on. What is known of a connection reaches
//! the request hooks through its digest.

mod conn;
pub(crate) mod h1;
mod h2;
mod patience;
mod rules;
pub(crate) mod wire;

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp};
use pingora_core::protocols::Digest;
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::l4::stream::Stream as Socket;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::server::ShutdownWatch;
use pingora_http::ResponseHeader;
use pingora_proxy::{HttpProxy, ProxyHttp};
use tokio::net::{TcpListener, TcpStream};

use crate::upstream::h1::Io;
pub(crate) use conn::Conn;
use h1::{Down, H1, Next};
pub(crate) use h1::{Held, Seat};
pub(crate) use patience::Patience;
pub(crate) use rules::{Keeper, Rules};

/// One listener on one worker thread.
pub(crate) struct Door<P: ProxyHttp> {
    listener: usize,
    inner: Arc<Inner<P>>,
    keeper: Arc<dyn Keeper>,
    h2: bool,
    /// Counts a connection for as long as the value lives.
    count: Box<dyn Fn() -> Box<dyn Send + Sync> + Send + Sync>,
}

/// The proxy as HTTP/2's application.
struct Inner<P: ProxyHttp> {
    proxy: Arc<HttpProxy<P>>,
    options: HttpServerOptions,
}

/// How long accepting rests after it failed: mostly for want of descriptors, which only others' ends give back.
const REST: Duration = Duration::from_millis(50);

impl<P> Door<P>
where
    P: ProxyHttp + Send + Sync + 'static,
    P::CTX: Send + Sync,
{
    /// Listener number `listener`. `h2` allows HTTP/2 with prior knowledge beside HTTP/1; such connections may be `idle` so long.
    pub(crate) fn new(
        listener: usize,
        proxy: Arc<HttpProxy<P>>,
        keeper: Arc<dyn Keeper>,
        h2: bool,
        idle: Duration,
        count: Box<dyn Fn() -> Box<dyn Send + Sync> + Send + Sync>,
    ) -> Arc<Self> {
        let mut options = HttpServerOptions::default();
        options.h2c = h2;
        options.h2_idle_timeout = Some(idle);
        Arc::new(Self { listener, inner: Arc::new(Inner { proxy, options }), keeper, h2, count })
    }

    /// Accepts connections until `shut` says so.
    pub(crate) async fn listen(self: Arc<Self>, listener: TcpListener, mut shut: ShutdownWatch) {
        let mut failing = false;
        loop {
            let accepted = tokio::select! {
                biased;
                // A sender that is gone is an end, too.
                _ = shut.wait_for(|shut| *shut) => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((socket, peer)) => {
                    failing = false;
                    tokio::spawn(self.clone().serve(socket, peer, shut.clone()));
                }
                Err(error) => {
                    // Said once, not for every try.
                    if !std::mem::replace(&mut failing, true) {
                        log::warn!("connections are not accepted: {error}");
                    }
                    tokio::time::sleep(REST).await;
                }
            }
        }
        self.inner.proxy.http_cleanup().await;
    }

    /// One connection, one request after the other.
    async fn serve(self: Arc<Self>, socket: TcpStream, peer: std::net::SocketAddr, mut shut: ShutdownWatch) {
        // Heads and bodies leave in one piece each: nothing is gained by waiting for more.
        let _ = socket.set_nodelay(true);
        let conn = Arc::new(Conn::new(self.listener, Some(peer)));
        let seat = Arc::new(Seat::new(conn.clone()));
        let nothing = ResponseHeader::build_no_case(200, Some(0)).expect("200 is a status");
        let proxy_digest = Arc::new(ProxyDigest::new(Box::new(nothing), Some(Box::new(seat.clone()))));
        let mut h1 = Box::new(H1::new(Io::Tcp(socket), conn, self.keeper.clone(), (self.count)()));
        let mut first = true;
        let closing = shut.clone();
        let closed = shut.wait_for(|shut| *shut);
        tokio::pin!(closed);
        loop {
            let next = poll_fn(|cx| {
                if let std::task::Poll::Ready(next) = h1.poll_next(cx, self.h2 && first) {
                    return std::task::Poll::Ready(next);
                }
                // Between two requests nothing is lost by an end.
                if h1.is_between() { closed.as_mut().poll(cx).map(|_| Next::End) } else { std::task::Poll::Pending }
            })
            .await;
            first = false;
            let request = match next {
                Next::Request(request) => request,
                Next::End => return,
                Next::Refused(refusal) => return h1.refuse(refusal).await,
                Next::Http2 => return self.http2(*h1, proxy_digest, &closing).await,
            };
            *seat.h1.lock() = Some(h1);
            let digest = Digest { proxy_digest: Some(proxy_digest.clone()), ..Digest::default() };
            let session = ServerSession::new_custom(Box::new(Down::new(request, digest)));
            let _ = self.inner.proxy.process_new_http(session, &closing).await;
            let Some(mut again) = seat.h1.lock().take() else { return };
            if !again.turn().await {
                if again.must_linger() {
                    again.linger().await;
                }
                return;
            }
            h1 = again;
        }
    }

    async fn http2(&self, h1: H1, digest: Arc<ProxyDigest>, shut: &ShutdownWatch) {
        let rules = self.keeper.rules();
        let (io, read, count) = h1.into_parts();
        let Io::Tcp(socket) = io else { return };
        let mut socket = Socket::from(socket);
        socket.rewind(&read);
        let below = Box::new(h2::Below::new(socket, rules, digest, count));
        ServerApp::process_new(&self.inner, below, shut).await;
    }
}

/// The connection that a request came on, and what is known of it.
pub(crate) fn seat_of(session: &ServerSession) -> Option<Arc<Seat>> {
    session.digest()?.proxy_digest.as_ref()?.user_data.as_ref()?.downcast_ref::<Arc<Seat>>().cloned()
}

#[async_trait]
impl<P> HttpServerApp for Inner<P>
where
    P: ProxyHttp + Send + Sync + 'static,
    P::CTX: Send + Sync,
{
    // Written out instead of `async fn`: the proxy's own boxed future is handed on, not boxed again for every request.
    fn process_new_http<'s, 'w, 'f>(
        self: &'s Arc<Self>,
        session: ServerSession,
        shutdown: &'w ShutdownWatch,
    ) -> Pin<Box<dyn Future<Output = Option<ReusedHttpStream>> + Send + 'f>>
    where
        's: 'f,
        'w: 'f,
        Self: 'f,
    {
        self.proxy.process_new_http(session, shutdown)
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.options)
    }
}
