//! Where the endpoints of an upstream come from that are not written as addresses.
//!
//! A source is asked in the background, never by a request. What it says goes to the upstream's [`Keeper`], which decides what to make of it:
//! a source that is away changes nothing, one that suddenly knows nobody is doubted, and a changed set is swapped into the pool while
//! requests go on. Nothing of that compiles a configuration anew.

pub(crate) mod dns;
mod judge;
mod keeper;

use crate::config::Loaded;
use crate::config::model::Upstream;
pub(crate) use crate::upstream::Found;

pub(crate) use self::keeper::{Keeper, Part, Reporter};

/// The sources that an upstream's endpoints come from, besides its written addresses.
pub(crate) fn parts(_upstream: &Upstream, _loaded: &Loaded) -> Result<Vec<Part>, String> {
    Ok(Vec::new())
}
