//! The exact ledger: one theoretical arrival time (GCRA) a key, in a table whose size is fixed.
//!
//! The table is a set of buckets of two cache lines: seven cells with a key's hash and its time each, and one more cell that all keys share
//! that find no other. A key lives in one bucket only. The time says all there is to know: what is past means a bucket of tokens that is
//! full again, so such a key can be forgotten and nothing is lost. No other is ever forgotten; a key that meets seven others in debt takes
//! from the shared cell, which is stricter, never looser. So to flood the table resets nobody's limit.
//!
//! Requests of a known key take no lock: they read the cell and compare-and-swap its time, which only ever grows. Bringing in a key locks
//! the bucket's stripe against other newcomers, for a few loads and stores.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use super::law::{Clock, Law, Ledger, Ruling, Verdict};
use crate::count::stripe::Counter;

/// Cells of a bucket that belong to one key each.
const OWN: usize = 7;
/// The cell for all others.
const SHARED: usize = 7;
/// The time of a cell whose key is being replaced: no real time comes this far.
const MOVING: u64 = u64::MAX;
/// Locks for newcomers.
const STRIPES: usize = 64;

/// Hashes in one cache line, times in the next.
#[repr(align(128))]
#[derive(Default)]
struct Bucket {
    keys: [AtomicU64; 8],
    times: [AtomicU64; 8],
}

/// A table of keys under one law a tier.
pub struct Exact {
    laws: Box<[Law]>,
    clock: Clock,
    buckets: Box<[Bucket]>,
    /// How far a hash is shifted to become a bucket's index.
    shift: u32,
    newcomers: Box<[Mutex<()>]>,
    evictions: Counter,
}

impl Exact {
    /// Buckets of a table as it is used: room for 114,688 keys in debt, in 2 MiB.
    pub const BUCKETS: usize = 1 << 14;

    /// An empty table of this many buckets, a power of two of at least 2.
    pub fn new(laws: Box<[Law]>, buckets: usize, evictions: Counter, now: Instant) -> Self {
        let buckets = buckets.next_power_of_two().max(2);
        Self {
            laws,
            clock: Clock::start(now),
            buckets: (0..buckets).map(|_| Bucket::default()).collect(),
            shift: 64 - buckets.trailing_zeros(),
            newcomers: (0..STRIPES).map(|_| Mutex::new(())).collect(),
            evictions,
        }
    }

    /// Brings a key in, or finds that another thread has, or that there is no room.
    #[cold]
    fn admit(&self, index: usize, key: u64, law: &Law, now: u64) -> Ruling {
        let bucket = &self.buckets[index];
        let _alone = self.newcomers[index % STRIPES].lock();
        loop {
            if let Some(cell) = find(bucket, key) {
                return charge(&bucket.times[cell], law, now, || true).expect("only the holder of this lock replaces keys");
            }
            let times = bucket.times[..OWN].iter().enumerate().map(|(cell, time)| (time.load(Ordering::Acquire), cell));
            let Some((old, cell)) = times.min().filter(|(time, _)| *time <= now) else {
                return crowded(charge(&bucket.times[SHARED], law, now, || true).expect("the shared cell has no key to replace"));
            };
            if bucket.times[cell].compare_exchange(old, MOVING, Ordering::AcqRel, Ordering::Relaxed).is_err() {
                // Its owner has come back this moment.
                continue;
            }
            if bucket.keys[cell].swap(key, Ordering::AcqRel) != 0 {
                self.evictions.inc();
            }
            // What the shared cell owes may be this key's debt from when there was no room, so it comes along.
            let owed = bucket.times[SHARED].load(Ordering::Acquire).max(now);
            let next = owed + law.interval;
            let (time, ruling) = if next - now <= law.span {
                (next, ruling(law, next - now, Verdict::Allowed))
            } else {
                (owed, ruling(law, owed - now, Verdict::Crowded))
            };
            bucket.times[cell].store(time, Ordering::Release);
            return ruling;
        }
    }

    fn place(&self, key: u64) -> (usize, u64) {
        // No key is 0, which marks an empty cell.
        ((key >> self.shift) as usize, key.max(1))
    }
}

impl Ledger for Exact {
    fn take(&self, key: u64, tier: usize, now: Instant) -> Ruling {
        let (law, now) = (&self.laws[tier], self.clock.ticks(now));
        let (index, key) = self.place(key);
        let bucket = &self.buckets[index];
        let known =
            find(bucket, key).and_then(|cell| charge(&bucket.times[cell], law, now, || bucket.keys[cell].load(Ordering::Acquire) == key));
        known.unwrap_or_else(|| self.admit(index, key, law, now))
    }

    fn peek(&self, key: u64, tier: usize, now: Instant) -> Ruling {
        let (law, now) = (&self.laws[tier], self.clock.ticks(now));
        let (index, key) = self.place(key);
        let bucket = &self.buckets[index];
        let cell = find(bucket, key).unwrap_or(SHARED);
        let time = match bucket.times[cell].load(Ordering::Acquire) {
            MOVING => 0,
            time => time,
        };
        let debt = time.saturating_sub(now);
        ruling(law, debt, if debt + law.interval <= law.span { Verdict::Allowed } else { Verdict::Limited })
    }
}

fn find(bucket: &Bucket, key: u64) -> Option<usize> {
    bucket.keys[..OWN].iter().position(|held| held.load(Ordering::Acquire) == key)
}

/// Takes one request's worth from a cell, if there is that much. `None` where the cell is no longer whose it was: `ours` is asked after the
/// time was read, and a time that was then replaced fails the swap, since a cell's time never comes back to an earlier value.
fn charge(time: &AtomicU64, law: &Law, now: u64, ours: impl Fn() -> bool) -> Option<Ruling> {
    let mut held = time.load(Ordering::Acquire);
    loop {
        if held == MOVING || !ours() {
            return None;
        }
        let next = held.max(now) + law.interval;
        if next - now > law.span {
            return Some(ruling(law, held - now, Verdict::Limited));
        }
        match time.compare_exchange_weak(held, next, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return Some(ruling(law, next - now, Verdict::Allowed)),
            Err(newer) => held = newer,
        }
    }
}

/// What a debt of this many ticks means.
fn ruling(law: &Law, debt: u64, verdict: Verdict) -> Ruling {
    let remaining = (law.span.saturating_sub(debt) / law.interval) as u32;
    Ruling::new(verdict, remaining, (debt + law.interval).saturating_sub(law.span))
}

fn crowded(mut ruling: Ruling) -> Ruling {
    if ruling.verdict == Verdict::Limited {
        ruling.verdict = Verdict::Crowded;
    }
    ruling
}
