//! Answers on the operators' addresses.

use frontgate_filters::reply::{Form, Reply};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::response::Parts;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde::Serialize;
use serde_json::json;

use crate::request_id::new_request_id;

/// An answer with its whole body.
pub(super) type Answer = Response<Vec<u8>>;

/// An answer of this type, which nobody keeps.
pub(super) fn answer(status: StatusCode, kind: &'static str, body: impl Into<Vec<u8>>) -> Answer {
    let mut answer = Response::new(body.into());
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// The type of plain text.
pub(super) const TEXT: &str = "text/plain; charset=utf-8";

/// The type of JSON values, one a line.
pub(super) const NDJSON: &str = "application/x-ndjson";

/// A line of text.
pub(super) fn text(status: StatusCode, text: &'static str) -> Answer {
    answer(status, TEXT, text)
}

/// A value as JSON.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    answer(status, "application/json", serde_json::to_vec(value).unwrap_or_default())
}

/// A refusal in words that are not always the same.
pub(super) fn refusal(status: StatusCode, code: &'static str, detail: &str) -> Answer {
    let title = status.canonical_reason().unwrap_or_default();
    let problem = json!({"type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail, "code": code});
    answer(status, "application/problem+json", problem.to_string())
}

/// A refusal, with one more header where it needs one.
pub(super) fn problem(status: StatusCode, code: &'static str, detail: &'static str, header: Option<(HeaderName, HeaderValue)>) -> Answer {
    let reply = Reply { headers: header.into_iter().collect(), ..Reply::problem(status, code, detail) };
    let (head, body) = reply.render(Form::default(), &new_request_id());
    let mut answer = Response::from_parts(Parts::from(head), body.to_vec());
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
