//! How an endpoint is chosen. Weights are laid out once as a schedule; a choice is an index into it.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::config::model::Balance;

/// Schedules no longer than this: weights beyond it are scaled down, and keep at least one turn.
const LONGEST: u64 = 4096;

/// A pool's balancing rule with its state.
pub struct Balancer {
    rule: Balance,
    /// Endpoint indexes, each as often as its weight says, spread evenly.
    schedule: Box<[u32]>,
    turn: AtomicUsize,
}

impl Balancer {
    /// The rule over endpoints with these weights.
    pub fn new(rule: Balance, weights: &[u32]) -> Self {
        // Every process begins elsewhere, lest a restart of many sends all first requests to one endpoint.
        let turn = AtomicUsize::new(random() as usize % (1 << 20));
        Self { rule, schedule: spread(weights), turn }
    }

    /// The endpoint whose turn it is; `load` tells one's requests in flight for its weight. `None` where no endpoint takes any.
    pub fn choose(&self, load: impl Fn(usize) -> u64) -> Option<usize> {
        let length = self.schedule.len();
        if length == 0 {
            return None;
        }
        let drawn = |number: u64| self.schedule[(number % length as u64) as usize] as usize;
        Some(match self.rule {
            Balance::RoundRobin => self.schedule[self.turn.fetch_add(1, Ordering::Relaxed) % length] as usize,
            Balance::Random => drawn(random()),
            // The power of two choices (Mitzenmacher, 2001): nearly as even as asking all, and no herd.
            Balance::LeastRequest => {
                let number = random();
                let (first, second) = (drawn(number & 0xffff_ffff), drawn(number >> 32));
                if load(second) < load(first) { second } else { first }
            }
        })
    }
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
fn random() -> u64 {
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
    use super::*;

    fn counts(rule: Balance, weights: &[u32], choices: usize) -> Vec<usize> {
        let balancer = Balancer::new(rule, weights);
        let mut counts = vec![0; weights.len()];
        for _ in 0..choices {
            counts[balancer.choose(|_| 0).expect("an endpoint")] += 1;
        }
        counts
    }

    #[test]
    fn round_robin_keeps_the_weights_exactly() {
        assert_eq!(counts(Balance::RoundRobin, &[1, 1, 1], 300), [100, 100, 100]);
        assert_eq!(counts(Balance::RoundRobin, &[5, 1, 0, 2], 800), [500, 100, 0, 200]);
        assert_eq!(counts(Balance::RoundRobin, &[100, 300], 400), [100, 300]);
    }

    #[test]
    fn turns_of_a_heavy_endpoint_are_spread() {
        assert_eq!(*spread(&[3, 1]), [0, 0, 1, 0]);
        assert_eq!(*spread(&[1, 1]), [0, 1]);
    }

    #[test]
    fn random_keeps_the_weights_roughly() {
        let counts = counts(Balance::Random, &[1, 3], 40_000);

        assert!((9_000..11_000).contains(&counts[0]), "{counts:?}");
    }

    #[test]
    fn least_request_avoids_the_busy_one() {
        let balancer = Balancer::new(Balance::LeastRequest, &[1, 1]);
        let busy = (0..1000).filter(|_| balancer.choose(|index| if index == 0 { 10 } else { 0 }) == Some(0)).count();

        // Only where both draws were the busy one.
        assert!((150..350).contains(&busy), "{busy}");
    }

    #[test]
    fn enormous_weights_make_a_bounded_schedule() {
        let schedule = spread(&[u32::MAX, 1, u32::MAX - 1]);

        assert!(schedule.len() as u64 <= LONGEST + 3);
        assert!(schedule.contains(&1));
    }

    #[test]
    fn no_weight_at_all_chooses_nothing() {
        assert_eq!(Balancer::new(Balance::Random, &[]).choose(|_| 0), None);
    }
}
