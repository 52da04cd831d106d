//! How an endpoint is chosen. Weights are laid out once, as turns or as a ring; a choice is a look or two at them, however many endpoints there
//! are. What is laid out may be behind what is known of the endpoints for a moment: then a few more are looked at, never all of them.

mod ring;
mod shares;
#[cfg(test)]
mod tests;
mod wheel;

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

use frontgate_filters::words::fnv::{self, mixed};

use self::ring::Ring;
use self::shares::{GOLDEN, Shares, scaled};
use crate::config::model::Balance;

/// How often one draws again before others are looked at in a row.
const DRAWS: usize = 4;
/// How many draws in a row fall into parts of all numbers that differ.
const STRATA: u64 = 1 << STRATA_BITS;
const STRATA_BITS: u32 = 12;
/// How many turns, or points of a ring, are passed over before others are looked at in a row.
const PASSED_OVER: usize = 256;
/// How many are looked at in a row.
const IN_A_ROW: usize = 512;
/// What is laid out again in some microseconds: so many endpoints, so many points of a ring.
const SMALL: (usize, usize) = (1 << 10, 1 << 16);
/// An endpoint of a consistent hash takes no more than this share of the mean load, in hundredths (Mirrokni and others, 2018).
const LOAD_BOUND: u64 = 125;
/// So many requests in flight for a weight of 1 are no overload, however idle the others are: few requests keep to their endpoint.
const IDLE: u64 = 8;
/// Loads are counted in this fraction of a request.
pub(crate) const UNIT: u64 = 1 << 20;

/// A pool's balancing rule with its state.
pub(crate) struct Balancer {
    rule: Rule,
    /// By the endpoint's index; 0 for one that is not among those to choose from.
    weights: Box<[u32]>,
    /// Those to choose from.
    all: Box<[u32]>,
    turn: AtomicUsize,
    /// How its draws are shuffled.
    seed: u64,
}

enum Rule {
    RoundRobin(Shares),
    Random(Shares),
    LeastRequest(Shares),
    Ring(Ring),
}

/// The endpoints of a balancer, each at its index.
pub(crate) struct Listed<'l> {
    /// Their weights; 0 for those that are not to be chosen.
    pub weights: &'l [u32],
    /// What places them on a ring.
    pub names: &'l [&'l str],
    /// What all of them weigh as they were written: how many points a ring has of each does not depend on who is there just now.
    pub written: u64,
}

/// A choice that was not made yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Foreseen {
    /// The endpoint whose turn it is, at this index.
    Next(usize),
    /// The endpoint that the request's hash leads to.
    Hashed(usize),
    /// Any, by chance.
    Drawn,
    /// The less busy one of two that are drawn.
    LessBusy,
}

/// What a choice depends on beside the rule.
pub(crate) trait Candidates {
    /// Whether the endpoint may be chosen.
    fn takes(&self, index: usize) -> bool;
    /// Its requests in flight for its weight, in [`UNIT`]s.
    fn load(&self, index: usize) -> u64;
    /// The mean of [`Candidates::load`] over all endpoints that take requests, with the one to be placed.
    fn mean_load(&self) -> u64;
}

impl Balancer {
    /// The rule over these endpoints.
    pub(crate) fn new(rule: &Balance, listed: &Listed<'_>) -> Self {
        let shares = || Shares::new(listed.weights);
        let rule = match rule {
            Balance::RoundRobin => Rule::RoundRobin(shares()),
            Balance::Random => Rule::Random(shares()),
            Balance::LeastRequest => Rule::LeastRequest(shares()),
            Balance::ConsistentHash(_) => Rule::Ring(Ring::new(listed)),
        };
        // Every process begins elsewhere, lest a restart of many sends all first requests to one endpoint.
        Self::over(rule, listed.weights, random() as usize % (1 << 20), random())
    }

    /// The same rule over other endpoints: `was` says which of the earlier ones each of them was. The turn goes on where it is.
    pub(crate) fn next(&self, listed: &Listed<'_>, was: &[Option<usize>]) -> Self {
        let rule = match &self.rule {
            Rule::Ring(ring) => Rule::Ring(ring.next(&self.weights, listed, was)),
            other => other.again(listed.weights),
        };
        Self::over(rule, listed.weights, self.turn.load(Ordering::Relaxed), self.seed)
    }

    /// The same rule over some of its endpoints: those that have a weight here, which is their own. The turn goes on where `before` is.
    pub(crate) fn only(&self, weights: &[u32], before: &Self) -> Self {
        let rule = match &self.rule {
            Rule::Ring(ring) => Rule::Ring(ring.only(weights)),
            other => other.again(weights),
        };
        Self::over(rule, weights, before.turn.load(Ordering::Relaxed), before.seed)
    }

    fn over(rule: Rule, weights: &[u32], turn: usize, seed: u64) -> Self {
        let all = weights.iter().enumerate().filter(|(_, weight)| **weight > 0).map(|(index, _)| index as u32).collect();
        Self { rule, weights: weights.into(), all, turn: AtomicUsize::new(turn), seed }
    }

    /// By the endpoint's index; 0 for one that is not among those to choose from.
    pub(crate) fn weights(&self) -> &[u32] {
        &self.weights
    }

    /// Whether there is nothing to choose from.
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether it is laid out again in some microseconds.
    pub(crate) fn is_small(&self) -> bool {
        self.size() <= if matches!(self.rule, Rule::Ring(_)) { SMALL.1 } else { SMALL.0 }
    }

    /// How much has to be laid out for it: points of a ring, else endpoints.
    fn size(&self) -> usize {
        match &self.rule {
            Rule::Ring(ring) => ring.size(),
            Rule::RoundRobin(_) | Rule::Random(_) | Rule::LeastRequest(_) => self.weights.len(),
        }
    }

