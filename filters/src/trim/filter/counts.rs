//! What is counted of a route's answers to one profile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::count::metrics::FilterMetrics;
use crate::count::stripe::Counter;

/// The counters of a route and profile.
pub(super) struct Counters {
    pub(super) route: Arc<str>,
    pub(super) input: Counter,
    pub(super) output: Counter,
    pub(super) metrics: FilterMetrics,
    pub(super) told: AtomicBool,
}

impl Counters {
    /// The answer was not trimmed, or not to its end; said in the log once for a route and profile.
    pub(super) fn skipped(&self, reason: &'static str, profile: &str) {
        self.metrics.trim_skipped.with_label_values(&[&*self.route, reason]).inc();
        if reason != "not_json" && !self.told.swap(true, Ordering::Relaxed) {
            log::warn!(
                "an answer of the route `{}` cannot be trimmed for `{profile}`: {reason}; further ones are only counted",
                self.route
            );
        }
    }
}
