//! What is counted of a listener's TLS handshakes, and what is told of those that came to nothing.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use prometheus::Histogram;

use super::histogram;
use super::scrape::Scrape;
use crate::telemetry::Sparing;

/// The name of the family, for those who tell of it.
pub(crate) const FAMILY: &str = "frontgate_tls_handshakes_total";

/// Of a handshake, in seconds.
const DURATIONS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0];

/// How a handshake ends: its result, and the version of TLS that was agreed upon.
const ENDS: [(&str, &str); 10] = [
    ("ok", "1.2"),
    ("ok", "1.3"),
    ("timeout", ""),
    ("closed", ""),
    ("plain_http", ""),
    ("no_certificate", ""),
    ("bad_certificate", ""),
    ("protocol", ""),
    ("untrusted", ""),
    ("error", ""),
];

/// Why a handshake came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoHandshake {
    /// Its time was over.
    TooSlow,
    /// The client connected and left without a word, as who looks whether a port is open does.
    Silent,
    /// The client left in the middle.
    Left,
    /// The client speaks HTTP in clear text.
    PlainHttp,
    /// A PROXY header came, and none is expected.
    ProxyHeader,
    /// What came is no TLS.
    NotTls,
    /// The client has to show a certificate, and showed none.
    NoCertificate,
    /// The client's certificate is not from an authority that is trusted.
    StrangeCertificate,
    /// The client's certificate was revoked.
    RevokedCertificate,
    /// The client's certificate has expired, or does not hold yet.
    ExpiredCertificate,
    /// The client's certificate cannot be verified otherwise.
    BadCertificate,
    /// There is no version of TLS that both speak.
    NoVersion,
    /// There is no cipher suite, group or signature scheme that both know.
    NoCipher,
    /// There is no protocol that both speak.
    NoProtocol,
    /// The client names no protocol, and no other than HTTP/2 is spoken.
    NoAlpn,
    /// The client does not take the certificate that it was shown.
    Untrusting,
    /// Anything else.
    Other,
}

impl NoHandshake {
    const COUNT: usize = Self::Other as usize + 1;

    /// As metrics call it.
    pub(crate) fn result(self) -> &'static str {
        match self {
            Self::TooSlow => "timeout",
            Self::Silent | Self::Left => "closed",
            Self::PlainHttp => "plain_http",
            Self::NoCertificate => "no_certificate",
            Self::StrangeCertificate | Self::RevokedCertificate | Self::ExpiredCertificate | Self::BadCertificate => "bad_certificate",
            Self::NoVersion | Self::NoCipher | Self::NoProtocol | Self::NoAlpn => "protocol",
            Self::Untrusting => "untrusted",
            Self::ProxyHeader | Self::NotTls | Self::Other => "error",
        }
    }

    /// As the log says it of a client; nothing of what is no failure.
    fn words(self) -> Option<&'static str> {
        Some(match self {
            Self::Silent => return None,
            Self::TooSlow => "it was not over in time (`timeouts.handshake`)",
            Self::Left => "the client left before it was over",
            Self::PlainHttp => "the client speaks HTTP in clear text, and this port speaks HTTPS",
            Self::ProxyHeader => "the client began with a PROXY header, and `proxy_protocol` is not set here",
            Self::NotTls => "what the client sent is not TLS",
            Self::NoCertificate => "the client showed no certificate, which `client_auth` requires",
            Self::StrangeCertificate => "the client's certificate is not from an authority in `client_auth.ca`",
            Self::RevokedCertificate => "the client's certificate was revoked (`client_auth.crl`)",
            Self::ExpiredCertificate => "the client's certificate has expired, or does not hold yet",
            Self::BadCertificate => "the client's certificate cannot be verified",
            Self::NoVersion => "the client speaks no version of TLS that is spoken here (`min_version`)",
            Self::NoCipher => "the client knows no cipher suite, group or signature scheme that is used here",
            Self::NoProtocol => "the client speaks none of the listener's `protocols` (ALPN)",
            Self::NoAlpn => "the client asks for no protocol (ALPN), and `protocols` has `h2` alone",
            Self::Untrusting => "the client does not take the certificate that it was shown: its issuer, its name or its time",
            Self::Other => "the client does not keep to the protocol",
        })
    }
}

/// The handshakes of one listener.
#[derive(Default)]
pub(super) struct Handshakes {
    /// By how they ended, in the order of [`ENDS`].
    ends: [AtomicU64; ENDS.len()],
    durations: OnceLock<Histogram>,
    told: [Sparing; NoHandshake::COUNT],
}

impl Handshakes {
    /// Counts one: the version of TLS, or why there is none. What is to be told of it, if anything is.
    pub(super) fn count(&self, result: Result<&str, NoHandshake>, took: Duration) -> Option<(&'static str, u64)> {
        let end = result.map_or_else(|why| (why.result(), ""), |version| ("ok", version));
        if let Some(place) = ENDS.iter().position(|other| *other == end) {
            self.ends[place].fetch_add(1, Ordering::Relaxed);
        }
        self.durations.get_or_init(|| histogram(&DURATIONS)).observe(took.as_secs_f64());
        let why = result.err()?;
        let words = why.words()?;
        self.told[why as usize].happened(Instant::now()).map(|untold| (words, untold))
    }

    pub(super) fn scrape(&self, address: &str, scrape: &mut Scrape) {
        let Some(durations) = self.durations.get() else { return };
        for ((result, version), count) in ENDS.iter().zip(&self.ends) {
            let labels = [("listener", address), ("result", *result), ("version", *version)];
            let count = count.load(Ordering::Relaxed);
            scrape.counter(FAMILY, "TLS handshakes, by how they ended.", &labels, count as f64);
        }
        let help = "How long TLS handshakes took.";
        scrape.histogram("frontgate_tls_handshake_duration_seconds", help, &[("listener", address)], durations);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [NoHandshake; NoHandshake::COUNT] = [
        NoHandshake::TooSlow,
        NoHandshake::Silent,
        NoHandshake::Left,
        NoHandshake::PlainHttp,
        NoHandshake::ProxyHeader,
        NoHandshake::NotTls,
        NoHandshake::NoCertificate,
        NoHandshake::StrangeCertificate,
        NoHandshake::RevokedCertificate,
        NoHandshake::ExpiredCertificate,
        NoHandshake::BadCertificate,
        NoHandshake::NoVersion,
        NoHandshake::NoCipher,
        NoHandshake::NoProtocol,
        NoHandshake::NoAlpn,
        NoHandshake::Untrusting,
        NoHandshake::Other,
    ];

    #[test]
    fn each_failure_is_counted_under_a_known_result_and_told_of_once() {
        let handshakes = Handshakes::default();

        for why in ALL {
            assert!(ENDS.iter().any(|(result, _)| *result == why.result()), "{why:?}");
            let told = [(); 3].map(|()| handshakes.count(Err(why), Duration::ZERO).is_some());
            assert_eq!(told, [why != NoHandshake::Silent, false, false], "{why:?}");
        }

        let counted: u64 = handshakes.ends.iter().map(|count| count.load(Ordering::Relaxed)).sum();
        assert_eq!(counted, 3 * ALL.len() as u64);
        assert_eq!(handshakes.count(Ok("1.3"), Duration::ZERO), None);
    }
}
