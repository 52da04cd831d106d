//! What `Cache-Control` says (RFC 9111, section 5.2).

use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderValue};

use super::fields;

/// Whether it has this directive, with or without an argument.
pub fn says(headers: &HeaderMap, directive: &str) -> bool {
    fields::list(headers, &CACHE_CONTROL).any(|member| {
        let name = member.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii();
        name.eq_ignore_ascii_case(directive.as_bytes())
    })
}

/// What an answer says that nobody may keep.
pub const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// What an answer with these headers says once nobody may keep it: whether it may be changed on its way stays said.
pub fn not_kept(headers: &HeaderMap) -> HeaderValue {
    if says(headers, "no-transform") { HeaderValue::from_static("no-store, no-transform") } else { NO_STORE }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directive_is_found_wherever_it_stands() {
        let forbids = |values: &[&[u8]]| {
            let headers: HeaderMap = values.iter().map(|value| (CACHE_CONTROL, HeaderValue::from_bytes(value).expect("a value"))).collect();
            says(&headers, "no-transform")
        };

        for values in [
            &[&b"no-transform"[..]][..],
            &[b"max-age=5,  No-Transform"],
            &[b"public", b",,no-transform=1 ,x"],
            &[b"ext=\xe4, no-transform"],
        ] {
            assert!(forbids(values), "{values:?}");
        }
        for values in [&[][..], &[&b"no-transformed"[..]], &[b"max-age=no-transform"], &[b""]] {
            assert!(!forbids(values), "{values:?}");
        }
    }
}
