//! What a request's headers say of the trace that it belongs to (W3C Trace Context, version 00).

use frontgate_filters::words::fields;
use http::{HeaderMap, HeaderValue};

/// The trace id of the one `traceparent`, in hex; nothing where there is none, more than one, or one that the standard calls invalid.
pub(crate) fn trace_id(headers: &HeaderMap) -> Option<&str> {
    parent(headers).map(|(trace, _)| trace)
}

/// A `traceparent` of a trace of its own, sampled as the one of these headers is; none where that one is none. `random` gives its bits.
pub(crate) fn renewed(headers: &HeaderMap, random: impl Fn() -> u64) -> Option<HeaderValue> {
    let (_, flags) = parent(headers)?;
    // Zeros alone would be no identifiers.
    let text = format!("00-{:016x}{:016x}-{:016x}-{flags}", random() | 1, random(), random() | 1);
    HeaderValue::from_str(&text).ok()
}

/// The trace id and the flags of the one valid `traceparent`.
fn parent(headers: &HeaderMap) -> Option<(&str, &str)> {
    let mut values = headers.get_all("traceparent").iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let mut parts = fields::text(value)?.split('-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |text: &str, length| text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let is_id = |text: &str, length| is_hex(text, length) && text.bytes().any(|byte| byte != b'0');
    let is_valid = version == "00" && is_id(trace, 32) && is_id(parent, 16) && is_hex(flags, 2) && parts.next().is_none();
    is_valid.then_some((trace, flags))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const PARENT: &str = "b7ad6b7169203331";

    fn headers(values: &[String]) -> HeaderMap {
        values.iter().map(|value| (http::HeaderName::from_static("traceparent"), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn finds_the_trace_of_a_valid_parent() {
        for flags in ["00", "01", "ff"] {
            let headers = headers(&[format!("00-{TRACE}-{PARENT}-{flags}")]);

            assert_eq!(trace_id(&headers), Some(TRACE));
        }
    }

    #[test]
    fn finds_none_in_an_invalid_parent() {
        let zeros = "0".repeat(32);
        let capitals = TRACE.to_uppercase();
        for value in [
            String::new(),
            TRACE.to_owned(),
            format!("01-{TRACE}-{PARENT}-01"),
            format!("ff-{TRACE}-{PARENT}-01"),
            format!("00-{zeros}-{PARENT}-01"),
            format!("00-{TRACE}-{}-01", &zeros[..16]),
            format!("00-{capitals}-{PARENT}-01"),
            format!("00-{}-{PARENT}-01", &TRACE[1..]),
            format!("00-{TRACE}0-{PARENT}-01"),
            format!("00-{TRACE}-{PARENT}-1"),
            format!("00-{TRACE}-{PARENT}-0G"),
            format!("00-{TRACE}-{PARENT}"),
            format!("00-{TRACE}-{PARENT}-01-more"),
            format!(" 00-{TRACE}-{PARENT}-01"),
        ] {
            assert_eq!(trace_id(&headers(std::slice::from_ref(&value))), None, "{value:?}");
        }
    }

    #[test]
    fn a_renewed_trace_is_another_one_that_is_sampled_alike() {
        for flags in ["00", "01", "03"] {
            let old = headers(&[format!("00-{TRACE}-{PARENT}-{flags}")]);

            let new = renewed(&old, || 0).expect("a trace");

            let text = fields::text(&new).unwrap().to_owned();
            let map = headers(std::slice::from_ref(&text));
            assert!(trace_id(&map).is_some_and(|trace| trace != TRACE), "{new:?}");
            assert!(text.ends_with(&format!("-{flags}")) && !text.contains(PARENT), "{new:?}");
        }
        assert_eq!(renewed(&headers(&["00-x".to_owned()]), || 1), None);
    }

    #[test]
    fn finds_none_where_two_are_told() {
        let value = format!("00-{TRACE}-{PARENT}-01");

        assert_eq!(trace_id(&headers(&[value.clone(), value])), None);
        assert_eq!(trace_id(&headers(&[])), None);
    }
}
