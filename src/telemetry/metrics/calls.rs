//! What is counted of the calls that a route's requests are answered from: how each ended and how long it took, and how many answers were not
//! complete.
//!
//! The names of calls are the configuration's: they are known when it is compiled, and no request adds one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use prometheus::Histogram;

use super::answers::{OTHER, Reserved, Series};
use super::scrape::Scrape;
use super::{DURATION, histogram};

/// How a call ended, as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallResult {
    /// As it was expected to.
    Ok,
    /// With a status of the client's fault.
    Status4xx,
    /// With a status of the server's fault.
    Status5xx,
    /// There was no answer in time.
    Timeout,
    /// The connection failed.
    Connect,
    /// No endpoint could be asked, or there was no memory for its answer.
    Unavailable,
    /// The circuit was open.
    CircuitOpen,
    /// The answer is not what it should be: no JSON, no HTTP, or a status that is neither an error nor expected.
    Malformed,
    /// A GraphQL service answered with errors.
    Errors,
    /// The answer is too long.
    TooLarge,
    /// It was not made, for a value that it needs is missing.
    ValueMissing,
    /// It was not made, for nobody needs it.
    Skipped,
}

impl CallResult {
    /// All of them, in the order of their numbers.
    pub(crate) const ALL: [Self; 12] = [
        Self::Ok,
        Self::Status4xx,
        Self::Status5xx,
        Self::Timeout,
        Self::Connect,
        Self::Unavailable,
        Self::CircuitOpen,
        Self::Malformed,
        Self::Errors,
        Self::TooLarge,
        Self::ValueMissing,
        Self::Skipped,
    ];

    /// What a status counts as that was not expected.
    pub(crate) fn of_unexpected(status: http::StatusCode) -> Self {
        match status.as_u16() {
            400..=499 => Self::Status4xx,
            500..=599 => Self::Status5xx,
            _ => Self::Malformed,
        }
    }

    /// As metrics and logs have it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Status4xx => "status_4xx",
            Self::Status5xx => "status_5xx",
            Self::Timeout => "timeout",
            Self::Connect => "connect",
            Self::Unavailable => "unavailable",
            Self::CircuitOpen => "circuit_open",
            Self::Malformed => "malformed",
            Self::Errors => "errors",
            Self::TooLarge => "too_large",
            Self::ValueMissing => "value_missing",
            Self::Skipped => "skipped",
        }
    }
}

/// How many series a call has at most: of its results, and of its durations with their sum and count.
const OF_CALL: usize = CallResult::ALL.len() + DURATION.len() + 3;

/// What is counted of one call.
pub(crate) struct CallMetrics {
    results: [AtomicU64; CallResult::ALL.len()],
    duration: Histogram,
    _reserved: Option<Reserved>,
}

impl CallMetrics {
    fn new(reserved: Option<Reserved>) -> Arc<Self> {
        Arc::new(Self { results: Default::default(), duration: histogram(DURATION), _reserved: reserved })
    }

