//! Whether too many answers are errors: counts of a few spans of time in a ring, without a lock and without a clock of its own.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::config::StopWhen;

/// How many spans the time is cut into that is looked back.
const SPANS: usize = 8;
/// Fewer answers say nothing.
const LEAST: u64 = 20;
/// The errors of a span are counted in its lower half, all answers in the upper one.
const ANSWER: u64 = 1 << 32;

pub(super) struct Watch {
    ratio: f64,
    span: Duration,
    began: Instant,
    spans: [AtomicU64; SPANS],
    /// The number of the span that is counted in.
    current: AtomicU64,
}

impl Watch {
    pub fn new(stop: &StopWhen, now: Instant) -> Self {
        let span = stop.over.0 / SPANS as u32;
        Self { ratio: stop.error_ratio.0, span, began: now, spans: Default::default(), current: AtomicU64::new(0) }
    }

    /// It is so late: spans that are over make room.
    pub fn tick(&self, now: Instant) {
        let number = (now.saturating_duration_since(self.began).as_nanos() / self.span.as_nanos().max(1)) as u64;
        let current = self.current.load(Ordering::Relaxed);
        if number > current && self.current.compare_exchange(current, number, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            for over in (current + 1..=number).rev().take(SPANS) {
                self.spans[over as usize % SPANS].store(0, Ordering::Relaxed);
            }
        }
    }

    /// An answer goes out. Whether there are too many errors with it.
    pub fn answered(&self, is_error: bool) -> bool {
        let span = &self.spans[self.current.load(Ordering::Relaxed) as usize % SPANS];
        span.fetch_add(ANSWER | u64::from(is_error), Ordering::Relaxed);
        if !is_error {
            return false;
        }
        let (answers, errors) = self.spans.iter().fold((0, 0), |(answers, errors), span| {
            let counted = span.load(Ordering::Relaxed);
            (answers + (counted >> 32), errors + (counted & (ANSWER - 1)))
        });
        answers >= LEAST && errors as f64 > answers as f64 * self.ratio
    }
}
