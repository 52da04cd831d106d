//! Who has written lately: for a while his reads go where he wrote.
//!
//! A table of bounded size. Beyond it those are forgotten first whose time would end first.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use frontgate_filters::clock;
use parking_lot::Mutex;

/// How many are remembered in all.
const MOST: usize = 100_000;
/// Parts of the table, each with a lock of its own that is held for a few instructions.
const PARTS: usize = 64;
/// Times are rounded up to such a part of them: who writes all the time is noted anew no more often.
const STEPS: u64 = 16;

/// Who has written lately, by a hash that only this process knows.
pub(crate) struct Pins {
    hasher: RandomState,
    began: Instant,
    /// When the last of all times ends.
    last: AtomicU64,
    parts: Box<[Mutex<Part>]>,
}

#[derive(Default)]
struct Part {
    /// Until when, in milliseconds.
    until: HashMap<u64, u64>,
    /// In the order in which they were noted. One that was noted again stands here twice.
    order: VecDeque<(u64, u64)>,
}

impl Default for Pins {
    fn default() -> Self {
        let parts = (0..PARTS).map(|_| Mutex::default()).collect();
        Self { hasher: RandomState::new(), began: clock::now(), last: AtomicU64::new(0), parts }
    }
}

impl Pins {
    /// What somebody is known by here.
    pub(super) fn key(&self, by: &[u8]) -> u64 {
        self.hasher.hash_one(by)
    }

    /// Notes somebody from this time on for so long, and a sixteenth of that at most beyond it.
    pub(super) fn pin(&self, key: u64, length: Duration, now: Instant) {
        let (now, length) = (self.millis(now), length.as_millis() as u64);
        let step = (length / STEPS).max(1);
        let until = (now + length).div_ceil(step) * step;
        self.last.fetch_max(until, Ordering::Relaxed);
        self.part(key).lock().pin(key, until, now);
    }

    /// Whether somebody is noted at this time.
    pub(super) fn has(&self, key: u64, now: Instant) -> bool {
        let now = self.millis(now);
        self.part(key).lock().until.get(&key).is_some_and(|until| now < *until)
    }

    /// Whether nobody is noted at this time, as on a route that nobody writes to.
    pub(super) fn is_empty(&self, now: Instant) -> bool {
        self.millis(now) >= self.last.load(Ordering::Relaxed)
    }

    fn part(&self, key: u64) -> &Mutex<Part> {
        &self.parts[(key >> 32) as usize % PARTS]
    }

    fn millis(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.began).as_millis() as u64
    }

    #[cfg(test)]
    fn len(&self) -> (usize, usize) {
        let sizes = self.parts.iter().map(|part| part.lock()).map(|part| (part.until.len(), part.order.len()));
        sizes.fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1))
    }
}

impl Part {
    fn pin(&mut self, key: u64, until: u64, now: u64) {
        const MOST_HERE: usize = MOST / PARTS;
        let known = self.until.entry(key).or_insert(0);
        if *known >= until {
            return;
        }
        *known = until;
        self.order.push_back((key, until));
        // Each goes at most once for each time that it came.
        while let Some(&(first, until)) = self.order.front() {
            let is_last = self.until.get(&first) == Some(&until);
            let is_over = until <= now || self.until.len() > MOST_HERE || self.order.len() > 4 * MOST_HERE;
            if is_last && !is_over {
                break;
            }
            self.order.pop_front();
            if is_last {
                self.until.remove(&first);
            }
        }
    }
}

/// A write on its way, noted when it begins and again when it ends, however it ends.
pub(crate) struct Writing {
    pins: std::sync::Arc<Pins>,
    key: u64,
    length: Duration,
}

impl Writing {
    /// It begins.
    pub(super) fn new(pins: std::sync::Arc<Pins>, key: u64, length: Duration) -> Self {
        let writing = Self { pins, key, length };
        writing.note();
        writing
    }

    /// From now on counts for how long reads follow it.
    pub(super) fn note(&self) {
        self.pins.pin(self.key, self.length, clock::now());
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.note();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const LENGTH: Duration = Duration::from_secs(5);

    #[test]
    fn who_has_written_is_noted_for_a_while() {
        let pins = Pins::default();
        let now = Instant::now();
        let (alice, bob) = (pins.key(b"alice"), pins.key(b"bob"));

        pins.pin(alice, LENGTH, now);

        assert!(pins.has(alice, now) && pins.has(alice, now + LENGTH - Duration::from_millis(1)));
        assert!(!pins.has(alice, now + LENGTH + LENGTH / 8));
        assert!(!pins.has(bob, now));
    }

    #[test]
    fn a_write_is_noted_when_it_begins_and_when_it_ends() {
        let pins = Arc::new(Pins::default());
        let key = pins.key(b"alice");
        let writing = Writing::new(pins.clone(), key, LENGTH);
        let now = Instant::now();
        assert!(pins.has(key, now));

        // As if the write took longer than that.
        pins.part(key).lock().until.clear();
        drop(writing);

        assert!(pins.has(key, now + LENGTH - Duration::from_millis(1)));
    }

    #[test]
    fn the_table_is_bounded_and_keeps_those_that_came_last() {
        let pins = Pins::default();
        let (now, hour) = (Instant::now(), Duration::from_secs(3600));
        let keys: Vec<u64> = (0..3 * MOST as u64).map(|number| pins.key(&number.to_le_bytes())).collect();

        keys.iter().for_each(|key| pins.pin(*key, hour, now));

        let (noted, order) = pins.len();
        assert!(noted <= MOST && order <= 4 * MOST, "{noted} noted, {order} in order");
        assert!(noted > MOST * 9 / 10, "{noted} of {MOST}");
        assert!(keys[keys.len() - 1_000..].iter().all(|key| pins.has(*key, now)));
    }

    #[test]
    fn those_whose_time_is_over_take_no_room() {
        let pins = Pins::default();
        let now = Instant::now();
        (0..10_000_u64).for_each(|number| pins.pin(pins.key(&number.to_le_bytes()), LENGTH, now));

        let later = now + 2 * LENGTH;
        (0..PARTS as u64).for_each(|part| pins.pin(part << 32, LENGTH, later));

        assert_eq!(pins.len(), (PARTS, PARTS));
    }

    #[test]
    fn who_writes_all_the_time_takes_the_room_of_one() {
        let pins = Pins::default();
        let now = Instant::now();
        // In the same part.
        let (alice, bob) = (1, 2);

        for millis in 0..100_000 {
            let now = now + Duration::from_millis(millis);
            if millis % 1_000 == 0 {
                pins.pin(bob, LENGTH, now);
            }
            pins.pin(alice, LENGTH, now);
        }

        let (noted, order) = pins.len();
        assert!(noted == 2 && order <= 2 * (STEPS as usize + 1), "{noted} noted, {order} in order");
        assert!(pins.has(bob, now + Duration::from_secs(100)));
    }
}
