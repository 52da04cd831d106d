//! The one implementation of Pingora's `ProxyHttp`: it translates phases and decides nothing.
//!
//! What becomes of a request is said by [`decide`](crate::decide), and the [`exchange`](crate::exchange) brings the upstream's answer; routes,
//! filters and upstreams are the snapshot's, which is pinned here once for each request.

mod answer;
mod compose;
mod ctx;
mod http2;
mod kept;
pub(crate) mod offline;
mod open;
mod receive;
mod serve;

use std::sync::Arc;

use async_trait::async_trait;
use pingora_core::modules::http::HttpModules;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, ErrorType, Result};
use pingora_proxy::{FailToProxy, ProxyHttp, Session};

use crate::gateway::Gateway;
pub(crate) use ctx::Ctx;
use open::Open;

/// The proxy behind every listener.
pub(crate) struct Proxy(pub Arc<Gateway>);

/// The error that ends a request whose answer was broken off, or whose client has left.
const BROKEN: ErrorType = ErrorType::Custom("broken off");

#[async_trait]
impl ProxyHttp for Proxy {
    /// Boxed, because Pingora moves its state of a request several times.
    type CTX = Box<Ctx>;

    fn new_ctx(&self) -> Box<Ctx> {
        Box::new(Ctx::new(&self.0))
    }

    /// Compression would be fixed at start; the pipeline brings its own.
    fn init_downstream_modules(&self, _: &mut HttpModules) {}

    /// All of a request's life is here: it is decided upon and answered, by the gateway or by an upstream.
    async fn request_filter(&self, session: &mut Session, ctx: &mut Self::CTX) -> Result<bool> {
        ctx.enter(session);
        let mut open = Open { session, ctx, ended: false };
        let received = self.receive(open.session, open.ctx).await;
        let whole = self.serve(open.session, open.ctx, received).await;
        open.ended = true;
        if whole { Ok(true) } else { Err(Error::new(BROKEN)) }
    }

    /// Never asked: [`ProxyHttp::request_filter`] has answered.
    async fn upstream_peer(&self, _: &mut Session, _: &mut Self::CTX) -> Result<Box<HttpPeer>> {
        Err(Error::new(BROKEN))
    }

    async fn fail_to_proxy(&self, _: &mut Session, _: &Error, _: &mut Self::CTX) -> FailToProxy {
        FailToProxy { error_code: 0, can_reuse_downstream: false }
    }

    fn suppress_error_log(&self, _: &Session, _: &Self::CTX, _: &Error) -> bool {
        true
    }

    async fn logging(&self, session: &mut Session, _: Option<&Error>, ctx: &mut Self::CTX) {
        ctx.log(session.req_header());
    }
}
