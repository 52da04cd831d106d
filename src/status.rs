//! What operators are told: the types behind `/healthz?full=1` and the other answers of the admin address, written by the gateway and read
//! back by the command line.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use frontgate_filters::filter::inspect::{CircuitState as State, Forced};
use serde::{Deserialize, Serialize};

use crate::config::model::UpstreamProtocol;
use crate::telemetry::EndpointState;

/// Everything that the gateway depends on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Status {
    /// Whether it serves.
    pub status: Health,
    /// Why it does not do so as it should, a sentence each.
    #[serde(default)]
    pub reasons: Vec<String>,
    /// The gateway's version.
    pub version: String,
    /// The hash of the configuration in force.
    pub config: String,
    /// How it came to be so.
    #[serde(default)]
    pub in_force: Option<InForce>,
    /// What an operator has set the level of the gateway's own log to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_level: Option<LogLevel>,
    /// Requests in flight.
    pub requests_in_flight: usize,
    /// Lines of the access log that were lost.
    pub log_lines_dropped: u64,
    /// Whether there is more to do than it can.
    #[serde(default)]
    pub overload: OverloadStatus,
    /// The upstreams, by name.
    pub upstreams: BTreeMap<String, UpstreamStatus>,
    /// The circuits that were ever asked.
    pub circuits: Vec<CircuitStatus>,
    /// The key sets from elsewhere, by the filters that use them.
    pub key_sets: BTreeMap<String, KeySetStatus>,
}

/// How the configuration in force came to be so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InForce {
    /// `start`, `watch`, `signal`, `admin` or `rollback`.
    pub how: String,
    /// The operator who asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// Since when (RFC 3339).
    pub since: String,
    /// What the files hold in its place, after a rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_disk: Option<String>,
    /// When they were read last (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_disk_at: Option<String>,
    /// What ends the rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holds: Option<String>,
}

impl InForce {
    /// What the files hold in its place and since when that is known, in a line.
    pub(crate) fn on_disk_in_words(&self) -> Option<String> {
        let at = self.on_disk_at.as_ref().map(|at| format!(" (as read at {at})")).unwrap_or_default();
        self.on_disk.as_ref().map(|on_disk| format!("{on_disk}{at}"))
    }
}

/// What an operator has set the level of the gateway's own log to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LogLevel {
    /// The level.
    pub level: Level,
    /// How much longer, in milliseconds.
    pub for_ms: u64,
}

/// The answer to an operator who sets the level of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct LogLevelSet {
    /// The level.
    pub level: Level,
    /// How long, in milliseconds, where it has an end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub for_ms: Option<u64>,
}

/// How much the gateway's own log tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Level {
    /// What went wrong.
    Error,
    /// And what may go wrong, and what operators do.
    Warn,
    /// And what happens.
    Info,
    /// And why single attempts at upstreams fail.
    Debug,
    /// What the process was started with.
    Usual,
}

/// The configurations that were accepted of late.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HistoryStatus {
    /// Those that are kept, the last one first.
    pub configurations: Vec<KeptConfiguration>,
    /// How the one in force came to be so.
    pub in_force: InForce,
    /// What of the history cannot be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

/// A configuration that was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptConfiguration {
    /// Its hash.
    pub hash: String,
    /// When it was accepted (RFC 3339).
    pub at: String,
    /// How it came: `start`, `watch`, `signal` or `admin`.
    pub how: String,
    /// The operator who asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// Whether it is in force.
    pub in_force: bool,
    /// The files that it was read from.
    pub files: Vec<String>,
}

/// Whether the gateway serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Health {
    /// It does.
    Ok,
    /// It does, and something is not as it should be.
    Degraded,
    /// A required upstream has no healthy endpoint.
    Down,
    /// It is about to end.
    Draining,
}

/// What can run short, and what is given up for it: nothing (0), routes of low priority (1), those of normal priority, too (2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OverloadStatus {
    /// What is given up in all.
    pub stage: u8,
    /// Since when something runs short, in milliseconds.
    pub for_ms: Option<u64>,
    /// Memory, in bytes.
    pub memory: Option<UsedStatus>,
    /// Files and sockets.
    pub descriptors: Option<UsedStatus>,
    /// How late the latest worker thread comes to what is due, in milliseconds.
    pub lag_ms: Option<u64>,
    /// What is given up for that.
    pub lag_stage: u8,
}

