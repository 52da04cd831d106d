//! `respond`: a fixed answer as it is written, its check, and the [`Reply`] that it compiles to.
//!
//! A route's target and a circuit breaker's fallback are written alike, checked alike and compiled alike here.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Reply, ReplyBody};
use crate::words::reserved;
use crate::words::spanned::{Problem, Spanned};

/// A fixed answer: a status, with `json`, `body` or neither.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Respond {
    /// 200 (the default) to 599.
    #[serde(default = "Respond::usual_status")]
    pub status: Spanned<u16>,
    /// Headers of the answer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Spanned<String>>,
    /// A body of any JSON value, sent as application/json where `headers` says nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json: Option<Spanned<serde_json::Value>>,
    /// A body of text, sent as text/plain where `headers` says nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Spanned<String>>,
}

impl Respond {
    fn usual_status() -> Spanned<u16> {
        Spanned::nowhere(200)
    }

    /// What is wrong with it. `own` are headers that whoever sends the answer sets itself.
    pub fn problems(&self, own: &[HeaderName]) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut wrong = |place, message: String| problems.push(Problem::at(place, message));
        let status = &self.status;
        if !(200..=599).contains(&status.value) {
            wrong(status.place, format!("{} is not a final status: 200 to 599", status.value));
        }
        if (self.json.is_some() || self.body.is_some()) && matches!(status.value, 204 | 205 | 304) {
            wrong(status.place, format!("an answer of status {} has no body", status.value));
        }
        if let (Some(json), Some(body)) = (&self.json, &self.body) {
            let later = if json.place.0 > body.place.0 { json.place } else { body.place };
            wrong(later, "an answer has `json` or `body`, not both".to_owned());
        }
        for (name, value) in &self.headers {
            match HeaderName::from_bytes(name.as_bytes()) {
                Err(_) => wrong(value.place, format!("`{name}` is not a header name")),
                Ok(header) if reserved::on_answers(&header) || own.contains(&header) => {
                    wrong(value.place, format!("`{name}` is a header that the gateway itself sets"));
                }
                Ok(_) => {}
            }
            if HeaderValue::from_str(value).is_err() {
                wrong(value.place, format!("the value of `{name}` holds a character that no header can"));
            }
        }
        problems
    }

    /// Compiles it. What [`Respond::problems`] finds nothing wrong with always compiles.
    pub fn reply(&self) -> Result<Reply, String> {
        let mut headers = Vec::new();
        for (name, value) in &self.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| error.to_string())?;
            headers.push((name, HeaderValue::from_str(value).map_err(|error| error.to_string())?));
        }
        let (usual, body) = match (&self.json, &self.body) {
            (Some(json), _) => (Some("application/json"), Bytes::from(json.value.to_string())),
            (None, Some(text)) => (Some("text/plain; charset=utf-8"), Bytes::from(text.value.clone())),
            (None, None) => (None, Bytes::new()),
        };
        if let Some(usual) = usual.filter(|_| !headers.iter().any(|(name, _)| *name == CONTENT_TYPE)) {
            headers.push((CONTENT_TYPE, HeaderValue::from_static(usual)));
        }
        let status = StatusCode::from_u16(self.status.value).map_err(|error| error.to_string())?;
        Ok(Reply { status, headers, body: ReplyBody::Bytes(body) })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::words::fields;

    fn respond(written: serde_json::Value) -> Respond {
        serde_json::from_value(written).expect("a fixed answer")
    }

    #[test]
    fn compiles_to_the_answer_that_is_written() {
        for (written, status, kind, body) in [
            (json!({}), 200, None, ""),
            (json!({"status": 503, "json": {"items": []}}), 503, Some("application/json"), r#"{"items":[]}"#),
            (json!({"body": "later"}), 200, Some("text/plain; charset=utf-8"), "later"),
            (json!({"body": "<p>", "headers": {"content-TYPE": "text/html"}}), 200, Some("text/html"), "<p>"),
        ] {
            let respond = respond(written.clone());

            let reply = respond.reply().expect("a reply");

            assert_eq!(respond.problems(&[]), [], "{written}");
            let found = reply.headers.iter().find(|(name, _)| *name == CONTENT_TYPE).map(|(_, value)| fields::text(value).expect("text"));
            let ReplyBody::Bytes(bytes) = &reply.body else { panic!("fixed bytes") };
            assert_eq!((reply.status.as_u16(), found, &bytes[..]), (status, kind, body.as_bytes()), "{written}");
        }
    }

    #[test]
    fn every_mistake_is_told() {
        let written = json!({
            "status": 204, "json": 1, "body": "x",
            "headers": {"a b": "x", "Content-Length": "1", "Keep-Alive": "5", "X-Own": "1", "X-Bad": "a\nb"},
        });

        let found: Vec<String> =
            respond(written).problems(&[HeaderName::from_static("x-own")]).into_iter().map(|problem| problem.message).collect();

        for words in ["status 204 has no body", "not both", "`a b` is not", "`Content-Length`", "`Keep-Alive`", "`X-Own`", "`X-Bad` holds"]
        {
            assert!(found.iter().any(|message| message.contains(words)), "{words}: {found:?}");
        }
        assert_eq!(found.len(), 7, "{found:?}");
        assert_eq!(respond(json!({"status": 199})).problems(&[]).len(), 1);
    }
}
