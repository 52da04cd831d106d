//! One request's state: what it learnt on its way, and what the log will say.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use frontgate_filters::chain::Exchange;
use frontgate_filters::clock;
use frontgate_filters::fault::Met;
use frontgate_filters::filter::inspect::CircuitState;
use frontgate_filters::filter::{Facts, Outcome};
use frontgate_filters::grpc::Status;
use frontgate_filters::reply::Reply;
use frontgate_filters::words::fields;
use http::{HeaderValue, StatusCode, Version};
use pingora_http::RequestHeader;
use pingora_proxy::Session;

use super::compose::Composing;
use super::kept;
use crate::action::Chosen;
use crate::door::{Seat, seat_of};
use crate::gateway::{Gateway, InFlight};
use crate::request_id::X_REQUEST_ID;
use crate::snapshot::Snapshot;
use crate::telemetry::trace::{self, Parent, parent};
use crate::telemetry::{Flag, Line, Traced};
use crate::tracing::Ended;
use crate::upstream::attempts::Attempts;
use crate::upstream::balance::random;

/// One request's state.
pub(crate) struct Ctx {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) gateway: Arc<Gateway>,
    pub(super) seat: Option<Arc<Seat>>,
    pub(super) began: Instant,
    pub(super) route: Option<usize>,
    pub(super) facts: Facts,
    pub(super) exchange: Exchange,
    /// What was chosen for the request, where its route leaves something to it.
    pub(super) chosen: Option<Box<Chosen>>,
    /// What is known of its calls, where it is answered from some.
    pub(super) composed: Option<Box<Composing>>,
    /// The path to send where the route rewrites it.
    pub(super) rewritten: Option<String>,
    pub(super) reason: &'static str,
    /// What the gateway itself refused it with.
    pub(super) refusal: Option<Reply>,
    /// Whether an open circuit kept its upstream from being asked.
    pub(super) kept_back: bool,
    pub(super) flag: Option<Flag>,
    pub(super) from_trusted: bool,
    /// Where it stands in its trace, where spans are made: settled with its route.
    pub(super) traced: Option<Traced>,
    pub(super) attempts: Attempts,
    /// The status that was sent, and whether all of the answer was.
    pub(super) status: Option<StatusCode>,
    pub(super) complete: bool,
    /// Whether a WebSocket has come of it.
    pub(super) websocket: bool,
    /// Bytes of bodies, or of a tunnel.
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    in_flight: Option<InFlight>,
}

