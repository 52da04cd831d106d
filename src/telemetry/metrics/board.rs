//! The counters as the dashboard asks for them: numbers of which a page takes the difference, summed over what it does not tell apart.
//!
//! Nothing is counted for it: it is read from what a scrape reads, and costs those who count nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::UNIX_EPOCH;

use prometheus::Histogram;
use prometheus::core::Metric as _;
use prometheus::proto::MetricFamily;
use serde::Serialize;

use super::{DURATION, Metrics, Outcomes};

/// All that a dashboard shows of what is counted.
#[derive(Debug, Serialize)]
pub(crate) struct Board {
    /// The upper bounds of the durations' buckets, in seconds. Above the last there is one more bucket.
    pub bounds: &'static [f64],
    /// All routes together, also those that are left out.
    pub all: RouteBoard,
    /// The routes that had requests, by name.
    pub routes: Vec<RouteBoard>,
    /// How many more of those there are.
    pub routes_left_out: usize,
    /// The upstreams, by name.
    pub upstreams: BTreeMap<String, UpstreamBoard>,
    /// The listeners that clients connect to, by address.
    pub listeners: Vec<ListenerBoard>,
    /// The rate limits and their tiers.
    pub limits: Vec<LimitBoard>,
    /// What was trimmed, by route and profile.
    pub trimmed: Vec<TrimBoard>,
    /// The answers in place of an upstream's.
    pub fallbacks: Vec<FallbackBoard>,
    /// Since when the configuration is in force, in milliseconds since 1970.
    pub config_since_ms: u64,
}

/// What is counted of a route.
#[derive(Debug, Default, Serialize)]
pub(crate) struct RouteBoard {
    /// Its name.
    pub name: String,
    /// Answers from 1xx to 5xx, and those without a status, as to clients that left.
    pub answers: [u64; 6],
    /// gRPC calls that failed by the server's fault.
    pub failed_calls: u64,
    /// How long they took.
    pub durations: Durations,
    /// What of that was the gateway's own, in seconds.
    pub overhead: f64,
}

/// How long something took.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Durations {
    /// How many are in each bucket.
    pub counts: Vec<u64>,
    /// The sum, in seconds.
    pub seconds: f64,
}

/// What is counted of an upstream.
#[derive(Debug, Serialize)]
pub(crate) struct UpstreamBoard {
    /// Attempts, by how they ended.
    pub attempts: BTreeMap<&'static str, u64>,
    /// Answers that were failures.
    pub failed_answers: u64,
    /// Its endpoints, by state.
    pub states: BTreeMap<&'static str, i64>,
    /// How long attempts took.
    pub durations: Durations,
}

/// What is counted of a listener.
#[derive(Debug, Serialize)]
pub(crate) struct ListenerBoard {
    /// Its address, as it is written.
    pub address: String,
    /// Open connections.
    pub connections: i64,
    /// Requests in flight.
    pub requests: i64,
    /// Connections that were turned away.
    pub refused: u64,
}

/// What is counted of a tier of a rate limit.
#[derive(Debug, Serialize)]
pub(crate) struct LimitBoard {
    /// The limit's name.
    pub filter: String,
    /// The tier's.
    pub tier: String,
    /// Requests that passed.
    pub allowed: u64,
    /// Requests that were over it.
    pub refused: u64,
}

/// What is counted of a profile of `trim` on a route.
#[derive(Debug, Serialize)]
pub(crate) struct TrimBoard {
    /// The route's name.
    pub route: String,
    /// The profile's.
    pub profile: String,
    /// Bytes that came.
    pub input: u64,
    /// Bytes that were left.
    pub output: u64,
}

/// What is counted of a kind of fallback.
#[derive(Debug, Serialize)]
pub(crate) struct FallbackBoard {
    /// The circuit breaker's name.
    pub filter: String,
    /// `cached`, `upstream` or `respond`.
    pub kind: String,
    /// How many there were.
    pub count: u64,
}

impl RouteBoard {
    fn add(&mut self, other: &Self) {
        self.answers.iter_mut().zip(other.answers).for_each(|(sum, count)| *sum += count);
        self.failed_calls += other.failed_calls;
        self.durations.counts.resize(other.durations.counts.len(), 0);
        self.durations.counts.iter_mut().zip(&other.durations.counts).for_each(|(sum, count)| *sum += count);
        self.durations.seconds += other.durations.seconds;
        self.overhead += other.overhead;
    }
}

