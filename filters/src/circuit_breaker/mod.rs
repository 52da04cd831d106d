//! `circuit_breaker`: stops sending requests to an upstream that fails, and answers in its place.
//!
//! ```yaml
//! guard:
//!   circuit_breaker:
//!     failure_ratio: 65%
//!     fallback: [{cached: {max_age: 10m}}, {respond: {json: {items: []}}}]
//! ```
//!
//! There is one circuit for the filter and each upstream. It lives on over reloads that do not change the filter's options. A request
//! counts once, by its last attempt; the way through a closed circuit takes no lock.

mod cache;
mod circuit;
mod config;
mod fallback;
mod gate;
mod watch;
mod window;

/// What the state machine is made of. The tests put a scheduler of their own in its place.
mod sync {
    pub use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
}

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::header::{DATE, RETRY_AFTER};
use http::{HeaderName, Method};
use pingora_http::{RequestHeader, ResponseHeader};

use self::cache::Store;
use self::circuit::{Answer, Circuit, Look, Metrics};
use self::fallback::{Served, Serving, Why};
use self::gate::Finding;
use self::watch::Watch;
use crate::filter::build::Build;
use crate::filter::inspect::{CircuitState, Forced, Inspection};
use crate::filter::options::{Options, Placement};
use crate::filter::{Attempt, Failure, Filter, Request, Verdict};
use crate::grpc;
use crate::words::condition::Condition;
use crate::words::fields;
use crate::words::selector::Selector;
use crate::words::spanned::{Problem, Spanned};

pub use self::config::{Cached, Config, Fallback, HalfOpen, Slow};

impl Options for Config {
    /// Always anew, since upstreams may have come and gone; it takes over its circuits itself.
    fn build(&self, with: &Build<'_>) -> Result<Arc<dyn Filter>, String> {
        Ok(Arc::new(CircuitBreaker::build(self, with)?))
    }

    fn problems(&self) -> Vec<Problem> {
        self.check()
    }

    fn selectors(&self) -> Vec<Spanned<&Selector>> {
        self.cached().and_then(|(_, cached)| cached.per.as_ref()).map(Spanned::as_ref).into_iter().collect()
    }

    /// There is a circuit for each upstream, and what is kept is kept of one version.
    fn depends_on_version(&self) -> bool {
        true
    }

    fn state(&self) -> Vec<&'static str> {
        let cached = self.cached().map(|_| "the answers that it has cached");
        std::iter::once("its circuits, open ones too, and what they have counted").chain(cached).collect()
    }

    fn watches_upstreams(&self) -> bool {
        true
    }

    fn upstreams(&self) -> Vec<&Spanned<String>> {
        let each = self.fallback.iter().map(|fallback| &fallback.value);
        each.filter_map(|fallback| match fallback {
            Fallback::Upstream(name) => Some(name),
            Fallback::Cached(_) | Fallback::Respond(_) => None,
        })
        .collect()
    }

    fn can_refuse(&self) -> bool {
        true
    }

    fn placement(&self) -> Vec<Placement> {
        let mut rules = vec![Placement::Once, Placement::Last("its fallbacks pass only the filters before it")];
        // Kept for everybody alike, it would show one caller's data to others.
        if let Some((place, _)) = self.cached().filter(|(_, cached)| cached.per.is_none()) {
            rules.push(Placement::Anonymous(place, "one caller's cached answer would be given to another: write `per: claim.sub`"));
        }
        rules
    }
}

/// The compiled filter.
pub struct CircuitBreaker {
    /// By the name of the upstream.
    circuits: Box<[Arc<Circuit>]>,
    inner: Arc<Inner>,
}

/// What the response halves need too.
struct Inner {
    failures: Box<[Condition]>,
    slow_over: Option<Duration>,
    open_for: Duration,
    fallbacks: Box<[Serving]>,
    store: Option<Arc<Store>>,
    per: Option<Selector>,
    /// When circuits open, for `explain`.
    thresholds: Box<str>,
}

impl CircuitBreaker {
    /// Compiles the options, with a circuit for every upstream. Its earlier self's circuits and cached answers are taken over.
    pub fn build(config: &Config, with: &Build<'_>) -> Result<Self, String> {
        let earlier = with.earlier::<Self>();
        let name: Arc<str> = with.name.into();
        let upstreams = with.outside.upstreams();
        let metrics = Metrics::new(with.metrics);
        let circuit = |upstream: &Arc<str>| {
            let kept = earlier.and_then(|earlier| earlier.circuit(upstream)).cloned();
            kept.unwrap_or_else(|| Arc::new(Circuit::new(config.rules(), name.clone(), upstream.clone(), metrics.clone())))
        };
        let mut circuits: Vec<_> = upstreams.iter().map(circuit).collect();
        circuits.sort_unstable_by(|a, b| a.upstream().cmp(b.upstream()));
        let fallbacks = with.metrics.counters("fallback_total", "Answers given in place of the upstream's.", &["filter", "kind"]);
        let counter = |kind: &str| fallbacks.with_label_values(&[with.name, kind]);
        let cached = config.cached().map(|(_, cached)| cached);
        let store = cached.map(|_| earlier.and_then(|earlier| earlier.inner.store.clone()).unwrap_or_else(|| Arc::new(Store::new())));
        let inner = Inner {
            failures: config.failures.value.as_slice().into(),
            slow_over: config.slow.as_ref().map(|slow| slow.over.0),
            open_for: config.open_for.0,
            fallbacks: config.fallback.iter().map(|fallback| Serving::new(fallback, upstreams, counter)).collect::<Result<_, _>>()?,
            store,
            per: cached.and_then(|cached| cached.per.as_ref()).map(|per| per.value.clone()),
            thresholds: thresholds(config).into(),
        };
        Ok(Self { circuits: circuits.into(), inner: Arc::new(inner) })
    }

