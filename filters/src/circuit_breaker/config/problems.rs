//! What is wrong with the options that their types could not refuse.

use http::{HeaderName, HeaderValue};

use super::super::window::LARGEST_SAMPLE;
use super::{Config, Fallback, Respond};
use crate::filter::build::Problem;
use crate::words::condition::Condition;
use crate::words::spanned::Place;

impl Config {
    /// What is wrong that the types could not refuse.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut unless = |right: bool, place: Place, message: String| {
            if !right {
                problems.push(Problem::at(place, message));
            }
        };
        let none = std::time::Duration::ZERO;
        let window = &self.window;
        unless(window.0.as_millis() >= 100, window.place, format!("a `window` of {} is too short: it is at least 100ms", window.value));
        unless(
            (1..=LARGEST_SAMPLE).contains(&self.min_requests),
            self.min_requests.place,
            format!("`min_requests` is between 1 and {LARGEST_SAMPLE}"),
        );
        unless(self.failure_ratio.0 > 0.0, self.failure_ratio.place, "a `failure_ratio` of 0% would open on success".into());
        if let Some(consecutive) = &self.consecutive {
            unless(consecutive.value > 0, consecutive.place, "`consecutive` is at least 1; leave it out to count none".into());
        }
        if let Some(slow) = &self.slow {
            unless(slow.over.0 > none, slow.over.place, "with `over: 0s` every answer is slow".into());
            unless(slow.ratio.0 > 0.0, slow.ratio.place, "a `ratio` of 0% would open on success".into());
        }
        unless(self.open_for.0 > none, self.open_for.place, "`open_for` is longer than 0s".into());
        if self.max_open_for.value < self.open_for.value {
            // Where only one of them is written, the other has no place.
            let written = [self.max_open_for.place, self.open_for.place].into_iter().find(|place| *place != Place::default());
            let message = format!("`max_open_for` ({}) is shorter than `open_for` ({})", self.max_open_for.value, self.open_for.value);
            unless(false, written.unwrap_or_default(), message);
        }
        let probes = &self.half_open.max_concurrent;
        unless(probes.value > 0, probes.place, "`max_concurrent` is at least 1: without probes an open circuit never closes".into());
        let successes = &self.half_open.successes;
        unless(successes.value > 0, successes.place, "`successes` is at least 1".into());
        unless(!self.failures.is_empty(), self.failures.place, "without `failures` nothing opens the circuit".into());
        for failure in self.failures.iter() {
            let faulty = !matches!(failure, Condition::Status(range) if range.first < 400);
            unless(faulty, self.failures.place, format!("`{failure}` is not a failure: a status of `failures` is between 400 and 599"));
        }
        let mut cached = false;
        let mut last = false;
        for fallback in &self.fallback {
            unless(!last, fallback.place, "a fallback after `respond` is never reached".into());
            match &fallback.value {
                Fallback::Cached(options) => {
                    unless(!cached, fallback.place, "`cached` stands once in a `fallback`".into());
                    unless(options.max_age.0 > none, options.max_age.place, "`max_age` is longer than 0s".into());
                    cached = true;
                }
                Fallback::Upstream(_) => {}
                Fallback::Respond(respond) => {
                    last = true;
                    respond.problems(fallback.place, &mut unless);
                }
            }
        }
        problems
    }
}

impl Respond {
    fn problems(&self, place: Place, unless: &mut impl FnMut(bool, Place, String)) {
        let status = &self.status;
        unless((200..=599).contains(&status.value), status.place, format!("{} is not between 200 and 599", status.value));
        let bodyless = matches!(status.value, 204 | 205 | 304);
        unless(!bodyless || self.json.is_none() && self.body.is_none(), place, format!("an answer with {} has no body", status.value));
        if let (Some(json), Some(body)) = (&self.json, &self.body) {
            let later = if json.place.0 > body.place.0 { json.place } else { body.place };
            unless(false, later, "an answer has either `json` or `body`".into());
        }
        for (name, value) in &self.headers {
            let known = HeaderName::from_bytes(name.as_bytes());
            unless(known.is_ok(), value.place, format!("`{name}` is not a header name"));
            let ours = ["cache-control", "content-length", "connection", "transfer-encoding", "x-bff-fallback", "x-request-id"];
            let taken = known.is_ok_and(|name| ours.contains(&name.as_str()));
            unless(!taken, value.place, format!("`{name}` is a header that the gateway itself sets"));
            unless(HeaderValue::from_str(value).is_ok(), value.place, format!("the value of `{name}` cannot stand in a header"));
        }
    }
}
