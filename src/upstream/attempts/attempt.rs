//! One attempt: while it is in progress, and as it is told of.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::telemetry;
use crate::upstream::Pick;
use crate::upstream::cause::Cause;
use crate::upstream::pool::Endpoint;

/// The attempt in progress, or the last one.
pub(crate) struct Current {
    pub(super) pick: Pick,
    pub(super) began: Instant,
    /// Until when it may take.
    pub(super) deadline: Option<Instant>,
    /// Whether the whole request was sent.
    pub(super) sent: bool,
    /// How it ended, once that was counted, and when.
    pub(super) ended: Option<telemetry::Attempt>,
    pub(super) over: Option<Instant>,
    /// Why there is no connection, or no answer that can be read, where that is known.
    pub(super) why: Option<Cause>,
    /// Whether its endpoint was judged by it.
    pub(super) judged: bool,
    pub(super) status: Option<u16>,
}

impl Current {
    /// The endpoint that is asked.
    pub(crate) fn pick(&self) -> &Pick {
        &self.pick
    }

    /// When it began.
    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    /// Until when it may take.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Why it brought no head, where that is its upstream's fault.
    pub(super) fn cause(&self) -> Cause {
        cause(self.ended, self.why)
    }

    pub(super) fn told(&self, number: u32, now: Instant) -> Tried {
        Tried {
            number,
            upstream: self.pick.pool().name.clone(),
            endpoint: self.pick.endpoint_ref(),
            began: self.began,
            ended: self.over.unwrap_or(now),
            status: self.status,
            result: self.ended,
            why: self.why,
        }
    }

    /// The status of the head that it brought.
    pub(crate) fn status(&self) -> Option<u16> {
        self.status
    }
}

/// An attempt, for those who want to know how a request fared.
pub(crate) struct Made<'m> {
    /// The upstream.
    pub upstream: &'m str,
    /// The endpoint.
    pub endpoint: &'m str,
    /// The status of the head that it brought.
    pub status: Option<u16>,
    /// Why it brought none, or no whole answer.
    pub cause: Option<Cause>,
    /// How long it took.
    pub took: Duration,
}

/// An attempt as it is told of once it is over.
#[derive(Clone)]
#[cfg_attr(not(feature = "otel"), allow(dead_code, reason = "spans alone tell all of it"))]
pub(crate) struct Tried {
    /// Which of the request's attempts it is, from 1 on.
    pub number: u32,
    /// The upstream.
    pub upstream: Arc<str>,
    /// The endpoint that was asked.
    pub endpoint: Arc<Endpoint>,
    /// When it began.
    pub began: Instant,
    /// When it was over.
    pub ended: Instant,
    /// The status of its answer.
    pub status: Option<u16>,
    /// How it ended, where that was seen.
    pub result: Option<telemetry::Attempt>,
    /// Why there was no connection, or no answer that can be read, where that is known.
    pub why: Option<Cause>,
}

impl Tried {
    /// Why it brought no head, or no whole answer.
    pub(crate) fn cause(&self) -> Option<Cause> {
        let has_failed = self.why.is_some() || self.result.is_some_and(|result| result != telemetry::Attempt::Ok);
        has_failed.then(|| cause(self.result, self.why))
    }
}

/// Why an attempt brought no head that ended so, for this reason where that is known.
pub(super) fn cause(ended: Option<telemetry::Attempt>, why: Option<Cause>) -> Cause {
    match ended {
        Some(telemetry::Attempt::Reset) => Cause::Closed,
        Some(telemetry::Attempt::Timeout) => Cause::TooSlow,
        Some(telemetry::Attempt::Error) => why.unwrap_or(Cause::Unreadable),
        _ => why.unwrap_or(Cause::Unreachable),
    }
}
