//! What is told of upstreams, of their endpoints, and of where these come from.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::config::model::UpstreamProtocol;
use crate::telemetry::EndpointState;

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
    /// Whether its endpoints are probed: else one is healthy until requests to it fail.
    #[serde(default = "is_probed")]
    pub probed: bool,
    /// Its endpoints.
    pub endpoints: Vec<EndpointStatus>,
    /// Where they come from, where not all are written as addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discovery: Option<DiscoveryStatus>,
}

/// Of a gateway that does not tell, nothing is said.
fn is_probed() -> bool {
    true
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
