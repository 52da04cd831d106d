//! Answers of the gateway's own: the one place where a refusal becomes a response.

pub mod grpc;
pub mod problem;
pub mod respond;

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use pingora_http::ResponseHeader;

use crate::grpc::{Call, GRPC_STATUS, Status};
use crate::words::fields;

/// The identifier of a request.
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// An answer that no upstream gave.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Headers beside Content-Type and Content-Length.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// What it says.
    pub body: ReplyBody,
    /// What the log calls it, in one word: a refusal by its `code`.
    pub reason: &'static str,
}

/// The body of a [`Reply`].
#[derive(Clone, Debug)]
pub enum ReplyBody {
    /// RFC 9457 problem details: a machine's word and a fixed sentence, neither of them from the request.
    Problem {
        /// The `code` member: short, stable, for programs.
        code: &'static str,
        /// The `detail` member: for people.
        detail: &'static str,
        /// Further members, for programs: names of this gateway's own and of its configuration.
        members: Vec<(&'static str, Arc<str>)>,
    },
    /// These bytes, under the headers as they are.
    Bytes(Bytes),
}

/// How a refusal is written. It follows from the request: what a browser reads, a gRPC client would not look at.
#[derive(Clone, Copy, Debug, Default)]
pub enum Form<'f> {
    /// RFC 9457 problem details, for all that speaks HTTP. What speaks another protocol within HTTP gets a form of its own here.
    #[default]
    Problem,
    /// The status of this gRPC call: a client of gRPC reads no other.
    Grpc(&'f Call),
}

impl Reply {
    /// A refusal as problem details.
    pub fn problem(status: StatusCode, code: &'static str, detail: &'static str) -> Self {
        Self { status, headers: Vec::new(), body: ReplyBody::Problem { code, detail, members: Vec::new() }, reason: code }
    }

    /// An answer that refuses nothing and says nothing; `reason` is what the log calls it.
    pub fn empty(status: StatusCode, reason: &'static str) -> Self {
        Self { status, headers: Vec::new(), body: ReplyBody::Bytes(Bytes::new()), reason }
    }

    /// The caller is not known (RFC 6750, section 3.1).
    pub fn unauthenticated() -> Self {
        Self::problem(StatusCode::UNAUTHORIZED, "unauthenticated", "A valid token is required.")
            .with(http::header::WWW_AUTHENTICATE, HeaderValue::from_static(r#"Bearer realm="frontgate""#))
    }

    /// The word that logs have for it.
    pub fn code(&self) -> &'static str {
        self.reason
    }

    /// Whether it refuses the request, so that it has a form for who asked.
    pub fn is_refusal(&self) -> bool {
        matches!(self.body, ReplyBody::Problem { .. })
    }

    /// What it is to a gRPC client: what its headers say, else what its status means there.
    pub fn grpc_status(&self) -> Status {
        let said = self.headers.iter().find(|(name, _)| *name == GRPC_STATUS);
        let said = said.and_then(|(_, value)| Status::named(fields::text(value)?.parse().ok()?));
        said.unwrap_or_else(|| Status::of_refusal(self.status))
    }

    /// For how many seconds nothing better is to be had, where it says so.
    fn retry_after(&self) -> Option<u64> {
        let (_, value) = self.headers.iter().find(|(name, _)| *name == RETRY_AFTER)?;
        fields::text(value)?.parse().ok()
    }

    /// The same with one more header.
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The same refusal with one more member; what is no refusal has none.
    pub fn with_member(mut self, name: &'static str, value: Arc<str>) -> Self {
        if let ReplyBody::Problem { members, .. } = &mut self.body {
            members.push((name, value));
        }
        self
    }

    /// The head and the body that go out, in this form and with `X-Request-Id`. A body that is empty is none: the head is the end.
    pub fn render(&self, form: Form<'_>, request_id: &HeaderValue) -> (ResponseHeader, Bytes) {
        if let (Form::Grpc(call), ReplyBody::Problem { detail, .. }) = (form, &self.body) {
            return grpc::render(self, detail, call, request_id);
        }
        // A map that is made first: a head spells each name that is put into it, and reads it again.
        let mut fields = HeaderMap::with_capacity(self.headers.len() + 6);
        let body = match &self.body {
            ReplyBody::Problem { code, detail, members } => {
                fields.insert(CONTENT_TYPE, HeaderValue::from_static(problem::MEDIA_TYPE));
                problem::body(self.status, code, detail, members, Some(request_id))
            }
            ReplyBody::Bytes(bytes) => bytes.clone(),
        };
        for (name, value) in &self.headers {
            fields.append(name.clone(), value.clone());
        }
        fields.insert(X_REQUEST_ID, request_id.clone());
        // 204 and 304 have no body and say no length (RFC 9110, section 8.6).
        if self.status != StatusCode::NO_CONTENT && self.status != StatusCode::NOT_MODIFIED {
            fields.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        let mut parts = http::Response::new(()).into_parts().0;
        (parts.status, parts.headers) = (self.status, fields);
        (ResponseHeader::from(parts), body)
    }
}

/// Inserts under a spelling that costs no allocation.
fn insert(head: &mut ResponseHeader, spelling: &'static str, value: HeaderValue) {
    head.insert_header(spelling, value).expect("a known name and a checked value");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_problem_json_with_the_request_id() {
        let reply = Reply::problem(StatusCode::TOO_MANY_REQUESTS, "rate_limited", "Too many requests.");

        let (head, body) = reply.render(Form::default(), &HeaderValue::from_static("abc-1"));

        assert_eq!(head.status, 429);
        assert_eq!(head.headers["content-type"], "application/problem+json");
        assert_eq!(head.headers["x-request-id"], "abc-1");
        let json: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(json["title"], "Too Many Requests");
        assert_eq!(json["code"], "rate_limited");
        assert_eq!(json["request_id"], "abc-1");
        assert_eq!(head.headers["content-length"], body.len().to_string());
    }

    #[test]
    fn an_answer_without_a_body_says_no_length() {
        let reply = Reply::empty(StatusCode::NO_CONTENT, "nothing");

        let (head, _) = reply.render(Form::default(), &HeaderValue::from_static("abc-1"));

        assert!(!head.headers.contains_key("content-length"));
    }
}
