//! What is counted of a route's sagas: how many are open, how they ended, and how long that took.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus::{Histogram, IntGauge};

use super::histogram;
use super::scrape::Scrape;
use crate::status::SagaState;

/// Bounds for what a saga takes, in seconds: it goes on for days where an upstream stays away.
const TAKES: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 21_600.0, 86_400.0, 604_800.0];
/// Bounds for what a sync of the journal takes, in seconds.
pub(super) const COMMITS: &[f64] = &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];

/// What the number of those that cannot be read says.
pub(super) const UNREADABLE: &str = "Sagas of which something in the journal cannot be read, so that nobody goes on with them.";

/// How many cannot be read.
pub(super) fn unreadable() -> IntGauge {
    IntGauge::new("frontgate_saga_unreadable", UNREADABLE).expect("a name and a help")
}

/// The counters of one route's sagas.
#[derive(Debug)]
pub(crate) struct SagaMetrics {
    /// Open ones, by the numbers of their states.
    open: [AtomicU64; SagaState::OPEN.len()],
    /// Ended ones, by the numbers of their states behind those.
    ended: [AtomicU64; SagaState::ALL.len() - SagaState::OPEN.len()],
    duration: Histogram,
    /// Failures that were told again: what failed has been counted before.
    told_again: AtomicU64,
}

impl Default for SagaMetrics {
    fn default() -> Self {
        Self { open: Default::default(), ended: Default::default(), duration: histogram(TAKES), told_again: AtomicU64::new(0) }
    }
}

#[cfg_attr(not(feature = "saga"), allow(dead_code, reason = "there are no sagas"))]
impl SagaMetrics {
    /// One more is in this state, where that is an open one.
    pub(crate) fn enters(&self, state: SagaState) {
        if let Some(open) = self.open.get(state as usize) {
            open.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// One less is in this state, where that is an open one.
    pub(crate) fn leaves(&self, state: SagaState) {
        if let Some(open) = self.open.get(state as usize) {
            open.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// One has ended in this state, so long after it began. One that is done and then taken back counts twice.
    pub(crate) fn ends(&self, state: SagaState, took: Duration) {
        if let Some(ended) = (state as usize).checked_sub(SagaState::OPEN.len()).and_then(|index| self.ended.get(index)) {
            ended.fetch_add(1, Ordering::Relaxed);
            self.duration.observe(took.as_secs_f64());
        }
    }

    /// A failure was told again.
    pub(crate) fn tells_again(&self) {
        self.told_again.fetch_add(1, Ordering::Relaxed);
    }

    /// How many failures were told again.
    pub(super) fn told_again(&self) -> u64 {
        self.told_again.load(Ordering::Relaxed)
    }

    /// How many are open in this state.
    pub(crate) fn open(&self, state: SagaState) -> u64 {
        self.open.get(state as usize).map_or(0, |open| open.load(Ordering::Relaxed))
    }

    pub(super) fn scrape(&self, route: &str, scrape: &mut Scrape) {
        let help = "Sagas that have not ended, by where they are; a stuck one needs an operator.";
        for state in SagaState::OPEN {
            scrape.gauge("frontgate_saga_open", help, &[("route", route), ("state", state.label())], self.open(state) as f64);
        }
        let help = "Sagas that ended, by how: done, undone, or abandoned by an operator.";
        for (state, ended) in SagaState::ALL.into_iter().skip(SagaState::OPEN.len()).zip(&self.ended) {
            let count = ended.load(Ordering::Relaxed) as f64;
            scrape.counter("frontgate_saga_ended_total", help, &[("route", route), ("state", state.label())], count);
        }
        let help = "Time from a saga's beginning to its end.";
        scrape.histogram("frontgate_saga_duration_seconds", help, &[("route", route)], &self.duration);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_its_own_place_and_the_open_ones_come_first() {
        for (index, state) in SagaState::ALL.into_iter().enumerate() {
            assert_eq!(state as usize, index);
        }
        assert_eq!(SagaState::OPEN[..], SagaState::ALL[..SagaState::OPEN.len()]);
    }

    #[test]
    fn what_is_open_is_no_end_and_an_end_is_not_open() {
        let metrics = SagaMetrics::default();

        for state in SagaState::ALL {
            metrics.enters(state);
            metrics.ends(state, Duration::from_secs(2));
        }
        metrics.leaves(SagaState::Undoing);

        let mut scrape = Scrape::default();
        metrics.scrape("checkout", &mut scrape);
        let page = scrape.page();
        for line in [
            r#"frontgate_saga_open{route="checkout",state="running"} 1"#,
            r#"frontgate_saga_open{route="checkout",state="undoing"} 0"#,
            r#"frontgate_saga_open{route="checkout",state="stuck"} 1"#,
            r#"frontgate_saga_ended_total{route="checkout",state="done"} 1"#,
            r#"frontgate_saga_ended_total{route="checkout",state="abandoned"} 1"#,
            r#"frontgate_saga_duration_seconds_sum{route="checkout"} 6"#,
        ] {
            assert!(page.contains(line), "{line}: {page}");
        }
        assert_eq!(page.matches("frontgate_saga_ended_total{").count(), 3);
    }
}
