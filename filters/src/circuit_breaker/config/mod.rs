//! What can be written under `circuit_breaker`.

mod problems;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::gate::Rules;
use crate::grpc::Status;
use crate::reply::respond::Respond;
use crate::words::condition::{Condition, StatusRange};
use crate::words::selector::Selector;
use crate::words::spanned::{Place, Spanned};
use crate::words::units::{Duration, Share};

/// The options of `circuit_breaker`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The sliding window over which failures are counted; by default 10s.
    #[serde(default = "seconds::<10>")]
    pub window: Spanned<Duration>,
    /// The minimum of requests in the window before a ratio can open the circuit; by default 20.
    #[serde(default = "count::<20>")]
    pub min_requests: Spanned<u32>,
    /// The ratio of failures to requests that opens the circuit; by default 50%.
    #[serde(default = "half")]
    pub failure_ratio: Spanned<Share>,
    /// The number of failures in a row that opens it; off by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consecutive: Option<Spanned<u32>>,
    /// Also opens it when answers are slow; off by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow: Option<Slow>,
    /// How long it stays open at first; doubles each time a probe fails; by default 5s.
    #[serde(default = "seconds::<5>")]
    pub open_for: Spanned<Duration>,
    /// The maximum that it stays open; by default 60s.
    #[serde(default = "seconds::<60>")]
    pub max_open_for: Spanned<Duration>,
    /// How the upstream is probed before the circuit closes.
    #[serde(default)]
    pub half_open: HalfOpen,
    /// What counts as a failure; by default `[connect_failure, timeout, 500-599, grpc:4, grpc:13, grpc:14]`.
    #[serde(default = "faults")]
    pub failures: Spanned<Vec<Condition>>,
    /// What is answered instead, to GET and HEAD: the first of these that can serve.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallback: Vec<Spanned<Fallback>>,
}

/// When answers are too slow.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Slow {
    /// An answer is slow when its head takes longer than this.
    pub over: Spanned<Duration>,
    /// The ratio of slow answers to requests that opens the circuit.
    pub ratio: Spanned<Share>,
}

/// How an upstream is probed after its circuit was open.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct HalfOpen {
    /// The maximum of probes at once; by default 5.
    #[serde(default = "count::<5>")]
    pub max_concurrent: Spanned<u32>,
    /// How many probes in a row must succeed to close the circuit; by default 3.
    #[serde(default = "count::<3>")]
    pub successes: Spanned<u32>,
}

/// What is answered in place of the upstream: one of these.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Fallback {
    /// The last good answer to the same request.
    Cached(Cached),
    /// Another upstream's answer.
    Upstream(Spanned<String>),
    /// A fixed answer.
    Respond(Respond),
}

/// Which earlier answers are served.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Cached {
    /// The maximum age of an answer that is served.
    pub max_age: Spanned<Duration>,
    /// Keeps one copy for each value of this fact, and none for a request without it; by default one copy for everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per: Option<Spanned<Selector>>,
}

fn seconds<const N: u64>() -> Spanned<Duration> {
    Spanned::nowhere(Duration(std::time::Duration::from_secs(N)))
}

fn count<const N: u32>() -> Spanned<u32> {
    Spanned::nowhere(N)
}

fn faults() -> Spanned<Vec<Condition>> {
    let status = Condition::Status(StatusRange { first: 500, last: 599 });
    let [late, broken, gone] = [Status::DEADLINE_EXCEEDED, Status::INTERNAL, Status::UNAVAILABLE].map(Condition::Grpc);
    Spanned::nowhere(vec![Condition::ConnectFailure, Condition::Timeout, status, late, broken, gone])
}

fn half() -> Spanned<Share> {
    Spanned::nowhere(Share(0.5))
}

impl Default for HalfOpen {
    fn default() -> Self {
        Self { max_concurrent: count::<5>(), successes: count::<3>() }
    }
}

impl Config {
    /// The `cached` fallback and where it is written.
    pub(super) fn cached(&self) -> Option<(Place, &Cached)> {
        self.fallback.iter().find_map(|fallback| match &fallback.value {
            Fallback::Cached(cached) => Some((fallback.place, cached)),
            _ => None,
        })
    }

    /// The state machine's part.
    pub(super) fn rules(&self) -> Rules {
        let millis = |duration: Duration| duration.0.as_millis() as u64;
        Rules {
            window: millis(self.window.value),
            min_requests: self.min_requests.value,
            failure_ratio: self.failure_ratio.0,
            consecutive: self.consecutive.as_ref().map(|consecutive| consecutive.value),
            slow_ratio: self.slow.as_ref().map(|slow| slow.ratio.0),
            open_for: millis(self.open_for.value),
            max_open_for: millis(self.max_open_for.value),
            probes: self.half_open.max_concurrent.value,
            successes: self.half_open.successes.value,
        }
    }
}
