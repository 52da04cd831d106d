//! A client's HTTP/2 connection: Pingora speaks the protocol; here its streams are taken, and each wait that none of them has is bounded.

mod below;
mod frames;

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use pingora_core::apps::HttpServerApp as _;
use pingora_core::protocols::Digest;
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::http::v2::server::{H2Accept, H2Options, HttpSession, default_h2_options, handshake};
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::server::ShutdownWatch;
use pingora_proxy::{HttpProxy, ProxyHttp};
use tokio::sync::Notify;

use super::h1::{H1, Seat};
use super::rules::Keeper;
use crate::upstream::timer::Timer;
use crate::websocket;
use below::Below;
pub(crate) use below::Flow;

/// The most that is held of an answer's body for a client that does not take it, beside what the socket holds.
const BUFFER: usize = 64 << 10;
/// How many bytes pass on a connection until each of its streams has had its turn with what is held of its answer.
pub(crate) const ROUND: u64 = 100 * BUFFER as u64;
/// More requests than this that are no requests end a connection.
const MALFORMED: usize = 32;

/// A connection's open streams.
struct Streams {
    seat: Arc<Seat>,
    none: Notify,
}

/// One of them, for as long as it lives.
struct Open(Arc<Streams>);

impl Open {
    fn new(streams: &Arc<Streams>) -> Self {
        streams.seat.flow.open.fetch_add(1, Ordering::AcqRel);
        Self(streams.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.0.seat.flow.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.none.notify_one();
        }
    }
}

impl Streams {
    /// Waits until no stream is open, and then for as long as a connection may be idle.
    async fn idle(&self, keeper: &dyn Keeper) {
        let flow = &self.seat.flow;
        let mut timer = Timer::new();
        loop {
            while flow.open.load(Ordering::Acquire) > 0 {
                self.none.notified().await;
            }
            let since = Instant::now();
            let due = since + keeper.rules().keepalive;
            poll_fn(|cx| timer.poll_idle(cx, since, due)).await;
            // Whoever has begun to ask is not idle.
            if !flow.is_midway() {
                return;
            }
        }
    }
}

fn options() -> H2Options {
    let mut options = default_h2_options();
    options.max_send_buffer_size(BUFFER).enable_connect_protocol();
    options
}

/// Serves a connection that began with HTTP/2's preface, until it ends.
pub(super) async fn serve<P>(
    proxy: &Arc<HttpProxy<P>>,
    h1: H1,
    keeper: Arc<dyn Keeper>,
    seat: Arc<Seat>,
    digest: Arc<ProxyDigest>,
    shut: &ShutdownWatch,
) where
    P: ProxyHttp + Send + Sync + 'static,
    P::CTX: Send + Sync,
{
    let accepted = h1.idle_since();
    let (io, read, count) = h1.into_parts();
    let below = Below::new(io, read, accepted, keeper.clone(), seat.clone(), count);
    let Ok(mut connection) = handshake(Box::new(below), Some(options())).await else { return };
    let digest = Arc::new(Digest { proxy_digest: Some(digest), ..Digest::default() });
    let streams = Arc::new(Streams { seat, none: Notify::new() });
    let (mut closing, mut is_closing, mut malformed) = (shut.clone(), false, 0);
    loop {
        let accepted = tokio::select! {
            biased;
            _ = closing.wait_for(|shut| *shut), if !is_closing => {
                // Whoever has asked by then is answered.
                connection.graceful_shutdown();
                is_closing = true;
                continue;
            }
            accepted = HttpSession::from_h2_conn(&mut connection, digest.clone()) => accepted,
            () = streams.idle(&*keeper) => return,
        };
        match accepted {
            Ok(Some(H2Accept::Session(mut session))) => {
                websocket::take(session.req_header_mut());
                let (proxy, shut, open) = (proxy.clone(), shut.clone(), Open::new(&streams));
                tokio::spawn(async move {
                    let _open = open;
                    proxy.process_new_http(ServerSession::new_http2(session), &shut).await;
                });
            }
            Ok(Some(H2Accept::Rejected)) if malformed < MALFORMED => malformed += 1,
            _ => return,
        }
    }
}
