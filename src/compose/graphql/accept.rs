//! The media ranges that a client accepts, and how well (RFC 9110, section 12.5.1).

use frontgate_filters::words::fields;
use http::HeaderMap;
use http::header::ACCEPT;

/// Each range without its parameters, and its weight in thousandths.
pub(super) fn ranges(headers: &HeaderMap) -> impl Iterator<Item = (&[u8], u16)> {
    headers.get_all(ACCEPT).into_iter().flat_map(|value| fields::elements(value.as_bytes())).map(|range| {
        let mut parts = range.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let essence = parts.next().unwrap_or_default();
        (essence, parts.find_map(weight).unwrap_or(1000))
    })
}

/// The weight of a range; nothing where this parameter is another one.
fn weight(parameter: &[u8]) -> Option<u16> {
    let value = parameter.strip_prefix(b"q=").or_else(|| parameter.strip_prefix(b"Q="))?;
    let value: f32 = std::str::from_utf8(value.trim_ascii()).ok()?.parse().ok()?;
    Some((value.clamp(0.0, 1.0) * 1000.0).round() as u16)
}
