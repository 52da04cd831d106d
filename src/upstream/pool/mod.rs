//! An upstream's pool: endpoints that serve the same thing, with everything prepared that a request needs of them, and what is known of each.
//!
//! Its endpoints may change at any time: [`Pool::change`] swaps in the new set, in which those that stay keep their counts, their health and
//! their connections. A request keeps the endpoint that it chose.

mod budget;
mod choice;
mod ejection;
mod endpoint;
mod members;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use frontgate_filters::words::fields;
use frontgate_filters::words::selector::Selector;
use http::HeaderValue;
use parking_lot::Mutex;

use super::adaptive::Adaptive;
use super::cause::Cause;
use super::found::Found;
use super::tls::{self, Tls};
use crate::certificates::{Files, Refused, Renewed};
use crate::config::model::{Balance, FirstByte, Health, Retry, Start, Upstream, UpstreamTimeouts};
use crate::status::{EndpointStatus, UpstreamStatus};
use crate::telemetry::{EndpointState, Metrics, UpstreamMetrics};
use budget::Load;
pub(crate) use budget::RetryPermit;
pub(crate) use choice::{NoPick, Pick};
pub(crate) use endpoint::Endpoint;
use endpoint::{Terms, fresh_id, is_same};
use members::Members;

/// A compiled upstream. A reload that leaves its settings as they were keeps it, counts and all.
pub(crate) struct Pool {
    /// Its name.
    pub name: Arc<str>,
    /// How long it may take.
    pub timeouts: UpstreamTimeouts,
    /// The Host that it is sent, where that is not the client's.
    pub host: Option<HeaderValue>,
    /// Its metrics.
    pub metrics: Arc<UpstreamMetrics>,
    id: u64,
    /// What was configured, without the endpoints.
    settings: Upstream,
    members: ArcSwap<Members>,
    /// One change of the members at a time; no request waits for it.
    changing: Mutex<()>,
    /// The files for TLS that were refused last.
    refused: Refused,
    adaptive: Option<Arc<Adaptive>>,
    /// Since when times are counted.
    began: Instant,
    load: Arc<Load>,
    /// The weights of all endpoints that take requests, as of the last look.
    usable_weight: AtomicU64,
    /// One ejection at a time, lest two of them exceed the share. No request waits here but those that just failed.
    ejecting: Mutex<()>,
}

/// What a changed set has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Replaced {
    /// Endpoints that were not there before.
    pub came: usize,
    /// Endpoints that are no more.
    pub went: usize,
}

/// How often the log is told of an endpoint that TLS fails there.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// An upstream's settings without its endpoints.
fn settings(config: &Upstream) -> Upstream {
    Upstream { endpoints: Vec::new(), discover: None, ..config.clone() }
}

impl Pool {
    /// Compiles a checked configuration, of which `tls` was read, with its written addresses as the endpoints.
    pub(crate) fn new(name: &str, config: &Upstream, tls: Option<Arc<Tls>>, metrics: &Metrics, before: Option<&Self>) -> Self {
        Self::with(name, config, &Found::written(&config.endpoints), tls, metrics, before)
    }

    /// The same with these endpoints. One that `before` has, too, keeps what is known of it.
    pub(crate) fn with(
        name: &str,
        config: &Upstream,
        endpoints: &[Found],
        tls: Option<Arc<Tls>>,
        metrics: &Metrics,
        before: Option<&Self>,
    ) -> Self {
        let settings = settings(config);
        let began = before.map_or_else(Instant::now, |before| before.began);
        let same_adaptive = before.filter(|before| before.timeouts.first_byte == config.timeouts.first_byte);
        let known = before.map(|before| before.members.load_full());
        let members = Members::new(endpoints, &terms(&settings, tls.as_ref()), known.as_deref().map(|known| (known, false)));
        let pool = Self {
            name: name.into(),
            timeouts: config.timeouts,
            host: config.host.as_ref().and_then(|host| HeaderValue::from_str(host).ok()),
            metrics: metrics.upstream(name),
            id: fresh_id(),
            members: ArcSwap::from_pointee(members),
            changing: Mutex::new(()),
            refused: Refused::default(),
            adaptive: match config.timeouts.first_byte {
                FirstByte::Fixed(_) => None,
                FirstByte::Adaptive(bounds) => {
                    let kept = same_adaptive.and_then(|before| before.adaptive.clone());
                    Some(kept.unwrap_or_else(|| Arc::new(Adaptive::new(bounds, began))))
                }
            },
            settings,
            began,
            load: before.map_or_else(Arc::default, |before| before.load.clone()),
            usable_weight: AtomicU64::new(0),
            ejecting: Mutex::new(()),
        };
        pool.tick(Instant::now());
        pool
    }

    /// Whether its settings are what the configuration still says, apart from the endpoints, and its files hold what they did.
    pub(crate) fn has_settings(&self, config: &Upstream, tls: Option<&Arc<Tls>>) -> bool {
        self.settings == settings(config) && is_same(self.tls().as_ref(), tls)
    }

