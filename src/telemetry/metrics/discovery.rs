//! What is counted of the sources of an upstream's endpoints.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::scrape::Scrape;

/// What has come of what a source said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DiscoveryResult {
    /// The upstream has other endpoints now.
    Changed,
    /// Endpoints that it no longer names stay, since it may be wrong.
    Held,
    /// It could not be asked, or what it said could not be read.
    Failed,
    /// It names an endpoint more than once: the last one counts.
    Duplicate,
    /// It names something that is no endpoint.
    Skipped,
    /// An operator let go what was held.
    Accepted,
}

impl DiscoveryResult {
    const ALL: [Self; 6] = [Self::Changed, Self::Held, Self::Failed, Self::Duplicate, Self::Skipped, Self::Accepted];

    fn label(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Held => "held",
            Self::Failed => "failed",
            Self::Duplicate => "duplicate",
            Self::Skipped => "skipped",
            Self::Accepted => "accepted",
        }
    }
}

/// The counters of one upstream's sources.
#[derive(Default)]
pub(crate) struct DiscoveryMetrics {
    results: [AtomicU64; DiscoveryResult::ALL.len()],
    /// When the one that is longest without an answer gave its last, and how old that was then.
    as_of: Mutex<Option<(Instant, Duration)>>,
}

impl DiscoveryMetrics {
    /// Counts what has come of an answer.
    pub(crate) fn count(&self, result: DiscoveryResult, count: usize) {
        self.results[result as usize].fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Sets since when nothing newer is known, or that nobody is asked any more.
    pub(crate) fn as_of(&self, age: Option<(Instant, Duration)>) {
        *self.as_of.lock() = age;
    }

    /// The same while somebody is asked.
    pub(crate) fn as_of_if_shown(&self, age: (Instant, Duration)) {
        if let Some(shown) = &mut *self.as_of.lock() {
            *shown = age;
        }
    }

    pub(super) fn scrape(&self, upstream: &str, scrape: &mut Scrape) {
        if let Some((at, older)) = *self.as_of.lock() {
            let help = "How long ago the sources of an upstream's endpoints last said what these are: of several the longest.";
            let age = at.elapsed() + older;
            scrape.gauge("frontgate_discovery_age_seconds", help, &[("upstream", upstream)], age.as_secs_f64());
        }
        let help = "What has come of the answers of the sources of an upstream's endpoints.";
        for result in DiscoveryResult::ALL {
            let count = self.results[result as usize].load(Ordering::Relaxed);
            let labels = [("upstream", upstream), ("result", result.label())];
            scrape.counter("frontgate_discovery_changes_total", help, &labels, count as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variant_has_its_own_place() {
        for (index, result) in DiscoveryResult::ALL.into_iter().enumerate() {
            assert_eq!(result as usize, index);
        }
    }
}
