//! The gateway's counters, and the handles through which a request reaches them.
//!
//! A handle is resolved when the configuration is compiled. Recording then looks up no string, takes no lock and allocates
//! nothing, except for the first answer of a method and status on a route.

mod answers;
mod board;
mod calls;
mod discovery;
mod graphql;
mod handshakes;
mod listener;
mod mirror;
mod overload;
mod process;
mod route;
mod sagas;
mod scrape;
mod spans;
#[cfg(test)]
mod tests;
mod upstream;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use frontgate_filters::count::metrics::Families;
use parking_lot::Mutex;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntGauge, Registry};

use self::answers::{Counted, Room, Series};
use self::scrape::Scrape;
use crate::compose::Budget;
use crate::router::UNMATCHED;
use crate::status::{SagaCount, SagaState};

#[cfg(test)]
pub(crate) use answers::{OF_ALL, OF_ONE};
pub(crate) use board::Board;
pub(crate) use calls::{CallMetrics, CallResult, ComposedMetrics};
pub(crate) use discovery::{DiscoveryMetrics, DiscoveryResult};
pub(crate) use graphql::{GraphqlMetrics, GraphqlOperation, GraphqlRefusal};
pub(crate) use handshakes::{FAMILY as HANDSHAKES, NoHandshake};
pub(crate) use listener::{Gauge, ListenerMetrics, TurnedAway};
pub(crate) use mirror::{Compared, MirrorMetrics, Place, Skipped};
pub(crate) use overload::OverloadMetrics;
pub(crate) use route::{Outcomes, RouteMetrics, VariantMetrics, VersionCounts};
pub(crate) use sagas::SagaMetrics;
pub(crate) use spans::{SpanLoss, SpanMetrics};
pub(crate) use upstream::{Attempt, EndpointState, UpstreamMetrics};

/// All metrics of one gateway; another gateway in the same process has its own.
pub(crate) struct Metrics {
    routes: Handles<RouteMetrics>,
    variants: Handles<VariantMetrics>,
    /// The series of their answers.
    series: Arc<Series>,
    upstreams: Handles<UpstreamMetrics>,
    discoveries: Handles<DiscoveryMetrics>,
    listeners: Handles<ListenerMetrics>,
    graphs: Handles<GraphqlMetrics>,
    sagas: Handles<SagaMetrics>,
    /// What the syncs of the sagas' journal take; only where there is one.
    saga_commits: OnceLock<Histogram>,
    /// How many of them cannot be read; only where there is a journal.
    saga_unreadable: OnceLock<IntGauge>,
    reload: Mutex<Reload>,
    log_dropped: IntCounter,
    /// What runs short.
    pub overload: OverloadMetrics,
    /// The memory of bodies that compositions hold.
    budget: OnceLock<Arc<Budget>>,
    /// Only where spans were ever made.
    spans: OnceLock<Arc<SpanMetrics>>,
    /// The families that filters count in.
    pub filters: Families,
    /// Where other parts, such as filters, register metrics of their own. They bring the whole name, `frontgate_` included.
    registry: Registry,
}

impl Metrics {
    /// Metrics that have counted nothing yet.
    pub(crate) fn new() -> Arc<Self> {
        let log_dropped = IntCounter::new("frontgate_log_dropped_total", "Access log lines that were dropped.")
            .expect("the name is one that Prometheus takes");
        let registry = Registry::new();
        registry.register(Box::new(log_dropped.clone())).expect("the registry is empty");
        Arc::new(Self {
            routes: Handles::default(),
            variants: Handles::default(),
            series: Arc::default(),
            upstreams: Handles::default(),
            discoveries: Handles::default(),
            listeners: Handles::default(),
            graphs: Handles::default(),
            sagas: Handles::default(),
            saga_commits: OnceLock::new(),
            saga_unreadable: OnceLock::new(),
            reload: Mutex::default(),
            log_dropped,
            overload: OverloadMetrics::default(),
            budget: OnceLock::new(),
            spans: OnceLock::new(),
            filters: Families::new(&registry),
            registry,
        })
    }

    /// The handle of a route: always the same for a name, so that counts survive a reload, and a route's removal until it is back.
    pub(crate) fn route(&self, name: &str) -> Arc<RouteMetrics> {
        self.routes.get(name, || RouteMetrics::new(Room::new(&self.series, Counted::Requests)))
    }

