//! What an answer is, as far as its head says: JSON, something else, or nobody can tell.

use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};

use crate::coding::Opener;
use crate::grpc;
use crate::words::fields;

/// What an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// JSON, or lines of it.
    Json,
    /// It says nothing, or nothing that is clear: what hides members takes it for JSON.
    Unclear,
    /// Something else.
    Other,
}

impl Kind {
    /// What `Content-Type` says, on however many lines: JSON where any of them does.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut kind = None;
        for element in headers.get_all(CONTENT_TYPE).iter().flat_map(|value| fields::elements(value.as_bytes())) {
            match Self::of_one(element) {
                Self::Json => return Self::Json,
                one if kind.is_none_or(|known| known == one) => kind = Some(one),
                _ => kind = Some(Self::Unclear),
            }
        }
        kind.unwrap_or(Self::Unclear)
    }

    fn of_one(value: &[u8]) -> Self {
        let Some((group, name)) = fields::media_type(value) else { return Self::Unclear };
        if grpc::wire_of(value).is_some() {
            // Messages in frames, whatever they are written in.
            return Self::Other;
        }
        let is_one_of = |names: &[&[u8]]| names.iter().any(|known| known.eq_ignore_ascii_case(name));
        let suffix = name.len().checked_sub(b"+json".len()).map(|at| &name[at..]);
        let named = matches!(group.to_ascii_lowercase().as_slice(), b"application" | b"text")
            && is_one_of(&[b"json", b"x-json", b"ndjson", b"x-ndjson", b"jsonl", b"x-jsonlines", b"jsonlines"]);
        if named || suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case(b"+json")) {
            return Self::Json;
        }
        if name.windows(4).any(|part| part.eq_ignore_ascii_case(b"json")) { Self::Unclear } else { Self::Other }
    }
}

/// How the body was packed by the upstream: `Err` where it cannot be opened.
pub(super) fn opener(headers: &HeaderMap) -> Result<Option<Opener>, ()> {
    let mut codings = fields::list(headers, &CONTENT_ENCODING).filter(|coding| !coding.eq_ignore_ascii_case(b"identity"));
    match (codings.next(), codings.next()) {
        (None, _) => Ok(None),
        (Some(coding), None) => Opener::of(coding).map(Some).ok_or(()),
        (Some(_), Some(_)) => Err(()),
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(name: HeaderName, values: &[&[u8]]) -> HeaderMap {
        values.iter().map(|value| (name.clone(), HeaderValue::from_bytes(value).expect("a value"))).collect()
    }

    #[test]
    fn json_has_many_names_and_parameters_of_any_bytes() {
        for values in [
            &[&b"application/json"[..]][..],
            &[b"Application/JSON ; charset=utf-8"],
            &[b"application/json; name=\"\xe9\""],
            &["application/json; name=\"\u{e9}\"".as_bytes()],
            &[b"application/problem+json"],
            &[b"image/x+JSON"],
            &[b"text/json"],
            &[b"application/x-ndjson"],
            &[b"application/json, application/json"],
            &[b", application/json,"],
            &[b"text/html", b"application/json"],
            &[b"text/html, application/json;q=\"\xfc\""],
        ] {
            assert_eq!(Kind::of(&headers(CONTENT_TYPE, values)), Kind::Json, "{values:?}");
        }
    }

    #[test]
    fn what_nobody_can_read_is_told_from_what_is_something_else() {
        for values in
            [&[][..], &[&b""[..]], &[b"json"], &[b"\xfc"], &[b"application/js\xf6n"], &[b"application/json-seq"], &[b"text/html", b"x"]]
        {
            assert_eq!(Kind::of(&headers(CONTENT_TYPE, values)), Kind::Unclear, "{values:?}");
        }
        for values in [
            &[&b"text/html"[..]][..],
            &[b"text/html; a=\"b, application/json\""],
            &[b"image/png", b"image/png"],
            &[b"application/grpc+json"],
            &[b"application/grpc-web+json"],
        ] {
            assert_eq!(Kind::of(&headers(CONTENT_TYPE, values)), Kind::Other, "{values:?}");
        }
    }

    #[test]
    fn one_coding_is_opened_in_any_spelling() {
        for values in [&[][..], &[&b""[..]], &[b"Identity"], &[b"identity, ,IDENTITY"]] {
            assert!(matches!(opener(&headers(CONTENT_ENCODING, values)), Ok(None)), "{values:?}");
        }
        for values in [&[&b"GZip"[..]][..], &[b"identity", b", br ,"]] {
            assert!(matches!(opener(&headers(CONTENT_ENCODING, values)), Ok(Some(_))), "{values:?}");
        }
        for values in [&[&b"gzip, gzip"[..]][..], &[b"gzip", b"br"], &[b"deflate"], &[b"gzip\xfc"]] {
            assert!(opener(&headers(CONTENT_ENCODING, values)).is_err(), "{values:?}");
        }
    }
}
