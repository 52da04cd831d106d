//! What the query of an operator's request says.

use std::collections::BTreeSet;

use frontgate_filters::words::fields;
use http::header::CONTENT_TYPE;
use pingora_http::RequestHeader;

use super::answer::is_none_of;
use crate::decide::content_length;

/// A parameter of the query.
pub(super) fn parameter(head: &RequestHeader, name: &str) -> Option<String> {
    let query = head.uri.query()?;
    let (_, value) = query.split('&').find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name))?;
    Some(percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned())
}

/// Why a request says something else than was meant, where its parameters are these: nobody waits for ever because of a misspelled `for`.
/// `reads_body` where the resource reads one.
pub(super) fn misread(head: &RequestHeader, known: &[&str], reads_body: bool) -> Option<String> {
    let mut found = BTreeSet::new();
    for pair in head.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').map_or((pair, None), |(name, value)| (name, Some(value)));
        if !known.contains(&name) {
            return Some(is_none_of("parameter", name, known.iter().copied()));
        }
        if value.is_none() {
            return Some(format!("The parameter `{name}` has no value."));
        }
        if !found.insert(name) {
            return Some(format!("The parameter `{name}` is there several times."));
        }
    }
    let is_form =
        head.headers.get(CONTENT_TYPE).is_some_and(|kind| fields::is_media_type(kind.as_bytes(), "application/x-www-form-urlencoded"));
    let is_filled = content_length(head).is_some_and(|length| length > 0);
    (!reads_body && is_form && is_filled).then(|| "Parameters are written in the query, not in the body.".to_owned())
}
