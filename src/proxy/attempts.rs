//! From one attempt to the next: what an attempt's end is worth, whether another follows, and who may answer in the upstream's place.

use std::sync::Arc;
use std::time::Instant;

use frontgate_filters::filter::inspect::CircuitState;
use frontgate_filters::filter::{Attempt, Failure, Rescue};
use http::HeaderValue;
use pingora_http::ResponseHeader;
use pingora_proxy::Session;

use super::{Ctx, failure};
use crate::upstream::balance::hash_of;
use crate::upstream::{NoPick, Pick, Pool, RetryPermit};

/// A request that met pooled connections which the upstream had closed is sent again so often.
const STALE: u32 = 3;

/// What follows an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// What it brought is passed on.
    Pass,
    /// Another attempt.
    Again,
    /// An answer that stands in the context.
    Answer,
}

/// A request's attempts so far.
#[derive(Default)]
pub struct Attempts {
    /// The pool that is asked.
    pub pool: Option<Arc<Pool>>,
    /// What a consistent hash made of the request.
    hash: Option<u64>,
    /// The endpoints of this pool that were asked in vain.
    tried: Vec<usize>,
    /// Attempts at this pool.
    made: u32,
    stale: u32,
    permit: Option<RetryPermit>,
    /// What was decided where the error that carries it out has yet to pass other hooks.
    pub decided: Option<Next>,
}

impl Attempts {
    fn begin(&mut self, pool: Arc<Pool>) {
        self.pool = Some(pool);
        self.tried.clear();
        (self.made, self.stale) = (0, 0);
        self.permit = None;
    }

    /// An endpoint for the next attempt.
    pub fn choose(&mut self, now: Instant) -> Result<Pick, NoPick> {
        self.made += 1;
        self.pool.as_ref().ok_or(NoPick::NoEndpoint)?.choose(self.hash, &self.tried, now)
    }

    /// Whether a request that lost a pooled connection is sent again.
    pub fn forgives_stale(&mut self) -> bool {
        self.stale += 1;
        self.stale <= STALE
    }
}

impl Ctx {
    /// The pool is settled, after the filters that may choose another than the route names.
    pub(super) fn ask(&mut self, pool: &Arc<Pool>, session: &Session) {
        let chosen = self.facts.upstream.as_ref().filter(|name| !Arc::ptr_eq(name, &pool.name));
        let pool = chosen.and_then(|name| self.snapshot.pools.get(&**name)).unwrap_or(pool).clone();
        self.attempts.hash = pool.hashes().map(|selector| {
            let head = session.req_header();
            match selector.find(head, &self.facts) {
                Some(value) => hash_of(value.as_bytes(), 0),
                None => hash_of(self.facts.client_ip.to_string().as_bytes(), 0),
            }
        });
        self.attempts.begin(pool);
    }

    /// An attempt has ended with a head or without one, and nothing was sent to the client yet.
    pub(super) fn settle(&mut self, session: &mut Session, result: Result<&ResponseHeader, Failure>, now: Instant) -> Next {
        let Some(pool) = self.attempts.pool.clone() else { return Next::Pass };
        let took = now.saturating_duration_since(self.attempt_began);
        let judged = match &result {
            Ok(head) => Some(head.status.as_u16() < 500),
            Err(Failure::Neutral | Failure::Unavailable) => None,
            Err(Failure::Connect | Failure::Timeout) => Some(false),
        };
        if let (Some(well), Some(pick)) = (judged, self.pick()) {
            pick.judge(well, now);
            // What a struggling upstream takes is no measure.
            if !matches!(result, Err(Failure::Connect)) && self.exchange.is_measure() {
                pool.took(took);
            }
        }
        let replayable = session.is_body_empty() || !session.as_ref().retry_buffer_truncated();
        let mut attempt = Attempt { upstream: &pool.name, result, took, now, last: true, replayable };
        self.attempts.permit = None;
        self.attempts.permit = self.permit(session, &pool, &attempt);
        attempt.last = self.attempts.permit.is_none();
        if self.exchange.is_empty() && attempt.last {
            return Next::Pass;
        }
        let exchange = &mut self.exchange;
        let Ok(rescue) = failure::caught(|| exchange.attempt(&attempt)) else {
            self.refusal = Some(failure::internal());
            return Next::Answer;
        };
        if !attempt.last {
            if let Some(index) = self.pick().map(Pick::index) {
                self.attempts.tried.push(index);
            }
            return Next::Again;
        }
        match rescue {
            Rescue::Pass => Next::Pass,
            Rescue::Pool(name) => match self.snapshot.pools.get(&*name).cloned() {
                Some(pool) if replayable => {
                    self.attempts.begin(pool);
                    Next::Again
                }
                _ => Next::Pass,
            },
            Rescue::Reply(reply) => {
                self.refusal = Some(reply);
                Next::Answer
            }
        }
    }

    /// Leave for one more attempt after this one.
    fn permit(&self, session: &Session, pool: &Arc<Pool>, attempt: &Attempt<'_>) -> Option<RetryPermit> {
        let retry = pool.retry()?;
        let left = self.attempts.made < retry.attempts.get()
            && self.deadline.is_none_or(|deadline| attempt.now < deadline)
            && self.facts.circuit != Some(CircuitState::HalfOpen)
            && session.req_header().method.is_idempotent()
            && attempt.replayable
            && retry.when.iter().any(|condition| condition.meets(attempt));
        if left { pool.retry_permit() } else { None }
    }

    /// The version that the answer names is the answering endpoint's.
    pub(super) fn version_of_pick(&self) -> Option<HeaderValue> {
        self.pick().and_then(|pick| pick.endpoint().version.clone())
    }
}