    /// The name that the certificates of its endpoints have to be for, where that is written.
    pub(crate) fn server_name(&self) -> Option<&str> {
        Some(self.settings.tls.as_ref()?.server_name.as_ref()?.as_str())
    }

    /// How its endpoints are spoken to over TLS, where they are.
    pub(crate) fn tls(&self) -> Option<Arc<Tls>> {
        self.members.load().tls.clone()
    }

    /// Looks whether the files that its `tls` names have other contents than before, and speaks to its endpoints accordingly where they fit
    /// each other. `config` is what it was compiled from.
    pub(crate) fn renew(&self, config: &Upstream, files: Files<'_>) -> Renewed {
        let Some(held) = self.tls() else { return Renewed::Same };
        self.refused.look(held.contents, tls::contents_of(config, files), || {
            let next = Tls::read(config, files, None)?;
            let _one = self.changing.lock();
            let before = self.members.load_full();
            let terms = terms(&self.settings, next.as_ref());
            self.members.store(Arc::new(Members::new(&before.written, &terms, Some((&before, true)))));
            Ok(())
        })
    }

    /// Puts these endpoints in the place of those it has. Those that stay keep their counts, health and connections; requests that run keep
    /// the endpoint they chose. The caller has the new ones probed ([`super::health::watch`]).
    pub(crate) fn change(&self, endpoints: &[Found], now: Instant) {
        self.replace(endpoints, now);
    }

    /// The same, saying how many endpoints came and went; nothing where they are what they were.
    pub(crate) fn replace(&self, endpoints: &[Found], now: Instant) -> Option<Replaced> {
        let _one = self.changing.lock();
        let before = self.members.load_full();
        if before.written == endpoints {
            return None;
        }
        let next = Members::new(endpoints, &terms(&self.settings, before.tls.as_ref()), Some((&before, true)));
        let came = next.endpoints.iter().filter(|endpoint| !before.has(endpoint)).count();
        let mut went = 0;
        for gone in before.endpoints.iter().filter(|endpoint| !next.has(endpoint)) {
            // Ends its probes.
            gone.known.probed_by.store(0, Ordering::Release);
            went += 1;
        }
        self.members.store(Arc::new(next));
        self.tick(now);
        Some(Replaced { came, went })
    }

    /// What its endpoints were made of.
    pub(crate) fn endpoints(&self) -> Vec<Found> {
        self.members.load().written.clone()
    }

    /// The addresses of those that fail their probes; nothing where none is probed.
    pub(crate) fn failing(&self) -> Option<HashSet<SocketAddr>> {
        self.settings.health.as_ref()?;
        let members = self.members.load();
        let failing = members.endpoints.iter().filter(|endpoint| endpoint.known.unhealthy.load(Ordering::Acquire));
        Some(failing.map(|endpoint| endpoint.address).collect())
    }

    /// What a consistent hash is made of.
    pub(crate) fn hashes(&self) -> Option<&Selector> {
        match &self.settings.balance {
            Balance::ConsistentHash(selector) => Some(selector),
            _ => None,
        }
    }

    /// When a failed attempt is followed by another.
    pub(crate) fn retry(&self) -> Option<&Retry> {
        self.settings.retry.as_ref().map(|retry| &retry.value)
    }

    /// How long a response's head may take just now.
    pub(crate) fn first_byte(&self) -> Duration {
        match (&self.adaptive, self.timeouts.first_byte) {
            (Some(adaptive), _) => adaptive.timeout(),
            (None, FirstByte::Fixed(timeout)) => timeout.0,
            (None, FirstByte::Adaptive(bounds)) => bounds.max.0,
        }
    }

    /// A head took this long to come, or was given up after so long.
    pub(crate) fn took(&self, time: Duration) {
        if let Some(adaptive) = &self.adaptive {
            adaptive.observe(time);
        }
    }

