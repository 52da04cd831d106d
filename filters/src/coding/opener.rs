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
    Gzip(Box<flate2::write::MultiGzDecoder<Vec<u8>>>),
    /// RFC 7932.
    Brotli(Box<brotli::DecompressorWriter<Vec<u8>>>),
}

impl Opener {
    /// For a `Content-Encoding` that is one of these; `None` for another one.
    pub fn of(coding: &[u8]) -> Option<Self> {
        match coding.to_ascii_lowercase().as_slice() {
            b"gzip" | b"x-gzip" => Some(Self::Gzip(Box::new(flate2::write::MultiGzDecoder::new(Vec::new())))),
            b"br" => Some(Self::Brotli(Box::new(brotli::DecompressorWriter::new(Vec::new(), 16 << 10)))),
            _ => None,
        }
    }

    /// What these bytes open to. An error for bytes that are no such coding, and for a bomb; with `last` also for a body that ends early.
    pub fn push(&mut self, bytes: &[u8], last: bool) -> io::Result<Bytes> {
        let mut opened = Vec::new();
        for part in bytes.chunks(STEP) {
            match self {
                Self::Gzip(opener) => {
                    opener.write_all(part)?;
                    opened.append(opener.get_mut());
                }
                Self::Brotli(opener) => {
                    opener.write_all(part)?;
                    opened.append(opener.get_mut());
                }
            }
            if opened.len() > MOST_OPENED {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "it grows without bound"));
            }
        }
        if last {
            match self {
                Self::Gzip(opener) => {
                    opener.try_finish()?;
                    opened.append(opener.get_mut());
                }
                Self::Brotli(opener) => {
                    opener.close()?;
                    opened.append(opener.get_mut());
                }
            }
        }
        Ok(opened.into())
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
}
