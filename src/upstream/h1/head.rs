//! The head of an upstream's answer: read strictly, its values slices of the read buffer, and without what belongs to this hop alone.

use std::mem::MaybeUninit;

use bytes::BytesMut;
use frontgate_filters::words::fields::members;
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, StatusCode, Version};
use pingora_http::ResponseHeader;
use smallvec::SmallVec;

use super::Fault;
use super::brief::{Brief, Place, Places, at};
use crate::upstream::cause::{IN_HTTP2, IN_TLS};

/// The largest head, in bytes, and the most fields.
const LARGEST: usize = 1 << 20;
const FIELDS: usize = 256;
/// The longest name that a map of fields takes.
const LONGEST_NAME: usize = u16::MAX as usize;
/// Fields that most heads do not exceed: places for these are on the stack.
const USUAL: usize = 64;

/// Whether an answer begins with a record of TLS: an alert or a part of a handshake (RFC 8446, section 5.1).
pub(crate) fn begins_with_tls(bytes: &[u8]) -> bool {
    matches!(bytes, [0x15 | 0x16, 3, ..])
}

/// Whether an answer begins with a frame that a connection of HTTP/2 begins or ends with: SETTINGS or GOAWAY (RFC 9113, section 4.1).
fn begins_with_http2(bytes: &[u8]) -> bool {
    matches!(bytes, [0, _, _, 4, 0, 0, 0, 0, 0, ..] | [0, _, _, 7, _, 0, 0, 0, 0, ..])
}

/// How the body after a head is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is none.
    None,
    /// So many bytes.
    Length(u64),
    /// Chunks, and perhaps trailers.
    Chunked,
    /// To the end of the connection.
    Close,
}

/// An answer's head.
pub(crate) struct Head<H = Brief> {
    /// The head without hop-by-hop fields; a 101 keeps its `Upgrade`.
    pub head: H,
    /// Whether the connection is kept after this answer.
    pub keep: bool,
    /// How its body is framed.
    pub framing: Framing,
}

impl Head {
    /// With a map of its fields.
    pub(super) fn whole(self) -> Result<Head<ResponseHeader>, Fault> {
        Ok(Head { head: self.head.into_whole()?, keep: self.keep, framing: self.framing })
    }
}

/// Whether a head is the answer: other 1xx than 101 only say that one is on its way (RFC 9110, section 15.2).
pub(crate) fn is_final(status: StatusCode) -> bool {
    !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS
}

/// What a field's name says of its message or of its hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Length,
    Coding,
    Connection,
    Upgrade,
    Trailer,
    /// It belongs to one hop whether or not `Connection` says so (RFC 9110, sections 7.6.1 and 11.7; RFC 7540, section 3.2.1).
    Hop,
    Other,
}

impl Kind {
    fn of(name: &[u8]) -> Self {
        // Most names are of another length than all of these.
        let first = name.first().map_or(0, u8::to_ascii_lowercase);
        let (known, kind): (&[u8], _) = match (name.len(), first) {
            (2, b't') => (b"te", Self::Hop),
            (7, b'u') => (b"upgrade", Self::Upgrade),
            (7, b't') => (b"trailer", Self::Trailer),
            (10, b'c') => (b"connection", Self::Connection),
            (10, b'k') => (b"keep-alive", Self::Hop),
            (14, b'c') => (b"content-length", Self::Length),
            (14, b'h') => (b"http2-settings", Self::Hop),
            (16, b'p') => (b"proxy-connection", Self::Hop),
            (17, b't') => (b"transfer-encoding", Self::Coding),
            (18, b'p') => (b"proxy-authenticate", Self::Hop),
            (19, b'p') => (b"proxy-authorization", Self::Hop),
            (25, b'p') => (b"proxy-authentication-info", Self::Hop),
            _ => return Self::Other,
        };
        if name.eq_ignore_ascii_case(known) { kind } else { Self::Other }
    }
}

