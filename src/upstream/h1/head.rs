//! The head of an upstream's answer: read strictly, its values slices of the read buffer, and without what belongs to this hop alone.

use std::mem::MaybeUninit;

use bytes::BytesMut;
use frontgate_filters::words::fields::members;
use http::header::{CONNECTION, CONTENT_LENGTH, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};
use pingora_http::ResponseHeader;
use smallvec::SmallVec;

use super::Fault;
use crate::upstream::cause::{IN_HTTP2, IN_TLS};

/// The largest head, in bytes, and the most fields.
const LARGEST: usize = 1 << 20;
const FIELDS: usize = 256;
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
pub(crate) struct Head {
    /// The head without hop-by-hop fields; a 101 keeps its `Upgrade`.
    pub head: ResponseHeader,
    /// Whether the connection is kept after this answer.
    pub keep: bool,
    /// How its body is framed.
    pub framing: Framing,
}

/// Whether a head is the answer: other 1xx than 101 only say that one is on its way (RFC 9110, section 15.2).
pub(crate) fn is_final(head: &ResponseHeader) -> bool {
    !head.status.is_informational() || head.status == StatusCode::SWITCHING_PROTOCOLS
}

/// Where a field's name and value lie in the buffer.
type Place = (u32, u32, u32, u32);

/// Takes a whole head off the front of the buffer; none where more bytes are needed.
pub(super) fn read(input: &mut BytesMut, to_head: bool) -> Result<Option<Head>, Fault> {
    let base = input.as_ptr() as usize;
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
    let reason = parsed.reason.filter(|reason| status.canonical_reason() != Some(reason)).map(str::to_owned);
    let places: SmallVec<[Place; USUAL]> = parsed
        .headers
        .iter()
        .map(|field| {
            let (name, value) = (field.name.as_ptr() as usize - base, field.value.as_ptr() as usize - base);
            (name as u32, field.name.len() as u32, value as u32, field.value.len() as u32)
        })
        .collect();
    let bytes = input.split_to(length).freeze();

    let mut fields = HeaderMap::with_capacity(places.len() + 6);
    let (mut keep, mut lengths, mut codings) = (version == Version::HTTP_11, None, None);
    let (mut nominated, mut closes, mut announced) = (false, false, false);
    let frameless = status.is_informational() || status == StatusCode::NO_CONTENT;
    for (name, name_length, value, value_length) in places {
        let name = HeaderName::from_bytes(&bytes[name as usize..(name + name_length) as usize])
            .map_err(|_| Fault::Malformed("a field's name is no name"))?;
        let mut value = bytes.slice(value as usize..(value + value_length) as usize);
        match name {
            // There is no body to frame (RFC 9110, section 8.6; RFC 9112, section 6.1); who speaks of chunks may send some all the same.
            CONTENT_LENGTH | TRANSFER_ENCODING if frameless => {
                closes |= name == TRANSFER_ENCODING;
                continue;
            }
            CONTENT_LENGTH => {
                let length = content_length(&value)?;
                if lengths.is_some_and(|known| known != length) {
                    return Err(Fault::Malformed("it has two lengths"));
                }
                if lengths.replace(length).is_some() {
                    continue;
                }
                if !is_plain(&value) {
                    value = length.to_string().into();
                }
            }
            TRANSFER_ENCODING => {
                if codings.replace(()).is_some() || version == Version::HTTP_10 || !value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                    return Err(Fault::Malformed("its transfer coding is not understood"));
                }
                continue;
            }
            CONNECTION => {
                for option in members(&value) {
                    if option.eq_ignore_ascii_case(b"close") {
                        closes = true;
                    } else if option.eq_ignore_ascii_case(b"keep-alive") {
                        keep |= version == Version::HTTP_10;
                    } else {
                        nominated = true;
                    }
                }
            }
            UPGRADE if status != StatusCode::SWITCHING_PROTOCOLS => continue,
            TRAILER => announced = true,
            _ if is_of_this_hop(&name) => continue,
            _ => {}
        }
        let value = without_folds(value);
        fields.append(name, HeaderValue::from_maybe_shared(value).map_err(|_| Fault::Malformed("a field's value is no value"))?);
    }
    keep &= !closes;
    if nominated {
        drop_nominated(&mut fields);
    }
    fields.remove(CONNECTION);

    let bodyless = to_head || status.is_informational() || matches!(status.as_u16(), 204 | 304);
    let framing = match (codings, lengths) {
        _ if bodyless => Framing::None,
        (Some(()), _) => Framing::Chunked,
        (None, Some(length)) => Framing::Length(length),
        (None, None) => Framing::Close,
    };
    // A length beside a transfer coding is overridden by it (RFC 9112, section 6.3), and makes the connection doubtful.
    if lengths.is_some() && codings.is_some() {
        fields.remove(CONTENT_LENGTH);
        keep = false;
    }
    if announced && framing != Framing::Chunked {
        // No trailers can follow.
        fields.remove(TRAILER);
    }
    let mut parts = http::Response::new(()).into_parts().0;
    (parts.status, parts.version, parts.headers) = (status, version, fields);
    let mut head = ResponseHeader::from(parts);
    if let Some(reason) = reason {
        head.set_reason_phrase(Some(&reason)).map_err(|_| Fault::Malformed("its reason cannot be read"))?;
    }
    Ok(Some(Head { head, keep: keep && framing != Framing::Close, framing }))
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
fn is_plain(value: &[u8]) -> bool {
    value.iter().all(u8::is_ascii_digit) && (value.len() == 1 || value.first() != Some(&b'0'))
}

/// Fields that belong to one hop whether or not `Connection` says so (RFC 9110, sections 7.6.1 and 11.7; RFC 7540, section 3.2.1).
pub(crate) fn is_of_this_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "http2-settings"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authentication-info"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
    )
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
