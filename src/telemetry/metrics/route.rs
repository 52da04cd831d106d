//! What is counted for each route: answers by method and status, and how long they took.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use frontgate_filters::grpc::Status;
use http::Method;
use prometheus::Histogram;

use super::answers::{Answers, METHODS, OTHER, Room, method_index};
use super::board::{Durations, RouteBoard};
use super::calls::{CallMetrics, ComposedMetrics};
use super::mirror::MirrorMetrics;
use super::scrape::Scrape;
use super::{DURATION, OVERHEAD, histogram};
use crate::router::UNMATCHED;

/// How requests on a route ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcomes {
    /// All of them.
    pub requests: u64,
    /// Those answered with a status of 500 or above, and gRPC calls that failed by the server's fault.
    pub failed: u64,
    /// Those whose answer lacks the part of a call, or has something in its place.
    pub incomplete: u64,
}

/// A route's counters.
pub(crate) struct RouteMetrics {
    answers: [Answers; METHODS.len()],
    room: Room,
    duration: Histogram,
    overhead: Histogram,
    /// gRPC calls by their status; there once the route has one.
    calls: OnceLock<Box<Calls>>,
    /// There once the route has a mirror.
    mirror: OnceLock<Arc<MirrorMetrics>>,
    /// There once the route's requests are answered from calls.
    composed: OnceLock<Arc<ComposedMetrics>>,
}

/// Calls by the number of their status, then those of other numbers, then those that brought none.
type Calls = [AtomicU64; Status::NAMED + 2];

/// The statuses of calls that failed by the server's fault, as OpenTelemetry has them: UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL,
/// UNAVAILABLE, DATA_LOSS.
const FAILURES: [u16; 6] = [2, 4, 12, 13, 14, 15];

impl RouteMetrics {
    /// Counters whose answers take their series from this room.
    pub(super) fn new(room: Room) -> Self {
        Self {
            answers: Default::default(),
            room,
            duration: histogram(DURATION),
            overhead: histogram(OVERHEAD),
            calls: OnceLock::new(),
            mirror: OnceLock::new(),
            composed: OnceLock::new(),
        }
    }

    /// What is counted of its mirror: always the same, so that counts survive a reload.
    pub(crate) fn mirror(&self) -> Arc<MirrorMetrics> {
        self.mirror.get_or_init(Arc::default).clone()
    }

    /// What is counted of the calls that its requests are answered from, and the counters of those of these names.
    pub(crate) fn composed(&self, names: &[Arc<str>]) -> (Arc<ComposedMetrics>, Vec<Arc<CallMetrics>>) {
        let composed = self.composed.get_or_init(Arc::default);
        (composed.clone(), names.iter().map(|name| composed.call(name, self.room.series())).collect())
    }

    /// Counts a request that was answered with `status` after `duration`, of which `overhead` was the gateway's own.
    ///
    /// A method outside RFC 9110 and PATCH counts as `_OTHER`, and so does a status outside 100 to 599, or one for which there is no room.
    pub(crate) fn record(&self, method: &Method, status: u16, duration: Duration, overhead: Duration) {
        self.answers[method_index(method)].count(status, &self.room);
        self.duration.observe(duration.as_secs_f64());
        self.overhead.observe(overhead.as_secs_f64());
    }

    /// Counts a gRPC call of whose status the client was told, where there was one.
    ///
    /// A number without a name counts as `_OTHER`, and none at all as `_none`.
    pub(crate) fn called(&self, status: Option<Status>) {
        let index = status.map_or(Status::NAMED + 1, |status| usize::from(status.number()).min(Status::NAMED));
        self.calls.get_or_init(|| Box::new([const { AtomicU64::new(0) }; Status::NAMED + 2]))[index].fetch_add(1, Ordering::Relaxed);
    }

    /// How many requests there were.
    pub(super) fn requests(&self) -> u64 {
        self.duration.get_sample_count()
    }

