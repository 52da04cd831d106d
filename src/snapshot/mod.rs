//! A configuration compiled for serving: every name resolved, every header and metric handle ready.
//!
//! A snapshot never changes. A reload compiles the next one, taking over from the one before whatever did not change.

mod certificate;
mod compile;
#[cfg(feature = "graphql")]
mod graphs;
mod inline;
mod kept;
mod outside;
mod passed;
mod rehearsal;
mod route;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use frontgate_filters::chain::Link;
use frontgate_filters::device::Devices;
use frontgate_filters::filter::inspect::{CircuitStatus, FaultStatus, Forced, RefusedKey};
use frontgate_filters::filter::pseudonym::Pseudonyms;
use frontgate_filters::filter::{Facts, Filter};
use frontgate_filters::registry::{FilterConfig, FilterEntry, Mode};
use frontgate_filters::words::preflight::{self, asked_method};
use http::{HeaderName, Method};
use pingora_http::RequestHeader;

use self::certificate::CertificateHeaders;
pub(crate) use self::kept::{KeptFilter, KeptState, KeptUpstream, Marks, fixed, state_of};
pub(crate) use self::rehearsal::opened;
pub(crate) use self::route::Route;
use crate::action::{Pins, Upstreams};
use crate::config::Loaded;
use crate::config::model;
use crate::discovery::Keeper;
use crate::door::Rules;
use crate::door::tls::Kept;
use crate::router::{Found, Router};
use crate::telemetry::{AccessLog, Line, LineFilter};
use crate::tracing::Tracing;
use crate::upstream::{self, health};

/// What operators show that they are some.
pub(crate) struct Token {
    /// What it is called in the log: where it is kept.
    pub name: String,
    /// The token itself.
    pub value: String,
}

/// A compiled configuration.
pub(crate) struct Snapshot {
    /// What it was compiled from.
    pub loaded: Loaded,
    /// Finds the route.
    pub router: Router,
    /// The routes, by the router's index.
    pub routes: Box<[Route]>,
    /// What holds for requests that no route takes: the server's filters and the metrics of `_none`.
    pub unmatched: Route,
    /// The upstreams, by name.
    pub pools: Upstreams,
    /// What the upstreams' endpoints are kept by that are not all written as addresses, by name.
    pub keepers: BTreeMap<String, Arc<Keeper>>,
    /// What a client may send, and how slowly.
    pub rules: Rules,
    /// The certificates of each listener, as its files are now; none where it speaks clear text.
    pub certificates: Box<[Option<Arc<Kept>>]>,
    /// Where the access log goes.
    pub access_log: Arc<AccessLog>,
    /// What makes spans of requests, where something does.
    pub tracing: Option<Arc<Tracing>>,
    /// What operators show that they are some, where the configuration names it.
    pub token: Option<Token>,
    /// Which requests have a line there; none where every one has.
    pub logged: Option<LineFilter>,
    /// What it shows in place of who somebody is.
    pub pseudonyms: Arc<Pseudonyms>,
    /// The classes of devices, where something asks for them.
    devices: Option<Arc<Devices>>,
    trusted: Box<[ipnet::IpNet]>,
    /// What upstreams are told of clients that have shown a certificate.
    pub certificate_headers: CertificateHeaders,
    /// Request headers that only the gateway may send to an upstream: what `claim_headers` and `cert_headers` name.
    identity_headers: Box<[HeaderName]>,
    /// The filters, by name, or by `route/place` where they are written in place.
    filters: HashMap<String, Built>,
    /// Who has written lately, by the upstream.
    pins: HashMap<String, Arc<Pins>>,
    /// Where sagas are kept and run.
    #[cfg(feature = "saga")]
    pub sagas: Arc<crate::compose::saga::Home>,
    /// Whether some route lets clients choose a version.
    clients_choose: bool,
}

/// A filter with the configuration that it was built from.
#[derive(Clone)]
struct Built {
    entry: FilterEntry,
    filter: Arc<dyn Filter>,
}

/// A filter's name as people know it: those that are written in place share the name of their kind.
fn shown<'s>(key: &'s str, built: &Built) -> &'s str {
    if key.contains('/') { built.entry.config.kind() } else { key }
}

impl Snapshot {
    /// Every circuit that was ever asked for, with the filter's name.
    pub(crate) fn circuits(&self) -> impl Iterator<Item = (&str, CircuitStatus)> {
        let breakers = self.filters.iter().filter(|(_, built)| matches!(built.entry.config, FilterConfig::CircuitBreaker(_)));
        breakers.flat_map(|(name, built)| built.filter.inspect().circuits.into_iter().map(move |circuit| (name.as_str(), circuit)))
    }

    /// Every drill, with the filter's name.
    pub(crate) fn drills(&self) -> impl Iterator<Item = (&str, FaultStatus)> {
        self.filters.iter().filter_map(|(key, built)| Some((shown(key, built), built.filter.inspect().fault?)))
    }

