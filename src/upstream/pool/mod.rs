//! An upstream's pool: endpoints that serve the same thing, with everything prepared that a request needs of them, and what is known of each.
//!
//! Its endpoints may change at any time: [`Pool::change`] swaps in the new set, in which those that stay keep their counts, their health and
//! their connections. A request keeps the endpoint that it chose.

mod budget;
mod by_hand;
mod choice;
mod ejection;
mod endpoint;
mod members;
mod settling;
#[allow(dead_code, reason = "routes that lead to a part of a pool are still to come")]
mod subset;
#[cfg(test)]
mod tests;
mod told;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use frontgate_filters::clock;
use frontgate_filters::words::selector::Selector;
use http::HeaderValue;
use parking_lot::Mutex;

use super::adaptive::Adaptive;
use super::cause::Cause;
use super::found::Found;
use super::tls::{self, Tls};
use crate::certificates::{Files, Refused, Renewed};
use crate::config::model::{Balance, FirstByte, Health, Retry, Start, Upstream, UpstreamTimeouts};
use crate::telemetry::{Metrics, UpstreamMetrics, own_log};
use budget::Load;
pub(crate) use budget::RetryPermit;
use by_hand::ByHand;
pub(crate) use by_hand::{NotObeyed, Order};
pub(crate) use choice::{NoPick, Pick};
use ejection::Ejected;
pub(crate) use endpoint::Endpoint;
use endpoint::{Terms, fresh_id, is_same};
use members::Members;
use settling::Due;
pub(crate) use settling::PACE;
use subset::Held;
#[allow(unused_imports, reason = "routes that lead to a part of a pool are still to come")]
pub(crate) use subset::{Subset, Versions};

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
    /// One change of the members at a time; no request waits for it. Who has a part of them.
    changing: Mutex<Held>,
    /// When their tables are to be made again.
    due: Due,
    /// What operators set for endpoints.
    by_hand: Arc<ByHand>,
    /// The files for TLS that were refused last.
    refused: Refused,
    adaptive: Option<Arc<Adaptive>>,
    /// Since when times are counted.
    began: Instant,
    load: Arc<Load>,
    /// One ejection at a time, lest two of them exceed the share. No request waits here but those that just failed.
    ejected: Mutex<Ejected>,
}

/// What a changed set has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Replaced {
    /// Endpoints that were not there before.
    pub came: usize,
    /// Endpoints that are no more.
    pub went: usize,
}

/// What is known against the endpoints of a pool.
#[derive(Default)]
pub(crate) struct Failing {
    /// Whether they are probed: then what is not known against one speaks for it.
    pub probed: bool,
    /// Those that fail their probes, or, without any, to which no connection came about just now.
    pub addresses: HashSet<SocketAddr>,
}

/// A connection that did not come about so long ago is one just now.
const LATELY: Duration = Duration::from_secs(5);

