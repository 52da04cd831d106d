//! What went wrong lately, so that whoever asks how the gateway is hears of it: routes of which requests fail, or whose answers lack
//! something, circuits that are open.
//!
//! Nothing is counted for it. What is counted anyhow is read every few seconds and kept for a minute, on the operators' thread.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::router::UNMATCHED;
use crate::status::{CircuitState, CircuitStatus};
use crate::telemetry::{Metrics, Outcomes};

/// How often the counters are read.
const EVERY: Duration = Duration::from_secs(5);
/// How many readings are kept of a route: those of a minute.
const READINGS: usize = 12;
/// Of fewer requests no share says much.
const FEWEST: u64 = 10;
/// From which share of the requests on it a route is told of, in percent. The dashboard paints this share red.
const PERCENT: u64 = 5;
/// How many routes are remembered that are not there any more.
const GONE: usize = 1000;
/// How many routes are told, and how many circuits.
const TOLD: usize = 5;

/// Which share of the requests on a route was like something.
struct Share {
    percent: u64,
    some: u64,
    requests: u64,
    route: String,
}

/// What is remembered of the last minute.
#[derive(Default)]
pub(super) struct Lately(Mutex<Remembered>);

#[derive(Default)]
struct Remembered {
    read: Option<Instant>,
    /// What was counted of each route, the oldest first.
    routes: BTreeMap<String, VecDeque<Outcomes>>,
    /// Since when circuits are not closed, by filter and upstream.
    open: BTreeMap<(String, String), Instant>,
}

impl Lately {
    /// Reads the counters where that is due.
    pub(super) fn read(&self, metrics: &Metrics, now: Instant) {
        let mut remembered = self.0.lock();
        if remembered.read.is_some_and(|read| now.saturating_duration_since(read) < EVERY) {
            return;
        }
        remembered.read = Some(now);
        let mut former = std::mem::take(&mut remembered.routes);
        metrics.outcomes(&mut |name, counted| {
            let (name, mut readings) =
                former.remove_entry(name).unwrap_or_else(|| (name.to_owned(), VecDeque::from([Outcomes::default()])));
            // A route that was gone meanwhile may count anew.
            if readings.back().is_some_and(|last| last.requests > counted.requests) {
                readings = VecDeque::from([Outcomes::default()]);
            }
            if readings.len() == READINGS {
                readings.pop_front();
            }
            readings.push_back(counted);
            remembered.routes.insert(name, readings);
        });
        // A route that comes back goes on counting where it ended.
        for (name, mut readings) in former.into_iter().take(GONE) {
            if readings.len() > 1 {
                readings.pop_front();
            }
            remembered.routes.insert(name, readings);
        }
    }

    /// The routes of which requests failed within the last minute, those that failed most first, a sentence each.
    pub(super) fn failing(&self, metrics: &Metrics) -> Vec<String> {
        let told = self.shares(metrics, |counted| counted.failed).into_iter().map(|Share { percent, some, requests, route }| {
            format!("{percent} % of the requests on route `{route}` failed in the last minute ({some} of {requests})")
        });
        bounded(told.collect(), "routes fail")
    }

    /// The routes whose answers lacked something within the last minute, those that lacked most first, a sentence each.
    pub(super) fn lacking(&self, metrics: &Metrics) -> Vec<String> {
        let told = self.shares(metrics, |counted| counted.incomplete).into_iter().map(|Share { percent, some, requests, route }| {
            let where_from = "the log's `missing` says which calls";
            format!("{percent} % of the answers on route `{route}` lacked a part in the last minute ({some} of {requests}): {where_from}")
        });
        bounded(told.collect(), "routes lack something")
    }

