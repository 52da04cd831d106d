//! What operators are answered who do something to the endpoints or to the gateway itself.

use serde::Serialize;

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
    /// How long it holds, in milliseconds, where that has an end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub for_ms: Option<u64>,
    /// What is probably not meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}
