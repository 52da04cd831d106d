//! Where a request's head ends, whether it can be read in one way only, and how its body is framed.

use memchr::{memchr, memchr_iter};

use super::fields::{Fields, Version, check_target, check_value, is_method};
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
    let mut fields = Fields::new(version, limits);
    for line in lines {
        if line.is_empty() {
            break;
        }
        let (name, value) = split_header(line)?;
        fields.take(name, value)?;
    }
    fields.framing()
}

fn check_request_line(line: &[u8], limits: HeadLimits) -> Result<Version, Refusal> {
    let malformed = Refusal::bad("The request line is malformed.");
    let method_end = memchr(b' ', line).ok_or(malformed)?;
    let (method, rest) = (&line[..method_end], &line[method_end + 1..]);
    let target_end = memchr(b' ', rest).ok_or(malformed)?;
    let (target, version) = (&rest[..target_end], &rest[target_end + 1..]);
    if !is_method(method) {
        return Err(Refusal::bad("The method contains an invalid character."));
    }
    let version = match version {
        b"HTTP/1.1" => Version::Http11,
        b"HTTP/1.0" => Version::Http10,
        _ => return Err(Refusal::bad("The HTTP version is neither 1.1 nor 1.0.")),
    };
    if method == b"CONNECT" {
        return Err(Refusal::CONNECT);
    }
    check_target(method, target, version, limits)?;
    Ok(version)
}

/// Splits a header line in name and value without the white space around the value (RFC 9112, section 5).
pub(crate) fn split_header(line: &[u8]) -> Result<(&[u8], &[u8]), Refusal> {
    let colon = memchr(b':', line).ok_or(Refusal::bad("A header line has no colon."))?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
        return Err(Refusal::bad("A header name contains an invalid character."));
    }
    check_value(value)?;
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
