//! Whom rate limits refused.

use serde::{Deserialize, Serialize};

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
