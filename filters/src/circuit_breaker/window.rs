//! What a circuit has lately seen: a sliding window of time in ten buckets.
//!
//! A bucket is one atomic word, its counts together with the time they belong to, so that no request waits for another and no count ends
//! up in a bucket of a later time.

use super::sync::{AtomicU64, Ordering};

/// How many buckets a window has. It covers the running one and the nine before it.
const BUCKETS: u64 = 10;

/// The bits of each count. A bucket that is full is halved: its shares stay what they are.
const COUNT_BITS: u32 = 15;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;
/// The rest of the word is the low part of the bucket's number in time.
const TICK_MASK: u64 = (1 << (64 - 3 * COUNT_BITS)) - 1;

/// The largest sample that a window can be asked to wait for: what ten buckets hold at least, once they are halved.
pub const LARGEST_SAMPLE: u32 = 100_000;

/// Requests by what came of them, over a window of time.
pub struct Window {
    /// How long a bucket is, in milliseconds.
    width: u64,
    buckets: [AtomicU64; BUCKETS as usize],
}

/// The sums of a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All of them.
    pub requests: u32,
    /// Those that failed.
    pub failures: u32,
    /// Those that took too long.
    pub slow: u32,
}

/// The contents of a bucket.
#[derive(Clone, Copy)]
struct Bucket {
    tick: u64,
    requests: u64,
    failures: u64,
    slow: u64,
}

impl Bucket {
    fn unpack(word: u64) -> Self {
        Self {
            tick: word >> (3 * COUNT_BITS),
            requests: word >> (2 * COUNT_BITS) & COUNT_MASK,
            failures: word >> COUNT_BITS & COUNT_MASK,
            slow: word & COUNT_MASK,
        }
    }

    fn pack(self) -> u64 {
        self.tick << (3 * COUNT_BITS) | self.requests << (2 * COUNT_BITS) | self.failures << COUNT_BITS | self.slow
    }

    fn add(&mut self, failed: bool, slow: bool) {
        if self.requests == COUNT_MASK {
            self.requests /= 2;
            self.failures /= 2;
            self.slow /= 2;
        }
        self.requests += 1;
        self.failures += u64::from(failed);
        self.slow += u64::from(slow);
    }
}

impl Window {
    /// An empty window of this many milliseconds, at least ten.
    pub fn new(millis: u64) -> Self {
        Self { width: (millis / BUCKETS).max(1), buckets: std::array::from_fn(|_| AtomicU64::new(0)) }
    }

    /// Counts a request at this time, in milliseconds.
    pub fn record(&self, now: u64, failed: bool, slow: bool) {
        let number = now / self.width;
        let tick = number & TICK_MASK;
        self.change(number, |bucket| {
            // A thread that is a whole window late has nothing to say about the present.
            if bucket.tick == (tick + BUCKETS) & TICK_MASK {
                return false;
            }
            if bucket.tick != tick {
                *bucket = Bucket { tick, requests: 0, failures: 0, slow: 0 };
            }
            bucket.add(failed, slow);
            true
        });
    }

    /// A request that was counted as a success at `then` has failed after all: its success becomes a failure, where it is still remembered;
    /// else the failure counts now.
    pub fn amend(&self, then: u64, now: u64) {
        let number = then / self.width;
        let recent = now / self.width < number + BUCKETS;
        let amended = recent
            && self.change(number, |bucket| {
                let known = bucket.tick == number & TICK_MASK && bucket.failures < bucket.requests;
                bucket.failures += u64::from(known);
                known
            });
        if !amended {
            self.record(now, true, false);
        }
    }

    /// The sums at this time.
    pub fn counts(&self, now: u64) -> Counts {
        let tick = now / self.width;
        let mut counts = Counts::default();
        for word in &self.buckets {
            let bucket = Bucket::unpack(word.load(Ordering::Relaxed));
            if tick.wrapping_sub(bucket.tick) & TICK_MASK < BUCKETS {
                counts.requests += bucket.requests as u32;
                counts.failures += bucket.failures as u32;
                counts.slow += bucket.slow as u32;
            }
        }
        counts
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.buckets.iter().for_each(|word| word.store(0, Ordering::Relaxed));
    }

    fn change(&self, number: u64, mut change: impl FnMut(&mut Bucket) -> bool) -> bool {
        let word = &self.buckets[(number % BUCKETS) as usize];
        let changed = word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |word| {
            let mut bucket = Bucket::unpack(word);
            change(&mut bucket).then(|| bucket.pack())
        });
        changed.is_ok()
    }
}
