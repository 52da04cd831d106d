//! What is counted of spans: those that a collector took, and those that were lost, each for its reason.

use std::sync::atomic::{AtomicU64, Ordering};

use super::scrape::Scrape;

/// The counters.
#[derive(Debug, Default)]
pub(crate) struct SpanMetrics {
    sent: AtomicU64,
    lost: [AtomicU64; SpanLoss::ALL.len()],
}

/// Why spans were lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SpanLoss {
    /// As many as may wait to be sent did.
    QueueFull,
    /// The collector did not want them.
    Rejected,
    /// The collector could not be reached in time, or did not take them in time.
    Unreachable,
}

impl SpanLoss {
    /// All there are.
    pub(crate) const ALL: [Self; 3] = [Self::QueueFull, Self::Rejected, Self::Unreachable];

    fn label(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::Rejected => "rejected",
            Self::Unreachable => "unreachable",
        }
    }
}

#[cfg_attr(not(feature = "otel"), allow(dead_code, reason = "nobody makes spans"))]
impl SpanMetrics {
    /// So many were taken.
    pub(crate) fn sent(&self, count: u64) {
        self.sent.fetch_add(count, Ordering::Relaxed);
    }

    /// So many were lost.
    pub(crate) fn lost(&self, why: SpanLoss, count: u64) {
        self.lost[why as usize].fetch_add(count, Ordering::Relaxed);
    }

    /// How many were lost for this reason.
    pub(crate) fn lost_for(&self, why: SpanLoss) -> u64 {
        self.lost[why as usize].load(Ordering::Relaxed)
    }

    pub(super) fn scrape(&self, scrape: &mut Scrape) {
        let help = "Spans that the collector has taken.";
        scrape.counter("frontgate_spans_sent_total", help, &[], self.sent.load(Ordering::Relaxed) as f64);
        for why in SpanLoss::ALL {
            let help = "Spans that were dropped.";
            scrape.counter("frontgate_spans_dropped_total", help, &[("reason", why.label())], self.lost_for(why) as f64);
        }
    }
}
