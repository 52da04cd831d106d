//! Where the endpoints of an upstream come from that are not written as addresses.
//!
//! A source is asked in the background, never by a request. What it says goes to the upstream's [`Keeper`], which decides what to make of it:
//! a source that is away changes nothing, one that suddenly knows nobody is doubted, and a changed set is swapped into the pool while
//! requests go on. Nothing of that compiles a configuration anew.

pub(crate) mod dns;
mod judge;
mod keeper;

use std::sync::Arc;

use self::dns::Dns;
use crate::config::Loaded;
use crate::config::model::{Name, Upstream};
pub(crate) use crate::upstream::Found;

pub(crate) use self::keeper::{Keeper, Part, Reporter};

/// The names that an upstream's endpoints are found under, as far as they are written: the ports of a service are in its records.
pub(crate) fn names(upstream: &Upstream) -> impl Iterator<Item = Name> {
    let written = upstream.endpoints.iter().filter_map(|endpoint| endpoint.address.name().cloned());
    written.chain(upstream.discover.as_ref().and_then(|discover| dns::name(discover)))
}

/// The sources that an upstream's endpoints come from, besides its written addresses. Without `dns` no name is ever resolved.
pub(crate) fn parts(upstream: &Upstream, _loaded: &Loaded, dns: Option<&Arc<Dns>>) -> Result<Vec<Part>, String> {
    Ok(dns.map(|dns| dns::parts(upstream, dns)).unwrap_or_default())
}
