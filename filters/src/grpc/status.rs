//! What came of a call, in gRPC's numbers, and what a refusal in HTTP is among them.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};

use super::{GRPC_MESSAGE, GRPC_STATUS};
use crate::words::fields;

/// The fields that say what came of a call.
pub const STATUS_FIELDS: [HeaderName; 3] = [GRPC_STATUS, GRPC_MESSAGE, HeaderName::from_static("grpc-status-details-bin")];

/// What came of a call. Servers may say numbers that have no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Status(u16);

/// The names of the numbers, each at its own.
const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

impl Status {
    /// It went well.
    pub const OK: Self = Self(0);
    /// Its client has given it up.
    pub const CANCELLED: Self = Self(1);
    /// Nobody can say.
    pub const UNKNOWN: Self = Self(2);
    /// It was not there in time.
    pub const DEADLINE_EXCEEDED: Self = Self(4);
    /// The caller may not.
    pub const PERMISSION_DENIED: Self = Self(7);
    /// There is too much of something.
    pub const RESOURCE_EXHAUSTED: Self = Self(8);
    /// Nothing is served there.
    pub const UNIMPLEMENTED: Self = Self(12);
    /// Something is broken.
    pub const INTERNAL: Self = Self(13);
    /// Nobody serves it just now.
    pub const UNAVAILABLE: Self = Self(14);
    /// Something is lost for good.
    pub const DATA_LOSS: Self = Self(15);
    /// The caller is not known.
    pub const UNAUTHENTICATED: Self = Self(16);
    /// How many have a name: the numbers below this.
    pub const NAMED: usize = NAMES.len();

    /// The status of this number, where it has a name.
    pub fn named(number: u16) -> Option<Self> {
        (usize::from(number) < Self::NAMED).then_some(Self(number))
    }

    /// What a refusal of the gateway's own with this HTTP status is to a gRPC client.
    pub fn of_refusal(status: StatusCode) -> Self {
        match status.as_u16() {
            401 => Self::UNAUTHENTICATED,
            403 => Self::PERMISSION_DENIED,
            404 | 405 | 501 => Self::UNIMPLEMENTED,
            408 | 504 => Self::DEADLINE_EXCEEDED,
            413 | 414 | 429 | 431 => Self::RESOURCE_EXHAUSTED,
            502 | 503 => Self::UNAVAILABLE,
            400 | 500 | 508 => Self::INTERNAL,
            _ => Self::UNKNOWN,
        }
    }

    /// What a head or trailers say; none where they say nothing, or no number.
    pub fn read(headers: &HeaderMap) -> Option<Self> {
        fields::number(headers, &GRPC_STATUS).map(|number| Self(u16::try_from(number).unwrap_or(u16::MAX)))
    }

    /// Its number.
    pub fn number(self) -> u16 {
        self.0
    }

    /// Its name, where it has one.
    pub fn name(self) -> Option<&'static str> {
        NAMES.get(usize::from(self.0)).copied()
    }

    /// As a field has it.
    pub fn value(self) -> HeaderValue {
        HeaderValue::from(self.0)
    }

    /// Whether the upstream has failed, rather than refused the call: what an endpoint is judged by.
    pub fn is_failure(self) -> bool {
        matches!(self, Self::DEADLINE_EXCEEDED | Self::INTERNAL | Self::UNAVAILABLE)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{} {name}", self.0),
            None => write!(f, "{}", self.0),
        }
    }
}

/// A text as `grpc-message` has it: printable ASCII as it is, but for the percent sign.
pub fn percent_encoded(text: &str) -> HeaderValue {
    const REST: &AsciiSet = &CONTROLS.add(b'%');
    HeaderValue::from_str(&percent_encode(text.as_bytes(), REST).to_string()).expect("what is left is printable ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_one_of_the_numbers() {
        for (http, grpc) in [
            (400, 13),
            (401, 16),
            (403, 7),
            (404, 12),
            (405, 12),
            (408, 4),
            (413, 8),
            (414, 8),
            (429, 8),
            (431, 8),
            (500, 13),
            (502, 14),
            (503, 14),
            (504, 4),
            (508, 13),
            (418, 2),
        ] {
            assert_eq!(Status::of_refusal(StatusCode::from_u16(http).expect("a status")).number(), grpc, "{http}");
        }
    }

    #[test]
    fn reads_what_fields_say_and_makes_nothing_of_the_rest() {
        let read = |value: &'static str| Status::read(&HeaderMap::from_iter([(GRPC_STATUS, HeaderValue::from_static(value))]));

        assert_eq!([read("0"), read("14")], [Some(Status::OK), Some(Status::UNAVAILABLE)]);
        assert_eq!(read("99999999").map(Status::number), Some(u16::MAX));
        assert_eq!([read(""), read("-1"), read("fine")], [None; 3]);
        assert_eq!(Status::read(&HeaderMap::new()), None);
        assert_eq!((Status::UNAVAILABLE.to_string(), Status(99).to_string()), ("14 UNAVAILABLE".to_owned(), "99".to_owned()));
    }

    #[test]
    fn a_message_is_printable_ascii() {
        assert_eq!(percent_encoded("Too many: 100% \n\u{e9}~"), "Too many: 100%25 %0A%C3%A9~");
    }
}
