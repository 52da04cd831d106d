//! Opens a body that an upstream compressed although it was asked not to.

use std::io::{self, Write};

use bytes::Bytes;

/// What one chunk may grow to when it is opened: beyond this it is a bomb.
const MOST_OPENED: usize = 32 << 20;
/// How much is opened at a time, so that a bomb is noticed early.
const STEP: usize = 4 << 10;

/// Opens a compressed body.
pub enum Opener {
    /// RFC 1952.
    Gzip(Box<flate2::write::MultiGzDecoder<Opened>>),
    /// RFC 7932.
    Brotli(Box<brotli::DecompressorWriter<Opened>>),
}

/// What was opened, up to a bound: a few bytes may stand for more than there is memory for.
#[derive(Default)]
pub struct Opened {
    bytes: Vec<u8>,
    most: usize,
    /// Whether it would have been more.
    over: bool,
}

impl Write for Opened {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        if part.len() > self.most.saturating_sub(self.bytes.len()) {
            self.over = true;
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it grows without bound"));
        }
        self.bytes.extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Opener {
    /// For a `Content-Encoding` that is one of these; `None` for another one.
    pub fn of(coding: &[u8]) -> Option<Self> {
        match coding.to_ascii_lowercase().as_slice() {
            b"gzip" | b"x-gzip" => Some(Self::Gzip(Box::new(flate2::write::MultiGzDecoder::new(Opened::default())))),
            b"br" => Some(Self::Brotli(Box::new(brotli::DecompressorWriter::new(Opened::default(), 16 << 10)))),
            _ => None,
        }
    }

    /// What these bytes open to. An error for bytes that are no such coding, and for a bomb; with `last` also for a body that ends early.
    pub fn push(&mut self, bytes: &[u8], last: bool) -> io::Result<Bytes> {
        self.push_within(bytes, last, MOST_OPENED)
    }

    /// The same where so many bytes are too many.
    pub fn push_within(&mut self, bytes: &[u8], last: bool, most: usize) -> io::Result<Bytes> {
        self.opened().most = most;
        for part in bytes.chunks(STEP) {
            match self {
                Self::Gzip(opener) => opener.write_all(part)?,
                Self::Brotli(opener) => opener.write_all(part)?,
            }
        }
        if last {
            match self {
                Self::Gzip(opener) => opener.try_finish()?,
                Self::Brotli(opener) => opener.close()?,
            }
        }
        Ok(std::mem::take(&mut self.opened().bytes).into())
    }

    /// Whether an error was one of length: what was opened is longer than it may be.
    pub fn was_too_long(&mut self) -> bool {
        self.opened().over
    }

    fn opened(&mut self) -> &mut Opened {
        match self {
            Self::Gzip(opener) => opener.get_mut(),
            Self::Brotli(opener) => opener.get_mut(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coding::{Coding, Packer, Then};

    #[test]
    fn what_is_no_such_coding_is_an_error() {
        for coding in ["gzip", "br"] {
            let mut opener = Opener::of(coding.as_bytes()).expect("an opener");
            assert!(opener.push(b"{\"plain\": true, \"and\": \"long enough to be noticed\"}", true).is_err(), "{coding}");
        }
        assert!(Opener::of(b"deflate").is_none());
    }

    #[test]
    fn a_bomb_is_noticed() {
        let mut packer = Packer::new(Coding::Gzip, None).expect("a place");
        let mut packed = Vec::new();
        for _ in 0..64 {
            packed.extend(packer.pack(&vec![b' '; 1 << 20], Then::Pause).expect("packs").unwrap_or_default());
        }

        assert!(Opener::of(b"gzip").expect("an opener").push(&packed, false).is_err());
    }

    #[test]
    fn no_more_is_opened_than_asked_for_however_little_it_is_packed_in() {
        let mut packed = Vec::new();
        let mut packer = brotli::CompressorWriter::new(&mut packed, 4096, 5, 22);
        (0..48).for_each(|_| packer.write_all(&vec![b' '; 1 << 20]).expect("packs"));
        drop(packer);
        assert!(packed.len() <= STEP, "{} bytes: all of it is opened in one step", packed.len());

        let mut bomb = Opener::of(b"br").expect("an opener");
        assert!(bomb.push_within(&packed, true, 1000).is_err() && bomb.was_too_long());
        assert!(bomb.opened().bytes.capacity() <= 64 << 10, "{}", bomb.opened().bytes.capacity());

        let mut packer = Packer::new(Coding::Gzip, None).expect("a place");
        let packed = packer.pack(b"0123456789", Then::End).expect("packs").expect("bytes");
        let mut exact = Opener::of(b"gzip").expect("an opener");
        assert_eq!(exact.push_within(&packed, true, 10).expect("it fits"), "0123456789");
        let mut less = Opener::of(b"gzip").expect("an opener");
        assert!(less.push_within(&packed, true, 9).is_err() && less.was_too_long());
        let mut broken = Opener::of(b"gzip").expect("an opener");
        assert!(broken.push_within(&packed[..packed.len() - 9], true, 10).is_err() && !broken.was_too_long());
    }
}
