//! What operators set by hand: endpoints taken out and other weights, for a time or until further notice. It is kept by address, beside the
//! endpoints, so that it holds whatever becomes of them meanwhile: a reload, or that one leaves and comes back.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::Pool;

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
    /// Does to the endpoint at this address what an operator says. Says whether any endpoint takes requests from then on.
    pub(crate) fn obey(&self, address: SocketAddr, order: Order, now: Instant) -> Result<bool, NotObeyed> {
        let millis = self.millis(now);
        let until = |time: Option<Duration>| time.map_or(EVER, |time| millis.saturating_add(time.as_millis() as u64));
        let changing = self.changing.lock();
        let members = self.members.load_full();
        let endpoint = members.endpoints.iter().find(|endpoint| endpoint.address == address);
        {
            let mut all = self.by_hand.0.lock();
            // What was set for one that has left may be taken back all the same.
            if endpoint.is_none() && !(order == Order::Ready && all.contains_key(&address)) {
                return Err(NotObeyed::NoEndpoint);
            }
            if all.len() >= MOST && order != Order::Ready && !all.contains_key(&address) {
                return Err(NotObeyed::TooMany);
            }
            let settings = all.entry(address).or_default();
            match order {
                Order::Drain(time) => settings.drained = Some(until(time)),
                Order::Weight(weight, time) => settings.weight = Some((weight, until(time))),
                Order::Ready => *settings = Settings::default(),
            }
            if let Some(endpoint) = endpoint {
                endpoint.known.hold.set(*settings);
            }
            if *settings == Settings::default() {
                all.remove(&address);
            }
        }
        self.rebuild(&changing, millis);
        drop(changing);
        Ok(self.has_usable(None))
    }
}
