//! Consistent hashing: endpoints have points on a ring, a request goes to the one whose point comes first behind one of its own.
//!
//! A request has several points of its own (multi-probe consistent hashing, Appleton and O'Reilly, 2015): the shares are then as even as those of
//! a ring with fifty times the points. A point of an endpoint that is lost changes only who gets the requests that were its own.

use super::shares::GOLDEN;
use super::wheel::{Mark, Wheel};
use super::{Listed, hash_of, mixed};

/// Points of an endpoint of weight 1, and the most of a whole ring.
const POINTS: (u64, u64) = (1024, 1 << 18);
/// Points of a request.
const PROBES: usize = 8;

/// The points of some endpoints.
pub(super) struct Ring {
    wheel: Wheel,
    density: Density,
}

impl Ring {
    /// The ring of these endpoints. Points are placed by name, so that an endpoint's place does not depend on the others: one more or less moves
    /// only its own share.
    pub(super) fn new(listed: &Listed<'_>) -> Self {
        let density = Density::of(listed.written);
        let of = |(index, weight): (usize, &u32)| density.points(index, *weight, listed.names[index]);
        let mut all: Vec<Mark> = listed.weights.iter().enumerate().flat_map(of).collect();
        all.sort_unstable();
        Self { wheel: Wheel::new(all.into()), density }
    }

    /// The ring of other endpoints: what stays is in order already, so only the points of new endpoints are made and sorted. `weights` are
    /// those of this ring, `was` says which of its endpoints each was.
    pub(super) fn next(&self, weights: &[u32], listed: &Listed<'_>, was: &[Option<usize>]) -> Self {
        let density = Density::of(listed.written);
        if density != self.density {
            return Self::new(listed);
        }
        let mut now: Vec<Option<u32>> = vec![None; weights.len()];
        let mut new = Vec::new();
        for (index, was) in was.iter().enumerate() {
            match was.filter(|was| weights[*was] == listed.weights[index]) {
                Some(was) => now[was] = Some(index as u32),
                None => new.extend(density.points(index, listed.weights[index], listed.names[index])),
            }
        }
        new.sort_unstable();
        let before = self.wheel.marks();
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
        Self { wheel: Wheel::new(all.into()), density }
    }

    /// The points of those endpoints alone that have a weight here.
    pub(super) fn only(&self, weights: &[u32]) -> Self {
        let marks = self.wheel.marks().iter().filter(|(_, index)| weights[*index as usize] > 0).copied();
        Self { wheel: Wheel::new(marks.collect()), density: self.density }
    }

    /// How many points it has.
    pub(super) fn size(&self) -> usize {
        self.wheel.marks().len()
    }

    /// Its points, in order.
    #[cfg(test)]
    pub(super) fn marks(&self) -> &[Mark] {
        self.wheel.marks()
    }

    /// The endpoints of the points in the order in which a request with this hash meets them: by how far each is behind the nearest of the
    /// request's own. It begins anew where it ends. There has to be a point.
    pub(super) fn way(&self, hash: u64) -> Way<'_> {
        let probe = |number: usize| match number {
            0 => hash,
            number => mixed(hash.wrapping_add((number as u64).wrapping_mul(GOLDEN))),
        };
        let probes = std::array::from_fn(|number| {
            let probe = probe(number);
            Probe { probe, place: self.wheel.place(probe) }
        });
        Way { wheel: &self.wheel, probes }
    }
}

/// A point of a request, and the place that it has come to.
#[derive(Clone, Copy)]
struct Probe {
    probe: u64,
    place: usize,
}

/// A request's way around a ring.
pub(super) struct Way<'r> {
    wheel: &'r Wheel,
    probes: [Probe; PROBES],
}

impl Iterator for Way<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let marks = self.wheel.marks();
        let probe = self.probes.iter_mut().min_by_key(|probe| marks[probe.place].0.wrapping_sub(probe.probe))?;
        let index = marks[probe.place].1 as usize;
        probe.place = if probe.place + 1 == marks.len() { 0 } else { probe.place + 1 };
        Some(index)
    }
}

/// How many points a weight has: so many for each so much of it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Density(u64, u64);

impl Density {
    /// Where all endpoints weigh so much.
    fn of(total: u64) -> Self {
        if total > POINTS.1 {
            return Self(1, total.div_ceil(POINTS.1).next_power_of_two());
        }
        Self(POINTS.0.min(POINTS.1 / total.max(1)), 1)
    }

    /// An endpoint's points.
    fn points(self, index: usize, weight: u32, name: &str) -> impl Iterator<Item = Mark> {
        let Self(points, each) = self;
        let number = (u64::from(weight) * points / each).clamp(u64::from(weight > 0), POINTS.1);
        (0..number).map(move |point| (hash_of(name.as_bytes(), point), index as u32))
    }
}
