//! A part of a pool: its endpoints of some versions, or those of all others, with tables of their own to choose from.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use frontgate_filters::clock;

use super::Pool;
use super::endpoint::Endpoint;

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
    pub(super) fn have(&self, endpoint: &Endpoint) -> bool {
        self.name(endpoint.version.as_ref().and_then(|version| std::str::from_utf8(version.as_bytes()).ok()))
    }

    /// Whether an endpoint of this version is one of them.
    pub(crate) fn name(&self, version: Option<&str>) -> bool {
        let is_in = |versions: &BTreeSet<String>| version.is_some_and(|version| versions.contains(version));
        match self {
            Self::Of(versions) => is_in(versions),
            Self::Without(versions) => !is_in(versions),
        }
    }
}

/// A part of a pool, which the pool has tables of for as long as somebody holds this.
pub(crate) struct Subset {
    versions: Versions,
    /// The pool that it is a part of.
    pub(super) pool: u64,
    /// Where that has its tables.
    pub(super) place: usize,
    /// Requests that were given an endpoint of it, and have not ended.
    pub(super) in_flight: AtomicU64,
}

impl Subset {
    /// Which endpoints it has.
    pub(crate) fn versions(&self) -> &Versions {
        &self.versions
    }
}

/// Who has a part of a pool just now, each at its place.
pub(super) type Parts = [Option<Arc<Subset>>];

/// The parts of a pool that somebody holds, each at its place.
#[derive(Default)]
pub(super) struct Held(Vec<Weak<Subset>>);

impl Held {
    /// Those that are held still.
    pub(super) fn parts(&self) -> Box<Parts> {
        self.0.iter().map(Weak::upgrade).collect()
    }

    /// The part of these versions, which is new if nobody holds one.
    fn part(&mut self, versions: Versions, pool: u64) -> Arc<Subset> {
        let held: Vec<Option<Arc<Subset>>> = self.0.iter().map(Weak::upgrade).collect();
        if let Some(subset) = held.iter().flatten().find(|subset| subset.versions == versions) {
            return subset.clone();
        }
        let place = held.iter().position(Option::is_none).unwrap_or(held.len());
        let subset = Arc::new(Subset { versions, pool, place, in_flight: AtomicU64::new(0) });
        self.0.resize(self.0.len().max(place + 1), Weak::new());
        self.0[place] = Arc::downgrade(&subset);
        subset
    }
}

/// A request that counts as one of a part's, until it is dropped.
pub(super) struct InPart(Arc<Subset>);

impl InPart {
    pub(super) fn of(subset: &Arc<Subset>) -> Self {
        subset.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(subset.clone())
    }
}

impl Drop for InPart {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Pool {
    /// The part of this pool with the endpoints of these versions, those that come later included. While it is held there are tables of it;
    /// those who ask for the same part hold the same one.
    pub(crate) fn subset(&self, versions: Versions) -> Arc<Subset> {
        let now = self.millis(clock::now());
        let mut changing = self.changing.lock();
        let subset = changing.part(versions, self.id);
        self.rebuild(&changing, now);
        subset
    }

    /// Whether any endpoint of this part, or of all, takes requests, as of the last time that tables were made.
    pub(crate) fn has_usable(&self, subset: Option<&Subset>) -> bool {
        let members = self.members.load();
        match subset {
            None => !members.whole.usable.is_empty(),
            Some(subset) => self.part(&members, subset).is_some_and(|view| !view.usable.is_empty()),
        }
    }
}
