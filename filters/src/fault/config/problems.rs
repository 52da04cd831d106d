//! What is wrong with the options that their types could not refuse.

use std::time::{Duration, SystemTime};

use super::{Config, Rule, StopWhen};
use crate::words::spanned::{Place, Problem, Spanned};
use crate::words::units::Share;

/// How far ahead a drill may end.
const AHEAD: Duration = Duration::from_secs(24 * 3600);
/// From this share on somebody has to say that it is meant.
const MUCH: f64 = 0.5;
/// What is left of a sum of decimal fractions in binary digits.
const ROUNDING: f64 = 1e-9;

impl Config {
    /// Everything that is wrong at this time.
    pub(in crate::fault) fn check(&self, now: SystemTime) -> Vec<Problem> {
        let mut problems = Vec::new();
        self.check_time(now, &mut problems);
        self.check_shares(&mut problems);
        if self.max_active.value == 0 {
            problems.push(Problem::at(self.max_active.place, "`max_active` must be at least 1"));
        }
        if let Some(matching) = &self.matching {
            if matching.facts.is_empty() {
                problems.push(Problem::lacking(matching.place, "`match` names no fact: leave it out to hit all requests"));
            }
            problems.extend(matching.problems());
        }
        if let Some(stop) = &self.stop_when {
            stop.check(&mut problems);
        }
        if self.rules.is_empty() {
            problems.push(Problem::lacking(self.rules.place, "a drill without `rules` does nothing"));
        }
        for rule in self.rules.iter() {
            rule.value.check(rule.place, &mut problems);
        }
        problems
    }

    fn check_time(&self, now: SystemTime, problems: &mut Vec<Problem>) {
        let until = &self.until;
        if until.0 <= now {
            let message = format!("the drill is over since {}: the filter does nothing", until.value);
            problems.push(Problem::doubtful(until.place, message).help("remove the filter, or write another `until`"));
        } else if until.0 > now + AHEAD {
            let message = format!("a drill ends within 24 hours, and {} is later", until.value);
            problems.push(Problem::at(until.place, message).help("load the configuration again to go on"));
        }
    }

    fn check_shares(&self, problems: &mut Vec<Problem>) {
        let most = &self.max_share;
        if most.0 > MUCH && !self.i_know {
            problems.push(Problem::at(most.place, format!("a `max_share` of {} needs `i_know: true`", most.value)));
        }
        let sum: f64 = self.rules.iter().map(|rule| rule.share.0).sum();
        if sum > most.0 + ROUNDING {
            let message = format!("the rules hit {} of all requests, and `max_share` is {}", Share(sum), most.value);
            problems.push(Problem::lacking(self.rules.place, message));
        }
    }
}

impl StopWhen {
    fn check(&self, problems: &mut Vec<Problem>) {
        let (ratio, over) = (&self.error_ratio, &self.over);
        if !(ratio.0 > 0.0 && ratio.0 < 1.0) {
            problems.push(Problem::at(ratio.place, "an `error_ratio` is more than 0% and less than 100%"));
        }
        if !(Duration::from_secs(1)..=Duration::from_secs(600)).contains(&over.0) {
            problems.push(Problem::at(over.place, "`over` is between 1s and 10m"));
        }
    }
}

impl Rule {
    fn check(&self, place: Place, problems: &mut Vec<Problem>) {
        if self.share.0 <= 0.0 {
            problems.push(Problem::at(self.share.place, "a `share` of 0% hits nobody"));
        }
        if let Some(Spanned { value: delay, place }) = &self.delay
            && let Some(problem) = delay.problem()
        {
            problems.push(Problem::at(*place, problem));
        }
        if let Some(abort) = &self.abort {
            abort.problems(abort.place, problems);
        }
        match usize::from(self.delay.is_some()) + usize::from(self.abort.is_some()) {
            0 => problems.push(Problem::lacking(place, "a rule has a fault: `delay` or `abort`")),
            1 => {}
            _ => problems.push(Problem::at(place, "a rule has one fault: write a rule for each")),
        }
    }
}
