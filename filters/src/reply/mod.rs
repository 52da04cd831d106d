//! Answers of the gateway's own: the one place where a refusal becomes a response.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};
use pingora_http::ResponseHeader;

/// An answer that no upstream gave.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Headers beside Content-Type and Content-Length.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// What it says.
    pub body: ReplyBody,
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
    },
    /// These bytes, under the headers as they are.
    Bytes(Bytes),
}

impl Reply {
    /// A refusal as problem details.
    pub fn problem(status: StatusCode, code: &'static str, detail: &'static str) -> Self {
        Self { status, headers: Vec::new(), body: ReplyBody::Problem { code, detail } }
    }

    /// Nobody has said who is asking (RFC 6750, section 3.1).
    pub fn unauthenticated() -> Self {
        Self::problem(StatusCode::UNAUTHORIZED, "unauthenticated", "A token is needed.")
            .with(http::header::WWW_AUTHENTICATE, HeaderValue::from_static(r#"Bearer realm="frontgate""#))
    }

    /// The same with one more header.
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The `code` of a refusal, for logs; `reply` for an answer that refuses nothing.
    pub fn code(&self) -> &'static str {
        match self.body {
            ReplyBody::Problem { code, .. } => code,
            ReplyBody::Bytes(_) => "reply",
        }
    }

    /// The head and the body that go out, with `X-Request-Id`.
    pub fn render(&self, request_id: &HeaderValue) -> (ResponseHeader, Bytes) {
        let mut head = ResponseHeader::build_no_case(self.status, Some(self.headers.len() + 6)).expect("a StatusCode is a valid status");
        let body = match &self.body {
            ReplyBody::Problem { code, detail } => {
                insert(&mut head, "Content-Type", HeaderValue::from_static("application/problem+json"));
                problem_json(self.status, code, detail, request_id)
            }
            ReplyBody::Bytes(bytes) => bytes.clone(),
        };
        for (name, value) in &self.headers {
            head.append_header(name.clone(), value.clone()).expect("a HeaderName is a valid name");
        }
        insert(&mut head, "X-Request-Id", request_id.clone());
        // 204 and 304 have no body and say no length (RFC 9110, section 8.6).
        if self.status != StatusCode::NO_CONTENT && self.status != StatusCode::NOT_MODIFIED {
            insert(&mut head, "Content-Length", HeaderValue::from(body.len()));
        }
        (head, body)
    }
}

/// Inserts under a spelling that costs no allocation.
fn insert(head: &mut ResponseHeader, spelling: &'static str, value: HeaderValue) {
    head.insert_header(spelling, value).expect("a known name and a checked value");
}

/// All members are fixed texts or checked identifiers, so nothing needs escaping.
fn problem_json(status: StatusCode, code: &str, detail: &str, request_id: &HeaderValue) -> Bytes {
    let title = status.canonical_reason().unwrap_or("Error");
    let id = request_id.to_str().unwrap_or_default();
    let number = status.as_u16();
    Bytes::from(format!(
        r#"{{"type":"about:blank","title":"{title}","status":{number},"detail":"{detail}","code":"{code}","request_id":"{id}"}}"#
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_problem_json_with_the_request_id() {
        let reply = Reply::problem(StatusCode::TOO_MANY_REQUESTS, "rate_limited", "Too many requests.");

        let (head, body) = reply.render(&HeaderValue::from_static("abc-1"));

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
        let reply = Reply { status: StatusCode::NO_CONTENT, headers: Vec::new(), body: ReplyBody::Bytes(Bytes::new()) };

        let (head, _) = reply.render(&HeaderValue::from_static("abc-1"));

        assert!(!head.headers.contains_key("content-length"));
    }
}
