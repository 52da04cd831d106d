//! RFC 9457 problem details: the one place where a refusal becomes JSON.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use serde_json::Value;

use crate::words::fields;

/// The media type, for Content-Type.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// The body: `code` for programs, `detail` for people, and the request's identifier where it has one.
///
/// All but the values of further members are fixed texts or checked identifiers, so nothing else needs escaping.
pub fn body(status: StatusCode, code: &str, detail: &str, members: &[(&'static str, Arc<str>)], request_id: Option<&HeaderValue>) -> Bytes {
    let title = status.canonical_reason().unwrap_or("Error");
    let number = status.as_u16();
    let mut start = format!(r#"{{"type":"about:blank","title":"{title}","status":{number},"detail":"{detail}","code":"{code}""#);
    for (name, value) in members {
        start += &format!(r#","{name}":{}"#, Value::from(&**value));
    }
    Bytes::from(match request_id.and_then(fields::text) {
        Some(id) => start + r#","request_id":""# + id + r#""}"#,
        None => start + "}",
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(request_id: Option<&HeaderValue>) -> Value {
        serde_json::from_slice(&body(StatusCode::NOT_FOUND, "no_route", "Nothing is here.", &[], request_id)).expect("JSON")
    }

    #[test]
    fn tells_status_code_and_detail_and_which_request_it_was() {
        let without = json!({"type": "about:blank", "title": "Not Found", "status": 404, "detail": "Nothing is here.", "code": "no_route"});
        let mut with = without.clone();
        with["request_id"] = "abc-1".into();

        assert_eq!(read(None), without);
        assert_eq!(read(Some(&HeaderValue::from_static("abc-1"))), with);
    }

    #[test]
    fn further_members_are_escaped() {
        let body = body(StatusCode::BAD_GATEWAY, "call_failed", "A call failed.", &[("call", "a\"b".into())], None);

        let told: Value = serde_json::from_slice(&body).expect("JSON");

        assert_eq!((&told["call"], &told["code"]), (&json!("a\"b"), &json!("call_failed")));
    }
}
