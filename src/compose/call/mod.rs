//! Calls over the pools that proxied requests are sent to: the same balance, health, ejection, retry rule and budget, timeouts and circuits.
//!
//! A call is sent what its configuration says, and who asks as every upstream is told it. Nothing else of the client's goes along, for a call may
//! go to somebody else's service.

mod asks;
mod guard;
mod taken;
#[cfg(test)]
mod tests;
pub(crate) mod told;

use std::sync::Arc;
use std::time::{Duration, Instant};

use frontgate_filters::chain::Chain;
use frontgate_filters::clock;
use frontgate_filters::filter::inspect::CircuitState;
use frontgate_filters::filter::{BoxFuture, Calling, Facts, Request};
use frontgate_filters::reply::{Reply, ReplyBody};
use frontgate_filters::words::fields;
use http::header::{HOST, RETRY_AFTER};
use http::{HeaderMap, HeaderValue};
use pingora_http::RequestHeader;

pub(crate) use self::asks::Asks;
use self::guard::{Guard, Guarded};
use self::taken::Taken;
pub(crate) use self::told::Told;
use super::memory::Budget;
use super::{Answered, CallResult, Calls, Failed, Headers, Keeping, Ready};
use crate::panics::{Panicked, guarded};
use crate::refusals;
use crate::snapshot::Snapshot;
use crate::telemetry::{CallMetrics, ComposedMetrics, Traced};
use crate::upstream::call::{self, Brought, Call, NoAnswer};
use crate::upstream::connect;
use crate::upstream::{NoPick, Pool, hash};

/// How long a call may take where neither it nor its request says so, beside what its pool says of pauses.
const LONGEST: Duration = Duration::from_secs(3600);

/// What a route's calls have in common: compiled with the route.
pub(crate) struct RouteCalls {
    /// The filters that guard each call.
    guard: Chain,
    names: Vec<Arc<str>>,
    counters: Vec<Arc<CallMetrics>>,
    /// What is counted of all of them.
    pub metrics: Arc<ComposedMetrics>,
    /// The memory of all answers.
    pub budget: Arc<Budget>,
}

impl RouteCalls {
    /// Of a route with these filters and this composition.
    pub(crate) fn new(
        chain: &Chain,
        names: Vec<Arc<str>>,
        (metrics, counters): (Arc<ComposedMetrics>, Vec<Arc<CallMetrics>>),
        budget: Arc<Budget>,
    ) -> Arc<Self> {
        Arc::new(Self { guard: chain.of_calls(), names, counters, metrics, budget })
    }

    /// Of a route that is no more: nothing guards its calls, and nobody counts them.
    #[cfg(feature = "saga")]
    fn none() -> Arc<Self> {
        let nothing = (Arc::default(), Vec::new());
        Self::new(&Chain::default(), Vec::new(), nothing, Budget::of_process())
    }

    fn counters(&self, name: &str) -> Option<&Arc<CallMetrics>> {
        let index = self.names.iter().position(|known| **known == *name)?;
        self.counters.get(index)
    }

    /// A call that may change what it names has succeeded.
    fn forget(&self, head: &RequestHeader) {
        self.guard.forget(head);
    }

    /// The name as it is shared.
    fn name(&self, name: &str) -> Arc<str> {
        self.names.iter().find(|known| ***known == *name).cloned().unwrap_or_else(|| name.into())
    }
}

/// What the calls of one request have in common.
pub(crate) struct Common {
    /// The configuration that the request began with.
    pub snapshot: Arc<Snapshot>,
    /// What its route's calls have in common.
    pub calls: Arc<RouteCalls>,
    /// What is known of the request.
    pub facts: Facts,
    /// What each call says beside its own fields.
    pub asks: Asks,
    /// Where the request stands in its trace, where spans are made.
    pub traced: Option<Traced>,
    /// The most bytes of all answers of the request.
    pub most: usize,
    /// What became of the calls.
    pub told: Told,
}

/// Who makes the calls of a request while its client waits.
pub(crate) struct Maker<'r> {
    common: Arc<Common>,
    head: &'r RequestHeader,
    deadline: Option<Instant>,
}

impl<'r> Maker<'r> {
    /// For a request with this head, which is to be answered by then.
    pub(crate) fn new(common: Arc<Common>, head: &'r RequestHeader, deadline: Option<Instant>) -> Self {
        Self { common, head, deadline }
    }
}

impl Calls for Maker<'_> {
    fn begins(&self, saga: &str) {
        self.common.told.begins(saga);
    }

    fn make<'a>(&'a self, ready: Ready<'a>) -> BoxFuture<'a, Result<Answered, Failed>> {
        match connect::stands_in().then(|| self.common.calls.name(ready.name)) {
            None => Box::pin(self.common.make(ready, Some(self))),
            Some(name) => Box::pin(connect::as_call(name, self.common.make(ready, Some(self)))),
        }
    }

    fn count(&self, name: &str, result: CallResult) {
        self.common.count(name, result);
    }

    fn operates(&self, operation: Arc<str>) {
        self.common.told.is_for(operation);
    }
}

