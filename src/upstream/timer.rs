//! One coarse timer a worker: deadlines are numbers in a table that is looked through every now and then, so that a request that waits
//! allocates no timer and takes no lock.
//!
//! The table is the thread's. A worker's tasks never leave it, so a [`Timer`] is used where it was made.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};
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
    /// Since when nothing is lost where it is over before it is due.
    idle: Option<Instant>,
    waker: Option<Waker>,
}

/// Whether a thread that has nobody idle wants others to end some of theirs.
static WANTED: AtomicBool = AtomicBool::new(false);

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
        self.wait(cx, due, None)
    }

    /// The same for somebody who is idle since then: the deadline may come early, by [`end_idle`].
    pub(crate) fn poll_idle(&mut self, cx: &mut Context<'_>, since: Instant, due: Instant) -> Poll<()> {
        self.wait(cx, Some(due), Some(since))
    }

    fn wait(&mut self, cx: &mut Context<'_>, due: Option<Instant>, idle: Option<Instant>) -> Poll<()> {
        TABLE.with_borrow_mut(|table| {
            let slot = &mut table.slots[self.place];
            slot.idle = idle;
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
    if WANTED.load(Ordering::Relaxed) && WANTED.swap(false, Ordering::Relaxed) {
        end_idle(now);
    }
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

/// Ends some of this thread's idle waits before their time: the longest first, and none that has only begun. How many: more where there are
/// many, so that they are seldom looked through.
pub(crate) fn end_idle(now: Instant) -> usize {
    const AT_ONCE: usize = 64;
    const BEGUN: Duration = Duration::from_millis(100);
    let mut woken = Vec::new();
    TABLE.with_borrow_mut(|table| {
        let slots = table.slots.iter().enumerate();
        let mut idle: Vec<(Instant, usize)> = slots
            .filter(|(_, slot)| slot.due.is_some())
            .filter_map(|(place, slot)| Some((slot.idle?, place)))
            .filter(|(since, _)| now.saturating_duration_since(*since) >= BEGUN)
            .collect();
        let most = idle.len().div_ceil(16).min(AT_ONCE);
        if most < idle.len() {
            idle.select_nth_unstable(most);
        }
        for (_, place) in &idle[..most] {
            let slot = &mut table.slots[*place];
            (slot.due, slot.over) = (None, true);
            woken.extend(slot.waker.take());
        }
    });
    let ended = woken.len();
    woken.into_iter().for_each(Waker::wake);
    ended
}

/// Asks whichever thread sweeps next to do so.
pub(crate) fn end_idle_elsewhere() {
    WANTED.store(true, Ordering::Relaxed);
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
    fn idle_waits_can_be_ended_early_and_the_longest_go_first() {
        let now = Instant::now();
        let since = |index: u64| now - Duration::from_millis(50 * index);
        let due = now + Duration::from_secs(1);
        let cx = &mut Context::from_waker(Waker::noop());
        let mut busy = Timer::new();
        assert!(!is_over(&mut busy, now + Duration::from_secs(1)));
        let mut idle: Vec<Timer> = (0..20).map(|_| Timer::new()).collect();
        for (index, timer) in idle.iter_mut().enumerate() {
            assert!(timer.poll_idle(cx, since(index as u64), due).is_pending());
        }

        assert_eq!(end_idle(now), 2);

        let mut ended = |index: usize| idle[index].poll_idle(cx, since(index as u64), due).is_ready();
        assert_eq!((0..20).filter(|index| ended(*index)).collect::<Vec<_>>(), [18, 19]);
        while end_idle(now) > 0 {}
        assert_eq!((0..20).filter(|index| !ended(*index)).collect::<Vec<_>>(), [0, 1], "they have only begun");
        assert!(!is_over(&mut busy, due));
        drop(idle);
        assert_eq!(end_idle(now + Duration::from_secs(1)), 0, "who is gone is not idle");
    }

    #[test]
    fn a_sweep_is_late_by_a_twentieth_at_most_and_by_five_milliseconds_at_least() {
        let millis = Duration::from_millis;
        assert_eq!([20, 1000, 60_000].map(|shortest| pace_for(millis(shortest))), [millis(5), millis(50), millis(250)]);
    }
}