    /// The handle of a version that a route's canary chooses: always the same for both names.
    pub(crate) fn variant(&self, route: &str, version: &str) -> Arc<VariantMetrics> {
        self.variants.get(&format!("{route}/{version}"), || VariantMetrics::new(Room::new(&self.series, Counted::Versions)))
    }

    /// What was counted of a version on a route; nothing of one that is unknown.
    pub(crate) fn version(&self, route: &str, version: &str) -> VersionCounts {
        self.variants.find(&format!("{route}/{version}")).map(|variant| variant.counts()).unwrap_or_default()
    }

    /// The handle of an upstream: always the same for a name.
    pub(crate) fn upstream(&self, name: &str) -> Arc<UpstreamMetrics> {
        self.upstreams.get(name, UpstreamMetrics::new)
    }

    /// The handle of the sources of an upstream's endpoints: always the same for a name.
    pub(crate) fn discovery(&self, upstream: &str) -> Arc<DiscoveryMetrics> {
        self.discoveries.get(upstream, DiscoveryMetrics::default)
    }

    /// The handle of a listener: always the same for an address.
    pub(crate) fn listener(&self, address: &str) -> Arc<ListenerMetrics> {
        self.listeners.get(address, ListenerMetrics::default)
    }

    /// The same for an address that operators, probes and scrapes connect to.
    pub(crate) fn operators_listener(&self, address: &str) -> Arc<ListenerMetrics> {
        self.listeners.get(address, ListenerMetrics::of_operators)
    }

    /// The handle of a route's graph: always the same for a name.
    #[cfg_attr(not(feature = "graphql"), allow(dead_code, reason = "there are no graphs"))]
    pub(crate) fn graph(&self, route: &str) -> Arc<GraphqlMetrics> {
        self.graphs.get(route, GraphqlMetrics::default)
    }

    /// The handle of a route's sagas: always the same for a name.
    #[cfg_attr(not(feature = "saga"), allow(dead_code, reason = "there are no sagas"))]
    pub(crate) fn sagas(&self, route: &str) -> Arc<SagaMetrics> {
        self.sagas.get(route, SagaMetrics::default)
    }

    /// How many sagas are open, by route and state, where there are any.
    #[cfg_attr(not(feature = "saga"), allow(dead_code, reason = "there are no sagas"))]
    pub(crate) fn open_sagas(&self) -> Vec<SagaCount> {
        let mut open = Vec::new();
        self.sagas.each(|route, sagas| {
            let counts = SagaState::OPEN.map(|state| SagaCount { route: route.to_owned(), state, count: sagas.open(state) });
            open.extend(counts.into_iter().filter(|told| told.count > 0));
        });
        open
    }

    /// What the syncs of the sagas' journal take, in seconds.
    #[cfg_attr(not(feature = "saga"), allow(dead_code, reason = "there are no sagas"))]
    pub(crate) fn saga_commits(&self) -> Histogram {
        self.saga_commits.get_or_init(|| histogram(sagas::COMMITS)).clone()
    }

    /// How many sagas cannot be read.
    #[cfg_attr(not(feature = "saga"), allow(dead_code, reason = "there are no sagas"))]
    pub(crate) fn saga_unreadable(&self) -> &IntGauge {
        self.saga_unreadable.get_or_init(sagas::unreadable)
    }

    /// How many connections of clients were turned away for want of room.
    pub(crate) fn turned_away(&self) -> crate::overload::TurnedAway<u64> {
        let mut all = crate::overload::TurnedAway::default();
        self.listeners.each(|_, listener| listener.add_turned_away(&mut all));
        all
    }

    /// A configuration came into force at `now`; `hash` names it.
    pub(crate) fn reloaded(&self, hash: &str, now: SystemTime) {
        *self.reload.lock() = Reload { succeeded: true, active: Some((hash.to_owned(), now)) };
    }

    /// A configuration was refused, and the one before it stays.
    pub(crate) fn reload_failed(&self) {
        self.reload.lock().succeeded = false;
    }

