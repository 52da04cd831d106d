//! Headers set on an answer without a copy of their names.
//!
//! Pingora's own methods copy every name that is not one of the well-known ones, once for the map and once for its spelling. An answer's head
//! has no spellings to keep here: names go out in lower case, as every HTTP/2 hop would make them.

use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use pingora_http::ResponseHeader;

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
