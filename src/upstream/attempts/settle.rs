//! What an attempt's end is worth, and what follows it: another attempt, somebody else's answer, or this one.

use std::time::{Duration, Instant};

use frontgate_filters::filter::{Attempt, Failure, Rescue};
use frontgate_filters::grpc::Status;
use pingora_http::ResponseHeader;

use super::attempt::Current;
use super::{Asked, Attempts, Audience, Next};
use crate::telemetry;
use crate::upstream::cause::Cause;
use crate::upstream::{Pool, RetryPermit};

impl Attempts {
    /// An attempt has brought a head or failed, or there was no endpoint for it, and nothing was sent to the client yet.
    pub(crate) fn settle(
        &mut self,
        asked: Asked,
        result: Result<&ResponseHeader, Failure>,
        now: Instant,
        audience: &mut impl Audience,
    ) -> Next {
        let Some(pool) = self.pool.clone() else { return Next::Pass };
        let took = self.current.as_ref().map_or(Duration::ZERO, |current| now.saturating_duration_since(current.began));
        // What comes of a call is said at its end.
        let judged = match &result {
            Ok(head) if head.status.as_u16() < 500 && asked.call => asked.said.map(judged),
            Ok(head) if head.status.as_u16() < 500 => Some(Ok(())),
            Ok(head) => Some(Err(Cause::Status(head.status.as_u16()))),
            Err(Failure::Neutral | Failure::Unavailable) => None,
            Err(Failure::Timeout) => Some(Err(Cause::TooSlow)),
            Err(Failure::Connect) => Some(Err(self.current.as_ref().map_or(Cause::Unreachable, Current::cause))),
        };
        if let Some(judged) = judged {
            self.judge(judged, now);
        }
        // What a struggling upstream takes is no measure.
        if self.current.is_some() && matches!(result, Ok(_) | Err(Failure::Timeout)) && audience.is_measure() {
            pool.took(took);
        }
        let mut attempt = Attempt { upstream: &pool.name, result, took, now, last: true, replayable: asked.replayable, grpc: asked.said };
        // The permit of the attempt that has ended is given back before another is asked for.
        self.permit = None;
        self.permit = self.further(asked, &pool, &attempt);
        let moves_on = self.permit.is_none() && self.was_not_reached(asked, &attempt);
        attempt.last = self.permit.is_none() && !moves_on;
        if audience.is_empty() && attempt.last {
            return Next::Pass;
        }
        let rescue = match audience.attempt(&attempt) {
            Ok(rescue) => rescue,
            Err(reply) => return Next::Answer(reply),
        };
        if moves_on && let Some(next) = self.rest.pop() {
            audience.moved(&next.pool.name, now);
            self.moves += 1;
            self.take(next);
            return Next::Again;
        }
        if !attempt.last {
            if let Some(current) = &self.current {
                self.tried.push(current.pick.endpoint().id());
            }
            return Next::Again;
        }
        match rescue {
            Rescue::Pass => Next::Pass,
            Rescue::Pool(name) => match audience.upstream(&name) {
                Some(pool) if asked.replayable => {
                    self.rescued = true;
                    self.begin(pool);
                    Next::Again
                }
                _ => Next::Pass,
            },
            Rescue::Reply(reply) => Next::Answer(reply),
        }
    }

    /// Leave for one more attempt after this one.
    fn further(&self, asked: Asked, pool: &Pool, attempt: &Attempt<'_>) -> Option<RetryPermit> {
        let retry = pool.retry()?;
        let left = self.made < retry.attempts.get()
            && self.deadline.is_none_or(|deadline| attempt.now < deadline)
            && !asked.probing
            && (asked.idempotent || asked.call && self.was_not_served(asked.said))
            && asked.replayable
            && retry.when.iter().any(|condition| condition.meets(attempt));
        if left { pool.retry_permit() } else { None }
    }

    /// Whether somebody else is asked: there was no endpoint, or no connection to it, so that nothing was sent.
    fn was_not_reached(&self, asked: Asked, attempt: &Attempt<'_>) -> bool {
        !self.rest.is_empty()
            && asked.replayable
            && self.deadline.is_none_or(|deadline| attempt.now < deadline)
            && match attempt.result {
                Err(Failure::Unavailable) => true,
                Err(Failure::Connect | Failure::Timeout) => self.current.as_ref().is_some_and(|current| current.why.is_some()),
                _ => false,
            }
    }

    /// Whether a call was not begun upon: it never got there, or the answer is nothing but that nobody serves it just now.
    fn was_not_served(&self, said: Option<Status>) -> bool {
        said == Some(Status::UNAVAILABLE)
            || self.current.as_ref().is_none_or(|current| current.ended == Some(telemetry::Attempt::ConnectFailure))
    }

    /// An answer has come to its end that says what came of a gRPC call: what its endpoint is judged by.
    pub(crate) fn concluded(&mut self, status: Option<Status>, now: Instant) {
        if let Some(status) = status {
            self.judge(judged(status), now);
        }
    }

    /// The endpoint that was asked is judged by its attempt, once: a head that is all of an answer says the same again at its end.
    fn judge(&mut self, judged: Result<(), Cause>, now: Instant) {
        let Some(current) = &mut self.current else { return };
        if std::mem::replace(&mut current.judged, true) {
            return;
        }
        if matches!(judged, Err(Cause::Status(_) | Cause::Grpc(_))) {
            current.pick.pool().metrics.failed_answer();
        }
        current.pick.judge(judged, now);
    }
}

/// What the status of a gRPC call says of its endpoint.
fn judged(status: Status) -> Result<(), Cause> {
    if status.is_failure() { Err(Cause::Grpc(status)) } else { Ok(()) }
}
