//! TLS on a listener: the handshake under its deadline, what it says of the client, and the stream that comes of it.

mod certificates;
mod client;
mod kept;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use frontgate_filters::filter::Tls as Facts;
use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible, ProtocolVersion, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::turns::Turns;
use super::wire::Opening;
use crate::telemetry::{HANDSHAKES, NoHandshake, Sparing};
pub(crate) use certificates::Server;
pub(crate) use kept::Kept;

/// A connection that has become one over TLS.
pub(crate) struct Accepted {
    /// What is read and written from now on.
    pub stream: Box<TlsStream<TcpStream>>,
    /// What is known of it.
    pub facts: Arc<Facts>,
    /// Whether it was agreed to speak HTTP/2.
    pub h2: bool,
}

/// Looks at what a connection begins with, and takes nothing of it: who speaks something else than TLS is told so.
pub(crate) async fn greeted(socket: &TcpStream, until: Instant) -> Result<(), NoHandshake> {
    let mut first = [0; Opening::ENOUGH];
    let count = match tokio::time::timeout_at(until.into(), socket.peek(&mut first)).await {
        Ok(Ok(count)) if count > 0 => count,
        Ok(_) => return Err(NoHandshake::Silent),
        Err(_) => return Err(NoHandshake::TooSlow),
    };
    match Opening::of(&first[..count]) {
        Opening::Tls | Opening::Unknown => Ok(()),
        Opening::Request | Opening::Http2 => Err(NoHandshake::PlainHttp),
        Opening::Proxy => Err(NoHandshake::ProxyHeader),
    }
}

/// The handshake, in turn with others and until then.
pub(crate) async fn accept(socket: TcpStream, config: Arc<ServerConfig>, turns: &Turns, until: Instant) -> Result<Accepted, NoHandshake> {
    let only_h2 = config.alpn_protocols.iter().all(|protocol| protocol == b"h2");
    // On the heap: what it needs is large, and gone with the handshake.
    let handshake = Box::pin(turns.take(TlsAcceptor::from(config).accept(socket)));
    let stream = match tokio::time::timeout_at(until.into(), handshake).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(why(&error, only_h2)),
        Err(_) => return Err(NoHandshake::TooSlow),
    };
    let session = stream.get_ref().1;
    let facts = Facts {
        version: version(session.protocol_version()),
        sni: session.server_name().map(Into::into),
        client: session.peer_certificates().and_then(|chain| client::facts(chain.first()?)),
    };
    let h2 = session.alpn_protocol() == Some(b"h2");
    Ok(Accepted { stream: Box::new(stream), facts: Arc::new(facts), h2 })
}

/// What an error of a handshake says, on a listener that speaks HTTP/2 alone or not.
fn why(error: &io::Error, only_h2: bool) -> NoHandshake {
    let Some(error) = error.get_ref().and_then(|error| error.downcast_ref()) else { return NoHandshake::Left };
    match error {
        Error::InvalidMessage(_) => NoHandshake::NotTls,
        Error::NoCertificatesPresented => NoHandshake::NoCertificate,
        Error::InvalidCertificate(error) => match error {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => NoHandshake::StrangeCertificate,
            CertificateError::Revoked => NoHandshake::RevokedCertificate,
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => NoHandshake::ExpiredCertificate,
            _ => NoHandshake::BadCertificate,
        },
        Error::NoApplicationProtocol => NoHandshake::NoProtocol,
        // No certificate is shown to who asks for no protocol where it has to be HTTP/2.
        Error::General(_) if only_h2 => NoHandshake::NoAlpn,
        Error::PeerIncompatible(why) => match why {
            PeerIncompatible::NoCipherSuitesInCommon
            | PeerIncompatible::NoKxGroupsInCommon
            | PeerIncompatible::NoSignatureSchemesInCommon
            | PeerIncompatible::NoEcPointFormatsInCommon => NoHandshake::NoCipher,
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled => NoHandshake::NoVersion,
            _ => NoHandshake::Other,
        },
        Error::AlertReceived(
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            // Its signature was not good.
            | AlertDescription::DecryptError,
        ) => NoHandshake::Untrusting,
        Error::AlertReceived(AlertDescription::ProtocolVersion) => NoHandshake::NoVersion,
        Error::AlertReceived(AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity) => NoHandshake::NoCipher,
        Error::AlertReceived(AlertDescription::CloseNotify | AlertDescription::UserCanceled) => NoHandshake::Left,
        _ => NoHandshake::Other,
    }
}

/// Says, now and then, of a handshake that came to nothing on this listener whose it was and why. Nothing of what the client sent is said.
pub(crate) fn tell(listener: SocketAddr, client: SocketAddr, why: NoHandshake, words: &str, untold: u64) {
    let counted = Sparing::words(untold, &format!("{HANDSHAKES}, result `{}`", why.result()));
    log::warn!("{listener}: a TLS handshake with {} came to nothing: {words}. {counted}", client.ip().to_canonical());
}

/// As logs and selectors call it.
fn version(version: Option<ProtocolVersion>) -> &'static str {
    match version {
        Some(ProtocolVersion::TLSv1_3) => "1.3",
        Some(ProtocolVersion::TLSv1_2) => "1.2",
        _ => "",
    }
}
