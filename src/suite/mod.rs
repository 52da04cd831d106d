//! `frontgate test`: requests with what is expected of them, played through the gateway itself without a socket.
//!
//! A case has a gateway of its own, compiled from the configuration as `run` compiles it: the same routing, filters, retries, circuits, fallbacks,
//! trimming and compression. Only its ends are others: requests come from the case, and upstreams are played by what the case says that they
//! answer. Time passes where the case says so, at once.

mod judge;
mod model;
mod names;
mod read;
#[cfg(test)]
mod schema;
mod stage;
mod upstream;

pub(crate) use self::judge::Mismatch;
pub(crate) use self::read::{Read, read};
#[cfg(test)]
pub(crate) use self::schema::schema;

use self::model::{Case, Step};
use self::stage::Stage;
use crate::config::Loaded;

/// What came of a case.
pub(crate) struct Tested {
    /// Its name.
    pub name: String,
    /// Where it is written: `file:line`.
    pub place: String,
    /// What was not as it was expected, request by request.
    pub failures: Vec<Failure>,
    /// How many requests were played.
    pub requests: u32,
}

/// A request that was not answered as it was expected.
pub(crate) struct Failure {
    /// Which of the case's requests, in words; empty where it has one.
    pub request: String,
    /// What was not as it was expected.
    pub mismatches: Vec<Mismatch>,
    /// What became of the request, a line each.
    pub told: Vec<String>,
}

impl Read {
    /// The names of the cases, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.suite.cases.iter().map(|case| case.name.as_str())
    }

    /// Plays a case under this configuration. The error says why it cannot be compiled.
    pub(crate) fn play(&self, index: usize, loaded: Loaded) -> Result<Tested, String> {
        let case = &self.suite.cases[index];
        let stage = Stage::new(loaded)?;
        let mut tested = Tested { name: case.name.value.clone(), place: self.line(case.name.place), failures: Vec::new(), requests: 0 };
        let alone = [case.only_step()];
        let steps: Vec<&Step> =
            if case.steps.is_empty() { alone.iter().collect() } else { case.steps.iter().map(|step| &step.value).collect() };
        for (number, step) in steps.iter().enumerate() {
            if let Some(after) = step.after {
                stage.put_forward(after.0);
            }
            let times = step.times.as_ref().map_or(1, |times| times.get());
            for time in 0..times {
                tested.requests += 1;
                let seen = stage.play(&self.suite, case, step);
                let expect = step.expect.as_ref().or(case.expect.as_ref());
                let mut mismatches = judge::judge(expect.map(|expect| &**expect), &seen, &|text| stage.hide(text));
                if stage.meets_a_saga(&seen) {
                    let request = step.request.as_ref().or(case.request.as_ref());
                    mismatches = vec![judge::unplayed(request.map(|request| request.place).unwrap_or_default())];
                }
                if mismatches.is_empty() {
                    continue;
                }
                let request = match (steps.len(), times) {
                    (1, 1) => String::new(),
                    (_, 1) => format!("step {}", number + 1),
                    _ => format!("step {}, request {} of {times}", number + 1, time + 1),
                };
                let mismatches = mismatches.into_iter().map(|mismatch| mismatch.at(&|place| self.line(place))).collect();
                tested.failures.push(Failure { request, mismatches, told: seen.told().iter().map(|line| stage.hide(line)).collect() });
                // What follows in the step is asked of a gateway that has gone another way.
                break;
            }
        }
        Ok(tested)
    }
}

impl Case {
    /// The one request of a case that has no steps.
    fn only_step(&self) -> Step {
        Step { request: self.request.clone(), expect: self.expect.clone(), ..Step::default() }
    }
}