    /// The routes of whose requests within the last minute a share worth telling was like this, the largest first.
    fn shares(&self, metrics: &Metrics, of: impl Fn(&Outcomes) -> u64) -> Vec<Share> {
        let remembered = self.0.lock();
        let mut shares = Vec::new();
        metrics.outcomes(&mut |name, counted| {
            let before = remembered.routes.get(name).and_then(VecDeque::front).copied().unwrap_or_default();
            let requests = counted.requests.saturating_sub(before.requests);
            let some = of(&counted).saturating_sub(of(&before)).min(requests);
            // What no route takes says more of those who ask than of the gateway.
            if name != UNMATCHED && requests >= FEWEST && some * 100 >= requests * PERCENT {
                shares.push(Share { percent: some * 100 / requests, some, requests, route: name.to_owned() });
            }
        });
        shares.sort_unstable_by(|a, b| (b.percent, b.some, &a.route).cmp(&(a.percent, a.some, &b.route)));
        shares
    }

    /// The circuits that let few or no requests pass by themselves, the longest first, a sentence each.
    pub(super) fn open(&self, circuits: &[CircuitStatus], now: Instant) -> Vec<String> {
        let mut remembered = self.0.lock();
        let open = circuits.iter().filter(|circuit| circuit.state != CircuitState::Closed && circuit.forced.is_none());
        let mut open: Vec<_> = open
            .map(|circuit| {
                let key = (circuit.filter.clone(), circuit.upstream.clone());
                let since = remembered.open.get(&key).copied().unwrap_or(now);
                (since, key, circuit.state)
            })
            .collect();
        remembered.open = open.iter().map(|(since, key, _)| (key.clone(), *since)).collect();
        open.sort_by_key(|(since, ..)| *since);
        let told = open.into_iter().map(|(since, (filter, upstream), state)| {
            let time = span(now.saturating_duration_since(since));
            match state {
                CircuitState::HalfOpen => {
                    format!("the circuit of filter `{filter}` and upstream `{upstream}` is half-open, {time} after it opened")
                }
                _ => format!("the circuit of filter `{filter}` and upstream `{upstream}` is open, for {time} now"),
            }
        });
        bounded(told.collect(), "circuits are open")
    }
}

/// The first few; how many more there are is told in a sentence of its own.
fn bounded(mut told: Vec<String>, what: &str) -> Vec<String> {
    if let Some(more) = told.len().checked_sub(TOLD).filter(|more| *more > 0) {
        told.truncate(TOLD);
        told.push(format!("and {more} more {what}"));
    }
    told
}

