//! Tokens that were verified, by the keyed hash of all their bytes. Bounded by weight, so that long tokens push out more.

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache as Quick;

use super::Verified;

/// The most that the tokens of one filter may take, about, in bytes.
const CAPACITY: u64 = 64 << 20;
/// A guess that only sizes the tables.
const ITEMS: usize = 8192;

/// The bounded cache.
pub(super) struct Cache(Quick<u128, Arc<Verified>, Weigh>);

#[derive(Clone)]
struct Weigh;

impl Weighter<u128, Arc<Verified>> for Weigh {
    fn weight(&self, _: &u128, verified: &Arc<Verified>) -> u64 {
        verified.weight
    }
}

impl Cache {
    pub(super) fn new() -> Self {
        Self(Quick::with_weighter(ITEMS, CAPACITY, Weigh))
    }

    pub(super) fn get(&self, name: u128) -> Option<Arc<Verified>> {
        self.0.get(&name)
    }

    /// Remembers a token, over what was known of it under other keys.
    pub(super) fn put(&self, name: u128, verified: Arc<Verified>) {
        self.0.insert(name, verified);
    }

    #[cfg(test)]
    pub(super) fn weight(&self) -> u64 {
        self.0.weight()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
