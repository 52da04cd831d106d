//! A hash for keys that only the configuration can insert: requests merely look up, so nobody outside can pile up
//! collisions, and SipHash's protection would be paid for nothing.

use std::hash::{BuildHasherDefault, Hasher};

/// Hashes a map's keys with [`hash`].
pub(super) type Folding = BuildHasherDefault<Fold>;

#[derive(Default)]
pub(super) struct Fold(u64);

impl Hasher for Fold {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = hash(self.0, bytes);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Folded multiplication over eight bytes at a time, as in wyhash and foldhash.
pub(super) fn hash(seed: u64, bytes: &[u8]) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let fold = |state: u64, word: u64| {
        let product = u128::from(state ^ word ^ 0xa076_1d64_78bd_642f) * u128::from(ODD);
        (product as u64) ^ ((product >> 64) as u64)
    };
    let (words, tail) = bytes.as_chunks::<8>();
    let state = words.iter().fold(fold(seed, bytes.len() as u64), |state, word| fold(state, u64::from_le_bytes(*word)));
    let last = match *tail {
        [] => return state,
        [a] => u64::from(a),
        [a, b] => u64::from(u16::from_le_bytes([a, b])),
        [a, b, c] => u64::from(u32::from_le_bytes([a, b, c, 0])),
        [a, b, c, d, ..] => {
            let end = tail.last_chunk::<4>().map_or(0, |end| u32::from_le_bytes(*end));
            u64::from(u32::from_le_bytes([a, b, c, d])) | u64::from(end) << 32
        }
    };
    fold(state, last)
}
