//! Entity tags and conditions: a trimmed answer is another representation than the upstream's, with a tag of its own.

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, RANGE};
use http::{HeaderMap, HeaderValue};
use pingora_http::{RequestHeader, ResponseHeader};

use crate::coding::Coding;
use crate::coding::accept::Choice;
use crate::words::fields;
use crate::words::fnv::fnv1a;

/// The fingerprint of a policy for answers of this version, where a route's canary has chosen one that is not stable: two versions may have
/// the same tag for different things.
pub(super) fn versioned(fingerprint: u64, version: Option<&HeaderValue>) -> u64 {
    version.map_or(fingerprint, |version| fnv1a(fingerprint, version.as_bytes()))
}

/// The upstream is asked for a whole and plain answer, and for news since the one that this policy made. What the client would like it
/// packed in.
pub(super) fn ask_for_plain(head: &mut RequestHeader, fingerprint: u64) -> Option<Coding> {
    let coding = Choice::of(&head.headers, &Coding::ALL).coding;
    head.insert_header(ACCEPT_ENCODING, HeaderValue::from_static("identity")).expect("a known name and value");
    head.remove_header(&RANGE);
    head.remove_header(&IF_RANGE);
    if head.headers.contains_key(IF_NONE_MATCH) {
        let own = own_tags(&head.headers, fingerprint);
        head.remove_header(&IF_NONE_MATCH);
        // It counts beside no tag (RFC 9110, section 13.1.3), and where the tag is withheld, it must not count in its place.
        head.remove_header(&IF_MODIFIED_SINCE);
        if !own.is_empty() {
            let value = HeaderValue::from_bytes(&own).expect("parts of header values are one");
            head.insert_header(IF_NONE_MATCH, value).expect("a known name");
        }
    }
    coding
}

/// The tags that the upstream knows of those that this policy made. One of another policy's answer must not be known to it: 304 would leave
/// the client with that answer.
fn own_tags(headers: &HeaderMap, fingerprint: u64) -> Vec<u8> {
    let suffix = format!("-{fingerprint:016x}");
    let mut own = Vec::new();
    for tag in headers.get_all(IF_NONE_MATCH).iter().flat_map(|value| fields::tags(value.as_bytes())) {
        let known = match tag {
            b"*" => Some(b"*".to_vec()),
            tag => fields::opaque(tag).and_then(|opaque| opaque.strip_suffix(suffix.as_bytes())).map(|opaque| {
                let weak = if tag.starts_with(b"W/") { &b"W/"[..] } else { b"" };
                [weak, b"\"", opaque, b"\""].concat()
            }),
        };
        if let Some(known) = known {
            own.extend_from_slice(if own.is_empty() { b"" } else { b", " });
            own.extend_from_slice(&known);
        }
    }
    own
}

/// A tag of its own for what this policy leaves of an answer, and a weak one: other bytes may say the same.
pub(super) fn mark_tag(head: &mut ResponseHeader, fingerprint: u64) {
    let Some(tag) = head.headers.get(ETAG) else { return };
    let marked = fields::opaque(tag.as_bytes()).map(|opaque| {
        let end = format!("-{fingerprint:016x}\"");
        HeaderValue::from_maybe_shared(Bytes::from([b"W/\"", opaque, end.as_bytes()].concat())).expect("a tag and hexadecimal digits")
    });
    match marked {
        Some(marked) => head.insert_header(ETAG, marked).expect("a known name"),
        None => {
            head.remove_header(&ETAG);
        }
    }
}