    fn millis(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.began).as_millis() as u64 + 1
    }

    /// Room in the budget for a further attempt.
    pub(crate) fn retry_permit(&self) -> Option<RetryPermit> {
        RetryPermit::take(&self.load, self.retry()?.budget.0)
    }

    /// How its endpoints are probed, and those that nobody probes yet: from now on the caller does. Where they are not to be probed, what
    /// earlier probes found is forgotten.
    pub(crate) fn to_be_probed(&self) -> (Option<&Health>, Vec<Arc<Endpoint>>) {
        let Some(health) = &self.settings.health else {
            for endpoint in &self.members.load().endpoints {
                endpoint.known.probed_by.store(0, Ordering::Release);
                endpoint.known.unhealthy.store(false, Ordering::Release);
            }
            return (None, Vec::new());
        };
        let members = self.members.load();
        let new = members.endpoints.iter().filter(|endpoint| endpoint.known.probed_by.swap(self.id, Ordering::AcqRel) != self.id);
        (Some(&health.value), new.cloned().collect())
    }

    /// Whether this endpoint is still this pool's to probe.
    pub(crate) fn probes(&self, endpoint: &Endpoint) -> bool {
        endpoint.known.probed_by.load(Ordering::Acquire) == self.id
    }

    /// A probe has failed for this reason; what follows from it is for those who count probes.
    pub(crate) fn probe_failed(&self, endpoint: &Endpoint, cause: Cause) {
        self.remember(endpoint, cause, Instant::now());
    }

    /// What went wrong with an endpoint, for operators. What fails by TLS or by the protocol does so until somebody mends it, who is told, but not all the time.
    fn remember(&self, endpoint: &Endpoint, cause: Cause, now: Instant) {
        endpoint.known.last_error.store(cause.number(), Ordering::Relaxed);
        let what = if cause == Cause::OtherProtocol { "HTTP/2" } else { "TLS" };
        if cause.is_of_tls() || cause == Cause::OtherProtocol {
            let (now, told) = (self.millis(now), &endpoint.known.told_at);
            let last = told.load(Ordering::Relaxed);
            let is_due = last == 0 || now >= last + TELL_EVERY.as_millis() as u64;
            if is_due && told.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                log::warn!("no {what} connection to endpoint {} of upstream `{}`: {cause}", endpoint.text, self.name);
            }
        }
    }

    /// Probes have found an endpoint healthy, or not for this reason.
    pub(crate) fn found(&self, endpoint: &Endpoint, found: Result<(), Cause>, now: Instant) {
        let (known, healthy) = (&endpoint.known, found.is_ok());
        if known.unhealthy.swap(!healthy, Ordering::AcqRel) == healthy {
            if healthy {
                known.back_since.store(self.millis(now), Ordering::Relaxed);
                known.failures.store(0, Ordering::Relaxed);
            }
            match found {
                Ok(()) => log::info!("endpoint {} of upstream `{}` is healthy", endpoint.text, self.name),
                Err(cause) => log::warn!("endpoint {} of upstream `{}` is unhealthy: {cause}", endpoint.text, self.name),
            }
            self.tick(now);
        }
    }

    /// Brings up to date what follows from time alone; to be called about once a second.
    pub(crate) fn tick(&self, now: Instant) {
        if let Some(adaptive) = &self.adaptive {
            adaptive.tick(now);
            self.metrics.first_byte(adaptive.timeout());
        }
        let millis = self.millis(now);
        let mut states = [0_i64; EndpointState::ALL.len()];
        let mut usable = 0;
        for endpoint in self.members.load().endpoints.iter().filter(|endpoint| endpoint.weight > 0) {
            let state = endpoint.state(millis);
            states[state as usize] += 1;
            if state == EndpointState::Healthy {
                usable += u64::from(endpoint.weight);
            }
            self.forgive(endpoint, millis);
        }
        self.usable_weight.store(usable, Ordering::Relaxed);
        for state in EndpointState::ALL {
            self.metrics.endpoints(state, states[state as usize]);
        }
    }

    /// Whether any endpoint takes requests.
    pub(crate) fn is_alive(&self, now: Instant) -> bool {
        let now = self.millis(now);
        self.members.load().endpoints.iter().any(|endpoint| endpoint.weight > 0 && endpoint.is_usable(now))
    }

    /// Whether the gateway is not ready without it.
    pub(crate) fn is_required(&self) -> bool {
        self.settings.required
    }

    /// What is known of it, for operators.
    pub(crate) fn status(&self, now: Instant) -> UpstreamStatus {
        let millis = self.millis(now);
        let members = self.members.load();
        let endpoints = members.endpoints.iter().map(|endpoint| {
            let left = endpoint.known.ejected_until.load(Ordering::Relaxed).saturating_sub(millis);
            EndpointStatus {
                address: endpoint.address,
                name: endpoint.name.as_ref().map(ToString::to_string),
                state: endpoint.state(millis),
                weight: endpoint.weight,
                in_flight: endpoint.in_flight(),
                ejected_for_ms: (left > 0).then_some(left),
                last_error: Cause::numbered(endpoint.known.last_error.load(Ordering::Relaxed)).map(|cause| cause.to_string()),
                version: endpoint.version.as_ref().and_then(fields::text).map(str::to_owned),
            }
        });
        UpstreamStatus {
            alive: self.is_alive(now),
            required: self.is_required(),
            in_flight: self.load.in_flight.load(Ordering::Relaxed),
            retrying: self.load.retrying.load(Ordering::Relaxed),
            first_byte_ms: self.first_byte().as_millis() as u64,
            adaptive: self.adaptive.is_some(),
            endpoints: endpoints.collect(),
            discovery: None,
        }
    }
}

fn terms<'t>(settings: &'t Upstream, tls: Option<&'t Arc<Tls>>) -> Terms<'t> {
    let wait_for_probes = settings.health.as_ref().is_some_and(|health| health.start == Start::Unhealthy);
    Terms { balance: &settings.balance, protocol: settings.protocol(), tls, wait_for_probes }
}
