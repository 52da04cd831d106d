//! A request of which a copy is to be made, while its original is on the way.

use std::sync::Arc;

use super::pair::Pair;
use super::{Copied, Mirror, send};
use crate::telemetry::{Place, Skipped};

/// A request that was drawn. Dropped before its copy went out, it counts as skipped.
pub(crate) struct Tee {
    mirror: Arc<Mirror>,
    /// Its copy's place among those in flight, until it goes with the copy.
    place: Option<Place>,
    /// Both statuses, until the original's was told.
    pair: Option<Arc<Pair>>,
}

impl Tee {
    pub(super) fn new(mirror: Arc<Mirror>, place: Place) -> Self {
        let pair = Pair::new(mirror.metrics.clone());
        Self { mirror, place: Some(place), pair: Some(pair) }
    }

    /// Its mirror.
    pub(crate) fn mirror(&self) -> &Mirror {
        &self.mirror
    }

    /// Whether its copy is still to be sent.
    pub(crate) fn is_waiting(&self) -> bool {
        self.place.is_some()
    }

    /// The most bytes of its body that the copy may have; with 0 the copy has no body, and does not wait for any.
    pub(crate) fn most(&self) -> usize {
        self.mirror.most
    }

    /// The copy cannot be made, for this reason.
    pub(crate) fn skip(&mut self, why: Skipped) {
        if self.place.take().is_some() {
            self.mirror.metrics.skipped(why);
        }
    }

    /// Sends the copy on its way; nobody waits for it.
    pub(crate) fn send(&mut self, mut copied: Copied) {
        let (Some(place), Some(pair)) = (self.place.take(), &self.pair) else { return };
        self.mirror.dress(&mut copied.fields);
        tokio::spawn(send(self.mirror.clone(), copied, place, pair.clone()));
    }

    /// The original has ended with this status of its upstream, or with none.
    pub(crate) fn original(&mut self, status: Option<u16>) {
        if let Some(pair) = self.pair.take() {
            pair.original(status);
        }
    }
}

impl Drop for Tee {
    fn drop(&mut self) {
        self.skip(Skipped::Original);
        self.original(None);
    }
}
