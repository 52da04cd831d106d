//! What operators are told: the types behind `/healthz?full=1` and the other answers of the admin address, written by the gateway and read
//! back by the command line.

mod acts;
mod canaries;
mod circuits;
mod configurations;
mod drills;
mod limits;
mod log_level;
mod sagas;
#[cfg(test)]
mod tests;
mod upstreams;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub(crate) use self::acts::{Accepted, ByHand, Draining};
pub(crate) use self::canaries::CanaryStatus;
pub(crate) use self::circuits::{CircuitForced, CircuitState, CircuitStatus, Force};
pub(crate) use self::configurations::{HistoryStatus, InForce, KeptConfiguration, ReloadStatus, Reloaded, RolledBack};
pub(crate) use self::drills::{DrillStatus, DrillsStatus};
pub(crate) use self::limits::{LimitedKey, LimitsStatus};
pub(crate) use self::log_level::{Level, LogLevel, LogLevelSet};
#[cfg_attr(not(feature = "saga"), allow(unused_imports, reason = "there are no sagas to tell of"))]
pub(crate) use self::sagas::{
    SagaAct, SagaAnswer, SagaBrief, SagaCount, SagaJournal, SagaList, SagaNeeds, SagaObeyed, SagaState, SagaStatus, SagaStep,
    SagaStepStatus, SagaUndo, SagaWay, SagasStatus,
};
pub(crate) use self::upstreams::{DiscoveryStatus, EndpointStatus, SourceState, SourceStatus, UpstreamStatus};

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
    /// The versions that canaries choose, by route in the order of the configuration, `stable` last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub canaries: Vec<CanaryStatus>,
    /// The circuits that were ever asked.
    pub circuits: Vec<CircuitStatus>,
    /// The key sets from elsewhere, by the filters that use them.
    pub key_sets: BTreeMap<String, KeySetStatus>,
    /// The sagas, where there is a place to keep them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sagas: Option<SagasStatus>,
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

/// What is known of a key set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeySetStatus {
    /// How long ago its keys were last known to be the issuer's.
    pub age_seconds: u64,
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
