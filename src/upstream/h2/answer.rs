//! What comes on a stream, in the form that an exchange takes from any upstream: heads without what belongs to this hop, trailers without
//! what belongs to a head, and what an error means.

use frontgate_filters::words::fields::number;
use h2::{Error, Reason};
use http::header::{CONTENT_LENGTH, TRAILER};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, response};
use pingora_http::ResponseHeader;

use super::HEAD;
use crate::upstream::h1::{Fault, is_of_a_head, is_of_this_hop};

/// A head as it is passed on. `bodyless` says that no body, and so no trailers, can follow it.
pub(super) fn head(mut parts: response::Parts, bodyless: bool) -> Result<ResponseHeader, Fault> {
    if parts.status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Fault::Malformed("it changes the protocol, which HTTP/2 cannot"));
    }
    if parts.headers.len() > HEAD.1 {
        return Err(Fault::Malformed("its head has too many fields"));
    }
    let fields = &mut parts.headers;
    drop_those(fields, is_of_this_hop);
    if parts.status.is_informational() || parts.status == StatusCode::NO_CONTENT {
        // There is no body to measure (RFC 9110, section 8.6).
        fields.remove(CONTENT_LENGTH);
    } else if let Some(length) = fields.get(CONTENT_LENGTH) {
        // One reading for everybody: digits alone, said once, and no zeros in front.
        let is_plain = length.as_bytes().len() == 1 || length.as_bytes().first() != Some(&b'0');
        if !is_plain || fields.get_all(CONTENT_LENGTH).iter().nth(1).is_some() {
            let length = number(fields, &CONTENT_LENGTH).ok_or(Fault::Malformed("its length is no number"))?;
            fields.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
    }
    if bodyless {
        fields.remove(TRAILER);
    }
    parts.version = Version::HTTP_11;
    Ok(ResponseHeader::from(parts))
}

/// Trailers as they are passed on; none where nothing is left of them.
pub(super) fn trailers(mut fields: HeaderMap) -> Result<Option<HeaderMap>, Fault> {
    if fields.len() > HEAD.1 {
        return Err(Fault::Malformed("its trailers are too many"));
    }
    drop_those(&mut fields, is_of_a_head);
    Ok(if fields.is_empty() { None } else { Some(fields) })
}

fn drop_those(fields: &mut HeaderMap, which: impl Fn(&HeaderName) -> bool) {
    if fields.keys().any(&which) {
        let names: Vec<HeaderName> = fields.keys().filter(|name| which(name)).cloned().collect();
        names.iter().for_each(|name| drop(fields.remove(name)));
    }
}

/// What an error means for a request. `begun` says that some of an answer has come, `untouched` that nothing at all has come on the
/// connection since the request was sent on it.
pub(super) fn fault(error: &Error, begun: bool, untouched: bool) -> Fault {
    let reason = error.reason();
    match reason {
        // Streams above the last one that a GOAWAY names were not processed, nor are those that are refused (RFC 9113, section 8.7).
        Some(_) if error.is_go_away() && error.is_remote() && !begun => Fault::Refused,
        Some(Reason::REFUSED_STREAM) if error.is_remote() && !begun => Fault::Refused,
        Some(Reason::HTTP_1_1_REQUIRED) if error.is_remote() => Fault::Malformed("it asks for HTTP/1.1"),
        Some(_) if error.is_reset() && error.is_remote() => Fault::Broken(false),
        Some(_) => Fault::Malformed("it breaks the rules of HTTP/2"),
        None => Fault::Closed(untouched),
    }
}
