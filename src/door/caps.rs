//! How many connections there may be, in all and of one client: counted from when one is accepted until it is gone.
//!
//! No request comes here. Clients are counted only where the configuration bounds them.

use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

/// Parts of the table of clients, each with a lock of its own.
const PARTS: usize = 16;

/// The connections that there are, on all listeners and threads.
#[derive(Default)]
pub(crate) struct Caps {
    all: AtomicUsize,
    clients: [Mutex<HashMap<Client, u32>>; PARTS],
    hashes: RandomState,
}

/// Whoever counts as one: an address, or a network that IPv6 gives to one customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Client {
    V4(u32),
    /// A /64.
    V6(u64),
}

impl From<IpAddr> for Client {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
        }
    }
}

/// One connection's place among all of them; dropping it gives it back.
#[must_use = "it counts only while it lives"]
pub(crate) struct Place {
    caps: Arc<Caps>,
    client: Option<Client>,
}

impl Caps {
    /// One more connection, where there are fewer than `most`.
    pub(super) fn enter(self: &Arc<Self>, most: Option<NonZeroU32>) -> Option<Place> {
        let before = self.all.fetch_add(1, Ordering::AcqRel);
        // Dropped, it is off the count again.
        let place = Place { caps: self.clone(), client: None };
        most.is_none_or(|most| before < most.get() as usize).then_some(place)
    }

    fn part(&self, client: Client) -> &Mutex<HashMap<Client, u32>> {
        &self.clients[self.hashes.hash_one(client) as usize % PARTS]
    }
}

impl Place {
    /// It is this client's. Whether that has no more than `most`, with this one.
    pub(super) fn of(&mut self, address: IpAddr, most: Option<NonZeroU32>) -> bool {
        let Some(most) = most else { return true };
        let client = Client::from(address);
        let mut clients = self.caps.part(client).lock();
        let count = clients.entry(client).or_default();
        if *count >= most.get() {
            return false;
        }
        *count += 1;
        self.client = Some(client);
        true
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.caps.all.fetch_sub(1, Ordering::AcqRel);
        let Some(client) = self.client else { return };
        if let Entry::Occupied(mut count) = self.caps.part(client).lock().entry(client) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn clients(caps: &Caps) -> usize {
        caps.clients.iter().map(|part| part.lock().len()).sum()
    }

    #[test]
    fn there_are_as_many_as_there_may_be_and_a_place_that_is_given_back_is_taken_again() {
        let (caps, two) = (Arc::new(Caps::default()), NonZeroU32::new(2));
        let first = caps.enter(two);
        let second = caps.enter(two);

        assert!(first.is_some() && second.is_some() && caps.enter(two).is_none() && caps.enter(two).is_none());
        drop(first);
        assert!(caps.enter(two).is_some());

        assert!(caps.enter(None).is_some(), "no bound");
        drop(second);
        assert_eq!(caps.all.load(Ordering::Acquire), 0);
    }

    #[test]
    fn a_client_is_an_address_or_a_network_of_ipv6() {
        let (caps, one) = (Arc::new(Caps::default()), NonZeroU32::new(1));
        let mut places: Vec<Place> = (0..8).filter_map(|_| caps.enter(None)).collect();
        let mut enter = |text: &str, place: usize| places[place].of(address(text), one);

        assert!(enter("192.0.2.1", 0));
        assert!(!enter("192.0.2.1", 1) && !enter("::ffff:192.0.2.1", 1), "it is the same address");
        assert!(enter("192.0.2.2", 2));
        assert!(enter("2001:db8::1", 3));
        assert!(!enter("2001:db8::ffff:1:2:3", 4), "it is the same network");
        assert!(enter("2001:db8:0:1::1", 5));
        drop(places);

        assert_eq!(clients(&caps), 0, "nobody is remembered");
        assert_eq!(caps.all.load(Ordering::Acquire), 0);
    }

    #[test]
    fn clients_are_not_counted_where_nothing_bounds_them() {
        let caps = Arc::new(Caps::default());
        let mut place = caps.enter(None).expect("a place");

        assert!(place.of(address("192.0.2.1"), None));

        assert_eq!(clients(&caps), 0);
    }

    #[test]
    fn who_was_refused_leaves_no_trace_and_takes_nobody_s_place() {
        let (caps, one) = (Arc::new(Caps::default()), NonZeroU32::new(1));
        let mut held = caps.enter(None).expect("a place");
        assert!(held.of(address("192.0.2.1"), one));
        for _ in 0..10 {
            let mut place = caps.enter(None).expect("a place");
            assert!(!place.of(address("192.0.2.1"), one));
        }

        drop(held);

        assert_eq!(clients(&caps), 0);
        let mut next = caps.enter(None).expect("a place");
        assert!(next.of(address("192.0.2.1"), one));
    }
}
