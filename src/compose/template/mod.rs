//! What a call sends and what an answer is made of, as it is written once and filled in for each request.
//!
//! Everything is read when the configuration is. No value can be more than a value: in a path it cannot begin a segment, in a query it cannot
//! begin a parameter, in a header no line, and in JSON no member.

mod json;
mod scalar;
mod target;
#[cfg(test)]
mod tests;
mod words;

#[cfg(feature = "graphql")]
pub(crate) use json::Takes;
pub(crate) use json::{Json, Lacking, Stands};
#[cfg(feature = "graphql")]
pub(crate) use scalar::Scalar;
pub(crate) use target::{Target, leads_astray};
pub(crate) use words::Words;

use super::reference::{Origin, Reference, Wrong};

/// A value that is needed is missing, null, or cannot stand where it is wanted: the call is not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Missing;

/// What a reference became when its template was compiled.
pub(crate) trait Source {
    /// Whether it is the whole query, which is put into another one as it came.
    fn is_query(&self) -> bool;
}

impl Source for Origin {
    fn is_query(&self) -> bool {
        *self == Self::Query
    }
}

/// Says what a reference stands for, or why it cannot.
pub(crate) type Resolve<'r, S> = dyn FnMut(&Reference) -> Result<S, Wrong> + 'r;
