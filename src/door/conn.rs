//! What is known of one connection on both sides of the proxy.

use std::sync::OnceLock;

use bytes::Bytes;
use http::HeaderValue;

/// What a listener and the request hooks tell each other about one connection.
pub(crate) struct Conn {
    /// Which listener took it.
    pub listener: usize,
    /// The client's address.
    pub peer: Option<std::net::SocketAddr>,
    peer_value: OnceLock<HeaderValue>,
}

impl Conn {
    /// A connection of this listener.
    pub(crate) fn new(listener: usize, peer: Option<std::net::SocketAddr>) -> Self {
        Self { listener, peer, peer_value: OnceLock::new() }
    }

    /// The client's address as a header value, made once a connection.
    pub(crate) fn peer_value(&self) -> Option<&HeaderValue> {
        let peer = self.peer?;
        Some(self.peer_value.get_or_init(|| {
            // An owned value is shared without another allocation.
            let text = Bytes::from_owner(peer.ip().to_canonical().to_string());
            HeaderValue::from_maybe_shared(text).expect("an address is plain ASCII")
        }))
    }
}
