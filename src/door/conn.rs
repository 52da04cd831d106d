//! What is known of one connection on both sides of the proxy.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use frontgate_filters::filter::Tls;
use http::HeaderValue;

use super::entrance::{Ending, Entrance};
use crate::telemetry::ListenerMetrics;

/// What a listener and the request hooks tell each other about one connection.
pub(crate) struct Conn {
    /// Which listener took it; none of the operators' addresses.
    entrance: Option<Arc<Entrance>>,
    /// Whether it is to end.
    ending: Arc<Ending>,
    /// The client's address.
    pub peer: Option<SocketAddr>,
    /// The address of the load balancer that connected for the client and said so.
    pub balancer: Option<SocketAddr>,
    /// What TLS says of it; none in clear text.
    pub tls: Option<Arc<Tls>>,
    peer_value: OnceLock<HeaderValue>,
}

impl Conn {
    /// A connection that this listener took, under terms of which it ends when `ending` says so.
    pub(crate) fn new(
        entrance: Arc<Entrance>,
        ending: Arc<Ending>,
        peer: Option<SocketAddr>,
        balancer: Option<SocketAddr>,
        tls: Option<Arc<Tls>>,
    ) -> Self {
        Self { entrance: Some(entrance), ending, peer, balancer, tls, peer_value: OnceLock::new() }
    }

    /// A connection to an address that is no listener of the configuration.
    pub(crate) fn elsewhere(ending: Arc<Ending>, peer: SocketAddr) -> Self {
        Self { entrance: None, ending, peer: Some(peer), balancer: None, tls: None, peer_value: OnceLock::new() }
    }

    /// Whether it is to end after the answer that it waits for.
    pub(crate) fn is_ending(&self) -> bool {
        self.ending.is_now()
    }

    /// The port for HTTPS that its requests are sent to.
    pub(crate) fn redirect(&self) -> Option<NonZeroU16> {
        self.entrance.as_ref()?.redirect()
    }

    /// What is counted of its listener.
    pub(crate) fn metrics(&self) -> Option<&Arc<ListenerMetrics>> {
        self.entrance.as_ref().map(|entrance| &entrance.metrics)
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
