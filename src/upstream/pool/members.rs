//! The endpoints that a pool has just now, with the tables to choose among them. A changed set is built beside the traffic and swapped in.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

use super::endpoint::{Endpoint, Terms, is_same};
use crate::upstream::balance::Balancer;
use crate::upstream::found::Found;
use crate::upstream::tls::Tls;

/// A pool's endpoints, as they were configured or found.
pub(super) struct Members {
    /// What they were made of.
    pub written: Vec<Found>,
    /// In the written order.
    pub endpoints: Box<[Arc<Endpoint>]>,
    pub balancer: Balancer,
    /// How they are spoken to over TLS, where they are.
    pub tls: Option<Arc<Tls>>,
    ids: HashSet<u64>,
}

impl Members {
    /// These endpoints. Those that `before` had at the same addresses keep what is known of them; one whose description is the same in every
    /// respect is the same endpoint, unless the terms may have changed.
    pub(super) fn new(written: &[Found], terms: &Terms<'_>, before: Option<(&Self, bool)>) -> Self {
        let mut known: HashMap<SocketAddr, usize> = HashMap::new();
        if let Some((before, _)) = before {
            known.extend(before.endpoints.iter().enumerate().map(|(index, endpoint)| (endpoint.address, index)));
        }
        let was: Vec<Option<usize>> = written.iter().map(|written| known.remove(&written.address)).collect();
        let same_terms = before.is_some_and(|(before, same_terms)| same_terms && is_same(before.tls.as_ref(), terms.tls));
        let endpoint = |written: &Found, was: Option<usize>| {
            let Some((before, index)) = before.map(|(before, _)| before).zip(was) else {
                return Arc::new(Endpoint::new(written, terms));
            };
            let endpoint = &before.endpoints[index];
            if same_terms && before.written[index] == *written {
                return endpoint.clone();
            }
            Arc::new(endpoint.again(written, terms))
        };
        let endpoints: Box<[Arc<Endpoint>]> = written.iter().zip(&was).map(|(written, was)| endpoint(written, *was)).collect();
        let weights: Vec<u32> = endpoints.iter().map(|endpoint| endpoint.weight).collect();
        let names: Vec<&str> = endpoints.iter().map(|endpoint| &*endpoint.text).collect();
        let balancer = match before {
            Some((before, true)) => before.balancer.next(&weights, &names, &was),
            _ => Balancer::new(terms.balance, &weights, &names),
        };
        let ids = endpoints.iter().map(|endpoint| endpoint.id()).collect();
        Self { ids, balancer, written: written.to_vec(), endpoints, tls: terms.tls.cloned() }
    }

    /// Whether this endpoint is one of them.
    pub(super) fn has(&self, endpoint: &Endpoint) -> bool {
        self.ids.contains(&endpoint.id())
    }
}
