//! The statuses of an original and its copy, which are compared by whoever comes second: neither waits for the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::telemetry::{Compared, MirrorMetrics};

/// Both statuses, as far as they are known.
pub(super) struct Pair {
    /// The original's in the upper half, the copy's in the lower one; 0 where it is not known yet.
    told: AtomicU32,
    metrics: Arc<MirrorMetrics>,
}

/// Stands for a side that has ended without a status.
const NO_STATUS: u32 = 1;

impl Pair {
    /// Nothing is known yet.
    pub(super) fn new(metrics: Arc<MirrorMetrics>) -> Arc<Self> {
        Arc::new(Self { told: AtomicU32::new(0), metrics })
    }

    /// The original has ended with this status of its upstream, or with none. To be told once.
    pub(super) fn original(&self, status: Option<u16>) {
        let status = status.map_or(NO_STATUS, u32::from);
        let copy = self.told.fetch_or(status << 16, Ordering::AcqRel) & 0xffff;
        self.compare(status, copy);
    }

    /// The copy has ended with this status, or without an answer. To be told once.
    pub(super) fn copy(&self, status: Option<u16>) {
        let status = status.map_or(NO_STATUS, u32::from);
        let original = self.told.fetch_or(status, Ordering::AcqRel) >> 16;
        self.compare(original, status);
    }

    fn compare(&self, original: u32, copy: u32) {
        let compared = match (original, copy) {
            // With an original that brought nothing there is nothing to compare.
            (0 | NO_STATUS, _) | (_, 0) => return,
            (_, NO_STATUS) => Compared::NoAnswer,
            (original, copy) if original == copy => Compared::Same,
            _ => Compared::Other,
        };
        self.metrics.compared(compared);
    }
}
