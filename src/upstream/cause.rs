//! Why an endpoint counts as bad, in the few words that logs and operators are told.

use std::fmt;
use std::io::{Error, ErrorKind};

use frontgate_filters::grpc;
use rustls::{AlertDescription, CertificateError};

/// What is said of an answer that begins as TLS does, and of one that begins as HTTP/2 does.
pub(crate) const IN_TLS: &str = "it is in TLS";
pub(crate) const IN_HTTP2: &str = "it is in HTTP/2";

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
    /// It speaks TLS, and is spoken to in clear text.
    SpeaksTls,
    /// It speaks HTTP/2, and is spoken to in HTTP/1.1.
    SpeaksHttp2,
    /// It does not speak TLS.
    NoTls,
    /// No authority that is trusted has issued its certificate.
    Untrusted,
    /// Its certificate has expired, or does not hold yet.
    Expired,
    /// Its certificate is for another name.
    OtherName,
    /// Its certificate cannot be verified otherwise.
    BadCertificate,
    /// It wants a certificate, or another one.
    Unwelcome,
    /// TLS was not agreed upon otherwise.
    NoHandshake,
    /// This status.
    Status(u16),
    /// This status of a gRPC call.
    Grpc(grpc::Status),
    /// It says that its service does not serve.
    NotServing,
}

/// All that are no status.
const PLAIN: [Cause; 16] = [
    Cause::Refused,
    Cause::Unreachable,
    Cause::Closed,
    Cause::TooSlow,
    Cause::Unreadable,
    Cause::NoTls,
    Cause::Untrusted,
    Cause::Expired,
    Cause::OtherName,
    Cause::BadCertificate,
    Cause::Unwelcome,
    Cause::NoHandshake,
    Cause::OtherProtocol,
    Cause::NotServing,
    Cause::SpeaksTls,
    Cause::SpeaksHttp2,
];

/// Where statuses begin among the numbers of causes.
const STATUS: u32 = 1000;
/// The same for those of gRPC.
const GRPC: u32 = 100;

impl Cause {
    /// What an error of a connection says.
    pub(crate) fn of(error: &Error) -> Self {
        if let Some(error) = error.get_ref().and_then(|error| error.downcast_ref()) {
            return Self::of_tls(error);
        }
        match error.kind() {
            ErrorKind::ConnectionRefused => Self::Refused,
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof | ErrorKind::ConnectionAborted => Self::Closed,
            ErrorKind::TimedOut => Self::TooSlow,
            _ => Self::Unreachable,
        }
    }

    /// What it means that an answer cannot be read, for this reason.
    pub(crate) fn of_malformed(why: &str) -> Self {
        match why {
            IN_TLS => Self::SpeaksTls,
            IN_HTTP2 => Self::SpeaksHttp2,
            _ => Self::Unreadable,
        }
    }

    fn of_tls(error: &rustls::Error) -> Self {
        use rustls::Error::{AlertReceived, InvalidCertificate, InvalidMessage};
        match error {
            InvalidMessage(_) => Self::NoTls,
            AlertReceived(AlertDescription::NoApplicationProtocol) => Self::OtherProtocol,
            InvalidCertificate(error) => match error {
                CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::Untrusted,
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::Expired,
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Self::OtherName,
                _ => Self::BadCertificate,
            },
            AlertReceived(
                AlertDescription::CertificateRequired
                | AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA
                | AlertDescription::AccessDenied
                | AlertDescription::DecryptError,
            ) => Self::Unwelcome,
            _ => Self::NoHandshake,
        }
    }

    /// Whether no connection came about, so that nobody may be there.
    pub(crate) fn is_of_connecting(self) -> bool {
        matches!(self, Self::Refused | Self::Unreachable)
    }

    /// Whether TLS is why: then it stays so until somebody changes something, on this side or the other.
    pub(crate) fn is_of_tls(self) -> bool {
        use Cause::{BadCertificate, Expired, NoHandshake, NoTls, OtherName, Untrusted, Unwelcome};
        matches!(self, NoTls | Untrusted | Expired | OtherName | BadCertificate | Unwelcome | NoHandshake)
    }

    /// Whether the endpoint is spoken to otherwise than it speaks: that stays so, too.
    pub(crate) fn is_of_protocol(self) -> bool {
        matches!(self, Self::OtherProtocol | Self::SpeaksTls | Self::SpeaksHttp2)
    }

    /// As a number above 0.
    pub(super) fn number(self) -> u32 {
        match self {
            Self::Grpc(status) => GRPC + u32::from(status.number()),
            Self::Status(status) => STATUS + u32::from(status),
            plain => 1 + PLAIN.iter().position(|other| *other == plain).unwrap_or(PLAIN.len()) as u32,
        }
    }

    /// The cause of this number.
    pub(super) fn numbered(number: u32) -> Option<Self> {
        let plain = || PLAIN.get(number.checked_sub(1)? as usize).copied();
        let above = |first| number.checked_sub(first).and_then(|rest| u16::try_from(rest).ok());
        let call = || above(GRPC).and_then(grpc::Status::named).map(Self::Grpc);
        plain().or_else(call).or_else(|| above(STATUS).map(Self::Status))
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
            Self::SpeaksTls => f.write_str("it answers in TLS: is `tls` missing?"),
            Self::SpeaksHttp2 => f.write_str("it speaks HTTP/2: is `protocol: h2` missing?"),
            Self::NoTls => f.write_str("no TLS is spoken there"),
            Self::Untrusted => f.write_str("its certificate is not from a trusted authority"),
            Self::Expired => f.write_str("its certificate has expired or does not hold yet"),
            Self::OtherName => f.write_str("its certificate is for another name"),
            Self::BadCertificate => f.write_str("its certificate cannot be verified"),
            Self::Unwelcome => f.write_str("it wants a client certificate, or another one"),
            Self::NoHandshake => f.write_str("TLS handshake failed"),
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
        use Cause::{Grpc, Status};
        let [late, gone] = [grpc::Status::DEADLINE_EXCEEDED, grpc::Status::UNAUTHENTICATED].map(Grpc);
        for cause in PLAIN.into_iter().chain([late, gone, Status(100), Status(503), Status(999)]) {
            assert_eq!(Cause::numbered(cause.number()), Some(cause), "{cause}");
        }
        assert_eq!(Cause::numbered(0), None);
        assert_eq!(Cause::numbered(PLAIN.len() as u32 + 1), None);
    }
}
