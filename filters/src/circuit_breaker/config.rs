//! What can be written under `circuit_breaker`, and what is wrong with it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

use http::{HeaderName, HeaderValue};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::gate::Rules;
use super::window::LARGEST_SAMPLE;
use crate::build::Problem;
use crate::selector::Selector;
use crate::spanned::{Place, Spanned};
use crate::units::{Duration, Share};

/// The options of `circuit_breaker`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What is remembered: a sliding window in ten buckets; by default 10s.
    #[serde(default = "seconds::<10>")]
    pub window: Spanned<Duration>,
    /// Shares are not looked at below so many requests in the window; by default 20.
    #[serde(default = "count::<20>")]
    pub min_requests: Spanned<u32>,
    /// The share of failures that opens the circuit; by default 50%.
    #[serde(default = "half")]
    pub failure_ratio: Spanned<Share>,
    /// So many failures in a row open it; off by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consecutive: Option<Spanned<u32>>,
    /// A share of slow answers opens it; off by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow: Option<Slow>,
    /// How long it stays open the first time; doubles while probes fail; by default 5s.
    #[serde(default = "seconds::<5>")]
    pub open_for: Spanned<Duration>,
    /// How long it stays open at most; by default 60s.
    #[serde(default = "seconds::<60>")]
    pub max_open_for: Spanned<Duration>,
    /// How the upstream is tried before the circuit closes.
    #[serde(default)]
    pub half_open: HalfOpen,
    /// What is a failure; by default `[connect_failure, timeout, 500-599]`.
    #[serde(default = "Blame::usual")]
    pub failures: Spanned<Vec<Blame>>,
    /// What is answered instead, to GET and HEAD; the first that can serve.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallback: Vec<Spanned<Fallback>>,
}

/// When answers are too slow.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Slow {
    /// An answer whose head took longer is slow.
    pub over: Spanned<Duration>,
    /// The share of slow answers that opens the circuit.
    pub ratio: Spanned<Share>,
}

/// How an upstream is tried whose circuit was open.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct HalfOpen {
    /// So many probes at once; by default 5.
    #[serde(default = "count::<5>")]
    pub max_concurrent: Spanned<u32>,
    /// So many in a row must succeed; by default 3.
    #[serde(default = "count::<3>")]
    pub successes: Spanned<u32>,
}

/// What is answered in place of the upstream: one of the three.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Fallback {
    /// The last good answer to the same request.
    Cached(Cached),
    /// Another pool's answer.
    Upstream(Spanned<String>),
    /// A fixed answer.
    Respond(Respond),
}

/// Which earlier answers serve.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Cached {
    /// Older ones do not.
    pub max_age: Spanned<Duration>,
    /// Whose they are: a copy is kept for every value of this fact, and none for a request without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per: Option<Spanned<Selector>>,
}

/// A fixed answer: a status, with `json`, `body` or neither.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Respond {
    /// 200 (the default) to 599.
    #[serde(default = "Respond::usual_status")]
    pub status: Spanned<u16>,
    /// Headers beside Content-Length and Cache-Control.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Spanned<String>>,
    /// A body of any JSON value, sent as application/json.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json: Option<Spanned<serde_json::Value>>,
    /// A body of text, sent as text/plain where `headers` says nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Spanned<String>>,
}

impl Respond {
    fn usual_status() -> Spanned<u16> {
        Spanned::nowhere(200)
    }
}

/// Something that is the upstream's fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blame {
    /// No connection, or it broke off before the head.
    ConnectFailure,
    /// Too slow to connect or to answer.
    Timeout,
    /// An answer with a status of these.
    Status(RangeInclusive<u16>),
}

impl Blame {
    fn usual() -> Spanned<Vec<Self>> {
        Spanned::nowhere(vec![Self::ConnectFailure, Self::Timeout, Self::Status(500..=599)])
    }

    fn read(text: &str) -> Result<Self, String> {
        let status = |text: &str| text.parse().ok().filter(|status| (400..=599).contains(status));
        match text {
            "connect_failure" => return Ok(Self::ConnectFailure),
            "timeout" => return Ok(Self::Timeout),
            _ => {}
        }
        let (from, to) = text.split_once('-').unwrap_or((text, text));
        match (status(from), status(to)) {
            (Some(from), Some(to)) if from <= to => Ok(Self::Status(from..=to)),
            _ => {
                Err(format!("`{text}` is not a failure: connect_failure, timeout, or a status or range between 400 and 599, as in 500-599"))
            }
        }
    }
}

impl fmt::Display for Blame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConnectFailure => f.write_str("connect_failure"),
            Self::Timeout => f.write_str("timeout"),
            Self::Status(range) if range.start() == range.end() => write!(f, "{}", range.start()),
            Self::Status(range) => write!(f, "{}-{}", range.start(), range.end()),
        }
    }
}

impl Serialize for Blame {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Blame {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// A single status is a number where it is not quoted.
        struct TextOrNumber;
        impl Visitor<'_> for TextOrNumber {
            type Value = Blame;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("connect_failure, timeout, or a status or range such as 500-599")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Blame, E> {
                Blame::read(text).map_err(E::custom)
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Blame, E> {
                Blame::read(&number.to_string()).map_err(E::custom)
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Blame, E> {
                Blame::read(&number.to_string()).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(TextOrNumber)
    }
}

impl JsonSchema for Blame {
    fn schema_name() -> Cow<'static, str> {
        "CircuitFailure".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "What is the upstream's fault: connect_failure, timeout, a status, or a range of them.",
            "anyOf": [
                {"type": "string", "pattern": "^(connect_failure|timeout|[45][0-9]{2}(-[45][0-9]{2})?)$"},
                {"type": "integer", "minimum": 400, "maximum": 599},
            ],
        })
    }
}

fn seconds<const N: u64>() -> Spanned<Duration> {
    Spanned::nowhere(Duration(std::time::Duration::from_secs(N)))
}

fn count<const N: u32>() -> Spanned<u32> {
    Spanned::nowhere(N)
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

    /// The facts of a request that it reads.
    pub fn selectors(&self) -> Vec<&Spanned<Selector>> {
        self.cached().and_then(|(_, cached)| cached.per.as_ref()).into_iter().collect()
    }

    /// The pools that its fallbacks ask.
    pub fn pools(&self) -> Vec<&Spanned<String>> {
        let each = self.fallback.iter().map(|fallback| &fallback.value);
        each.filter_map(|fallback| match fallback {
            Fallback::Upstream(pool) => Some(pool),
            Fallback::Cached(_) | Fallback::Respond(_) => None,
        })
        .collect()
    }

    /// Where it keeps answers for everybody alike: a `cached` without `per`. Behind a `jwt` that would show one user's data to others.
    pub fn caches_for_all(&self) -> Option<Place> {
        self.cached().filter(|(_, cached)| cached.per.is_none()).map(|(place, _)| place)
    }

    /// The `cached` fallback and where it stands.
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
