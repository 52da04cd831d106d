//! The form for processors without anything better, and the one that the others are compared with.

use super::swar::{above_space, equal, gather, without_high_bit, word};
use super::{Bytes64, Classify, Keys64, Prefilter};

#[derive(Clone, Copy)]
pub(super) struct Scalar;

impl Classify for Scalar {
    #[inline(always)]
    fn bytes(self, block: &[u8; 64]) -> Bytes64 {
        let mut all = Bytes64::default();
        for index in 0..8 {
            let (word, at) = (word(block, index), 8 * index);
            // `[` and `{`, `]` and `}` differ in one bit.
            let folded = word | 0x2020_2020_2020_2020;
            all.quote |= gather(equal(word, b'"')) << at;
            all.backslash |= gather(equal(word, b'\\')) << at;
            all.open |= gather(equal(folded, b'{')) << at;
            all.close |= gather(equal(folded, b'}')) << at;
        }
        all
    }

    #[inline(always)]
    fn keys(self, block: &[u8; 65], names: &Prefilter) -> (Bytes64, Keys64) {
        let own: &[u8; 64] = block.last_chunk().expect("64 of 65 bytes");
        let mut keys = Keys64::default();
        for index in 0..8 {
            let (word, at) = (word(own, index), 8 * index);
            keys.colon |= gather(equal(word, b':')) << at;
            keys.white |= gather(above_space(word) ^ 0x8080_8080_8080_8080) << at;
            keys.square |= gather(without_high_bit(word << 2)) << at;
        }
        for (at, pair) in block.array_windows::<2>().enumerate() {
            let hash = usize::from(Prefilter::hash(pair[0], pair[1]));
            keys.hash |= u64::from(names.low[hash & 15] & names.high[hash >> 4] != 0) << at;
        }
        (self.bytes(own), keys)
    }

    #[inline(always)]
    fn prefix_xor(self, mut bits: u64) -> u64 {
        for shift in [1, 2, 4, 8, 16, 32] {
            bits ^= bits << shift;
        }
        bits
    }
}
