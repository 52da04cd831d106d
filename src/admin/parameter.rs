//! What the query of an operator's request says.

use std::collections::BTreeSet;

use frontgate_filters::words::fields;
use http::header::CONTENT_TYPE;
use pingora_http::RequestHeader;

use super::answer::is_none_of;
use crate::decide::content_length;

/// A parameter of the query.
pub(super) fn parameter(head: &RequestHeader, name: &str) -> Option<String> {
    Some(percent_encoding::percent_decode_str(values(head, name).next()?).decode_utf8_lossy().into_owned())
}

/// All values of a parameter of the query that may be there several times, in their order.
#[cfg_attr(not(feature = "saga"), allow(dead_code, reason = "no other resource takes any"))]
pub(super) fn parameters(head: &RequestHeader, name: &str) -> Vec<Vec<u8>> {
    values(head, name).map(|value| percent_encoding::percent_decode_str(value).collect()).collect()
}

fn values<'h>(head: &'h RequestHeader, name: &'h str) -> impl Iterator<Item = &'h str> {
    let pairs = head.uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(move |(key, _)| *key == name).map(|(_, value)| value)
}

/// What stands behind the name of a parameter that may be there several times.
const SEVERAL: char = '*';

/// Why a request says something else than was meant, where its parameters are these: nobody waits for ever because of a misspelled `for`.
/// `reads_body` where the resource reads one; a `*` behind a name lets it be there several times.
pub(super) fn misread(head: &RequestHeader, known: &[&str], reads_body: bool) -> Option<String> {
    let mut found = BTreeSet::new();
    for pair in head.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').map_or((pair, None), |(name, value)| (name, Some(value)));
        let Some(parameter) = known.iter().find(|known| known.trim_end_matches(SEVERAL) == name) else {
            return Some(is_none_of("parameter", name, known.iter().map(|known| known.trim_end_matches(SEVERAL))));
        };
        if value.is_none() {
            return Some(format!("The parameter `{name}` has no value."));
        }
        if !found.insert(name) && !parameter.ends_with(SEVERAL) {
            return Some(format!("The parameter `{name}` is there several times."));
        }
    }
    let is_form =
        head.headers.get(CONTENT_TYPE).is_some_and(|kind| fields::is_media_type(kind.as_bytes(), "application/x-www-form-urlencoded"));
    let is_filled = content_length(head).is_some_and(|length| length > 0);
    (!reads_body && is_form && is_filled).then(|| "Parameters are written in the query, not in the body.".to_owned())
}
