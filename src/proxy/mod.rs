//! The one implementation of Pingora's `ProxyHttp`: it translates phases and decides nothing.
//!
//! What becomes of a request is said by [`decide`](crate::decide), which answer a failure gets by `failure`; routes, filters and upstreams are
//! the snapshot's, which is pinned here once for each request.

mod answer;
mod ctx;
mod failure;
mod forward;
mod receive;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use frontgate_filters::chain::Exchange;
use frontgate_filters::filter::{CircuitState, Failure, Flow, Rescue};
use frontgate_filters::reply::Reply;
use frontgate_filters::trim::unreadable;
use http::{HeaderValue, StatusCode, Version};
use pingora_core::modules::http::HttpModules;
use pingora_core::protocols::Digest;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, ErrorSource, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};

use crate::gateway::Gateway;
use crate::refusals;
use crate::request_id::X_REQUEST_ID;
use crate::snapshot::Snapshot;
use crate::telemetry::{Attempt, Flag};
use crate::upstream::attempts::{Asked, Audience, Next};
use crate::upstream::balance::hash_of;
use crate::upstream::{NoPick, Pool};
pub use ctx::Ctx;

/// The proxy behind every listener.
pub struct Proxy(pub Arc<Gateway>);

/// The error that ends a request whose answer stands in the context.
const REFUSED: ErrorType = ErrorType::Custom("refused");

/// Lets go of the upstream's spelling of header names, as every HTTP/2 hop does: Pingora keeps it in a second map, and each name added to
/// both, and each copy of both, costs allocations. Makes room for what `halves` filters, the gateway and Pingora (two headers) add, and says
/// which request this answers.
fn plain(head: &mut ResponseHeader, halves: usize, request_id: &HeaderValue) {
    frontgate_filters::head::with_map(head, |headers| {
        headers.reserve(4 + 2 * halves);
        headers.insert(X_REQUEST_ID, request_id.clone());
    });
}

/// This upstream is asked.
fn ask(ctx: &mut Ctx, pool: &Arc<Pool>, head: &RequestHeader) {
    let hash = pool.hashes().map(|selector| match selector.find(head, &ctx.facts) {
        Some(value) => hash_of(value.as_bytes(), 0),
        None => hash_of(ctx.facts.client_ip.to_string().as_bytes(), 0),
    });
    ctx.attempts.ask(pool.clone(), hash);
}

/// The route's filters, as those who hear of attempts.
struct Listeners<'c> {
    exchange: &'c mut Exchange,
    snapshot: &'c Snapshot,
}

impl Audience for Listeners<'_> {
    fn is_empty(&self) -> bool {
        self.exchange.is_empty()
    }
    fn is_measure(&self) -> bool {
        self.exchange.is_measure()
    }
    fn attempt(&mut self, attempt: &frontgate_filters::filter::Attempt<'_>) -> std::result::Result<Rescue, Reply> {
        failure::caught(|| self.exchange.attempt(attempt)).map_err(|failure::Panicked| failure::internal())
    }
    fn upstream(&self, name: &str) -> Option<Arc<Pool>> {
        self.snapshot.pools.get(name).cloned()
    }
}

/// What follows an attempt that has ended with a head or without one, while nothing was sent to the client.
fn settle(ctx: &mut Ctx, session: &mut Session, result: std::result::Result<&ResponseHeader, Failure>, now: Instant) -> Next {
    let asked = Asked {
        idempotent: session.req_header().method.is_idempotent(),
        replayable: session.is_body_empty() || !session.as_ref().retry_buffer_truncated(),
        probing: ctx.facts.circuit == Some(CircuitState::HalfOpen),
    };
    let Ctx { attempts, exchange, snapshot, .. } = ctx;
    attempts.settle(asked, result, now, &mut Listeners { exchange, snapshot })
}

/// An attempt without a head: whether another one follows. If not, the answer is in the context or to be found by the failure.
fn failed(ctx: &mut Ctx, session: &mut Session, fault: Failure) -> bool {
    match settle(ctx, session, Err(fault), Instant::now()) {
        Next::Pass => false,
        Next::Again => true,
        Next::Answer(reply) => {
            ctx.refusal = Some(reply);
            false
        }
    }
}

#[async_trait]
impl ProxyHttp for Proxy {
    /// Apart from Pingora's state of the request, which is copied as a whole several times on its way to the heap.
    type CTX = Box<Ctx>;

    fn new_ctx(&self) -> Box<Ctx> {
        Box::new(Ctx::new(&self.0))
    }

    /// Compression would be fixed at start; the pipeline brings its own.
    fn init_downstream_modules(&self, _: &mut HttpModules) {}