    /// How they ended.
    pub(super) fn outcomes(&self) -> Outcomes {
        let answers = self.answers_by_class();
        Outcomes {
            requests: answers.iter().sum(),
            failed: answers[4] + self.failed_calls(),
            incomplete: self.composed.get().map_or(0, |composed| composed.lacked()),
        }
    }

    fn answers_by_class(&self) -> [u64; 6] {
        let mut answers = [0; 6];
        for method in &self.answers {
            answers.iter_mut().zip(method.by_class()).for_each(|(sum, count)| *sum += count);
        }
        answers
    }

    fn failed_calls(&self) -> u64 {
        let count = |calls: &Calls, status: u16| calls[usize::from(status)].load(Ordering::Relaxed);
        self.calls.get().map_or(0, |calls| FAILURES.iter().map(|status| count(calls, *status)).sum())
    }

    /// For the dashboard.
    pub(super) fn board(&self, name: &str) -> RouteBoard {
        let (answers, failed_calls) = (self.answers_by_class(), self.failed_calls());
        let durations = Durations::of(&self.duration);
        RouteBoard { name: name.to_owned(), answers, failed_calls, durations, overhead: self.overhead.get_sample_sum() }
    }

    /// Nothing where there was no request: of hundreds of routes most are quiet, and each is forty series.
    pub(super) fn scrape(&self, route: &str, scrape: &mut Scrape) {
        if let Some(composed) = self.composed.get() {
            composed.scrape(route, scrape);
        }
        if self.requests() == 0 {
            return;
        }
        let help = "Requests that were answered.";
        for (method, answers) in METHODS.iter().zip(&self.answers) {
            answers.each(|code, count| {
                let labels = [("route", route), ("method", method), ("code", code)];
                scrape.counter("frontgate_requests_total", help, &labels, count as f64);
            });
        }
        let help = "gRPC calls, by the status that their clients were told.";
        for (index, counter) in self.calls.get().into_iter().flat_map(|calls| calls.iter()).enumerate() {
            let count = counter.load(Ordering::Relaxed);
            let status = match index.checked_sub(Status::NAMED) {
                None => &*index.to_string(),
                Some(0) => OTHER,
                Some(_) => UNMATCHED,
            };
            if count > 0 {
                scrape.counter("frontgate_grpc_requests_total", help, &[("route", route), ("grpc_status", status)], count as f64);
            }
        }
        if let Some(mirror) = self.mirror.get() {
            mirror.scrape(route, scrape);
        }
        let help = "Duration of a request, from its first byte to the last byte of its answer.";
        scrape.histogram("frontgate_request_duration_seconds", help, &[("route", route)], &self.duration);
        let help = "Time that the gateway itself spent on a request, without the wait for the upstream.";
        scrape.histogram("frontgate_overhead_seconds", help, &[("route", route)], &self.overhead);
    }
}

/// What was counted of a version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct VersionCounts {
    /// Requests that it answered.
    pub answered: u64,
    /// Those of them with a status of 500 or above.
    pub failed: u64,
    /// Requests that it was chosen for, and that stable answered.
    pub spilled: u64,
}

/// Counters of a version that a route's canary chooses.
pub(crate) struct VariantMetrics {
    answers: Answers,
    room: Room,
    spilled: AtomicU64,
}

impl VariantMetrics {
    /// Counters whose answers take their series from this room.
    pub(super) fn new(room: Room) -> Self {
        Self { answers: Answers::default(), room, spilled: AtomicU64::new(0) }
    }

    /// Counts a request that was answered with this status.
    pub(crate) fn count(&self, status: u16) {
        self.answers.count(status, &self.room);
    }

    /// Counts a request that was chosen for it, and that stable answers since nobody else could.
    pub(crate) fn spilled(&self) {
        self.spilled.fetch_add(1, Ordering::Relaxed);
    }

