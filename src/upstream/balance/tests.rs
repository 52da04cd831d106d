//! Rules without a pool: turns, draws and rings.

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

const RULES: [fn() -> Balance; 4] = [|| Balance::RoundRobin, || Balance::Random, || Balance::LeastRequest, hashing];

fn hashing() -> Balance {
    Balance::ConsistentHash(Spanned::nowhere("client_ip".parse().expect("a selector")))
}

fn made(rule: &Balance, weights: &[u32], names: &[String]) -> Balancer {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let written = weights.iter().map(|weight| u64::from(*weight)).sum();
    Balancer::new(rule, &Listed { weights, names: &names, written })
}

fn balancer(rule: &Balance, weights: &[u32]) -> Balancer {
    made(rule, weights, &(0..weights.len()).map(|index| format!("10.0.0.{index}:80")).collect::<Vec<_>>())
}

/// Where requests with so many different hashes go.
fn counted(balancer: &Balancer, choices: u64) -> Vec<usize> {
    let mut counts = vec![0; balancer.weights().len()];
    for number in 0..choices {
        counts[balancer.choose(Some(hash_of(&number.to_le_bytes(), 0)), &Even(vec![])).expect("an endpoint")] += 1;
    }
    counts
}

#[test]
fn round_robin_keeps_the_weights_exactly() {
    let counts = |weights: &[u32], choices| counted(&balancer(&Balance::RoundRobin, weights), choices);

    assert_eq!(counts(&[1, 1, 1], 300), [100, 100, 100]);
    assert_eq!(counts(&[5, 1, 0, 2], 800), [500, 100, 0, 200]);
    assert_eq!(counts(&[100, 300], 400), [100, 300]);
}

#[test]
fn every_rule_keeps_the_weights_within_two_percent_over_a_hundred_thousand_requests() {
    for weights in
        [&[1, 1, 1, 1][..], &[1, 2, 3], &[5, 0, 4], &[1; 10], &[1, 9, 20, 70], &[1000, 999, 2001], &[3_000_000_000, 2_000_000_000]]
    {
        let total: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
        for rule in RULES.map(|rule| rule()) {
            let counts = counted(&balancer(&rule, weights), 100_000);

            for (weight, count) in weights.iter().zip(&counts) {
                let share = 100_000.0 * f64::from(*weight) / total;
                // A small share of what is hashed strays as draws do that know nothing of each other: by five standard deviations once in a million.
                let drawn = 5.0 * (share * (1.0 - share / 100_000.0)).sqrt();
                let strays = match rule {
                    Balance::RoundRobin => 5.0,
                    Balance::Random | Balance::LeastRequest => share * 0.02,
                    Balance::ConsistentHash(_) if share < 5000.0 => drawn,
                    Balance::ConsistentHash(_) => share * 0.02,
                };
                assert!((*count as f64 - share).abs() <= strays, "{rule:?} {weights:?}: {counts:?}");
            }
        }
    }
}

#[test]
fn nobody_foresees_a_draw() {
    for rule in [Balance::Random, Balance::LeastRequest] {
        let balancer = balancer(&rule, &[1; 10]);
        let row: Vec<_> = (0..2000).filter_map(|_| balancer.choose(None, &Even(vec![]))).collect();

        let pairs: std::collections::BTreeSet<_> = row.windows(2).map(|pair| (pair[0], pair[1])).collect();
        assert!(pairs.len() >= 98, "each follows each, but {} pairs of 100", pairs.len());
        // Each of them would be there 200 times.
        let most = (0..10).map(|index| row.windows(2).filter(|pair| (pair[0], pair[1]) == (index, index)).count()).max();
        assert!(most < Some(60), "{rule:?}: {most:?}");
    }
}