/// Takes a whole head off the front of the buffer; none where more bytes are needed.
pub(super) fn read(input: &mut BytesMut, to_head: bool) -> Result<Option<Head>, Fault> {
    let mut usual = [const { MaybeUninit::uninit() }; USUAL];
    let mut parser = httparse::ParserConfig::default();
    parser.allow_obsolete_multiline_headers_in_responses(true);
    let mut parsed = httparse::Response::new(&mut []);
    let mut result = parser.parse_response_with_uninit_headers(&mut parsed, input, &mut usual);
    let mut many: Vec<MaybeUninit<httparse::Header<'_>>>;
    if result == Err(httparse::Error::TooManyHeaders) {
        many = (0..FIELDS).map(|_| MaybeUninit::uninit()).collect();
        parsed = httparse::Response::new(&mut []);
        result = parser.parse_response_with_uninit_headers(&mut parsed, input, &mut many);
    }
    let length = match result {
        Ok(httparse::Status::Complete(length)) if length <= LARGEST => length,
        Ok(httparse::Status::Partial) if input.len() < LARGEST => return Ok(None),
        Ok(_) => return Err(Fault::Malformed("its head is too large")),
        Err(httparse::Error::TooManyHeaders) => return Err(Fault::Malformed("its head has too many fields")),
        Err(_) if begins_with_tls(input) => return Err(Fault::Malformed(IN_TLS)),
        Err(_) if begins_with_http2(input) => return Err(Fault::Malformed(IN_HTTP2)),
        Err(_) => return Err(Fault::Malformed("its head cannot be read")),
    };
    let version = if parsed.version == Some(1) { Version::HTTP_11 } else { Version::HTTP_10 };
    let status = StatusCode::from_u16(parsed.code.unwrap_or_default()).map_err(|_| Fault::Malformed("its status is no status"))?;
    let reason = parsed.reason.filter(|reason| status.canonical_reason() != Some(reason)).map(Box::from);
    // Each field has a line, as have the status and the end of the head: where there are more, some field goes over several.
    let lines = memchr::memchr_iter(b'\n', &input[..length]).count();
    let is_folded = lines != parsed.headers.len() + 2;
    let Fields { places, keep, framing, length: said, is_plain } = fields(parsed.headers, &input[..length], (status, version), to_head)?;

    let bytes = input.split_to(length).freeze();
    let mut head = Brief::of_lines(status, version, reason, bytes, places);
    if is_folded || !is_plain {
        head.headers = head.headers.into_map(|name, value| match said {
            Some(length) if *name == CONTENT_LENGTH => length.to_string().into(),
            _ => without_folds(value),
        })?;
    }
    Ok(Some(Head { head, keep, framing }))
}

/// What is made of an answer's fields.
struct Fields {
    /// Where those are that belong to more than this hop.
    places: Places,
    keep: bool,
    framing: Framing,
    /// How long it says to be.
    length: Option<u64>,
    /// Whether its length is said once, in a form that has one reading for everybody.
    is_plain: bool,
}

