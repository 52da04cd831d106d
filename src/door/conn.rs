//! What is known of one connection on both sides of the proxy.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use frontgate_filters::filter::Tls;
use http::HeaderValue;

/// What a listener and the request hooks tell each other about one connection.
pub(crate) struct Conn {
    /// Which listener took it.
    pub listener: usize,
    /// The client's address.
    pub peer: Option<SocketAddr>,
    /// The address of the load balancer that connected for the client and said so.
    pub balancer: Option<SocketAddr>,
    /// What TLS says of it; none in clear text.
    pub tls: Option<Arc<Tls>>,
    peer_value: OnceLock<HeaderValue>,
}

impl Conn {
    /// A connection of this listener.
    pub(crate) fn new(listener: usize, peer: Option<SocketAddr>, balancer: Option<SocketAddr>, tls: Option<Arc<Tls>>) -> Self {
        Self { listener, peer, balancer, tls, peer_value: OnceLock::new() }
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

/// A connection that was accepted and has not asked for anything yet, or is waited for as one. All of them are counted.
pub(crate) struct Fresh {
    all: Arc<AtomicUsize>,
    is: AtomicBool,
}

impl Fresh {
    /// One more of them.
    pub(crate) fn new(all: &Arc<AtomicUsize>) -> Self {
        all.fetch_add(1, Ordering::AcqRel);
        Self { all: all.clone(), is: AtomicBool::new(true) }
    }

    /// It may ask for something more, and is waited for.
    pub(crate) fn again(&self) {
        if !self.is.swap(true, Ordering::AcqRel) {
            self.all.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// It has asked for something.
    pub(crate) fn asked(&self) {
        if self.is.load(Ordering::Relaxed) && self.is.swap(false, Ordering::AcqRel) {
            self.all.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        self.asked();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_fresh_until_it_asks_or_ends() {
        let all = Arc::default();
        let (first, second) = (Fresh::new(&all), Fresh::new(&all));
        assert_eq!(all.load(Ordering::Acquire), 2);

        first.asked();
        first.asked();
        assert_eq!(all.load(Ordering::Acquire), 1);
        first.again();
        first.again();
        assert_eq!(all.load(Ordering::Acquire), 2);

        drop((first, second));
        assert_eq!(all.load(Ordering::Acquire), 0);
    }
}
