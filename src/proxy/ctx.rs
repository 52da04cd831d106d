//! One request's state: what it learnt on its way, the attempt in progress, and what the log will say.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use frontgate_filters::chain::Exchange;
use frontgate_filters::filter::inspect::CircuitState;
use frontgate_filters::filter::{Facts, Outcome};
use frontgate_filters::head;
use frontgate_filters::reply::Reply;
use http::header::TRANSFER_ENCODING;
use http::{HeaderName, HeaderValue, Method};
use pingora_core::Error;
use pingora_http::ResponseHeader;
use pingora_proxy::Session;

use super::attempts::Attempts;
use crate::door::{Conn, DRIP, conn_of};
use crate::gateway::{Gateway, InFlight};
use crate::snapshot::Snapshot;
use crate::telemetry::{Attempt, Line};
use crate::upstream::Pick;
use crate::upstream::watchdog::{Lease, Wait, Watchdog};

/// Known beforehand: a name in a string would be copied for every answer.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// One request's state.
pub struct Ctx {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) gateway: Arc<Gateway>,
    pub(super) conn: Option<Arc<Conn>>,
    pub(super) began: Instant,
    pub(super) route: Option<usize>,
    pub(super) facts: Facts,
    pub(super) exchange: Exchange,
    /// The path to send where the route rewrites it.
    pub(super) rewritten: Option<String>,
    /// Until when all attempts together may take.
    pub(super) deadline: Option<Instant>,
    /// Until when this attempt may take.
    pub(super) attempt_deadline: Option<Instant>,
    /// The answer to give when the request fails from here.
    pub(super) refusal: Option<Reply>,
    pub(super) body_in: u64,
    pub(super) reason: &'static str,
    pub(super) flags: &'static str,
    pub(super) from_trusted: bool,
    pub(super) attempts: Attempts,
    in_flight: Option<InFlight>,
    pick: Option<Pick>,
    /// How many attempts there were, at whichever pool.
    attempted: u32,
    /// The upstream connection whose watchdog slot is ours.
    lease: Option<Lease>,
    whole: bool,
    /// Whether the answer goes out in chunks.
    chunked: bool,
    pub(super) attempt_began: Instant,
    /// Since when nothing but the upstream is waited for, and how long that was in all.
    waiting: Option<Instant>,
    waited: Duration,
    upstream_status: Option<u16>,
}