fn fields(fields: &[httparse::Header<'_>], head: &[u8], (status, version): (StatusCode, Version), to_head: bool) -> Result<Fields, Fault> {
    let place = |part: &[u8]| ((part.as_ptr() as usize - head.as_ptr() as usize) as u32, part.len() as u32);
    let mut places = Places::with_capacity(fields.len());
    let (mut keep, mut length, mut codings) = (version == Version::HTTP_11, None, None);
    let (mut closes, mut announced, mut is_plain) = (false, false, true);
    let mut options = SmallVec::<[&[u8]; 2]>::new();
    let mut nominates = false;
    let frameless = status.is_informational() || status == StatusCode::NO_CONTENT;
    for httparse::Header { name, value } in fields {
        let name = name.as_bytes();
        if name.len() > LONGEST_NAME {
            return Err(Fault::Malformed("a field's name is no name"));
        }
        match Kind::of(name) {
            // There is no body to frame (RFC 9110, section 8.6; RFC 9112, section 6.1); who speaks of chunks may send some all the same.
            Kind::Length if frameless => continue,
            Kind::Coding if frameless => {
                closes = true;
                continue;
            }
            Kind::Length => {
                let number = content_length(value)?;
                if length.is_some_and(|known| known != number) {
                    return Err(Fault::Malformed("it has two lengths"));
                }
                if length.replace(number).is_some() {
                    continue;
                }
                is_plain = is_number(value);
            }
            Kind::Coding => {
                if codings.replace(()).is_some() || version == Version::HTTP_10 || !value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                    return Err(Fault::Malformed("its transfer coding is not understood"));
                }
                continue;
            }
            Kind::Connection => {
                for option in members(value) {
                    if option.eq_ignore_ascii_case(b"close") {
                        closes = true;
                    } else if option.eq_ignore_ascii_case(b"keep-alive") {
                        keep |= version == Version::HTTP_10;
                    } else {
                        nominates = true;
                    }
                    options.push(option);
                }
                continue;
            }
            Kind::Upgrade if status != StatusCode::SWITCHING_PROTOCOLS => continue,
            Kind::Trailer => announced = true,
            Kind::Hop => continue,
            Kind::Upgrade | Kind::Other => {}
        }
        places.push(Place { name: place(name), value: place(value) });
    }
    let bodyless = to_head || status.is_informational() || matches!(status.as_u16(), 204 | 304);
    let framing = match (codings, length) {
        _ if bodyless => Framing::None,
        (Some(()), _) => Framing::Chunked,
        (None, Some(length)) => Framing::Length(length),
        (None, None) => Framing::Close,
    };
    // A length beside a transfer coding is overridden by it (RFC 9112, section 6.3), and makes the connection doubtful.
    let overridden = length.is_some() && codings.is_some();
    if nominates || overridden || announced {
        places.retain(|place| {
            let name = at(head, place.name);
            match Kind::of(name) {
                Kind::Length => !overridden,
                // Else no trailers can follow.
                Kind::Trailer if framing != Framing::Chunked => false,
                Kind::Upgrade => true,
                _ => !nominates || !options.iter().any(|option| option.eq_ignore_ascii_case(name)),
            }
        });
    }
    let keep = keep && !closes && !overridden && framing != Framing::Close;
    Ok(Fields { places, keep, framing, length, is_plain })
}

/// One length, or the same one several times (RFC 9110, section 8.6).
fn content_length(value: &[u8]) -> Result<u64, Fault> {
    let mut length = None;
    for member in value.split(|byte| *byte == b',') {
        let digits = member.trim_ascii();
        if digits.is_empty() || digits.len() > 19 || !digits.iter().all(u8::is_ascii_digit) {
            return Err(Fault::Malformed("its length is no number"));
        }
        let number = digits.iter().fold(0_u64, |number, digit| number * 10 + u64::from(digit - b'0'));
        if length.replace(number).is_some_and(|known| known != number) {
            return Err(Fault::Malformed("it has two lengths"));
        }
    }
    length.ok_or(Fault::Malformed("its length is no number"))
}

/// Whether a number has one reading for everybody: digits alone, and no zeros in front.
fn is_number(value: &[u8]) -> bool {
    value.iter().all(u8::is_ascii_digit) && (value.len() == 1 || value.first() != Some(&b'0'))
}

/// Whether fields of this name belong to one hop whether or not `Connection` says so.
pub(crate) fn is_of_this_hop(name: &HeaderName) -> bool {
    Kind::of(name.as_str().as_bytes()) == Kind::Hop
}

/// Fields that the sender's `Connection` nominates are for this hop alone.
pub(crate) fn drop_nominated(fields: &mut HeaderMap) {
    let names: Vec<HeaderName> = fields
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| members(value.as_bytes()))
        .filter_map(|member| HeaderName::from_bytes(member).ok())
        .filter(|name| !matches!(*name, UPGRADE | CONTENT_LENGTH | TRANSFER_ENCODING))
        .collect();
    for name in names {
        fields.remove(name);
    }
}

/// A value that was folded over lines (RFC 9112, section 5.2) in one line.
fn without_folds(value: bytes::Bytes) -> bytes::Bytes {
    if !value.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
        return value;
    }
    value.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }).collect::<Vec<u8>>().into()
}