impl Durations {
    /// What a histogram has counted.
    pub(super) fn of(histogram: &Histogram) -> Self {
        let metric = histogram.metric();
        let told = metric.get_histogram();
        let mut below = 0;
        let mut counts: Vec<u64> = told
            .get_bucket()
            .iter()
            .map(|bucket| bucket.cumulative_count().saturating_sub(std::mem::replace(&mut below, bucket.cumulative_count())))
            .collect();
        counts.push(told.get_sample_count().saturating_sub(below));
        Self { counts, seconds: told.get_sample_sum() }
    }
}

impl Metrics {
    /// How the requests on each route that had some ended.
    pub(crate) fn outcomes(&self, each: &mut dyn FnMut(&str, Outcomes)) {
        let mut told_again = BTreeMap::new();
        self.sagas.each(|name, sagas| {
            told_again.insert(name.to_owned(), sagas.told_again());
        });
        self.routes.each(|name, route| {
            if route.requests() > 0 {
                let mut outcomes = route.outcomes();
                // A saga that failed has failed once, however often its client asks.
                outcomes.failed = outcomes.failed.saturating_sub(told_again.get(name).copied().unwrap_or_default());
                each(name, outcomes);
            }
        });
    }

    /// What is counted now; of the routes whose names are wanted no more than these, those with the most requests.
    pub(crate) fn board(&self, wanted: &dyn Fn(&str) -> bool, most: usize) -> Board {
        let mut busy = Vec::new();
        let mut all = RouteBoard::default();
        self.routes.each(|name, route| {
            let requests = route.requests();
            if requests > 0 {
                all.add(&route.board(""));
            }
            if requests > 0 && wanted(name) {
                busy.push((requests, name.to_owned()));
            }
        });
        busy.sort_unstable_by(|a, b| b.cmp(a));
        let routes_left_out = busy.len().saturating_sub(most);
        let shown: BTreeSet<String> = busy.into_iter().take(most).map(|(_, name)| name).collect();
        let mut routes = Vec::new();
        self.routes.each(|name, route| {
            if shown.contains(name) {
                routes.push(route.board(name));
            }
        });
        let mut upstreams = BTreeMap::new();
        self.upstreams.each(|name, upstream| drop(upstreams.insert(name.to_owned(), upstream.board())));
        let mut listeners = Vec::new();
        self.listeners.each(|address, listener| listeners.extend(listener.board(address)));
        let families = self.registry.gather();
        let since = self.reload.lock().active.as_ref().and_then(|(_, since)| since.duration_since(UNIX_EPOCH).ok());
        Board {
            bounds: DURATION,
            all,
            routes,
            routes_left_out,
            upstreams,
            listeners,
            limits: limits(&families),
            trimmed: trimmed(&families, &|route| shown.contains(route)),
            fallbacks: fallbacks(&families),
            config_since_ms: since.unwrap_or_default().as_millis() as u64,
        }
    }
}

/// The counters of a family of filters, by the values of these labels.
fn sums<const LABELS: usize>(families: &[MetricFamily], name: &str, labels: [&str; LABELS]) -> BTreeMap<[String; LABELS], u64> {
    let mut sums = BTreeMap::new();
    for metric in families.iter().filter(|family| family.name() == name).flat_map(|family| family.get_metric()) {
        let value = |label: &str| metric.get_label().iter().find(|pair| pair.name() == label).map(|pair| pair.value().to_owned());
        *sums.entry(labels.map(|label| value(label).unwrap_or_default())).or_default() += metric.get_counter().get_value() as u64;
    }
    sums
}

fn limits(families: &[MetricFamily]) -> Vec<LimitBoard> {
    let mut limits: BTreeMap<(String, String), (u64, u64)> = BTreeMap::new();
    for ([filter, tier, decision], count) in sums(families, "frontgate_rate_limit_decisions_total", ["filter", "tier", "decision"]) {
        let (allowed, refused) = limits.entry((filter, tier)).or_default();
        *(if matches!(&*decision, "allowed" | "exempt") { allowed } else { refused }) += count;
    }
    limits.into_iter().map(|((filter, tier), (allowed, refused))| LimitBoard { filter, tier, allowed, refused }).collect()
}