impl Ctx {
    pub(super) fn new(gateway: &Arc<Gateway>) -> Self {
        let now = Instant::now();
        Self {
            snapshot: gateway.snapshot(),
            gateway: gateway.clone(),
            conn: None,
            began: now,
            route: None,
            facts: Facts::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), HeaderValue::from_static("-")),
            exchange: Exchange::default(),
            rewritten: None,
            deadline: None,
            attempt_deadline: None,
            refusal: None,
            body_in: 0,
            reason: "",
            flags: "",
            from_trusted: false,
            attempts: Attempts::default(),
            in_flight: None,
            pick: None,
            attempted: 0,
            lease: None,
            whole: false,
            chunked: false,
            attempt_began: now,
            waiting: None,
            waited: Duration::ZERO,
            upstream_status: None,
        }
    }

    /// The request has reached the hooks.
    pub(super) fn enter(&mut self, session: &Session) {
        self.conn = conn_of(session.as_downstream());
        if let Some(conn) = &self.conn {
            conn.reached();
            conn.wait_on(None);
            self.in_flight = Some(self.gateway.in_flight(conn.listener));
            if let Some(peer) = conn.peer {
                self.facts.client_ip = peer.ip().to_canonical();
            }
        }
    }

    pub(super) fn pick(&self) -> Option<&Pick> {
        self.pick.as_ref()
    }

    /// The last attempt's place is free, for another request or for this one's next attempt.
    pub(super) fn leave_endpoint(&mut self) {
        self.pick = None;
    }

    /// Whether this attempt has brought a head.
    pub(super) fn has_upstream_head(&self) -> bool {
        self.upstream_status.is_some()
    }

    pub(super) fn attempt_begins(&mut self, pick: Pick, now: Instant) {
        self.pick = Some(pick);
        self.attempted += 1;
        self.attempt_began = now;
        self.waiting = Some(now);
        self.body_in = 0;
        self.upstream_status = None;
        self.whole = false;
    }

    pub(super) fn connected(&mut self, watchdog: &Watchdog, fd: i32, reused: bool, whole: bool) {
        self.lease = watchdog.begin(fd, self.attempt_deadline);
        if let Some(conn) = &self.conn {
            conn.wait_on(self.lease);
        }
        if whole {
            // A pooled connection took no time.
            self.request_sent(watchdog, reused.then_some(self.attempt_began));
        }
    }

    /// A part of an upload has come. HTTP/1 bodies are timed by the guard; those of HTTP/2 here, by the same rule.
    pub(super) fn upload_moved(&self, watchdog: &Watchdog) {
        if let (Some(lease), false) = (self.lease, self.whole) {
            let now = Instant::now();
            let allowance = self.snapshot.rules.body_timeout + Duration::from_secs(self.body_in / DRIP);
            watchdog.upload(lease, allowance.saturating_sub(now.saturating_duration_since(self.attempt_began)), now);
        }
    }

    /// The request's last byte is on its way, since this instant or just now: from here the upstream is waited for.
    pub(super) fn request_sent(&mut self, watchdog: &Watchdog, since: Option<Instant>) {
        if std::mem::replace(&mut self.whole, true) {
            return;
        }
        let now = since.unwrap_or_else(Instant::now);
        if let (Some(lease), Some(pick), None) = (self.lease, &self.pick, self.upstream_status) {
            watchdog.first_byte(lease, pick.pool().first_byte(), now);
        }
    }

    pub(super) fn head_arrived(&mut self, watchdog: &Watchdog, status: u16, now: Instant) {
        self.upstream_status = Some(status);
        self.rest(now);
        self.facts.version = self.version_of_pick();
        let Some(pick) = &self.pick else { return };
        if let (Some(lease), true) = (self.lease, self.whole) {
            watchdog.between_bytes(lease, pick.pool().timeouts.between_bytes.0, now);
        }
    }

    pub(super) fn body_arrived(&mut self, watchdog: &Watchdog, end: bool) {
        if end {
            self.attempt_over(watchdog);
        } else if let (Some(lease), Some(pick), true) = (self.lease, &self.pick, self.whole) {
            watchdog.between_bytes(lease, pick.pool().timeouts.between_bytes.0, Instant::now());
        }
    }

    /// The answer's head is as it goes out.
    pub(super) fn head_ready(&mut self, method: &Method, head: &ResponseHeader) {
        let bodyless = method == Method::HEAD || matches!(head.status.as_u16(), 204 | 304);
        self.chunked = !bodyless && head.headers.get(TRANSFER_ENCODING).is_some_and(|coding| coding == "chunked");
    }

    /// The answer's last bytes are as they go out. Pingora has asked the hooks about all it is about to write, and writes it to the last
    /// chunk without a wait: then head and body may leave together.
    pub(super) fn body_ready(&self) {
        if let (true, Some(conn)) = (self.chunked, &self.conn) {
            conn.ending();
        }
    }

    /// Gives the watchdog's slot back; `Some` when the upstream was cut off for being slow.
    pub(super) fn attempt_over(&mut self, watchdog: &Watchdog) -> Option<Wait> {
        if self.lease.is_none() && self.waiting.is_none() {
            return None;
        }
        let now = Instant::now();
        self.rest(now);
        let lease = self.lease.take()?;
        if let Some(conn) = &self.conn {
            conn.wait_on(None);
        }
        let late = watchdog.end(lease);
        if late.is_none()
            && self.upstream_status.is_some()
            && let Some(pick) = &self.pick
        {
            let metrics = &pick.pool().metrics;
            metrics.attempt(Attempt::Ok);
            metrics.observe(now.saturating_duration_since(self.attempt_began));
        }
        late
    }

    pub(super) fn attempt_failed(&mut self, watchdog: &Watchdog, result: Attempt) {
        self.rest(Instant::now());
        if let Some(lease) = self.lease.take() {
            watchdog.end(lease);
        }
        if let Some(pick) = &self.pick {
            pick.pool().metrics.attempt(result);
        }
    }

    /// Counts a failure of an attempt whose slot was given back already.
    pub(super) fn attempt_result(&self, result: Attempt) {
        if let Some(pick) = &self.pick {
            pick.pool().metrics.attempt(result);
        }
    }

    fn rest(&mut self, now: Instant) {
        if let Some(since) = self.waiting.take() {
            self.waited += now.saturating_duration_since(since);
        }
    }

    /// What every answer carries: the filters' marks and the request's identifier.
    pub(super) fn mark(&self, head: &mut ResponseHeader) {
        self.mark_version(head);
        head::set(head, X_REQUEST_ID, self.facts.request_id.clone());
    }

    /// The filters' marks alone.
    pub(super) fn mark_version(&self, head: &mut ResponseHeader) {
        self.snapshot.route(self.route).chain.mark(head, &self.facts);
    }

    /// Ends the request: filters, metrics, log.
    pub(super) fn log(&mut self, session: &Session, error: Option<&Error>) {
        let duration = self.began.elapsed();
        let overhead = duration.saturating_sub(self.waited);
        let status = session.response_written().map_or(0, |head| head.status.as_u16());
        let head = session.req_header();
        let route = self.snapshot.route(self.route);
        let upstream_broke = self.upstream_status.is_some() && matches!(self.flags, "UC" | "UT");
        self.exchange.done(&Outcome { status, complete: error.is_none(), upstream_broke });
        route.metrics.record(&head.method, status, duration, overhead);
        if self.snapshot.access_log.is_off() {
            return;
        }
        let pick = self.pick.as_ref();
        let line = Line {
            request_id: self.facts.request_id.to_str().unwrap_or_default(),
            client_ip: Some(self.facts.client_ip),
            method: head.method.as_str(),
            host: head.headers.get(http::header::HOST).map(HeaderValue::as_bytes).or(head.uri.authority().map(|a| a.as_str().as_bytes())),
            path: head.uri.path().as_bytes(),
            route: &route.name,
            status: (status != 0).then_some(status),
            reason: [self.facts.reason, self.reason].into_iter().find(|reason| !reason.is_empty()),
            bytes_in: session.body_bytes_read() as u64,
            bytes_out: session.body_bytes_sent() as u64,
            duration,
            overhead,
            upstream: pick.map(|pick| &*pick.pool().name),
            upstream_status: self.upstream_status,
            endpoint: pick.map(|pick| &*pick.endpoint().text),
            attempts: (self.attempted > 0).then_some(self.attempted),
            version: self.facts.version.as_ref().and_then(|version| version.to_str().ok()),
            device: self.facts.device.as_deref(),
            sub: self.facts.identity.as_ref().map(|identity| identity.sub_hash()).filter(|sub| !sub.is_empty()),
            limit: self.facts.limit.as_deref(),
            circuit: self.facts.circuit.map(CircuitState::name),
            user_agent: head.headers.get(http::header::USER_AGENT).map(HeaderValue::as_bytes),
            flags: (!self.flags.is_empty()).then_some(self.flags),
            ..Line::at(SystemTime::now())
        };
        self.snapshot.access_log.log(&line);
    }
}

impl Drop for Ctx {
    fn drop(&mut self) {
        // A panic in a hook comes here without `logging`.
        if self.lease.is_some() {
            let gateway = self.gateway.clone();
            self.attempt_over(&gateway.watchdog);
        }
    }
}