    /// Stops all drills, or lets them go on.
    pub(crate) fn stop_drills(&self, stopped: bool) {
        self.filters.values().for_each(|built| built.filter.stop_faults(stopped));
    }

    /// Holds a filter's circuit before an upstream open or closed, or lets it go; whether there is such a circuit.
    pub(crate) fn force(&self, filter: &str, upstream: &str, forced: Option<Forced>) -> bool {
        self.filters.get(filter).is_some_and(|built| built.filter.force_circuit(upstream, forced))
    }

    /// The circuits that requests may meet: of each filter by its name, the upstreams that its routes lead to.
    pub(crate) fn breakers(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let breakers = self.filters.iter().filter(|(_, built)| matches!(built.entry.config, FilterConfig::CircuitBreaker(_)));
        let upstreams = |built: &Built| {
            let routes = self.routes.iter().zip(&self.loaded.config.routes);
            let own = routes.filter(|(route, _)| route.chain.links().iter().any(|link| Arc::ptr_eq(&link.filter, &built.filter)));
            own.flat_map(|(_, written)| written.upstreams()).map(|name| name.value.as_str()).collect()
        };
        breakers.map(|(name, built)| (name.as_str(), upstreams(built))).collect()
    }

    /// The names of all rate limits.
    pub(crate) fn rate_limits(&self) -> BTreeSet<&str> {
        self.limits().map(|(key, built)| shown(key, built)).collect()
    }

    fn limits(&self) -> impl Iterator<Item = (&String, &Built)> {
        self.filters.iter().filter(|(_, built)| matches!(built.entry.config, FilterConfig::RateLimit(_)))
    }

    /// Learns what the request's head says of the client, where something asks for it.
    pub(crate) fn recognise(&self, head: &RequestHeader, facts: &mut Facts) {
        if let Some(devices) = &self.devices {
            facts.device = devices.classes().get(devices.classify(&head.headers)).cloned();
        }
    }

    /// Request headers that only the gateway may send to an upstream.
    pub(crate) fn identity_headers(&self) -> &[HeaderName] {
        &self.identity_headers
    }

    /// Whether some route lets clients choose a version.
    pub(crate) fn clients_choose(&self) -> bool {
        self.clients_choose
    }

