//! The one implementation of Pingora's `ProxyHttp`: it translates phases and decides nothing.
//!
//! What a request is allowed to be stands in `hygiene`, which answer a failure gets in `failure`; routes, filters and pools are the
//! snapshot's, which is pinned here once for each request.

mod attempts;
mod ctx;
mod failure;
mod forward;
mod hygiene;
pub use hygiene::new_request_id;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use frontgate_filters::filter::{Failure, Flow, Request};
use frontgate_filters::reply::{Form, Reply, ReplyBody};
use http::header::{ALLOW, LOCATION};
use http::{HeaderValue, Method, StatusCode, Version};
use pingora_core::modules::http::HttpModules;
use pingora_core::protocols::Digest;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, ErrorSource, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};

use crate::gateway::Gateway;
use crate::router::Found;
use crate::snapshot::Action;
use crate::telemetry::Attempt;
use crate::upstream::NoPick;
use attempts::Next;
pub use ctx::Ctx;

/// The proxy behind every listener.
pub struct Proxy(pub Arc<Gateway>);

/// The error that ends a request whose answer stands in the context.
const REFUSED: ErrorType = ErrorType::Custom("refused");

impl Proxy {
    /// Everything up to the choice of an endpoint: `Some` is the answer, made here.
    async fn receive(&self, session: &mut Session, ctx: &mut Ctx) -> Option<Reply> {
        let host = match hygiene::receive(session, ctx) {
            Ok(host) => host,
            Err(reply) => return Some(reply),
        };
        let snapshot = ctx.snapshot.clone();
        let path = session.req_header().uri.path();
        if path == "*" {
            // About the gateway as a whole (RFC 9110, section 9.3.7).
            return Some(Reply { status: StatusCode::NO_CONTENT, headers: Vec::new(), body: ReplyBody::Bytes(Bytes::new()) });
        }
        match snapshot.find(host.name(session.req_header()), path, session.req_header()) {
            Found::Route(index) => ctx.route = Some(index),
            Found::WrongMethod { allow } => {
                let reply = Reply::problem(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "This resource has other methods.");
                let allow = HeaderValue::from_str(allow).expect("method names are tokens");
                return Some(reply.with(ALLOW, allow));
            }
            Found::None => {
                ctx.flags = "NR";
                return Some(Reply::problem(StatusCode::NOT_FOUND, "no_route", "Nothing is served under this host and path."));
            }
        }
        let route = snapshot.route(ctx.route);
        if let Some(index) = ctx.route {
            route.introduce(index, &mut ctx.facts);
            snapshot.recognise(session.req_header(), &mut ctx.facts);
        }
        ctx.deadline = route.timeout.map(|timeout| ctx.began + timeout);
        if hygiene::content_length(session.req_header()).is_some_and(|length| length > route.body_limit) {
            return Some(hygiene::body_too_large());
        }
        let mut request = Request::new(session.req_header_mut(), &mut ctx.facts, ctx.began);
        let run = route.chain.request(&mut request, &mut ctx.exchange);
        match failure::guarded(run).await {
            Ok(None) => {}
            Ok(Some(reply)) => return Some(reply),
            Err(failure::Panicked) => return Some(failure::internal()),
        }
        match &route.action {
            Action::Pool(pool) => {
                ctx.ask(pool, session);
                let path = session.req_header().uri.path();
                ctx.rewritten = route.rewrite.as_ref().map(|rewrite| rewrite.apply(path));
                None
            }
            Action::Redirect(template, status) => {
                let uri = &session.req_header().uri;
                let mut to = template.expand(uri.path());
                if let Some(query) = uri.query() {
                    to.push(if to.contains('?') { '&' } else { '?' });
                    to.push_str(query);
                }
                let Ok(to) = HeaderValue::from_str(&to) else { return Some(failure::internal()) };
                let reply = Reply { status: *status, headers: Vec::new(), body: ReplyBody::Bytes(Bytes::new()) };
                Some(reply.with(LOCATION, to))
            }
            Action::Respond(reply) => Some(reply.clone()),
            Action::Nothing => Some(failure::internal()),
        }
    }

