//! Numbers and words: in one go where the chunk has them whole, else byte by byte.

use super::fault::What;

/// How much of a number or word has been seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scalar {
    /// Nothing yet.
    Start,
    /// The minus sign.
    Minus,
    /// A zero, after which no digit may follow.
    Zero,
    /// Digits before a point.
    Whole,
    /// The point.
    Point,
    /// Digits after the point.
    Fraction,
    /// The `e`.
    Power,
    /// The sign of the exponent.
    Sign,
    /// Digits of the exponent.
    Exponent,
    /// A word, of which this is to come still.
    Word(&'static [u8]),
}

/// What a byte means to a number or word.
pub(super) enum Next {
    /// It is a part of it.
    On(Scalar),
    /// It ended before this byte.
    Over,
    /// It must not stand here.
    Wrong(What),
}

impl Scalar {
    /// Whether it may end here.
    pub(super) fn is_complete(self) -> bool {
        matches!(self, Self::Zero | Self::Whole | Self::Fraction | Self::Exponent | Self::Word([]))
    }

    pub(super) fn next(self, byte: u8) -> Next {
        use Scalar::{Exponent, Fraction, Minus, Point, Power, Sign, Start, Whole, Word, Zero};
        Next::On(match (self, byte) {
            (Start, b'-') => Minus,
            (Start | Minus, b'0') => Zero,
            (Start | Minus, b'1'..=b'9') | (Whole, b'0'..=b'9') => Whole,
            (Zero | Whole, b'.') => Point,
            (Point | Fraction, b'0'..=b'9') => Fraction,
            (Zero | Whole | Fraction, b'e' | b'E') => Power,
            (Power, b'+' | b'-') => Sign,
            (Power | Sign | Exponent, b'0'..=b'9') => Exponent,
            (Start, b't') => Word(b"rue"),
            (Start, b'f') => Word(b"alse"),
            (Start, b'n') => Word(b"ull"),
            (Word([wanted, rest @ ..]), _) if *wanted == byte => Word(rest),
            (Word([_, ..]), _) => return Next::Wrong(What::NoWord),
            (Start, _) => return Next::Wrong(What::NoValue),
            (Minus | Point | Power | Sign, _) => return Next::Wrong(What::NoDigit),
            (Zero | Whole | Fraction | Exponent | Word([]), _) => return Next::Over,
        })
    }
}

/// Where the number or word ends that begins at `at` with `first`: `None` where that is not plain to see, because of the chunk's end or of a
/// fault.
#[inline(always)]
pub(super) fn end(data: &[u8], at: usize, first: u8) -> Option<usize> {
    match first {
        b'0'..=b'9' | b'-' => number(data, at, first),
        b't' => word(data, at, *b"true"),
        b'n' => word(data, at, *b"null"),
        b'f' => word(data, at + 1, *b"alse"),
        _ => None,
    }
}

#[inline(always)]
fn word(data: &[u8], at: usize, word: [u8; 4]) -> Option<usize> {
    let found = data.get(at..)?.first_chunk::<4>()?;
    (u32::from_le_bytes(*found) == u32::from_le_bytes(word)).then_some(at + 4)
}

#[inline(always)]
fn number(data: &[u8], at: usize, first: u8) -> Option<usize> {
    let mut at = at + 1;
    let mut first = first;
    if first == b'-' {
        first = *data.get(at)?;
        at += 1;
    }
    let mut byte = match first {
        b'0' => *data.get(at)?,
        b'1'..=b'9' => {
            at = digits(data, at);
            *data.get(at)?
        }
        _ => return None,
    };
    if byte == b'.' {
        let end = digits(data, at + 1);
        byte = *data.get(end)?;
        if end == at + 1 {
            return None;
        }
        at = end;
    }
    if byte | 0x20 == b'e' {
        let sign = usize::from(matches!(data.get(at + 1)?, b'+' | b'-'));
        let end = digits(data, at + 1 + sign);
        if end == at + 1 + sign || end == data.len() {
            return None;
        }
        at = end;
    }
    Some(at)
}

/// Where the digits end that begin at `at`, if there are any.
#[inline(always)]
fn digits(data: &[u8], mut at: usize) -> usize {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    while let Some(eight) = data.get(at..).and_then(|rest| rest.first_chunk()) {
        let values = u64::from_le_bytes(*eight) ^ 0x3030_3030_3030_3030;
        let others = (((values & !HIGH) + 0x7676_7676_7676_7676) | values) & HIGH;
        if others != 0 {
            return at + others.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    while data.get(at).is_some_and(u8::is_ascii_digit) {
        at += 1;
    }
    at
}
