//! What a request's target and header fields must be, whichever protocol brought them: heads of bytes and header maps are read alike.

use http::Method;
use memchr::memchr_iter;
use pingora_http::RequestHeader;

use super::{Framing, HeadLimits, Refusal, is_token};

/// The protocol that brought a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    Http10,
    Http11,
    Http2,
}

/// A request's fields, as far as they were taken.
pub(super) struct Fields {
    version: Version,
    limits: HeadLimits,
    count: usize,
    hosts: usize,
    length: Option<u64>,
    chunked: bool,
    cookie: bool,
}

impl Fields {
    pub(super) fn new(version: Version, limits: HeadLimits) -> Self {
        Self { version, limits, count: 0, hosts: 0, length: None, chunked: false, cookie: false }
    }

    /// One more field; its value is without white space around it.
    #[inline]
    pub(super) fn take(&mut self, name: &[u8], value: &[u8]) -> Result<(), Refusal> {
        // HTTP/2 may bring the one cookie field in crumbs (RFC 9113, section 8.2.3).
        let is_crumb = self.version == Version::Http2 && name == b"cookie" && std::mem::replace(&mut self.cookie, true);
        self.count += usize::from(!is_crumb);
        if self.count > self.limits.lines {
            return Err(Refusal::MANY_HEADERS);
        }
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => {
                self.hosts += 1;
                if value.is_empty() {
                    return Err(Refusal::bad("The Host header is empty."));
                }
            }
            14 if is_like(name, b"content-length") => {
                if self.length.is_some() || name[7] != b'-' {
                    return Err(Refusal::bad("Duplicate or malformed Content-Length header."));
                }
                self.length = Some(parse_length(value)?);
            }
            17 if is_like(name, b"transfer-encoding") => {
                if self.chunked || name[8] != b'-' || !value.eq_ignore_ascii_case(b"chunked") || self.version != Version::Http11 {
                    return Err(Refusal::bad("Transfer-Encoding must be `chunked`, at most once, and only with HTTP/1.1."));
                }
                self.chunked = true;
            }
            16 if is_like(name, b"content-encoding") && value.eq_ignore_ascii_case(b"chunked") => {
                return Err(Refusal::bad("chunked is not a content coding."));
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether all of them go together, and how the body is framed that follows them.
    pub(super) fn framing(&self) -> Result<Framing, Refusal> {
        if self.hosts > 1 || (self.hosts == 0 && self.version == Version::Http11) {
            return Err(Refusal::bad("A request must have exactly one Host header."));
        }
        match (self.length, self.chunked) {
            (Some(_), true) => Err(Refusal::bad("Content-Length and Transfer-Encoding cannot be used together.")),
            (None, true) => Ok(Framing::Chunked),
            (None, false) => Ok(Framing::None),
            (Some(length), false) => Ok(Framing::Length(length)),
        }
    }
}

/// Checks a head that came as a header map by the rules of one that comes as bytes.
pub(crate) fn check_map(head: &RequestHeader, limits: HeadLimits) -> Result<(), Refusal> {
    let target = head.raw_path();
    if head.method == Method::CONNECT {
        return Err(Refusal::CONNECT);
    }
    check_target(head.method.as_str().as_bytes(), target, Version::Http2, limits)?;
    let line = head.method.as_str().len() + target.len() + " HTTP/1.1\r\n\r\n".len();
    let lines = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    if line + lines.sum::<usize>() > limits.bytes {
        return Err(Refusal::LARGE_HEAD);
    }
    let mut fields = Fields::new(Version::Http2, limits);
    for (name, value) in &head.headers {
        let value = value.as_bytes();
        check_value(value)?;
        // Some hops would take it off, others would not (RFC 9113, section 8.2.1).
        if matches!(value, [b' ' | b'\t', ..] | [.., b' ' | b'\t']) {
            return Err(Refusal::bad("A header value begins or ends with white space."));
        }
        fields.take(name.as_str().as_bytes(), value)?;
    }
    fields.framing().map(drop)
}

/// Checks a request's target: a path, an http URL where the protocol allows one, or a star.
pub(super) fn check_target(method: &[u8], target: &[u8], version: Version, limits: HeadLimits) -> Result<(), Refusal> {
    if target.len() > limits.target {
        return Err(Refusal::LONG_URI);
    }
    if !target.iter().all(|byte| (0x21..0x7f).contains(byte) && *byte != b'#') {
        return Err(Refusal::bad("The request target contains a character that must be percent-encoded."));
    }
    let absolute = || {
        target.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"http://"))
            || target.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"https://"))
    };
    let fits = target.first() == Some(&b'/') || target == b"*" && method == b"OPTIONS" || version != Version::Http2 && absolute();
    if fits { Ok(()) } else { Err(Refusal::bad("The request target is neither a path nor an http URL.")) }
}

/// Checks a field's value by itself.
#[inline]
pub(super) fn check_value(value: &[u8]) -> Result<(), Refusal> {
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
    Ok(())
}

/// Whether a method is one (RFC 9110, section 9.1).
pub(super) fn is_method(method: &[u8]) -> bool {
    !method.is_empty() && method.iter().all(|byte| is_token(*byte))
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
