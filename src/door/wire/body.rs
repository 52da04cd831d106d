//! Where a request's body ends: after as many bytes as announced, or after the last chunk and its trailers.

use super::{Framing, Refusal, is_token};

/// Follows a body to its end.
#[derive(Debug, Default)]
pub(crate) enum BodyScan {
    /// At the end.
    #[default]
    Done,
    /// This many bytes are still to come.
    Length(u64),
    /// Within chunks.
    Chunked(Chunks),
}

/// The place within a chunked body.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    state: ChunkState,
    /// Bytes left of the chunk's data.
    left: u64,
    /// Hex digits of the size so far.
    digits: u8,
    /// Bytes of the current extension or of all trailers.
    extra: u32,
    /// Whether an extension's token has begun, and whether it is quoted.
    ext: Ext,
    /// Whether the current trailer line had its colon.
    named: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ChunkState {
    #[default]
    Size,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    Trailer,
    TrailerLf,
    EndLf,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Ext {
    /// After the semicolon: a name must come.
    #[default]
    Start,
    Name,
    /// After the equals sign: a token or a quoted string must come.
    ValueStart,
    Value,
    Quoted,
    Escaped,
    AfterQuoted,
}

impl BodyScan {
    /// The scan of a body framed so.
    pub(crate) fn new(framing: Framing) -> Self {
        match framing {
            Framing::None | Framing::Length(0) => Self::Done,
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(Chunks::default()),
        }
    }

    /// Whether the body has ended.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }

    /// Takes as much of `bytes` as belongs to this body and says how much that was.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        match self {
            Self::Done => Ok(0),
            Self::Length(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= taken as u64;
                if *left == 0 {
                    *self = Self::Done;
                }
                Ok(taken)
            }
            Self::Chunked(chunks) => {
                let (taken, done) = chunks.take(bytes)?;
                if done {
                    *self = Self::Done;
                }
                Ok(taken)
            }
        }
    }
}

/// Extensions of one chunk, and all trailers together, are no longer than this.
const EXTRA: u32 = 4096;

impl Chunks {
    fn take(&mut self, bytes: &[u8]) -> Result<(usize, bool), Refusal> {
        let malformed = Refusal::bad("The chunked body is malformed.");
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            at += 1;
            self.state = match (self.state, byte) {
                (ChunkState::Data, _) => {
                    at -= 1;
                    let taken = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len() - at);
                    at += taken;
                    self.left -= taken as u64;
                    if self.left == 0 { ChunkState::DataCr } else { ChunkState::Data }
                }
                // Fifteen digits are more than any body, and cannot overflow.
                (ChunkState::Size, digit) if digit.is_ascii_hexdigit() && self.digits < 15 => {
                    let value = char::from(digit).to_digit(16).unwrap_or_default();
                    self.left = self.left * 16 + u64::from(value);
                    self.digits += 1;
                    ChunkState::Size
                }
                (ChunkState::Size, b'\r') if self.digits > 0 => ChunkState::SizeLf,
                (ChunkState::Size, b';') if self.digits > 0 => {
                    (self.ext, self.extra) = (Ext::Start, 0);
                    ChunkState::Extension
                }
                (ChunkState::Extension, byte) => self.extension(byte).ok_or(malformed)?,
                (ChunkState::SizeLf, b'\n') if self.left == 0 => {
                    self.extra = 0;
                    ChunkState::TrailerStart
                }
                (ChunkState::SizeLf, b'\n') => ChunkState::Data,
                (ChunkState::DataCr, b'\r') => ChunkState::DataLf,
                (ChunkState::DataLf, b'\n') => {
                    self.digits = 0;
                    ChunkState::Size
                }
                (ChunkState::TrailerStart, b'\r') => ChunkState::EndLf,
                (ChunkState::TrailerStart, byte) if is_token(byte) => {
                    self.named = false;
                    ChunkState::Trailer
                }
                (ChunkState::Trailer, b'\r') if self.named => ChunkState::TrailerLf,
                (ChunkState::Trailer, byte) => {
                    self.extra += 1;
                    let fits = match self.named {
                        true => byte == b'\t' || (byte >= 0x20 && byte != 0x7f),
                        false => is_token(byte) || byte == b':',
                    };
                    if !fits || self.extra > EXTRA {
                        return Err(malformed);
                    }
                    self.named |= byte == b':';
                    ChunkState::Trailer
                }
                (ChunkState::TrailerLf, b'\n') => ChunkState::TrailerStart,
                (ChunkState::EndLf, b'\n') => return Ok((at, true)),
                _ => return Err(malformed),
            };
        }
        Ok((at, false))
    }

    /// One byte of a chunk extension (RFC 9112, section 7.1.1), without the white space that section calls bad.
    fn extension(&mut self, byte: u8) -> Option<ChunkState> {
        self.extra += 1;
        if self.extra > EXTRA {
            return None;
        }
        let ended = matches!(self.ext, Ext::Name | Ext::Value | Ext::AfterQuoted);
        self.ext = match (self.ext, byte) {
            (Ext::Quoted, b'"') => Ext::AfterQuoted,
            (Ext::Quoted, b'\\') => Ext::Escaped,
            (Ext::Quoted | Ext::Escaped, byte) if byte == b'\t' || (byte >= 0x20 && byte != 0x7f) => Ext::Quoted,
            (_, b'\r') if ended => return Some(ChunkState::SizeLf),
            (_, b';') if ended => Ext::Start,
            (Ext::Name, b'=') => Ext::ValueStart,
            (Ext::ValueStart, b'"') => Ext::Quoted,
            (Ext::Start | Ext::Name, byte) if is_token(byte) => Ext::Name,
            (Ext::ValueStart | Ext::Value, byte) if is_token(byte) => Ext::Value,
            _ => return None,
        };
        Some(ChunkState::Extension)
    }
}
