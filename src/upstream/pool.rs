//! A pool: endpoints that serve the same thing, with everything prepared that a request needs of them.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::HeaderValue;
use pingora_core::upstreams::peer::HttpPeer;

use super::balance::Balancer;
use crate::config::model::{Upstream, UpstreamTimeouts};
use crate::telemetry::{EndpointState, Metrics, UpstreamMetrics};

/// A compiled pool. A reload that leaves its configuration as it was keeps it, counts and all.
pub struct Pool {
    /// Its name.
    pub name: Arc<str>,
    /// How long it may take.
    pub timeouts: UpstreamTimeouts,
    /// The Host that it is sent, where that is not the client's.
    pub host: Option<HeaderValue>,
    /// Its metrics.
    pub metrics: Arc<UpstreamMetrics>,
    config: Upstream,
    endpoints: Box<[Endpoint]>,
    balancer: Balancer,
}

/// One endpoint of a pool.
pub struct Endpoint {
    /// Where it listens.
    pub address: SocketAddr,
    /// The same, as the log says it.
    pub text: Box<str>,
    /// What `X-BFF-Version` says of its answers.
    pub version: Option<HeaderValue>,
    weight: u32,
    peer: HttpPeer,
    in_flight: AtomicU64,
}

/// An endpoint chosen for one attempt, counted as in flight until it is dropped.
pub struct Pick {
    pool: Arc<Pool>,
    index: usize,
}

impl Pool {
    /// Compiles a checked configuration.
    pub fn new(name: &str, config: &Upstream, metrics: &Metrics) -> Self {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        let group = hasher.finish();
        let endpoints: Box<[Endpoint]> = config
            .endpoints
            .iter()
            .map(|endpoint| Endpoint {
                address: endpoint.address,
                text: endpoint.address.to_string().into(),
                version: endpoint.version.as_ref().and_then(|version| HeaderValue::from_str(version).ok()),
                weight: endpoint.weight,
                peer: peer(endpoint.address, &config.timeouts, group),
                in_flight: AtomicU64::new(0),
            })
            .collect();
        let weights: Vec<u32> = endpoints.iter().map(|endpoint| endpoint.weight).collect();
        let handles = metrics.upstream(name);
        handles.endpoints(EndpointState::Healthy, weights.iter().filter(|weight| **weight > 0).count() as i64);
        Self {
            name: name.into(),
            timeouts: config.timeouts,
            host: config.host.as_ref().and_then(|host| HeaderValue::from_str(host).ok()),
            metrics: handles,
            config: config.clone(),
            balancer: Balancer::new(config.balance, &weights),
            endpoints,
        }
    }

    /// Whether this is what the configuration still says.
    pub fn is(&self, config: &Upstream) -> bool {
        self.config == *config
    }

    /// Its endpoints.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// Chooses an endpoint for an attempt.
    pub fn choose(self: &Arc<Self>) -> Option<Pick> {
        let load = |index: usize| {
            let endpoint = &self.endpoints[index];
            // In flight for its weight, times a power of two so that the division keeps its digits.
            (endpoint.in_flight.load(Ordering::Relaxed) << 20) / u64::from(endpoint.weight.max(1))
        };
        let index = self.balancer.choose(load)?;
        self.endpoints[index].in_flight.fetch_add(1, Ordering::Relaxed);
        Some(Pick { pool: self.clone(), index })
    }
}

impl Pick {
    /// The pool it was chosen from.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// The chosen endpoint.
    pub fn endpoint(&self) -> &Endpoint {
        &self.pool.endpoints[self.index]
    }

    /// What Pingora connects to, within `left` where the attempt has a deadline. With an upload, an upstream that does not take it is cut off
    /// as one that does not answer.
    pub fn peer(&self, left: Option<Duration>, upload: bool) -> Box<HttpPeer> {
        let mut peer = Box::new(self.endpoint().peer.clone());
        if upload {
            peer.options.write_timeout = Some(self.pool.timeouts.between_bytes.0);
        }
        if let Some(left) = left {
            let connect = self.pool.timeouts.connect.0.min(left);
            peer.options.connection_timeout = Some(connect);
            peer.options.total_connection_timeout = Some(connect);
        }
        peer
    }
}

impl Drop for Pick {
    fn drop(&mut self) {
        self.endpoint().in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

fn peer(address: SocketAddr, timeouts: &UpstreamTimeouts, group: u64) -> HttpPeer {
    let mut peer = HttpPeer::new(address, false, String::new());
    peer.group_key = group;
    peer.options.connection_timeout = Some(timeouts.connect.0);
    peer.options.total_connection_timeout = Some(timeouts.connect.0);
    peer.options.idle_timeout = Some(timeouts.idle.0);
    // Reads are the watchdog's: Pingora's own read timeout would also run while the client pauses an upload.
    peer
}