    fn circuit(&self, upstream: &str) -> Option<&Arc<Circuit>> {
        let index = self.circuits.binary_search_by(|circuit| circuit.upstream().cmp(upstream)).ok()?;
        Some(&self.circuits[index])
    }

    /// The eye on this request's upstream.
    fn watch(&self, request: &Request<'_>) -> Watch {
        let upstream = request.facts.upstream.clone().expect("a circuit was found by it");
        let serves = matches!(request.head.method, Method::GET | Method::HEAD);
        let inner = &self.inner;
        let ask = |store: &Arc<Store>| store.ask(request.head, request.facts, inner.per.as_ref(), request.call());
        let asked = inner.store.as_ref().filter(|_| serves).and_then(ask);
        Watch {
            inner: inner.clone(),
            permit: None,
            upstream,
            asked,
            serves,
            next: 0,
            diverted: false,
            moved: false,
            marks: None,
            fresh: false,
            pending: None,
            copying: None,
            is_call: request.call().is_some(),
            whole: None,
            explained: request.is_explained(),
            left: Duration::ZERO,
            now: request.now,
        }
    }

    /// How long a circuit that refuses does so, as far as that is known.
    fn left(&self, state: CircuitState, left: Option<Duration>) -> Duration {
        match (left, state) {
            (Some(left), _) => left,
            // An operator holds it open: nobody knows how long.
            (None, CircuitState::Open) => self.inner.open_for,
            (None, _) => Duration::from_secs(1),
        }
    }

    /// What a request would meet, and what would answer it where the circuit refuses.
    fn explain<'a>(&'a self, circuit: &'a Arc<Circuit>, request: &mut Request<'_>) -> Verdict<'a> {
        let now = request.now;
        let (mut circuit, mut look) = (circuit, circuit.look(now));
        if !look.passes
            && let Some(instead) = request.facts.instead.as_deref().and_then(|upstream| self.circuit(upstream))
        {
            let told = told(circuit, look, request);
            request.because(|| format!("{told}: `{}` is asked instead", instead.upstream()));
            request.facts.give_way();
            (circuit, look) = (instead, instead.look(now));
        }
        request.facts.circuit = Some(look.state);
        let (told, thresholds) = (told(circuit, look, request), &self.inner.thresholds);
        if look.passes {
            request.because(|| format!("{told}; {thresholds}"));
            return Verdict::Continue;
        }
        let mut watch = self.watch(request);
        watch.left = self.left(look.state, look.left);
        let served = watch.serve(Why::Open, true);
        request.because(|| {
            let by = match &served {
                Some(Served::Reply(kind, _)) => format!("the fallback `{kind}` answers"),
                Some(Served::Pool(pool)) => format!("the fallback upstream `{pool}` is asked"),
                None => "no fallback serves".to_owned(),
            };
            format!("{told} for {} more: {by}; {thresholds}", seconds(watch.left))
        });
        match served {
            Some(Served::Reply(_, reply)) => Verdict::Reply(reply),
            Some(Served::Pool(pool)) => {
                request.facts.upstream = Some(pool);
                Verdict::Continue
            }
            None => Verdict::Reply(fallback::circuit_open(watch.left)),
        }
    }
}

/// The state of a circuit, and, where a running gateway explains it, since when and after what.
fn told(circuit: &Circuit, look: Look, request: &Request<'_>) -> String {
    let mut told = format!("the circuit of `{}` is {}", circuit.upstream(), look.state.name());
    if !request.is_live() {
        return told;
    }
    let status = circuit.status();
    if let Some(unchanged) = circuit.unchanged(request.now).filter(|_| status.state == look.state) {
        told += &format!(" since {}", seconds(unchanged));
    }
    if let Some(forced) = status.forced {
        told += &format!(", held {} by an operator", forced.name());
    }
    if look.state == CircuitState::HalfOpen {
        told += &format!(", with {} probes under way", status.probes);
    }
    if look.state == CircuitState::Closed {
        told += &format!(", with {} failures among {} requests lately", status.failures, status.requests);
    }
    told
}

