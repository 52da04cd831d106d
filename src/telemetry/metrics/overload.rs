//! What runs short, as a number for each thing that can.

use std::sync::atomic::{AtomicU8, Ordering};

use super::scrape::Scrape;
use crate::overload::{Resource, Stage};

/// How much is given up for each of what can run short.
#[derive(Default)]
pub(crate) struct OverloadMetrics([AtomicU8; Resource::ALL.len()]);

impl OverloadMetrics {
    /// So much is given up for this one.
    pub(crate) fn set(&self, resource: Resource, stage: Stage) {
        self.0[resource as usize].store(stage as u8, Ordering::Relaxed);
    }

    pub(super) fn scrape(&self, scrape: &mut Scrape) {
        for resource in Resource::ALL {
            let help = "What is given up because this runs short: nothing (0), routes of low priority (1), of normal priority, too (2).";
            let stage = f64::from(self.0[resource as usize].load(Ordering::Relaxed));
            scrape.gauge("frontgate_overload_state", help, &[("reason", resource.label())], stage);
        }
    }
}
