//! Where the strings of a chunk begin and end, found a window of blocks ahead of the walker; and whether all in them is as it must be.

use super::fault::{Defect, What};
use crate::json::bits::{Carry, Classify, WINDOW, Work, after, padded};

/// What one chunk's strings tell the next.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Held {
    carry: Carry,
    /// Hexadecimal digits that are missing of a `\u`.
    digits: usize,
    /// The beginning of a character, and how many bytes of it there are.
    character: [u8; 4],
    length: usize,
}

/// Gives out the closing quotes of `data`, one after the other.
pub(super) struct Strings<'a, C> {
    classify: C,
    pub(super) data: &'a [u8],
    /// Quotes of the present block that were not given out yet.
    bits: u64,
    /// Where that block begins.
    begin: usize,
    /// The block after that one.
    next: usize,
    scan: Scan<'a>,
}

/// What is known of the blocks so far.
struct Scan<'a> {
    /// Closing quotes.
    quotes: [u64; WINDOW],
    /// Those of strings with a backslash in them.
    slashed: [u64; WINDOW],
    /// The first block that is not classified yet.
    end: usize,
    /// Up to here all is UTF-8.
    checked: usize,
    flaw: Option<Defect>,
    held: &'a mut Held,
}

impl<'a, C: Classify> Strings<'a, C> {
    /// Fails for a character that an earlier chunk began, with how many bytes before this chunk that was.
    #[inline(always)]
    pub(super) fn new(classify: C, data: &'a [u8], held: &'a mut Held) -> Result<Self, usize> {
        let checked = held.complete(data)?;
        let flaw = held.finish_digits(data);
        let scan = Scan { quotes: [0; WINDOW], slashed: [0; WINDOW], end: 0, checked, flaw, held };
        Ok(Self { classify, data, bits: 0, begin: 0, next: 0, scan })
    }

    /// The next quote that ends a string, unless the chunk ends or has a flaw before it. Each must be asked for.
    #[inline(always)]
    pub(super) fn quote(&mut self) -> Option<usize> {
        while self.bits == 0 {
            if self.next == self.scan.end && !self.fill() {
                return None;
            }
            self.bits = self.scan.quotes[self.next % WINDOW];
            self.begin = 64 * self.next;
            self.next += 1;
        }
        let quote = self.begin + self.bits.trailing_zeros() as usize;
        self.bits &= self.bits - 1;
        Some(quote)
    }

    /// Whether the string has a backslash whose closing quote was given out last.
    #[inline(always)]
    pub(super) fn slashed(&self, quote: usize) -> bool {
        self.scan.slashed[quote / 64 % WINDOW] >> (quote % 64) & 1 == 1
    }

    /// Looks at the next window. Returns whether there was something to look at.
    #[inline(always)]
    fn fill(&mut self) -> bool {
        self.classify.apart(Fill { data: self.data, scan: &mut self.scan })
    }

    /// Looks at the rest of the chunk, for the next one's sake.
    #[inline(always)]
    pub(super) fn finish(&mut self) -> Result<(), Defect> {
        while self.fill() {}
        match self.scan.flaw {
            Some(flaw) => Err(flaw),
            None => {
                let rest = &self.data[self.scan.checked..];
                if !rest.is_empty() {
                    self.scan.held.length = rest.len();
                    self.scan.held.character[..rest.len()].copy_from_slice(rest);
                }
                Ok(())
            }
        }
    }
}

impl Scan<'_> {
    /// A block of `data`: its number, and how many bytes it has.
    #[inline(always)]
    fn block<C: Classify>(&mut self, classify: C, carry: &mut Carry, data: &[u8], (number, valid): (usize, u32), block: &[u8; 64]) {
        let text = classify.text(block);
        let strings = carry.strings(classify, text, valid);
        self.quotes[number % WINDOW] = strings.quotes & !strings.inside;
        self.slashed[number % WINDOW] = strings.slashed;
        let begin = 64 * number;
        if text.control & strings.inside != 0 {
            worse(&mut self.flaw, begin + (text.control & strings.inside).trailing_zeros() as usize, What::Control);
        }
        let escaped = strings.escaped & strings.inside;
        if escaped != 0 {
            self.held.digits = escapes(data, begin, escaped & (u64::MAX >> (64 - valid)), self.held.digits, &mut self.flaw);
        }
        let end = begin + valid as usize;
        if !text.foreign && self.checked >= begin {
            self.checked = end;
        } else if self.checked == begin
            && let Some(last) = classify.characters(block).whole()
        {
            self.checked = end.min(begin + last as usize);
        } else {
            characters(data, &mut self.checked, end, &mut self.flaw);
        }
    }
}

