//! How much memory the bodies may have together that compositions hold: those of clients and those of answers to calls. Beyond it a call fails,
//! and its request is asked to come later.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use bytes::Bytes;

/// What is held where nobody knows how much memory there is.
const OTHERWISE: usize = 256 << 20;

/// The budget of a process.
#[derive(Debug)]
pub(crate) struct Budget {
    most: usize,
    held: AtomicUsize,
}

impl Budget {
    /// A budget of so many bytes.
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, held: AtomicUsize::new(0) })
    }

    /// The one of this process: a quarter of what it may have, which is the limit of its control group, its own limits, or the machine's memory,
    /// whichever is least when it is first asked for.
    pub(crate) fn of_process() -> Arc<Self> {
        static PROCESS: LazyLock<Arc<Budget>> = LazyLock::new(|| {
            let bound = crate::overload::memory_bound();
            Budget::new(bound.map_or(OTHERWISE, |bound| usize::try_from(bound / 4).unwrap_or(usize::MAX)))
        });
        PROCESS.clone()
    }

    /// How many bytes there may be, and how many there are.
    pub(crate) fn told(&self) -> (usize, usize) {
        (self.most, self.held.load(Ordering::Relaxed))
    }

    /// Whether there is nothing left.
    pub(crate) fn is_spent(&self) -> bool {
        self.held.load(Ordering::Relaxed) >= self.most
    }
}

/// Bytes with their place in a budget.
struct Kept {
    bytes: Bytes,
    _held: Held,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Part of a budget. Dropped, it is given back.
#[derive(Debug, Default)]
pub(crate) struct Held {
    of: Option<Arc<Budget>>,
    bytes: usize,
}

impl Held {
    /// Nothing yet of this budget.
    pub(crate) fn of(budget: &Arc<Budget>) -> Self {
        Self { of: Some(budget.clone()), bytes: 0 }
    }

    /// So many bytes more; false where the budget has no room for them.
    #[must_use]
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        let Some(budget) = &self.of else { return true };
        let fits = |held: usize| held.checked_add(bytes).filter(|held| *held <= budget.most);
        let fits = budget.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok();
        self.bytes += if fits { bytes } else { 0 };
        fits
    }

    /// Takes over what another one holds.
    pub(crate) fn merge(&mut self, mut other: Self) {
        match &self.of {
            None => *self = other,
            Some(_) => self.bytes += std::mem::take(&mut other.bytes),
        }
    }

    /// These bytes, which keep so much of the budget as they need until nobody has them any more: for a client that reads slowly that takes long.
    /// Nothing where there is none left.
    pub(crate) fn keeping(mut self, bytes: Bytes) -> Option<Bytes> {
        self.grow(bytes.len()).then(|| {
            self.shrink(bytes.len());
            Bytes::from_owner(Kept { bytes, _held: self })
        })
    }

    /// Gives back all but so many bytes.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        if let Some(budget) = &self.of {
            budget.held.fetch_sub(self.bytes.saturating_sub(bytes), Ordering::Relaxed);
            self.bytes = self.bytes.min(bytes);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(budget) = &self.of {
            budget.held.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_bounded_and_given_back() {
        let budget = Budget::new(10);
        let (mut one, mut two) = (Held::of(&budget), Held::of(&budget));

        assert!(one.grow(6) && !two.grow(5) && two.grow(4) && budget.is_spent());
        assert!(!one.grow(usize::MAX), "no sum overflows");
        assert_eq!(budget.told(), (10, 10));

        let mut both = Held::default();
        both.merge(one);
        both.merge(Held::of(&budget));
        both.merge(two);
        both.shrink(11);
        assert_eq!(budget.told(), (10, 10));
        both.shrink(3);
        assert_eq!(budget.told(), (10, 3));
        drop(both);
        assert_eq!(budget.told(), (10, 0));

        let (mut one, mut two) = (Held::of(&budget), Held::of(&budget));
        assert!(one.grow(6) && two.grow(4));
        drop(two);
        assert_eq!(budget.told(), (10, 6));
        drop(one);
        assert_eq!(budget.told(), (10, 0));
        assert!(Held::default().grow(usize::MAX), "who has no budget has no bound");
    }

    #[test]
    fn bytes_keep_their_place_as_long_as_somebody_has_some_of_them() {
        let budget = Budget::new(10);
        let mut held = Held::of(&budget);
        assert!(held.grow(6));

        let bytes = held.keeping(Bytes::from_static(b"abcd")).expect("there is room");
        let part = bytes.slice(1..2);
        drop(bytes);

        assert_eq!((&*part, budget.told()), (&b"b"[..], (10, 4)));
        assert_eq!(Held::of(&budget).keeping(Bytes::from_static(b"1234567")), None);
        drop(part);
        assert_eq!(budget.told(), (10, 0));
    }

    #[test]
    fn the_budget_of_this_process_is_no_more_than_a_quarter_of_the_machine() {
        let (most, _) = Budget::of_process().told();

        assert!(most > 1 << 20, "{most}");
    }
}
