//! One reading of HTTP/1: where a request's head ends, what its framing is, and where its body ends.
//!
//! The connection guard asks this before Pingora's parser sees a byte, and refuses what two parsers could read differently
//! (RFC 9112, sections 2.2, 3, 5, 6, 7.1 and 11.2). What passes has one head of CRLF lines, one length, and no tricks in it.

use memchr::{memchr, memchr_iter};

/// Why a request is refused: a status, a word for programs, and a sentence for people. All fixed texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status.
    pub status: u16,
    /// The `code` of the problem details.
    pub code: &'static str,
    /// The `detail` of the problem details.
    pub detail: &'static str,
}

impl Refusal {
    const fn bad(detail: &'static str) -> Self {
        Self { status: 400, code: "bad_request", detail }
    }
    /// The head came too slowly.
    pub const SLOW_HEAD: Self = Self { status: 408, code: "request_timeout", detail: "The request head did not arrive in time." };
    /// The body came too slowly.
    pub const SLOW_BODY: Self = Self { status: 408, code: "request_timeout", detail: "The request body did not arrive in time." };
    /// The head is too large.
    pub const LARGE_HEAD: Self = Self { status: 431, code: "headers_too_large", detail: "The request head is larger than allowed." };
    /// The head has too many lines.
    pub const MANY_HEADERS: Self =
        Self { status: 431, code: "headers_too_large", detail: "The request has more header lines than allowed." };
    /// The target is too long.
    pub const LONG_URI: Self = Self { status: 414, code: "uri_too_long", detail: "The request target is longer than allowed." };
    /// A method that asks for a tunnel.
    pub const CONNECT: Self = Self { status: 405, code: "method_not_allowed", detail: "CONNECT is not served here." };
    /// What Pingora's parser refused although this one did not.
    pub const UNREADABLE: Self = Self::bad("The request could not be read.");
}

/// How large a head may be.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    /// Bytes of the whole head.
    pub bytes: usize,
    /// Header lines.
    pub lines: usize,
    /// Bytes of the request target.
    pub target: usize,
}

/// How the body that follows a head is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// No body.
    None,
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked,
}

/// Looks for the end of a head, over as many reads as it takes.
#[derive(Debug, Default)]
pub struct HeadScan {
    /// How far the bytes were looked at.
    seen: usize,
    /// Where the current line begins.
    line: usize,
    /// Where the request line begins, once there is one: empty lines may stand before it (RFC 9112, section 2.2).
    start: Option<usize>,
}

/// At most this many bytes of empty lines before a request line.
const LEADING: usize = 4;

impl HeadScan {
    /// Looks at `bytes`, which begin as they did at the last call. `Some((start, end))` is a whole head, the empty line with it.
    pub fn find(&mut self, bytes: &[u8], limits: HeadLimits) -> Result<Option<(usize, usize)>, Refusal> {
        for offset in memchr_iter(b'\n', &bytes[self.seen..]) {
            let newline = self.seen + offset;
            if newline == self.line || bytes[newline - 1] != b'\r' {
                return Err(Refusal::bad("A line does not end in CRLF."));
            }
            let empty = newline - 1 == self.line;
            match (self.start, empty) {
                (None, true) if newline < LEADING => {}
                (None, true) => return Err(Refusal::bad("The request begins with empty lines.")),
                (None, false) => self.start = Some(self.line),
                (Some(start), true) if newline + 1 - start <= limits.bytes => return Ok(Some((start, newline + 1))),
                (Some(_), true) => return Err(Refusal::LARGE_HEAD),
                (Some(_), false) => {}
            }
            self.line = newline + 1;
        }
        self.seen = bytes.len();
        if bytes.len() > limits.bytes {
            return Err(match self.start {
                None if bytes.len() - self.line > limits.target => Refusal::LONG_URI,
                _ => Refusal::LARGE_HEAD,
            });
        }
        Ok(None)
    }
}

/// Checks a whole head, from the request line to the empty line, and says how its body is framed.
pub fn check_head(head: &[u8], limits: HeadLimits) -> Result<Framing, Refusal> {
    let mut lines = Lines(head);
    let version = check_request_line(lines.next().unwrap_or_default(), limits)?;
    let (mut hosts, mut count) = (0_usize, 0_usize);
    let mut length = None;
    let mut chunked = false;
    for line in lines {
        if line.is_empty() {
            break;
        }
        count += 1;
        if count > limits.lines {
            return Err(Refusal::MANY_HEADERS);
        }
        let (name, value) = split_header(line)?;
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => {
                hosts += 1;
                if value.is_empty() {
                    return Err(Refusal::bad("The Host header is empty."));
                }
            }
            14 if is_like(name, b"content-length") => {
                if length.is_some() || name[7] != b'-' {
                    return Err(Refusal::bad("Content-Length stands more than once."));
                }
                length = Some(parse_length(value)?);
            }
            17 if is_like(name, b"transfer-encoding") => {
                if chunked || name[8] != b'-' || !value.eq_ignore_ascii_case(b"chunked") || version == Version::Http10 {
                    return Err(Refusal::bad("Transfer-Encoding must be chunked, once, on HTTP/1.1."));
                }
                chunked = true;
            }
            16 if name.eq_ignore_ascii_case(b"content-encoding") && value.eq_ignore_ascii_case(b"chunked") => {
                return Err(Refusal::bad("chunked is not a content coding."));
            }
            _ => {}
        }
    }
    if hosts > 1 || (hosts == 0 && version == Version::Http11) {
        return Err(Refusal::bad("A request has one Host header."));
    }
    match (length, chunked) {
        (Some(_), true) => Err(Refusal::bad("Content-Length and Transfer-Encoding exclude each other.")),
        (None, true) => Ok(Framing::Chunked),
        (Some(0) | None, false) => Ok(Framing::None),
        (Some(length), false) => Ok(Framing::Length(length)),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    Http10,
    Http11,
}

