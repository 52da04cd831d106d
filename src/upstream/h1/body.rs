//! The body of an answer, taken out of its framing.

use bytes::{Buf, Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Fault, Framing, is_of_this_hop};

/// The longest line with a chunk's size, extensions included.
const LONGEST_LINE: usize = 4096;
/// The most bytes of trailers, and the most fields.
const TRAILERS: (usize, usize) = (64 * 1024, 64);

/// A part of a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Some bytes.
    Data(Bytes),
    /// Its trailers; the end follows.
    Trailers(Box<HeaderMap>),
    /// The end: comes once.
    End,
}

/// Where in a body the reading is.
pub(crate) struct Decoder(State);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Length(u64),
    Close,
    /// Before the line with a chunk's size.
    Size,
    /// In a chunk of which so many bytes are left.
    Chunk(u64),
    /// Before the line break that ends a chunk.
    ChunkEnd,
    /// In the trailers.
    Trailers,
    /// All was read; the end is still to be said.
    End,
    Over,
}

impl Decoder {
    /// At the begin of a body.
    pub(crate) fn new(framing: Framing) -> Self {
        Self(match framing {
            Framing::None | Framing::Length(0) => State::End,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Size,
            Framing::Close => State::Close,
        })
    }

    /// Whether nothing but the end is left, or not even that.
    pub(crate) fn is_at_end(&self) -> bool {
        matches!(self.0, State::End | State::Over)
    }

    /// Whether the end of the connection is the body's.
    pub(crate) fn ends_with_the_connection(&self) -> bool {
        self.0 == State::Close
    }

    /// The next piece off the front of the buffer; none where more bytes are needed.
    ///
    /// `owned` hands out whole buffers where a piece fills one, so that nobody else holds a part of it.
    pub(crate) fn next(&mut self, input: &mut BytesMut, owned: bool) -> Result<Option<Piece>, Fault> {
        loop {
            match self.0 {
                State::Over => return Ok(Some(Piece::End)),
                State::End => {
                    self.0 = State::Over;
                    return Ok(Some(Piece::End));
                }
                _ if input.is_empty() => return Ok(None),
                State::Close => return Ok(Some(Piece::Data(part(input, u64::MAX, owned)))),
                State::Length(left) => {
                    let data = part(input, left, owned);
                    let left = left - data.len() as u64;
                    self.0 = if left == 0 { State::End } else { State::Length(left) };
                    return Ok(Some(Piece::Data(data)));
                }
                State::Chunk(left) => {
                    let data = part(input, left, owned);
                    let left = left - data.len() as u64;
                    self.0 = if left == 0 { State::ChunkEnd } else { State::Chunk(left) };
                    self.finish_chunk(input)?;
                    return Ok(Some(Piece::Data(data)));
                }
                State::ChunkEnd => {
                    if !self.finish_chunk(input)? {
                        return Ok(None);
                    }
                }
                State::Size => match httparse::parse_chunk_size(input) {
                    Ok(httparse::Status::Complete((line, _))) if line > LONGEST_LINE => {
                        return Err(Fault::Malformed("a chunk's line is too long"));
                    }
                    Ok(httparse::Status::Complete((line, size))) => {
                        input.advance(line);
                        self.0 = if size == 0 { State::Trailers } else { State::Chunk(size) };
                    }
                    Ok(httparse::Status::Partial) if input.len() < LONGEST_LINE => return Ok(None),
                    Ok(httparse::Status::Partial) => return Err(Fault::Malformed("a chunk's line is too long")),
                    Err(_) => return Err(Fault::Malformed("a chunk's size is no number")),
                },
                State::Trailers => {
                    if input.starts_with(b"\r\n") {
                        input.advance(2);
                        self.0 = State::End;
                        continue;
                    }
                    let Some(trailers) = trailers(input)? else { return Ok(None) };
                    self.0 = State::End;
                    return Ok(Some(Piece::Trailers(Box::new(trailers))));
                }
            }
        }
    }

    /// Takes the line break after a chunk, where it is there; and with the last chunk what ends the body, so that a whole answer is known to
    /// be whole with its last bytes. Whether it was there.
    fn finish_chunk(&mut self, input: &mut BytesMut) -> Result<bool, Fault> {
        if self.0 != State::ChunkEnd {
            return Ok(false);
        }
        match input.get(..2) {
            Some(b"\r\n") => {
                input.advance(2);
                self.0 = State::Size;
                if input.starts_with(b"0\r\n\r\n") {
                    input.advance(5);
                    self.0 = State::End;
                }
                Ok(true)
            }
            Some(_) => Err(Fault::Malformed("a chunk does not end where it says")),
            None if matches!(input.first(), None | Some(b'\r')) => Ok(false),
            None => Err(Fault::Malformed("a chunk does not end where it says")),
        }
    }
}

/// As much of the buffer as belongs to the body.
fn part(input: &mut BytesMut, left: u64, owned: bool) -> Bytes {
    match usize::try_from(left) {
        Ok(left) if left < input.len() => input.split_to(left).freeze(),
        _ if owned => std::mem::take(input).freeze(),
        _ => input.split().freeze(),
    }
}

/// Fields that say where a message ends or what its connection is to do: behind the body they say nothing (RFC 9110, section 6.5.1).
pub(crate) fn is_of_a_head(name: &HeaderName) -> bool {
    matches!(*name, CONNECTION | CONTENT_LENGTH | HOST | TRANSFER_ENCODING | TRAILER | UPGRADE) || is_of_this_hop(name)
}

/// Trailers with the empty line that ends them.
fn trailers(input: &mut BytesMut) -> Result<Option<HeaderMap>, Fault> {
    let mut fields = [httparse::EMPTY_HEADER; TRAILERS.1];
    match httparse::parse_headers(input, &mut fields) {
        Ok(httparse::Status::Complete((length, found))) => {
            let mut map = HeaderMap::with_capacity(found.len());
            for field in found {
                let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Fault::Malformed("a trailer's name is no name"))?;
                if is_of_a_head(&name) {
                    continue;
                }
                let value = HeaderValue::from_bytes(field.value).map_err(|_| Fault::Malformed("a trailer's value is no value"))?;
                map.append(name, value);
            }
            input.advance(length);
            Ok(Some(map))
        }
        Ok(httparse::Status::Partial) if input.len() < TRAILERS.0 => Ok(None),
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => Err(Fault::Malformed("its trailers are too many")),
        Err(_) => Err(Fault::Malformed("its trailers cannot be read")),
    }
}
