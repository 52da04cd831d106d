//! Encoders that are used again: each thread keeps a few, since making one takes longer than packing a small body.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use std::thread::LocalKey;

/// How many of a sort a thread keeps.
const MOST: usize = 4;

/// An encoder that goes back to its thread's stock.
pub(super) struct Kept<T: Reused> {
    /// There until it is dropped.
    inner: Option<T>,
}

/// What can be used again.
pub(super) trait Reused: Sized + 'static {
    /// Those that are waiting on this thread.
    fn stock() -> &'static LocalKey<RefCell<Vec<Self>>>;
    /// Lets go of the last body; whether it can pack another one.
    fn forget(&mut self) -> bool;
}

impl<T: Reused> Kept<T> {
    /// One of the stock, or a new one.
    pub(super) fn or_new(new: impl FnOnce() -> Option<T>) -> Option<Self> {
        let kept = T::stock().try_with(|stock| stock.borrow_mut().pop()).ok().flatten();
        Some(Self { inner: Some(kept.or_else(new)?) })
    }
}

impl<T: Reused> Deref for Kept<T> {
    type Target = T;
    fn deref(&self) -> &T {
        self.inner.as_ref().expect("it is there until it is dropped")
    }
}

impl<T: Reused> DerefMut for Kept<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.inner.as_mut().expect("it is there until it is dropped")
    }
}

impl<T: Reused> Drop for Kept<T> {
    fn drop(&mut self) {
        let Some(mut inner) = self.inner.take() else { return };
        // A thread that ends has no stock any more.
        let _ = T::stock().try_with(|stock| {
            let mut stock = stock.borrow_mut();
            if stock.len() < MOST && inner.forget() {
                stock.push(inner);
            }
        });
    }
}
