//! What a limit allows, as arithmetic: at most `burst` at once, and `rate` again after that.
//!
//! In every span of time `t` at most `burst + rate · t` requests pass. Both ledgers keep this law; they differ in how they remember.

use std::time::{Duration, Instant};

use crate::words::units::{Per, Rate};

/// Parts of a nanosecond that time is counted in: fine enough that a rate of ten million a second is kept to 0.1 %, coarse enough that
/// 64 bits last for 36 years of uptime.
const TICKS: u64 = 16;

/// The longest that a burst may take to come back. It bounds every sum of ticks.
pub const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// A rate and a burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Law {
    /// How fast spent requests come back.
    pub rate: Rate,
    /// How many may come at once; at least 1.
    pub burst: u32,
    /// The ticks until one request has come back, rounded up: the law is never exceeded.
    pub interval: u64,
    /// The ticks until a whole burst has.
    pub span: u64,
}

impl Law {
    /// The law of a rate and a burst. `None` where the burst would take longer than [`LONGEST`] to come back.
    pub fn new(rate: Rate, burst: u32) -> Option<Self> {
        let (count, per) = rate.0;
        let interval = (u128::from(seconds(per)) * 1_000_000_000 * u128::from(TICKS)).div_ceil(u128::from(count.get()));
        let span = interval * u128::from(burst.max(1));
        (span <= LONGEST.as_nanos() * u128::from(TICKS)).then_some(Self {
            rate,
            burst: burst.max(1),
            interval: interval as u64,
            span: span as u64,
        })
    }

    /// The burst that a rate has where none is written: the number in it.
    pub fn usual_burst(rate: Rate) -> u32 {
        rate.0.0.get()
    }

    /// Whole seconds in which this many requests come back, rounded up.
    pub fn seconds_for(&self, requests: u32) -> u64 {
        let (count, per) = self.rate.0;
        (u64::from(requests) * seconds(per)).div_ceil(u64::from(count.get()))
    }
}

/// The seconds that a rate counts in.
fn seconds(per: Per) -> u64 {
    match per {
        Per::Second => 1,
        Per::Minute => 60,
        Per::Hour => 3600,
    }
}

/// The time since a ledger was made, in ticks.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    /// The ticks of a second.
    pub const SECOND: u64 = TICKS * 1_000_000_000;

    /// Begins now. An earlier instant than this counts as this one.
    pub fn start(now: Instant) -> Self {
        Self(now)
    }

    /// Never 0, which stands for a bucket that nothing was taken from.
    pub fn ticks(&self, now: Instant) -> u64 {
        (now.saturating_duration_since(self.0).as_nanos() as u64 + 1) * TICKS
    }
}

/// What a ledger says of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// Whether it may pass.
    pub verdict: Verdict,
    /// How many more might follow at once.
    pub remaining: u32,
    /// Ticks until the next one may pass; 0 where `remaining` is not.
    wait: u64,
}

/// Whether a request may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Allowed,
    /// Its key has spent what it has.
    Limited,
    /// Its key found no room, and the place it shares with others in that case is spent.
    Crowded,
}

impl Ruling {
    /// A ruling; `wait` in ticks.
    pub fn new(verdict: Verdict, remaining: u32, wait: u64) -> Self {
        Self { verdict, remaining, wait: if remaining > 0 { 0 } else { wait } }
    }

    /// Whole seconds until the next request may pass, at least 1: the `Retry-After`.
    pub fn retry_after(&self) -> u64 {
        self.wait.div_ceil(Clock::SECOND).max(1)
    }
}

/// Where a limit's spending is written down. A ledger of one process today; one that several gateways share would answer later, and need another signature.
pub trait Ledger: Send + Sync {
    /// Takes one request's worth from `key` under the law of `tier`, if there is that much.
    fn take(&self, key: u64, tier: usize, now: Instant) -> Ruling;
    /// What is left, taking nothing.
    fn peek(&self, key: u64, tier: usize, now: Instant) -> Ruling;
}
