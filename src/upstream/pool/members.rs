//! The endpoints that a pool has just now, with the tables to choose among them. A changed set is built beside the traffic and swapped in, and so
//! are tables that are behind what is known of the endpoints.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

use super::by_hand::ByHand;
use super::endpoint::{Endpoint, Terms, is_same};
use super::subset::{Parts, Subset, Versions};
use crate::upstream::balance::{Balancer, Listed};
use crate::upstream::found::Found;
use crate::upstream::tls::Tls;

/// A pool's endpoints, as they were configured or found.
pub(super) struct Members {
    /// What they were made of.
    pub written: Arc<[Found]>,
    /// In the written order.
    pub endpoints: Arc<[Arc<Endpoint>]>,
    /// How they are spoken to over TLS, where they are.
    pub tls: Option<Arc<Tls>>,
    /// All of them.
    pub whole: View,
    /// Parts of them, each at its subset's place.
    pub parts: Box<[Option<View>]>,
    ids: Arc<HashSet<u64>>,
}

/// Endpoints to choose from.
#[derive(Clone)]
pub(super) struct View {
    /// Those that take requests where none is known to be well: all but what was taken out by hand.
    pub everything: Arc<Balancer>,
    /// Those that take requests.
    pub usable: Arc<Balancer>,
    /// What these weigh.
    pub weight: u64,
}

/// What endpoints weigh at some time, each at its index.
struct Weights {
    /// 0 for those that were taken out by hand.
    everything: Vec<u32>,
    /// 0 for those that take no requests.
    usable: Vec<u32>,
}

impl Weights {
    fn at(endpoints: &[Arc<Endpoint>], now: u64) -> Self {
        let share = |endpoint: &Arc<Endpoint>| if endpoint.is_drained(now) { 0 } else { endpoint.weight(now) };
        let everything: Vec<u32> = endpoints.iter().map(share).collect();
        let usable = endpoints.iter().zip(&everything).map(|(endpoint, share)| if endpoint.is_usable(now) { *share } else { 0 }).collect();
        Self { everything, usable }
    }

    /// Those of the endpoints of these versions.
    fn of(&self, versions: &Versions, endpoints: &[Arc<Endpoint>]) -> Self {
        let only = |weights: &[u32]| {
            let own = endpoints.iter().zip(weights);
            own.map(|(endpoint, weight)| if versions.have(endpoint) { *weight } else { 0 }).collect()
        };
        Self { everything: only(&self.everything), usable: only(&self.usable) }
    }
}

impl View {
    /// A view with these tables for what takes requests while nothing is well; those of `before` stay where they are what is wanted.
    fn new(everything: Arc<Balancer>, usable: &[u32], before: Option<&Self>) -> Self {
        let weight = usable.iter().map(|weight| u64::from(*weight)).sum();
        if everything.weights() == usable {
            return Self { usable: everything.clone(), everything, weight };
        }
        let kept = before.filter(|before| Arc::ptr_eq(&before.everything, &everything) && before.usable.weights() == usable);
        let turn = before.map_or(&*everything, |before| &before.usable);
        let usable = kept.map_or_else(|| Arc::new(everything.only(usable, turn)), |kept| kept.usable.clone());
        Self { everything, usable, weight }
    }

    /// A part of all.
    fn part(whole: &Self, weights: &Weights, before: Option<&Self>, same: bool) -> Self {
        let kept = before.filter(|before| same && before.everything.weights() == weights.everything);
        let turn = before.map_or(&*whole.everything, |before| &before.everything);
        let everything = match kept {
            Some(kept) => kept.everything.clone(),
            None if whole.everything.weights() == weights.everything => whole.everything.clone(),
            None => Arc::new(whole.everything.only(&weights.everything, turn)),
        };
        Self::new(everything, &weights.usable, before)
    }

    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.everything, &other.everything) && Arc::ptr_eq(&self.usable, &other.usable)
    }
}

