//! 64 bytes of JSON → bitmaps of what matters in them, by whatever instructions the processor has.
//!
//! [`Classify`] finds bytes; [`Carry::resolve`] then says which of them are structure and which are text within strings. Only the
//! first differs between processors, so that all see the same document.

mod carry;
mod prefilter;
mod scalar;
mod swar;
#[cfg(all(target_arch = "x86_64", not(miri)))]
mod x86;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::OnceLock;

use carry::Block;
pub(crate) use carry::Carry;
pub(crate) use prefilter::Prefilter;
use scalar::Scalar;

/// The bytes of one block that can be structure, wherever they stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bytes64 {
    pub(crate) quote: u64,
    pub(crate) backslash: u64,
    /// `{` and `[`.
    pub(crate) open: u64,
    /// `}` and `]`.
    pub(crate) close: u64,
}

/// The bytes of one block that a string must be looked at for, wherever they stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Text64 {
    pub(crate) quote: u64,
    pub(crate) backslash: u64,
    /// Below a space: none may stand in a string as it is.
    pub(crate) control: u64,
    /// Some byte is not ASCII.
    pub(crate) foreign: bool,
}

/// The characters of one block that take more than a byte, as far as their form is all that matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Characters64 {
    /// Second and further bytes.
    pub(crate) after: u64,
    /// First bytes of two.
    pub(crate) two: u64,
    /// First bytes of three, save those after which not every second byte is right (E0 and ED).
    pub(crate) three: u64,
    /// There are others, right or not.
    pub(crate) others: bool,
}

impl Characters64 {
    /// Where the last character begins that goes beyond the block, 64 for none; or `None` where this is not UTF-8 or cannot be told.
    #[inline(always)]
    pub(crate) fn whole(self) -> Option<u32> {
        let Self { after, two, three, others } = self;
        let first = two | three;
        if others || after != first << 1 | three << 2 {
            return None;
        }
        let cut = first >> 63 | three >> 62;
        Some(if cut == 0 { 64 } else { 63 - first.leading_zeros() })
    }
}

/// One way to look at 64 bytes at once.
pub(crate) trait Classify: Copy {
    fn bytes(self, block: &[u8; 64]) -> Bytes64;
    /// What matters for strings, and nothing else.
    fn text(self, block: &[u8; 64]) -> Text64;
    /// What makes UTF-8.
    fn characters(self, block: &[u8; 64]) -> Characters64;
    /// Also which bytes, with those before them, may be the end of a name.
    fn names(self, block: &[u8; 64], before: &[u8; 64], names: &Prefilter) -> (Bytes64, u64);
    /// Each bit becomes the parity of itself and all lower ones.
    fn prefix_xor(self, bits: u64) -> u64;
    /// [`fill`], as one function with the instructions of this form: not a part of each caller.
    fn fill(self, window: &mut Window, text: Text<'_>, carry: &mut Carry);
    /// Does the work in a function of its own with the instructions of this form: not in each caller.
    fn apart<W: Work>(self, work: W) -> W::Output;
}

/// What is done with one form: written once, compiled for each, and chosen when the program runs.
pub(crate) trait Work {
    type Output;
    /// Must be inlined into a function that has the form's instructions: `#[inline(always)]`.
    fn run<C: Classify>(self, classify: C) -> Self::Output;
}

/// The instructions that bodies are read with: what this processor has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Backend(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Scalar,
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    Avx2,
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    Avx512,
}

impl Backend {
    /// Eight bytes at a time in plain registers: runs anywhere.
    pub const SCALAR: Self = Self(Kind::Scalar);

    /// The fastest one here. The first call looks at the processor and compares what it is about to choose with the scalar form.
    pub fn best() -> Self {
        static BEST: OnceLock<Backend> = OnceLock::new();
        *BEST.get_or_init(|| Self::available().pop().unwrap_or(Self::SCALAR))
    }

    /// All that run here, the slowest first. One that disagrees with the scalar form on a fixed sample is left out.
    pub fn available() -> Vec<Self> {
        #[cfg_attr(any(miri, not(target_arch = "x86_64")), allow(unused_mut, reason = "there is no other"))]
        let mut all = vec![Self::SCALAR];
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        {
            if let Some(token) = x86::Avx2::detect()
                && x86::agrees_with_scalar(token)
            {
                all.push(Self(Kind::Avx2));
            }
            if let Some(token) = x86::Avx512::detect()
                && x86::agrees_with_scalar(token)
            {
                all.push(Self(Kind::Avx512));
            }
        }
        all
    }

