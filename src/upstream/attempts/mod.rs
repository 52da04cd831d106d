//! One request's attempts at upstreams: the choice of endpoints, what an attempt's end is worth, whether another one follows, and who may
//! answer in the upstream's place.
//!
//! Nothing here knows of a client's session or opens a socket. Who drives the attempts tells what happens: for each attempt [`Attempts::next`],
//! [`Attempts::request_sent`], [`Attempts::head_arrived`] and [`Attempts::finished`]; and [`Attempts::settle`] once it has brought a head or
//! failed, which says what to do.

mod attempt;
mod settle;
#[cfg(test)]
mod tests;
mod told;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use frontgate_filters::clock;
use frontgate_filters::fault::{At, Dealt, Drawn};
use frontgate_filters::filter::{Attempt, Rescue};
use frontgate_filters::grpc::Status;
use frontgate_filters::reply::Reply;
use http::HeaderValue;

use super::cause::Cause;
use super::pool::Subset;
use super::{NoPick, Pool, RetryPermit};
use crate::telemetry;
pub(crate) use attempt::{Current, Made, Tried};

/// How often a request that met pooled connections which the upstream had closed is sent again.
const STALE: u32 = 3;

/// What follows an attempt.
#[derive(Debug)]
pub(crate) enum Next {
    /// What it brought is passed on.
    Pass,
    /// Another attempt.
    Again,
    /// This answer.
    Answer(Reply),
}

/// What further attempts depend on beside the upstream's rules.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    /// Whether the method is idempotent (RFC 9110, section 9.2.2).
    pub idempotent: bool,
    /// Whether the request could be sent once more: nothing of its body is lost.
    pub replayable: bool,
    /// Whether the request is a probe of a half-open circuit, which is worth one attempt.
    pub probing: bool,
    /// Whether it is a gRPC call.
    pub call: bool,
    /// What a head that is all of the answer says came of it.
    pub said: Option<Status>,
}

/// Who hears of attempts and may answer in an upstream's place: a route's filters.
pub(crate) trait Audience {
    /// Whether anybody is there.
    fn is_empty(&self) -> bool;
    /// Whether what an attempt takes that ends now is a measure of its upstream in good health.
    fn is_measure(&self) -> bool;
    /// An attempt has ended, and nothing was sent to the client yet. An error is the answer to a request that cannot go on.
    fn attempt(&mut self, attempt: &Attempt<'_>) -> Result<Rescue, Reply>;
    /// The request goes on at this upstream, since the one that was asked could not be reached.
    fn moved(&mut self, _to: &str, _now: Instant) {}
    /// The upstream of this name.
    fn upstream(&self, name: &str) -> Option<Arc<Pool>>;
}

/// Endpoints to ask.
pub(crate) struct Aim {
    /// The upstream.
    pub pool: Arc<Pool>,
    /// Which of its endpoints.
    pub subset: Option<Arc<Subset>>,
    /// What a consistent hash makes of the request, where the upstream balances by one.
    pub hash: Option<u64>,
}

/// A request's attempts so far.
#[derive(Default)]
pub(crate) struct Attempts {
    pool: Option<Arc<Pool>>,
    /// Which of its endpoints are asked.
    subset: Option<Arc<Subset>>,
    /// Who is asked in turn where nobody can be reached, the next one last.
    rest: Vec<Aim>,
    /// How often that was so.
    moves: u32,
    /// What a consistent hash made of the request.
    hash: Option<u64>,
    /// Until when all of them together may take.
    deadline: Option<Instant>,
    /// The endpoints of this pool that were asked in vain.
    tried: Vec<u64>,
    /// Attempts at this pool.
    made: u32,
    /// Attempts at whichever pool that had an endpoint.
    all: u32,
    stale: u32,
    /// Whether another pool is asked than at first.
    rescued: bool,
    permit: Option<RetryPermit>,
    /// What a drill has drawn for the request.
    fault: Option<Arc<Drawn>>,
    current: Option<Current>,
    /// Since when nothing but the upstream or the client is waited for, and how long that was in all.
    waiting: Option<Instant>,
    waited: Duration,
    /// Whether those that are over are told of, and those that were, as long as they are few.
    recorded: bool,
    past: Vec<Tried>,
}

/// How many attempts of one request are remembered.
const REMEMBERED: usize = 10;

impl Attempts {
    /// All attempts together may take until then.
    pub(crate) fn limit(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
    }

    /// They meet what a drill has drawn, where that is theirs to meet.
    pub(crate) fn meet(&mut self, drawn: Option<&Arc<Drawn>>) {
        self.fault = drawn.filter(|drawn| drawn.at() == At::Upstream).cloned();
    }

    /// What a drill deals for the attempt that has begun: to be asked once. Who answers in an upstream's place is not what it is about.
    pub(crate) fn dealt(&self) -> Option<Dealt> {
        let drawn = self.fault.as_ref()?;
        if self.rescued {
            drawn.spares();
            return None;
        }
        drawn.deal(self.all)
    }

    /// This pool is asked, with this hash of the request where it balances by one.
    pub(crate) fn ask(&mut self, pool: Arc<Pool>, hash: Option<u64>) {
        self.hash = hash;
        self.begin(pool);
    }

