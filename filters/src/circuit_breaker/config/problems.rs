//! What is wrong with the options that their types could not refuse.

use super::super::fallback;
use super::super::window::LARGEST_SAMPLE;
use super::{Config, Fallback};
use crate::words::condition::Condition;
use crate::words::spanned::{Place, Problem};

impl Config {
    /// Everything that is wrong.
    pub(in crate::circuit_breaker) fn check(&self) -> Vec<Problem> {
        let (mut problems, mut lacking) = (Vec::new(), Vec::new());
        let mut unless = |right: bool, place: Place, message: String| {
            if !right {
                problems.push(Problem::at(place, message));
            }
        };
        let none = std::time::Duration::ZERO;
        let window = &self.window;
        unless(window.0.as_millis() >= 100, window.place, format!("a `window` of {} is too short: the minimum is 100ms", window.value));
        unless(
            (1..=LARGEST_SAMPLE).contains(&self.min_requests),
            self.min_requests.place,
            format!("`min_requests` must be between 1 and {LARGEST_SAMPLE}"),
        );
        unless(self.failure_ratio.0 > 0.0, self.failure_ratio.place, "a `failure_ratio` of 0% would open the circuit on success".into());
        if let Some(consecutive) = &self.consecutive {
            unless(consecutive.value > 0, consecutive.place, "`consecutive` must be at least 1; leave it out to turn it off".into());
        }
        if let Some(slow) = &self.slow {
            unless(slow.over.0 > none, slow.over.place, "with `over: 0s` every answer is slow".into());
            unless(slow.ratio.0 > 0.0, slow.ratio.place, "a `ratio` of 0% would open the circuit on success".into());
        }
        unless(self.open_for.0 > none, self.open_for.place, "`open_for` must be above 0s".into());
        if self.max_open_for.value < self.open_for.value {
            // Where only one of them is written, the other has no place.
            let written = [self.max_open_for.place, self.open_for.place].into_iter().find(|place| *place != Place::default());
            let message = format!("`max_open_for` ({}) is shorter than `open_for` ({})", self.max_open_for.value, self.open_for.value);
            // One that could not be read stands here with its default.
            lacking.push(Problem::lacking(written.unwrap_or_default(), message));
        }
        let probes = &self.half_open.max_concurrent;
        unless(probes.value > 0, probes.place, "`max_concurrent` must be at least 1: without probes an open circuit never closes".into());
        let successes = &self.half_open.successes;
        unless(successes.value > 0, successes.place, "`successes` must be at least 1".into());
        if self.failures.is_empty() {
            lacking.push(Problem::lacking(self.failures.place, "without `failures` nothing opens the circuit"));
        }
        for failure in self.failures.iter() {
            let faulty = !matches!(failure, Condition::Status(range) if range.first < 400);
            unless(faulty, self.failures.place, format!("`{failure}` is not a failure: a status of `failures` is between 400 and 599"));
        }
        let (mut cached, mut last, mut fixed) = (false, false, Vec::new());
        for fallback in &self.fallback {
            unless(!last, fallback.place, "a fallback after `respond` is never reached".into());
            match &fallback.value {
                Fallback::Cached(options) => {
                    unless(!cached, fallback.place, "a `fallback` has at most one `cached`".into());
                    unless(options.max_age.0 > none, options.max_age.place, "`max_age` must be above 0s".into());
                    cached = true;
                }
                Fallback::Upstream(_) => {}
                Fallback::Respond(respond) => {
                    last = true;
                    fixed.extend(respond.problems(&fallback::OWN));
                }
            }
        }
        problems.extend(lacking);
        problems.extend(fixed);
        problems
    }
}