/// How much of something is in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UsedStatus {
    /// So much.
    pub used: u64,
    /// Of so much.
    pub most: u64,
    /// Whose bound that is.
    pub of: String,
    /// What is given up for it.
    pub stage: u8,
}

/// What is known of an upstream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UpstreamStatus {
    /// Whether any endpoint is healthy.
    pub alive: bool,
    /// Whether the gateway is not ready without it.
    pub required: bool,
    /// Requests in flight.
    pub in_flight: u64,
    /// Those of them that are retries.
    pub retrying: u64,
    /// How long a response's head may take now, in milliseconds.
    pub first_byte_ms: u64,
    /// Whether that follows what the upstream takes.
    pub adaptive: bool,
    /// Its endpoints.
    pub endpoints: Vec<EndpointStatus>,
    /// Where they come from, where not all are written as addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discovery: Option<DiscoveryStatus>,
}

/// What is known of where an upstream's endpoints come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DiscoveryStatus {
    /// Each source, in the written order.
    pub sources: Vec<SourceStatus>,
}

/// What is known of a source of endpoints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SourceStatus {
    /// Which it is.
    pub source: String,
    /// Whether what it says is known, and believed.
    pub state: SourceState,
    /// How long ago it last said what its endpoints are; while it waits, since when it is asked.
    pub age_seconds: u64,
    /// How many endpoints there are of it.
    pub endpoints: usize,
    /// How many of them it no longer names.
    pub held: usize,
    /// Why it could not be asked the last time.
    #[serde(default)]
    pub why: Option<String>,
}

/// Whether what a source says is known, and believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SourceState {
    /// It answers, and its endpoints are what it says.
    Current,
    /// It answers, and some that it no longer names stay, since it may be wrong.
    Doubtful,
    /// It cannot be asked: its last endpoints stay.
    Away,
    /// It answers, but what it says holds a mistake: its last endpoints stay.
    Invalid,
    /// It has not answered yet: its endpoints are what was kept on disk.
    Warm,
    /// It has not answered yet, and has no endpoints.
    Waiting,
}

/// What is known of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EndpointStatus {
    /// Where it listens.
    pub address: SocketAddr,
    /// The name that it was found under, where it is the address of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether it takes requests.
    pub state: EndpointState,
    /// Its share of the requests beside the others' weights.
    pub weight: u32,
    /// Requests in flight.
    pub in_flight: u64,
    /// How much longer it is ejected, in milliseconds.
    pub ejected_for_ms: Option<u64>,
    /// Its version, where the configuration names one.
    pub version: Option<String>,
    /// What was wrong with the last probe or request that failed there.
    #[serde(default)]
    pub last_error: Option<String>,
    /// How long ago that was, in milliseconds.
    #[serde(default)]
    pub last_error_ms_ago: Option<u64>,
    /// What it is spoken to in, where the configuration says so.
    #[serde(default)]
    pub protocol: Option<UpstreamProtocol>,
    /// How much longer it is taken out by hand, in milliseconds, where that has an end.
    #[serde(default)]
    pub drained_for_ms: Option<u64>,
    /// Whether its weight was set by hand.
    #[serde(default)]
    pub weighed_by_hand: bool,
    /// How much longer it has that weight, in milliseconds, where that has an end.
    #[serde(default)]
    pub weighed_for_ms: Option<u64>,
}

/// What is known of a circuit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CircuitStatus {
    /// The circuit breaker's name.
    pub filter: String,
    /// The upstream's.
    pub upstream: String,
    /// What requests meet.
    pub state: CircuitState,
    /// Requests in the window.
    pub requests: u32,
    /// Those of them that failed.
    pub failures: u32,
    /// Those of them that were slow.
    pub slow: u32,
    /// Probes under way.
    pub probes: u32,
    /// How much longer it stays open before it is probed, in milliseconds.
    pub open_for_ms: Option<u64>,
    /// What an operator holds it in.
    pub forced: Option<Force>,
    /// For how much longer, in milliseconds, where that has an end.
    #[serde(default)]
    pub forced_for_ms: Option<u64>,
}

