//! A pool: endpoints that serve the same thing, with everything prepared that a request needs of them, and what is known of each.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use frontgate_filters::words::selector::Selector;
use http::HeaderValue;
use parking_lot::Mutex;
use pingora_core::upstreams::peer::HttpPeer;

use super::adaptive::Adaptive;
use super::balance::{Balancer, Candidates, UNIT, random};
use crate::config::model::{Balance, FirstByte, Health, Retry, Start, Upstream, UpstreamTimeouts};
use crate::status::{EndpointStatus, UpstreamStatus};
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
    adaptive: Option<Adaptive>,
    /// Since when times are counted.
    began: Instant,
    watched: AtomicBool,
    in_flight: AtomicU64,
    retrying: AtomicU64,
    /// One ejection at a time, lest two of them exceed the share. No request waits here but those that just failed.
    ejecting: Mutex<()>,
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
    /// Probes found it down.
    sick: AtomicBool,
    /// Failed requests in a row.
    failures: AtomicU32,
    /// Until when it is left alone, in milliseconds since the pool began; 0 for never.
    ejected_until: AtomicU64,
    /// How often it was left alone lately.
    ejections: AtomicU32,
    /// Since when it takes requests again; 0 where it always did.
    back_since: AtomicU64,
}

/// How often longer than the first time an endpoint is left alone at most.
const LONGEST_EJECTION: u32 = 10;

/// An endpoint chosen for one attempt, counted as in flight until it is dropped.
pub struct Pick {
    place: Place,
    index: usize,
}

/// Why there is no endpoint for an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPick {
    /// The pool has as many requests as it may.
    Full,
    /// No endpoint takes requests.
    NoEndpoint,
}

/// An attempt's place among those that a pool may have at once, until it is dropped.
struct Place(Arc<Pool>);

impl Place {
    fn take(pool: &Arc<Pool>) -> Option<Self> {
        let before = pool.in_flight.fetch_add(1, Ordering::Relaxed);
        let place = Self(pool.clone());
        pool.config.max_connections.is_none_or(|most| before < u64::from(most.get())).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A further attempt, counted against the pool's budget until it is dropped.
pub struct RetryPermit(Arc<Pool>);

impl Drop for RetryPermit {
    fn drop(&mut self) {
        self.0.retrying.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What the choice of an endpoint may count on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Choosy {
    /// Healthy ones that were not tried, and those that just came back only now and then.
    Very,
    /// Healthy ones that were not tried.
    Healthy,
    /// All that were not tried: where none is healthy, the probes may be what is wrong.
    Untried,
    /// All.
    Not,
}

struct Choice<'p> {
    pool: &'p Pool,
    tried: &'p [usize],
    now: u64,
    choosy: Choosy,
}

impl Candidates for Choice<'_> {
    fn takes(&self, index: usize) -> bool {
        let endpoint = &self.pool.endpoints[index];
        match self.choosy {
            Choosy::Very | Choosy::Healthy if !endpoint.is_well(self.now) => false,
            Choosy::Very if !self.pool.is_warm(endpoint, self.now) => false,
            Choosy::Not => true,
            _ => !self.tried.contains(&index),
        }
    }

    fn load(&self, index: usize) -> u64 {
        let endpoint = &self.pool.endpoints[index];
        (endpoint.in_flight.load(Ordering::Relaxed) * UNIT) / u64::from(endpoint.weight.max(1))
    }

    fn mean_load(&self) -> u64 {
        let takers = || self.pool.endpoints.iter().filter(|endpoint| endpoint.weight > 0 && endpoint.is_well(self.now));
        let in_flight: u64 = takers().map(|endpoint| endpoint.in_flight.load(Ordering::Relaxed)).sum();
        let weights: u64 = takers().map(|endpoint| u64::from(endpoint.weight)).sum();
        (in_flight + 1) * UNIT / weights.max(1)
    }
}

impl Endpoint {
    fn is_well(&self, now: u64) -> bool {
        !self.sick.load(Ordering::Relaxed) && self.ejected_until.load(Ordering::Relaxed) <= now
    }

    /// What is known of it.
    fn state(&self, now: u64) -> EndpointState {
        match (self.sick.load(Ordering::Relaxed), self.ejected_until.load(Ordering::Relaxed) > now) {
            (true, _) => EndpointState::Unhealthy,
            (false, true) => EndpointState::Ejected,
            (false, false) => EndpointState::Healthy,
        }
    }
}

impl Pool {
    /// Compiles a checked configuration.
    pub fn new(name: &str, config: &Upstream, metrics: &Metrics) -> Self {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        let group = hasher.finish();
        let sick = config.health.as_ref().is_some_and(|health| health.start == Start::Unhealthy);
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
                sick: AtomicBool::new(sick),
                failures: AtomicU32::new(0),
                ejected_until: AtomicU64::new(0),
                ejections: AtomicU32::new(0),
                back_since: AtomicU64::new(0),
            })
            .collect();
        let weights: Vec<u32> = endpoints.iter().map(|endpoint| endpoint.weight).collect();
        let names: Vec<&str> = endpoints.iter().map(|endpoint| &*endpoint.text).collect();
        let began = Instant::now();
        let pool = Self {
            name: name.into(),
            timeouts: config.timeouts,
            host: config.host.as_ref().and_then(|host| HeaderValue::from_str(host).ok()),
            metrics: metrics.upstream(name),
            config: config.clone(),
            balancer: Balancer::new(&config.balance, &weights, &names),
            adaptive: match config.timeouts.first_byte {
                FirstByte::Fixed(_) => None,
                FirstByte::Adaptive(bounds) => Some(Adaptive::new(bounds, began)),
            },
            endpoints,
            began,
            watched: AtomicBool::new(false),
            in_flight: AtomicU64::new(0),
            retrying: AtomicU64::new(0),
            ejecting: Mutex::new(()),
        };
        pool.tick(began);
        pool
    }