impl Members {
    /// These endpoints. Those that `before` had at the same addresses keep what is known of them; one whose description is the same in every
    /// respect is the same endpoint, unless the terms may have changed.
    pub(super) fn new(
        written: &[Found],
        terms: &Terms<'_>,
        before: Option<(&Self, bool)>,
        parts: &Parts,
        (by_hand, now): (&ByHand, u64),
    ) -> Self {
        let mut known: HashMap<SocketAddr, usize> = HashMap::new();
        if let Some((before, _)) = before {
            known.extend(before.endpoints.iter().enumerate().map(|(index, endpoint)| (endpoint.address, index)));
        }
        let was: Vec<Option<usize>> = written.iter().map(|written| known.remove(&written.address)).collect();
        let same_terms = before.is_some_and(|(before, same_terms)| same_terms && is_same(before.tls.as_ref(), terms.tls));
        let endpoint = |written: &Found, was: Option<usize>| {
            let Some((before, index)) = before.map(|(before, _)| before).zip(was) else {
                return Arc::new(Endpoint::new(written, terms, by_hand));
            };
            let endpoint = &before.endpoints[index];
            if same_terms && before.written[index] == *written {
                return endpoint.clone();
            }
            Arc::new(endpoint.again(written, terms))
        };
        let endpoints: Arc<[Arc<Endpoint>]> = written.iter().zip(&was).map(|(written, was)| endpoint(written, *was)).collect();
        let weights = Weights::at(&endpoints, now);
        let everything = match before {
            Some((before, true)) => listed(&endpoints, &weights, |listed| before.whole.everything.next(listed, &was)),
            _ => listed(&endpoints, &weights, |listed| Balancer::new(terms.balance, listed)),
        };
        let whole = View::new(Arc::new(everything), &weights.usable, None);
        let ids = Arc::new(endpoints.iter().map(|endpoint| endpoint.id()).collect());
        let mut members = Self { written: written.into(), endpoints, tls: terms.tls.cloned(), whole, parts: Box::default(), ids };
        members.parts = members.parted(&weights, parts, None);
        members
    }

    /// The same endpoints with tables as they have to be by now, and with these parts. None where all is as it was.
    pub(super) fn settled(&self, parts: &Parts, now: u64) -> Option<Self> {
        let weights = Weights::at(&self.endpoints, now);
        let everything = if self.whole.everything.weights() == weights.everything {
            self.whole.everything.clone()
        } else {
            let was: Vec<Option<usize>> = (0..self.endpoints.len()).map(Some).collect();
            Arc::new(listed(&self.endpoints, &weights, |listed| self.whole.everything.next(listed, &was)))
        };
        let mut next = Self {
            written: self.written.clone(),
            endpoints: self.endpoints.clone(),
            tls: self.tls.clone(),
            whole: View::new(everything, &weights.usable, Some(&self.whole)),
            parts: Box::default(),
            ids: self.ids.clone(),
        };
        next.parts = next.parted(&weights, parts, Some(self));
        let is_same = |(one, other): (&Option<View>, &Option<View>)| match (one, other) {
            (Some(one), Some(other)) => one.is(other),
            (one, other) => one.is_none() && other.is_none(),
        };
        let same = next.whole.is(&self.whole) && next.parts.len() == self.parts.len() && next.parts.iter().zip(&self.parts).all(is_same);
        (!same).then_some(next)
    }

    fn parted(&self, weights: &Weights, parts: &Parts, before: Option<&Self>) -> Box<[Option<View>]> {
        let view = |(place, subset): (usize, &Option<Arc<Subset>>)| {
            let own = weights.of(subset.as_ref()?.versions(), &self.endpoints);
            let same = before.is_some_and(|before| Arc::ptr_eq(&before.whole.everything, &self.whole.everything));
            let before = before.and_then(|before| before.parts.get(place)?.as_ref());
            Some(View::part(&self.whole, &own, before, same))
        };
        parts.iter().enumerate().map(view).collect()
    }

    /// Whether this endpoint is one of them.
    pub(super) fn has(&self, endpoint: &Endpoint) -> bool {
        self.ids.contains(&endpoint.id())
    }
}

/// Makes tables of these endpoints.
fn listed(endpoints: &[Arc<Endpoint>], weights: &Weights, make: impl FnOnce(&Listed<'_>) -> Balancer) -> Balancer {
    let names: Vec<&str> = endpoints.iter().map(|endpoint| &*endpoint.text).collect();
    let written = endpoints.iter().map(|endpoint| u64::from(endpoint.written_weight)).sum();
    make(&Listed { weights: &weights.everything, names: &names, written })
}
