//! AVX2 and AVX-512.
//!
//! All `unsafe` of what reads JSON is here, and of one kind: instructions that not every processor has. An `Avx2` or `Avx512` can only be had
//! from `detect`, so whoever holds one may use them. Loads take whole arrays.
#![allow(unsafe_code, reason = "the standard library has no safe way to call instructions that the compiler may not assume")]

use std::arch::x86_64::*;

use super::scalar::Scalar;
use super::{Bytes64, Carry, Characters64, Classify, Prefilter, Text, Text64, Window, Work, fill};

/// Proof that the processor has AVX2, carry-less multiplication and the bit instructions that came with them.
#[derive(Clone, Copy)]
pub(super) struct Avx2(());

/// Proof that the processor has AVX-512 on bytes, and all that [`Avx2`] proves.
#[derive(Clone, Copy)]
pub(super) struct Avx512(());

impl Avx2 {
    pub(super) fn detect() -> Option<Self> {
        let all = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("lzcnt")
            && is_x86_feature_detected!("popcnt")
            && is_x86_feature_detected!("pclmulqdq");
        all.then_some(Self(()))
    }
}

impl Avx512 {
    pub(super) fn detect() -> Option<Self> {
        let all = Avx2::detect().is_some() && is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw");
        all.then_some(Self(()))
    }
}

