//! Points between 0 and 1: by chance, and the one of whoever is known by some bytes.

use std::cell::Cell;
use std::hash::{BuildHasher, Hasher, RandomState};

use crate::words::fnv::{fnv1a, mixed};

thread_local! {
    static STATE: Cell<u64> = Cell::new(RandomState::new().build_hasher().finish());
}

/// By chance: each thread has a row of its own.
pub(super) fn point() -> f64 {
    let next = STATE.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
    STATE.set(next);
    fraction(mixed(next))
}

/// The point of whoever is known by these bytes, the same in every process.
pub(super) fn point_of(salt: u64, by: &[u8]) -> f64 {
    fraction(mixed(fnv1a(salt, by)))
}

/// As many bits as the fraction has.
fn fraction(number: u64) -> f64 {
    (number >> 11) as f64 / (1_u64 << 53) as f64
}