    /// Does the work with these instructions.
    #[inline]
    pub(crate) fn run<W: Work>(self, work: W) -> W::Output {
        match self.0 {
            Kind::Scalar => work.run(Scalar),
            #[cfg(all(target_arch = "x86_64", not(miri)))]
            Kind::Avx2 => x86::with_avx2(work),
            #[cfg(all(target_arch = "x86_64", not(miri)))]
            Kind::Avx512 => x86::with_avx512(work),
        }
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Blocks that are classified at once: enough for the processor to overlap them, few enough to stay in its nearest cache.
pub(crate) const WINDOW: usize = 16;

/// The structure of some blocks; that of block `n` is at `n % WINDOW`.
#[derive(Debug, Default)]
pub(crate) struct Window {
    /// Quotes that begin or end a string.
    pub(crate) quotes: [u64; WINDOW],
    /// Those that end a string with a backslash in it.
    pub(crate) escaped: [u64; WINDOW],
    pub(crate) open: [u64; WINDOW],
    pub(crate) close: [u64; WINDOW],
    /// Those that end a string that may be one of the policy's names.
    pub(crate) candidates: [u64; WINDOW],
}

impl Window {
    #[inline(always)]
    fn set(&mut self, number: usize, (block, candidates): (Block, u64)) {
        let slot = number % WINDOW;
        self.quotes[slot] = block.quotes;
        self.escaped[slot] = block.escaped;
        self.open[slot] = block.open;
        self.close[slot] = block.close;
        self.candidates[slot] = candidates;
    }
}

/// What [`fill`] is to read: at most [`WINDOW`] blocks of a chunk.
#[derive(Clone, Copy)]
pub(crate) struct Text<'a> {
    pub(crate) data: &'a [u8],
    /// The first block and the one after the last.
    pub(crate) first: usize,
    pub(crate) last: usize,
    /// Where names are looked for.
    pub(crate) names: Option<&'a Prefilter>,
}

/// Classifies blocks. At the chunk's end it does as if spaces came after it.
#[inline(always)]
pub(crate) fn fill<C: Classify>(classify: C, window: &mut Window, text: Text<'_>, carry: &mut Carry) {
    let Text { data, first: mut number, last, names } = text;
    let whole = last.min(data.len() / 64);
    // In registers, not behind a reference.
    let mut own = *carry;
    let mut rest = whole.saturating_sub(number);
    match names {
        None => {
            for block in data[64 * number..64 * (number + rest)].as_chunks().0 {
                window.set(number, (own.resolve(classify, classify.bytes(block), 64), 0));
                number += 1;
            }
            if number < last {
                let (block, valid) = padded(data, number);
                window.set(number, (own.resolve(classify, classify.bytes(&after(&block)), valid), 0));
            }
        }
        Some(names) => {
            // The first block has no byte before it.
            if number == 0 && rest > 0 {
                let (block, _) = padded(data, 0);
                window.set(0, own.resolve_names(classify, &after(&block), &before(&block), names, 64));
                (number, rest) = (1, rest - 1);
            }
            let from = 64 * number;
            let blocks = data[from..from + 64 * rest].as_chunks().0;
            let befores = data[from.saturating_sub(1)..][..64 * rest].as_chunks().0;
            for (block, before) in blocks.iter().zip(befores) {
                window.set(number, own.resolve_names(classify, block, before, names, 64));
                number += 1;
            }
            if number < last {
                let (block, valid) = padded(data, number);
                window.set(number, own.resolve_names(classify, &after(&block), &before(&block), names, valid));
            }
        }
    }
    *carry = own;
}

/// The block of this number, with the byte before it where the chunk has one and spaces after the chunk's end; and how much of it is input.
#[inline(never)]
pub(crate) fn padded(data: &[u8], number: usize) -> ([u8; 65], u32) {
    let from = 64 * number;
    let mut block = [b' '; 65];
    if from > 0 {
        block[0] = data[from - 1];
    }
    let own = &data[from..data.len().min(from + 64)];
    block[1..=own.len()].copy_from_slice(own);
    (block, own.len() as u32)
}

#[inline(always)]
fn before(padded: &[u8; 65]) -> [u8; 64] {
    *padded.first_chunk().expect("64 of 65 bytes")
}

#[inline(always)]
pub(crate) fn after(padded: &[u8; 65]) -> [u8; 64] {
    *padded.last_chunk().expect("64 of 65 bytes")
}