    /// Whether this is what the configuration still says.
    pub fn is(&self, config: &Upstream) -> bool {
        self.config == *config
    }

    /// Its endpoints.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// What a consistent hash is made of.
    pub fn hashes(&self) -> Option<&Selector> {
        match &self.config.balance {
            Balance::ConsistentHash(selector) => Some(selector),
            _ => None,
        }
    }

    /// When a failed attempt is followed by another.
    pub fn retry(&self) -> Option<&Retry> {
        self.config.retry.as_ref().map(|retry| &retry.value)
    }

    /// How long a response's head may take just now.
    pub fn first_byte(&self) -> Duration {
        match (&self.adaptive, self.timeouts.first_byte) {
            (Some(adaptive), _) => adaptive.timeout(),
            (None, FirstByte::Fixed(timeout)) => timeout.0,
            (None, FirstByte::Adaptive(bounds)) => bounds.max.0,
        }
    }

    /// A head took this long to come, or was given up after so long.
    pub fn took(&self, time: Duration) {
        if let Some(adaptive) = &self.adaptive {
            adaptive.observe(time);
        }
    }

    fn millis(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.began).as_millis() as u64 + 1
    }

    /// Chooses an endpoint for an attempt of a request with this hash, none of those tried before while another lives.
    pub fn choose(self: &Arc<Self>, hash: Option<u64>, tried: &[usize], now: Instant) -> Result<Pick, NoPick> {
        let place = Place::take(self).ok_or(NoPick::Full)?;
        let now = self.millis(now);
        let index = [Choosy::Very, Choosy::Healthy, Choosy::Untried, Choosy::Not]
            .into_iter()
            .find_map(|choosy| self.balancer.choose(hash, &Choice { pool: self, tried, now, choosy }))
            .ok_or(NoPick::NoEndpoint)?;
        self.endpoints[index].in_flight.fetch_add(1, Ordering::Relaxed);
        Ok(Pick { place, index })
    }

    /// Whether an endpoint that has come back gets this request: at first one in ten of its share, all of it when slow start is over.
    fn is_warm(&self, endpoint: &Endpoint, now: u64) -> bool {
        let Some(slow_start) = self.config.slow_start else { return true };
        let since = endpoint.back_since.load(Ordering::Relaxed);
        let length = slow_start.0.as_millis() as u64;
        if since == 0 || now >= since + length {
            return true;
        }
        let share = (now.saturating_sub(since) * 1000 / length.max(1)).max(100);
        random() % 1000 < share
    }

    /// Room in the budget for a further attempt.
    pub fn retry_permit(self: &Arc<Self>) -> Option<RetryPermit> {
        let share = self.retry()?.budget.0;
        let most = ((self.in_flight.load(Ordering::Relaxed) as f64 * share) as u64).max(3);
        let before = self.retrying.fetch_add(1, Ordering::Relaxed);
        let permit = RetryPermit(self.clone());
        (before < most).then_some(permit)
    }

    /// How to probe, where this has been asked for and nobody does it yet.
    pub fn to_be_watched(&self) -> Option<Health> {
        let health = self.config.health.as_ref()?;
        (!self.watched.swap(true, Ordering::AcqRel)).then(|| health.value.clone())
    }

    /// Probes have found an endpoint well or not.
    pub fn found(&self, index: usize, well: bool, now: Instant) {
        let endpoint = &self.endpoints[index];
        if endpoint.sick.swap(!well, Ordering::AcqRel) == well {
            if well {
                endpoint.back_since.store(self.millis(now), Ordering::Relaxed);
                endpoint.failures.store(0, Ordering::Relaxed);
            }
            log::warn!("{} of the pool `{}` is {}", endpoint.text, self.name, if well { "healthy" } else { "unhealthy" });
            self.tick(now);
        }
    }

    /// A request to an endpoint went well or failed.
    fn judge(&self, index: usize, well: bool, now: Instant) {
        let Some(outlier) = &self.config.outlier else { return };
        let endpoint = &self.endpoints[index];
        if well {
            // Mostly it is 0, and a write would take the line from the other threads.
            if endpoint.failures.load(Ordering::Relaxed) != 0 {
                endpoint.failures.store(0, Ordering::Relaxed);
            }
            return;
        }
        if endpoint.failures.fetch_add(1, Ordering::Relaxed) + 1 < outlier.consecutive.get() {
            return;
        }
        let _one = self.ejecting.lock();
        let millis = self.millis(now);
        let ejected = self.endpoints.iter().filter(|other| other.ejected_until.load(Ordering::Relaxed) > millis).count();
        let most = ((self.endpoints.len() as f64 * outlier.max_ejected.0) as usize).max(1).min(self.endpoints.len() - 1);
        if ejected >= most || endpoint.ejected_until.load(Ordering::Relaxed) > millis {
            return;
        }
        let times = endpoint.ejections.load(Ordering::Relaxed).saturating_add(1).min(LONGEST_EJECTION);
        let until = millis + (outlier.eject_for.0 * times).as_millis() as u64;
        endpoint.ejections.store(times, Ordering::Relaxed);
        endpoint.failures.store(0, Ordering::Relaxed);
        endpoint.back_since.store(until, Ordering::Relaxed);
        endpoint.ejected_until.store(until, Ordering::Relaxed);
        log::warn!("{} of the pool `{}` is left alone for {:?}", endpoint.text, self.name, outlier.eject_for.0 * times);
        drop(_one);
        self.tick(now);
    }

    /// Brings up to date what follows from time alone; to be called about once a second.
    pub fn tick(&self, now: Instant) {
        if let Some(adaptive) = &self.adaptive {
            adaptive.tick(now);
            self.metrics.first_byte(adaptive.timeout());
        }
        let millis = self.millis(now);
        let mut states = [0_i64; EndpointState::ALL.len()];
        for endpoint in self.endpoints.iter().filter(|endpoint| endpoint.weight > 0) {
            states[endpoint.state(millis) as usize] += 1;
            if let Some(outlier) = &self.config.outlier {
                let until = endpoint.ejected_until.load(Ordering::Relaxed);
                // One that has behaved for as long as it was left alone begins anew.
                let forgiven = u64::from(endpoint.ejections.load(Ordering::Relaxed)) * outlier.eject_for.0.as_millis() as u64;
                if until != 0 && millis > until + forgiven {
                    endpoint.ejections.store(0, Ordering::Relaxed);
                }
            }
        }
        for state in EndpointState::ALL {
            self.metrics.endpoints(state, states[state as usize]);
        }
    }

    /// Whether any endpoint is well.
    pub fn is_alive(&self, now: Instant) -> bool {
        let now = self.millis(now);
        self.endpoints.iter().any(|endpoint| endpoint.weight > 0 && endpoint.is_well(now))
    }

    /// Whether the gateway is not ready without it.
    pub fn is_required(&self) -> bool {
        self.config.required
    }

    /// What is known of it, for operators.
    pub fn status(&self, now: Instant) -> UpstreamStatus {
        let millis = self.millis(now);
        let endpoints = self.endpoints.iter().map(|endpoint| {
            let left = endpoint.ejected_until.load(Ordering::Relaxed).saturating_sub(millis);
            EndpointStatus {
                address: endpoint.address,
                state: endpoint.state(millis),
                weight: endpoint.weight,
                in_flight: endpoint.in_flight.load(Ordering::Relaxed),
                ejected_for_ms: (left > 0).then_some(left),
                version: endpoint.version.as_ref().and_then(|version| version.to_str().ok()).map(str::to_owned),
            }
        });
        UpstreamStatus {
            alive: self.is_alive(now),
            required: self.is_required(),
            in_flight: self.in_flight.load(Ordering::Relaxed),
            retrying: self.retrying.load(Ordering::Relaxed),
            first_byte_ms: self.first_byte().as_millis() as u64,
            adaptive: self.adaptive.is_some(),
            endpoints: endpoints.collect(),
        }
    }
}

impl Pick {
    /// The pool it was chosen from.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.place.0
    }

    /// The chosen endpoint.
    pub fn endpoint(&self) -> &Endpoint {
        &self.place.0.endpoints[self.index]
    }

    /// Its place in the pool.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The attempt went well, or failed by the endpoint's fault.
    pub fn judge(&self, well: bool, now: Instant) {
        self.place.0.judge(self.index, well, now);
    }

    /// What Pingora connects to, within `left` where the attempt has a deadline. With an upload, an upstream that does not take it is cut off
    /// as one that does not answer.
    pub fn peer(&self, left: Option<Duration>, upload: bool) -> Box<HttpPeer> {
        let mut peer = Box::new(self.endpoint().peer.clone());
        if upload {
            peer.options.write_timeout = Some(self.place.0.timeouts.between_bytes.0);
        }
        if let Some(left) = left {
            let connect = self.place.0.timeouts.connect.0.min(left);
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
