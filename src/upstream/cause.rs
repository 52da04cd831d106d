//! Why an endpoint counts as bad, in the few words that logs and operators are told.

use std::fmt;
use std::io::{Error, ErrorKind};

use frontgate_filters::grpc;

/// What was wrong with a probe or a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Nobody listens there.
    Refused,
    /// No connection came about otherwise.
    Unreachable,
    /// The connection ended before an answer.
    Closed,
    /// There was no answer in time.
    TooSlow,
    /// What came is no answer.
    Unreadable,
    /// It does not speak the protocol that it is to be spoken to in.
    OtherProtocol,
    /// This status.
    Status(u16),
    /// This status of a gRPC call.
    Grpc(grpc::Status),
    /// It says that its service does not serve.
    NotServing,
}

/// Where statuses begin among the numbers of causes.
const STATUS: u32 = 1000;
/// The same for those of gRPC.
const GRPC: u32 = 100;

impl Cause {
    /// What an error of a connection says.
    pub(crate) fn of(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::ConnectionRefused => Self::Refused,
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof | ErrorKind::ConnectionAborted => Self::Closed,
            ErrorKind::TimedOut => Self::TooSlow,
            _ => Self::Unreachable,
        }
    }

    /// As a number above 0.
    pub(super) fn number(self) -> u32 {
        match self {
            Self::Refused => 1,
            Self::Unreachable => 2,
            Self::Closed => 3,
            Self::TooSlow => 4,
            Self::Unreadable => 5,
            Self::OtherProtocol => 6,
            Self::NotServing => 7,
            Self::Grpc(status) => GRPC + u32::from(status.number()),
            Self::Status(status) => STATUS + u32::from(status),
        }
    }

    /// The cause of this number.
    pub(super) fn numbered(number: u32) -> Option<Self> {
        let plain =
            [Self::Refused, Self::Unreachable, Self::Closed, Self::TooSlow, Self::Unreadable, Self::OtherProtocol, Self::NotServing];
        let grpc = || number.checked_sub(GRPC).and_then(|status| grpc::Status::named(u16::try_from(status).ok()?)).map(Self::Grpc);
        let status = || number.checked_sub(STATUS).and_then(|status| u16::try_from(status).ok()).map(Self::Status);
        plain.into_iter().find(|cause| cause.number() == number).or_else(grpc).or_else(status)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("connection refused"),
            Self::Unreachable => f.write_str("no connection"),
            Self::Closed => f.write_str("connection closed without an answer"),
            Self::TooSlow => f.write_str("no answer in time"),
            Self::Unreadable => f.write_str("unreadable answer"),
            Self::OtherProtocol => f.write_str("it does not speak HTTP/2"),
            Self::Status(status) => write!(f, "status {status}"),
            Self::Grpc(status) => write!(f, "gRPC status {status}"),
            Self::NotServing => f.write_str("the service does not serve"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_stands_for_one_cause() {
        use Cause::{Closed, Grpc, NotServing, OtherProtocol, Refused, Status, TooSlow, Unreachable, Unreadable};
        let [late, gone] = [grpc::Status::DEADLINE_EXCEEDED, grpc::Status::UNAUTHENTICATED].map(Grpc);
        for cause in [
            Refused,
            Unreachable,
            Closed,
            TooSlow,
            Unreadable,
            OtherProtocol,
            NotServing,
            late,
            gone,
            Status(100),
            Status(503),
            Status(999),
        ] {
            assert_eq!(Cause::numbered(cause.number()), Some(cause), "{cause}");
        }
        assert_eq!(Cause::numbered(0), None);
    }
}
