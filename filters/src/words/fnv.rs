//! FNV-1a (Fowler, Noll and Vo): short, and the same on every machine and in every release, which the standard library's hasher is not.
//!
//! For names of configurations and policies and for places on a ring; not for what an attacker may choose to collide.

/// The hash of nothing, where every other one begins.
pub const BASIS: u64 = 0xcbf2_9ce4_8422_2325;

/// The hash of these bytes after those that `hash` stands for.
pub fn fnv1a(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The hash with each of its bits in each of the others: the finisher of SplitMix64 (Steele and others, 2014).
pub fn mixed(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of draft-eastlake-fnv, appendix C.
    #[test]
    fn gives_the_published_hashes_however_the_bytes_are_divided() {
        for (text, hash) in [("", BASIS), ("a", 0xaf63_dc4c_8601_ec8c), ("foobar", 0x8594_4171_f739_67e8)] {
            assert_eq!(fnv1a(BASIS, text.as_bytes()), hash, "{text}");
        }
        assert_eq!(fnv1a(fnv1a(BASIS, b"foo"), b"bar"), fnv1a(BASIS, b"foobar"));
    }
}