    async fn early_request_filter(&self, session: &mut Session, ctx: &mut Self::CTX) -> Result<()> {
        ctx.enter(session);
        // The guard ends idle connections and slow bodies; Pingora's own timers would be set anew for every read.
        if self.0.is_draining() {
            session.set_keepalive(None);
        }
        if !session.is_body_empty() {
            session.set_read_timeout(Some(ctx.snapshot.rules.body_timeout + Duration::from_secs(60)));
        }
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut Self::CTX) -> Result<bool> {
        let Some(reply) = self.receive(session, ctx).await else { return Ok(false) };
        if reply.status == StatusCode::BAD_REQUEST || reply.status == StatusCode::PAYLOAD_TOO_LARGE {
            session.set_keepalive(None);
        }
        self.answer(session, ctx, &reply).await?;
        Ok(true)
    }

    async fn upstream_peer(&self, session: &mut Session, ctx: &mut Self::CTX) -> Result<Box<HttpPeer>> {
        ctx.attempt_over();
        let now = Instant::now();
        let why = loop {
            let why = match ctx.attempts.next(now) {
                Ok(current) => {
                    let left = current.deadline().map(|deadline| deadline.saturating_duration_since(now).max(Duration::from_millis(1)));
                    let peer = current.pick().peer(left, !session.is_body_empty());
                    ctx.body_in = 0;
                    return Ok(peer);
                }
                Err(why) => why,
            };
            ctx.flag = Some(if why == NoPick::Full { Flag::UpstreamOverflow } else { Flag::NoHealthyUpstream });
            match settle(ctx, session, Err(Failure::Unavailable), now) {
                Next::Again => {}
                Next::Answer(reply) => {
                    ctx.refusal = Some(reply);
                    return Err(Error::new(REFUSED));
                }
                Next::Pass => break why,
            }
        };
        ctx.refusal = Some(failure::no_endpoint(why));
        Err(Error::new(REFUSED))
    }

    async fn connected_to_upstream(
        &self,
        session: &mut Session,
        reused: bool,
        _peer: &HttpPeer,
        fd: std::os::fd::RawFd,
        _digest: Option<&Digest>,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        let whole = session.is_body_empty();
        ctx.connected(fd, reused, whole);
        if !whole && session.is_http2() {
            ctx.upload_moved();
        }
        Ok(())
    }

    async fn upstream_request_filter(&self, session: &mut Session, head: &mut RequestHeader, ctx: &mut Self::CTX) -> Result<()> {
        forward::prepare(session, head, ctx)
    }

    async fn request_body_filter(&self, session: &mut Session, body: &mut Option<Bytes>, end: bool, ctx: &mut Self::CTX) -> Result<()> {
        ctx.body_in += body.as_ref().map_or(0, |bytes| bytes.len() as u64);
        if ctx.body_in > ctx.snapshot.route(ctx.route).body_limit {
            ctx.refusal = Some(refusals::body_too_large());
            return Err(Error::new_down(REFUSED));
        }
        // An H2 client that ends its body with an empty DATA frame would have the last chunk written twice to an H1 upstream, which
        // reads the second one as a request of its own.
        if end && body.as_ref().is_some_and(Bytes::is_empty) {
            *body = None;
        }
        if end {
            ctx.request_sent(None);
        } else if session.is_http2() {
            ctx.upload_moved();
        }
        Ok(())
    }

    async fn upstream_response_filter(&self, session: &mut Session, head: &mut ResponseHeader, ctx: &mut Self::CTX) -> Result<()> {
        if head.status.is_informational() {
            if head.status == StatusCode::SWITCHING_PROTOCOLS
                && let Some(conn) = &ctx.conn
            {
                conn.upgrade();
                ctx.attempt_over();
                ctx.mark(head);
            }
            return Ok(());
        }
        let now = Instant::now();
        ctx.head_arrived(head.status.as_u16(), now);
        plain(head, ctx.exchange.len(), &ctx.facts.request_id);
        let again = match settle(ctx, session, Ok(head), now) {
            Next::Pass => None,
            Next::Again => Some(true),
            Next::Answer(reply) => {
                ctx.refusal = Some(reply);
                Some(false)
            }
        };
        if let Some(again) = again {
            ctx.decided = Some(again);
            let mut error = Error::new(REFUSED);
            error.set_retry(again);
            return Err(error);
        }
        let method = &session.req_header().method;
        let exchange = &mut ctx.exchange;
        if !exchange.is_empty() && failure::caught(|| exchange.head(method, head)).is_err() {
            ctx.refusal = Some(failure::internal());
            return Err(Error::new(REFUSED));
        }
        ctx.mark_version(head);
        Ok(())
    }