impl Ctx {
    pub(super) fn new(gateway: &Arc<Gateway>) -> Self {
        Self {
            snapshot: gateway.snapshot(),
            gateway: gateway.clone(),
            seat: None,
            began: clock::now(),
            route: None,
            facts: Facts::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), HeaderValue::from_static("-")),
            exchange: Exchange::default(),
            chosen: None,
            composed: None,
            rewritten: None,
            reason: "",
            refusal: None,
            kept_back: false,
            flag: None,
            from_trusted: false,
            traced: None,
            attempts: Attempts::default(),
            status: None,
            complete: false,
            websocket: false,
            bytes_in: 0,
            bytes_out: 0,
            in_flight: None,
        }
    }

    /// The request has reached the hooks.
    pub(super) fn enter(&mut self, session: &Session) {
        self.seat = seat_of(session.as_downstream());
        if let Some(seat) = &self.seat {
            self.in_flight = Some(self.gateway.in_flight(seat.conn.metrics()));
            // In this order: whoever waits for the end sees the connection or its request.
            seat.fresh.asked();
            if let Some(peer) = seat.conn.peer {
                self.facts.client_ip = peer.ip().to_canonical();
            }
            self.facts.tls.clone_from(&seat.conn.tls);
        }
    }

    /// What the client was sent, and how much of both bodies has passed.
    pub(super) fn told(&mut self, (status, bytes_in, bytes_out): (Option<StatusCode>, u64, u64)) {
        (self.status, self.bytes_in, self.bytes_out) = (status, bytes_in, bytes_out);
    }

    /// The protocol changes, and the answer is whole with that: what filters hold for their request they give back now, before the client
    /// hears of it and asks again.
    pub(super) fn switched(&mut self, status: StatusCode, websocket: bool) {
        (self.status, self.complete, self.websocket) = (Some(status), true, websocket);
        self.exchange.done(&Outcome { status: status.as_u16(), complete: true, upstream_broke: false, grpc: None });
    }

    /// Who has called in the request's trace, where spans are made. It counts only where the client turns out to be a trusted proxy.
    pub(super) fn parent(&self, head: &RequestHeader) -> Option<Parent> {
        self.snapshot.tracing.as_ref().and_then(|_| parent(&head.headers))
    }

    /// Settles where the request stands in its trace, now that its route is known.
    pub(super) fn trace(&mut self, head: &RequestHeader, parent: Option<Parent>) {
        let Some(tracing) = &self.snapshot.tracing else { return };
        let parent = parent.filter(|_| self.from_trusted);
        let trace = parent.map_or_else(|| self.own_trace(head), |parent| parent.trace);
        let sampled = tracing.samples(self.route, parent, trace);
        self.attempts.record(sampled);
        self.traced = Some(Traced::new(trace, parent, random(), sampled));
    }

    /// The trace that begins with this request.
    fn own_trace(&self, head: &RequestHeader) -> u128 {
        let id = &self.facts.request_id;
        // What a proxy has chosen as the request's identifier is not for it to choose as the trace's.
        let is_chosen = self.from_trusted && head.headers.get(X_REQUEST_ID) == Some(id);
        trace::begun_by(Some(id).filter(|_| !is_chosen), random)
    }

    /// The trace that the request belongs to, also where nobody makes spans.
    fn trace_of(&self, head: &RequestHeader) -> u128 {
        match self.traced {
            Some(traced) => traced.trace,
            None => parent(&head.headers).filter(|_| self.from_trusted).map_or_else(|| self.own_trace(head), |parent| parent.trace),
        }
    }

    /// The name of what the client speaks.
    fn protocol(&self, version: Version) -> &'static str {
        match version {
            _ if self.websocket => "websocket",
            Version::HTTP_10 => "HTTP/1.0",
            Version::HTTP_2 => "HTTP/2",
            _ => "HTTP/1.1",
        }
    }

    /// What the log says of a request that a drill has hit, before all else: what came of that was meant to.
    fn injected(&self) -> Option<Flag> {
        Some(match self.facts.fault.as_ref()?.met()? {
            Met::Delay => Flag::DelayInjected,
            Met::Fault => Flag::FaultInjected,
        })
    }

    /// Whether its route leads to a saga, whose calls are nobody's request.
    fn begins_sagas(&self) -> bool {
        self.route.is_some_and(|index| self.snapshot.loaded.config.routes[index].target.saga().is_some())
    }

    /// Ends the request: filters, metrics, log.
    pub(super) fn log(&mut self, head: &RequestHeader) {
        let now = clock::now();
        let duration = now.saturating_duration_since(self.began);
        // Whoever left while somebody was waited for has ended that wait.
        self.attempts.rest(now);
        if self.traced.is_none() {
            let parent = self.parent(head);
            self.trace(head, parent);
        }
        let overhead = duration.saturating_sub(self.attempts.waited());
        let status = self.status.map_or(0, |status| status.as_u16());
        let route = self.snapshot.route(self.route);
        let current = self.attempts.current();
        let upstream_status = current.and_then(|current| current.status());
        let broke = matches!(self.flag, Some(Flag::UpstreamConnectionTermination | Flag::UpstreamProtocolError | Flag::UpstreamTimeout));
        let call = self.facts.grpc.as_deref();
        // That its client's own time was over is not the upstream's doing.
        let gave_up = self.flag == Some(Flag::UpstreamTimeout) && call.is_some_and(|call| call.is_over(now));
        let upstream_broke = upstream_status.is_some() && broke && !gave_up;
        self.exchange.done(&Outcome { status, complete: self.complete, upstream_broke, grpc: call.and_then(|call| call.told) });
        route.metrics.record(&head.method, status, duration, overhead);
        if let Some(call) = call {
            route.metrics.called(call.status);
        }
        if let Some(chosen) = &self.chosen {
            chosen.count(status);
        }
        let tapped = self.gateway.taps.is_any();
        let came = kept::came(self, status);
        let spans = self.snapshot.tracing.as_ref().zip(self.traced).and_then(|(tracing, traced)| {
            // What lasts as long as people like is not slow.
            let took = Some(duration).filter(|_| !self.websocket);
            let kept = || tracing.keeps(status, call.and_then(|call| call.status), upstream_broke, took);
            let kept = if traced.sampled { None } else { Some(kept()?) };
            Some((tracing, traced, kept))
        });
        if self.snapshot.access_log.is_off() && !tapped && came.is_none() && spans.is_none() {
            return;
        }
        let tried = if spans.is_some() { self.attempts.told(now) } else { Vec::new() };
        let composed = self.composed.as_deref();
        let calls = if spans.is_some() { composed.map(|composed| composed.common.told.all()).unwrap_or_default() } else { Vec::new() };
        let current = self.attempts.current();
        let pick = current.map(|current| current.pick());
        let rescued = self.attempts.is_rescued() || self.kept_back && pick.is_some();
        let rescue = if rescued { "fallback_upstream" } else { "" };
        let spilled = if self.chosen.as_ref().is_some_and(|chosen| chosen.has_spilled()) { "spilled" } else { "" };
        let trace = trace::id(self.trace_of(head));
        let line = Line {
            request_id: fields::text(&self.facts.request_id).unwrap_or_default(),
            trace_id: std::str::from_utf8(&trace).ok(),
            client_ip: Some(self.facts.client_ip),
            proxy_ip: self.seat.as_ref().and_then(|seat| seat.conn.balancer).map(|balancer| balancer.ip().to_canonical()),
            method: head.method.as_str(),
            host: head.headers.get(http::header::HOST).map(HeaderValue::as_bytes).or(head.uri.authority().map(|a| a.as_str().as_bytes())),
            path: head.uri.path().as_bytes(),
            route: &route.name,
            status: (status != 0).then_some(status),
            reason: [self.facts.reason, self.reason, rescue, spilled].into_iter().find(|reason| !reason.is_empty()),
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            duration,
            overhead,
            upstream: pick.map(|pick| &*pick.pool().name),
            upstream_status,
            endpoint: pick.map(|pick| &*pick.endpoint().text),
            attempts: Some(self.attempts.count()).filter(|count| *count > 0),
            version: self.facts.version.as_ref().or(self.facts.variant.as_ref()).and_then(fields::text),
            device: self.facts.device.as_deref(),
            limit: self.facts.limit.as_deref(),
            tier: self.facts.tier.as_deref(),
            circuit: self.facts.circuit.map(CircuitState::name),
            protocol: Some(self.protocol(head.version)),
            tls_version: self.facts.tls.as_ref().map(|tls| tls.version),
            sni: self.facts.tls.as_ref().and_then(|tls| tls.sni.as_deref()).map(str::as_bytes),
            client_cert: self.facts.tls.as_ref().and_then(|tls| tls.client.as_ref()).map(|client| client.subject.as_bytes()),
            grpc_status: call.and_then(|call| call.status).map(Status::number),
            calls: composed.filter(|_| !self.begins_sagas()).map(|composed| composed.common.told.count()),
            missing: composed.map(|composed| &*composed.missing).filter(|missing| !missing.is_empty()),
            operation: composed.and_then(|composed| composed.common.told.operation()),
            saga: composed.and_then(|composed| composed.saga.as_deref()),
            user_agent: head.headers.get(http::header::USER_AGENT).map(HeaderValue::as_bytes),
            flag: self.injected().or(self.flag).or(self.kept_back.then_some(Flag::UpstreamOverflow)),
            ..Line::at(SystemTime::now())
        };
        if let Some((tracing, traced, kept)) = spans {
            tracing.record(&Ended {
                traced: &traced,
                kept,
                broke: upstream_broke,
                line: &line,
                version: head.version,
                route: self.route.map(|index| self.snapshot.loaded.config.routes[index].path.as_str()),
                target: self.rewritten.as_deref().unwrap_or(head.uri.path()),
                tried: &tried,
                calls: &calls,
                now,
            });
        }
        if self.snapshot.access_log.is_off() && !tapped && came.is_none() {
            return;
        }
        let logged = self.snapshot.logs(&line, false);
        if logged == Some(false) && !tapped && came.is_none() {
            return;
        }
        let names = &self.snapshot.pseudonyms;
        let sub = self.facts.identity.as_ref().and_then(|identity| identity.sub_hash(names));
        let limit_key = self.facts.limit_key.as_deref().map(|parts| names.of_parts(parts));
        let line = Line { sub: sub.as_deref(), limit_key: limit_key.as_deref(), ..line };
        if logged.or_else(|| self.snapshot.logs(&line, true)) == Some(true) {
            self.snapshot.access_log.log(&line);
        }
        if tapped {
            self.gateway.taps.offer(&line);
        }
        if let Some(came) = came {
            self.gateway.recent.keep(came, line.request_id, line.ts, |out| kept::write(out, self, &line));
        }
    }
}
