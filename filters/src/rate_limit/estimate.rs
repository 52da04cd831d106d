//! The estimating ledger: Pingora's count-min sketch over a sliding window, for keys that no table could hold.
//!
//! Memory is fixed and no key is ever looked up or forgotten. A window is as long as a burst takes to come back; what the previous one
//! counted weighs as much as it still reaches into the last such span. A sketch never counts too little, so the law holds for every key;
//! it may count too much where others fell into the same cells, which is why it is 2 × 131,072 cells: few rows, since each row costs a cache line of each sketch, and wide ones. With Pingora's usual 4 × 1,024 a
//! client that was never seen reads dozens of requests once 50,000 others have come; with these it reads less than one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use pingora_limits::estimator::Estimator;

use super::law::{Clock, Law, Ledger, Ruling, Verdict};

const HASHES: usize = 2;
const SLOTS: usize = 131_072;

/// One sketch a tier.
pub struct Estimate {
    clock: Clock,
    tiers: Box<[Window]>,
}

struct Window {
    law: Law,
    /// A span is weighed in parts of `2^shift` ticks, so that a count of 32 bits times a span is a number of 64.
    shift: u32,
    /// The parts of a whole span, rounded up: at most 2^31.
    parts: u64,
    /// The present window's number. Even ones count in the first sketch.
    number: AtomicU64,
    /// Held while a sketch is emptied for the next window.
    turning: Mutex<()>,
    sketches: [Estimator; 2],
}

/// What was counted for a key, and where in the window.
struct Reading {
    before: u64,
    count: u64,
    /// Ticks since the window began.
    at: u64,
}

impl Estimate {
    /// Whether a sketch suits this law. Under a second there would be more emptying than counting; under one request a second a window
    /// becomes so long that others' requests in it outweigh a key's own.
    pub fn suits(law: &Law) -> bool {
        law.span >= Clock::SECOND && law.interval <= Clock::SECOND
    }

    /// Empty sketches: 4 MiB for each law.
    pub fn new(laws: &[Law], now: Instant) -> Self {
        Self { clock: Clock::start(now), tiers: laws.iter().map(Window::new).collect() }
    }
}

impl Window {
    fn new(law: &Law) -> Self {
        let sketch = || Estimator::new(HASHES, SLOTS);
        let shift = (64 - law.span.leading_zeros()).saturating_sub(31);
        let parts = law.span.div_ceil(1 << shift);
        Self { law: *law, shift, parts, number: AtomicU64::new(0), turning: Mutex::new(()), sketches: [sketch(), sketch()] }
    }

    /// The present window's number and how far it has gone, emptying what the turn to it makes old.
    fn turn(&self, now: u64) -> (u64, u64) {
        let (wanted, at) = (now / self.law.span, now % self.law.span);
        let number = self.number.load(Ordering::Acquire);
        if wanted == number {
            return (number, at);
        }
        if wanted < number {
            // A clock that goes backwards finds the window at its strictest.
            return (number, 0);
        }
        let one_on = wanted == number + 1;
        // Whoever does not get to turn counts in the window before, as at its end. After a pause of a whole window both sketches are old,
        // and the few that come in this moment wait for a tenth of a millisecond.
        let turning = if one_on { self.turning.try_lock() } else { Some(self.turning.lock()) };
        let Some(_turning) = turning else { return (number, self.law.span) };
        if self.number.load(Ordering::Acquire) == number {
            self.sketch(wanted).reset();
            if !one_on {
                self.sketch(wanted + 1).reset();
            }
            self.number.store(wanted, Ordering::Release);
            return (wanted, at);
        }
        match self.number.load(Ordering::Acquire) {
            newer if newer == wanted => (newer, at),
            newer => (newer, 0),
        }
    }

    fn sketch(&self, number: u64) -> &Estimator {
        &self.sketches[(number % 2) as usize]
    }

    /// Never more than the truth: what is left of a part of a tick counts for the past.
    fn parts(&self, ticks: u64) -> u64 {
        ticks >> self.shift
    }

    fn fits(&self, reading: &Reading) -> bool {
        self.weight(reading) <= u64::from(self.law.burst) * self.parts
    }

    /// The requests in the last span, times the span in parts.
    fn weight(&self, reading: &Reading) -> u64 {
        let past = reading.before.saturating_mul(self.parts - self.parts(reading.at));
        past.saturating_add(reading.count.saturating_mul(self.parts))
    }

    fn ruling(&self, reading: &Reading, verdict: Verdict) -> Ruling {
        let room = (u64::from(self.law.burst) * self.parts).saturating_sub(self.weight(reading));
        // The wait costs another division, and is only asked where nothing is left.
        let wait = if room < self.parts { self.wait(reading) << self.shift } else { 0 };
        Ruling::new(verdict, (room / self.parts) as u32, wait)
    }

    /// Parts until one request more would fit: in this window, or in the next, where what was counted now weighs as the past does.
    fn wait(&self, reading: &Reading) -> u64 {
        let (span, burst, at) = (self.parts, u64::from(self.law.burst), self.parts(reading.at));
        let Reading { before, count, .. } = *reading;
        // A share is less than a burst, so the product is one of 31 bits and 32.
        let part = |share: u64, whole: u64| (span * share).checked_div(whole).map_or(span, |part| part.min(span));
        if count < burst {
            span.saturating_sub(part(burst - count - 1, before)).saturating_sub(at)
        } else {
            (span - at) + span.saturating_sub(part(burst - 1, count))
        }
    }
}

impl Ledger for Estimate {
    fn take(&self, key: u64, tier: usize, now: Instant) -> Ruling {
        let window = &self.tiers[tier];
        let (number, at) = window.turn(self.clock.ticks(now));
        let (present, past) = (window.sketch(number), window.sketch(number + 1));
        let before = past.get(key).max(0) as u64;
        // Counted first and taken back on a refusal: of threads that race for the last place none finds two.
        let count = present.incr(key, 1).max(1) as u64;
        let reading = Reading { before, count, at };
        if window.fits(&reading) {
            return window.ruling(&reading, Verdict::Allowed);
        }
        present.decr(key, 1);
        window.ruling(&Reading { count: count - 1, ..reading }, Verdict::Limited)
    }

    fn peek(&self, key: u64, tier: usize, now: Instant) -> Ruling {
        let window = &self.tiers[tier];
        let (number, at) = window.turn(self.clock.ticks(now));
        let count = window.sketch(number).get(key).max(0) as u64;
        let reading = Reading { before: window.sketch(number + 1).get(key).max(0) as u64, count, at };
        let next = Reading { count: count + 1, ..reading };
        window.ruling(&reading, if window.fits(&next) { Verdict::Allowed } else { Verdict::Limited })
    }
}