    /// For operators.
    pub(super) fn counts(&self) -> VersionCounts {
        let answers = self.answers.by_class();
        VersionCounts { answered: answers.iter().sum(), failed: answers[4], spilled: self.spilled.load(Ordering::Relaxed) }
    }

    /// `name` is the route's and the version's, with the slash between them that no route's name holds.
    pub(super) fn scrape(&self, name: &str, scrape: &mut Scrape) {
        let Some((route, version)) = name.split_once('/') else { return };
        let help = "Requests on routes with a canary, by the version that answered.";
        self.answers.each(|code, count| {
            let labels = [("route", route), ("version", version), ("code", code)];
            scrape.counter("frontgate_canary_requests_total", help, &labels, count as f64);
        });
        let spilled = self.spilled.load(Ordering::Relaxed);
        if spilled > 0 {
            let help =
                "Requests that a version was chosen for, and that stable answered since no endpoint of that version could be reached.";
            scrape.counter("frontgate_canary_spilled_total", help, &[("route", route), ("version", version)], spilled as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::answers::Counted;
    use super::*;

    fn fresh() -> RouteMetrics {
        RouteMetrics::new(Room::new(&Arc::default(), Counted::Requests))
    }

    fn page(requests: &[(Method, u16)]) -> String {
        let route = fresh();
        for (method, status) in requests {
            route.record(method, *status, Duration::ZERO, Duration::ZERO);
        }
        let mut scrape = Scrape::default();
        route.scrape("r", &mut scrape);
        scrape.page()
    }

    #[test]
    fn each_method_has_its_own_label() {
        let methods = METHODS.map(|method| Method::from_bytes(method.as_bytes()).unwrap());

        let page = page(&methods.map(|method| (method, 204)));

        for method in METHODS {
            let line = format!(r#"frontgate_requests_total{{route="r",method="{method}",code="204"}} 1"#);
            assert!(page.contains(&line), "no {line} in\n{page}");
        }
    }

    #[test]
    fn calls_count_by_their_status_and_odd_ones_together() {
        let route = fresh();
        route.record(&Method::POST, 200, Duration::ZERO, Duration::ZERO);
        for status in (0..20).map(Status::named).chain([Some(Status::UNAVAILABLE)]) {
            route.called(status);
        }
        let read = |number: &'static str| {
            Status::read(&http::HeaderMap::from_iter([(frontgate_filters::grpc::GRPC_STATUS, http::HeaderValue::from_static(number))]))
        };
        route.called(read("17"));
        route.called(read("70000"));

        let mut scrape = Scrape::default();
        route.scrape("r", &mut scrape);
        let page = scrape.page();

        for (status, count) in [("0", 1), ("14", 2), ("16", 1), ("_OTHER", 2), ("_none", 3)] {
            let line = format!(r#"frontgate_grpc_requests_total{{route="r",grpc_status="{status}"}} {count}"#);
            assert!(page.contains(&line), "no {line} in\n{page}");
        }
    }

    #[test]
    fn methods_that_clients_invent_share_a_label() {
        let page = page(&["BREW", "get", "PROPFIND"].map(|method| (Method::from_bytes(method.as_bytes()).unwrap(), 200)));

        assert!(page.contains(r#"{route="r",method="_OTHER",code="200"} 3"#), "{page}");
        assert_eq!(page.matches("frontgate_requests_total{").count(), 1);
    }

    #[test]
    fn every_status_counts_for_itself_and_odd_ones_together() {
        for status in 100..=599 {
            let page = page(&[(Method::GET, status)]);

            assert!(page.contains(&format!(r#"code="{status}"}} 1"#)), "{status}");
        }

        let odd: Vec<_> = (0..100).chain(600..=999).map(|status| (Method::GET, status)).collect();

        let page = page(&odd);

        assert!(page.contains(r#"method="GET",code="_OTHER"} 500"#), "{page}");
        assert_eq!(page.matches("frontgate_requests_total{").count(), 1);
    }
}
