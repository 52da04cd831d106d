//! A timeout that follows what it times: as long as 99 of 100 answers took lately, and 200 ms more.

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::config::model::Adaptive as Bounds;

/// What is given beyond the 99th percentile.
const SLACK: Duration = Duration::from_millis(200);
/// With fewer answers than this in both windows nothing is concluded.
const FEWEST: u64 = 100;
/// How long a window is; the one before it counts, too.
const WINDOW: Duration = Duration::from_secs(10);
/// Buckets: eight to each doubling of microseconds, so that a bucket's end is an eighth off at most; up to 67 s.
const BUCKETS: usize = 27 * 8;

/// The timeout and the durations that it follows.
pub(crate) struct Adaptive {
    bounds: Bounds,
    windows: [Box<[AtomicU32; BUCKETS]>; 2],
    /// Which window is being filled.
    current: AtomicUsize,
    turned: Mutex<Instant>,
    /// The timeout in microseconds.
    micros: AtomicU64,
}

impl Adaptive {
    /// As long as the bounds allow, until something is known.
    pub(crate) fn new(bounds: Bounds, now: Instant) -> Self {
        let empty = || Box::new([const { AtomicU32::new(0) }; BUCKETS]);
        let micros = AtomicU64::new(bounds.max.0.as_micros() as u64);
        Self { bounds, windows: [empty(), empty()], current: AtomicUsize::new(0), turned: Mutex::new(now), micros }
    }

    /// The timeout.
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_micros(self.micros.load(Ordering::Relaxed))
    }

    /// An answer's head took this long, or was given up after so long.
    pub(crate) fn observe(&self, took: Duration) {
        self.windows[self.current.load(Ordering::Relaxed)][bucket(took)].fetch_add(1, Ordering::Relaxed);
    }

    /// Concludes from what was seen; to be called about once a second.
    pub(crate) fn tick(&self, now: Instant) {
        let mut turned = self.turned.lock();
        let counts: Vec<u64> =
            (0..BUCKETS).map(|bucket| self.windows.iter().map(|window| u64::from(window[bucket].load(Ordering::Relaxed))).sum()).collect();
        let all: u64 = counts.iter().sum();
        if all >= FEWEST {
            let mut below = 0;
            let last = counts
                .iter()
                .position(|count| {
                    below += count;
                    below * 100 >= all * 99
                })
                .unwrap_or(BUCKETS - 1);
            let timeout = (end(last) + SLACK).clamp(self.bounds.min.0, self.bounds.max.0);
            self.micros.store(timeout.as_micros() as u64, Ordering::Relaxed);
        }
        if now.saturating_duration_since(*turned) >= WINDOW {
            *turned = now;
            let next = 1 - self.current.load(Ordering::Relaxed);
            self.windows[next].iter().for_each(|count| count.store(0, Ordering::Relaxed));
            self.current.store(next, Ordering::Relaxed);
        }
    }
}

fn bucket(took: Duration) -> usize {
    let micros = (took.as_micros() as u64).max(8);
    let octave = micros.ilog2() as usize;
    let eighth = (micros >> (octave - 3)) as usize & 7;
    (octave * 8 + eighth).min(BUCKETS - 1)
}

/// Where a bucket ends.
fn end(bucket: usize) -> Duration {
    let (octave, eighth) = (bucket / 8, bucket as u64 % 8);
    Duration::from_micros(((8 + eighth + 1) << octave) >> 3)
}

#[cfg(test)]
mod tests {
    use frontgate_filters::words::units;

    use super::*;

    fn adaptive() -> Adaptive {
        let millis = |ms| units::Duration(Duration::from_millis(ms));
        Adaptive::new(Bounds { min: millis(100), max: millis(5000) }, Instant::now())
    }

    #[test]
    fn follows_the_99th_percentile_once_enough_is_known() {
        let timeout = adaptive();
        (0..99).for_each(|_| timeout.observe(Duration::from_millis(50)));
        timeout.tick(Instant::now());
        assert_eq!(timeout.timeout(), Duration::from_secs(5));

        (0..901).for_each(|_| timeout.observe(Duration::from_millis(50)));
        (0..9).for_each(|_| timeout.observe(Duration::from_secs(3)));
        timeout.tick(Instant::now());

        let now = timeout.timeout();
        assert!((250..=257).contains(&now.as_millis()), "{now:?}");
    }

    #[test]
    fn stays_within_its_bounds() {
        let timeout = adaptive();
        (0..200).for_each(|_| timeout.observe(Duration::from_secs(60)));
        timeout.tick(Instant::now());
        assert_eq!(timeout.timeout(), Duration::from_secs(5));
    }

    #[test]
    fn forgets_after_two_windows() {
        let timeout = adaptive();
        let begin = Instant::now();
        (0..200).for_each(|_| timeout.observe(Duration::from_secs(1)));
        for window in 1..=2 {
            timeout.tick(begin + WINDOW * window);
        }
        (0..200).for_each(|_| timeout.observe(Duration::from_millis(1)));
        timeout.tick(begin + WINDOW * 2);

        assert!(timeout.timeout() < Duration::from_millis(203), "{:?}", timeout.timeout());
    }

    #[test]
    fn a_bucket_ends_behind_what_is_in_it() {
        for micros in [1, 8, 9, 15, 16, 1000, 12_345, 999_999, 66_000_000] {
            let took = Duration::from_micros(micros);
            let end = end(bucket(took));
            assert!(end > took && (micros < 8 || end.as_secs_f64() <= took.as_secs_f64() * 1.126), "{took:?} {end:?}");
        }
    }
}
