//! Outlier ejection: an endpoint whose requests fail one after another gets none for a while, however its probes go.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::Pool;
use super::endpoint::Endpoint;
use crate::upstream::cause::Cause;

/// How often longer than the first time an endpoint is ejected at most.
const LONGEST_EJECTION: u32 = 10;

/// Until when each endpoint of a pool is ejected that is, so that they need not be looked for among all.
#[derive(Default)]
pub(super) struct Ejected(BinaryHeap<Reverse<u64>>);

impl Ejected {
    /// Those of these endpoints.
    pub(super) fn of(endpoints: &[Arc<Endpoint>], now: u64) -> Self {
        let until = endpoints.iter().map(|endpoint| endpoint.known.ejected_until.load(Ordering::Relaxed));
        Self(until.filter(|until| *until > now).map(Reverse).collect())
    }

    /// How many there are.
    fn number(&mut self, now: u64) -> usize {
        while self.0.peek().is_some_and(|Reverse(until)| *until <= now) {
            self.0.pop();
        }
        self.0.len()
    }
}

impl Pool {
    /// A request to an endpoint went well or failed.
    pub(super) fn judge(&self, endpoint: &Endpoint, result: Result<(), Cause>, now: Instant) {
        let known = &endpoint.known;
        if let Err(cause) = result {
            self.remember(endpoint, cause, now);
        }
        let Some(outlier) = &self.settings.outlier else { return };
        let Err(cause) = result else {
            // Mostly it is 0, and a write would take the line from the other threads.
            if known.failures.load(Ordering::Relaxed) != 0 {
                known.failures.store(0, Ordering::Relaxed);
            }
            return;
        };
        if known.failures.fetch_add(1, Ordering::Relaxed) + 1 < outlier.consecutive.get() {
            return;
        }
        let millis = self.millis(now);
        if known.ejected_until.load(Ordering::Relaxed) > millis {
            return;
        }
        let mut ejected = self.ejected.lock();
        let all = self.members.load().endpoints.len();
        let most = ((all as f64 * outlier.max_ejected.0) as usize).max(1).min(all.saturating_sub(1));
        if ejected.number(millis) >= most || known.ejected_until.load(Ordering::Relaxed) > millis {
            return;
        }
        let times = known.ejections.load(Ordering::Relaxed).saturating_add(1).min(LONGEST_EJECTION);
        let time = outlier.eject_for.0 * times;
        let until = millis + time.as_millis() as u64;
        known.ejections.store(times, Ordering::Relaxed);
        known.failures.store(0, Ordering::Relaxed);
        known.back_since.store(until, Ordering::Relaxed);
        known.ejected_until.store(until, Ordering::Relaxed);
        ejected.0.push(Reverse(until));
        drop(ejected);
        let failures = outlier.consecutive;
        log::warn!(
            "endpoint {} of upstream `{}` is ejected for {time:?}: {failures} requests in a row failed, the last one with: {cause}",
            endpoint.text,
            self.name
        );
        self.unsettle(now);
    }

    /// An endpoint that has behaved for as long as it was ejected begins anew.
    pub(super) fn forgive(&self, endpoint: &Endpoint, millis: u64) {
        let Some(outlier) = &self.settings.outlier else { return };
        let until = endpoint.known.ejected_until.load(Ordering::Relaxed);
        let proven = u64::from(endpoint.known.ejections.load(Ordering::Relaxed)) * outlier.eject_for.0.as_millis() as u64;
        if until != 0 && millis > until + proven {
            endpoint.known.ejections.store(0, Ordering::Relaxed);
        }
    }
}
