//! What is counted for each upstream: attempts, how long answers took, and its endpoints by state.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use prometheus::Histogram;
use serde::{Deserialize, Serialize};

use super::board::{Durations, UpstreamBoard};
use super::scrape::Scrape;
use super::{DURATION, histogram};

/// How an attempt at an endpoint ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// With an answer, whatever its status.
    Ok,
    /// There was no connection, or its handshake failed.
    ConnectFailure,
    /// The answer did not come in time.
    Timeout,
    /// The connection was lost before the answer was complete.
    Reset,
    /// Otherwise, as with an answer that is no HTTP.
    Error,
}

impl Attempt {
    const ALL: [Self; 5] = [Self::Ok, Self::ConnectFailure, Self::Timeout, Self::Reset, Self::Error];

    /// The `result` label.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ConnectFailure => "connect_failure",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Error => "error",
        }
    }
}

/// What is known about an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EndpointState {
    /// It gets requests.
    Healthy,
    /// Its health checks failed.
    Unhealthy,
    /// Its requests failed, and it gets none for a while.
    Ejected,
    /// An operator has taken it out: it gets no new requests.
    Drained,
}

impl EndpointState {
    /// Every state, each at its own number.
    pub(crate) const ALL: [Self; 4] = [Self::Healthy, Self::Unhealthy, Self::Ejected, Self::Drained];

    /// The `state` label.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::Ejected => "ejected",
            Self::Drained => "drained",
        }
    }
}

/// An upstream's counters.
pub(crate) struct UpstreamMetrics {
    attempts: [AtomicU64; Attempt::ALL.len()],
    /// Answers that were failures.
    failed: AtomicU64,
    endpoints: [AtomicI64; EndpointState::ALL.len()],
    /// An adaptive timeout in microseconds; 0 where there is none.
    first_byte: AtomicU64,
    duration: Histogram,
}

impl UpstreamMetrics {
    pub(super) fn new() -> Self {
        Self {
            attempts: Default::default(),
            failed: AtomicU64::new(0),
            endpoints: Default::default(),
            first_byte: AtomicU64::new(0),
            duration: histogram(DURATION),
        }
    }

    /// Counts an attempt at one of the endpoints.
    pub(crate) fn attempt(&self, result: Attempt) {
        self.attempts[result as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an answer that is a failure of its endpoint: by its status, or by what a gRPC call came to.
    pub(crate) fn failed_answer(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes how long an endpoint took, from the request's first byte to the answer's last.
    pub(crate) fn observe(&self, duration: Duration) {
        self.duration.observe(duration.as_secs_f64());
    }

    /// Sets how many endpoints are in `state`.
    pub(crate) fn endpoints(&self, state: EndpointState, number: i64) {
        self.endpoints[state as usize].store(number, Ordering::Relaxed);
    }

    /// Sets how long a response's head may take, where that is adaptive.
    pub(crate) fn first_byte(&self, timeout: Duration) {
        self.first_byte.store(timeout.as_micros() as u64, Ordering::Relaxed);
    }

    /// For the dashboard.
    pub(super) fn board(&self) -> UpstreamBoard {
        let attempts = Attempt::ALL.iter().map(|result| (result.label(), self.attempts[*result as usize].load(Ordering::Relaxed)));
        let states = EndpointState::ALL.iter().map(|state| (state.label(), self.endpoints[*state as usize].load(Ordering::Relaxed)));
        UpstreamBoard {
            attempts: attempts.collect(),
            failed_answers: self.failed.load(Ordering::Relaxed),
            states: states.collect(),
            durations: Durations::of(&self.duration),
        }
    }

    pub(super) fn scrape(&self, upstream: &str, scrape: &mut Scrape) {
        let help = "Attempts at an upstream's endpoints, by result.";
        for result in Attempt::ALL {
            let count = self.attempts[result as usize].load(Ordering::Relaxed);
            let labels = [("upstream", upstream), ("result", result.label())];
            scrape.counter("frontgate_upstream_attempts_total", help, &labels, count as f64);
        }
        let help = "Answers of an upstream's endpoints that were failures: a status of 500 or above, or a failed gRPC call. They count for ejection.";
        let failed = self.failed.load(Ordering::Relaxed);
        scrape.counter("frontgate_upstream_failed_answers_total", help, &[("upstream", upstream)], failed as f64);
        let help = "An upstream's endpoints, by state.";
        for state in EndpointState::ALL {
            let number = self.endpoints[state as usize].load(Ordering::Relaxed);
            let labels = [("upstream", upstream), ("state", state.label())];
            scrape.gauge("frontgate_upstream_endpoints", help, &labels, number as f64);
        }
        let first_byte = self.first_byte.load(Ordering::Relaxed);
        if first_byte > 0 {
            let help = "The current value of an adaptive first_byte timeout.";
            let seconds = first_byte as f64 / 1e6;
            scrape.gauge("frontgate_upstream_adaptive_timeout_seconds", help, &[("upstream", upstream)], seconds);
        }
        let help = "Duration of an attempt at an upstream, to the last byte of its answer.";
        scrape.histogram("frontgate_upstream_duration_seconds", help, &[("upstream", upstream)], &self.duration);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variant_has_its_own_place() {
        for (index, result) in Attempt::ALL.into_iter().enumerate() {
            assert_eq!(result as usize, index);
        }
        for (index, state) in EndpointState::ALL.into_iter().enumerate() {
            assert_eq!(state as usize, index);
        }
    }
}
