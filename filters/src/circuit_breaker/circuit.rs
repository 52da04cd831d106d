//! A circuit as the outside sees it: the state machine with a name, a clock, metrics and a log line for every change.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use prometheus::{IntGauge, IntGaugeVec};

use super::gate::{Admission, Change, Finding, Forced, Gate, Rules, State, Ticket};
use crate::clock;
use crate::count::metrics::Families;
use crate::count::stripe::CounterVec;
use crate::filter::inspect::CircuitStatus;

/// The circuit between one filter and one upstream.
pub struct Circuit {
    gate: Gate,
    filter: Arc<str>,
    upstream: Arc<str>,
    base: Instant,
    metrics: Metrics,
    /// When its state changed last, in milliseconds since `base`; 0 where it never did.
    since: AtomicU64,
    /// Its gauge, there once the circuit is asked: an upstream that no route of the filter uses has no series.
    gauge: OnceLock<IntGauge>,
}

/// The families that circuits count in.
#[derive(Clone)]
pub(super) struct Metrics {
    state: IntGaugeVec,
    transitions: CounterVec,
}

impl Metrics {
    pub(super) fn new(families: &Families) -> Self {
        let state = "The state of a circuit: 0 closed, 1 half-open, 2 open.";
        let transitions = "Changes of a circuit's state.";
        Self {
            state: families.gauges("circuit_state", state, &["filter", "upstream"]),
            transitions: families.counters("circuit_transitions_total", transitions, &["filter", "upstream", "to"]),
        }
    }
}

/// What a request holds that was let through. Dropping it gives a probe's place back.
pub struct Permit {
    circuit: Arc<Circuit>,
    ticket: Ticket,
    /// What came of it, once that is known.
    found: Option<Finding>,
}

/// What a circuit would say to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    /// The state that the request would meet: half-open where it would be a probe.
    pub state: State,
    /// Whether it would pass.
    pub passes: bool,
    /// How long it would be refused, where that is known.
    pub left: Option<Duration>,
}

/// What a circuit says to a request.
pub enum Answer {
    /// Go on.
    Pass(Permit),
    /// Not now.
    Refuse {
        /// Open or half-open.
        state: State,
        /// How long that will last, where it is known.
        left: Option<Duration>,
    },
}

impl Circuit {
    pub(super) fn new(rules: Rules, filter: Arc<str>, upstream: Arc<str>, metrics: Metrics) -> Self {
        Self { gate: Gate::new(rules), filter, upstream, base: clock::now(), metrics, since: AtomicU64::new(0), gauge: OnceLock::new() }
    }

    /// The upstream that it protects.
    pub fn upstream(&self) -> &str {
        &self.upstream
    }

    /// What it is doing now.
    pub fn status(&self) -> CircuitStatus {
        let view = self.gate.view(self.millis(clock::now()));
        CircuitStatus {
            upstream: self.upstream.clone(),
            state: view.state,
            requests: view.counts.requests,
            failures: view.counts.failures,
            slow: view.counts.slow,
            left: view.left.map(Duration::from_millis),
            forced: view.forced,
            probes: view.probes,
        }
    }

    /// Whether any request or operator ever asked for it; one that nobody did is of no interest.
    pub fn was_asked(&self) -> bool {
        self.gauge.get().is_some()
    }

    /// Holds it open or closed, whatever happens, until it is let go by `None`: then it begins closed, with nothing remembered.
    pub fn force(&self, forced: Option<Forced>) {
        let change = self.gate.force(forced);
        self.tell(change, clock::now());
    }

    /// Whether a request may pass.
    pub(super) fn admit(self: &Arc<Self>, now: Instant) -> Answer {
        let (admission, change) = self.gate.admit(self.millis(now));
        if change.is_some() || self.gauge.get().is_none() {
            self.tell(change, now);
        }
        match admission {
            Admission::Pass(ticket) => Answer::Pass(Permit { circuit: self.clone(), ticket, found: None }),
            Admission::Refuse { state, left } => Answer::Refuse { state, left: left.map(Duration::from_millis) },
        }
    }

    /// What a request would be told now, without being one.
    pub(super) fn look(&self, now: Instant) -> Look {
        match self.gate.look(self.millis(now)) {
            Admission::Pass(ticket) if ticket.probe => Look { state: State::HalfOpen, passes: true, left: None },
            Admission::Pass(_) => Look { state: State::Closed, passes: true, left: None },
            Admission::Refuse { state, left } => Look { state, passes: false, left: left.map(Duration::from_millis) },
        }
    }

    /// How long it has been in its state, where that has ever changed.
    pub(super) fn unchanged(&self, now: Instant) -> Option<Duration> {
        let since = self.since.load(Ordering::Relaxed);
        (since > 0).then(|| Duration::from_millis(self.millis(now).saturating_sub(since)))
    }

    fn tell(&self, change: Option<Change>, now: Instant) {
        let gauge = self.gauge.get_or_init(|| self.metrics.state.with_label_values(&[&*self.filter, &*self.upstream]));
        // Read again, not taken from the change: of two changes at once the later one must stay.
        gauge.set(match self.gate.view(self.millis(now)).state {
            State::Closed => 0,
            State::HalfOpen => 1,
            State::Open => 2,
        });
        let Some(Change { to, cause }) = change else { return };
        self.since.store(self.millis(now).max(1), Ordering::Relaxed);
        let to = to.name();
        self.metrics.transitions.with_label_values(&[&*self.filter, &*self.upstream, to]).inc();
        log::warn!("the circuit of the filter `{}` for upstream `{}` is now {to}: {cause}", self.filter, self.upstream);
    }

    fn millis(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.base).as_millis() as u64
    }
}

impl Permit {
    /// Whether the request is a probe.
    pub(super) fn is_probe(&self) -> bool {
        self.ticket.probe
    }

    /// Whether the circuit was closed for the request and has been ever since.
    pub(super) fn is_closed(&self) -> bool {
        self.circuit.gate.is_closed_for(&self.ticket)
    }

    /// Whether it is known what came of the request.
    pub(super) fn is_settled(&self) -> bool {
        self.found.is_some()
    }

    /// Says what came of the request, the first time that it is known, and gives a probe's place back.
    pub(super) fn settle(&mut self, finding: Finding, now: Instant) {
        if self.found.is_some() {
            return;
        }
        self.found = Some(finding);
        let circuit = &self.circuit;
        let change = circuit.gate.report(&mut self.ticket, finding, circuit.millis(now), chance);
        circuit.gate.release(&mut self.ticket);
        if change.is_some() {
            circuit.tell(change, now);
        }
    }

    /// The whole answer was sent on.
    pub(super) fn whole(&self) {
        if matches!(self.found, Some(Finding::Success { .. })) {
            self.circuit.gate.whole();
        }
    }

    /// The upstream broke its answer off.
    pub(super) fn broke(&self, now: Instant) {
        if matches!(self.found, Some(Finding::Success { .. })) {
            let change = self.circuit.gate.broke(&self.ticket, self.circuit.millis(now), chance);
            if change.is_some() {
                self.circuit.tell(change, now);
            }
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.circuit.gate.release(&mut self.ticket);
    }
}

/// Somewhere between 0 and 1. The standard library's hasher is seeded anew each time, which is chance enough for a jitter.
fn chance() -> f64 {
    RandomState::new().hash_one(0) as f64 / u64::MAX as f64
}
