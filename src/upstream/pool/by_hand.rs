//! What operators set by hand: endpoints taken out and other weights, for a time or until further notice. It is kept by address, beside the
//! endpoints, so that it holds whatever becomes of them meanwhile: a reload, or that one leaves and comes back.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::{Endpoint, Pool};

/// The most addresses of a pool that something is set for.
const MOST: usize = 65_536;
/// Until further notice.
const EVER: u64 = u64::MAX;

/// What is set for endpoints, by address.
#[derive(Default)]
pub(super) struct ByHand(Mutex<HashMap<SocketAddr, Settings>>);

/// What is set for one. Times are a pool's milliseconds; [`EVER`] where there is no end.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Settings {
    /// Until when it is taken out.
    drained: Option<u64>,
    /// Its weight, and until when.
    weight: Option<(u32, u64)>,
}

/// The same as an endpoint has it at hand.
#[derive(Default)]
pub(super) struct Hold {
    drained_until: AtomicU64,
    weight: AtomicU64,
    weighed_until: AtomicU64,
}

/// What an operator does to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// It is taken out, for so long or until further notice: it gets no new requests.
    Drain(Option<Duration>),
    /// It has this weight in place of the one that is written, likewise.
    Weight(u32, Option<Duration>),
    /// Nothing is set any more.
    Ready,
}

/// What came of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Obeyed {
    /// How many endpoints it was about.
    pub endpoints: usize,
    /// Whether any endpoint of the pool takes requests from then on.
    pub usable: bool,
}

/// Why an order was not obeyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotObeyed {
    /// The pool has no such endpoint.
    NoEndpoint,
    /// Too many have something set.
    TooMany,
}

impl Hold {
    /// Whether the endpoint is taken out.
    pub(super) fn is_drained(&self, now: u64) -> bool {
        self.drained_until.load(Ordering::Relaxed) > now
    }

    /// The weight that is set.
    pub(super) fn weight(&self, now: u64) -> Option<u32> {
        (self.weighed_until.load(Ordering::Relaxed) > now).then(|| self.weight.load(Ordering::Relaxed) as u32)
    }

    /// For how much longer it is taken out, in milliseconds, where that has an end.
    pub(super) fn drained_for(&self, now: u64) -> Option<u64> {
        left(&self.drained_until, now)
    }

    /// For how much longer it has the weight that is set, likewise.
    pub(super) fn weighed_for(&self, now: u64) -> Option<u64> {
        left(&self.weighed_until, now)
    }

    /// When something that is set ends next.
    pub(super) fn ends(&self, now: u64) -> Option<u64> {
        let until = [&self.drained_until, &self.weighed_until].map(|until| until.load(Ordering::Relaxed));
        until.into_iter().filter(|until| *until > now && *until != EVER).min()
    }

    fn set(&self, settings: Settings) {
        let (weight, until) = settings.weight.unwrap_or_default();
        self.weight.store(u64::from(weight), Ordering::Relaxed);
        self.weighed_until.store(until, Ordering::Relaxed);
        self.drained_until.store(settings.drained.unwrap_or_default(), Ordering::Relaxed);
    }
}

fn left(until: &AtomicU64, now: u64) -> Option<u64> {
    let until = until.load(Ordering::Relaxed);
    (until > now && until != EVER).then(|| until - now)
}

impl ByHand {
    /// What is set for an endpoint at this address.
    pub(super) fn hold(&self, address: SocketAddr) -> Hold {
        let hold = Hold::default();
        if let Some(settings) = self.0.lock().get(&address) {
            hold.set(*settings);
        }
        hold
    }

    /// Ends what is over, and says which addresses that concerns.
    pub(super) fn end(&self, now: u64) -> Vec<SocketAddr> {
        let mut over = Vec::new();
        self.0.lock().retain(|address, settings| {
            let before = *settings;
            settings.drained = settings.drained.filter(|until| *until > now);
            settings.weight = settings.weight.filter(|(_, until)| *until > now);
            if *settings != before {
                over.push(*address);
            }
            *settings != Settings::default()
        });
        over
    }
}

impl Pool {
    /// How many of its endpoints are taken out by hand, and of how many the weight is set.
    pub(crate) fn held(&self, now: Instant) -> (usize, usize) {
        let now = self.millis(now);
        let members = self.members.load();
        let number = |is: fn(&Hold, u64) -> bool| members.endpoints.iter().filter(|endpoint| is(&endpoint.known.hold, now)).count();
        (number(Hold::is_drained), number(|hold, now| hold.weight(now).is_some()))
    }

    /// Does to the endpoints of this address, or of this name and port, what an operator says.
    pub(crate) fn obey(&self, whom: &str, order: Order, now: Instant) -> Result<Obeyed, NotObeyed> {
        let millis = self.millis(now);
        let until = |time: Option<Duration>| time.map_or(EVER, |time| millis.saturating_add(time.as_millis() as u64));
        let changing = self.changing.lock();
        let members = self.members.load_full();
        let address = whom.parse::<SocketAddr>().ok();
        let is_meant = |endpoint: &Arc<Endpoint>| match address {
            Some(address) => endpoint.address == address,
            None => endpoint.name.as_ref().is_some_and(|name| name.to_string().eq_ignore_ascii_case(whom)),
        };
        let meant: Vec<&Arc<Endpoint>> = members.endpoints.iter().filter(|endpoint| is_meant(endpoint)).collect();
        let endpoints = {
            let mut all = self.by_hand.0.lock();
            // What was set for one that has left may be taken back all the same.
            let left = address.filter(|address| meant.is_empty() && order == Order::Ready && all.contains_key(address));
            if meant.is_empty() && left.is_none() {
                return Err(NotObeyed::NoEndpoint);
            }
            if order != Order::Ready && all.len() + meant.len() > MOST {
                return Err(NotObeyed::TooMany);
            }
            let addresses: Vec<SocketAddr> = meant.iter().map(|endpoint| endpoint.address).chain(left).collect();
            for address in &addresses {
                let settings = all.entry(*address).or_default();
                match order {
                    Order::Drain(time) => settings.drained = Some(until(time)),
                    Order::Weight(weight, time) => settings.weight = Some((weight, until(time))),
                    Order::Ready => *settings = Settings::default(),
                }
                meant.iter().filter(|endpoint| endpoint.address == *address).for_each(|endpoint| endpoint.known.hold.set(*settings));
                if *settings == Settings::default() {
                    all.remove(address);
                }
            }
            addresses.len()
        };
        self.rebuild(&changing, millis);
        Ok(Obeyed { endpoints, usable: self.has_usable(None) })
    }
}