    /// An answer of the gateway's own passes the response halves outside of the filter that made it, as any other answer does.
    fn through_halves(&self, session: &Session, ctx: &mut Ctx, head: &mut ResponseHeader, body: Bytes) -> Bytes {
        if ctx.exchange.is_empty() {
            return body;
        }
        let method = &session.req_header().method;
        let exchange = &mut ctx.exchange;
        let whole = body.clone();
        let passed = failure::caught(|| {
            exchange.head(method, head);
            let mut body = Some(body);
            match exchange.body(&mut body, true) {
                Flow::Go => body.unwrap_or_default(),
                Flow::Abort(_) => Bytes::new(),
            }
        });
        let Ok(passed) = passed else {
            log::error!("a filter panicked over an answer of the gateway's own");
            return whole;
        };
        if !passed.is_empty() && passed.len() != whole.len()
            || !head.headers.contains_key(http::header::CONTENT_LENGTH) && !whole.is_empty()
        {
            head.insert_header("Content-Length", HeaderValue::from(passed.len())).expect("a known name and a number");
        }
        passed
    }

    /// Sends an answer of the gateway's own, marked by the route's filters.
    async fn answer(&self, session: &mut Session, ctx: &mut Ctx, reply: &Reply) -> Result<()> {
        let snapshot = ctx.snapshot.clone();
        ctx.reason = reply.code();
        let (mut head, body) = reply.render(Form::default(), &ctx.facts.request_id);
        let body = self.through_halves(session, ctx, &mut head, body);
        snapshot.route(ctx.route).chain.mark(&mut head, &ctx.facts);
        let bodyless = session.req_header().method == Method::HEAD || body.is_empty();
        session.write_response_header(Box::new(head), bodyless).await?;
        if !bodyless {
            session.write_response_body(Some(body), true).await?;
        }
        Ok(())
    }
}