    /// What takes a request: a preflight belongs to the route that it asks about, where a filter of that one answers it.
    pub(crate) fn find(&self, host: &str, path: &str, head: &RequestHeader, facts: &Facts) -> Found<'_> {
        if let Some(method) = asked_method(head)
            && let Some(index) = self.preflight(host, path, &method, head, facts)
        {
            return Found::Route(index);
        }
        self.router.find(host, path, &head.method, &mut |index| self.routes[index].holds(head, facts))
    }

    /// The route that answers a preflight about this method. What a preflight does not tell holds for none of those that ask for it, as long as
    /// another one is left: routes that it cannot tell apart were checked to answer it alike.
    fn preflight(&self, host: &str, path: &str, method: &Method, head: &RequestHeader, facts: &Facts) -> Option<usize> {
        let found = self.router.find(host, path, method, &mut |index| self.routes[index].holds(head, facts));
        let found = match found {
            Found::Unmet { .. } => self.router.find(host, path, method, &mut |index| {
                self.routes[index].when.as_ref().is_none_or(|when| when.holds_of(preflight::tells, head, facts))
            }),
            found => found,
        };
        let Found::Route(index) = found else { return None };
        let answers = |link: &Link| link.mode == Mode::Enforce && link.filter.answers_preflight();
        self.routes[index].chain.links().iter().any(answers).then_some(index)
    }

    /// The filters that verify with a key set from elsewhere, by name, with the age of their keys.
    pub(crate) fn key_ages(&self) -> BTreeMap<&str, Duration> {
        let mut ages = BTreeMap::new();
        for (key, built) in self.filters.iter().filter(|(_, built)| built.entry.config.options().identifies()) {
            if let Some(age) = built.filter.inspect().key_age {
                // Of those that share a name the oldest keys speak for all.
                let oldest = ages.entry(shown(key, built)).or_insert(age);
                *oldest = age.max(*oldest);
            }
        }
        ages
    }

    /// The filters that can verify no token, as the keys of their issuer are not to be had, with the reason.
    pub(crate) fn keyless(&self) -> BTreeMap<&str, String> {
        let verifying = self.filters.iter().filter(|(_, built)| built.entry.config.options().identifies());
        let lacking = verifying.filter_map(|(key, built)| {
            let found = built.filter.inspect();
            let why = match found.key_age {
                Some(age) => format!("its keys could not be fetched for {} s, which is too long", age.as_secs()),
                None => "its keys could never be fetched".to_owned(),
            };
            found.lacks_keys.then(|| (shown(key, built), why))
        });
        lacking.collect()
    }

    /// Whose certificates are read again when their files change, `listener` or `upstream` with its address or name, and why that has failed
    /// where it has.
    pub(crate) fn renewals(&self) -> impl Iterator<Item = (&'static str, String, Option<String>)> {
        let listeners = self.loaded.config.server.listeners.iter().zip(&self.certificates);
        let listeners = listeners.filter_map(|(listener, kept)| {
            let kept = kept.as_ref()?;
            Some(("listener", listener.address.to_string(), kept.renewal_refused()))
        });
        let upstreams = self.loaded.config.upstreams.iter().filter(|(_, upstream)| upstream.tls.is_some());
        let upstreams = upstreams.filter_map(|(name, _)| {
            let pool = self.pools.get(name)?;
            Some(("upstream", name.clone(), pool.renewal_refused()))
        });
        listeners.chain(upstreams)
    }

    /// The rate limits with the keys that each refused of late.
    pub(crate) fn refused(&self) -> impl Iterator<Item = (&str, Vec<RefusedKey>)> {
        self.limits().map(|(key, built)| (shown(key, built), built.filter.inspect().refused))
    }

    /// Does what would make the first requests slow.
    pub(crate) fn warm_up(&self) {
        self.filters.values().for_each(|built| built.entry.config.options().warm_up());
    }

    /// A request that may change what it names has succeeded: nothing that a filter keeps of it holds any more.
    pub(crate) fn forget(&self, head: &RequestHeader) {
        self.filters.values().for_each(|built| built.filter.forget(head));
    }

    /// The route of this index; without one, what holds for requests that no route takes.
    pub(crate) fn route(&self, index: Option<usize>) -> &Route {
        index.map_or(&self.unmatched, |index| &self.routes[index])
    }

    /// Whether this address may say who its client is.
    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted.iter().any(|network| network.contains(&address))
    }

    /// Does what may be done only once this snapshot is the one in force: gives the upstreams that it took over the endpoints it names.
    pub(crate) fn entered_force(&self) {
        let folder = self.loaded.state_dir();
        for (name, upstream) in &self.loaded.config.upstreams {
            let Some(pool) = self.pools.get(name) else { continue };
            let written = upstream::Found::written(&upstream.endpoints);
            match self.keepers.get(name) {
                Some(keeper) => keeper.serve(pool, written, folder.clone()),
                None => pool.change(&written, Instant::now()),
            }
        }
    }

    /// Another one is in force: what that one does not keep is asked no more, though requests may still hold it.
    pub(crate) fn leaves_force(&self, next: &Self) {
        for (name, keeper) in &self.keepers {
            if !next.keepers.get(name).is_some_and(|kept| Arc::ptr_eq(kept, keeper)) {
                keeper.stop();
            }
        }
    }

    /// Begins on this runtime what no request waits for, unless it runs already: probes, and the sources of endpoints.
    pub(crate) fn run(&self, runtime: &tokio::runtime::Handle) {
        self.pools.values().for_each(|pool| health::watch(pool, runtime));
        self.keepers.values().for_each(|keeper| keeper.start(runtime));
        self.tracing.iter().for_each(|tracing| tracing.start(runtime));
    }

    /// Whether a request has a line in the access log; unknown where that depends on who somebody is and the line is not `named` yet.
    pub(crate) fn logs(&self, line: &Line<'_>, named: bool) -> Option<bool> {
        match &self.logged {
            _ if self.access_log.is_off() => Some(false),
            None => Some(true),
            Some(filter) if filter.reads_names() && !named => None,
            Some(filter) => Some(filter.holds(line)),
        }
    }

    /// The shortest deadline that the workers have to keep.
    pub(crate) fn shortest_wait(&self) -> Duration {
        let pools = self.pools.values().flat_map(|pool| {
            let timeouts = pool.timeouts;
            let first_byte = match timeouts.first_byte {
                model::FirstByte::Fixed(timeout) => timeout.0,
                model::FirstByte::Adaptive(bounds) => bounds.min.0,
            };
            [Some(first_byte), Some(timeouts.connect.0), Some(timeouts.between_bytes.0), timeouts.total.map(|total| total.0)]
        });
        let calls = self.loaded.config.routes.iter().filter_map(|route| route.target.aggregate());
        let calls = calls.flat_map(|aggregate| aggregate.calls()).map(|(_, call)| call.timeout.as_ref().map(|timeout| timeout.value.0));
        let fields = self.loaded.config.routes.iter().filter_map(|route| route.target.graphql());
        let fields = fields.flat_map(|graphql| graphql.calls()).map(|(_, call)| call.timeout.as_ref().map(|timeout| timeout.value.0));
        let routes = self.routes.iter().map(|route| route.timeout).chain(calls).chain(fields);
        let rules = self.rules;
        let clients = [rules.max_age, rules.keepalive, rules.header_timeout, rules.body_timeout, rules.write_timeout].map(Some);
        pools.chain(routes).chain(clients).flatten().min().unwrap_or(Duration::from_secs(15))
    }
}
