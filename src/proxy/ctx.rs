//! One request's state: what it learnt on its way, the attempt in progress, and what the log will say.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use frontgate_filters::chain::Exchange;
use frontgate_filters::filter::{CircuitState, Facts, Outcome};
use frontgate_filters::head;
use frontgate_filters::reply::Reply;
use http::header::TRANSFER_ENCODING;
use http::{HeaderValue, Method};
use pingora_core::Error;
use pingora_http::ResponseHeader;
use pingora_proxy::Session;

use crate::door::{Conn, DRIP, conn_of};
use crate::gateway::{Gateway, InFlight};
use crate::request_id::X_REQUEST_ID;
use crate::snapshot::Snapshot;
use crate::telemetry::{Attempt, Flag, Line, trace_id};
use crate::upstream::attempts::Attempts;
use crate::upstream::deadline::{Deadline, Wait};

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
    /// The answer to give when the request fails from here.
    pub(super) refusal: Option<Reply>,
    pub(super) body_in: u64,
    pub(super) reason: &'static str,
    pub(super) flag: Option<Flag>,
    pub(super) from_trusted: bool,
    pub(super) attempts: Attempts,
    /// What was decided where the error that carries it out has yet to pass other hooks: whether another attempt follows.
    pub(super) decided: Option<bool>,
    in_flight: Option<InFlight>,
    /// What ends the attempt in progress.
    deadline: Option<Deadline>,
    /// Whether the answer goes out in chunks.
    chunked: bool,
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
            refusal: None,
            body_in: 0,
            reason: "",
            flag: None,
            from_trusted: false,
            attempts: Attempts::default(),
            decided: None,
            in_flight: None,
            deadline: None,
            chunked: false,
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

    /// Whether this attempt has brought a head.
    pub(super) fn has_upstream_head(&self) -> bool {
        self.attempts.current().is_some_and(|current| current.status().is_some())
    }

    pub(super) fn connected(&mut self, fd: i32, reused: bool, whole: bool) {
        let Some(current) = self.attempts.current() else { return };
        let began = current.began();
        let deadline = Deadline::on_socket(&self.gateway.watchdog, fd, current.deadline());
        if let Some(conn) = &self.conn {
            conn.wait_on(deadline.lease());
        }
        self.deadline = Some(deadline);
        if whole {
            // A pooled connection took no time.
            self.request_sent(reused.then_some(began));
        }
    }

    /// A part of an upload has come. HTTP/1 bodies are timed by the guard; those of HTTP/2 here, by the same rule.
    pub(super) fn upload_moved(&self) {
        let (Some(deadline), Some(current)) = (&self.deadline, self.attempts.current()) else { return };
        if !current.is_sent() {
            let now = Instant::now();
            let allowance = self.snapshot.rules.body_timeout + Duration::from_secs(self.body_in / DRIP);
            deadline.upload(allowance.saturating_sub(now.saturating_duration_since(current.began())), now);
        }
    }

    /// The request's last byte is on its way, since this instant or just now: from here the upstream is waited for.
    pub(super) fn request_sent(&mut self, since: Option<Instant>) {
        if let (Some(allowance), Some(deadline)) = (self.attempts.request_sent(), &self.deadline) {
            deadline.first_byte(allowance, since.unwrap_or_else(Instant::now));
        }
    }

    pub(super) fn head_arrived(&mut self, status: u16, now: Instant) {
        self.attempts.head_arrived(status, now);
        self.facts.version = self.attempts.version();
        self.part_arrived(now);
    }

    /// A part of the answer has come: so long may the next one take.
    fn part_arrived(&self, now: Instant) {
        if let (Some(deadline), Some(current)) = (&self.deadline, self.attempts.current())
            && current.is_sent()
        {
            deadline.between_bytes(current.pick().pool().timeouts.between_bytes.0, now);
        }
    }

    pub(super) fn body_arrived(&mut self, end: bool) {
        if end {
            self.attempt_over();
        } else if self.deadline.is_some() {
            self.part_arrived(Instant::now());
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

    /// The attempt is over; one that brought a head and lost nothing was an answer.
    pub(super) fn attempt_over(&mut self) {
        if self.deadline_over().is_none() && self.has_upstream_head() {
            self.attempts.finished(Attempt::Ok, Instant::now());
        }
    }

    /// The attempt's deadlines end; `Some` when the upstream was cut off for being slow.
    pub(super) fn deadline_over(&mut self) -> Option<Wait> {
        let deadline = self.deadline.take()?;
        self.attempts.rest(Instant::now());
        if let Some(conn) = &self.conn {
            conn.wait_on(None);
        }
        deadline.end()
    }

    /// The attempt has failed.
    pub(super) fn attempt_failed(&mut self, result: Attempt) {
        self.deadline = None;
        self.attempts.finished(result, Instant::now());
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
        let overhead = duration.saturating_sub(self.attempts.waited());
        let status = session.response_written().map_or(0, |head| head.status.as_u16());
        let head = session.req_header();
        let route = self.snapshot.route(self.route);
        let current = self.attempts.current();
        let upstream_status = current.and_then(|current| current.status());
        let broke = matches!(self.flag, Some(Flag::UpstreamConnectionTermination | Flag::UpstreamTimeout));
        let upstream_broke = upstream_status.is_some() && broke;
        self.exchange.done(&Outcome { status, complete: error.is_none(), upstream_broke });
        route.metrics.record(&head.method, status, duration, overhead);
        if self.snapshot.access_log.is_off() {
            return;
        }
        let pick = current.map(|current| current.pick());
        let line = Line {
            request_id: self.facts.request_id.to_str().unwrap_or_default(),
            trace_id: if self.from_trusted { trace_id(&head.headers) } else { None },
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
            upstream_status,
            endpoint: pick.map(|pick| &*pick.endpoint().text),
            attempts: Some(self.attempts.count()).filter(|count| *count > 0),
            version: self.facts.version.as_ref().and_then(|version| version.to_str().ok()),
            device: self.facts.device.as_deref(),
            sub: self.facts.identity.as_ref().map(|identity| identity.sub_hash()).filter(|sub| !sub.is_empty()),
            limit: self.facts.limit.as_deref(),
            circuit: self.facts.circuit.map(CircuitState::name),
            user_agent: head.headers.get(http::header::USER_AGENT).map(HeaderValue::as_bytes),
            flag: self.flag,
            ..Line::at(SystemTime::now())
        };
        self.snapshot.access_log.log(&line);
    }
}