/// Lets go of the upstream's spelling of header names, as every HTTP/2 hop does: Pingora keeps it in a second map, and each name added to
/// both, and each copy of both, costs allocations. Makes room for what `halves` filters, the gateway and Pingora (two headers) add, and says
/// which request this answers.
fn plain(head: &mut ResponseHeader, halves: usize, request_id: &HeaderValue) {
    frontgate_filters::head::with_map(head, |headers| {
        headers.reserve(4 + 2 * halves);
        headers.insert(ctx::X_REQUEST_ID, request_id.clone());
    });
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
        // A fixed answer may have this status, too, and an observed limit is named for the log.
        if reply.status == StatusCode::TOO_MANY_REQUESTS && ctx.facts.limit.is_some() && matches!(reply.body, ReplyBody::Problem { .. }) {
            ctx.flags = "RL";
        }
        self.answer(session, ctx, &reply).await?;
        Ok(true)
    }

    async fn upstream_peer(&self, session: &mut Session, ctx: &mut Self::CTX) -> Result<Box<HttpPeer>> {
        ctx.attempt_over(&self.0.watchdog);
        ctx.leave_endpoint();
        let now = Instant::now();
        let pick = loop {
            let why = match ctx.attempts.choose(now) {
                Ok(pick) => break pick,
                Err(why) => why,
            };
            ctx.flags = if why == NoPick::Full { "UO" } else { "UH" };
            match ctx.settle(session, Err(Failure::Unavailable), now) {
                Next::Again => continue,
                Next::Answer => {}
                Next::Pass => {
                    let (code, detail) = match why {
                        NoPick::Full => ("upstream_full", "The service behind the gateway has as many requests as it may."),
                        NoPick::NoEndpoint => ("no_endpoint", "No endpoint can take the request."),
                    };
                    let reply = Reply::problem(StatusCode::SERVICE_UNAVAILABLE, code, detail);
                    ctx.refusal = Some(reply.with(http::header::RETRY_AFTER, HeaderValue::from_static("1")));
                }
            }
            return Err(Error::new(REFUSED));
        };
        let total = pick.pool().timeouts.total.map(|total| now + total.0);
        ctx.attempt_deadline = [total, ctx.deadline].into_iter().flatten().min();
        let left = ctx.attempt_deadline.map(|deadline| deadline.saturating_duration_since(now).max(Duration::from_millis(1)));
        let peer = pick.peer(left, !session.is_body_empty());
        ctx.attempt_begins(pick, now);
        Ok(peer)
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
        ctx.connected(&self.0.watchdog, fd, reused, whole);
        if !whole && session.is_http2() {
            ctx.upload_moved(&self.0.watchdog);
        }
        Ok(())
    }

    async fn upstream_request_filter(&self, session: &mut Session, head: &mut RequestHeader, ctx: &mut Self::CTX) -> Result<()> {
        forward::prepare(session, head, ctx)
    }

    async fn request_body_filter(&self, session: &mut Session, body: &mut Option<Bytes>, end: bool, ctx: &mut Self::CTX) -> Result<()> {
        ctx.body_in += body.as_ref().map_or(0, |bytes| bytes.len() as u64);
        if ctx.body_in > ctx.snapshot.route(ctx.route).body_limit {
            ctx.refusal = Some(hygiene::body_too_large());
            return Err(Error::new_down(REFUSED));
        }
        // An H2 client that ends its body with an empty DATA frame would have the last chunk written twice to an H1 upstream, which
        // reads the second one as a request of its own.
        if end && body.as_ref().is_some_and(Bytes::is_empty) {
            *body = None;
        }
        if end {
            ctx.request_sent(&self.0.watchdog, None);
        } else if session.is_http2() {
            ctx.upload_moved(&self.0.watchdog);
        }
        Ok(())
    }

    async fn upstream_response_filter(&self, session: &mut Session, head: &mut ResponseHeader, ctx: &mut Self::CTX) -> Result<()> {
        if head.status.is_informational() {
            if head.status == StatusCode::SWITCHING_PROTOCOLS
                && let Some(conn) = &ctx.conn
            {
                conn.upgrade();
                ctx.attempt_over(&self.0.watchdog);
                ctx.mark(head);
            }
            return Ok(());
        }
        let now = Instant::now();
        ctx.head_arrived(&self.0.watchdog, head.status.as_u16(), now);
        plain(head, ctx.exchange.len(), &ctx.facts.request_id);
        let next = ctx.settle(session, Ok(head), now);
        if next != Next::Pass {
            ctx.attempts.decided = Some(next);
            let mut error = Error::new(REFUSED);
            error.set_retry(next == Next::Again);
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
        ctx.body_arrived(&self.0.watchdog, end);
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
            Ok(Flow::Abort(reply)) => {
                // Where nothing was sent yet this is the answer, else the body is broken off.
                ctx.refusal = Some(reply);
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
        ctx.flags = if timed_out { "UT" } else { "UF" };
        ctx.attempt_failed(&self.0.watchdog, if timed_out { Attempt::Timeout } else { Attempt::ConnectFailure });
        let next = ctx.settle(session, Err(if timed_out { Failure::Timeout } else { Failure::Connect }), Instant::now());
        error.set_retry(next == Next::Again);
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
        let waited = ctx.attempt_over(&self.0.watchdog);
        if let Some(next) = ctx.attempts.decided.take() {
            error.set_retry(next == Next::Again);
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
        let next =
            if headless && session.response_written().is_none() { ctx.settle(session, Err(fault), Instant::now()) } else { Next::Pass };
        error.set_retry(next == Next::Again);
        if next == Next::Again {
            ctx.refusal = None;
        }
        error
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, ctx: &mut Self::CTX) -> FailToProxy {
        ctx.attempt_over(&self.0.watchdog);
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
        ctx.attempt_over(&self.0.watchdog);
        ctx.log(session, error);
    }
}