    /// Takes the series of routes and upstreams off the page that are not kept; [`UNMATCHED`] always is. Those of versions, graphs and sagas go
    /// once nobody holds their handle, be it a route or a saga that is open.
    ///
    /// What still runs counts on where nobody reads it, until there is one of its name again. To be called once a new configuration serves, and
    /// with the old one's names when handles were made for a configuration that was then refused.
    pub(crate) fn retire(&self, routes_kept: &dyn Fn(&str) -> bool, upstreams_kept: &dyn Fn(&str) -> bool) {
        self.routes.retire(|name| name == UNMATCHED || routes_kept(name));
        self.variants.retire_unheld();
        self.graphs.retire_unheld();
        self.sagas.retire_unheld();
        self.upstreams.retire(upstreams_kept);
    }

    /// The same for the sources of upstreams' endpoints.
    pub(crate) fn retire_discoveries(&self, kept: &dyn Fn(&str) -> bool) {
        self.discoveries.retire(kept);
    }

    /// The same for listeners; the addresses of operators stay.
    pub(crate) fn retire_listeners(&self, kept: &dyn Fn(&str) -> bool) {
        let operators = self.listeners.named(ListenerMetrics::is_of_operators);
        self.listeners.retire(|address| operators.contains(address) || kept(address));
    }

    /// The counter of lines that the access log lost.
    pub(crate) fn log_dropped(&self) -> IntCounter {
        self.log_dropped.clone()
    }

    /// The memory of bodies that compositions hold, always the same.
    pub(crate) fn budget(&self) -> Arc<Budget> {
        self.budget.get_or_init(Budget::of_process).clone()
    }

    /// The counters of spans.
    #[cfg_attr(not(feature = "otel"), allow(dead_code, reason = "nobody makes spans"))]
    pub(crate) fn spans(&self) -> Arc<SpanMetrics> {
        self.spans.get_or_init(Arc::default).clone()
    }