/// How often the log is told of an endpoint that TLS fails there.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// What times are measured for: under other bounds they are measured anew.
pub(crate) fn measures(config: &Upstream) -> &FirstByte {
    &config.timeouts.first_byte
}

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
        let began = before.map_or_else(clock::now, |before| before.began);
        let same_adaptive = before.filter(|before| measures(&before.settings) == measures(config));
        let known = before.map(|before| before.members.load_full());
        let by_hand = before.map_or_else(Arc::default, |before| before.by_hand.clone());
        let now = clock::now();
        let millis = millis(began, now);
        let before_it = known.as_deref().map(|known| (known, false));
        let members = Members::new(endpoints, &terms(&settings, tls.as_ref()), before_it, &[], (&by_hand, millis));
        let pool = Self {
            name: name.into(),
            timeouts: config.timeouts,
            host: config.host.as_ref().and_then(|host| HeaderValue::from_str(host).ok()),
            metrics: metrics.upstream(name),
            id: fresh_id(),
            ejected: Mutex::new(Ejected::of(&members.endpoints, millis)),
            members: ArcSwap::from_pointee(members),
            changing: Mutex::default(),
            due: Due::default(),
            by_hand,
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
        };
        pool.tick(now);
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
            let changing = self.changing.lock();
            let before = self.members.load_full();
            let (terms, at) = (terms(&self.settings, next.as_ref()), (&*self.by_hand, self.millis(Instant::now())));
            self.members.store(Arc::new(Members::new(&before.written, &terms, Some((&before, true)), &changing.parts(), at)));
            Ok(())
        })
    }

    /// Why its files for TLS were refused, where they do not fit any more.
    pub(crate) fn renewal_refused(&self) -> Option<String> {
        self.refused.why()
    }

    /// Puts these endpoints in the place of those it has. Those that stay keep their counts, health and connections; requests that run keep
    /// the endpoint they chose. The caller has the new ones probed ([`super::health::watch`]).
    pub(crate) fn change(&self, endpoints: &[Found], now: Instant) {
        self.replace(endpoints, now);
    }

    /// The same, saying how many endpoints came and went; nothing where they are what they were.
    pub(crate) fn replace(&self, endpoints: &[Found], now: Instant) -> Option<Replaced> {
        let changing = self.changing.lock();
        let before = self.members.load_full();
        if *before.written == *endpoints {
            return None;
        }
        let (terms, millis) = (terms(&self.settings, before.tls.as_ref()), self.millis(now));
        let next = Members::new(endpoints, &terms, Some((&before, true)), &changing.parts(), (&self.by_hand, millis));
        let came = next.endpoints.iter().filter(|endpoint| !before.has(endpoint)).count();
        let mut went = 0;
        for gone in before.endpoints.iter().filter(|endpoint| !next.has(endpoint)) {
            // Ends its probes.
            gone.known.probed_by.store(0, Ordering::Release);
            went += 1;
        }
        *self.ejected.lock() = Ejected::of(&next.endpoints, millis);
        self.members.store(Arc::new(next));
        self.rebuild(&changing, millis);
        Some(Replaced { came, went })
    }

    /// What its endpoints were made of.
    pub(crate) fn endpoints(&self) -> Vec<Found> {
        self.members.load().written.to_vec()
    }

    /// Whether this is one of its endpoints.
    pub(crate) fn has(&self, endpoint: &Endpoint) -> bool {
        self.members.load().has(endpoint)
    }

    /// What is known against its endpoints.
    pub(crate) fn failing(&self, now: Instant) -> Failing {
        let probed = self.settings.health.is_some();
        let lately = self.millis(now).saturating_sub(LATELY.as_millis() as u64);
        let fails = |endpoint: &&Arc<Endpoint>| {
            let known = &endpoint.known;
            let unreached = || {
                let last = Cause::numbered(known.last_error.load(Ordering::Relaxed));
                last.is_some_and(Cause::is_of_connecting) && known.failed_at.load(Ordering::Relaxed) > lately
            };
            if probed { known.unhealthy.load(Ordering::Acquire) } else { unreached() }
        };
        let members = self.members.load();
        Failing { probed, addresses: members.endpoints.iter().filter(fails).map(|endpoint| endpoint.address).collect() }
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
        millis(self.began, at)
    }

    /// Room in the budget for a further attempt.
    pub(crate) fn retry_permit(&self) -> Option<RetryPermit> {
        RetryPermit::take(&self.load, self.retry()?.budget.0)
    }

    /// How its endpoints are probed, and those that nobody probes yet: from now on the caller does. Where they are not to be probed, what
    /// earlier probes found is forgotten.
    pub(crate) fn to_be_probed(&self) -> (Option<&Health>, Vec<Arc<Endpoint>>) {
        let Some(health) = &self.settings.health else {
            for endpoint in self.members.load().endpoints.iter() {
                endpoint.known.probed_by.store(0, Ordering::Release);
                endpoint.known.unhealthy.store(false, Ordering::Release);
            }
            self.unsettle(Instant::now());
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
        let (now, told) = (self.millis(now), &endpoint.known.told_at);
        endpoint.known.last_error.store(cause.number(), Ordering::Relaxed);
        endpoint.known.failed_at.store(now, Ordering::Relaxed);
        own_log::detail(module_path!(), format_args!("endpoint {} of upstream `{}` failed: {cause}", endpoint.text, self.name));
        let what = match cause {
            Cause::OtherProtocol => "HTTP/2",
            Cause::SpeaksTls | Cause::SpeaksHttp2 => "HTTP",
            _ => "TLS",
        };
        if cause.is_of_tls() || cause.is_of_protocol() {
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
            self.unsettle(now);
        }
    }

    /// Whether the gateway is not ready without it.
    pub(crate) fn is_required(&self) -> bool {
        self.settings.required
    }
}

/// A time in a pool's milliseconds, which are never 0.
fn millis(began: Instant, at: Instant) -> u64 {
    at.saturating_duration_since(began).as_millis() as u64 + 1
}

fn terms<'t>(settings: &'t Upstream, tls: Option<&'t Arc<Tls>>) -> Terms<'t> {
    let wait_for_probes = settings.health.as_ref().is_some_and(|health| health.start == Start::Unhealthy);
    Terms { balance: &settings.balance, protocol: settings.protocol(), tls, wait_for_probes }
}
