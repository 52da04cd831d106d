//! TLS on a listener: the handshake under its deadline, what it says of the client, and the stream that comes of it.

mod certificates;
mod client;
mod kept;

use std::io;
use std::sync::Arc;
use std::time::Instant;

use frontgate_filters::filter::Tls as Facts;
use rustls::{ProtocolVersion, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::turns::Turns;
pub(crate) use certificates::Server;
pub(crate) use kept::Kept;

/// How a handshake that came to nothing ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    /// Its time was over.
    Timeout,
    /// The client left.
    Closed,
    /// The client and the gateway do not agree, or the client's certificate is not taken.
    Refused,
}

impl Failed {
    /// As metrics call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::Refused => "error",
        }
    }
}

/// A connection that has become one over TLS.
pub(crate) struct Accepted {
    /// What is read and written from now on.
    pub stream: Box<TlsStream<TcpStream>>,
    /// What is known of it.
    pub facts: Arc<Facts>,
    /// Whether it was agreed to speak HTTP/2.
    pub h2: bool,
}

/// The handshake, in turn with others and until then.
pub(crate) async fn accept(socket: TcpStream, config: Arc<ServerConfig>, turns: &Turns, until: Instant) -> Result<Accepted, Failed> {
    // On the heap: what it needs is large, and gone with the handshake.
    let handshake = Box::pin(turns.take(TlsAcceptor::from(config).accept(socket)));
    let stream = match tokio::time::timeout_at(until.into(), handshake).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => {
            return Err(Failed::Closed);
        }
        Ok(Err(_)) => return Err(Failed::Refused),
        Err(_) => return Err(Failed::Timeout),
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

/// As logs and selectors call it.
fn version(version: Option<ProtocolVersion>) -> &'static str {
    match version {
        Some(ProtocolVersion::TLSv1_3) => "1.3",
        Some(ProtocolVersion::TLSv1_2) => "1.2",
        _ => "",
    }
}
