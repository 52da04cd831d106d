//! Keeps the tables that endpoints are chosen from up to what is known of the endpoints: at once where that is cheap, else ten times a second at
//! most and beside the traffic. What is known is looked at by every choice, so that a table that is behind costs further looks, but sends no request astray.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::MutexGuard;

use super::Pool;
use super::ejection::Ejected;
use super::subset::Held;
use crate::telemetry::EndpointState;

/// How often large tables are made again at most, and who keeps time looks whether they are to be.
pub(crate) const PACE: Duration = Duration::from_millis(100);
/// No request makes tables while they are not overdue by as much: it is for those who keep time.
const LATE: u64 = 200;
/// Nothing changes by itself.
const NEVER: u64 = u64::MAX;

/// When tables are to be made again, in a pool's milliseconds.
pub(super) struct Due {
    at: AtomicU64,
    /// When they were made the last time.
    made: AtomicU64,
}

impl Default for Due {
    fn default() -> Self {
        Self { at: AtomicU64::new(NEVER), made: AtomicU64::new(0) }
    }
}

impl Pool {
    /// Something has become known of an endpoint that its tables do not have.
    pub(super) fn unsettle(&self, now: Instant) {
        let now = self.millis(now);
        let is_small = self.members.load().whole.everything.is_small();
        let pace = if is_small { 0 } else { PACE.as_millis() as u64 };
        self.due.at.fetch_min(now.max(self.due.made.load(Ordering::Relaxed) + pace), Ordering::AcqRel);
        // Large ones are for those who keep time. Whoever is at it has seen what has become known, or leaves the tables due.
        if is_small && let Some(changing) = self.changing.try_lock() {
            self.rebuild(&changing, now);
        }
    }

    /// Makes the tables again where that is due; to be called about ten times a second.
    pub(crate) fn settle(&self, now: Instant) {
        let now = self.millis(now);
        let is_due = || now >= self.due.at.load(Ordering::Acquire);
        if is_due() {
            let changing = self.changing.lock();
            // Somebody may just have done it.
            if is_due() {
                self.rebuild(&changing, now);
            }
        }
    }

    /// The same where nobody keeps time for this pool.
    pub(super) fn catch_up(&self, now: u64) {
        if now.saturating_sub(LATE) >= self.due.at.load(Ordering::Relaxed) {
            self.overdue(now);
        }
    }

    #[cold]
    fn overdue(&self, now: u64) {
        // Whoever is at it already does it for all.
        if let Some(changing) = self.changing.try_lock() {
            self.rebuild(&changing, now);
        }
    }

    /// Makes the tables again where they are not what they have to be, and counts the endpoints by state.
    pub(super) fn rebuild(&self, changing: &MutexGuard<'_, Held>, now: u64) {
        // What becomes known from here on makes them due again.
        self.due.at.swap(NEVER, Ordering::AcqRel);
        let members = self.members.load_full();
        if let Some(next) = members.settled(&changing.parts(), now) {
            self.members.store(Arc::new(next));
            self.due.made.store(now, Ordering::Relaxed);
        }
        let mut states = [0_i64; EndpointState::ALL.len()];
        let mut next = NEVER;
        for endpoint in members.endpoints.iter() {
            let state = endpoint.state(now);
            if endpoint.weight(now) > 0 || state == EndpointState::Drained {
                states[state as usize] += 1;
            }
            next = endpoint.changes_at(now).map_or(next, |at| next.min(at));
        }
        self.due.at.fetch_min(next, Ordering::AcqRel);
        for state in EndpointState::ALL {
            self.metrics.endpoints(state, states[state as usize]);
        }
        for address in self.by_hand.end(now) {
            log::warn!("what an operator set for endpoint {address} of upstream `{}` is over: its time has come", self.name);
        }
    }

    /// Brings up to date what follows from time alone; to be called about once a second. It looks at every endpoint: ten thousand of them take
    /// well under a millisecond.
    pub(crate) fn tick(&self, now: Instant) {
        if let Some(adaptive) = &self.adaptive {
            adaptive.tick(now);
            self.metrics.first_byte(adaptive.timeout());
        }
        let millis = self.millis(now);
        let members = self.members.load_full();
        members.endpoints.iter().for_each(|endpoint| self.forgive(endpoint, millis));
        {
            // A pool that this one has come after may have ejected some of them.
            let mut ejected = self.ejected.lock();
            *ejected = Ejected::of(&members.endpoints, millis);
        }
        self.rebuild(&self.changing.lock(), millis);
    }

    /// Whether any endpoint takes requests.
    pub(crate) fn is_alive(&self, now: Instant) -> bool {
        self.settle(now);
        self.has_usable(None)
    }
}