/// Who makes calls that no client waits for.
#[cfg(any(test, feature = "saga"))]
struct Detached(Arc<Common>);

#[cfg(any(test, feature = "saga"))]
impl Calls for Detached {
    fn make<'a>(&'a self, ready: Ready<'a>) -> BoxFuture<'a, Result<Answered, Failed>> {
        Box::pin(self.0.make(ready, None))
    }

    fn count(&self, name: &str, result: CallResult) {
        self.0.count(name, result);
    }
}

/// Who makes calls of a route that no request has asked for, or one that is over: under this configuration, guarded by the route's circuits
/// where it has such a route, and known to upstreams by this identifier alone.
#[cfg(feature = "saga")]
pub(crate) fn unattended(snapshot: &Arc<Snapshot>, route: &str, request_id: HeaderValue) -> Arc<dyn Calls> {
    let index = snapshot.routes.iter().position(|known| *known.name == *route);
    let mut facts = Facts::new(std::net::Ipv4Addr::UNSPECIFIED.into(), request_id.clone());
    let calls = match index.map(|index| (index, &snapshot.routes[index])) {
        Some((index, route)) => {
            route.introduce(index, &mut facts);
            route.calls.clone()
        }
        None => None,
    };
    Arc::new(Detached(Arc::new(Common {
        snapshot: snapshot.clone(),
        calls: calls.unwrap_or_else(RouteCalls::none),
        facts,
        asks: Asks::of_id(request_id),
        traced: None,
        most: usize::MAX,
        told: Told::default(),
    })))
}

impl Common {
    fn count(&self, name: &str, result: CallResult) {
        if let Some(counters) = self.calls.counters(name) {
            counters.count(result);
        }
        self.told.ended(name, result);
    }

    async fn make(&self, ready: Ready<'_>, request: Option<&Maker<'_>>) -> Result<Answered, Failed> {
        let began = clock::now();
        let mut called = self.told.begin(self.calls.name(ready.name), &ready, began);
        if self.calls.budget.is_spent() {
            return Err(Failed::NoMemory);
        }
        let by = ready.timeout.map(|timeout| began + timeout);
        let deadline = [by, request.and_then(|request| request.deadline)].into_iter().flatten().min();
        // Who makes calls for as long as it takes has no bound of all of them.
        let bounded = request.is_some();
        let Ready { name, pool, method, target, mut fields, body, most, again, .. } = ready;
        let guards = !self.calls.guard.is_empty();
        let head = if guards || pool.hashes().is_some() { Some(Box::new(self.head(pool, &method, &target, &fields)?)) } else { None };
        let hash = head.as_ref().and_then(|head| self.hash(pool, head, request.map(|request| request.head)));
        let mut guard = Guard { head, ..Guard::default() };
        let own = pool;
        let pool = if guards {
            let [host, forwarded, scheme] = self.asks.hosts();
            let calling = Calling {
                asker: request.map(|request| request.head),
                hosts: [fields.get(HOST).map(HeaderValue::as_bytes), host, forwarded, scheme],
                body: body.as_deref().unwrap_or_default(),
            };
            // On the heap: only some have it, and it is large.
            match Box::pin(self.admit(&mut guard, pool, &calling, began)).await {
                Ok(pool) => pool,
                Err(reply) => return self.instead(reply, most, bounded),
            }
        } else {
            pool.clone()
        };
        // Nobody but a fallback sends a call elsewhere.
        let is_other = !Arc::ptr_eq(&pool, own);
        if let Some(value) = connect::called().and_then(|name| HeaderValue::from_str(&name).ok()) {
            fields.insert(connect::CALL, value);
        }
        let call = Call {
            method,
            target: target.as_bytes(),
            fields,
            body: body.unwrap_or_default(),
            hash,
            deadline: deadline.unwrap_or(began + LONGEST),
            most,
            answered: call::Answered::Kept,
            again,
        };
        called.attempts.meet(guard.fault.as_ref().filter(|_| !is_other));
        let (taken, at_work, base) = (Taken::new(self, most, bounded), request.is_some(), called.base);
        let mut caller = Guarded { common: self, at_work, base, guard, taken, begun: false };
        called.attempts.ask(pool, call.hash);
        let brought = guarded(call::make(&mut called.attempts, &call, &mut caller)).await.unwrap_or(Err(NoAnswer::Broken));
        let keeping = if brought.is_ok() { Keeping(caller.guard.exchange.keeps()) } else { Keeping::default() };
        caller.over(match &brought {
            Ok(Brought::Answer(head)) => Ok(head.status.as_u16()),
            Ok(Brought::Instead(reply)) => Ok(reply.status.as_u16()),
            Err(fault) => Err(*fault),
        });
        if matches!(brought, Ok(Brought::Answer(_))) && (is_other || called.attempts.is_rescued()) {
            self.told.fell_back("fallback_upstream");
        }
        let result = match brought {
            Ok(Brought::Answer(head)) => Ok(Answered { keeping, ..caller.taken.answered(head.status, head.headers) }),
            Ok(Brought::Instead(reply)) => self.instead(reply, most, bounded),
            Err(fault) => Err(failed(fault)),
        };
        let was_sent = !matches!(result, Err(Failed::CircuitOpen { .. } | Failed::Unavailable | Failed::Full));
        let ended = called.over();
        if let Some(counters) = self.calls.counters(name).filter(|_| was_sent) {
            counters.took(ended.saturating_duration_since(began));
        }
        result
    }

