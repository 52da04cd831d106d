//! The form for processors without anything better, and the one that the others are compared with.

use super::swar::{below_space, equal, gather, word};
use super::{Bytes64, Carry, Characters64, Classify, Prefilter, Text, Text64, Window, Work, fill};

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
    fn text(self, block: &[u8; 64]) -> Text64 {
        let mut all = Text64::default();
        for index in 0..8 {
            let (word, at) = (word(block, index), 8 * index);
            all.quote |= gather(equal(word, b'"')) << at;
            all.backslash |= gather(equal(word, b'\\')) << at;
            all.control |= gather(below_space(word)) << at;
        }
        all.foreign = !block.is_ascii();
        all
    }

    fn characters(self, block: &[u8; 64]) -> Characters64 {
        let mut all = Characters64::default();
        for (at, byte) in block.iter().enumerate() {
            match byte {
                0x80..=0xbf => all.after |= 1 << at,
                0xc2..=0xdf => all.two |= 1 << at,
                0xe1..=0xec | 0xee | 0xef => all.three |= 1 << at,
                _ => all.others |= !byte.is_ascii(),
            }
        }
        all
    }

    #[inline(always)]
    fn names(self, block: &[u8; 64], before: &[u8; 64], names: &Prefilter) -> (Bytes64, u64) {
        let pairs = before.iter().zip(block).enumerate();
        let hits = pairs.fold(0, |hits, (at, (&before, &last))| hits | u64::from(names.passes(before, last)) << at);
        (self.bytes(block), hits)
    }

    #[inline(always)]
    fn prefix_xor(self, mut bits: u64) -> u64 {
        for shift in [1, 2, 4, 8, 16, 32] {
            bits ^= bits << shift;
        }
        bits
    }
    #[inline(never)]
    fn fill(self, window: &mut Window, text: Text<'_>, carry: &mut Carry) {
        fill(self, window, text, carry);
    }

    #[inline(never)]
    fn apart<W: Work>(self, work: W) -> W::Output {
        work.run(self)
    }
}
