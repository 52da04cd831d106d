//! How an endpoint is chosen. Weights are laid out once as a schedule, or as a ring; a choice is an index into it.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

use frontgate_filters::words::fnv;

use crate::config::model::Balance;

/// Schedules no longer than this: weights beyond it are scaled down, and keep at least one turn.
const LONGEST: u64 = 4096;
/// Points of an endpoint of weight 1 on the ring, and the most of a whole ring: with 160 points shares differ by a few percent.
const POINTS: (u64, u64) = (160, 1 << 18);
/// How often one draws again before the schedule is looked through.
const DRAWS: usize = 4;
/// An endpoint of a consistent hash takes no more than this share of the mean load, in hundredths (Mirrokni and others, 2018).
const LOAD_BOUND: u64 = 125;
/// So many requests in flight for a weight of 1 are no overload, however idle the others are: few requests keep to their endpoint.
const IDLE: u64 = 8;
/// Loads are counted in this fraction of a request.
pub const UNIT: u64 = 1 << 20;

/// A pool's balancing rule with its state.
pub struct Balancer {
    rule: Rule,
    /// Endpoint indexes, each as often as its weight says, spread evenly.
    schedule: Box<[u32]>,
    turn: AtomicUsize,
}

enum Rule {
    RoundRobin,
    Random,
    LeastRequest,
    /// Points in order, each with its endpoint.
    Ring(Box<[(u64, u32)]>),
}

/// What a choice depends on beside the rule.
pub trait Candidates {
    /// Whether the endpoint may be chosen.
    fn takes(&self, index: usize) -> bool;
    /// Its requests in flight for its weight, in [`UNIT`]s.
    fn load(&self, index: usize) -> u64;
    /// The mean of [`Candidates::load`] over all endpoints that take requests, with the one to be placed.
    fn mean_load(&self) -> u64;
}

impl Balancer {
    /// The rule over endpoints with these weights and names; the names place them on a ring.
    pub fn new(rule: &Balance, weights: &[u32], names: &[&str]) -> Self {
        let rule = match rule {
            Balance::RoundRobin => Rule::RoundRobin,
            Balance::Random => Rule::Random,
            Balance::LeastRequest => Rule::LeastRequest,
            Balance::ConsistentHash(_) => Rule::Ring(ring(weights, names)),
        };
        // Every process begins elsewhere, lest a restart of many sends all first requests to one endpoint.
        let turn = AtomicUsize::new(random() as usize % (1 << 20));
        Self { rule, schedule: spread(weights), turn }
    }

    /// The endpoint whose turn it is, for a request with this hash. `None` where no endpoint takes it.
    pub fn choose(&self, hash: Option<u64>, candidates: &impl Candidates) -> Option<usize> {
        let length = self.schedule.len();
        if length == 0 {
            return None;
        }
        let drawn = |number: u64| self.schedule[(number % length as u64) as usize] as usize;
        match &self.rule {
            Rule::RoundRobin => {
                for _ in 0..length {
                    let index = self.schedule[self.turn.fetch_add(1, Ordering::Relaxed) % length] as usize;
                    if candidates.takes(index) {
                        return Some(index);
                    }
                }
                None
            }
            Rule::Random => (0..DRAWS).map(|_| drawn(random())).find(|index| candidates.takes(*index)).or_else(|| self.any(candidates)),
            // The power of two choices (Mitzenmacher, 2001): nearly as even as asking all, and no herd.
            Rule::LeastRequest => {
                for _ in 0..DRAWS {
                    let number = random();
                    let (first, second) = (drawn(number & 0xffff_ffff), drawn(number >> 32));
                    match (candidates.takes(first), candidates.takes(second)) {
                        (true, true) if candidates.load(second) < candidates.load(first) => return Some(second),
                        (true, _) => return Some(first),
                        (false, true) => return Some(second),
                        (false, false) => {}
                    }
                }
                self.any(candidates)
            }
            Rule::Ring(ring) => {
                let hash = hash.unwrap_or_else(random);
                let start = ring.partition_point(|(point, _)| *point < hash);
                let bound = (candidates.mean_load() * LOAD_BOUND / 100).max(IDLE * UNIT);
                let around = || ring[start..].iter().chain(&ring[..start]).map(|(_, index)| *index as usize);
                around()
                    .find(|index| candidates.takes(*index) && candidates.load(*index) <= bound)
                    .or_else(|| around().find(|index| candidates.takes(*index)))
            }
        }
    }