/// Whether `token` sees every byte value, at every place of a block and after every other, as the scalar form does.
pub(super) fn agrees_with_scalar<C: Classify>(token: C) -> bool {
    let names = Prefilter {
        before: std::array::from_fn(|i| 0x35 ^ (i as u8).wrapping_mul(29)),
        last: std::array::from_fn(|i| 0x5a ^ (i as u8).wrapping_mul(71)),
    };
    let mut block = [0u8; 65];
    (0u32..1024).all(|round| {
        let mut mixed = round.wrapping_mul(0x9e37_79b9);
        for (at, byte) in block.iter_mut().enumerate() {
            mixed = mixed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // Every second round each byte value in turn, else mostly the bytes that matter.
            *byte = match round % 2 {
                0 => (round / 2).wrapping_add(at as u32) as u8,
                _ => b"\"\\{}[]:, \t\n\r\x0c;ZzAa\x80\xdb\xfb\xfd\xa2\xdc\x7f\x00"[(mixed >> 16) as usize % 26],
            };
        }
        let own: &[u8; 64] = block.last_chunk().expect("64 of 65 bytes");
        let before: &[u8; 64] = block.first_chunk().expect("64 of 65 bytes");
        let bits = (u64::from(mixed) << 32 | u64::from(round)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        token.bytes(own) == Scalar.bytes(own)
            && token.text(own) == Scalar.text(own)
            && token.characters(own) == Scalar.characters(own)
            && token.names(own, before, &names) == Scalar.names(own, before, &names)
            && token.prefix_xor(bits) == Scalar.prefix_xor(bits)
    })
}

pub(super) fn with_avx2<W: Work>(work: W) -> W::Output {
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt,pclmulqdq")]
    fn inner<W: Work>(work: W) -> W::Output {
        work.run(Avx2(()))
    }
    // SAFETY: `Backend` names AVX2 only after `Avx2::detect`.
    unsafe { inner(work) }
}

pub(super) fn with_avx512<W: Work>(work: W) -> W::Output {
    #[target_feature(enable = "avx512f,avx512bw,avx2,bmi1,bmi2,lzcnt,popcnt,pclmulqdq")]
    fn inner<W: Work>(work: W) -> W::Output {
        work.run(Avx512(()))
    }
    // SAFETY: `Backend` names AVX-512 only after `Avx512::detect`.
    unsafe { inner(work) }
}

/// Two registers of 32 bytes.
type Pair = [__m256i; 2];

// These must be inlined into a function that has the features, else each vector would go through memory: hence no `#[target_feature]`
// on them, which excludes `inline(always)`.
impl Avx2 {
    #[inline(always)]
    fn load(self, block: &[u8; 64]) -> Pair {
        // SAFETY: `self` proves AVX2; the two loads stay within the 64 bytes.
        unsafe { [_mm256_loadu_si256(block.as_ptr().cast()), _mm256_loadu_si256(block.as_ptr().add(32).cast())] }
    }

    /// The highest bit of each byte.
    #[inline(always)]
    fn gather(self, pair: Pair) -> u64 {
        // SAFETY: `self` proves AVX2.
        unsafe { u64::from(_mm256_movemask_epi8(pair[0]) as u32) | u64::from(_mm256_movemask_epi8(pair[1]) as u32) << 32 }
    }

    #[inline(always)]
    fn equal(self, pair: Pair, byte: u8) -> u64 {
        // SAFETY: `self` proves AVX2.
        unsafe {
            let byte = _mm256_set1_epi8(byte as i8);
            self.gather([_mm256_cmpeq_epi8(pair[0], byte), _mm256_cmpeq_epi8(pair[1], byte)])
        }
    }

    #[inline(always)]
    fn structure(self, pair: Pair) -> Bytes64 {
        // SAFETY: `self` proves AVX2.
        let folded = unsafe {
            let bit = _mm256_set1_epi8(0x20);
            [_mm256_or_si256(pair[0], bit), _mm256_or_si256(pair[1], bit)]
        };
        Bytes64 {
            quote: self.equal(pair, b'"'),
            backslash: self.equal(pair, b'\\'),
            open: self.equal(folded, b'{'),
            close: self.equal(folded, b'}'),
        }
    }

    /// All ones for each byte that, with the one before it, is no end of a name.
    #[inline(always)]
    fn misses(self, half: __m256i, before: __m256i, names: &Prefilter) -> __m256i {
        // SAFETY: `self` proves AVX2; the tables are 16 bytes long.
        unsafe {
            let befores = _mm256_broadcastsi128_si256(_mm_loadu_si128(names.before.as_ptr().cast()));
            let lasts = _mm256_broadcastsi128_si256(_mm_loadu_si128(names.last.as_ptr().cast()));
            // A shuffle looks at the lower half of a byte, and gives zero where its highest bit is set.
            let classes = _mm256_and_si256(_mm256_shuffle_epi8(befores, before), _mm256_shuffle_epi8(lasts, half));
            _mm256_cmpeq_epi8(classes, _mm256_setzero_si256())
        }
    }
}

impl Classify for Avx2 {
    #[inline(always)]
    fn bytes(self, block: &[u8; 64]) -> Bytes64 {
        self.structure(self.load(block))
    }

    #[inline(always)]
    fn text(self, block: &[u8; 64]) -> Text64 {
        let pair = self.load(block);
        // SAFETY: `self` proves AVX2.
        let (control, foreign) = unsafe {
            let last = _mm256_set1_epi8(0x1f);
            let is_control = |half| _mm256_cmpeq_epi8(_mm256_max_epu8(half, last), last);
            let foreign = _mm256_movemask_epi8(_mm256_or_si256(pair[0], pair[1])) != 0;
            (self.gather([is_control(pair[0]), is_control(pair[1])]), foreign)
        };
        Text64 { quote: self.equal(pair, b'"'), backslash: self.equal(pair, b'\\'), control, foreign }
    }

    #[inline(always)]
    fn characters(self, block: &[u8; 64]) -> Characters64 {
        let pair = self.load(block);
        // SAFETY: `self` proves AVX2. As signed numbers, 0x80 is the least and 0xff is -1.
        let (high, after, two, three) = unsafe {
            let above = |half: __m256i, byte: u8| _mm256_cmpgt_epi8(half, _mm256_set1_epi8(byte as i8));
            let below = |half: __m256i, byte: u8| _mm256_cmpgt_epi8(_mm256_set1_epi8(byte as i8), half);
            let two = |half: __m256i| _mm256_and_si256(above(half, 0xc1), below(half, 0xe0));
            let three = |half: __m256i| {
                let surrogates = _mm256_cmpeq_epi8(half, _mm256_set1_epi8(0xed_u8 as i8));
                _mm256_andnot_si256(surrogates, _mm256_and_si256(above(half, 0xe0), below(half, 0xf0)))
            };
            let after = self.gather([below(pair[0], 0xc0), below(pair[1], 0xc0)]);
            (self.gather(pair), after, self.gather([two(pair[0]), two(pair[1])]), self.gather([three(pair[0]), three(pair[1])]))
        };
        Characters64 { after, two, three, others: high != after | two | three }
    }

    #[inline(always)]
    fn names(self, block: &[u8; 64], before: &[u8; 64], names: &Prefilter) -> (Bytes64, u64) {
        let (pair, before) = (self.load(block), self.load(before));
        let misses = self.gather([self.misses(pair[0], before[0], names), self.misses(pair[1], before[1], names)]);
        (self.structure(pair), !misses)
    }

    #[inline(always)]
    fn prefix_xor(self, bits: u64) -> u64 {
        // SAFETY: `self` proves carry-less multiplication.
        unsafe { multiply_by_ones(bits) }
    }
    #[inline(always)]
    fn fill(self, window: &mut Window, text: Text<'_>, carry: &mut Carry) {
        #[inline(never)]
        #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt,pclmulqdq")]
        fn inner(token: Avx2, window: &mut Window, text: Text<'_>, carry: &mut Carry) {
            fill(token, window, text, carry);
        }
        // SAFETY: `self` proves AVX2 and the rest.
        unsafe { inner(self, window, text, carry) }
    }

    #[inline(always)]
    fn apart<W: Work>(self, work: W) -> W::Output {
        #[inline(never)]
        #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt,pclmulqdq")]
        fn inner<W: Work>(token: Avx2, work: W) -> W::Output {
            work.run(token)
        }
        // SAFETY: `self` proves AVX2 and the rest.
        unsafe { inner(self, work) }
    }
}

impl Classify for Avx512 {
    #[inline(always)]
    fn bytes(self, block: &[u8; 64]) -> Bytes64 {
        // SAFETY: `self` proves AVX-512BW; the load is of the 64 bytes.
        unsafe { structure_512(_mm512_loadu_si512(block.as_ptr().cast())) }
    }

    #[inline(always)]
    fn text(self, block: &[u8; 64]) -> Text64 {
        // SAFETY: `self` proves AVX-512BW; the load is of the 64 bytes.
        unsafe {
            let own = _mm512_loadu_si512(block.as_ptr().cast());
            Text64 {
                quote: _mm512_cmpeq_epi8_mask(own, _mm512_set1_epi8(b'"' as i8)),
                backslash: _mm512_cmpeq_epi8_mask(own, _mm512_set1_epi8(b'\\' as i8)),
                control: _mm512_cmplt_epu8_mask(own, _mm512_set1_epi8(0x20)),
                foreign: _mm512_movepi8_mask(own) != 0,
            }
        }
    }

    #[inline(always)]
    fn characters(self, block: &[u8; 64]) -> Characters64 {
        // SAFETY: `self` proves AVX-512BW; the load is of the 64 bytes.
        unsafe {
            let own = _mm512_loadu_si512(block.as_ptr().cast());
            let above = |byte: u8| _mm512_cmpgt_epu8_mask(own, _mm512_set1_epi8(byte as i8));
            let (high, first) = (above(0x7f), above(0xbf));
            let two = above(0xc1) & !above(0xdf);
            let three = above(0xe0) & !above(0xef) & !_mm512_cmpeq_epi8_mask(own, _mm512_set1_epi8(0xed_u8 as i8));
            let after = high & !first;
            Characters64 { after, two, three, others: high != after | two | three }
        }
    }

    #[inline(always)]
    fn names(self, block: &[u8; 64], before: &[u8; 64], names: &Prefilter) -> (Bytes64, u64) {
        // SAFETY: `self` proves AVX-512BW; the loads are of 64 bytes each, the tables are 16 bytes long.
        unsafe {
            let (own, before) = (_mm512_loadu_si512(block.as_ptr().cast()), _mm512_loadu_si512(before.as_ptr().cast()));
            let befores = _mm512_broadcast_i32x4(_mm_loadu_si128(names.before.as_ptr().cast()));
            let lasts = _mm512_broadcast_i32x4(_mm_loadu_si128(names.last.as_ptr().cast()));
            // A shuffle looks at the lower half of a byte, and gives zero where its highest bit is set.
            let hits = _mm512_test_epi8_mask(_mm512_shuffle_epi8(befores, before), _mm512_shuffle_epi8(lasts, own));
            (structure_512(own), hits)
        }
    }

    #[inline(always)]
    fn prefix_xor(self, bits: u64) -> u64 {
        // SAFETY: `self` proves carry-less multiplication.
        unsafe { multiply_by_ones(bits) }
    }
    #[inline(always)]
    fn fill(self, window: &mut Window, text: Text<'_>, carry: &mut Carry) {
        #[inline(never)]
        #[target_feature(enable = "avx512f,avx512bw,avx2,bmi1,bmi2,lzcnt,popcnt,pclmulqdq")]
        fn inner(token: Avx512, window: &mut Window, text: Text<'_>, carry: &mut Carry) {
            fill(token, window, text, carry);
        }
        // SAFETY: `self` proves AVX-512BW and the rest.
        unsafe { inner(self, window, text, carry) }
    }

    #[inline(always)]
    fn apart<W: Work>(self, work: W) -> W::Output {
        #[inline(never)]
        #[target_feature(enable = "avx512f,avx512bw,avx2,bmi1,bmi2,lzcnt,popcnt,pclmulqdq")]
        fn inner<W: Work>(token: Avx512, work: W) -> W::Output {
            work.run(token)
        }
        // SAFETY: `self` proves AVX-512BW and the rest.
        unsafe { inner(self, work) }
    }
}

/// # Safety
/// The processor must have AVX-512BW.
#[inline(always)]
unsafe fn structure_512(own: __m512i) -> Bytes64 {
    // SAFETY: the caller's.
    unsafe {
        let folded = _mm512_or_si512(own, _mm512_set1_epi8(0x20));
        Bytes64 {
            quote: _mm512_cmpeq_epi8_mask(own, _mm512_set1_epi8(b'"' as i8)),
            backslash: _mm512_cmpeq_epi8_mask(own, _mm512_set1_epi8(b'\\' as i8)),
            open: _mm512_cmpeq_epi8_mask(folded, _mm512_set1_epi8(b'{' as i8)),
            close: _mm512_cmpeq_epi8_mask(folded, _mm512_set1_epi8(b'}' as i8)),
        }
    }
}

/// # Safety
/// The processor must have carry-less multiplication.
#[inline(always)]
unsafe fn multiply_by_ones(bits: u64) -> u64 {
    // SAFETY: the caller's.
    unsafe { _mm_cvtsi128_si64(_mm_clmulepi64_si128::<0>(_mm_cvtsi64_si128(bits as i64), _mm_set1_epi8(-1))) as u64 }
}
