//! What is told of the versions that canaries choose, whether anybody was given them or not.

use serde::{Deserialize, Serialize};

/// A version that a route's canary chooses, or `stable`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CanaryStatus {
    /// The route's name.
    pub route: String,
    /// The version's.
    pub version: String,
    /// The upstreams whose endpoints answer for it.
    pub upstreams: Vec<String>,
    /// The share of the route's requests that is written for it, such as `5%`, where one is.
    pub share: Option<String>,
    /// Requests that it answered since the start.
    pub answered: u64,
    /// Those of them with a status of 500 or above.
    pub failed: u64,
    /// Requests that it was chosen for, and that stable answered since nobody else could.
    pub spilled: u64,
}
