//! What is counted of a route's answers to one profile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::count::metrics::Families;
use crate::count::stripe::{Counter, CounterVec};

/// The families that trimming counts in.
#[derive(Clone)]
pub(super) struct Metrics {
    input: CounterVec,
    output: CounterVec,
    skipped: CounterVec,
}

impl Metrics {
    pub(super) fn new(families: &Families) -> Self {
        let profile = &["route", "profile"];
        Self {
            input: families.counters("trim_input_bytes_total", "Bytes of JSON that came to be trimmed.", profile),
            output: families.counters("trim_output_bytes_total", "Bytes of JSON that were left.", profile),
            skipped: families.counters("trim_skipped_total", "Answers that were not trimmed, or not to their end.", &["route", "reason"]),
        }
    }

    /// The counters of a route and profile.
    pub(super) fn of(&self, route: Arc<str>, profile: &str) -> Counters {
        Counters {
            input: self.input.with_label_values(&[&*route, profile]),
            output: self.output.with_label_values(&[&*route, profile]),
            skipped: self.skipped.clone(),
            told: AtomicBool::new(false),
            route,
        }
    }
}

/// The counters of a route and profile.
pub(super) struct Counters {
    pub(super) input: Counter,
    pub(super) output: Counter,
    skipped: CounterVec,
    route: Arc<str>,
    told: AtomicBool,
}

impl Counters {
    /// The answer was not trimmed, or not to its end; said in the log once for a route and profile.
    pub(super) fn skipped(&self, reason: &'static str, profile: &str) {
        self.skipped.with_label_values(&[&*self.route, reason]).inc();
        if !matches!(reason, "not_json" | "no_transform") && !self.told.swap(true, Ordering::Relaxed) {
            log::warn!("an answer of route `{}` cannot be trimmed for `{profile}`: {reason}; further ones are only counted", self.route);
        }
    }
}