struct Fill<'s, 'a> {
    data: &'s [u8],
    scan: &'s mut Scan<'a>,
}

impl Work for Fill<'_, '_> {
    type Output = bool;

    #[inline(always)]
    fn run<C: Classify>(self, classify: C) -> bool {
        let Self { data, scan } = self;
        let first = scan.end;
        let last = (first + WINDOW).min(data.len().div_ceil(64));
        if first == last || scan.flaw.is_some_and(|Defect(at, _)| at < 64 * first) {
            return false;
        }
        let whole = last.min(data.len() / 64);
        let mut carry = scan.held.carry;
        for (number, block) in (first..).zip(data[64 * first..64 * whole].as_chunks().0) {
            scan.block(classify, &mut carry, data, (number, 64), block);
        }
        if whole < last {
            let (block, valid) = padded(data, whole);
            scan.block(classify, &mut carry, data, (whole, valid), &after(&block));
        }
        scan.held.carry = carry;
        scan.end = last;
        if let Some(Defect(at, _)) = scan.flaw {
            // Nothing from there on is to be believed.
            for number in first..last {
                let below = at.saturating_sub(64 * number);
                scan.quotes[number % WINDOW] &= if below < 64 { (1 << below) - 1 } else { u64::MAX };
            }
        }
        true
    }
}

/// The first flaw counts; of two at one place the one that is known without what comes after it.
#[cold]
#[inline(never)]
fn worse(flaw: &mut Option<Defect>, at: usize, what: What) {
    if flaw.is_none_or(|known| (at, what) < (known.0, known.1)) {
        *flaw = Some(Defect(at, what));
    }
}

/// Looks at the bytes that backslashes escape. Returns how many hexadecimal digits the next chunk must begin with, where `missing` were known
/// to be missing there.
#[inline(never)]
fn escapes(data: &[u8], begin: usize, mut escaped: u64, mut missing: usize, flaw: &mut Option<Defect>) -> usize {
    while escaped != 0 {
        let at = begin + escaped.trailing_zeros() as usize;
        escaped &= escaped - 1;
        match data[at] {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
            b'u' => {
                let digits = &data[at + 1..data.len().min(at + 5)];
                match digits.iter().position(|digit| !digit.is_ascii_hexdigit()) {
                    Some(other) => worse(flaw, at + 1 + other, What::Hexadecimal),
                    None => missing = 4 - digits.len(),
                }
            }
            _ => worse(flaw, at, What::Escape),
        }
    }
    missing
}

/// Reads characters from `checked` to `end`, of which the last may be cut.
#[inline(never)]
fn characters(data: &[u8], checked: &mut usize, end: usize, flaw: &mut Option<Defect>) {
    match str::from_utf8(&data[*checked..end]) {
        Ok(_) => *checked = end,
        Err(error) => {
            *checked += error.valid_up_to();
            if error.error_len().is_some() {
                worse(flaw, *checked, What::Utf8);
            }
        }
    }
}

impl Held {
    /// Reads on in a character that earlier chunks began. Returns where it ends.
    fn complete(&mut self, data: &[u8]) -> Result<usize, usize> {
        if self.length == 0 {
            return Ok(0);
        }
        let before = self.length;
        for (index, &byte) in data.iter().enumerate() {
            self.character[self.length] = byte;
            self.length += 1;
            match str::from_utf8(&self.character[..self.length]) {
                Ok(_) => {
                    self.length = 0;
                    return Ok(index + 1);
                }
                Err(error) if error.error_len().is_some() => return Err(before),
                Err(_) => {}
            }
        }
        Ok(data.len())
    }

    /// The digits of a `\u` that earlier chunks began.
    fn finish_digits(&mut self, data: &[u8]) -> Option<Defect> {
        let wanted = self.digits.min(data.len());
        self.digits -= wanted;
        let other = data[..wanted].iter().position(|digit| !digit.is_ascii_hexdigit())?;
        Some(Defect(other, What::Hexadecimal))
    }
}
