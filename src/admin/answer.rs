//! Answers on the operators' addresses.

use std::pin::Pin;

use frontgate_filters::reply::{Form, Reply};
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::response::Parts;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde::Serialize;

use crate::config::diagnostics::nearest;
use crate::request_id::new_request_id;

/// An answer with its whole body.
pub(super) type Answer = Response<Vec<u8>>;

/// An answer that is being made.
pub(super) type Pending<'a> = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

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
    let mut answer = problem(status, code, "", None);
    // The same but for the text, which is no fixed one here.
    let body = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(answer.body());
    if let Ok(mut body) = body {
        body.insert("detail".to_owned(), detail.into());
        *answer.body_mut() = serde_json::to_vec(&body).unwrap_or_default();
        let length = answer.body().len();
        answer.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
    answer
}

/// There is nothing of this name among those that there are.
pub(super) fn no_such<'n>(what: &str, name: &str, names: impl Iterator<Item = &'n str> + Clone) -> Answer {
    refusal(StatusCode::NOT_FOUND, "not_found", &is_none_of(what, name, names))
}

/// That there is nothing of this name, with the one that is probably meant, or those that there are.
pub(super) fn is_none_of<'n>(what: &str, name: &str, names: impl Iterator<Item = &'n str> + Clone) -> String {
    let name: String = name.chars().take(100).collect();
    let help = match (nearest(&name, names.clone()), names.take(20).collect::<Vec<_>>()) {
        (Some(near), _) => format!("did you mean `{near}`?"),
        (None, all) if all.is_empty() => "there is none.".to_owned(),
        (None, all) => format!("there is `{}`.", all.join("`, `")),
    };
    format!("There is no {what} `{name}`: {help}")
}

/// A refusal, with one more header where it needs one.
pub(super) fn problem(status: StatusCode, code: &'static str, detail: &'static str, header: Option<(HeaderName, HeaderValue)>) -> Answer {
    let reply = Reply { headers: header.into_iter().collect(), ..Reply::problem(status, code, detail) };
    let (head, body) = reply.render(Form::default(), &new_request_id());
    let mut answer = Response::from_parts(Parts::from(head), body.to_vec());
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
