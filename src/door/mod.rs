//! The listeners' side: a guard around each connection, in front of the one proxy they share.
//!
//! `Door` wraps the stream, waits for each request, and gives it to the proxy; HTTP/2 connections are Pingora's from their first byte. The
//! guard's state reaches the request hooks through the connection's digest.

mod conn;
mod guard;
mod outgoing;
mod patience;
pub mod wire;

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::apps::{HttpPersistentSettings, HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp};
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::{Peek, Shutdown, Stream};
use pingora_core::server::ShutdownWatch;
use pingora_proxy::{HttpProxy, ProxyHttp};
use tokio::sync::Notify;

use crate::upstream::deadline::socket::Watchdog;
pub use conn::Conn;
pub use guard::{Guard, Keeper, Rules};
pub use patience::DRIP;

/// One listener's app.
pub struct Door<P: ProxyHttp>(Arc<Inner<P>>);

struct Inner<P: ProxyHttp> {
    listener: usize,
    proxy: Arc<HttpProxy<P>>,
    keeper: Arc<dyn Keeper>,
    watchdog: Arc<Watchdog>,
    options: HttpServerOptions,
    closing: Closing,
    /// Counts a connection for as long as the value lives.
    count: Box<dyn Fn() -> Box<dyn Send + Sync> + Send + Sync>,
}

impl<P: ProxyHttp> Door<P> {
    /// The app of listener number `listener`. `h2` allows HTTP/2 with prior knowledge beside HTTP/1.
    pub fn new(
        listener: usize,
        proxy: Arc<HttpProxy<P>>,
        keeper: Arc<dyn Keeper>,
        watchdog: Arc<Watchdog>,
        h2: bool,
        idle: Duration,
        count: Box<dyn Fn() -> Box<dyn Send + Sync> + Send + Sync>,
    ) -> Self {
        let mut options = HttpServerOptions::default();
        options.h2c = h2;
        options.h2_idle_timeout = Some(idle);
        Self(Arc::new(Inner { listener, proxy, keeper, watchdog, options, closing: Closing::default(), count }))
    }
}

/// The guard's state of the connection that a request came on.
pub fn conn_of(session: &ServerSession) -> Option<Arc<Conn>> {
    session.digest()?.proxy_digest.as_ref()?.user_data.as_ref()?.downcast_ref::<Arc<Conn>>().cloned()
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

    async fn http_cleanup(&self) {
        self.closing.begin();
        self.proxy.http_cleanup().await;
    }
}

impl<P> Inner<P>
where
    P: ProxyHttp + Send + Sync + 'static,
    P::CTX: Send + Sync,
{
    /// One request after the other. Between two of them, and before the first, only the guard waits: what the proxy needs for a request is
    /// made when a request is there, so that an idle connection is a small thing.
    async fn http1(&self, mut guard: Box<Guard>, shutdown: &ShutdownWatch) {
        let mut earlier: Option<HttpPersistentSettings> = None;
        // One wait for all requests: to line up for it anew for each would cost more than to ask.
        let closing = self.closing.begun();
        tokio::pin!(closing);
        loop {
            guard.conn().begin();
            tokio::select! {
                biased;
                begun = poll_fn(|cx| guard.poll_begun(cx)) => if !begun { return },
                () = &mut closing => {
                    // What is left of the last answer goes out first.
                    guard.shutdown().await;
                    return;
                }
            }
            let mut session = ServerSession::new_http1(guard);
            match earlier.take() {
                Some(settings) => settings.apply_to_session(&mut session),
                // How long is the guard's to say; here it only is not "never".
                None => session.set_keepalive(if *shutdown.borrow() { None } else { Some(60) }),
            }
            let Some(reused) = self.proxy.process_new_http(session, shutdown).await else { return };
            let (stream, settings) = reused.consume();
            let Ok(again) = stream.into_any().downcast() else { return };
            (guard, earlier) = (again, settings);
        }
    }
}

/// Tells connections that wait for a request that none will be taken.
#[derive(Default)]
struct Closing {
    flag: AtomicBool,
    notify: Notify,
}

impl Closing {
    fn begin(&self) {
        self.flag.store(true, Ordering::Release);
        self.notify.notify_waiters();
    }

    async fn begun(&self) {
        let notified = self.notify.notified();
        tokio::pin!(notified);
        // Registered before the flag is read: what begins in between is not missed.
        if !notified.as_mut().enable() && !self.flag.load(Ordering::Acquire) {
            notified.await;
        }
    }
}

/// Whether the client speaks HTTP/2 with prior knowledge (RFC 9113, section 3.3). `None` where the connection broke.
async fn is_http2(guard: &mut Guard) -> Option<bool> {
    let mut start = [0; PREFACE.len()];
    Some(guard.try_peek(&mut start).await.ok()? && start == *PREFACE)
}

const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[async_trait]
impl<P> ServerApp for Door<P>
where
    P: ProxyHttp + Send + Sync + 'static,
    P::CTX: Send + Sync,
{
    async fn process_new(self: &Arc<Self>, io: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let inner = &self.0;
        let peer = io.get_socket_digest().and_then(|digest| digest.peer_addr().and_then(|addr| addr.as_inet().copied()));
        let conn = Arc::new(Conn::new(inner.listener, peer));
        let mut guard = Box::new(Guard::new(io, conn, inner.keeper.clone(), inner.watchdog.clone(), (inner.count)()));
        if inner.options.h2c && is_http2(&mut guard).await? {
            return ServerApp::process_new(inner, guard, shutdown).await;
        }
        inner.http1(guard, shutdown).await;
        None
    }

    async fn cleanup(&self) {
        ServerApp::cleanup(&*self.0).await;
    }
}
