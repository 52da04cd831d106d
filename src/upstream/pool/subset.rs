//! A part of a pool: its endpoints of some versions, or those of all others.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use super::{Endpoint, Pool};

/// Which endpoints, by the version that they are described with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Versions {
    /// Those of one of these versions. One without a version is not among them.
    Of(BTreeSet<String>),
    /// All others, those without a version among them.
    Without(BTreeSet<String>),
}

impl Versions {
    /// Whether the endpoint is one of them.
    fn have(&self, endpoint: &Endpoint) -> bool {
        let is_named = |versions: &BTreeSet<String>| {
            let version = endpoint.version.as_ref().and_then(|version| std::str::from_utf8(version.as_bytes()).ok());
            version.is_some_and(|version| versions.contains(version))
        };
        match self {
            Self::Of(versions) => is_named(versions),
            Self::Without(versions) => !is_named(versions),
        }
    }
}

/// A part of a pool.
pub(crate) struct Subset(Versions);

impl Subset {
    /// Whether it has this endpoint.
    pub(super) fn has(&self, endpoint: &Endpoint) -> bool {
        self.0.have(endpoint)
    }
}

impl Pool {
    /// The part of this pool with the endpoints of these versions, those that come later included.
    pub(crate) fn subset(&self, versions: Versions) -> Arc<Subset> {
        Arc::new(Subset(versions))
    }

    /// Whether any endpoint of this part, or of all, takes requests.
    pub(crate) fn has_usable(&self, subset: Option<&Subset>) -> bool {
        let now = self.millis(Instant::now());
        let has = |endpoint: &Endpoint| subset.is_none_or(|subset| subset.has(endpoint));
        self.members.load().endpoints.iter().any(|endpoint| endpoint.weight > 0 && has(endpoint) && endpoint.is_usable(now))
    }
}
