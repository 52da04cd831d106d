//! How many requests and further attempts a pool may have at once. Permits give their place back when they are dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Pool;

/// What is counted over all configurations of a pool.
#[derive(Default)]
pub(super) struct Load {
    /// Attempts that have an endpoint.
    pub in_flight: AtomicU64,
    /// Those of them that are further attempts of a request.
    pub retrying: AtomicU64,
}

/// An attempt's place among those that a pool may have at once, until it is dropped.
pub(super) struct Place(pub Arc<Pool>);

impl Place {
    /// A place, where the pool has one left.
    pub(super) fn take(pool: &Arc<Pool>) -> Option<Self> {
        let before = pool.load.in_flight.fetch_add(1, Ordering::Relaxed);
        let place = Self(pool.clone());
        pool.settings.max_connections.is_none_or(|most| before < u64::from(most.get())).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.load.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A further attempt, counted against the pool's retry budget until it is dropped.
pub(crate) struct RetryPermit(Arc<Load>);

/// Further attempts that are always allowed, however few requests are in flight.
const ALWAYS: u64 = 3;

impl RetryPermit {
    pub(super) fn take(load: &Arc<Load>, share: f64) -> Option<Self> {
        let most = ((load.in_flight.load(Ordering::Relaxed) as f64 * share) as u64).max(ALWAYS);
        let before = load.retrying.fetch_add(1, Ordering::Relaxed);
        let permit = Self(load.clone());
        (before < most).then_some(permit)
    }
}

impl Drop for RetryPermit {
    fn drop(&mut self) {
        self.0.retrying.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn further_attempts_are_a_share_of_the_requests_in_flight_and_three_always() {
        let load = Arc::new(Load::default());
        let few: Vec<_> = (0..5).filter_map(|_| RetryPermit::take(&load, 0.2)).collect();
        assert_eq!(few.len(), 3);
        drop(few);
        load.in_flight.store(100, Ordering::Relaxed);

        let many: Vec<_> = (0..50).filter_map(|_| RetryPermit::take(&load, 0.2)).collect();

        assert_eq!(many.len(), 20);
        drop(many);
        assert_eq!(load.retrying.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_budget_of_nothing_still_allows_three() {
        let load = Arc::new(Load::default());
        load.in_flight.store(1000, Ordering::Relaxed);

        assert_eq!((0..10).map(|_| RetryPermit::take(&load, 0.0)).collect::<Vec<_>>().iter().flatten().count(), 3);
    }
}