    /// The call as filters see it. Its host is the pool's name: what is kept of one pool's answers is no other's.
    fn head(&self, pool: &Pool, method: &http::Method, target: &str, fields: &HeaderMap) -> Result<RequestHeader, Failed> {
        let mut fields = fields.clone();
        asks::ask(&mut fields);
        let mut head =
            RequestHeader::build_no_case(method.clone(), target.as_bytes(), Some(fields.len() + 1)).map_err(|_| Failed::Malformed)?;
        for (name, value) in fields.iter().filter(|(name, _)| **name != HOST) {
            head.append_header(name, value).map_err(|_| Failed::Malformed)?;
        }
        let host = HeaderValue::from_str(&pool.name).map_err(|_| Failed::Malformed)?;
        head.insert_header(HOST, host).map_err(|_| Failed::Malformed)?;
        Ok(head)
    }

    /// What a consistent hash makes of the call: what it says itself counts before what its client has said.
    fn hash(&self, pool: &Pool, head: &RequestHeader, asked: Option<&RequestHeader>) -> Option<u64> {
        let selector = pool.hashes()?;
        match asked.filter(|_| selector.find(head, &self.facts).is_none()) {
            Some(asked) => hash::of(pool, asked, &self.facts),
            None => hash::of(pool, head, &self.facts),
        }
    }

    /// Whose endpoints are asked, where the filters that guard the call let it through; else the answer.
    async fn admit(&self, guard: &mut Guard, pool: &Arc<Pool>, calling: &Calling<'_>, now: Instant) -> Result<Arc<Pool>, Reply> {
        let Some(head) = &mut guard.head else { return Ok(pool.clone()) };
        let mut facts = Facts { upstream: Some(pool.name.clone()), instead: None, circuit: None, steps: None, ..self.facts.clone() };
        let mut request = Request::new(head, &mut facts, now).calling(calling);
        match guarded(self.calls.guard.request(&mut request, &mut guard.exchange)).await {
            Ok(Some(reply)) => return Err(reply),
            Ok(None) => {}
            Err(Panicked) => return Err(refusals::internal()),
        }
        guard.probes = facts.circuit == Some(CircuitState::HalfOpen);
        guard.fault = facts.fault.take();
        match facts.upstream {
            Some(other) if *other != *pool.name => self.snapshot.pools.get(&*other).cloned().ok_or_else(refusals::internal),
            _ => Ok(pool.clone()),
        }
    }

    /// What a filter has answered in the place of the call's upstream.
    fn instead(&self, reply: Reply, most: usize, bounded: bool) -> Result<Answered, Failed> {
        let body = match reply.body {
            ReplyBody::Bytes(body) => body,
            ReplyBody::Problem { code: "circuit_open", .. } => {
                let after = reply.headers.iter().find(|(name, _)| *name == RETRY_AFTER);
                let seconds = after.and_then(|(_, value)| fields::text(value)?.parse().ok());
                return Err(Failed::CircuitOpen { retry_after: seconds.map(Duration::from_secs) });
            }
            ReplyBody::Problem { .. } => return Err(Failed::Unavailable),
        };
        self.told.fell_back(reply.reason);
        let mut headers = HeaderMap::with_capacity(reply.headers.len());
        for (name, value) in reply.headers {
            headers.append(name, value);
        }
        let headers = Headers::from(headers);
        let mut taken = Taken::new(self, most, bounded);
        taken.begin(reply.status, &headers).and_then(|()| taken.push(body)).and_then(|()| taken.end()).map_err(failed)?;
        Ok(taken.answered(reply.status, headers))
    }
}

fn failed(fault: NoAnswer) -> Failed {
    match fault {
        NoAnswer::NoEndpoint(NoPick::NoEndpoint) => Failed::Unavailable,
        NoAnswer::NoEndpoint(NoPick::Full) => Failed::Full,
        NoAnswer::Unreachable => Failed::Connect,
        NoAnswer::Broken => Failed::Broken,
        NoAnswer::Timeout => Failed::Timeout,
        NoAnswer::TooLarge => Failed::TooLarge,
        NoAnswer::NoMemory => Failed::NoMemory,
        NoAnswer::Malformed(_) => Failed::Malformed,
    }
}
