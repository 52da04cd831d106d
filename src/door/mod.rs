//! The listeners' side: a guard around each connection, in front of the one proxy they share.
//!
//! `Door` wraps the stream and hands it to `Inner`, which marks where each request begins and gives it to the proxy. The guard's state
//! reaches the request hooks through the connection's digest.

mod guard;
pub mod wire;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp};
use pingora_core::protocols::Stream;
use pingora_core::protocols::http::ServerSession;
use pingora_core::server::ShutdownWatch;
use pingora_proxy::{HttpProxy, ProxyHttp};

use crate::upstream::watchdog::Watchdog;
pub use guard::{Conn, DRIP, Guard, Keeper, Rules};

/// One listener's app.
pub struct Door<P: ProxyHttp>(Arc<Inner<P>>);

struct Inner<P: ProxyHttp> {
    listener: usize,
    proxy: Arc<HttpProxy<P>>,
    keeper: Arc<dyn Keeper>,
    watchdog: Arc<Watchdog>,
    options: HttpServerOptions,
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
        Self(Arc::new(Inner { listener, proxy, keeper, watchdog, options, count }))
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
        if !session.is_http2()
            && let Some(conn) = conn_of(&session)
        {
            conn.begin();
        }
        self.proxy.process_new_http(session, shutdown)
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.options)
    }

    async fn http_cleanup(&self) {
        self.proxy.http_cleanup().await;
    }
}

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
        let guard = Guard::new(io, conn, inner.keeper.clone(), inner.watchdog.clone(), (inner.count)());
        ServerApp::process_new(inner, Box::new(guard), shutdown).await
    }

    async fn cleanup(&self) {
        ServerApp::cleanup(&*self.0).await;
    }
}
