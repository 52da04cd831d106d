//! A GraphQL service as the upstream of a call: the document and the variables that it is sent, and what of its answer is the answer.
//!
//! The document is the configuration's, byte by byte: no value gets into it. What a request brings are variables, each a value of JSON by itself.

mod answer;
#[cfg(feature = "graphql")]
pub(crate) mod document;
mod sent;
#[cfg(test)]
mod tests;

pub(crate) use answer::{NoData, data};
pub(crate) use sent::{ACCEPTS, named, sent};
