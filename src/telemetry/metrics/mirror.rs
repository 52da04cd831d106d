//! What is counted of a route's mirror: copies whose status was compared with the original's, and those that were not made. And how many there
//! are just now, since that has to outlast a reload as counts do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::scrape::Scrape;

/// A mirror's counters.
#[derive(Debug, Default)]
pub(crate) struct MirrorMetrics {
    compared: [AtomicU64; Compared::ALL.len()],
    skipped: [AtomicU64; Skipped::ALL.len()],
    in_flight: AtomicU32,
}

/// How a copy's status compares with its original's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compared {
    /// It is the same.
    Same,
    /// It is another one.
    Other,
    /// The copy has brought no answer.
    NoAnswer,
}

/// Why a request that was drawn was not copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Skipped {
    /// There are as many copies as there may be.
    InFlight,
    /// Its body is larger than a copy's may be.
    Body,
    /// The gateway is on its way out.
    Draining,
    /// The gateway is overloaded.
    Overload,
    /// It is a gRPC call, or asks for another protocol.
    Protocol,
    /// The mirror's upstream has as many requests as it may.
    Limit,
    /// The mirror's upstream has no endpoint that takes requests.
    NoEndpoint,
    /// The original itself never came to its upstream as a whole.
    Original,
}

impl Compared {
    /// All there are.
    pub(crate) const ALL: [Self; 3] = [Self::Same, Self::Other, Self::NoAnswer];

    fn label(self) -> &'static str {
        match self {
            Self::Same => "true",
            Self::Other => "false",
            Self::NoAnswer => "no_answer",
        }
    }
}

impl Skipped {
    /// All there are.
    pub(crate) const ALL: [Self; 8] =
        [Self::InFlight, Self::Body, Self::Draining, Self::Overload, Self::Protocol, Self::Limit, Self::NoEndpoint, Self::Original];

    fn label(self) -> &'static str {
        match self {
            Self::InFlight => "in_flight",
            Self::Body => "body",
            Self::Draining => "draining",
            Self::Overload => "overload",
            Self::Protocol => "protocol",
            Self::Limit => "limit",
            Self::NoEndpoint => "no_endpoint",
            Self::Original => "original",
        }
    }
}

impl MirrorMetrics {
    /// Counts a copy.
    pub(crate) fn compared(&self, compared: Compared) {
        self.compared[compared as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request that was not copied.
    pub(crate) fn skipped(&self, why: Skipped) {
        self.skipped[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// A place among so many copies, where one is free.
    pub(crate) fn enter(self: &Arc<Self>, most: u32) -> Option<Place> {
        let enters = self.in_flight.fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| (now < most).then_some(now + 1));
        enters.ok().map(|_| Place(self.clone()))
    }

    pub(super) fn scrape(&self, route: &str, scrape: &mut Scrape) {
        let help = "Copies of requests, by whether their status was the original's.";
        for compared in Compared::ALL {
            let count = self.compared[compared as usize].load(Ordering::Relaxed);
            if count > 0 {
                scrape.counter("frontgate_mirror_status_total", help, &[("route", route), ("same", compared.label())], count as f64);
            }
        }
        let help = "Requests of which no copy was made though one was to be, by the reason.";
        for why in Skipped::ALL {
            let count = self.skipped[why as usize].load(Ordering::Relaxed);
            if count > 0 {
                scrape.counter("frontgate_mirror_skipped_total", help, &[("route", route), ("reason", why.label())], count as f64);
            }
        }
    }
}

/// A copy's place among those in flight, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place(Arc<MirrorMetrics>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}