/// The state of a circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CircuitState {
    /// Everything passes.
    Closed,
    /// A few probes pass.
    HalfOpen,
    /// Nothing passes.
    Open,
}

/// What an operator makes of a circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Force {
    /// Nothing passes, until further notice.
    Open,
    /// Everything passes, until further notice.
    Closed,
    /// It decides by itself again.
    Auto,
}

/// What is known of a key set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeySetStatus {
    /// How long ago its keys were last known to be the issuer's.
    pub age_seconds: u64,
}

/// Whom limits refused of late.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LimitsStatus {
    /// Those that were refused most, first.
    pub keys: Vec<LimitedKey>,
}

/// A key that a limit refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LimitedKey {
    /// The limit's name.
    pub filter: String,
    /// The key's tier, where there are tiers.
    pub tier: Option<String>,
    /// The key as the access log shows it.
    pub key: String,
    /// How often it was refused.
    pub refused: u64,
    /// How long ago the last time was, in milliseconds.
    pub last_ms_ago: u64,
}

/// The answer to a reload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Reloaded {
    /// The hash of the configuration in force.
    pub hash: String,
    /// What is not as before, an entry each.
    pub changed: Vec<String>,
}

/// The answer to a rollback.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct RolledBack {
    /// The hash of the configuration in force.
    pub hash: String,
    /// What is not as before, an entry each.
    pub changed: Vec<String>,
    /// What the files hold in its place.
    pub on_disk: Option<String>,
    /// What ends the rollback; nothing where the files hold this very configuration, so that nothing is held.
    pub holds: Option<String>,
}

/// A reload of late, or the start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ReloadStatus {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// The hash of what came into force; nothing where it was refused.
    pub config: Option<String>,
    /// What was not as before, an entry each.
    pub changed: Vec<String>,
    /// How it came to be so, as of what is in force.
    pub how: Option<String>,
    /// The operator who asked for it.
    pub who: Option<String>,
    /// Why it was refused.
    pub why: Option<String>,
}

/// The answer to a drain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Draining {
    /// Requests in flight, which are waited for.
    pub requests_in_flight: usize,
}

/// The answer to an operator who believes what an upstream's sources say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Accepted<'u> {
    /// The upstream.
    pub upstream: &'u str,
    /// How many endpoints left that the sources no longer name.
    pub left: usize,
}

/// The answer to an operator who sets something for an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ByHand<'u> {
    /// The upstream's name.
    pub upstream: &'u str,
    /// The endpoint's address, or its name and port.
    pub endpoint: &'u str,
    /// How many endpoints that is.
    pub endpoints: usize,
    /// What is probably not meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

/// The answer to an operator who forces a circuit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct CircuitForced<'c> {
    /// The circuit breaker's name.
    pub filter: &'c str,
    /// The upstream's.
    pub upstream: &'c str,
    /// What it is forced to.
    pub force: Force,
}

impl From<State> for CircuitState {
    fn from(state: State) -> Self {
        match state {
            State::Closed => Self::Closed,
            State::HalfOpen => Self::HalfOpen,
            State::Open => Self::Open,
        }
    }
}

impl Level {
    /// As it is written.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Usual => "usual",
        }
    }

    /// The level of this name.
    pub(crate) fn parse(label: &str) -> Option<Self> {
        [Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Usual].into_iter().find(|level| level.label() == label)
    }
}

impl CircuitState {
    /// As logs and metrics write it.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open => "open",
        }
    }
}

impl From<Forced> for Force {
    fn from(forced: Forced) -> Self {
        match forced {
            Forced::Open => Self::Open,
            Forced::Closed => Self::Closed,
        }
    }
}

impl SourceState {
    /// As it is written.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Doubtful => "doubtful",
            Self::Away => "away",
            Self::Invalid => "invalid",
            Self::Warm => "warm",
            Self::Waiting => "waiting",
        }
    }
}

impl Force {
    /// What a circuit is held in; nothing where it decides by itself.
    pub(crate) fn held(self) -> Option<Forced> {
        match self {
            Self::Open => Some(Forced::Open),
            Self::Closed => Some(Forced::Closed),
            Self::Auto => None,
        }
    }

