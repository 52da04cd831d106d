//! Headers set on an answer without a copy of their names.
//!
//! Pingora's own methods copy every name that is not one of the well-known ones, once for the map and once for its spelling. An answer's head
//! has no spellings to keep here: names go out in lower case, as every HTTP/2 hop would make them.

use http::header::ACCEPT_RANGES;
use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use pingora_http::ResponseHeader;
use smallvec::SmallVec;

/// Digests of a body (RFC 9530, and what came before it).
const DIGESTS: [HeaderName; 4] = [
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
];

/// Sets a header, in place of all of its name.
pub fn set(head: &mut ResponseHeader, name: HeaderName, value: HeaderValue) {
    with_map(head, |headers| {
        headers.insert(name, value);
    });
}

/// Changes the headers in one go. Each call moves the head twice, so what belongs together is changed together.
pub fn with_map(head: &mut ResponseHeader, change: impl FnOnce(&mut HeaderMap)) {
    // A reason of the sender's own is no part of what is moved.
    let reason = head.get_reason_phrase().filter(|reason| head.status.canonical_reason() != Some(reason)).map(str::to_owned);
    // Room for no header: the usual eight would be two allocations.
    let empty = ResponseHeader::build_no_case(head.status, Some(0)).expect("a status that was read");
    let mut parts = Parts::from(std::mem::replace(head, empty));
    change(&mut parts.headers);
    *head = ResponseHeader::from(parts);
    if reason.is_some() {
        head.set_reason_phrase(reason.as_deref()).expect("a reason that was set already");
    }
}

/// Removes what is no longer so once the body is another one: its digests, and that it can be had in parts.
pub fn of_another_body(head: &mut ResponseHeader) {
    // One look at all names is cheaper than four in the map.
    let digests: SmallVec<[HeaderName; 4]> = head.headers.keys().filter(|name| DIGESTS.contains(name)).cloned().collect();
    for name in &digests {
        head.remove_header(name);
    }
    head.remove_header(&ACCEPT_RANGES);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_and_appends_and_keeps_the_rest() {
        let mut head = ResponseHeader::build(404, None).expect("a head");
        head.append_header("X-A", "1").expect("a header");
        head.set_reason_phrase(Some("Gone Fishing")).expect("a reason");

        with_map(&mut head, |headers| {
            headers.append("x-a", HeaderValue::from_static("2"));
        });
        set(&mut head, HeaderName::from_static("x-b"), HeaderValue::from_static("3"));
        set(&mut head, HeaderName::from_static("x-b"), HeaderValue::from_static("4"));

        let all: Vec<_> = head.headers.get_all("x-a").iter().chain(head.headers.get_all("x-b")).collect();
        assert_eq!(
            (head.status.as_u16(), all),
            (404, vec![&HeaderValue::from_static("1"), &HeaderValue::from_static("2"), &HeaderValue::from_static("4")])
        );
        assert_eq!(head.get_reason_phrase(), Some("Gone Fishing"));
    }
}
