//! What a collector is sent, and what its answer means (OTLP over HTTP, <https://opentelemetry.io/docs/specs/otlp/>).

use std::time::{Duration, SystemTime};

use frontgate_filters::words::fields;
use http::HeaderMap;
use http::header::RETRY_AFTER;

use super::protobuf;
use super::queue::Spans;

/// The version of the conventions that attributes follow.
const SCHEMA: &str = "https://opentelemetry.io/schemas/1.45.0";

/// What came of a try.
pub(super) enum Came {
    /// The collector has taken all but so many.
    Taken(u64),
    /// It does not want them.
    Refused(String),
    /// It may take them later, and perhaps says when.
    NotNow(String, Option<Duration>),
}

/// What an answer says.
pub(super) fn came(status: u16, headers: &HeaderMap, body: &[u8]) -> Came {
    match status {
        // `partial_success.rejected_spans`; an answer that cannot be read says nothing of any.
        200..=299 => Came::Taken(protobuf::find(body, &[1, 1]).unwrap_or(0)),
        429 | 502..=504 => Came::NotNow(format!("it answered {status}"), retry_after(headers, SystemTime::now())),
        _ => Came::Refused(format!("it answered {status}")),
    }
}

/// How long a collector wants to be left alone: seconds, or until a date (RFC 9110, section 10.2.3).
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = fields::text(headers.get(RETRY_AFTER)?)?.trim();
    let seconds = text.parse().ok().map(Duration::from_secs);
    seconds.or_else(|| Some(httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default()))
}

/// An `ExportTraceServiceRequest` of these spans.
pub(super) fn request(resource: &[u8], batch: &[Spans]) -> Vec<u8> {
    let mut out = Vec::with_capacity(resource.len() + 256 + batch.iter().map(|spans| spans.bytes.len()).sum::<usize>());
    protobuf::message(&mut out, 1, |out| {
        protobuf::bytes(out, 1, resource);
        protobuf::message(out, 2, |out| {
            protobuf::message(out, 1, |out| {
                protobuf::bytes(out, 1, env!("CARGO_PKG_NAME").as_bytes());
                protobuf::bytes(out, 2, env!("CARGO_PKG_VERSION").as_bytes());
            });
            batch.iter().for_each(|spans| out.extend_from_slice(&spans.bytes));
            protobuf::bytes(out, 3, SCHEMA.as_bytes());
        });
        protobuf::bytes(out, 3, SCHEMA.as_bytes());
    });
    out
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_collector_says_when_it_wants_to_be_asked_again() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (value, wait) in [
            ("7", Some(7)),
            (" 0 ", Some(0)),
            ("Sun, 06 Nov 1994 08:49:47 GMT", Some(10)),
            ("Sun, 06 Nov 1994 08:49:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(value))]);
            assert_eq!(retry_after(&headers, now), wait.map(Duration::from_secs), "{value}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }

    #[test]
    fn the_specification_says_which_answers_are_worth_another_try() {
        for status in [429, 502, 503, 504] {
            assert!(matches!(came(status, &HeaderMap::new(), b""), Came::NotNow(..)), "{status}");
        }
        for status in [301, 400, 401, 404, 413, 500, 501, 505] {
            assert!(matches!(came(status, &HeaderMap::new(), b""), Came::Refused(_)), "{status}");
        }
        for (body, rejected) in [(&b""[..], 0), (&[0x0a, 0x02, 0x08, 0x03], 3), (b"words", 0)] {
            assert!(matches!(came(200, &HeaderMap::new(), body), Came::Taken(count) if count == rejected), "{body:?}");
        }
    }
}
