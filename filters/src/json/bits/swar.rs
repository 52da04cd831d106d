//! Eight bytes in one word. A result has the highest bit of each byte for which the answer is yes.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// The `index`th eight bytes of a block.
#[inline(always)]
pub(super) fn word(block: &[u8; 64], index: usize) -> u64 {
    u64::from_le_bytes(block[8 * index..8 * index + 8].try_into().expect("eight bytes"))
}

/// Bytes that are `byte`. Exact: no borrow runs from one byte into the next.
#[inline(always)]
pub(super) fn equal(word: u64, byte: u8) -> u64 {
    let zero_if_equal = word ^ (ONES * u64::from(byte));
    !(((zero_if_equal & !HIGH) + !HIGH) | zero_if_equal) & HIGH
}

/// Bytes below a space. Exact, too.
#[inline(always)]
pub(super) fn below_space(word: u64) -> u64 {
    !(((word & !HIGH) + ONES * 0x60) | word) & HIGH
}

/// One bit a byte, the first byte's lowest.
#[inline(always)]
pub(super) fn gather(answers: u64) -> u64 {
    (answers >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
}
