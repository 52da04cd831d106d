//! New connections to endpoints, in clear text or over TLS: one way for requests, probes and calls of the gateway's own.

use std::cell::OnceCell;
use std::sync::Arc;

use pingora_core::connectors::TransportConnector;
use tokio::net::TcpStream;

use super::cause::Cause;
use super::h1::Io;
use super::pool::Endpoint;

/// HTTP/1.1, as protocols are named in a handshake (RFC 7301).
pub(crate) const HTTP1: &[u8] = b"http/1.1";

/// A new connection to an endpoint, and whether both sides have agreed on HTTP/2, which takes TLS. There `offered` are the protocols to
/// choose from, the preferred one first; in clear text nothing is agreed on.
///
/// How long it may take is for the caller to say: a handshake is part of it.
pub(crate) async fn connect(endpoint: &Endpoint, _offered: &[&[u8]]) -> Result<(Io, bool), Cause> {
    let Some(peer) = endpoint.tls() else {
        let socket = TcpStream::connect(endpoint.address).await.map_err(|error| Cause::of(&error))?;
        // Heads and bodies leave in one piece each: nothing is gained by waiting for more.
        let _ = socket.set_nodelay(true);
        return Ok((Io::Tcp(socket), false));
    };
    thread_local! {
        static CONNECTOR: OnceCell<Arc<TransportConnector>> = const { OnceCell::new() };
    }
    // Made for the first such endpoint: it reads the system's certificates.
    let connector = CONNECTOR.with(|connector| connector.get_or_init(|| Arc::new(TransportConnector::new(None))).clone());
    let stream = connector.new_stream(peer).await.map_err(|_| Cause::Unreachable)?;
    Ok((Io::Stream(stream), false))
}