    /// The page for Prometheus, in the text format 0.0.4, with the ages of key sets by the filters that use them, the ends of certificates by
    /// their files, and whether reading those again has failed, by the label and the name of whose they are.
    pub(crate) fn render(
        &self,
        key_ages: &BTreeMap<&str, Duration>,
        ends: &BTreeMap<String, i64>,
        renewals: &[(&'static str, String, bool)],
    ) -> String {
        let mut scrape = Scrape::default();
        for (filter, age) in key_ages {
            let help = "Time since the key set of a filter was last fetched successfully.";
            scrape.gauge("frontgate_jwks_age_seconds", help, &[("filter", filter)], age.as_secs_f64());
        }
        for (file, end) in ends {
            let help = "When a certificate that clients or upstreams are shown ends, in seconds since 1970.";
            scrape.gauge("frontgate_tls_cert_not_after_seconds", help, &[("certificate", file)], *end as f64);
        }
        for (label, name, failed) in renewals {
            let help = "Whether changed files of certificates were refused (1), so that the former certificates stay in use.";
            scrape.gauge("frontgate_tls_renewal_failed", help, &[(*label, name)], f64::from(*failed));
        }
        scrape.families(self.registry.gather());
        self.routes.each(|name, route| route.scrape(name, &mut scrape));
        self.variants.each(|name, variant| variant.scrape(name, &mut scrape));
        self.series.scrape(&mut scrape);
        self.upstreams.each(|name, upstream| upstream.scrape(name, &mut scrape));
        self.discoveries.each(|upstream, discovery| discovery.scrape(upstream, &mut scrape));
        self.listeners.each(|address, listener| listener.scrape(address, &mut scrape));
        self.overload.scrape(&mut scrape);
        self.graphs.each(|route, graph| graph.scrape(route, &mut scrape));
        self.sagas.each(|route, sagas| sagas.scrape(route, &mut scrape));
        if let Some(commits) = self.saga_commits.get() {
            let help = "Time to write and sync what sagas have to remember, for all that waited together.";
            scrape.histogram("frontgate_saga_commit_seconds", help, &[], commits);
        }
        if let Some(unreadable) = self.saga_unreadable.get() {
            scrape.gauge("frontgate_saga_unreadable", sagas::UNREADABLE, &[], unreadable.get() as f64);
        }
        if let Some(budget) = self.budget.get() {
            let (most, held) = budget.told();
            let help = "Memory of the bodies that answers are put together from, in bytes.";
            scrape.gauge("frontgate_call_memory_bytes", help, &[], held as f64);
            let help = "The most memory that the bodies may have that answers are put together from, in bytes.";
            scrape.gauge("frontgate_call_memory_max_bytes", help, &[], most as f64);
        }
        if let Some(spans) = self.spans.get() {
            spans.scrape(&mut scrape);
        }
        self.reload.lock().scrape(&mut scrape);
        let help = "The version of the gateway.";
        scrape.gauge("frontgate_build_info", help, &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
        process::scrape(&mut scrape);
        scrape.page()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// How many handles are remembered that are on no page.
const REMEMBERED: usize = 1024;

/// Handles by name.
struct Handles<T>(Mutex<Known<T>>);

struct Known<T> {
    /// In the order in which a page lists them.
    shown: BTreeMap<String, Arc<T>>,
    /// Those of what is gone, the longest gone first.
    gone: VecDeque<(String, Arc<T>)>,
}

impl<T> Default for Handles<T> {
    fn default() -> Self {
        Self(Mutex::new(Known { shown: BTreeMap::new(), gone: VecDeque::new() }))
    }
}

impl<T> Handles<T> {
    fn get(&self, name: &str, new: impl FnOnce() -> T) -> Arc<T> {
        let mut known = self.0.lock();
        if let Some(handle) = known.shown.get(name) {
            return handle.clone();
        }
        let back = known.gone.iter().position(|(gone, _)| gone == name).and_then(|index| known.gone.remove(index));
        let handle = back.map_or_else(|| Arc::new(new()), |(_, handle)| handle);
        known.shown.insert(name.to_owned(), handle.clone());
        handle
    }

    /// The one of this name, where there is one.
    fn find(&self, name: &str) -> Option<Arc<T>> {
        self.0.lock().shown.get(name).cloned()
    }

    fn retire(&self, kept: impl Fn(&str) -> bool) {
        let mut known = self.0.lock();
        let (shown, gone): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut known.shown).into_iter().partition(|(name, _)| kept(name));
        known.shown = shown;
        known.gone.extend(gone);
        let forgotten = known.gone.len().saturating_sub(REMEMBERED);
        known.gone.drain(..forgotten);
    }

    /// Retires those that nobody counts with any longer.
    fn retire_unheld(&self) {
        let held: BTreeSet<String> =
            self.0.lock().shown.iter().filter(|(_, handle)| Arc::strong_count(handle) > 1).map(|(name, _)| name.clone()).collect();
        self.retire(|name| held.contains(name));
    }

    /// The names of those of which this is true.
    fn named(&self, is: impl Fn(&T) -> bool) -> BTreeSet<String> {
        self.0.lock().shown.iter().filter(|(_, handle)| is(handle)).map(|(name, _)| name.clone()).collect()
    }

    fn each(&self, mut each: impl FnMut(&str, &T)) {
        self.0.lock().shown.iter().for_each(|(name, handle)| each(name, handle));
    }
}

#[derive(Default)]
struct Reload {
    succeeded: bool,
    /// The hash of the configuration in force, and since when it is.
    active: Option<(String, SystemTime)>,
}

impl Reload {
    fn scrape(&self, scrape: &mut Scrape) {
        let help = "Whether the last reload succeeded (1) or was refused (0).";
        scrape.gauge("frontgate_config_last_reload_successful", help, &[], f64::from(self.succeeded));
        let since = self.active.as_ref().and_then(|(_, since)| since.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        let help = "Unix time of the last successful reload, in seconds.";
        scrape.gauge("frontgate_config_last_reload_success_timestamp_seconds", help, &[], since.as_secs_f64());
        if let Some((hash, _)) = &self.active {
            scrape.gauge("frontgate_config_info", "The hash of the configuration in force.", &[("hash", hash)], 1.0);
        }
    }
}

/// Bounds for what a client or an upstream takes, in seconds.
const DURATION: &[f64] = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
/// Bounds for what the gateway itself takes, in seconds.
const OVERHEAD: &[f64] = &[0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1];

/// A histogram without a name, which only a scrape gives it.
fn histogram(bounds: &[f64]) -> Histogram {
    let options = HistogramOpts::new("unnamed", "Named when scraped.").buckets(bounds.to_vec());
    Histogram::with_opts(options).expect("the bounds ascend")
}
