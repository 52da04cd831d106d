//! Says the same thing seldom: what clients can make happen as often as they like is told once, then only counted, and told again after a
//! while.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long nothing more is said of what was told.
pub(crate) const SILENCE: Duration = Duration::from_secs(600);

/// What was told of one thing.
#[derive(Default)]
pub(crate) struct Sparing {
    /// When it was told last, in milliseconds of this process and one more; 0 for never.
    told_at: AtomicU64,
    /// How often it has happened without a word.
    untold: AtomicU64,
}

impl Sparing {
    /// It has happened. Where a word is due: how often it did so without one.
    pub(crate) fn happened(&self, now: Instant) -> Option<u64> {
        static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let (now, told_at) = (millis(now.saturating_duration_since(*BEGAN)) + 1, self.told_at.load(Ordering::Relaxed));
        let is_due = told_at == 0 || now.saturating_sub(told_at) >= millis(SILENCE);
        // Of several at once one tells it.
        if is_due && self.told_at.compare_exchange(told_at, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            return Some(self.untold.swap(0, Ordering::Relaxed));
        }
        self.untold.fetch_add(1, Ordering::Relaxed);
        None
    }

    /// The same, in the words that follow what is told: how often it was not, and where it is counted.
    pub(crate) fn words(untold: u64, counted: &str) -> String {
        let minutes = SILENCE.as_secs() / 60;
        match untold {
            0 => format!("Others like it are only counted for {minutes} minutes ({counted})"),
            untold => format!(
                "{untold} others like it came since the last such line, and more are only counted for {minutes} minutes ({counted})"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_then_they_are_counted_and_after_a_while_one_is_told_with_their_number() {
        // The time of this process begins with the first that happens in it.
        Sparing::default().happened(Instant::now());
        let (told, began) = (Sparing::default(), Instant::now());

        assert_eq!(told.happened(began), Some(0));
        assert_eq!([1, 2, 599].map(|seconds| told.happened(began + Duration::from_secs(seconds))), [None; 3]);
        assert_eq!(told.happened(began + SILENCE), Some(3));
        assert_eq!(told.happened(began + SILENCE), None);
        assert_eq!(told.happened(began + 2 * SILENCE), Some(1));
    }

    #[test]
    fn of_many_at_once_one_is_told() {
        let (told, now) = (Sparing::default(), Instant::now());

        let words: Vec<u64> = std::thread::scope(|scope| {
            let each = || (0..1000).filter_map(|_| told.happened(now)).collect::<Vec<_>>();
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(each)).collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
        });

        assert_eq!(words.len(), 1, "{words:?}");
        // Whoever tells it tells of those, too, that came at the same moment; none is lost.
        assert_eq!(words[0] + told.untold.load(Ordering::Relaxed), 7999);
    }
}