    /// Counts how it ended, or that it was not made.
    pub(crate) fn count(&self, result: CallResult) {
        self.results[result as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts how long it took, all attempts together.
    pub(crate) fn took(&self, duration: Duration) {
        self.duration.observe(duration.as_secs_f64());
    }
}

/// What is counted of a route's calls, always the same for a name, so that counts survive a reload.
#[derive(Default)]
pub(crate) struct ComposedMetrics {
    incomplete: AtomicU64,
    calls: Mutex<BTreeMap<Box<str>, Arc<CallMetrics>>>,
}

impl ComposedMetrics {
    /// The counters of a call. Where all series are taken it shares those of others that came too late.
    pub(super) fn call(&self, name: &str, series: &Arc<Series>) -> Arc<CallMetrics> {
        let mut calls = self.calls.lock();
        // Those of a configuration that is gone make room.
        calls.retain(|known, call| **known == *name || Arc::strong_count(call) > 1);
        if let Some(known) = calls.get(name) {
            return known.clone();
        }
        let reserved = series.reserve(OF_CALL);
        let name = if reserved.is_some() { name } else { OTHER };
        calls.entry(name.into()).or_insert_with(|| CallMetrics::new(reserved)).clone()
    }

    /// Counts an answer in which a call is missing.
    pub(crate) fn incomplete(&self) {
        self.incomplete.fetch_add(1, Ordering::Relaxed);
    }

    /// How many answers there were in which a call is missing.
    pub(super) fn lacked(&self) -> u64 {
        self.incomplete.load(Ordering::Relaxed)
    }

    pub(super) fn scrape(&self, route: &str, scrape: &mut Scrape) {
        let help =
            "Answers in which a call is missing, or something stands in its place, or a service's value was none that its field can have.";
        scrape.counter("frontgate_incomplete_total", help, &[("route", route)], self.lacked() as f64);
        for (name, call) in self.calls.lock().iter().filter(|(_, call)| Arc::strong_count(call) > 1) {
            let help = "Calls that answers are put together from, by how they ended.";
            for result in CallResult::ALL {
                let count = call.results[result as usize].load(Ordering::Relaxed);
                // A rate wants to see the first one that is no more the rule.
                if count > 0 || matches!(result, CallResult::Ok | CallResult::Timeout | CallResult::Status5xx) {
                    let labels = [("route", route), ("call", name), ("result", result.word())];
                    scrape.counter("frontgate_calls_total", help, &labels, count as f64);
                }
            }
            if call.duration.get_sample_count() > 0 {
                let help = "Duration of a call that an answer is put together from, all attempts together.";
                scrape.histogram("frontgate_call_duration_seconds", help, &[("route", route), ("call", name)], &call.duration);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(metrics: &ComposedMetrics) -> String {
        let mut scrape = Scrape::default();
        metrics.scrape("home", &mut scrape);
        scrape.page()
    }

    #[test]
    fn series_are_there_before_the_first_request_and_each_result_counts_for_itself() {
        let (series, metrics) = (Arc::default(), ComposedMetrics::default());
        let user = metrics.call("user", &series);
        let fresh = page(&metrics);

        for (index, result) in CallResult::ALL.into_iter().enumerate() {
            (0..=index).for_each(|_| user.count(result));
        }
        user.took(Duration::from_millis(3));
        metrics.incomplete();

        assert!(fresh.contains(r#"frontgate_incomplete_total{route="home"} 0"#), "{fresh}");
        assert!(fresh.contains(r#"frontgate_calls_total{route="home",call="user",result="ok"} 0"#), "{fresh}");
        let page = page(&metrics);
        assert!(page.contains(r#"frontgate_incomplete_total{route="home"} 1"#), "{page}");
        assert!(page.contains(r#"frontgate_call_duration_seconds_count{route="home",call="user"} 1"#), "{page}");
        for (index, result) in CallResult::ALL.into_iter().enumerate() {
            let line = format!(r#"frontgate_calls_total{{route="home",call="user",result="{}"}} {}"#, result.word(), index + 1);
            assert!(page.contains(&line), "no {line} in\n{page}");
        }
    }

    #[test]
    fn counts_survive_a_reload_and_go_with_their_call() {
        let (series, metrics) = (Arc::default(), ComposedMetrics::default());
        let (user, cart) = (metrics.call("user", &series), metrics.call("cart", &series));
        user.count(CallResult::Ok);

        let again = metrics.call("user", &series);
        drop((user, cart));
        let kept = metrics.call("user", &series);

        assert!(Arc::ptr_eq(&again, &kept));
        assert!(page(&metrics).contains(r#"call="user",result="ok"} 1"#) && !page(&metrics).contains("cart"));
    }

    #[test]
    fn calls_for_which_there_are_no_more_series_are_counted_together() {
        let (series, metrics) = (Arc::<Series>::default(), ComposedMetrics::default());
        let all = series.reserve(super::super::answers::OF_ALL - OF_CALL);
        let calls: Vec<_> = ["a", "b", "c"].iter().map(|name| metrics.call(name, &series)).collect();
        calls.iter().for_each(|call| call.count(CallResult::Ok));

        let page = page(&metrics);

        assert!(all.is_some() && page.contains(r#"call="a",result="ok"} 1"#), "{page}");
        assert!(page.contains(r#"call="_OTHER",result="ok"} 2"#), "{page}");
    }
}