#[test]
fn two_gateways_draw_in_different_orders() {
    let rows = [(); 2].map(|()| {
        let balancer = balancer(&Balance::Random, &[1; 10]);
        (0..100).filter_map(|_| balancer.choose(None, &Even(vec![]))).collect::<Vec<_>>()
    });

    assert_ne!(rows[0], rows[1]);
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
fn enormous_weights_make_bounded_tables() {
    for rule in RULES.map(|rule| rule()) {
        let balancer = balancer(&rule, &[u32::MAX, 1, u32::MAX - 1]);

        assert!(balancer.size() <= (2 << 18) + 1024, "{rule:?}: {}", balancer.size());
        assert_eq!(balancer.choose(None, &Even(vec![0, 2])), Some(1), "{rule:?}");
    }
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
        let old = made(&hashing(), &weights, &names);
        let (next_names, next_weights): (Vec<_>, Vec<u32>) = after.iter().map(|(number, weight)| (name(*number), *weight)).unzip();
        let was: Vec<Option<usize>> = next_names.iter().map(|name| names.iter().position(|before| before == name)).collect();
        let next = made(&hashing(), &next_weights, &next_names);

        let borrowed: Vec<&str> = next_names.iter().map(String::as_str).collect();
        let written = next_weights.iter().map(|weight| u64::from(*weight)).sum();
        let changed = old.next(&Listed { weights: &next_weights, names: &borrowed, written }, &was);

        let (Rule::Ring(changed), Rule::Ring(next)) = (changed.rule, next.rule) else { panic!("rings") };
        assert!(changed.marks() == next.marks(), "{} to {} endpoints", before.len(), after.len());
    }
}

#[test]
fn a_table_of_some_endpoints_sends_requests_where_a_walk_of_all_of_them_does() {
    let weights: Vec<u32> = (0..300).map(|index| index % 3).collect();
    let lost: Vec<usize> = (0..300).filter(|index| index % 7 != 0).collect();
    let left: Vec<u32> = weights.iter().enumerate().map(|(index, weight)| if lost.contains(&index) { 0 } else { *weight }).collect();
    let all = balancer(&hashing(), &weights);
    let some = all.only(&left, &all);

    for number in 0..2000_u64 {
        let hash = Some(hash_of(&number.to_le_bytes(), 3));
        assert_eq!(some.choose(hash, &Even(vec![])), all.choose(hash, &Even(lost.clone())));
    }
}

#[test]
fn what_is_left_of_the_endpoints_keeps_its_shares() {
    for rule in RULES.map(|rule| rule()) {
        let all = balancer(&rule, &[1, 2, 3, 4]);

        let counts = counted(&all.only(&[0, 2, 0, 4], &all), 60_000);

        assert!(counts[0] == 0 && counts[2] == 0, "{rule:?} {counts:?}");
        assert!((19_000..21_000).contains(&counts[1]), "{rule:?} {counts:?}");
    }
}

/// Counts how many endpoints are looked at; all but the last few take nothing.
struct Looks {
    takes_from: usize,
    number: Cell<usize>,
}

impl Candidates for Looks {
    fn takes(&self, index: usize) -> bool {
        self.number.set(self.number.get() + 1);
        index >= self.takes_from
    }
    fn load(&self, _: usize) -> u64 {
        0
    }
    fn mean_load(&self) -> u64 {
        0
    }
}

#[test]
fn a_choice_looks_at_a_few_endpoints_however_many_take_nothing() {
    const ALL: usize = 10_000;
    for rule in RULES.map(|rule| rule()) {
        let looks = Looks { takes_from: ALL - 10, number: 0.into() };
        let all = balancer(&rule, &[1; ALL]);
        let weights: Vec<u32> = (0..ALL).map(|index| u32::from(index >= looks.takes_from)).collect();
        let some = all.only(&weights, &all);

        for number in 0..1000_u64 {
            assert!(some.choose(Some(mixed(number)), &looks).expect("an endpoint") >= looks.takes_from);
        }
        // A table that is up to date: one look, or two where two are compared.
        assert!(looks.number.get() <= 2000, "{rule:?}: {}", looks.number.get());
        // One that is not.
        looks.number.set(0);
        let _ = all.choose(Some(1), &looks);
        assert!(looks.number.get() <= PASSED_OVER + IN_A_ROW, "{rule:?}: {}", looks.number.get());
    }
}

#[test]
fn no_weight_at_all_chooses_nothing() {
    assert_eq!(balancer(&Balance::Random, &[]).choose(None, &Even(vec![])), None);
}
