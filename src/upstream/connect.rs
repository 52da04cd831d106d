//! New connections to endpoints, in clear text or over TLS: one way for requests, probes and calls of the gateway's own.

use std::cell::RefCell;
use std::sync::Arc;

use http::HeaderName;
use tokio::io::DuplexStream;
use tokio::net::TcpStream;

use super::cause::Cause;
use super::h1::Io;
use super::pool::Endpoint;
use crate::config::model::UpstreamProtocol;

/// HTTP/1.1, as protocols are named in a handshake (RFC 7301).
pub(crate) const HTTP1: &[u8] = b"http/1.1";

/// Who answers in place of an endpoint, over a stream in this process.
pub(crate) type StandIn = Box<dyn Fn(&Endpoint) -> Result<DuplexStream, Cause>>;

/// Says to a stand-in which call a request is for: nothing else is ever sent it.
pub(crate) const CALL: HeaderName = HeaderName::from_static("x-frontgate-call");

tokio::task_local! {
    /// The call that is being made, where somebody stands in.
    static CALLED: Arc<str>;
}

thread_local! {
    static STAND_IN: RefCell<Option<StandIn>> = const { RefCell::new(None) };
}

/// From now on nothing on this thread connects to an endpoint: this one answers for all of them, until there is none again.
pub(crate) fn stand_in(instead: Option<StandIn>) {
    STAND_IN.set(instead);
}

/// Whether somebody answers on this thread in place of endpoints.
pub(crate) fn stands_in() -> bool {
    STAND_IN.with_borrow(Option::is_some)
}

/// Makes a call of this name, so that a stand-in knows whose its connections and requests are.
pub(crate) async fn as_call<F: Future>(name: Arc<str>, call: F) -> F::Output {
    CALLED.scope(name, call).await
}

/// The call that is being made, where somebody stands in.
pub(crate) fn called() -> Option<Arc<str>> {
    CALLED.try_with(Arc::clone).ok()
}

/// A new connection to an endpoint, and whether both sides have agreed on HTTP/2, which takes TLS. There `offered` are the protocols to
/// choose from, the preferred one first; in clear text nothing is agreed on.
///
/// How long it may take is for the caller to say: a handshake is part of it.
pub(crate) async fn connect(endpoint: &Endpoint, offered: &[&[u8]]) -> Result<(Io, bool), Cause> {
    if let Some(instead) = STAND_IN.with_borrow(|stand_in| stand_in.as_ref().map(|stand_in| stand_in(endpoint))) {
        // Who answers speaks what the endpoint is configured for.
        return Ok((Io::Memory(instead?), endpoint.protocol == UpstreamProtocol::H2));
    }
    let socket = TcpStream::connect(endpoint.address).await.map_err(|error| Cause::of(&error))?;
    // Heads and bodies leave in one piece each: nothing is gained by waiting for more.
    let _ = socket.set_nodelay(true);
    let Some(tls) = endpoint.tls() else { return Ok((Io::Tcp(socket), false)) };
    // On the heap: what a handshake needs is large, and gone with it.
    let (stream, h2) = Box::pin(tls.handshake(socket, || endpoint.server_name(), offered)).await?;
    Ok((Io::Upstream(stream), h2))
}
