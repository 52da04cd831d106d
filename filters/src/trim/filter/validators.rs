//! Entity tags and conditions: a trimmed answer is another representation than the upstream's, with a tag of its own.

use http::HeaderValue;
use http::header::{ACCEPT_ENCODING, ETAG, IF_NONE_MATCH, IF_RANGE, RANGE};
use pingora_http::{RequestHeader, ResponseHeader};

use crate::trim::coding::Coding;

/// The upstream is asked for a whole and plain answer, and for news since the one that this policy made. What the client would like it
/// packed in.
pub(super) fn ask_for_plain(head: &mut RequestHeader, fingerprint: u64) -> Option<Coding> {
    let coding = Coding::best(&head.headers);
    head.insert_header(ACCEPT_ENCODING, HeaderValue::from_static("identity")).expect("a known name and value");
    head.remove_header(&RANGE);
    head.remove_header(&IF_RANGE);
    let tags: Vec<String> =
        head.headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok()).flat_map(tags_of).map(str::to_owned).collect();
    if !tags.is_empty() {
        let suffix = format!("-{fingerprint:016x}\"");
        // A tag of another policy's answer must not be known to the upstream: 304 would leave the client with that answer.
        let own: Vec<String> = tags
            .iter()
            .filter_map(|tag| if tag == "*" { Some(tag.clone()) } else { tag.strip_suffix(&suffix).map(|start| format!("{start}\"")) })
            .collect();
        head.remove_header(&IF_NONE_MATCH);
        if let (false, Ok(value)) = (own.is_empty(), HeaderValue::from_str(&own.join(", "))) {
            head.insert_header(IF_NONE_MATCH, value).expect("a known name");
        }
    }
    coding
}

/// A tag of its own for what this policy leaves of an answer, and a weak one: other bytes may say the same.
pub(super) fn mark_tag(head: &mut ResponseHeader, fingerprint: u64) {
    let Some(tag) = head.headers.get(ETAG).and_then(|tag| tag.to_str().ok()) else { return };
    let opaque = tag.trim_start_matches("W/");
    let marked =
        opaque.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).map(|opaque| format!("W/\"{opaque}-{fingerprint:016x}\""));
    match marked.and_then(|marked| HeaderValue::from_str(&marked).ok()) {
        Some(marked) => head.insert_header(ETAG, marked).expect("a known name"),
        None => {
            head.remove_header(&ETAG);
        }
    }
}

/// The entity tags of a list (RFC 9110, section 8.8.3); a tag may hold commas.
fn tags_of(list: &str) -> Vec<&str> {
    let mut tags = Vec::new();
    let mut rest = list.trim_start_matches([' ', '\t', ',']);
    while !rest.is_empty() {
        let quote = rest.find('"');
        let end = match quote {
            Some(open) if rest[..open].trim().is_empty() || rest[..open].trim() == "W/" => {
                rest[open + 1..].find('"').map_or(rest.len(), |close| open + 1 + close + 1)
            }
            _ => rest.find(',').unwrap_or(rest.len()),
        };
        tags.push(rest[..end].trim());
        rest = rest[end..].trim_start_matches([' ', '\t', ',']);
    }
    tags
}
