//! What every thread has a place of its own in, so that threads that count the same thing do not wait for one cache line.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use prometheus::core::{Atomic, GenericCounter, GenericCounterVec};

/// How many places there are. Threads beyond that share them, which is slower and as right. A power of two.
pub const STRIPES: usize = 16;

/// A counter that is cheap to count in from many threads, and dearer to read.
pub type Counter = GenericCounter<Striped>;
/// Such counters by label.
pub type CounterVec = GenericCounterVec<Striped>;

/// The place of the thread that asks: the first [`STRIPES`] threads that ever ask have one each.
#[inline]
pub fn place() -> usize {
    const NONE: usize = usize::MAX;
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static PLACE: Cell<usize> = const { Cell::new(NONE) };
    }
    PLACE.with(|place| {
        if place.get() == NONE {
            place.set(THREADS.fetch_add(1, Ordering::Relaxed) % STRIPES);
        }
        place.get()
    })
}

/// A number as the sum of its stripes, which may overflow on their own: only the sum is meant.
pub struct Striped([Stripe; STRIPES]);

#[derive(Default)]
#[repr(align(128))]
struct Stripe(AtomicU64);

impl Atomic for Striped {
    type T = u64;

    fn new(value: u64) -> Self {
        let striped = Self(Default::default());
        striped.0[0].0.store(value, Ordering::Relaxed);
        striped
    }

    fn set(&self, value: u64) {
        for (index, stripe) in self.0.iter().enumerate() {
            stripe.0.store(if index == 0 { value } else { 0 }, Ordering::Relaxed);
        }
    }

    fn get(&self) -> u64 {
        self.0.iter().fold(0, |sum, stripe| sum.wrapping_add(stripe.0.load(Ordering::Relaxed)))
    }

    #[inline]
    fn inc_by(&self, delta: u64) {
        self.0[place()].0.fetch_add(delta, Ordering::Relaxed);
    }

    #[inline]
    fn dec_by(&self, delta: u64) {
        self.0[place()].0.fetch_sub(delta, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn what_many_threads_count_is_summed() {
        let counter = Counter::new("many", "Counted by many.").expect("a counter");
        thread::scope(|scope| {
            for _ in 0..3 * STRIPES {
                scope.spawn(|| (0..1000).for_each(|_| counter.inc()));
            }
        });

        assert_eq!(counter.get(), 3 * STRIPES as u64 * 1000);
    }

    #[test]
    fn a_number_can_be_taken_from_in_another_thread_and_set() {
        let striped = Striped::new(5);
        thread::scope(|scope| scope.spawn(|| striped.dec_by(2)).join()).expect("a thread that does not panic");
        assert_eq!(striped.get(), 3);

        striped.set(7);

        assert_eq!(striped.get(), 7);
    }
}
