//! Why a field has no value, and how clients are told: fixed words, and nothing of what a service has said.

use std::borrow::Cow;
use std::sync::Arc;

use http::StatusCode;

use super::super::tables::CallId;
use super::tree::Step;
use crate::compose::service::NoData;
use crate::compose::{CallResult, Failed};

/// What an error is, as `extensions.code` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    Failed,
    /// It was not made, since a value that it needs is missing.
    Unasked,
    Timeout,
    Refused,
    /// What a service answered is nothing that the field may be.
    BadValue,
    /// It is null, and may not be.
    Null,
    /// A variable is null where an argument may not be.
    BadInput,
    Limit,
}

impl Code {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Failed | Self::Unasked => "CALL_FAILED",
            Self::Timeout => "CALL_TIMEOUT",
            Self::Refused => "CALL_REFUSED",
            Self::BadValue | Self::Null => "BAD_VALUE",
            Self::BadInput => "BAD_USER_INPUT",
            Self::Limit => "LIMIT_EXCEEDED",
        }
    }

    pub(super) fn message(self) -> &'static str {
        match self {
            Self::Failed => "A service that this field needs has failed.",
            Self::Unasked => "A value that is needed to ask a service for this field is missing, or cannot be sent.",
            Self::Timeout => "A service that this field needs has not answered in time.",
            Self::Refused => "A service that this field needs has refused the request.",
            Self::BadValue => "A service has answered a value that this field cannot have.",
            Self::Null => "This field is never null, and there is no value for it.",
            Self::BadInput => "An argument of this field is null and may not be.",
            Self::Limit => "This field needs more than one request may ask for.",
        }
    }
}

/// Why a call has no answer.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) call: CallId,
    pub(super) code: Code,
    pub(super) status: Option<u16>,
    pub(super) result: CallResult,
    /// For the log.
    pub(super) cause: Cow<'static, str>,
}

impl Failure {
    /// Of a status that was not expected.
    pub(super) fn of_status(call: CallId, status: StatusCode) -> Arc<Self> {
        let code = match status.as_u16() {
            401 | 403 | 404 | 409 | 410 | 422 | 429 => Code::Refused,
            _ => Code::Failed,
        };
        let cause = format!("status {}", status.as_u16()).into();
        Arc::new(Self { call, code, status: Some(status.as_u16()), result: CallResult::of_unexpected(status), cause })
    }

    /// Of a call that was not answered.
    pub(super) fn of_call(call: CallId, failed: Failed) -> Arc<Self> {
        let code = if failed == Failed::Timeout { Code::Timeout } else { Code::Failed };
        Arc::new(Self { call, code, status: None, result: failed.result(), cause: failed.result().word().into() })
    }

    /// Of an answer that is not one JSON value.
    pub(super) fn malformed(call: CallId) -> Arc<Self> {
        let result = CallResult::Malformed;
        Arc::new(Self { call, code: Code::Failed, status: None, result, cause: result.word().into() })
    }

    /// Of a GraphQL service that has answered without its data.
    pub(super) fn no_data(call: CallId, why: NoData) -> Arc<Self> {
        let (result, cause) = match why {
            NoData::Errors(1) => (CallResult::Errors, "1 error".into()),
            NoData::Errors(count) => (CallResult::Errors, format!("{count} errors").into()),
            NoData::Malformed => return Self::malformed(call),
        };
        Arc::new(Self { call, code: Code::Failed, status: None, result, cause })
    }

    /// A value that it needs is missing.
    pub(super) fn value_missing(call: CallId) -> Arc<Self> {
        let result = CallResult::ValueMissing;
        Arc::new(Self { call, code: Code::Unasked, status: None, result, cause: result.word().into() })
    }

    /// There is more to ask for than is allowed.
    pub(super) fn too_many(call: CallId, most: usize, what: &str) -> Arc<Self> {
        let cause = format!("more than {most} {what}").into();
        Arc::new(Self { call, code: Code::Limit, status: None, result: CallResult::TooLarge, cause })
    }

    /// An argument is null.
    pub(super) fn bad_input(call: CallId) -> Arc<Self> {
        let result = CallResult::ValueMissing;
        Arc::new(Self { call, code: Code::BadInput, status: None, result, cause: result.word().into() })
    }
}

/// An error of the answer.
#[derive(Clone, Debug)]
pub(super) struct FieldError {
    pub(super) code: Code,
    /// From the root on.
    pub(super) path: Vec<Step>,
    /// Where in the document.
    pub(super) at: u32,
    pub(super) call: Option<CallId>,
    pub(super) status: Option<u16>,
    /// What came in place of a value that the field can have: a kind of JSON, for the log.
    pub(super) came: Option<&'static str>,
}

/// The errors of an answer: the first ones, and how many there are.
#[derive(Debug)]
pub(super) struct Errors {
    pub(super) first: Vec<FieldError>,
    pub(super) count: usize,
    pub(super) most: usize,
}

impl Errors {
    pub(super) fn push(&mut self, error: impl FnOnce() -> FieldError) {
        self.count += 1;
        if self.first.len() < self.most {
            self.first.push(error());
        }
    }
}
