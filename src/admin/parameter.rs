//! What the query of an operator's request says.

use pingora_http::RequestHeader;

/// A parameter of the query.
pub(super) fn parameter(head: &RequestHeader, name: &str) -> Option<String> {
    let query = head.uri.query()?;
    let (_, value) = query.split('&').find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name))?;
    Some(percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned())
}
