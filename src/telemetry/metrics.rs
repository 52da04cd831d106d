//! The gateway's counters, and the handles through which a request reaches them.
//!
//! A handle is resolved when the configuration is compiled. Recording then looks up no string, takes no lock and allocates
//! nothing, except for the first answer of a method and status on a route.

mod listener;
mod route;
mod upstream;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use frontgate_filters::count::metrics::{Families, NONE};
use parking_lot::Mutex;
use prometheus::{Histogram, HistogramOpts, IntCounter, Registry};

use super::process;
use super::scrape::Scrape;

pub use listener::{Gauge, ListenerMetrics};
pub use route::RouteMetrics;
pub use upstream::{Attempt, EndpointState, UpstreamMetrics};

/// The route's name in metrics and logs for a request that no route matches.
pub const UNMATCHED: &str = NONE;

/// All metrics of one gateway; another gateway in the same process has its own.
pub struct Metrics {
    routes: Handles<RouteMetrics>,
    upstreams: Handles<UpstreamMetrics>,
    listeners: Handles<ListenerMetrics>,
    reload: Mutex<Reload>,
    log_dropped: IntCounter,
    /// The families that filters count in.
    pub filters: Families,
    registry: Registry,
}

impl Metrics {
    /// Metrics that have counted nothing yet.
    pub fn new() -> Arc<Self> {
        let log_dropped = IntCounter::new("frontgate_log_dropped_total", "Lines of the access log that were lost.")
            .expect("the name is one that Prometheus takes");
        let registry = Registry::new();
        registry.register(Box::new(log_dropped.clone())).expect("the registry is empty");
        Arc::new(Self {
            routes: Handles::default(),
            upstreams: Handles::default(),
            listeners: Handles::default(),
            reload: Mutex::default(),
            log_dropped,
            filters: Families::new(&registry),
            registry,
        })
    }

    /// The handle of a route: always the same for a name, so that counts survive a reload.
    pub fn route(&self, name: &str) -> Arc<RouteMetrics> {
        self.routes.get(name, RouteMetrics::new)
    }

    /// The handle of an upstream: always the same for a name.
    pub fn upstream(&self, name: &str) -> Arc<UpstreamMetrics> {
        self.upstreams.get(name, UpstreamMetrics::new)
    }

    /// The handle of a listener: always the same for an address.
    pub fn listener(&self, address: &str) -> Arc<ListenerMetrics> {
        self.listeners.get(address, ListenerMetrics::default)
    }

    /// A configuration was taken over at `now`; `hash` names it.
    pub fn reloaded(&self, hash: &str, now: SystemTime) {
        *self.reload.lock() = Reload { succeeded: true, active: Some((hash.to_owned(), now)) };
    }

    /// A configuration was refused, and the one before it stays.
    pub fn reload_failed(&self) {
        self.reload.lock().succeeded = false;
    }

    /// Drops the series of routes and upstreams that are not kept; [`UNMATCHED`] always is.
    ///
    /// What still runs with a dropped handle counts where nobody reads it. To be called once a new configuration serves, and
    /// with the old one's names when handles were made for a configuration that was then refused.
    pub fn retire(&self, routes_kept: &dyn Fn(&str) -> bool, upstreams_kept: &dyn Fn(&str) -> bool) {
        self.routes.0.lock().retain(|name, _| name == UNMATCHED || routes_kept(name));
        self.upstreams.0.lock().retain(|name, _| upstreams_kept(name));
    }

    /// The counter of lines that the access log lost.
    pub fn log_dropped(&self) -> IntCounter {
        self.log_dropped.clone()
    }

    /// Where other parts, such as filters, register metrics of their own. They bring the whole name, `frontgate_` included.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The page for Prometheus, in the text format 0.0.4.
    pub fn render(&self) -> String {
        self.render_with(&BTreeMap::new())
    }

