//! Whose turn it is, by weight: short weights are laid out as a schedule, long ones as slices of the circle of all numbers.

use super::wheel::Wheel;

/// Schedules no longer than this, but where all weights are the same.
const LONGEST: u64 = 4096;
/// The golden ratio's fraction of the circle: the multiples of it fall more evenly than any drawn numbers (Weyl, 1916).
pub(super) const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Endpoints with their shares of the turns.
pub(super) enum Shares {
    /// Each as often as its weight says, spread evenly.
    Schedule(Box<[u32]>),
    /// Each with as much of the circle as its weight says.
    Circle(Wheel),
}

impl Shares {
    /// Shares by weight; a weight of 0 has none.
    pub(super) fn new(weights: &[u32]) -> Self {
        let some = || weights.iter().enumerate().filter(|(_, weight)| **weight > 0);
        let mut only = some().map(|(_, weight)| *weight);
        let first = only.next();
        if only.all(|weight| Some(weight) == first) {
            return Self::Schedule(some().map(|(index, _)| index as u32).collect());
        }
        let divisor = weights.iter().fold(0, |a, b| gcd(a, u64::from(*b))).max(1);
        let total: u64 = weights.iter().map(|weight| u64::from(*weight) / divisor).sum();
        if total <= LONGEST {
            return Self::Schedule(spread(weights, divisor));
        }
        let mut sum = 0;
        let slice = |(index, weight): (usize, &u32)| {
            sum += u64::from(*weight) / divisor;
            let end = ((u128::from(sum) << 64) / u128::from(total)) - 1;
            (end as u64, index as u32)
        };
        Self::Circle(Wheel::new(some().map(slice).collect()))
    }

    /// Whose turn this one is. In a row of turns everybody gets its share nearly exactly.
    pub(super) fn turn(&self, number: usize) -> usize {
        match self {
            Self::Schedule(turns) => turns[number % turns.len()] as usize,
            Self::Circle(wheel) => wheel.of(wheel.place((number as u64).wrapping_mul(GOLDEN))),
        }
    }

    /// Who is drawn by this number, which was drawn among all numbers.
    pub(super) fn drawn(&self, number: u64) -> usize {
        match self {
            Self::Schedule(turns) => turns[scaled(number, turns.len())] as usize,
            Self::Circle(wheel) => wheel.of(wheel.place(number)),
        }
    }
}

/// The number among all numbers as one below `length`.
pub(super) fn scaled(number: u64, length: usize) -> usize {
    ((u128::from(number) * length as u128) >> 64) as usize
}

/// Weighted turns spread evenly over one period: the turns of a weight `w` fall due at (2k + 1) / 2w of it (earliest deadline first), so that
/// equal weights keep the written order.
fn spread(weights: &[u32], divisor: u64) -> Box<[u32]> {
    let mut turns: Vec<(u64, u64, u32)> = Vec::new();
    for (index, weight) in weights.iter().enumerate() {
        let weight = u64::from(*weight) / divisor;
        turns.extend((0..weight).map(|turn| (2 * turn + 1, weight, index as u32)));
    }
    // No turn of one endpoint is far from its share of the period. Both factors are small, so the products do not overflow.
    turns.sort_by(|(a, of_a, _), (b, of_b, _)| (a * of_b).cmp(&(b * of_a)));
    turns.into_iter().map(|(_, _, index)| index).collect()
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(weights: &[u32], number: usize) -> Vec<usize> {
        let shares = Shares::new(weights);
        (0..number).map(|turn| shares.turn(turn)).collect()
    }

    #[test]
    fn turns_of_a_heavy_endpoint_are_spread() {
        assert_eq!(turns(&[3, 1], 4), [0, 0, 1, 0]);
        assert_eq!(turns(&[30, 10], 4), [0, 0, 1, 0]);
        assert_eq!(turns(&[7, 0, 7], 4), [0, 2, 0, 2]);
    }

    #[test]
    fn weights_that_make_no_short_schedule_are_kept_within_a_few_turns() {
        let weights: Vec<u32> = (0..500).map(|index| 1 + index * 7 % 1000).collect();
        let total: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
        let mut counts = vec![0.0; weights.len()];

        turns(&weights, 100_000).into_iter().for_each(|index| counts[index] += 1.0);

        for (index, weight) in weights.iter().enumerate() {
            let share = 100_000.0 * f64::from(*weight) / total;
            assert!((counts[index] - share).abs() < 8.0, "{index}: {} turns in place of {share}", counts[index]);
        }
    }

    #[test]
    fn the_heaviest_weights_there_are_have_their_slices() {
        let shares = Shares::new(&[u32::MAX, 0, u32::MAX - 1, 1]);

        assert_eq!((shares.drawn(0), shares.drawn(u64::MAX), shares.drawn(1 << 63)), (0, 3, 2));
    }
}