    /// The endpoint whose turn it is, for a request with this hash. `None` where no endpoint was found that takes it.
    pub(crate) fn choose(&self, hash: Option<u64>, candidates: &impl Candidates) -> Option<usize> {
        if self.all.is_empty() {
            return None;
        }
        let takes = |index: &usize| candidates.takes(*index);
        let found = match &self.rule {
            Rule::RoundRobin(shares) => {
                let mut turns = (0..PASSED_OVER).map(|_| shares.turn(self.turn.fetch_add(1, Ordering::Relaxed)));
                turns.find(takes)
            }
            Rule::Random(shares) => (0..DRAWS).map(|_| shares.drawn(self.drawn())).find(takes),
            Rule::LeastRequest(shares) => self.least_request(shares, candidates),
            Rule::Ring(ring) => {
                let hash = hash.unwrap_or_else(random);
                return around(ring, hash, candidates).or_else(|| self.any(hash, candidates));
            }
        };
        found.or_else(|| self.any(random(), candidates))
    }

    /// The power of two choices (Mitzenmacher, 2001): nearly as even as asking all, and no herd.
    fn least_request(&self, shares: &Shares, candidates: &impl Candidates) -> Option<usize> {
        for _ in 0..DRAWS {
            let (first, second) = (shares.drawn(self.drawn()), shares.drawn(random()));
            match (candidates.takes(first), candidates.takes(second)) {
                (true, true) if candidates.load(second) < candidates.load(first) => return Some(second),
                (true, _) => return Some(first),
                (false, true) => return Some(second),
                (false, false) => {}
            }
        }
        None
    }

    /// A number among all numbers that nobody foresees. So many in a row fall one into each part of all numbers, shuffled (stratified
    /// sampling), so that many draws keep the weights far better than draws that know nothing of each other.
    fn drawn(&self) -> u64 {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) as u64;
        let key = mixed((turn >> STRATA_BITS) ^ self.seed);
        // Each step leads all parts to all parts: an odd factor, a sum, an exclusive or with the upper half of it.
        let part = (0..3).fold(turn, |part, step| {
            let key = key.rotate_left(21 * step);
            let part = (part.wrapping_mul(key | 1).wrapping_add(key >> 32)) & (STRATA - 1);
            part ^ (part >> (STRATA_BITS / 2))
        });
        (part << (64 - STRATA_BITS)) | (random() >> STRATA_BITS)
    }

    /// What [`Balancer::choose`] would do now: no turn is taken. `None` where no endpoint takes the request.
    pub(crate) fn foresee(&self, hash: Option<u64>, candidates: &impl Candidates) -> Option<Foreseen> {
        let any = self.all.iter().map(|index| *index as usize).find(|index| candidates.takes(*index))?;
        Some(match &self.rule {
            Rule::RoundRobin(shares) => {
                let turn = self.turn.load(Ordering::Relaxed);
                let mut turns = (0..PASSED_OVER).map(|ahead| shares.turn(turn.wrapping_add(ahead)));
                turns.find(|index| candidates.takes(*index)).map_or(Foreseen::Drawn, Foreseen::Next)
            }
            Rule::Random(_) => Foreseen::Drawn,
            Rule::LeastRequest(_) => Foreseen::LessBusy,
            Rule::Ring(ring) => match hash {
                Some(hash) => Foreseen::Hashed(around(ring, hash, candidates).unwrap_or(any)),
                None => Foreseen::Drawn,
            },
        })
    }

    /// One that takes the request, beginning at this one of all.
    fn any(&self, start: u64, candidates: &impl Candidates) -> Option<usize> {
        let (behind, from) = self.all.split_at(scaled(start, self.all.len()));
        from.iter().chain(behind).take(IN_A_ROW).map(|index| *index as usize).find(|index| candidates.takes(*index))
    }
}

impl Rule {
    /// The same rule by other weights. A ring needs more than those.
    fn again(&self, weights: &[u32]) -> Self {
        let shares = Shares::new(weights);
        match self {
            Self::Random(_) => Self::Random(shares),
            Self::LeastRequest(_) => Self::LeastRequest(shares),
            Self::RoundRobin(_) | Self::Ring(_) => Self::RoundRobin(shares),
        }
    }
}

/// The first one on the way of this hash that is not overloaded, or else the first one.
fn around(ring: &Ring, hash: u64, candidates: &impl Candidates) -> Option<usize> {
    let bound = (candidates.mean_load() * LOAD_BOUND / 100).max(IDLE * UNIT);
    let mut first = None;
    for index in ring.way(hash).take(PASSED_OVER).filter(|index| candidates.takes(*index)) {
        if candidates.load(index) <= bound {
            return Some(index);
        }
        first.get_or_insert(index);
    }
    first
}

/// A hash that is the same on every node of a fleet: FNV-1a, mixed by the finisher of SplitMix64 (Steele and others, 2014).
pub(crate) fn hash_of(bytes: &[u8], seed: u64) -> u64 {
    mixed(fnv::fnv1a(fnv::BASIS ^ seed.wrapping_mul(GOLDEN), bytes))
}

/// A number that nobody needs to be unable to guess: xorshift64* (Vigna, 2016), one state a thread.
pub(crate) fn random() -> u64 {
    thread_local!(static STATE: Cell<u64> = Cell::new(uuid::Uuid::now_v7().as_u128() as u64 | 1));
    STATE.with(|state| {
        let mut x = state.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        state.set(x);
        x.wrapping_mul(0x2545_f491_4f6c_dd1d)
    })
}
