//! How late a worker comes to what is due: what waits in its queue waits as long.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A worker's beat. The worker says when the next one is due, and tells when it has come.
pub(crate) struct Beat {
    began: Instant,
    /// When the next one is due, and how late the last one was, in milliseconds.
    due: AtomicU64,
    late: AtomicU64,
}

impl Default for Beat {
    fn default() -> Self {
        Self { began: Instant::now(), due: AtomicU64::new(u64::MAX), late: AtomicU64::new(0) }
    }
}

impl Beat {
    /// The next beat is due then.
    pub(crate) fn expect(&self, due: Instant) {
        self.due.store(self.millis(due), Ordering::Relaxed);
    }

    /// It has come.
    pub(crate) fn came(&self, now: Instant) {
        self.late.store(self.overdue(now), Ordering::Relaxed);
    }

    /// How late the worker is: with its last beat, or with the next one, where that is later already.
    pub(super) fn late(&self, now: Instant) -> Duration {
        Duration::from_millis(self.late.load(Ordering::Relaxed).max(self.overdue(now)))
    }

    fn overdue(&self, now: Instant) -> u64 {
        self.millis(now).saturating_sub(self.due.load(Ordering::Relaxed))
    }

    fn millis(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.began).as_millis() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_as_late_as_its_last_beat_or_as_the_one_that_does_not_come() {
        let beat = Beat::default();
        let at = |millis| beat.began + Duration::from_millis(millis);
        assert_eq!(beat.late(at(1000)), Duration::ZERO, "it has not begun");

        beat.expect(at(50));
        beat.came(at(80));
        beat.expect(at(130));

        assert_eq!(beat.late(at(100)), Duration::from_millis(30));
        assert_eq!(beat.late(at(330)), Duration::from_millis(200), "it hangs");
        beat.came(at(131));
        assert_eq!(beat.late(at(131)), Duration::from_millis(1));
    }
}