fn check_request_line(line: &[u8], limits: HeadLimits) -> Result<Version, Refusal> {
    let malformed = Refusal::bad("The request line is malformed.");
    let method_end = memchr(b' ', line).ok_or(malformed)?;
    let (method, rest) = (&line[..method_end], &line[method_end + 1..]);
    let target_end = memchr(b' ', rest).ok_or(malformed)?;
    let (target, version) = (&rest[..target_end], &rest[target_end + 1..]);
    if method.is_empty() || !method.iter().all(|byte| is_token(*byte)) {
        return Err(Refusal::bad("The method is not a token."));
    }
    if target.len() > limits.target {
        return Err(Refusal::LONG_URI);
    }
    let version = match version {
        b"HTTP/1.1" => Version::Http11,
        b"HTTP/1.0" => Version::Http10,
        _ => return Err(Refusal::bad("The version is neither HTTP/1.1 nor HTTP/1.0.")),
    };
    if method == b"CONNECT" {
        return Err(Refusal::CONNECT);
    }
    if !target.iter().all(|byte| (0x21..0x7f).contains(byte) && *byte != b'#') {
        return Err(Refusal::bad("The request target holds a character that must be percent-encoded."));
    }
    let absolute = || {
        target.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"http://"))
            || target.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"https://"))
    };
    if target.first() != Some(&b'/') && !(target == b"*" && method == b"OPTIONS") && !absolute() {
        return Err(Refusal::bad("The request target is neither a path nor an http URL."));
    }
    Ok(version)
}

/// Splits a header line in name and value without the white space around the value (RFC 9112, section 5).
fn split_header(line: &[u8]) -> Result<(&[u8], &[u8]), Refusal> {
    let colon = memchr(b':', line).ok_or(Refusal::bad("A header line has no colon."))?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
        return Err(Refusal::bad("A header name is not a token."));
    }
    // To the end instead of to the first bad one: so many bytes at once.
    if value.iter().fold(false, |bad, byte| bad | ((*byte < 0x20) & (*byte != b'\t')) | (*byte == 0x7f)) {
        return Err(Refusal::bad("A header value holds a control character."));
    }
    // A value with a whole Transfer-Encoding line in it hopes for a parser that breaks lines elsewhere than at CRLF.
    const HIDDEN: &[u8] = b"transfer-encoding";
    for colon in memchr_iter(b':', value) {
        if colon >= HIDDEN.len() && value[colon - HIDDEN.len()..colon].eq_ignore_ascii_case(HIDDEN) {
            return Err(Refusal::bad("A header value holds a Transfer-Encoding line."));
        }
    }
    Ok((name, trim(value)))
}

fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Whether `name` is `wanted`, in any case and with an underscore for the hyphen, as some origins read it.
fn is_like(name: &[u8], wanted: &[u8]) -> bool {
    name.iter().zip(wanted).all(|(a, b)| a.eq_ignore_ascii_case(b) || (*b == b'-' && *a == b'_'))
}

fn parse_length(value: &[u8]) -> Result<u64, Refusal> {
    let wrong = Refusal::bad("Content-Length is not a number.");
    if value.is_empty() || value.len() > 18 || !value.iter().all(u8::is_ascii_digit) {
        return Err(wrong);
    }
    Ok(value.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

/// RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    const TOKEN: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < 128 {
            let c = byte as u8;
            table[byte] = c.is_ascii_alphanumeric()
                || matches!(c, b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~');
            byte += 1;
        }
        table
    };
    TOKEN[usize::from(byte)]
}

/// The lines of a head whose every line feed follows a carriage return.
struct Lines<'h>(&'h [u8]);

impl<'h> Iterator for Lines<'h> {
    type Item = &'h [u8];
    fn next(&mut self) -> Option<&'h [u8]> {
        let newline = memchr(b'\n', self.0)?;
        let line = &self.0[..newline.saturating_sub(1)];
        self.0 = &self.0[newline + 1..];
        Some(line)
    }
}

/// Follows a body to its end.
#[derive(Debug, Default)]
pub enum BodyScan {
    /// At the end.
    #[default]
    Done,
    /// So many bytes to come.
    Length(u64),
    /// Within chunks.
    Chunked(Chunks),
}

/// The place within a chunked body.
#[derive(Debug, Default)]
pub struct Chunks {
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
    pub fn new(framing: Framing) -> Self {
        match framing {
            Framing::None => Self::Done,
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(Chunks::default()),
        }
    }

    /// Whether the body has ended.
    pub fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }

    /// Takes as much of `bytes` as belongs to this body and says how much that was.
    pub fn take(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
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

#[cfg(test)]
mod tests;