    /// The same with the ages of key sets, by the filters that use them.
    pub fn render_with(&self, key_ages: &BTreeMap<&str, Duration>) -> String {
        let mut scrape = Scrape::default();
        for (filter, age) in key_ages {
            let help = "The time since the keys of a filter were last known to be the issuer's.";
            scrape.gauge("frontgate_jwks_age_seconds", help, &[("filter", filter)], age.as_secs_f64());
        }
        scrape.families(self.registry.gather());
        self.routes.0.lock().iter().for_each(|(name, route)| route.scrape(name, &mut scrape));
        self.upstreams.0.lock().iter().for_each(|(name, upstream)| upstream.scrape(name, &mut scrape));
        self.listeners.0.lock().iter().for_each(|(address, listener)| listener.scrape(address, &mut scrape));
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

/// Handles by name, in the order in which a page lists them.
struct Handles<T>(Mutex<BTreeMap<String, Arc<T>>>);

impl<T> Default for Handles<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Handles<T> {
    fn get(&self, name: &str, new: impl FnOnce() -> T) -> Arc<T> {
        Arc::clone(self.0.lock().entry(name.to_owned()).or_insert_with(|| Arc::new(new())))
    }
}

#[derive(Default)]
struct Reload {
    succeeded: bool,
    /// The hash of the configuration that serves, and since when it does.
    active: Option<(String, SystemTime)>,
}

impl Reload {
    fn scrape(&self, scrape: &mut Scrape) {
        let help = "Whether the last configuration that was read was taken over.";
        scrape.gauge("frontgate_config_last_reload_successful", help, &[], f64::from(self.succeeded));
        let since = self.active.as_ref().and_then(|(_, since)| since.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        let help = "When a configuration was last taken over, since unix epoch in seconds.";
        scrape.gauge("frontgate_config_last_reload_success_timestamp_seconds", help, &[], since.as_secs_f64());
        if let Some((hash, _)) = &self.active {
            scrape.gauge("frontgate_config_info", "The configuration that serves.", &[("hash", hash)], 1.0);
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

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[track_caller]
    fn assert_has(page: &str, lines: &[&str]) {
        for line in lines {
            assert!(page.lines().any(|have| have == *line), "no line {line} in\n{page}");
        }
    }

    #[test]
    fn the_page_has_every_metric_with_its_labels() {
        let metrics = Metrics::new();
        metrics.route("users").record(&Method::GET, 200, millis(30), Duration::from_micros(20));
        metrics.route(UNMATCHED).record(&Method::POST, 404, millis(1), millis(1));
        let upstream = metrics.upstream("users-pool");
        upstream.attempt(Attempt::ConnectFailure);
        upstream.observe(millis(29));
        upstream.endpoints(EndpointState::Ejected, 2);
        let listener = metrics.listener("0.0.0.0:8080");
        let _connection = listener.connection();
        let _request = listener.request();
        metrics.reloaded("abc123", UNIX_EPOCH + millis(1_500));
        metrics.log_dropped().inc_by(3);

        let page = metrics.render();

        assert_has(
            &page,
            &[
                "# TYPE frontgate_requests_total counter",
                r#"frontgate_requests_total{route="_none",method="POST",code="404"} 1"#,
                r#"frontgate_requests_total{route="users",method="GET",code="200"} 1"#,
                "# TYPE frontgate_request_duration_seconds histogram",
                r#"frontgate_request_duration_seconds_bucket{route="users",le="0.025"} 0"#,
                r#"frontgate_request_duration_seconds_bucket{route="users",le="0.05"} 1"#,
                r#"frontgate_request_duration_seconds_bucket{route="users",le="10"} 1"#,
                r#"frontgate_request_duration_seconds_sum{route="users"} 0.03"#,
                r#"frontgate_request_duration_seconds_count{route="users"} 1"#,
                "# TYPE frontgate_overhead_seconds histogram",
                r#"frontgate_overhead_seconds_bucket{route="users",le="0.00001"} 0"#,
                r#"frontgate_overhead_seconds_bucket{route="users",le="0.000025"} 1"#,
                "# TYPE frontgate_upstream_duration_seconds histogram",
                r#"frontgate_upstream_duration_seconds_count{upstream="users-pool"} 1"#,
                "# TYPE frontgate_upstream_attempts_total counter",
                r#"frontgate_upstream_attempts_total{upstream="users-pool",result="ok"} 0"#,
                r#"frontgate_upstream_attempts_total{upstream="users-pool",result="connect_failure"} 1"#,
                "# TYPE frontgate_upstream_endpoints gauge",
                r#"frontgate_upstream_endpoints{upstream="users-pool",state="ejected"} 2"#,
                r#"frontgate_upstream_endpoints{upstream="users-pool",state="healthy"} 0"#,
                "# TYPE frontgate_connections gauge",
                r#"frontgate_connections{listener="0.0.0.0:8080"} 1"#,
                "# TYPE frontgate_inflight_requests gauge",
                r#"frontgate_inflight_requests{listener="0.0.0.0:8080"} 1"#,
                "frontgate_config_last_reload_successful 1",
                "frontgate_config_last_reload_success_timestamp_seconds 1.5",
                r#"frontgate_config_info{hash="abc123"} 1"#,
                "frontgate_log_dropped_total 3",
                concat!("frontgate_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
            ],
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_page_tells_about_the_process() {
        let page = Metrics::new().render();

        let value = |name: &str| -> f64 {
            let line = page.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in\n{page}"));
            line.rsplit_once(' ').unwrap().1.parse().unwrap()
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        assert!(value("process_cpu_seconds_total") >= 0.0);
        assert!(value("process_resident_memory_bytes") > 500_000.0);
        assert!(value("process_open_fds") >= 3.0);
        assert!(value("process_max_fds") >= value("process_open_fds"));
        assert!(value("process_threads") >= 1.0);
        assert!((now - 3_600.0..now + 5.0).contains(&value("process_start_time_seconds")));
    }

    #[test]
    fn counts_survive_a_second_resolution_of_the_name() {
        let metrics = Metrics::new();
        let before = metrics.route("users");
        before.record(&Method::GET, 200, millis(1), millis(1));

        let after = metrics.route("users");
        after.record(&Method::GET, 200, millis(1), millis(1));

        assert!(Arc::ptr_eq(&before, &after));
        assert_has(&metrics.render(), &[r#"frontgate_requests_total{route="users",method="GET",code="200"} 2"#]);
    }

    #[test]
    fn a_retired_route_stays_away_even_when_a_late_request_ends() {
        let metrics = Metrics::new();
        let (gone, kept) = (metrics.route("gone"), metrics.route("kept"));
        metrics.route(UNMATCHED).record(&Method::GET, 404, millis(1), millis(1));
        metrics.upstream("gone").attempt(Attempt::Ok);
        kept.record(&Method::GET, 200, millis(1), millis(1));

        metrics.retire(&|name| name == "kept", &|_| false);
        gone.record(&Method::DELETE, 500, millis(1), millis(1));

        let page = metrics.render();
        assert!(!page.contains("gone"), "{page}");
        assert!(page.contains("kept") && page.contains(UNMATCHED), "{page}");
    }

    #[test]
    fn a_refused_reload_leaves_the_last_good_one_on_the_page() {
        let metrics = Metrics::new();
        metrics.reloaded("abc", UNIX_EPOCH + millis(7_000));

        metrics.reload_failed();

        let page = metrics.render();
        assert_has(&page, &["frontgate_config_last_reload_successful 0", r#"frontgate_config_info{hash="abc"} 1"#]);
        assert_has(&page, &["frontgate_config_last_reload_success_timestamp_seconds 7"]);
    }

    #[test]
    fn other_parts_register_metrics_of_their_own() {
        let metrics = Metrics::new();
        let own = IntCounter::new("frontgate_parts_total", "Fallbacks.").unwrap();
        metrics.registry().register(Box::new(own.clone())).unwrap();

        own.inc();

        assert_has(&metrics.render(), &["frontgate_parts_total 1"]);
    }

    #[test]
    fn names_are_escaped_as_label_values() {
        let metrics = Metrics::new();
        metrics.listener("a\"b\\c");

        assert_has(&metrics.render(), &[r#"frontgate_connections{listener="a\"b\\c"} 0"#]);
    }
}
