//! The drills as operators see them, and what stops all of them at once.

use std::sync::atomic::{AtomicBool, Ordering};

use super::Gateway;
use crate::snapshot::Snapshot;
use crate::status::{DrillStatus, DrillsStatus};

/// Whether an operator has stopped all drills: this outlives configurations.
#[derive(Default)]
pub(super) struct Drills(AtomicBool);

impl Drills {
    /// A configuration is about to be in force.
    pub(super) fn enter(&self, next: &Snapshot) {
        next.stop_drills(self.0.load(Ordering::Acquire));
    }
}

impl Gateway {
    /// Stops all drills, those of configurations to come, too, or lets them go on.
    pub(crate) fn stop_drills(&self, stopped: bool) {
        // None comes into force meanwhile.
        let _one = self.reloading.lock();
        self.drills.0.store(stopped, Ordering::Release);
        self.snapshot().stop_drills(stopped);
    }

    /// Which drills there are, and how they stand.
    pub(crate) fn drills(&self) -> DrillsStatus {
        let snapshot = self.snapshot();
        let mut drills: Vec<DrillStatus> = snapshot.drills().map(|(filter, status)| DrillStatus::new(filter, status)).collect();
        drills.sort_by(|a, b| a.filter.cmp(&b.filter));
        DrillsStatus { stopped: self.drills.0.load(Ordering::Acquire), drills }
    }
}
