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
pub(crate) const UNIT: u64 = 1 << 20;

/// A pool's balancing rule with its state.
pub(crate) struct Balancer {
    rule: Rule,
    weights: Box<[u32]>,
    /// Endpoint indexes, each as often as its weight says, spread evenly.
    schedule: Box<[u32]>,
    turn: AtomicUsize,
}

enum Rule {
    RoundRobin,
    Random,
    LeastRequest,
    /// Points in order, each with its endpoint.
    Ring(Box<[Point]>),
}

/// A place on a ring and the endpoint that it belongs to.
type Point = (u64, u32);

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
    /// The rule over endpoints with these weights and names; the names place them on a ring.
    pub(crate) fn new(rule: &Balance, weights: &[u32], names: &[&str]) -> Self {
        let rule = match rule {
            Balance::RoundRobin => Rule::RoundRobin,
            Balance::Random => Rule::Random,
            Balance::LeastRequest => Rule::LeastRequest,
            Balance::ConsistentHash(_) => Rule::Ring(ring(weights, names)),
        };
        // Every process begins elsewhere, lest a restart of many sends all first requests to one endpoint.
        let turn = AtomicUsize::new(random() as usize % (1 << 20));
        Self { rule, weights: weights.into(), schedule: spread(weights), turn }
    }

    /// The same rule over other endpoints: `was` says which of the earlier ones each of them was. The turn goes on where it is.
    pub(crate) fn next(&self, weights: &[u32], names: &[&str], was: &[Option<usize>]) -> Self {
        let rule = match &self.rule {
            Rule::RoundRobin => Rule::RoundRobin,
            Rule::Random => Rule::Random,
            Rule::LeastRequest => Rule::LeastRequest,
            Rule::Ring(points) => Rule::Ring(self.next_ring(points, weights, names, was)),
        };
        let turn = AtomicUsize::new(self.turn.load(Ordering::Relaxed));
        Self { rule, weights: weights.into(), schedule: spread(weights), turn }
    }

    /// A ring from an earlier one: what stays is in order already, so only the points of new endpoints are made and sorted.
    fn next_ring(&self, before: &[Point], weights: &[u32], names: &[&str], was: &[Option<usize>]) -> Box<[Point]> {
        let each = points_each(weights);
        if each != points_each(&self.weights) {
            return ring(weights, names);
        }
        let mut now: Vec<Option<u32>> = vec![None; self.weights.len()];
        let mut new = Vec::new();
        for (index, was) in was.iter().enumerate() {
            match was.filter(|was| self.weights[*was] == weights[index]) {
                Some(was) => now[was] = Some(index as u32),
                None => new.extend(points(index, weights[index], names[index], each)),
            }
        }
        new.sort_unstable();
        let mut new = new.into_iter().peekable();
        let mut all = Vec::with_capacity(before.len() + new.len());
        for (point, was) in before {
            let Some(index) = now[*was as usize] else { continue };
            while let Some(earlier) = new.next_if(|other| *other < (*point, index)) {
                all.push(earlier);
            }
            all.push((*point, index));
        }
        all.extend(new);
        all.into()
    }

    /// The endpoint whose turn it is, for a request with this hash. `None` where no endpoint takes it.
    pub(crate) fn choose(&self, hash: Option<u64>, candidates: &impl Candidates) -> Option<usize> {
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
fn ring(weights: &[u32], names: &[&str]) -> Box<[Point]> {
    let each = points_each(weights);
    let all = weights.iter().zip(names).enumerate().flat_map(|(index, (weight, name))| points(index, *weight, name, each));
    let mut all: Vec<Point> = all.collect();
    all.sort_unstable();
    all.into()
}

/// How many points a weight of 1 has.
fn points_each(weights: &[u32]) -> u64 {
    let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
    POINTS.0.min((POINTS.1 / total.max(1)).max(1))
}

/// An endpoint's points, `each` for a weight of 1.
fn points(index: usize, weight: u32, name: &str, each: u64) -> impl Iterator<Item = Point> {
    let number = (u64::from(weight) * each).min(POINTS.1);
    (0..number).map(move |point| (hash_of(name.as_bytes(), point), index as u32))
}

/// A hash that is the same on every node of a fleet: FNV-1a, mixed by the finisher of SplitMix64 (Steele and others, 2014).
pub(crate) fn hash_of(bytes: &[u8], seed: u64) -> u64 {
    let fnv = fnv::fnv1a(fnv::BASIS ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15), bytes);
    let mixed = (fnv ^ (fnv >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Weighted turns spread evenly over one period: the turns of a weight `w` fall due at (2k + 1) / 2w of it (earliest deadline first), so that
/// equal weights keep the written order.
fn spread(weights: &[u32]) -> Box<[u32]> {
    if weights.windows(2).all(|pair| pair[0] == pair[1]) && weights.first().is_some_and(|weight| *weight > 0) {
        return (0..weights.len() as u32).collect();
    }
    let divisor = weights.iter().fold(0, |a, b| gcd(a, u64::from(*b))).max(1);
    let total: u64 = weights.iter().map(|weight| u64::from(*weight) / divisor).sum();
    let scale = total.div_ceil(LONGEST).max(1);
    let mut turns: Vec<(u64, u64, u32)> = Vec::new();
    for (index, weight) in weights.iter().enumerate() {
        let weight = match u64::from(*weight) / divisor {
            0 => 0,
            weight => (weight / scale).max(1),
        };
        turns.extend((0..weight).map(|turn| (2 * turn + 1, weight, index as u32)));
    }
    // No turn of one endpoint is far from its share of the period. Both factors are small, so the products do not overflow.
    turns.sort_by(|(a, of_a, _), (b, of_b, _)| (a * of_b).cmp(&(b * of_a)));
    turns.into_iter().map(|(_, _, index)| index).collect()
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
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
    fn a_changed_ring_is_the_one_that_is_made_anew() {
        let name = |number: u32| format!("10.0.0.{number}:80");
        for (before, after) in [
            (vec![(1, 1), (2, 1), (3, 1)], vec![(3, 1), (9, 1), (1, 1), (2, 1)]),
            (vec![(1, 1), (2, 3), (3, 1)], vec![(1, 1), (2, 2), (3, 1)]),
            (vec![(1, 1), (2, 1)], vec![]),
            (vec![], vec![(1, 5)]),
            ((0..2000).map(|number| (number, 1)).collect(), (1..2000).map(|number| (number, 1)).collect()),
            ((0..2000).map(|number| (number, 1)).collect(), (0..3000).rev().map(|number| (number, 1)).collect()),
        ] {
            let (names, weights): (Vec<_>, Vec<_>) = before.iter().map(|(number, weight)| (name(*number), *weight)).unzip();
            let old = Balancer::new(&hashing(), &weights, &names.iter().map(String::as_str).collect::<Vec<_>>());
            let (next_names, next_weights): (Vec<_>, Vec<u32>) = after.iter().map(|(number, weight)| (name(*number), *weight)).unzip();
            let next_names: Vec<&str> = next_names.iter().map(String::as_str).collect();
            let was: Vec<Option<usize>> = next_names.iter().map(|name| names.iter().position(|before| before == name)).collect();

            let Rule::Ring(changed) = old.next(&next_weights, &next_names, &was).rule else { panic!("a ring") };

            assert!(*changed == *ring(&next_weights, &next_names), "{} to {} endpoints", before.len(), after.len());
        }
    }

    #[test]
    fn no_weight_at_all_chooses_nothing() {
        assert_eq!(balancer(&Balance::Random, &[]).choose(None, &Even(vec![])), None);
    }
}