    /// As it is written.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Auto => "auto",
        }
    }

    /// As it was written; none of the three is an error.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Open, Self::Closed, Self::Auto].into_iter().find(|force| force.label() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIRE: &str = r#"{"status":"down","reasons":["the required upstream `main` has no endpoint that takes requests"],"version":"0.1.0","config":"abc123","in_force":{"how":"rollback","who":"127.0.0.1:4711 without a token","since":"2026-02-03T04:05:06Z","on_disk":"the files hold another","on_disk_at":"2026-02-03T04:06:06Z","holds":"until they do not"},"log_level":{"level":"debug","for_ms":60000},"requests_in_flight":2,"log_lines_dropped":0,"overload":{"stage":1,"for_ms":1500,"memory":{"used":95,"most":100,"of":"the limit of the control group","stage":1},"descriptors":null,"lag_ms":3,"lag_stage":0},"upstreams":{"main":{"alive":false,"required":true,"in_flight":3,"retrying":1,"first_byte_ms":15000,"adaptive":false,"endpoints":[{"address":"10.0.0.1:80","state":"ejected","weight":1,"in_flight":0,"ejected_for_ms":1500,"version":null,"last_error":"status 503","last_error_ms_ago":1200,"protocol":"h2","drained_for_ms":null,"weighed_by_hand":true,"weighed_for_ms":2500},{"address":"10.0.0.2:80","name":"users.internal:80","state":"unhealthy","weight":2,"in_flight":3,"ejected_for_ms":null,"version":"v2","last_error":null,"last_error_ms_ago":null,"protocol":null,"drained_for_ms":null,"weighed_by_hand":false,"weighed_for_ms":null}],"discovery":{"sources":[{"source":"file targets.json","state":"away","age_seconds":7,"endpoints":2,"held":1,"why":"it does not exist"}]}}},"circuits":[{"filter":"guard","upstream":"main","state":"half_open","requests":20,"failures":11,"slow":0,"probes":1,"open_for_ms":null,"forced":"open","forced_for_ms":60000}],"key_sets":{"login":{"age_seconds":61}}}"#;

    #[test]
    fn what_is_written_is_what_programs_know_and_is_read_back_whole() {
        let status: Status = serde_json::from_str(WIRE).expect("a status");

        assert_eq!(serde_json::to_string(&status).expect("JSON"), WIRE);
        assert_eq!(status.upstreams["main"].endpoints[0].state, EndpointState::Ejected);
        assert_eq!((status.circuits[0].state, status.circuits[0].forced), (CircuitState::HalfOpen, Some(Force::Open)));
    }

    #[test]
    fn what_a_newer_gateway_tells_in_addition_is_passed_over() {
        let newer = WIRE.replacen("{\"status\"", "{\"news\":[1],\"status\"", 1);

        assert_eq!(serde_json::from_str::<Status>(&newer).ok(), serde_json::from_str(WIRE).ok());
    }

    #[test]
    fn labels_are_the_words_on_the_wire() {
        for force in [Force::Open, Force::Closed, Force::Auto] {
            assert_eq!(serde_json::to_value(force).expect("JSON"), force.label());
            assert_eq!(Force::parse(force.label()), Some(force));
        }
        for state in [State::Closed, State::HalfOpen, State::Open] {
            let told = CircuitState::from(state);
            assert_eq!((serde_json::to_value(told).expect("JSON"), told.label()), (state.name().into(), state.name()));
        }
        use SourceState::{Away, Current, Doubtful, Invalid, Waiting, Warm};
        for state in [Current, Doubtful, Away, Invalid, Warm, Waiting] {
            assert_eq!(serde_json::to_value(state).expect("JSON"), state.label());
        }
        for state in EndpointState::ALL {
            assert_eq!(serde_json::to_value(state).expect("JSON"), state.label());
        }
        for level in [Level::Error, Level::Warn, Level::Info, Level::Debug, Level::Usual] {
            assert_eq!(serde_json::to_value(level).expect("JSON"), level.label());
            assert_eq!(Level::parse(level.label()), Some(level));
        }
        assert_eq!((Force::parse("ajar"), Level::parse("loud")), (None, None));
    }
}