fn trimmed(families: &[MetricFamily], shown: &dyn Fn(&str) -> bool) -> Vec<TrimBoard> {
    let mut outputs = sums(families, "frontgate_trim_output_bytes_total", ["route", "profile"]);
    let inputs = sums(families, "frontgate_trim_input_bytes_total", ["route", "profile"]).into_iter();
    inputs
        .filter(|([route, _], input)| *input > 0 && shown(route))
        .map(|(labels, input)| {
            let output = outputs.remove(&labels).unwrap_or_default();
            let [route, profile] = labels;
            TrimBoard { route, profile, input, output }
        })
        .collect()
}

fn fallbacks(families: &[MetricFamily]) -> Vec<FallbackBoard> {
    let all = sums(families, "frontgate_fallback_total", ["filter", "kind"]).into_iter();
    all.map(|([filter, kind], count)| FallbackBoard { filter, kind, count }).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use frontgate_filters::grpc::Status;
    use http::Method;

    use super::super::{Attempt, EndpointState};
    use super::*;

    #[test]
    fn what_was_counted_is_told_in_sums() {
        let metrics = Metrics::new();
        let millis = Duration::from_millis;
        for (status, took) in [(200, 3), (201, 30), (404, 3), (503, 20_000), (0, 1)] {
            metrics.route("a").record(&Method::GET, status, millis(took), millis(1));
        }
        for status in [Status::OK, Status::UNAVAILABLE, Status::PERMISSION_DENIED] {
            metrics.route("a").called(Some(status));
        }
        metrics.route("quiet");
        metrics.upstream("u").attempt(Attempt::Timeout);
        metrics.upstream("u").failed_answer();
        metrics.upstream("u").endpoints(EndpointState::Drained, 2);
        let labels = &["filter", "tier", "decision"];
        let decisions = metrics.filters.counters("rate_limit_decisions_total", "Decisions.", labels);
        for (decision, count) in [("allowed", 7), ("exempt", 1), ("limited", 2), ("crowded", 1), ("rejected", 1), ("concurrency", 1)] {
            decisions.with_label_values(&["l", "_none", decision]).inc_by(count);
        }

        let board = metrics.board(&|_| true, 10);

        assert_eq!((board.routes.len(), board.routes_left_out), (1, 0));
        let route = &board.routes[0];
        assert_eq!((&*route.name, route.answers, route.failed_calls), ("a", [0, 2, 0, 1, 1, 1], 1));
        assert_eq!(route.durations.counts.len(), board.bounds.len() + 1);
        let place = |seconds: f64| board.bounds.iter().position(|bound| *bound >= seconds).unwrap_or(board.bounds.len());
        let counts = [0.001, 0.003, 0.03, 20.0].map(|seconds| route.durations.counts[place(seconds)]);
        assert_eq!((counts, route.durations.counts.iter().sum::<u64>()), ([1, 2, 1, 1], 5));
        let upstream = &board.upstreams["u"];
        assert_eq!((upstream.attempts["timeout"], upstream.failed_answers, upstream.states["drained"]), (1, 1, 2));
        assert_eq!((board.limits[0].allowed, board.limits[0].refused), (8, 5));
    }

    #[test]
    fn of_too_many_routes_the_busiest_are_told_and_any_can_be_asked_for() {
        let metrics = Metrics::new();
        for (name, requests) in [("a", 1), ("b", 3), ("c", 2)] {
            (0..requests).for_each(|_| metrics.route(name).record(&Method::GET, 200, Duration::ZERO, Duration::ZERO));
        }

        let names = |board: Board| (board.routes.iter().map(|route| route.name.clone()).collect::<Vec<_>>(), board.routes_left_out);

        assert_eq!(metrics.board(&|_| true, 2).all.answers[1], 6);
        assert_eq!(names(metrics.board(&|_| true, 2)), (vec!["b".to_owned(), "c".to_owned()], 1));
        assert_eq!(names(metrics.board(&|name| name.contains('a'), 2)), (vec!["a".to_owned()], 0));
    }
}