    async fn response_filter(&self, session: &mut Session, head: &mut ResponseHeader, ctx: &mut Self::CTX) -> Result<()> {
        // HTTP/1.0 knows no chunks: the end of the connection ends the body (RFC 9112, section 6.3).
        if session.req_header().version == Version::HTTP_10 && head.headers.contains_key(http::header::TRANSFER_ENCODING) {
            head.remove_header(&http::header::TRANSFER_ENCODING);
            session.set_keepalive(None);
        }
        if self.0.is_draining() {
            session.set_keepalive(None);
        }
        ctx.head_ready(&session.req_header().method, head);
        Ok(())
    }

    fn upstream_response_body_filter(
        &self,
        _: &mut Session,
        _: &mut Option<Bytes>,
        end: bool,
        ctx: &mut Self::CTX,
    ) -> Result<Option<Duration>> {
        ctx.body_arrived(end);
        Ok(None)
    }

    fn response_body_filter(&self, _: &mut Session, body: &mut Option<Bytes>, end: bool, ctx: &mut Self::CTX) -> Result<Option<Duration>> {
        let exchange = &mut ctx.exchange;
        let flow = if exchange.is_empty() { Ok(Flow::Go) } else { failure::caught(|| exchange.body(body, end)) };
        match flow {
            Ok(Flow::Go) => {
                if end {
                    ctx.body_ready();
                }
                Ok(None)
            }
            Ok(Flow::Abort) => {
                // Where nothing was sent yet this is the answer, else the body is broken off.
                ctx.refusal = Some(unreadable());
                Err(Error::new(REFUSED))
            }
            Err(failure::Panicked) => {
                ctx.refusal = Some(failure::internal());
                Err(Error::new(REFUSED))
            }
        }
    }

    fn fail_to_connect(&self, session: &mut Session, _: &HttpPeer, ctx: &mut Self::CTX, mut error: Box<Error>) -> Box<Error> {
        let timed_out = matches!(error.etype, ErrorType::ConnectTimedout);
        ctx.flag = Some(if timed_out { Flag::UpstreamTimeout } else { Flag::UpstreamConnectionFailure });
        ctx.attempt_failed(if timed_out { Attempt::Timeout } else { Attempt::ConnectFailure });
        let again = failed(ctx, session, if timed_out { Failure::Timeout } else { Failure::Connect });
        error.set_retry(again);
        error
    }

    fn error_while_proxy(
        &self,
        _: &HttpPeer,
        session: &mut Session,
        mut error: Box<Error>,
        ctx: &mut Self::CTX,
        reused: bool,
    ) -> Box<Error> {
        let headless = !ctx.has_upstream_head();
        let waited = ctx.deadline_over();
        if let Some(again) = ctx.decided.take() {
            ctx.attempt_over();
            error.set_retry(again);
            return error;
        }
        let again = waited.is_none()
            && ctx.refusal.is_none()
            && session.response_written().is_none()
            && session.req_header().method.is_idempotent()
            && !session.as_ref().retry_buffer_truncated();
        if again && reused && headless && matches!(error.esource(), ErrorSource::Upstream) && ctx.attempts.forgives_stale() {
            // A stale pooled connection: the upstream has done nothing wrong.
            error.set_retry(true);
            return error;
        }
        let fault = failure::classify(&error, waited, ctx);
        // Where nobody upstream was at fault, the attempt had its answer.
        ctx.attempt_over();
        let again = headless && session.response_written().is_none() && failed(ctx, session, fault);
        error.set_retry(again);
        if again {
            ctx.refusal = None;
        }
        error
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, ctx: &mut Self::CTX) -> FailToProxy {
        ctx.attempt_over();
        let reply = failure::reply(error, ctx);
        if let Some(reply) = &reply
            && session.response_written().is_none()
        {
            session.set_keepalive(None);
            // A client that cannot be told is a client that has left; the log has the status all the same.
            let _ = self.answer(session, ctx, reply).await;
        }
        FailToProxy { error_code: reply.map_or(0, |reply| reply.status.as_u16()), can_reuse_downstream: false }
    }

    fn suppress_proxy_warn_log(&self, _: &Session, _: &Self::CTX, _: &Error, _: ProxyWarnLogContext) -> bool {
        true
    }

    fn suppress_error_log(&self, _: &Session, _: &Self::CTX, _: &Error) -> bool {
        true
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, ctx: &mut Self::CTX) {
        ctx.attempt_over();
        ctx.log(session, error);
    }
}
