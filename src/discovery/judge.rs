//! What an answer of a source is worth: which of the endpoints that it does not name any more leave at once, and which stay in doubt.
//!
//! One that goes is out at once. Where most of them go within a few seconds, or all of them do, the source is more likely to be wrong than the
//! endpoints are gone: with health checks those that still pass stay, and those that fail leave; without, they stay until the source has said
//! the same again, long enough after, or no connection to one comes about. Those that an answer adds always enter at once. Nothing here knows the time or the network.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::upstream::Found;

/// Within this time endpoints go together.
pub(super) const TOGETHER: Duration = Duration::from_secs(5);

/// What is known of the endpoint at an address: whether it passes its probes; without any, that no connection to it comes about, or nothing.
pub(super) type Passes<'p> = &'p dyn Fn(&SocketAddr) -> Option<bool>;

/// What the answers of one source have come to so far.
#[derive(Clone, Debug)]
pub(super) struct Judge {
    /// How long after a doubtful answer another one has to come that says the same.
    patience: Duration,
    endpoints: BTreeMap<SocketAddr, Standing>,
    /// What left lately, with the time.
    left: VecDeque<(Instant, SocketAddr)>,
    /// Nobody has answered yet: what there is was remembered from before.
    remembered: bool,
}

#[derive(Clone, Debug)]
struct Standing {
    endpoint: Found,
    /// Since when the source does not name it, where it stays all the same.
    missed: Option<Instant>,
}

/// What an answer has brought about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Judged {
    /// Whether the endpoints are not what they were.
    pub changed: bool,
    /// How many it put in doubt.
    pub doubted: usize,
    /// How many it named more than once.
    pub duplicates: usize,
}

impl Judge {
    /// Begins with endpoints that are remembered from an earlier time, or none.
    pub(super) fn new(patience: Duration, remembered: Vec<Found>) -> Self {
        let endpoints = remembered.into_iter().map(|endpoint| (endpoint.address, Standing { endpoint, missed: None })).collect();
        Self { patience, endpoints, left: VecDeque::new(), remembered: true }
    }

    /// The endpoints, by their addresses.
    pub(super) fn endpoints(&self) -> impl Iterator<Item = &Found> {
        self.endpoints.values().map(|standing| &standing.endpoint)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.endpoints.len()
    }

    /// How many of them the source does not name any more.
    pub(super) fn doubted(&self) -> usize {
        self.endpoints.values().filter(|standing| standing.missed.is_some()).count()
    }

    /// The source's whole set, as of now. The last of those with one address counts.
    pub(super) fn answer(&mut self, answer: Vec<Found>, passes: Passes<'_>, now: Instant) -> Judged {
        let count = answer.len();
        let named: BTreeMap<SocketAddr, Found> = answer.into_iter().map(|endpoint| (endpoint.address, endpoint)).collect();
        let doubtful = self.is_doubtful(&named, now);
        let mut judged = Judged { duplicates: count - named.len(), ..Judged::default() };
        if !named.is_empty() {
            self.remembered = false;
        }

        let (patience, left) = (self.patience, &mut self.left);
        self.endpoints.retain(|address, standing| {
            if named.contains_key(address) {
                return true;
            }
            let stays = match standing.missed {
                Some(since) => still_stays(since, patience, passes(address), now),
                None => doubtful && passes(address) != Some(false),
            };
            if stays && standing.missed.is_none() {
                standing.missed = Some(now);
                judged.doubted += 1;
            }
            if !stays {
                judged.changed = true;
                if standing.missed.is_none() {
                    left.push_back((now, *address));
                }
            }
            stays
        });
        for (address, endpoint) in named {
            let known = self.endpoints.get(&address);
            judged.changed |= known.is_none_or(|known| known.endpoint != endpoint);
            self.endpoints.insert(address, Standing { endpoint, missed: None });
        }
        judged
    }

    /// The source says the same as the last time. Whether that changes anything.
    pub(super) fn again(&mut self, passes: Passes<'_>, now: Instant) -> bool {
        let patience = self.patience;
        self.keep(|address, since| still_stays(since, patience, passes(address), now))
    }

    /// Lets go of those in doubt that fail their probes. Whether there was one.
    pub(super) fn look(&mut self, passes: Passes<'_>) -> bool {
        self.keep(|address, _| passes(address) != Some(false))
    }

    /// The source is right: lets go of all in doubt. How many there were.
    pub(super) fn accept(&mut self) -> usize {
        let before = self.endpoints.len();
        self.keep(|_, _| false);
        before - self.endpoints.len()
    }

    /// Keeps those in doubt of which this holds. Whether one is gone.
    fn keep(&mut self, stays: impl Fn(&SocketAddr, Instant) -> bool) -> bool {
        let before = self.endpoints.len();
        self.endpoints.retain(|address, standing| standing.missed.is_none_or(|since| stays(address, since)));
        self.endpoints.len() != before
    }

    /// Whether an answer leaves out so many that it is more likely to be wrong.
    fn is_doubtful(&mut self, named: &BTreeMap<SocketAddr, Found>, now: Instant) -> bool {
        let lately = |at: Instant| now.saturating_duration_since(at) <= TOGETHER;
        while self.left.front().is_some_and(|(at, _)| !lately(*at)) {
            self.left.pop_front();
        }
        if named.is_empty() {
            return true;
        }
        // What was remembered may be long out of date, and its addresses may be others' by now: an answer is better.
        if self.remembered {
            return false;
        }
        let standing = self.endpoints.iter().filter(|(_, standing)| standing.missed.is_none_or(lately)).map(|(address, _)| address);
        let before: BTreeSet<&SocketAddr> = standing.chain(self.left.iter().map(|(_, address)| address)).collect();
        let gone = before.iter().filter(|address| !named.contains_key(**address)).count();
        gone > 1 && gone * 2 > before.len()
    }
}

/// Whether one that was missed before stays although it is missed again.
fn still_stays(since: Instant, patience: Duration, passes: Option<bool>, now: Instant) -> bool {
    passes.unwrap_or_else(|| now.saturating_duration_since(since) < patience)
}

#[cfg(test)]
mod tests;
