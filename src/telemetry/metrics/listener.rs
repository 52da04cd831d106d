//! What is counted for each listener: the connections and requests there are right now.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::scrape::Scrape;

/// A listener's gauges.
#[derive(Default)]
pub(crate) struct ListenerMetrics {
    connections: AtomicI64,
    requests: AtomicI64,
}

impl ListenerMetrics {
    /// Counts a connection for as long as the result lives.
    pub(crate) fn connection(self: &Arc<Self>) -> Gauge {
        Gauge::new(self, |listener| &listener.connections)
    }

    /// Counts a request for as long as the result lives.
    pub(crate) fn request(self: &Arc<Self>) -> Gauge {
        Gauge::new(self, |listener| &listener.requests)
    }

    pub(super) fn scrape(&self, address: &str, scrape: &mut Scrape) {
        let labels = [("listener", address)];
        let connections = self.connections.load(Ordering::Relaxed);
        scrape.gauge("frontgate_connections", "Open client connections.", &labels, connections as f64);
        let requests = self.requests.load(Ordering::Relaxed);
        scrape.gauge("frontgate_inflight_requests", "Requests in flight.", &labels, requests as f64);
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
}