/// A time for people: tenths of a second below ten, whole ones from there on.
fn seconds(time: Duration) -> String {
    if time < Duration::from_secs(10) { format!("{:.1} s", time.as_secs_f64()) } else { format!("{} s", time.as_secs()) }
}

impl Filter for CircuitBreaker {
    fn request<'a>(&'a self, request: &'a mut Request<'_>) -> Verdict<'a> {
        let Some(circuit) = request.facts.upstream.as_deref().and_then(|upstream| self.circuit(upstream)) else {
            request.because(
                || "the route leads to no upstream of its own: where it makes calls, each is guarded by the circuit of its upstream",
            );
            return Verdict::Continue;
        };
        if request.is_explained() {
            return self.explain(circuit, request);
        }
        let mut answer = circuit.admit(request.now);
        if let Answer::Refuse { .. } = answer
            && let Some(instead) = request.facts.instead.as_deref().and_then(|upstream| self.circuit(upstream))
        {
            request.facts.give_way();
            answer = instead.admit(request.now);
        }
        let mut watch = self.watch(request);
        let (state, left) = match answer {
            Answer::Pass(permit) => {
                let state = if permit.is_probe() { CircuitState::HalfOpen } else { CircuitState::Closed };
                request.facts.circuit = Some(state);
                watch.permit = Some(permit);
                return Verdict::ContinueWith(Box::new(watch));
            }
            Answer::Refuse { state, left } => (state, left),
        };
        request.facts.circuit = Some(state);
        watch.left = self.left(state, left);
        match watch.serve(Why::Open, true) {
            Some(Served::Reply(_, reply)) => Verdict::Reply(reply),
            Some(Served::Pool(pool)) => {
                request.facts.upstream = Some(pool);
                Verdict::ContinueWith(Box::new(watch))
            }
            None => Verdict::Reply(fallback::circuit_open(watch.left)),
        }
    }

    fn guards_calls(&self) -> bool {
        true
    }

    fn forget(&self, head: &RequestHeader) {
        if let Some(store) = &self.inner.store {
            store.forget(head);
        }
    }

    fn inspect(&self) -> Inspection {
        let circuits = self.circuits.iter().filter(|circuit| circuit.was_asked());
        Inspection { circuits: circuits.map(|circuit| circuit.status()).collect(), ..Inspection::default() }
    }

    fn force_circuit(&self, upstream: &str, forced: Option<Forced>) -> bool {
        let circuit = self.circuit(upstream);
        circuit.inspect(|circuit| circuit.force(forced)).is_some()
    }
}

impl Inner {
    /// What an attempt says about the upstream.
    fn judge(&self, attempt: &Attempt<'_>) -> Finding {
        let slow = self.slow_over.is_some_and(|over| attempt.took > over);
        match attempt.result {
            Err(_) if self.blames(attempt) => Finding::Failure { slow, retry_after: None },
            Err(_) => Finding::Neutral,
            Ok(head) if self.blames(attempt) => Finding::Failure { slow, retry_after: retry_after(head) },
            Ok(head) if head.status.is_client_error() => Finding::Neutral,
            // What a server refuses says nothing of its health.
            Ok(_) if attempt.grpc.is_some_and(|status| status != grpc::Status::OK) => Finding::Neutral,
            Ok(_) => Finding::Success { slow },
        }
    }

    /// Whether a gRPC call that began well has failed by the upstream's fault.
    fn blames_end(&self, status: grpc::Status) -> bool {
        self.failures.iter().any(|condition| condition.meets_grpc(status))
    }

    /// Whether it is the upstream's fault. That no endpoint was to be had is not: nothing was asked.
    fn blames(&self, attempt: &Attempt<'_>) -> bool {
        !matches!(attempt.result, Err(Failure::Unavailable)) && self.failures.iter().any(|condition| condition.meets(attempt))
    }
}

/// For how long the upstream asks for no requests, in milliseconds: a number of seconds or a date (RFC 9110, section 10.2.3).
fn retry_after(head: &ResponseHeader) -> Option<u64> {
    let text = |name: HeaderName| fields::text(head.headers.get(name)?);
    let value = text(RETRY_AFTER)?.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(seconds.saturating_mul(1000));
    }
    let until = httpdate::parse_http_date(value).ok()?;
    // The upstream's own clock, where it tells it.
    let now = text(DATE).and_then(|date| httpdate::parse_http_date(date).ok()).unwrap_or_else(SystemTime::now);
    Some(until.duration_since(now).ok()?.as_millis() as u64)
}

fn thresholds(config: &Config) -> String {
    let mut text = format!(
        "it opens at {} failures among at least {} requests in {}",
        config.failure_ratio.value, config.min_requests.value, config.window.value
    );
    if let Some(consecutive) = &config.consecutive {
        text += &format!(", at {} failures in a row", consecutive.value);
    }
    if let Some(slow) = &config.slow {
        text += &format!(", at {} answers slower than {}", slow.ratio.value, slow.over.value);
    }
    text
}

#[cfg(test)]
mod tests;