    /// Any one that takes the request, beginning anywhere.
    fn any(&self, candidates: &impl Candidates) -> Option<usize> {
        let start = random() as usize % self.schedule.len();
        self.schedule[start..].iter().chain(&self.schedule[..start]).map(|index| *index as usize).find(|index| candidates.takes(*index))
    }
}

/// Points by name, so that an endpoint's place does not depend on the others: one more or less moves only its own share.
fn ring(weights: &[u32], names: &[&str]) -> Box<[(u64, u32)]> {
    let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
    let each = POINTS.0.min((POINTS.1 / total.max(1)).max(1));
    let mut points: Vec<(u64, u32)> = Vec::new();
    for (index, (weight, name)) in weights.iter().zip(names).enumerate() {
        let number = (u64::from(*weight) * each).min(POINTS.1);
        points.extend((0..number).map(|point| (hash_of(name.as_bytes(), point), index as u32)));
    }
    points.sort_unstable();
    points.into()
}

/// A hash that is the same on every node of a fleet: FNV-1a, mixed by the finisher of SplitMix64 (Steele and others, 2014).
pub fn hash_of(bytes: &[u8], seed: u64) -> u64 {
    let fnv = fnv::fnv1a(fnv::BASIS ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15), bytes);
    let mixed = (fnv ^ (fnv >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Smooth weighted round robin, as nginx does it, written out for one period.
fn spread(weights: &[u32]) -> Box<[u32]> {
    let divisor = weights.iter().fold(0, |a, b| gcd(a, u64::from(*b))).max(1);
    let total: u64 = weights.iter().map(|weight| u64::from(*weight) / divisor).sum();
    let scale = total.div_ceil(LONGEST).max(1);
    let weights: Vec<i64> = weights
        .iter()
        .map(|weight| match u64::from(*weight) / divisor {
            0 => 0,
            weight => (weight / scale).max(1) as i64,
        })
        .collect();
    let total: i64 = weights.iter().sum();
    let mut current = vec![0_i64; weights.len()];
    (0..total)
        .map(|_| {
            for (current, weight) in current.iter_mut().zip(&weights) {
                *current += weight;
            }
            // The first of the greatest, so that equal weights keep the written order.
            let best = (0..current.len()).rev().max_by_key(|index| current[*index]).unwrap_or(0);
            current[best] -= total;
            best as u32
        })
        .collect()
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// A number that nobody needs to be unable to guess: xorshift64* (Vigna, 2016), one state a thread.
pub(super) fn random() -> u64 {
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

#[cfg(test)]
mod tests {
    use frontgate_filters::words::spanned::Spanned;

    use super::*;

    /// Endpoints of equal load, of which some take nothing.
    struct Even(Vec<usize>);

    impl Candidates for Even {
        fn takes(&self, index: usize) -> bool {
            !self.0.contains(&index)
        }
        fn load(&self, _: usize) -> u64 {
            0
        }
        fn mean_load(&self) -> u64 {
            0
        }
    }

    /// Loads as they are given.
    struct Loads(Vec<u64>);

    impl Candidates for Loads {
        fn takes(&self, _: usize) -> bool {
            true
        }
        fn load(&self, index: usize) -> u64 {
            self.0[index]
        }
        fn mean_load(&self) -> u64 {
            self.0.iter().sum::<u64>() / self.0.len() as u64
        }
    }

    fn balancer(rule: &Balance, weights: &[u32]) -> Balancer {
        let names: Vec<String> = (0..weights.len()).map(|index| format!("10.0.0.{index}:80")).collect();
        Balancer::new(rule, weights, &names.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn hashing() -> Balance {
        Balance::ConsistentHash(Spanned::nowhere("client_ip".parse().expect("a selector")))
    }

    fn counts(rule: &Balance, weights: &[u32], choices: u64) -> Vec<usize> {
        let balancer = balancer(rule, weights);
        let mut counts = vec![0; weights.len()];
        for number in 0..choices {
            counts[balancer.choose(Some(hash_of(&number.to_le_bytes(), 0)), &Even(vec![])).expect("an endpoint")] += 1;
        }
        counts
    }

    #[test]
    fn round_robin_keeps_the_weights_exactly() {
        assert_eq!(counts(&Balance::RoundRobin, &[1, 1, 1], 300), [100, 100, 100]);
        assert_eq!(counts(&Balance::RoundRobin, &[5, 1, 0, 2], 800), [500, 100, 0, 200]);
        assert_eq!(counts(&Balance::RoundRobin, &[100, 300], 400), [100, 300]);
    }

    #[test]
    fn turns_of_a_heavy_endpoint_are_spread() {
        assert_eq!(*spread(&[3, 1]), [0, 0, 1, 0]);
        assert_eq!(*spread(&[1, 1]), [0, 1]);
    }

    #[test]
    fn random_and_a_ring_keep_the_weights_roughly() {
        for rule in [Balance::Random, hashing()] {
            let counts = counts(&rule, &[1, 3], 40_000);

            assert!((8_000..12_000).contains(&counts[0]), "{rule:?} {counts:?}");
        }
    }

    #[test]
    fn least_request_avoids_the_busy_one() {
        let balancer = balancer(&Balance::LeastRequest, &[1, 1]);
        let busy = (0..1000).filter(|_| balancer.choose(None, &Loads(vec![10, 0])) == Some(0)).count();

        // Only where both draws were the busy one.
        assert!((150..350).contains(&busy), "{busy}");
    }

    #[test]
    fn every_rule_passes_over_endpoints_that_take_nothing() {
        for rule in [Balance::RoundRobin, Balance::Random, Balance::LeastRequest, hashing()] {
            let balancer = balancer(&rule, &[1, 1, 1, 1, 1]);
            for _ in 0..200 {
                assert_eq!(balancer.choose(Some(random()), &Even(vec![0, 1, 3, 4])), Some(2), "{rule:?}");
            }
            assert_eq!(balancer.choose(Some(random()), &Even((0..5).collect())), None, "{rule:?}");
        }
    }

    #[test]
    fn a_ring_moves_only_the_share_of_the_endpoint_that_is_lost() {
        let balancer = balancer(&hashing(), &[1; 10]);
        let moved = (0..10_000_u64)
            .map(|number| hash_of(&number.to_le_bytes(), 7))
            .filter(|hash| {
                let before = balancer.choose(Some(*hash), &Even(vec![]));
                before != Some(3) && balancer.choose(Some(*hash), &Even(vec![3])) != before
            })
            .count();

        assert_eq!(moved, 0);
    }

    #[test]
    fn an_overloaded_endpoint_of_a_ring_passes_its_requests_on() {
        let balancer = balancer(&hashing(), &[1, 1, 1]);
        for number in 0..1000_u64 {
            assert_ne!(balancer.choose(Some(hash_of(&number.to_le_bytes(), 1)), &Loads(vec![0, 90 * UNIT, 0])), Some(1));
        }
    }

    #[test]
    fn enormous_weights_make_a_bounded_schedule_and_ring() {
        let schedule = spread(&[u32::MAX, 1, u32::MAX - 1]);
        assert!(schedule.len() as u64 <= LONGEST + 3);
        assert!(schedule.contains(&1));

        let ring = ring(&[u32::MAX, 1, u32::MAX - 1], &["a", "b", "c"]);
        assert!(ring.len() as u64 <= 2 * POINTS.1 + POINTS.0, "{}", ring.len());
        assert!(ring.iter().any(|(_, index)| *index == 1));
    }

    #[test]
    fn no_weight_at_all_chooses_nothing() {
        assert_eq!(balancer(&Balance::Random, &[]).choose(None, &Even(vec![])), None);
    }
}
