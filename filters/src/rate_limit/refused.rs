//! Whom a limit refused of late, for operators: the keys that were refused the most, in a table of a fixed size.
//!
//! Only refusals come here, so requests that pass pay nothing; and no refusal waits: where another one is being noted at the same moment it is
//! left out. A key that finds no room takes over the count of the one it displaces (Metwally, Agrawal and El Abbadi, 2005), so a count is never
//! too low for the keys at the top, and may be too high for those at the bottom.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::filter::inspect::RefusedKey;
use crate::filter::pseudonym::Part;

/// How many keys are remembered.
const MOST: usize = 64;
/// The longest key that is remembered, in bytes.
const LONGEST: usize = 1024;
/// After so long without a refusal a key is the first to be displaced, and its count says nothing of the one that comes.
const LATELY: Duration = Duration::from_secs(600);

/// The keys that were refused.
#[derive(Default)]
pub struct Refused(Mutex<Vec<Held>>);

struct Held {
    key: u64,
    known: RefusedKey,
}

impl Refused {
    /// Notes a refusal, and says whose key it is. `tier` and `parts` tell that where it was not known; who is refused over and over costs no
    /// allocation.
    pub fn note(
        &self,
        key: u64,
        now: Instant,
        tier: impl FnOnce() -> Option<Arc<str>>,
        parts: impl FnOnce() -> Arc<[Part]>,
    ) -> Arc<[Part]> {
        let Some(mut held) = self.0.try_lock() else { return parts() };
        if let Some(known) = held.iter_mut().find(|held| held.key == key) {
            known.known.refused += 1;
            known.known.last = now;
            return known.known.key.clone();
        }
        let parts = parts();
        let length = |part: &Part| match part {
            Part::Plain(text) => text.len(),
            Part::Named(value) => value.len(),
        };
        let length: usize = parts.iter().map(length).sum();
        if length > LONGEST {
            return parts;
        }
        let new = |before| Held { key, known: RefusedKey { tier: tier(), key: parts.clone(), refused: before + 1, last: now } };
        if held.len() < MOST {
            held.push(new(0));
            return parts;
        }
        let is_old = |held: &Held| now.saturating_duration_since(held.known.last) > LATELY;
        if let Some(least) = held.iter_mut().min_by_key(|held| (!is_old(held), held.known.refused)) {
            let before = if is_old(least) { 0 } else { least.known.refused };
            *least = new(before);
        }
        parts
    }

    /// Those that were refused most, first.
    pub fn most(&self) -> Vec<RefusedKey> {
        let mut keys: Vec<RefusedKey> = self.0.lock().iter().map(|held| held.known.clone()).collect();
        keys.sort_by_key(|key| std::cmp::Reverse(key.refused));
        keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(refused: &Refused, key: u64, now: Instant) {
        refused.note(key, now, || None, || [Part::Named(key.to_string().into_bytes().into())].into());
    }

    #[test]
    fn the_busiest_stay_however_many_others_come() {
        let (refused, now) = (Refused::default(), Instant::now());
        for round in 0..10_000 {
            note(&refused, 1, now);
            note(&refused, 2 + round % 3, now);
            note(&refused, 1000 + round, now);
        }

        let most = refused.most();

        assert_eq!(most.len(), MOST);
        assert_eq!(most[0].key[..], [Part::Named(b"1"[..].into())]);
        assert_eq!(most[0].refused, 10_000);
        let next: Vec<_> = most[1..4].iter().map(|key| key.key[0].clone()).collect();
        assert!(["2", "3", "4"].iter().all(|key| next.contains(&Part::Named(key.as_bytes().into()))), "{next:?}");
    }

    #[test]
    fn what_is_long_ago_makes_room() {
        let (refused, now) = (Refused::default(), Instant::now());
        for key in 0..MOST as u64 {
            (0..100).for_each(|_| note(&refused, key, now));
        }

        note(&refused, 1000, now + LATELY * 2);

        let new = refused.most().into_iter().find(|known| known.key[..] == [Part::Named(b"1000"[..].into())]).expect("it is there");
        assert_eq!(new.refused, 1);
        refused.note(7000, now, || None, || [Part::Named(vec![b'x'; LONGEST + 1].into())].into());
        assert_eq!(refused.most().len(), MOST);
    }
}
