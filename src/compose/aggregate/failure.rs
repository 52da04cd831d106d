//! Why a call failed, and what that means for the request.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use frontgate_filters::reply::{Reply, ReplyBody};
use frontgate_filters::words::cache_control::NO_STORE;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::compose::service::NoData;
use crate::compose::{Answered, CallResult, Failed};
use crate::telemetry::Flag;

/// Why a call failed.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// A status that was not expected.
    Status(Box<Unexpected>),
    /// There is no answer.
    Unanswered(Failed),
    /// The answer is not one JSON value, or none of what it should be.
    Malformed,
    /// A GraphQL service has answered with so many errors.
    Errors(usize),
    /// There are more values to call for than these.
    TooManyValues(usize),
    /// There are more calls than these.
    TooManyCalls(usize),
    /// The whole is longer than allowed.
    TooLong,
    /// A value that it needs is missing: this one, where it is missing rather than of no use.
    ValueMissing(Option<Box<str>>),
}

/// An answer that was not expected.
#[derive(Clone, Debug)]
pub(super) struct Unexpected {
    status: StatusCode,
    /// Of its headers only those that may go on.
    headers: HeaderMap,
    /// Its body, where it may go on.
    body: Option<Bytes>,
}

impl Failure {
    /// Of an answer; its body is kept where it may become the client's.
    pub(super) fn of_status(answered: &Answered, keep_body: bool) -> Self {
        let mut headers = HeaderMap::new();
        for name in [CONTENT_TYPE, RETRY_AFTER] {
            if let Some(value) = answered.headers.get(&name) {
                headers.insert(name, value);
            }
        }
        let body = keep_body.then(|| {
            let mut body = BytesMut::with_capacity(answered.body.iter().map(Bytes::len).sum());
            answered.body.iter().for_each(|chunk| body.extend_from_slice(chunk));
            body.freeze()
        });
        Self::Status(Box::new(Unexpected { status: answered.status, headers, body }))
    }

    /// What it counts as.
    pub(super) fn result(&self) -> CallResult {
        match self {
            Self::Status(unexpected) => CallResult::of_unexpected(unexpected.status),
            Self::Unanswered(failed) => failed.result(),
            Self::Malformed => CallResult::Malformed,
            Self::Errors(_) => CallResult::Errors,
            Self::TooManyValues(_) | Self::TooManyCalls(_) | Self::TooLong => CallResult::TooLarge,
            Self::ValueMissing(_) => CallResult::ValueMissing,
        }
    }

    /// It, for the log: a status, a bound, or the word that it counts as.
    pub(super) fn cause(&self) -> Cow<'static, str> {
        match self {
            Self::Status(unexpected) => format!("status {}", unexpected.status.as_u16()).into(),
            Self::Errors(1) => "1 error".into(),
            Self::Errors(count) => format!("{count} errors").into(),
            Self::TooManyValues(most) => format!("more than {most} values").into(),
            Self::TooManyCalls(most) => format!("more than {most} calls").into(),
            Self::ValueMissing(Some(name)) => format!("{}: {name}", self.result().word()).into(),
            Self::Unanswered(Failed::Broken) => "broken".into(),
            Self::Unanswered(Failed::Full) => "its upstream is full".into(),
            Self::Unanswered(Failed::NoMemory) => "no memory".into(),
            other => other.result().word().into(),
        }
    }

    /// What the log says went wrong where a request fails with it.
    pub(super) fn flag(&self) -> Option<Flag> {
        match self {
            Self::Unanswered(failed) => failed.flag(),
            _ => None,
        }
    }

    /// The answer of a request that fails with the call of this name.
    pub(super) fn reply(self, call: &Arc<str>) -> Reply {
        let failed = |status| Reply::problem(status, "call_failed", "A service that this answer needs has failed.");
        let not_asked = |seconds: u64| {
            let detail = "A service that this answer needs is not asked now.";
            Reply::problem(StatusCode::SERVICE_UNAVAILABLE, "call_failed", detail).with(RETRY_AFTER, HeaderValue::from(seconds))
        };
        let reply = match self {
            Self::Status(mut unexpected) => match unexpected.passed() {
                Some(reply) => return reply,
                None => unexpected.refused().unwrap_or_else(|| failed(StatusCode::BAD_GATEWAY)),
            },
            Self::Unanswered(Failed::Timeout) => {
                Reply::problem(StatusCode::GATEWAY_TIMEOUT, "call_timeout", "A service that this answer needs has not answered in time.")
            }
            Self::Unanswered(Failed::CircuitOpen { retry_after }) => {
                not_asked(retry_after.map_or(1, |after| after.as_millis().div_ceil(1000).max(1) as u64))
            }
            Self::Unanswered(Failed::Unavailable | Failed::Full | Failed::NoMemory) => not_asked(1),
            Self::ValueMissing(_) => {
                let detail = "A value is missing without which a service that this answer needs cannot be asked.";
                Reply::problem(StatusCode::BAD_GATEWAY, "call_failed", detail)
            }
            Self::TooLong => Reply::problem(StatusCode::BAD_GATEWAY, "call_failed", "The answer is longer than allowed."),
            Self::TooManyValues(_) | Self::TooManyCalls(_) => {
                Reply::problem(StatusCode::BAD_GATEWAY, "call_failed", "This answer needs more calls than allowed.")
            }
            Self::Unanswered(_) | Self::Malformed | Self::Errors(_) => failed(StatusCode::BAD_GATEWAY),
        };
        reply.with(CACHE_CONTROL, NO_STORE).with_member("call", call.clone())
    }
}

impl From<NoData> for Failure {
    fn from(why: NoData) -> Self {
        match why {
            NoData::Errors(count) => Self::Errors(count),
            NoData::Malformed => Self::Malformed,
        }
    }
}

impl Unexpected {
    /// The error itself as the answer, where that is wanted and it is one.
    fn passed(&mut self) -> Option<Reply> {
        if !self.status.is_client_error() && !self.status.is_server_error() {
            return None;
        }
        let body = self.body.take()?;
        let headers = self.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        Some(Reply { status: self.status, headers, body: ReplyBody::Bytes(body), reason: "call_failed" }.with(CACHE_CONTROL, NO_STORE))
    }

    /// The answer to a request that is the client's to mend. What the service said of it stays behind.
    fn refused(&self) -> Option<Reply> {
        if !matches!(self.status.as_u16(), 401 | 403 | 404 | 409 | 410 | 422 | 429) {
            return None;
        }
        let reply = Reply::problem(self.status, "call_refused", "A service that this answer needs has refused the request.");
        Some(match self.status {
            StatusCode::UNAUTHORIZED => reply.with(WWW_AUTHENTICATE, HeaderValue::from_static(r#"Bearer realm="frontgate""#)),
            StatusCode::TOO_MANY_REQUESTS => match self.headers.get(RETRY_AFTER) {
                Some(after) => reply.with(RETRY_AFTER, after.clone()),
                None => reply,
            },
            _ => reply,
        })
    }
}
