//! Entity tags: a packed answer has other bytes than the upstream's, so a strong tag becomes a weak one (RFC 9110, section 8.8.3.3); and what a
//! client has from here is asked of the upstream under the tag that it knows, too.

use bytes::Bytes;
use http::header::{ETAG, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderName, HeaderValue};
use pingora_http::{RequestHeader, ResponseHeader};

use crate::words::fields;

/// Puts beside each weak tag of a condition the strong one that it may have been made from, and says which those are.
///
/// A weak tag matches no `If-Match` (section 13.1.1), and some upstreams compare the others letter by letter, too. What the upstream itself
/// calls weak is matched no more than before.
pub(super) fn undo(head: &mut RequestHeader) -> Vec<Bytes> {
    let mut undone = Vec::new();
    for name in [IF_NONE_MATCH, IF_MATCH] {
        if head.headers.contains_key(&name) {
            beside(head, &name, &mut undone);
        }
    }
    undone
}

fn beside(head: &mut RequestHeader, name: &HeaderName, undone: &mut Vec<Bytes>) {
    let mut list = Vec::new();
    let before = undone.len();
    for tag in head.headers.get_all(name).iter().flat_map(|value| fields::tags(value.as_bytes())) {
        list.extend_from_slice(if list.is_empty() { b"" } else { b", " });
        list.extend_from_slice(tag);
        let is_weak = tag.starts_with(b"W/") && fields::opaque(tag).is_some();
        let strong = tag.strip_prefix(b"W/").unwrap_or_default();
        let mut all = head.headers.get_all(name).iter().flat_map(|value| fields::tags(value.as_bytes()));
        if is_weak && !all.any(|tag| tag == strong) {
            list.extend_from_slice(b", ");
            list.extend_from_slice(strong);
            undone.push(Bytes::copy_from_slice(strong));
        }
    }
    if undone.len() > before {
        let value = HeaderValue::from_maybe_shared(Bytes::from(list)).expect("parts of header values are one");
        head.insert_header(name.clone(), value).expect("a known name");
    }
}

/// Makes a strong tag weak; what is no tag is left out.
pub(super) fn weaken(head: &mut ResponseHeader) {
    let Some(tag) = head.headers.get(ETAG) else { return };
    match (tag.as_bytes(), fields::opaque(tag.as_bytes())) {
        ([b'W', ..], Some(_)) => {}
        (strong, Some(_)) => {
            let weak = HeaderValue::from_maybe_shared(Bytes::from([b"W/", strong].concat())).expect("a tag with two letters before it");
            head.insert_header(ETAG, weak).expect("a known name");
        }
        (_, None) => {
            head.remove_header(&ETAG);
        }
    }
}

/// Weakens the tag of an answer that confirms what the client has, where the client had it from here.
pub(super) fn weaken_confirmed(head: &mut ResponseHeader, undone: &[Bytes]) {
    if head.headers.get(ETAG).is_some_and(|tag| undone.iter().any(|strong| strong == tag.as_bytes())) {
        weaken(head);
    }
}
