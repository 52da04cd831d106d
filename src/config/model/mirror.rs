//! `mirror`: of which requests of a route another upstream gets a copy.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use frontgate_filters::words::spanned::Spanned;
use frontgate_filters::words::units::{Duration, Share, Size};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Copies of requests for another upstream: nothing waits for them, and their answers are dropped.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Mirror {
    /// The upstream that gets the copies.
    pub upstream: Spanned<String>,
    /// The share of requests that are copied, drawn by chance.
    #[serde(default = "Mirror::every")]
    pub share: Spanned<Share>,
    /// The methods of requests that are copied: others than GET and HEAD only where they are listed.
    #[serde(default = "Mirror::safe_methods")]
    pub methods: Spanned<Vec<Spanned<String>>>,
    /// Maximum size of a request body: a request with a larger one is not copied. `0B`: copies have no bodies.
    #[serde(default = "Mirror::usual_body")]
    pub body: Spanned<Size>,
    /// How long a copy may take, to the last byte of its answer.
    #[serde(default = "Mirror::usual_timeout")]
    pub timeout: Spanned<Duration>,
    /// Maximum of copies at once, from the beginning of their requests; above it requests are not copied.
    #[serde(default = "Mirror::usual_in_flight")]
    pub max_in_flight: NonZeroU32,
    /// Changes to the headers of copies.
    #[serde(default)]
    pub headers: MirrorHeaders,
}

impl Mirror {
    fn every() -> Spanned<Share> {
        Spanned::nowhere(Share(1.0))
    }

    fn safe_methods() -> Spanned<Vec<Spanned<String>>> {
        Spanned::nowhere(["GET", "HEAD"].into_iter().map(|method| Spanned::nowhere(method.to_owned())).collect())
    }

    fn usual_body() -> Spanned<Size> {
        Spanned::nowhere(Size(64 << 10))
    }

    fn usual_timeout() -> Spanned<Duration> {
        Spanned::nowhere(Duration(std::time::Duration::from_secs(2)))
    }

    fn usual_in_flight() -> NonZeroU32 {
        NonZeroU32::MIN.saturating_add(99)
    }
}

/// Changes to the headers of copies.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct MirrorHeaders {
    /// Headers that copies do not have; by default Authorization, Cookie, and those that a `jwt` reads tokens from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remove: Option<Vec<Spanned<String>>>,
    /// Headers that copies have this value of, in place of all others of their name.
    pub set: BTreeMap<String, Spanned<String>>,
}

impl Default for MirrorHeaders {
    fn default() -> Self {
        Self { remove: None, set: BTreeMap::from([("X-BFF-Mirror".to_owned(), Spanned::nowhere("1".to_owned()))]) }
    }
}
