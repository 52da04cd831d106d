//! One coarse timer a worker: deadlines are numbers in a table that is looked through every now and then, so that a request that waits
//! allocates no timer and takes no lock.
//!
//! The table is the thread's. A worker's tasks never leave it, so a [`Timer`] is used where it was made.

use std::cell::RefCell;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// The most that one sweep may be late, beside a twentieth of the shortest deadline.
const PACES: (u64, u64) = (5, 250);

/// How often a worker looks for deadlines that are over, where the shortest of them is this long: late by a twentieth at most, and by 5 ms at
/// least.
pub(crate) fn pace_for(shortest: Duration) -> Duration {
    Duration::from_millis((shortest.as_millis() as u64 / 20).clamp(PACES.0, PACES.1))
}

#[derive(Default)]
struct Table {
    slots: Vec<Slot>,
    free: Vec<usize>,
}

#[derive(Default)]
struct Slot {
    due: Option<Instant>,
    over: bool,
    waker: Option<Waker>,
}

thread_local! {
    static TABLE: RefCell<Table> = RefCell::default();
}

/// A place for one deadline at a time, until it is dropped.
pub(crate) struct Timer {
    place: usize,
    due: Option<Instant>,
}

impl Timer {
    /// A place without a deadline.
    pub(crate) fn new() -> Self {
        let place = TABLE.with_borrow_mut(|table| {
            table.free.pop().unwrap_or_else(|| {
                table.slots.push(Slot::default());
                table.slots.len() - 1
            })
        });
        Self { place, due: None }
    }

    /// Whether this deadline is over. If it is not, the task is woken when it is; each call puts its deadline in the place of the last.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, due: Option<Instant>) -> Poll<()> {
        TABLE.with_borrow_mut(|table| {
            let slot = &mut table.slots[self.place];
            if self.due != due {
                self.due = due;
                (slot.due, slot.over) = (due, false);
            } else if slot.over {
                return Poll::Ready(());
            }
            if due.is_some() && !slot.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                slot.waker = Some(cx.waker().clone());
            }
            Poll::Pending
        })
    }
}

impl Default for Timer {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        // A thread that is ending may have let go of its table.
        let _ = TABLE.try_with(|table| {
            let mut table = table.borrow_mut();
            table.slots[self.place] = Slot::default();
            table.free.push(self.place);
        });
    }
}

/// Looks through this thread's deadlines once, and wakes those whose time is over.
pub(crate) fn sweep(now: Instant) {
    // Woken outside of the table: a waker may run anything.
    let mut woken = Vec::new();
    TABLE.with_borrow_mut(|table| {
        for slot in table.slots.iter_mut().filter(|slot| slot.due.is_some_and(|due| due <= now)) {
            (slot.due, slot.over) = (None, true);
            woken.extend(slot.waker.take());
        }
    });
    woken.into_iter().for_each(Waker::wake);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_over(timer: &mut Timer, due: Instant) -> bool {
        timer.poll(&mut Context::from_waker(Waker::noop()), Some(due)).is_ready()
    }

    #[test]
    fn a_deadline_is_over_when_a_sweep_finds_it_so() {
        let now = Instant::now();
        let (mut soon, mut later) = (Timer::new(), Timer::new());
        let due = now + Duration::from_millis(10);
        assert!(!is_over(&mut soon, due) && !is_over(&mut later, due + Duration::from_secs(1)));

        sweep(due);

        assert!(is_over(&mut soon, due));
        assert!(!is_over(&mut later, due + Duration::from_secs(1)));
    }

    #[test]
    fn another_deadline_takes_the_place_of_the_last() {
        let now = Instant::now();
        let mut timer = Timer::new();
        assert!(!is_over(&mut timer, now));
        sweep(now);
        assert!(is_over(&mut timer, now));

        let next = now + Duration::from_secs(1);
        assert!(!is_over(&mut timer, next));
        sweep(now);
        assert!(!is_over(&mut timer, next));
        assert!(timer.poll(&mut Context::from_waker(Waker::noop()), None).is_pending());
        sweep(next + Duration::from_secs(1));
        assert!(timer.poll(&mut Context::from_waker(Waker::noop()), None).is_pending());
    }

    #[test]
    fn a_dropped_place_is_used_again_without_its_deadline() {
        let now = Instant::now();
        let mut first = Timer::new();
        assert!(!is_over(&mut first, now));
        let place = first.place;
        drop(first);

        let mut second = Timer::new();
        assert_eq!(second.place, place);
        sweep(now);
        assert!(!is_over(&mut second, now + Duration::from_secs(1)));
    }

    #[test]
    fn a_sweep_is_late_by_a_twentieth_at_most_and_by_five_milliseconds_at_least() {
        let millis = Duration::from_millis;
        assert_eq!([20, 1000, 60_000].map(|shortest| pace_for(millis(shortest))), [millis(5), millis(50), millis(250)]);
    }
}
