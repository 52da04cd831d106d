//! What became of the last requests that were refused, failed or were answered in part, for `frontgate why`: as many as fit a fixed memory.
//!
//! Each of the three is kept apart, so that a flood of one drives nothing of another out. Each is written in place of the oldest one,
//! into memory that is there already once a ring has gone round; and no request waits for another.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use parking_lot::Mutex;

/// How many of each are kept.
pub(crate) const KEPT: usize = 1024;
/// Room for one, to begin with: few take more.
const ROOM: usize = 1024;

/// The rings.
pub(crate) struct Recent {
    refusals: Ring,
    failures: Ring,
    parts: Ring,
}

/// Which of them a request belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    /// The gateway refused it, and asked nobody.
    Refused,
    /// It failed at an upstream.
    Failed,
    /// Its answer lacks what a call should have brought.
    InPart,
}

struct Ring {
    slots: Box<[Mutex<Slot>]>,
    /// How many there were ever.
    count: AtomicU64,
}

struct Slot {
    at: SystemTime,
    /// The request's identifier, and then what is told of it.
    text: Vec<u8>,
    id: usize,
}

/// How far a ring goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reach {
    /// How many are in it.
    pub kept: usize,
    /// When the oldest one came, where older ones were written over.
    pub since: Option<SystemTime>,
}

impl Default for Recent {
    fn default() -> Self {
        Self { refusals: Ring::new(KEPT), failures: Ring::new(KEPT), parts: Ring::new(KEPT) }
    }
}

impl Recent {
    /// Keeps what `write` tells of a request.
    pub(crate) fn keep(&self, came: Came, id: &str, at: SystemTime, write: impl FnOnce(&mut Vec<u8>)) {
        match came {
            Came::Refused => &self.refusals,
            Came::Failed => &self.failures,
            Came::InPart => &self.parts,
        }
        .keep(id, at, write);
    }

    /// All that is told of requests with this identifier, the oldest first: whoever is trusted with identifiers may give one twice.
    pub(crate) fn find(&self, id: &str) -> Vec<Vec<u8>> {
        let mut found: Vec<_> = self.refusals.find(id).chain(self.failures.find(id)).chain(self.parts.find(id)).collect();
        found.sort_by_key(|(at, _)| *at);
        found.into_iter().map(|(_, text)| text).collect()
    }

    /// How far refusals, failures and answers in part go back.
    pub(crate) fn reach(&self) -> [Reach; 3] {
        [&self.refusals, &self.failures, &self.parts].map(Ring::reach)
    }
}

impl Ring {
    fn new(most: usize) -> Self {
        let slot = || Mutex::new(Slot { at: SystemTime::UNIX_EPOCH, text: Vec::new(), id: 0 });
        Self { slots: (0..most).map(|_| slot()).collect(), count: AtomicU64::new(0) }
    }

    fn keep(&self, id: &str, at: SystemTime, write: impl FnOnce(&mut Vec<u8>)) {
        let place = self.count.fetch_add(1, Ordering::Relaxed) as usize % self.slots.len();
        // Somebody reads here: one is left out, and nobody waits.
        let Some(mut slot) = self.slots[place].try_lock() else { return };
        let Slot { text, .. } = &mut *slot;
        text.clear();
        text.reserve(ROOM);
        text.extend_from_slice(id.as_bytes());
        write(text);
        (slot.at, slot.id) = (at, id.len());
    }

    fn find(&self, id: &str) -> impl Iterator<Item = (SystemTime, Vec<u8>)> {
        self.slots.iter().filter_map(move |slot| {
            let slot = slot.lock();
            let (name, told) = slot.text.split_at_checked(slot.id)?;
            (!told.is_empty() && name == id.as_bytes()).then(|| (slot.at, told.to_vec()))
        })
    }

    fn reach(&self) -> Reach {
        let count = usize::try_from(self.count.load(Ordering::Relaxed)).unwrap_or(usize::MAX);
        let since = (count > self.slots.len()).then(|| self.slots[count % self.slots.len()].lock().at);
        Reach { kept: count.min(self.slots.len()), since }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(second: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(second)
    }

    #[test]
    fn the_oldest_is_written_over_and_a_flood_of_refusals_drives_no_failure_out() {
        let recent = Recent::default();
        let keep =
            |came, id: &str, second| recent.keep(came, id, at(second), |out| out.extend_from_slice(format!("{{{second}}}").as_bytes()));
        keep(Came::Failed, "bad", 1);
        keep(Came::InPart, "part", 2);
        assert_eq!(recent.reach(), [0, 1, 1].map(|kept| Reach { kept, since: None }));

        (0..KEPT as u64 + 3).for_each(|second| keep(Came::Refused, &format!("r{second}"), second));

        assert_eq!((recent.find("bad"), recent.find("part")), (vec![b"{1}".to_vec()], vec![b"{2}".to_vec()]));
        assert!(recent.find("r2").is_empty() && recent.find("").is_empty() && recent.find("r").is_empty());
        assert_eq!(recent.find("r3"), [b"{3}"]);
        assert_eq!(recent.find("r1026"), [b"{1026}"]);
        assert_eq!(recent.reach()[0], Reach { kept: KEPT, since: Some(at(3)) });
    }

    #[test]
    fn all_that_has_one_identifier_is_found_in_its_order() {
        let recent = Recent::default();
        for (came, second) in [(Came::Failed, 5), (Came::Refused, 3), (Came::InPart, 1)] {
            recent.keep(came, "same", at(second), |out| out.extend_from_slice(second.to_string().as_bytes()));
        }

        assert_eq!(recent.find("same"), [b"1", b"3", b"5"]);
    }
}
