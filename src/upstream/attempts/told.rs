//! What is told of a request's attempts: to those who ask why, and in spans.

use std::time::Instant;

use super::Attempts;
use super::attempt::{Made, Tried, cause};
use crate::telemetry;
use crate::upstream::cause::Cause;

impl Attempts {
    /// Attempts that are over are told of from now on, or not.
    pub(crate) fn record(&mut self, recorded: bool) {
        self.recorded = recorded;
    }

    /// Every attempt that had an endpoint, the first one first.
    pub(crate) fn each(&self, now: Instant) -> impl Iterator<Item = Made<'_>> {
        let has_failed = |ended: Option<telemetry::Attempt>, why: Option<Cause>| {
            (why.is_some() || ended.is_some_and(|ended| ended != telemetry::Attempt::Ok)).then(|| cause(ended, why))
        };
        let past = self.past.iter().map(move |past| Made {
            upstream: &past.upstream,
            endpoint: &past.endpoint.text,
            status: past.status,
            cause: has_failed(past.result, past.why),
            took: past.ended.saturating_duration_since(past.began),
        });
        let current = self.current.iter().map(move |current| Made {
            upstream: &current.pick.pool().name,
            endpoint: &current.pick.endpoint().text,
            status: current.status,
            cause: has_failed(current.ended, current.why),
            took: current.over.unwrap_or(now).saturating_duration_since(current.began),
        });
        past.chain(current)
    }

    /// What is told of the attempts: of all of them where they were remembered, else of the last one.
    pub(crate) fn told(&self, now: Instant) -> Vec<Tried> {
        let mut all = if self.recorded { self.past.clone() } else { Vec::new() };
        all.extend(self.current.as_ref().map(|current| current.told(self.all, now)));
        all
    }
}
