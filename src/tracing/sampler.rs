//! Of which requests spans are recorded: of those whose caller records its own, else of a share of the traces that begin here.

use crate::telemetry::trace::Parent;

/// The bits of a trace's identifier that are random (W3C Trace Context, level 2).
const RANDOM: u64 = (1 << 56) - 1;

/// Decides for each request.
#[derive(Debug, PartialEq)]
pub(super) struct Sampler {
    /// Whether a trusted caller has decided already.
    pub follows: bool,
    /// For requests that no route takes.
    pub unmatched: Threshold,
    /// For those of each route, by its index.
    pub routes: Box<[Threshold]>,
}

impl Sampler {
    /// Whether spans are recorded of a request in this trace.
    pub(super) fn samples(&self, route: Option<usize>, parent: Option<Parent>, trace: u128) -> bool {
        match parent.filter(|_| self.follows) {
            Some(parent) => parent.is_sampled(),
            None => route.and_then(|route| self.routes.get(route)).unwrap_or(&self.unmatched).admits(trace),
        }
    }
}

/// From which number on a trace's random bits are recorded. All nodes with the same share record the same traces, and one with a larger share
/// those as well.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Threshold(u64);

impl Threshold {
    /// That of a share between 0 and 1.
    pub(super) fn of(share: f64) -> Self {
        let most = RANDOM + 1;
        Self(most - (share.clamp(0.0, 1.0) * most as f64).round() as u64)
    }

    fn admits(self, trace: u128) -> bool {
        trace as u64 & RANDOM >= self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampler(follows: bool, share: f64, routes: &[f64]) -> Sampler {
        let routes = routes.iter().map(|share| Threshold::of(*share)).collect();
        Sampler { follows, unmatched: Threshold::of(share), routes }
    }

    fn called(flags: u8) -> Option<Parent> {
        Some(Parent { trace: 1, span: 1, flags })
    }

    /// Traces whose last 56 bits are spread evenly, whatever the others are.
    fn traces(count: u64) -> impl Iterator<Item = u128> {
        (0..count).map(move |number| u128::from(number % 7) << 56 | u128::from((RANDOM / count) * number))
    }

    #[test]
    fn all_none_or_a_share_of_the_traces_that_begin_here_are_recorded() {
        for (share, sampled) in [(0.0, 0), (0.01, 100), (0.5, 5_000), (1.0, 10_000)] {
            let sampler = sampler(true, share, &[]);

            let count = traces(10_000).filter(|trace| sampler.samples(None, None, *trace)).count();

            assert!(count.abs_diff(sampled) <= 1, "{share}: {count}");
        }
        assert!(!sampler(true, 0.0, &[]).samples(None, None, u128::MAX));
        assert!(sampler(true, 1.0, &[]).samples(None, None, 0));
    }

    #[test]
    fn the_decision_is_that_of_every_node_and_of_larger_shares() {
        let (few, many) = (sampler(true, 0.1, &[]), sampler(true, 0.3, &[]));

        assert!(traces(1000).filter(|trace| few.samples(None, None, *trace)).all(|trace| many.samples(None, None, trace)));
        // As the specification has it: a quarter are those whose random bits begin with two ones.
        let quarter = sampler(true, 0.25, &[]);
        assert!(quarter.samples(None, None, 0xc0_0000_0000_0000) && !quarter.samples(None, None, 0xff_bf_ff_ff_ff_ff_ff_ff));
    }

    #[test]
    fn each_route_has_its_own_share() {
        let sampler = sampler(true, 0.0, &[1.0, 0.0]);

        assert_eq!([Some(0), Some(1), None].map(|route| sampler.samples(route, None, 5)), [true, false, false]);
    }

    #[test]
    fn a_caller_s_decision_is_followed_where_it_is_to_be() {
        let (none, all) = (sampler(true, 0.0, &[0.0]), sampler(true, 1.0, &[1.0]));
        assert!(none.samples(Some(0), called(1), 5) && none.samples(None, called(0x03), 5));
        assert!(!all.samples(Some(0), called(0), 5) && !all.samples(None, called(0x02), 5));

        let own = sampler(false, 1.0, &[0.0]);
        assert!(own.samples(None, called(0), 5) && !own.samples(Some(0), called(1), 5));
    }
}
