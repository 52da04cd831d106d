//! Content codings around the trimmer: what an upstream compressed all the same is opened, and what is left is compressed for the client.

use std::io::{self, Write};

use bytes::Bytes;
use http::HeaderMap;
use http::header::ACCEPT_ENCODING;

use crate::words::fields;

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

/// Compresses what is sent.
pub enum Packer {
    /// RFC 1952.
    Gzip(Box<flate2::write::GzEncoder<Vec<u8>>>),
    /// RFC 7932.
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    /// RFC 8878.
    Zstd(Box<zstd::stream::write::Encoder<'static, Vec<u8>>>),
}

/// A coding that a client may accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// `gzip`
    Gzip,
    /// `br`
    Brotli,
    /// `zstd`
    Zstd,
}

impl Coding {
    /// The one that the client likes best (RFC 9110, section 12.5.3); between equals the one that packs best for its time.
    pub fn best(headers: &HeaderMap) -> Option<Self> {
        let mut best: Option<(u32, Self)> = None;
        for entry in fields::list(headers, &ACCEPT_ENCODING) {
            let mut parts = entry.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
            let coding = match parts.next().unwrap_or_default().to_ascii_lowercase().as_slice() {
                b"gzip" | b"x-gzip" => Self::Gzip,
                b"br" => Self::Brotli,
                b"zstd" => Self::Zstd,
                _ => continue,
            };
            let quality = match parts.find_map(|part| part.strip_prefix(b"q=").or_else(|| part.strip_prefix(b"Q="))) {
                Some(quality) => std::str::from_utf8(quality)
                    .ok()
                    .and_then(|quality| quality.parse::<f32>().ok())
                    .filter(|quality| *quality <= 1.0)
                    .unwrap_or(0.0),
                None => 1.0,
            };
            let rank = (quality * 1000.0) as u32;
            if rank > 0 && best.is_none_or(|(other, held)| (rank, coding.taste()) > (other, held.taste())) {
                best = Some((rank, coding));
            }
        }
        best.map(|(_, coding)| coding)
    }

    fn taste(self) -> u8 {
        match self {
            Self::Gzip => 0,
            Self::Brotli => 1,
            Self::Zstd => 2,
        }
    }

    /// What `Content-Encoding` says.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }

    /// A packer for one body, at a level that keeps up with the wire.
    pub fn packer(self) -> io::Result<Packer> {
        Ok(match self {
            Self::Gzip => Packer::Gzip(Box::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(4)))),
            Self::Brotli => Packer::Brotli(Box::new(brotli::CompressorWriter::new(Vec::new(), 16 << 10, 4, 20))),
            Self::Zstd => Packer::Zstd(Box::new(zstd::stream::write::Encoder::new(Vec::new(), 3)?)),
        })
    }
}

impl Packer {
    /// What these bytes pack to. All of them can be unpacked from what was given out so far: a client of a stream need not wait.
    pub fn push(&mut self, bytes: &[u8], last: bool) -> io::Result<Bytes> {
        let mut packed = Vec::new();
        match self {
            Self::Gzip(packer) => {
                packer.write_all(bytes)?;
                if last {
                    packer.try_finish()?
                } else {
                    packer.flush()?
                }
                packed.append(packer.get_mut());
            }
            Self::Brotli(packer) => {
                packer.write_all(bytes)?;
                if last {
                    // The writer ends its stream when it is let go.
                    let packer = std::mem::replace(&mut **packer, brotli::CompressorWriter::new(Vec::new(), 1, 0, 10));
                    packed = packer.into_inner();
                } else {
                    packer.flush()?;
                    packed.append(packer.get_mut());
                }
            }
            Self::Zstd(packer) => {
                packer.write_all(bytes)?;
                if last {
                    packer.do_finish()?
                } else {
                    packer.flush()?
                }
                packed.append(packer.get_mut());
            }
        }
        Ok(packed.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(value: &str) -> Option<Coding> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, value.parse().expect("a value"));
        Coding::best(&headers)
    }

    #[test]
    fn the_clients_taste_decides() {
        assert_eq!(accepts("gzip, deflate, br"), Some(Coding::Brotli));
        assert_eq!(accepts("gzip;q=1.0, br;q=0.5"), Some(Coding::Gzip));
        assert_eq!(accepts("gzip, zstd"), Some(Coding::Zstd));
        assert_eq!(accepts("gzip;q=0"), None);
        assert_eq!(accepts("identity"), None);
        assert_eq!(accepts(", br;x=1;q=0.2 ,, GZIP ; q=0.3,"), Some(Coding::Gzip));
    }

    #[test]
    fn a_coding_that_nobody_knows_hides_no_other() {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, http::HeaderValue::from_bytes(b"\xfc;q=1, br, gzip;q=\xfc").expect("a value"));

        assert_eq!(Coding::best(&headers), Some(Coding::Brotli));
    }

    #[test]
    fn what_is_packed_opens_to_the_same_in_any_chunks() {
        let text: Vec<u8> = (0..50_000_u32).flat_map(|number| number.to_string().into_bytes()).collect();
        for coding in [Coding::Gzip, Coding::Brotli, Coding::Zstd] {
            let mut packer = coding.packer().expect("a packer");
            let mut packed = Vec::new();
            for part in text.chunks(7_001) {
                packed.extend_from_slice(&packer.push(part, false).expect("packs"));
            }
            packed.extend_from_slice(&packer.push(b"", true).expect("packs"));
            if coding == Coding::Zstd {
                assert_eq!(zstd::decode_all(&packed[..]).expect("opens"), text);
                continue;
            }
            let mut opener = Opener::of(coding.name().as_bytes()).expect("an opener");
            let mut opened = Vec::new();
            for part in packed.chunks(997) {
                opened.extend_from_slice(&opener.push(part, false).expect("opens"));
            }
            opened.extend_from_slice(&opener.push(b"", true).expect("ends"));
            assert_eq!(opened, text, "{coding:?}");
        }
    }

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
        let mut packer = Coding::Gzip.packer().expect("a packer");
        let mut packed = Vec::new();
        for _ in 0..64 {
            packed.extend_from_slice(&packer.push(&vec![b' '; 1 << 20], false).expect("packs"));
        }

        assert!(Opener::of(b"gzip").expect("an opener").push(&packed, false).is_err());
    }
}
