//! An endpoint as a pool takes it: what the configuration says of an address, or what was found under a name or by discovery.

use std::net::SocketAddr;

use frontgate_filters::words::spanned::Spanned;

use crate::config::model::{Address, Endpoint, Name};

/// An endpoint at an address.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Found {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its share of requests relative to the other weights; 0: none.
    pub weight: u32,
    /// The version that `X-BFF-Version` names on its answers, printable ASCII.
    pub version: Option<String>,
    /// The name that the address was found under: what Host and SNI say of it, where nothing else does. None for an address that was written.
    pub name: Option<Name>,
}

impl Found {
    /// What is written at this address, found under this name.
    pub(crate) fn at(address: SocketAddr, name: Option<Name>, written: &Endpoint) -> Self {
        let version = written.version.as_ref().map(|version| version.value.clone());
        Self { address, weight: written.weight, version, name }
    }

    /// Those of the written endpoints that are addresses; names have to be resolved first.
    pub(crate) fn written(endpoints: &[Spanned<Endpoint>]) -> Vec<Self> {
        let plain = endpoints.iter().filter_map(|endpoint| match &endpoint.address {
            Address::Ip(address) => Some(Self::at(*address, None, endpoint)),
            Address::Name(_) => None,
        });
        plain.collect()
    }
}