/// A time, as much of it as anybody wants to know.
fn span(time: Duration) -> String {
    match time.as_secs() {
        seconds @ ..120 => format!("{seconds} s"),
        seconds @ ..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    fn count(metrics: &Metrics, route: &str, status: u16, requests: usize) {
        (0..requests).for_each(|_| metrics.route(route).record(&Method::GET, status, Duration::ZERO, Duration::ZERO));
    }

    #[test]
    fn a_route_is_told_of_from_ten_requests_and_five_in_a_hundred_on_and_for_a_minute() {
        let (metrics, lately, began) = (Metrics::new(), Lately::default(), Instant::now());
        count(&metrics, "few", 500, 9);
        count(&metrics, "half", 200, 120);
        count(&metrics, "half", 504, 120);
        count(&metrics, "little", 200, 96);
        count(&metrics, "little", 500, 4);
        count(&metrics, "refused", 429, 50);
        count(&metrics, UNMATCHED, 505, 50);

        let told = lately.failing(&metrics);
        assert_eq!(told, ["50 % of the requests on route `half` failed in the last minute (120 of 240)"]);

        count(&metrics, "few", 500, 1);
        count(&metrics, "little", 500, 2);
        let told = lately.failing(&metrics);
        assert_eq!(told[0], "100 % of the requests on route `few` failed in the last minute (10 of 10)");
        assert_eq!(told[2], "5 % of the requests on route `little` failed in the last minute (6 of 102)");

        (0..READINGS as u32).for_each(|number| lately.read(&metrics, began + EVERY * number));
        assert_eq!(lately.failing(&metrics), [""; 0], "they are of a minute ago");
        count(&metrics, "half", 500, 10);
        assert_eq!(lately.failing(&metrics), ["100 % of the requests on route `half` failed in the last minute (10 of 10)"]);
        // Not before it is time.
        (0..100).for_each(|_| lately.read(&metrics, began + EVERY * (READINGS as u32 - 1)));
        assert_eq!(lately.failing(&metrics).len(), 1);
    }

    #[test]
    fn a_route_whose_answers_lack_something_is_told_of_though_none_fails() {
        let (metrics, lately, began) = (Metrics::new(), Lately::default(), Instant::now());
        let (route, (composed, _)) = (metrics.route("home"), metrics.route("home").composed(&["reviews".into()]));
        count(&metrics, "home", 200, 20);
        count(&metrics, "whole", 200, 20);
        assert_eq!(lately.lacking(&metrics), [""; 0]);

        (0..12).for_each(|_| composed.incomplete());

        let told = lately.lacking(&metrics);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with("60 % of the answers on route `home` lacked a part in the last minute (12 of 20)"), "{told:?}");
        assert_eq!(lately.failing(&metrics), [""; 0]);
        (0..READINGS as u32).for_each(|number| lately.read(&metrics, began + EVERY * number));
        assert_eq!(lately.lacking(&metrics), [""; 0], "they are of a minute ago");
        drop(route);
    }

    #[test]
    fn what_a_route_counted_before_it_was_gone_is_not_of_the_last_minute() {
        let (metrics, lately, began) = (Metrics::new(), Lately::default(), Instant::now());
        count(&metrics, "a", 500, 20);
        lately.read(&metrics, began);
        metrics.retire(&|_| false, &|_| true);
        (1..30).for_each(|number| lately.read(&metrics, began + EVERY * number));
        assert_eq!(lately.failing(&metrics), [""; 0]);

        count(&metrics, "a", 500, 3);
        assert_eq!(lately.failing(&metrics), [""; 0]);
        lately.read(&metrics, began + EVERY * 30);
        count(&metrics, "a", 500, 8);

        assert_eq!(lately.failing(&metrics), ["100 % of the requests on route `a` failed in the last minute (11 of 11)"]);
    }

    #[test]
    fn five_routes_are_told_of_and_how_many_more_there_are() {
        let (metrics, lately) = (Metrics::new(), Lately::default());
        for number in 1..9 {
            count(&metrics, &format!("r{number}"), 200, 20 - number);
            count(&metrics, &format!("r{number}"), 502, number);
        }

        let told = lately.failing(&metrics);

        assert!(told[0].starts_with("40 % of the requests on route `r8`") && told[4].contains("`r4`"), "{told:?}");
        assert_eq!((told.len(), told[5].as_str()), (6, "and 3 more routes fail"));
    }

    #[test]
    fn circuits_are_told_of_with_how_long_they_have_been_open() {
        let (lately, began) = (Lately::default(), Instant::now());
        let circuit = |upstream: &str, state: &str| -> CircuitStatus {
            let told = serde_json::json!({"filter": "guard", "upstream": upstream, "state": state, "requests": 0, "failures": 0, "slow": 0,
                "probes": 0, "open_for_ms": null, "forced": null});
            serde_json::from_value(told).expect("a circuit")
        };
        let later = |seconds| began + Duration::from_secs(seconds);

        assert_eq!(
            lately.open(&[circuit("a", "closed"), circuit("b", "open")], began),
            ["the circuit of filter `guard` and upstream `b` is open, for 0 s now"]
        );
        assert_eq!(
            lately.open(&[circuit("a", "open"), circuit("b", "half_open")], later(12)),
            [
                "the circuit of filter `guard` and upstream `b` is half-open, 12 s after it opened",
                "the circuit of filter `guard` and upstream `a` is open, for 0 s now"
            ]
        );
        assert_eq!(lately.open(&[circuit("b", "closed")], later(13)), [""; 0]);
        assert_eq!(
            lately.open(&[circuit("b", "open")], later(400)),
            ["the circuit of filter `guard` and upstream `b` is open, for 0 s now"]
        );
        let many: Vec<_> = (0..7).map(|number| circuit(&number.to_string(), "open")).collect();
        assert_eq!(lately.open(&many, later(500)).last().map(String::as_str), Some("and 2 more circuits are open"));
        let forced = CircuitStatus { forced: Some(crate::status::Force::Open), ..circuit("a", "open") };
        assert_eq!(lately.open(&[forced], later(600)), [""; 0], "that is told as what an operator did");
    }
}
