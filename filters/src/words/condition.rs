//! When an attempt at an upstream counts as failed: `connect_failure`, `timeout`, a status, a range of them, or a status of gRPC.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};

use crate::filter::{Attempt, Failure};
use crate::grpc;

/// One condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// No connection, or it broke off before the head.
    ConnectFailure,
    /// Too slow to connect or to answer.
    Timeout,
    /// A status of this range. A gRPC call that nobody serves just now is what 503 is without gRPC.
    Status(StatusRange),
    /// This status of a gRPC call.
    Grpc(grpc::Status),
}

/// Statuses from the first to the last, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusRange {
    /// The first.
    pub first: u16,
    /// The last.
    pub last: u16,
}

impl StatusRange {
    /// Whether it has this status.
    pub fn contains(self, status: u16) -> bool {
        (self.first..=self.last).contains(&status)
    }
}

impl Condition {
    /// Whether the attempt meets it.
    pub fn meets(self, attempt: &Attempt<'_>) -> bool {
        match (self, &attempt.result) {
            (Self::ConnectFailure, Err(Failure::Connect | Failure::Unavailable)) | (Self::Timeout, Err(Failure::Timeout)) => true,
            (Self::Status(range), Ok(head)) if range.contains(head.status.as_u16()) => true,
            (Self::Status(_) | Self::Grpc(_), Ok(_)) => attempt.grpc.is_some_and(|status| self.meets_grpc(status)),
            _ => false,
        }
    }

    /// Whether this status of a gRPC call meets it.
    pub fn meets_grpc(self, status: grpc::Status) -> bool {
        match self {
            Self::Grpc(named) => named == status,
            Self::Status(range) => status == grpc::Status::UNAVAILABLE && range.contains(503),
            Self::ConnectFailure | Self::Timeout => false,
        }
    }
}

impl FromStr for StatusRange {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (first.trim().parse(), last.trim().parse()) {
            (Ok(first), Ok(last)) if 200 <= first && first <= last && last <= 599 => Ok(Self { first, last }),
            _ => Err(format!("`{text}` is neither a status nor a range of them, as in 503 or 500-599")),
        }
    }
}

impl FromStr for Condition {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "connect_failure" => Ok(Self::ConnectFailure),
            "timeout" => Ok(Self::Timeout),
            _ if let Some(number) = text.strip_prefix("grpc:") => {
                let status = number.parse().ok().and_then(grpc::Status::named).filter(|status| *status != grpc::Status::OK);
                status.map(Self::Grpc).ok_or_else(|| format!("`{text}` is not a failed status of gRPC: grpc:1 to grpc:16"))
            }
            _ => text.parse().map(Self::Status).map_err(|_| {
                format!("`{text}` is not a condition: connect_failure, timeout, a status, a range of them as in 500-599, or one of gRPC as in grpc:14")
            }),
        }
    }
}

impl fmt::Display for StatusRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last { write!(f, "{}", self.first) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConnectFailure => f.write_str("connect_failure"),
            Self::Timeout => f.write_str("timeout"),
            Self::Status(range) => range.fmt(f),
            Self::Grpc(status) => write!(f, "grpc:{}", status.number()),
        }
    }
}

macro_rules! as_text_or_number {
    ($($form:ty: $name:literal, $expected:literal);*) => {$(
        impl<'de> Deserialize<'de> for $form {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Form;
                impl Visitor<'_> for Form {
                    type Value = $form;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expected)
                    }
                    fn visit_u64<E: de::Error>(self, number: u64) -> Result<$form, E> {
                        self.visit_str(&number.to_string())
                    }
                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$form, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                deserializer.deserialize_any(Form)
            }
        }
        impl Serialize for $form {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl JsonSchema for $form {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": ["string", "integer"], "description": $expected})
            }
        }
    )*};
}
as_text_or_number!(
    Condition: "Condition", "connect_failure, timeout, a status, a range of them such as 500-599, or a status of gRPC such as grpc:14";
    StatusRange: "StatusRange", "a status, or a range of them such as 200-299"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_it_is_written_and_refuses_what_is_no_condition() {
        for text in ["connect_failure", "timeout", "503", "500-599", "grpc:14"] {
            assert_eq!(text.parse::<Condition>().expect("a condition").to_string(), text);
        }
        for text in ["", "refused", "99", "600", "599-500", "500-", "5xx", "grpc:", "grpc:0", "grpc:17", "grpc:UNAVAILABLE"] {
            assert!(text.parse::<Condition>().is_err(), "{text}");
        }
        assert_eq!(serde_json::from_str::<Condition>("503").expect("a number"), "503".parse().expect("a condition"));
    }

    #[test]
    fn a_call_of_grpc_meets_what_names_its_status() {
        let condition = |text: &str| text.parse::<Condition>().expect("a condition");
        let meets = |text: &str, number| condition(text).meets_grpc(grpc::Status::named(number).expect("a status"));

        assert!(meets("grpc:13", 13) && !meets("grpc:13", 14));
        assert!(meets("503", 14) && meets("500-599", 14), "what 503 is without gRPC");
        assert!(!meets("502", 14) && !meets("500-599", 13) && !meets("connect_failure", 14) && !meets("timeout", 4));
    }
}
