//! An error as the answer, as it is written: a status of HTTP, or one of gRPC.

use std::fmt;
use std::str::FromStr;

use http::StatusCode;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::grpc::Status;
use crate::words::spanned::{Place, Problem, Spanned};
use crate::words::units::Duration;

/// An error that is the answer: one of `status` and `grpc_status`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Abort {
    /// A status of HTTP, between 400 and 599.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Spanned<u16>>,
    /// What `Retry-After` says, beside a `status`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<Spanned<Duration>>,
    /// A status of gRPC, such as `UNAVAILABLE`: for calls, in a head that is all of the answer. Other requests are not hit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grpc_status: Option<GrpcStatus>,
}

/// The answer in place of the upstream's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// This status, and for how many seconds nobody should ask again.
    Http(StatusCode, Option<u64>),
    /// To a gRPC call, this one.
    Grpc(Status),
}

impl Abort {
    /// The answer; none where none is written that could be given.
    pub(super) fn answer(&self) -> Option<Answer> {
        match (self.status, self.grpc_status) {
            (Some(status), None) => {
                let status = StatusCode::from_u16(status.value).ok()?;
                Some(Answer::Http(status, self.retry_after.map(|after| after.0.as_secs())))
            }
            (None, Some(status)) => Some(Answer::Grpc(status.0)),
            _ => None,
        }
    }

    pub(super) fn problems(&self, place: Place, problems: &mut Vec<Problem>) {
        match (&self.status, &self.grpc_status) {
            (None, None) => problems.push(Problem::lacking(place, "an `abort` has a `status` or a `grpc_status`")),
            (Some(_), Some(_)) => problems.push(Problem::at(place, "an `abort` is one answer: write `status` or `grpc_status`")),
            (Some(status), None) if !(400..=599).contains(&status.value) => {
                problems.push(Problem::at(status.place, format!("{} is no error: write a status between 400 and 599", status.value)));
            }
            _ => {}
        }
        if let Some(after) = &self.retry_after {
            if self.grpc_status.is_some() {
                problems.push(Problem::at(after.place, "`retry_after` belongs to a `status`"));
            } else if after.0.as_millis() % 1000 != 0 {
                problems.push(Problem::at(after.place, "`Retry-After` says whole seconds"));
            }
        }
    }
}

impl FromStr for Answer {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<u16>() {
            Ok(status @ 400..=599) => {
                StatusCode::from_u16(status).map(|status| Self::Http(status, None)).map_err(|error| error.to_string())
            }
            Ok(_) => Err(format!("{text} is no error")),
            Err(_) => text.parse::<GrpcStatus>().map(|status| Self::Grpc(status.0)),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(status, None) => write!(f, "{}", status.as_u16()),
            Self::Http(status, Some(after)) => write!(f, "{} with Retry-After: {after}", status.as_u16()),
            Self::Grpc(status) => write!(f, "gRPC {status}"),
        }
    }
}

/// A status of gRPC that is an error, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct GrpcStatus(pub Status);

fn names() -> impl Iterator<Item = (&'static str, Status)> {
    (1..Status::NAMED as u16).filter_map(Status::named).filter_map(|status| Some((status.name()?, status)))
}

impl FromStr for GrpcStatus {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let found = names().find(|(name, _)| *name == text);
        found.map(|(_, status)| Self(status)).ok_or_else(|| {
            let names: Vec<&str> = names().map(|(name, _)| name).collect();
            format!("`{text}` is not an error of gRPC: {}", names.join(", "))
        })
    }
}

impl TryFrom<String> for GrpcStatus {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<GrpcStatus> for String {
    fn from(status: GrpcStatus) -> Self {
        status.0.name().unwrap_or_default().to_owned()
    }
}

impl JsonSchema for GrpcStatus {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "GrpcStatus".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names: Vec<&str> = names().map(|(name, _)| name).collect();
        json_schema!({"type": "string", "enum": names})
    }
}
