//! What is told of configurations: which one is in force and how it came to be so, which were before it, and what became of reloads.

use serde::{Deserialize, Serialize};

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
    /// What is another than in the one before it, an entry each; nothing where none is kept from before, or one of the two cannot be read now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<Vec<String>>,
    /// The files that it was read from.
    pub files: Vec<String>,
}

/// The answer to a reload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Reloaded {
    /// The hash of the configuration in force.
    pub hash: String,
    /// What is not as before, an entry each.
    pub changed: Vec<String>,
    /// What has to be seen to because of that, a sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
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
