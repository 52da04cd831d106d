//! `canary` and `canary_options` of a route: which versions there are beside the route's own upstream, and who gets which.

use std::fmt;

use frontgate_filters::filter::build::Secret;
use frontgate_filters::words::matching::Match;
use frontgate_filters::words::selector::Selector;
use frontgate_filters::words::spanned::{Place, Spanned};
use frontgate_filters::words::units::{Duration, Share};
use schemars::{JsonSchema, json_schema};
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::forms::schemas;

/// More than these a route has not.
pub const MOST_VARIANTS: usize = 16;

/// A version beside the route's own upstream, and who gets it: a request that its `match` takes, or that its `share` draws. It is another
/// upstream (`upstream`), or those of the route's own endpoints that have this version (`endpoints`).
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// Its name in `X-BFF-Version`, logs and metrics.
    pub version: Spanned<String>,
    /// The upstream that answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<Spanned<String>>,
    /// The version of those endpoints of the route's own upstream that answer, instead of another upstream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<Spanned<String>>,
    /// The share of requests that it gets, of all of the route's; by default none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<Spanned<Share>>,
    /// What a request is drawn by, so that a user stays with a version: the first of these that the request has. By default, and where it has
    /// none of them, the cookie of `sticky`, else `client_ip`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Spanned<By>>,
    /// Facts that must all hold; a request of which they do gets this version, whatever the shares.
    #[serde(default, rename = "match", skip_serializing_if = "Option::is_none")]
    pub matches: Option<Spanned<Match>>,
    /// What becomes of a request while none of its endpoints takes one.
    #[serde(default)]
    pub otherwise: Otherwise,
}

/// Selectors, of which the first counts that finds something: one, or a list.
#[derive(Clone, Debug, PartialEq)]
pub struct By(pub Vec<Spanned<Selector>>);

impl Variant {
    /// What a request is drawn by, each with its place.
    pub fn drawn_by(&self) -> impl Iterator<Item = Spanned<&Selector>> {
        self.by.iter().flat_map(|by| {
            // One that is not in a list has the key's own place.
            let place = |one: &Spanned<Selector>| if one.place == Place::default() { by.place } else { one.place };
            by.0.iter().map(move |one| Spanned { value: &one.value, place: place(one) })
        })
    }
}

/// What becomes of a request for a version that nobody serves just now.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Otherwise {
    /// The route's own upstream answers.
    #[default]
    Stable,
    /// It fails as a request does whose upstream has no usable endpoint: 503.
    Fail,
}

/// What all versions of a route have in common.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct CanaryOptions {
    /// What users are drawn with: the same on every node and on every route where a user is to be on the same side. By default the empty text.
    pub seed: String,
    /// Whether clients may choose a version by a header, a cookie or a parameter that a `match` names; otherwise only trusted proxies may,
    /// by headers.
    pub client_may_choose: bool,
    /// A signed cookie that keeps those with a version of whom nothing else is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sticky: Option<Spanned<Sticky>>,
}

/// A signed cookie that says nothing but which visitor this is.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Sticky {
    /// Its name.
    pub cookie: Spanned<String>,
    /// How long it lasts; it is renewed when half of that is over.
    pub ttl: Spanned<Duration>,
    /// What it is signed with, at least 16 bytes: the same on every node.
    pub key: Spanned<Secret>,
}

impl<'de> Deserialize<'de> for By {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;
        impl<'de> Visitor<'de> for OneOrMany {
            type Value = By;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a selector such as claim.sub, or a list of them")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<By, E> {
                text.parse().map(|one| By(vec![Spanned::nowhere(one)])).map_err(E::custom)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<By, A::Error> {
                let mut all = Vec::new();
                while let Some(one) = list.next_element()? {
                    all.push(one);
                }
                Ok(By(all))
            }
        }
        deserializer.deserialize_any(OneOrMany)
    }
}

impl Serialize for By {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0[..] {
            [one] => one.serialize(serializer),
            all => all.serialize(serializer),
        }
    }
}

schemas! {
    By: "By" = |generator| {
        let selector = generator.subschema_for::<Selector>();
        json_schema!({"description": "A selector, or a list of them of which the first counts that finds something.",
                      "anyOf": [selector, {"type": "array", "items": selector}]})
    };
}
