//! The choice of an endpoint for one attempt, and the chosen one, which counts as in flight until it is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::Pool;
use super::budget::Place;
use super::endpoint::Endpoint;
use super::members::{Members, View};
use super::subset::{InPart, Subset};
use crate::upstream::balance::{Candidates, Foreseen, UNIT, random};
use crate::upstream::cause::Cause;

/// An endpoint chosen for one attempt, counted as in flight until it is dropped.
pub(crate) struct Pick {
    place: Place,
    endpoint: Arc<Endpoint>,
    _part: Option<InPart>,
}

/// Why there is no endpoint for an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoPick {
    /// The upstream has as many requests as it may.
    Full,
    /// No endpoint takes requests.
    NoEndpoint,
}

/// What the choice of an endpoint may count on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Choosy {
    /// Healthy ones that were not tried, and those that just came back only now and then.
    Very,
    /// Healthy ones that were not tried.
    Healthy,
    /// Healthy ones.
    Tried,
    /// All that were not tried: where none is healthy, the probes may be what is wrong.
    Untried,
    /// All.
    Not,
}

/// What is tried in turn; and where only what is healthy is asked.
const ALL: &[Choosy] = &[Choosy::Very, Choosy::Healthy, Choosy::Untried, Choosy::Not];
const HEALTHY: &[Choosy] = &[Choosy::Very, Choosy::Healthy, Choosy::Tried];

struct Choice<'p> {
    pool: &'p Pool,
    members: &'p Members,
    view: &'p View,
    subset: Option<&'p Subset>,
    tried: &'p [u64],
    now: u64,
    choosy: Choosy,
}

impl Candidates for Choice<'_> {
    fn takes(&self, index: usize) -> bool {
        let endpoint = &self.members.endpoints[index];
        match self.choosy {
            Choosy::Very | Choosy::Healthy | Choosy::Tried if !endpoint.is_usable(self.now) => false,
            Choosy::Very if !self.pool.is_warm(endpoint, self.now) => false,
            Choosy::Untried | Choosy::Not if endpoint.is_drained(self.now) => false,
            Choosy::Tried | Choosy::Not => true,
            _ => !self.tried.contains(&endpoint.id()),
        }
    }

    fn load(&self, index: usize) -> u64 {
        let endpoint = &self.members.endpoints[index];
        (endpoint.in_flight() * UNIT) / u64::from(endpoint.weight(self.now).max(1))
    }

    /// All requests in flight over the weights that took some when last looked at. A part of a pool has its own, and its endpoints those of the
    /// whole pool, too: the larger mean holds.
    fn mean_load(&self) -> u64 {
        let mean = |in_flight: &AtomicU64, view: &View| (in_flight.load(Ordering::Relaxed).max(1)) * UNIT / view.weight.max(1);
        let whole = mean(&self.pool.load.in_flight, &self.members.whole);
        self.subset.map_or(whole, |subset| whole.max(mean(&subset.in_flight, self.view)))
    }
}

impl Pool {
    /// Chooses an endpoint for an attempt of a request with this hash, none of those tried before while another is left: of this part of the
    /// pool, or of all.
    pub(crate) fn choose(
        self: &Arc<Self>,
        hash: Option<u64>,
        subset: Option<&Arc<Subset>>,
        tried: &[u64],
        now: Instant,
    ) -> Result<Pick, NoPick> {
        let place = Place::take(self).ok_or(NoPick::Full)?;
        let now = self.millis(now);
        self.catch_up(now);
        let members = self.members.load();
        let view = match subset {
            None => &members.whole,
            Some(subset) => self.part(&members, subset).ok_or(NoPick::NoEndpoint)?,
        };
        let of = subset.map(|subset| &**subset);
        let index = (if self.settings.panic { ALL } else { HEALTHY })
            .iter()
            .find_map(|&choosy| {
                let balancer = if matches!(choosy, Choosy::Untried | Choosy::Not) { &view.everything } else { &view.usable };
                balancer.choose(hash, &Choice { pool: self, members: &members, view, subset: of, tried, now, choosy })
            })
            .ok_or(NoPick::NoEndpoint)?;
        let endpoint = members.endpoints[index].clone();
        endpoint.known.in_flight.fetch_add(1, Ordering::Relaxed);
        Ok(Pick { place, endpoint, _part: subset.map(InPart::of) })
    }

    /// What [`Pool::choose`] would do now, in words; nothing is taken for it, and no turn.
    pub(crate) fn foresee(&self, hash: Option<u64>, subset: Option<&Subset>, now: Instant) -> String {
        let most = self.settings.max_connections.map(|most| u64::from(most.get()));
        if most.is_some_and(|most| self.load.in_flight.load(Ordering::Relaxed) >= most) {
            return "nobody: the upstream has as many requests as it may".to_owned();
        }
        let (now, members) = (self.millis(now), self.members.load());
        let view = subset.map_or(Some(&members.whole), |subset| self.part(&members, subset));
        let Some(view) = view else { return "nobody".to_owned() };
        for &choosy in if self.settings.panic { ALL } else { HEALTHY } {
            let balancer = if matches!(choosy, Choosy::Untried | Choosy::Not) { &view.everything } else { &view.usable };
            let choice = Choice { pool: self, members: &members, view, subset, tried: &[], now, choosy };
            let Some(foreseen) = balancer.foresee(hash, &choice) else { continue };
            let panics = if choosy == Choosy::Untried { ", since none is healthy and all are tried" } else { "" };
            let text = |index: usize| &members.endpoints[index].text;
            return match foreseen {
                Foreseen::Next(index) => format!("{}, whose turn it is{panics}", text(index)),
                Foreseen::Hashed(index) => format!("{}, where its hash leads{panics}", text(index)),
                Foreseen::Drawn => format!("one that is drawn{panics}"),
                Foreseen::LessBusy => format!("the less busy one of two that are drawn{panics}"),
            };
        }
        "nobody: no endpoint takes requests".to_owned()
    }

    /// The tables of a part of this pool; none where it is another pool's.
    pub(super) fn part<'m>(&self, members: &'m Members, subset: &Subset) -> Option<&'m View> {
        members.parts.get(subset.place).filter(|_| subset.pool == self.id)?.as_ref()
    }

    /// Whether an endpoint that has come back gets this request: at first one in ten of its share, all of it when slow start is over.
    fn is_warm(&self, endpoint: &Endpoint, now: u64) -> bool {
        let Some(slow_start) = self.settings.slow_start else { return true };
        let since = endpoint.known.back_since.load(Ordering::Relaxed);
        let length = slow_start.0.as_millis() as u64;
        if since == 0 || now >= since + length {
            return true;
        }
        let share = (now.saturating_sub(since) * 1000 / length.max(1)).max(100);
        random() % 1000 < share
    }
}

impl Pick {
    /// The pool it was chosen from.
    pub(crate) fn pool(&self) -> &Arc<Pool> {
        &self.place.0
    }

    /// The chosen endpoint, which may have left the pool since.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The same, to be held beyond the attempt.
    pub(crate) fn endpoint_ref(&self) -> Arc<Endpoint> {
        self.endpoint.clone()
    }

    /// The attempt went well, or failed by the endpoint's fault.
    pub(crate) fn judge(&self, result: Result<(), Cause>, now: Instant) {
        self.place.0.judge(&self.endpoint, result, now);
    }
}

impl Drop for Pick {
    fn drop(&mut self) {
        self.endpoint.known.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