    /// These are asked, each where nobody of those before it can be reached.
    pub(crate) fn ask_in_turn(&mut self, aims: impl Iterator<Item = Aim>) {
        self.rest = aims.collect();
        self.rest.reverse();
        if let Some(first) = self.rest.pop() {
            self.take(first);
        }
    }

    fn take(&mut self, aim: Aim) {
        let rest = std::mem::take(&mut self.rest);
        self.hash = aim.hash;
        self.begin(aim.pool);
        (self.subset, self.rest) = (aim.subset, rest);
    }

    fn begin(&mut self, pool: Arc<Pool>) {
        self.pool = Some(pool);
        self.subset = None;
        self.rest.clear();
        self.tried.clear();
        (self.made, self.stale) = (0, 0);
        self.permit = None;
    }

    /// Begins the next attempt: the endpoint of the last one is free for other requests.
    pub(crate) fn next(&mut self, now: Instant) -> Result<&Current, NoPick> {
        self.rest(now);
        if let Some(current) = self.current.take()
            && (self.recorded || self.past.len() < REMEMBERED)
        {
            self.past.push(current.told(self.all, now));
        }
        self.made += 1;
        let pick = self.pool.as_ref().ok_or(NoPick::NoEndpoint)?.choose(self.hash, self.subset.as_ref(), &self.tried, now)?;
        let total = pick.pool().timeouts.total.map(|total| now + total.0);
        let deadline = [total, self.deadline].into_iter().flatten().min();
        self.all += 1;
        self.waiting = Some(now);
        Ok(self.current.insert(Current {
            pick,
            began: now,
            deadline,
            sent: false,
            ended: None,
            over: None,
            why: None,
            judged: false,
            status: None,
        }))
    }

    /// The request's last byte is on its way. How long the head may take from here, where it is not there already; none where this was
    /// known.
    pub(crate) fn request_sent(&mut self) -> Option<Duration> {
        let current = self.current.as_mut()?;
        if std::mem::replace(&mut current.sent, true) || current.status.is_some() {
            return None;
        }
        Some(current.pick.pool().first_byte())
    }

    /// The attempt has brought a head.
    pub(crate) fn head_arrived(&mut self, status: u16, now: Instant) {
        self.rest(now);
        if let Some(current) = &mut self.current {
            current.status = Some(status);
        }
    }

    /// Nobody is waited for any longer.
    pub(crate) fn rest(&mut self, now: Instant) {
        if let Some(since) = self.waiting.take() {
            self.waited += now.saturating_duration_since(since);
        }
    }

    /// Whether somebody else is waited for from now on.
    pub(crate) fn idle(&mut self, waits: bool) {
        if waits != self.waiting.is_some() {
            let now = clock::now();
            self.rest(now);
            self.waiting = waits.then_some(now);
        }
    }

    /// Waits for this, which is somebody else's to do.
    pub(crate) async fn aside<T>(&mut self, other: impl Future<Output = T>) -> T {
        let mut other = pin!(other);
        poll_fn(|cx| {
            let polled = other.as_mut().poll(cx);
            self.idle(polled.is_pending());
            polled
        })
        .await
    }

    /// Counts how the attempt ended, the first time that it is said.
    pub(crate) fn finished(&mut self, result: telemetry::Attempt, now: Instant) {
        self.rest(now);
        let Some(current) = &mut self.current else { return };
        if current.ended.is_some() {
            return;
        }
        (current.ended, current.over) = (Some(result), Some(now));
        let metrics = &current.pick.pool().metrics;
        metrics.attempt(result);
        if result == telemetry::Attempt::Ok {
            metrics.observe(now.saturating_duration_since(current.began));
        }
    }

    /// The attempt has found no connection, or no answer that can be read, for this reason.
    pub(crate) fn because(&mut self, cause: Cause) {
        if let Some(current) = &mut self.current {
            current.why = Some(cause);
        }
    }

    /// Which deadline is over, by the name that it is configured under, where an answer has begun.
    pub(crate) fn late(&self, now: Instant) -> &'static str {
        match self.current.as_ref().and_then(|current| current.deadline) {
            Some(deadline) if deadline <= now && self.deadline == Some(deadline) => "timeout",
            Some(deadline) if deadline <= now => "total",
            _ => "between_bytes",
        }
    }

    /// Whether a request that lost a pooled connection is sent again.
    pub(crate) fn forgives_stale(&mut self) -> bool {
        self.stale += 1;
        self.stale <= STALE
    }

    /// Whether the next attempt is to have a connection of its own: the pooled ones that it met were closed.
    pub(crate) fn wants_fresh(&self) -> bool {
        self.stale >= STALE
    }

    /// The attempt in progress, or the last one; none where there was no endpoint for it.
    pub(crate) fn current(&self) -> Option<&Current> {
        self.current.as_ref()
    }

    /// Whether a fallback upstream was asked.
    pub(crate) fn is_rescued(&self) -> bool {
        self.rescued
    }

    /// How often somebody else was asked since nobody could be reached.
    pub(crate) fn moves(&self) -> u32 {
        self.moves
    }

    /// How many attempts had an endpoint.
    pub(crate) fn count(&self) -> u32 {
        self.all
    }

    /// How long nothing but the upstream or the client was waited for.
    pub(crate) fn waited(&self) -> Duration {
        self.waited
    }

    /// The version of the endpoint that answers.
    pub(crate) fn version(&self) -> Option<HeaderValue> {
        self.current.as_ref()?.pick.endpoint().version.clone()
    }
}
