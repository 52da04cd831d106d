//! What is counted for each listener: the connections and requests there are right now, and the connections that were not served.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::board::ListenerBoard;
use super::handshakes::{Handshakes, NoHandshake};
use super::scrape::Scrape;
use crate::overload;
use crate::telemetry::Sparing;

/// A listener's gauges and counters.
#[derive(Default)]
pub(crate) struct ListenerMetrics {
    /// Whether it is the operators': of theirs there are no gauges, since who reads them is one of their connections.
    is_operators: bool,
    connections: AtomicI64,
    requests: AtomicI64,
    turned_away: [AtomicU64; TurnedAway::ALL.len()],
    told: [Sparing; TurnedAway::ALL.len()],
    handshakes: Handshakes,
}

/// Why a connection was not taken, or ended before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TurnedAway {
    /// There was no descriptor for it.
    Descriptors,
    /// It was idle, and its descriptor was needed.
    Idle,
    /// The kernel failed to hand it over.
    Failed,
    /// There are as many as there may be.
    Connections,
    /// Its client has as many as a client may have.
    ConnectionsPerClient,
    /// It is from nobody who may connect for others, on a listener where only those may connect.
    ProxyPeer,
    /// It had to begin with a PROXY header, and did not.
    ProxyHeader,
    /// It sent a flood of what asks for nothing.
    Flood,
}

impl TurnedAway {
    const ALL: [(Self, &'static str); 8] = [
        (Self::Descriptors, "descriptors"),
        (Self::Idle, "idle"),
        (Self::Failed, "failed"),
        (Self::Connections, "connections"),
        (Self::ConnectionsPerClient, "connections_per_client"),
        (Self::ProxyPeer, "proxy_peer"),
        (Self::ProxyHeader, "proxy_header"),
        (Self::Flood, "flood"),
    ];
}

impl TurnedAway {
    /// As the log says it.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Descriptors | Self::Idle => "file descriptors run short",
            Self::Failed => "it was gone before it was accepted",
            Self::Connections => "there are as many as `limits.connections` allows",
            Self::ConnectionsPerClient => "this client has as many as `limits.connections_per_client` allows",
            Self::ProxyPeer => "only the addresses in `proxy_protocol.from` may connect to this listener",
            Self::ProxyHeader => "it did not begin with a PROXY header, which this listener requires",
            Self::Flood => "it sent a flood of HTTP/2 frames that ask for nothing",
        }
    }
}

impl ListenerMetrics {
    /// Those of an address for operators.
    pub(super) fn of_operators() -> Self {
        Self { is_operators: true, ..Self::default() }
    }

    /// Whether it is one of theirs.
    pub(super) fn is_of_operators(&self) -> bool {
        self.is_operators
    }

    /// Counts a connection for as long as the result lives.
    pub(crate) fn connection(self: &Arc<Self>) -> Gauge {
        Gauge::new(self, |listener| &listener.connections)
    }

    /// Counts a request for as long as the result lives.
    pub(crate) fn request(self: &Arc<Self>) -> Gauge {
        Gauge::new(self, |listener| &listener.requests)
    }

    /// Counts a connection, or a try to accept one, that came to nothing. Where it is to be told of: how many others of its kind were not.
    pub(crate) fn turned_away(&self, why: TurnedAway) -> Option<u64> {
        self.turned_away[why as usize].fetch_add(1, Ordering::Relaxed);
        self.told[why as usize].happened(Instant::now())
    }

    /// Adds how many clients were turned away here for want of room; no operators.
    pub(super) fn add_turned_away(&self, all: &mut overload::TurnedAway<u64>) {
        if !self.is_operators {
            let count = |why: TurnedAway| self.turned_away[why as usize].load(Ordering::Relaxed);
            all.descriptors += count(TurnedAway::Descriptors);
            all.places += count(TurnedAway::Connections);
        }
    }

    /// Counts a handshake: the version of TLS, or why there is none. What is to be told of it in words, and how many others of its kind were
    /// not.
    pub(crate) fn handshake(&self, result: Result<&str, NoHandshake>, took: Duration) -> Option<(&'static str, u64)> {
        self.handshakes.count(result, took)
    }

    /// For the dashboard; nothing of the operators'.
    pub(super) fn board(&self, address: &str) -> Option<ListenerBoard> {
        let refused = self.turned_away.iter().map(|count| count.load(Ordering::Relaxed)).sum();
        let [connections, requests] = [&self.connections, &self.requests].map(|gauge| gauge.load(Ordering::Relaxed));
        (!self.is_operators).then(|| ListenerBoard { address: address.to_owned(), connections, requests, refused })
    }

    pub(super) fn scrape(&self, address: &str, scrape: &mut Scrape) {
        let labels = [("listener", address)];
        if !self.is_operators {
            let connections = self.connections.load(Ordering::Relaxed);
            scrape.gauge("frontgate_connections", "Open client connections.", &labels, connections as f64);
            let requests = self.requests.load(Ordering::Relaxed);
            scrape.gauge("frontgate_inflight_requests", "Requests in flight.", &labels, requests as f64);
        }
        self.handshakes.scrape(address, scrape);
        let help = "Connections that were not taken or were closed before their time, and tries to accept one that failed.";
        for (why, reason) in TurnedAway::ALL {
            let count = self.turned_away[why as usize].load(Ordering::Relaxed);
            scrape.counter("frontgate_connections_refused_total", help, &[("listener", address), ("reason", reason)], count as f64);
        }
    }
}

/// One of those that are counted; dropping it takes it off the count.
#[must_use = "it counts only while it lives"]
pub(crate) struct Gauge {
    listener: Arc<ListenerMetrics>,
    of: fn(&ListenerMetrics) -> &AtomicI64,
}

impl Gauge {
    fn new(listener: &Arc<ListenerMetrics>, of: fn(&ListenerMetrics) -> &AtomicI64) -> Self {
        of(listener).fetch_add(1, Ordering::Relaxed);
        Self { listener: Arc::clone(listener), of }
    }
}

impl Drop for Gauge {
    fn drop(&mut self) {
        (self.of)(&self.listener).fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_is_alive() {
        let listener = Arc::new(ListenerMetrics::default());
        let now = |listener: &ListenerMetrics| (listener.connections.load(Ordering::Relaxed), listener.requests.load(Ordering::Relaxed));

        let connection = listener.connection();
        let requests = [listener.request(), listener.request()];
        assert_eq!(now(&listener), (1, 2));

        drop(requests);
        assert_eq!(now(&listener), (1, 0));
        drop(connection);
        assert_eq!(now(&listener), (0, 0));
    }

    #[test]
    fn each_reason_has_a_count_of_its_own() {
        let listener = ListenerMetrics::default();
        for (times, (why, _)) in TurnedAway::ALL.into_iter().enumerate() {
            let told: Vec<_> = (0..=times).map(|_| listener.turned_away(why)).collect();
            assert!(told[0] == Some(0) && told[1..].iter().all(Option::is_none));
        }

        let counts = TurnedAway::ALL.map(|(why, _)| listener.turned_away[why as usize].load(Ordering::Relaxed));

        assert_eq!(counts, [1, 2, 3, 4, 5, 6, 7, 8]);
    }
}
