//! A route that answers by itself, always the same.

use frontgate_filters::filter::Facts;
use frontgate_filters::reply::{Reply, ReplyBody};
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, StatusCode};
use pingora_http::RequestHeader;

use super::{Act, Action, Upstreams};
use crate::config::check::{Check, Report};
use crate::config::model;
use crate::router::Pattern;

/// Headers that the gateway sets itself.
const FRAMING: [&str; 5] = ["content-length", "transfer-encoding", "connection", "date", "x-request-id"];

/// The answer.
pub(super) struct Fixed(Reply);

impl Fixed {
    /// This answer.
    pub(super) fn new(reply: Reply) -> Self {
        Self(reply)
    }
}

impl Check for model::Respond {
    fn check(&self, _: Option<&Pattern>, report: &mut Report<'_, '_>) {
        if !(200..=599).contains(&*self.status) {
            report.error(self.status.place, format!("{} is not a final status: 200 to 599", *self.status));
        }
        if let (Some(_), Some(body)) = (&self.json, &self.body) {
            report.error(body.place, "an answer has `json` or `body`, not both");
        }
        let has_body = self.json.is_some() || self.body.is_some();
        if has_body && matches!(*self.status, 204 | 205 | 304) {
            report.error(self.status.place, format!("an answer of status {} has no body", *self.status));
        }
        for (name, value) in &self.headers {
            if HeaderName::from_bytes(name.as_bytes()).is_err() || FRAMING.contains(&name.to_ascii_lowercase().as_str()) {
                report.error(value.place, format!("`{name}` is not a header that an answer can set"));
            }
            if HeaderValue::from_str(value).is_err() {
                report.error(value.place, format!("the value of `{name}` holds a character that no header can"));
            }
        }
    }
}

/// Compiles a checked answer.
pub(super) fn compile(written: &model::Respond) -> Result<Box<dyn Action>, String> {
    let (kind, body) = match (&written.json, &written.body) {
        (Some(json), _) => (Some("application/json"), json.value.to_string()),
        (None, Some(text)) => (Some("text/plain; charset=utf-8"), text.value.clone()),
        (None, None) => (None, String::new()),
    };
    let mut headers = Vec::new();
    for (name, value) in &written.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| error.to_string())?;
        headers.push((name, HeaderValue::from_str(value).map_err(|error| error.to_string())?));
    }
    if let Some(kind) = kind
        && !headers.iter().any(|(name, _)| name == CONTENT_TYPE)
    {
        headers.push((CONTENT_TYPE, HeaderValue::from_static(kind)));
    }
    let status = StatusCode::from_u16(*written.status).map_err(|error| error.to_string())?;
    Ok(Box::new(Fixed(Reply { status, headers, body: ReplyBody::Bytes(body.into()) })))
}

impl Action for Fixed {
    fn act<'a>(&'a self, _: &RequestHeader, _: &Facts, _: &'a Upstreams) -> Act<'a> {
        Act::Answer(self.0.clone())
    }
}
