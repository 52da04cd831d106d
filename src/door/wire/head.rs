//! Where a request's head ends, whether it can be read in one way only, and how its body is framed.

use memchr::{memchr, memchr_iter};

use super::{Framing, HeadLimits, Refusal, is_token};

/// Looks for the end of a head, over as many reads as it takes.
#[derive(Debug, Default)]
pub(crate) struct HeadScan {
    /// How far the bytes were looked at.
    seen: usize,
    /// Where the current line begins.
    line: usize,
    /// Where the request line begins, once there is one: empty lines may come before it (RFC 9112, section 2.2).
    start: Option<usize>,
}

/// At most this many bytes of empty lines before a request line.
const LEADING: usize = 4;

impl HeadScan {
    /// Looks at `bytes`, which begin as they did at the last call. `Some((start, end))` is a whole head, the empty line with it.
    pub(crate) fn find(&mut self, bytes: &[u8], limits: HeadLimits) -> Result<Option<(usize, usize)>, Refusal> {
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
pub(crate) fn check_head(head: &[u8], limits: HeadLimits) -> Result<Framing, Refusal> {
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
                    return Err(Refusal::bad("Duplicate or malformed Content-Length header."));
                }
                length = Some(parse_length(value)?);
            }
            17 if is_like(name, b"transfer-encoding") => {
                if chunked || name[8] != b'-' || !value.eq_ignore_ascii_case(b"chunked") || version == Version::Http10 {
                    return Err(Refusal::bad("Transfer-Encoding must be `chunked`, at most once, and only with HTTP/1.1."));
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
        return Err(Refusal::bad("A request must have exactly one Host header."));
    }
    match (length, chunked) {
        (Some(_), true) => Err(Refusal::bad("Content-Length and Transfer-Encoding cannot be used together.")),
        (None, true) => Ok(Framing::Chunked),
        (None, false) => Ok(Framing::None),
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
        return Err(Refusal::bad("The method contains an invalid character."));
    }
    if target.len() > limits.target {
        return Err(Refusal::LONG_URI);
    }
    let version = match version {
        b"HTTP/1.1" => Version::Http11,
        b"HTTP/1.0" => Version::Http10,
        _ => return Err(Refusal::bad("The HTTP version is neither 1.1 nor 1.0.")),
    };
    if method == b"CONNECT" {
        return Err(Refusal::CONNECT);
    }
    if !target.iter().all(|byte| (0x21..0x7f).contains(byte) && *byte != b'#') {
        return Err(Refusal::bad("The request target contains a character that must be percent-encoded."));
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
pub(crate) fn split_header(line: &[u8]) -> Result<(&[u8], &[u8]), Refusal> {
    let colon = memchr(b':', line).ok_or(Refusal::bad("A header line has no colon."))?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
        return Err(Refusal::bad("A header name contains an invalid character."));
    }
    // To the end instead of to the first bad one: so many bytes at once.
    if value.iter().fold(false, |bad, byte| bad | ((*byte < 0x20) & (*byte != b'\t')) | (*byte == 0x7f)) {
        return Err(Refusal::bad("A header value contains a control character."));
    }
    // A value with a whole Transfer-Encoding line in it hopes for a parser that breaks lines elsewhere than at CRLF.
    const HIDDEN: &[u8] = b"transfer-encoding";
    for colon in memchr_iter(b':', value) {
        if colon >= HIDDEN.len() && value[colon - HIDDEN.len()..colon].eq_ignore_ascii_case(HIDDEN) {
            return Err(Refusal::bad("A header value contains a Transfer-Encoding header."));
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

/// The lines of a head whose every line feed follows a carriage return.
pub(crate) struct Lines<'h>(&'h [u8]);

impl<'h> Lines<'h> {
    /// The lines of this head.
    pub(crate) fn new(head: &'h [u8]) -> Self {
        Self(head)
    }
}

impl<'h> Iterator for Lines<'h> {
    type Item = &'h [u8];
    fn next(&mut self) -> Option<&'h [u8]> {
        let newline = memchr(b'\n', self.0)?;
        let line = &self.0[..newline.saturating_sub(1)];
        self.0 = &self.0[newline + 1..];
        Some(line)
    }
}
