//! Calls, and what is made of their answers: `aggregate` of a route.

mod call;
mod json;
mod keys;
mod ordered;
mod places;

use frontgate_filters::words::spanned::Spanned;
use frontgate_filters::words::units::Size;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use call::{Call, Expect, Verb, When, WhenFact};
pub use json::Json;
pub(super) use json::written;
pub(super) use keys::{keys_of_a_call, targets};
pub use ordered::Ordered;
pub use places::{JsonPath, JsonPlace, Within, foreign};

/// One answer made of several calls.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Aggregate {
    /// The calls by name, in the order of their members in the answer. A call starts when all calls that it refers to have ended.
    pub calls: Spanned<Ordered<Spanned<Call>>>,
    /// The answer as JSON, in whose texts references stand in braces: `"{user}"`; the key `...` spreads the members of calls. By default a
    /// member a call, in their order, but those with `into`.
    #[serde(default, deserialize_with = "written", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Json>")]
    pub answer: Option<Spanned<Json>>,
    /// What the client gets where a required call fails.
    #[serde(default)]
    pub errors: Errors,
    /// What one request may cost.
    #[serde(default)]
    pub limits: AggregateLimits,
}

impl Aggregate {
    /// The calls in their order, by name.
    pub fn calls(&self) -> impl Iterator<Item = (&str, &Spanned<Call>)> {
        self.calls.iter()
    }

    /// The upstreams that its calls name.
    pub fn upstreams(&self) -> impl Iterator<Item = &Spanned<String>> {
        self.calls().map(|(_, call)| &call.upstream)
    }
}

/// What the client gets where a required call fails.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Errors {
    /// An answer of the gateway that says which call failed, without anything of what the call's upstream said.
    #[default]
    Problem,
    /// The status, type and body of that call's own answer, where there is one.
    Pass,
}

/// What one request to an aggregate may cost.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct AggregateLimits {
    /// Maximum size of the answer to one call, as it is after decompression; above it the call fails.
    pub answer: Spanned<Size>,
    /// Maximum size of all answers of a request together; the call that goes beyond it fails.
    pub total: Spanned<Size>,
    /// Maximum number of calls that one request makes, each of an `each` counted; the call that goes beyond it fails.
    pub calls: Spanned<u32>,
}

impl Default for AggregateLimits {
    fn default() -> Self {
        Self { answer: Spanned::nowhere(Size(1 << 20)), total: Spanned::nowhere(Size(8 << 20)), calls: Spanned::nowhere(64) }
    }
}

#[cfg(test)]
mod tests;
