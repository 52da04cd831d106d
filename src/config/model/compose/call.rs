//! A call: which upstream is asked for what, what of its answer counts, and what happens where there is none.

use std::collections::BTreeMap;
use std::fmt;

use frontgate_filters::words::condition::StatusRange;
use frontgate_filters::words::matching::Wanted;
use frontgate_filters::words::spanned::Spanned;
use frontgate_filters::words::units::Duration;
use http::Method;
use schemars::{JsonSchema, json_schema};
use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::json::{Json, written};
use super::keys::{keys_of_a_call, targets};
use super::ordered::Ordered;
use super::places::{JsonPath, JsonPlace, Within};
use crate::config::model::forms::schemas;

/// A call to an upstream.
///
/// In texts of its target, body and headers, references stand in braces: `{id}` (a variable of the route's path), `{claim.sub}` and other
/// selectors, `{query}`, `{body.a.b}`, `{user.cart_id}` (a part of another call's answer), `{each}`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(from = "Keys", into = "Keys")]
pub struct Call {
    /// The upstream that is asked.
    pub upstream: Spanned<String>,
    /// What it is asked for: the verbs that are written, each with its path and query. The check refuses all but exactly one.
    pub requests: Vec<(Verb, Spanned<String>)>,
    /// The body as JSON; without it post, put and patch send the client's.
    pub body: Option<Spanned<Json>>,
    /// A document that a GraphQL service is sent: the data of its answer is the answer.
    pub query: Option<Spanned<String>>,
    /// The variables of that document.
    pub variables: Option<Spanned<Ordered<Spanned<Json>>>>,
    /// Headers beside the gateway's own.
    pub headers: BTreeMap<String, Spanned<String>>,
    /// Timeout of all attempts together; by default what the route has left.
    pub timeout: Option<Spanned<Duration>>,
    /// The statuses that are success.
    pub expect: Expect,
    /// The part of the answer that counts; by default all of it.
    pub at: Option<Spanned<JsonPlace>>,
    /// The members of that part that are kept.
    pub keep: Option<Spanned<Vec<Spanned<JsonPath>>>>,
    /// The members of that part that are removed.
    pub drop: Option<Spanned<Vec<Spanned<JsonPath>>>>,
    /// New names of members of that part.
    pub rename: Option<Spanned<Ordered<Spanned<String>>>>,
    /// Facts that must hold, or the call is not made.
    pub when: Option<Spanned<When>>,
    /// What stands in place of its answer where it fails.
    pub otherwise: Option<Spanned<serde_json::Value>>,
    /// Whether its answer is left out where it fails.
    pub optional: Option<Spanned<bool>>,
    /// The values for each of which it is made.
    pub each: Option<Spanned<Within>>,
    /// The most values of `each`.
    pub most: Option<Spanned<u32>>,
    /// How many calls of an `each` are made at once.
    pub concurrency: Option<Spanned<u32>>,
    /// How many values of `each` are asked for in one call.
    pub batch: Option<Spanned<u32>>,
    /// Where an element of a batch's answer says which value it is for.
    pub by: Option<Spanned<JsonPlace>>,
    /// Whether all elements of a value count, as a list.
    pub many: Option<Spanned<bool>>,
    /// The member that its results become, in what `each` went through.
    pub into: Option<Spanned<Within>>,
    /// Headers of its answer that the client gets.
    pub back: Option<Spanned<Vec<Spanned<String>>>>,
}

impl Call {
    /// The most values of an `each` where nothing is written.
    pub const MOST: u32 = 100;
    /// How many calls of an `each` are made at once where nothing is written.
    pub const CONCURRENCY: u32 = 8;

    /// What the upstream is asked for: the verb, with its path and query. Of a checked call there is exactly one.
    pub fn request(&self) -> Option<(Verb, &Spanned<String>)> {
        match &self.requests[..] {
            [(verb, target)] => Some((*verb, target)),
            _ => None,
        }
    }

    /// Whether it sends the client's body as it came.
    pub fn sends_clients_body(&self) -> bool {
        self.body.is_none() && self.query.is_none() && self.request().is_some_and(|(verb, _)| verb.sends_a_body())
    }

    /// All JSON with references that it sends: its body, and what the variables of its query are.
    pub fn sends(&self) -> impl Iterator<Item = &Spanned<Json>> {
        self.body.iter().chain(self.variables.iter().flat_map(|variables| variables.iter().map(|(_, value)| value)))
    }

    /// Whether a request fails with it where it is made and fails.
    pub fn is_required(&self) -> bool {
        self.otherwise.is_none() && !self.is_optional()
    }

    /// Whether its answer is left out where it fails.
    pub fn is_optional(&self) -> bool {
        self.optional.as_ref().is_some_and(|optional| optional.value)
    }

    /// Whether all elements of a value count.
    pub fn is_many(&self) -> bool {
        self.many.as_ref().is_some_and(|many| many.value)
    }

    /// The most values of its `each`.
    pub fn most(&self) -> u32 {
        self.most.as_ref().map_or(Self::MOST, |most| most.value)
    }

    /// How many calls of its `each` are made at once.
    pub fn concurrency(&self) -> u32 {
        self.concurrency.as_ref().map_or(Self::CONCURRENCY, |concurrency| concurrency.value)
    }
}

/// How an upstream is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// GET.
    Get,
    /// POST.
    Post,
    /// PUT.
    Put,
    /// PATCH.
    Patch,
    /// DELETE.
    Delete,
}

impl Verb {
    /// All of them, in the order in which their keys are declared.
    pub(in crate::config::model) const ALL: [Self; 5] = [Self::Get, Self::Post, Self::Put, Self::Patch, Self::Delete];

    /// As a call's key is written.
    pub fn key(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Post => "post",
            Self::Put => "put",
            Self::Patch => "patch",
            Self::Delete => "delete",
        }
    }

    /// The method.
    pub fn method(self) -> Method {
        match self {
            Self::Get => Method::GET,
            Self::Post => Method::POST,
            Self::Put => Method::PUT,
            Self::Patch => Method::PATCH,
            Self::Delete => Method::DELETE,
        }
    }

    /// Whether the client's body is sent where a call writes none.
    pub fn sends_a_body(self) -> bool {
        matches!(self, Self::Post | Self::Put | Self::Patch)
    }
}

/// The statuses that are success: one, a range, or a list of both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expect(pub Vec<StatusRange>);

impl Expect {
    /// Whether it has this status.
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(status))
    }

    pub(in crate::config::model) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Expect {
    fn default() -> Self {
        Self(vec![StatusRange { first: 200, last: 299 }])
    }
}

/// Facts that must all hold, of the request or of the answers of other calls.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct When {
    /// The facts, in their order.
    pub facts: Vec<WhenFact>,
}

/// One fact and what is wanted of it.
#[derive(Clone, Debug, PartialEq)]
pub struct WhenFact {
    /// The fact: a reference without its braces.
    pub of: String,
    /// What is wanted of it.
    pub wanted: Spanned<Wanted>,
}

keys_of_a_call! {
    /// A call as it is written: all keys on one level.
    #[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
    #[serde(deny_unknown_fields)]
    #[schemars(rename = "Call")]
    struct Keys {
        /// The upstream that is asked; its balance, health checks, retries and timeouts hold as for a proxied request.
        upstream: Spanned<String>,
        /// Path and query of a GET, with references in braces: `/by/{user.id}?limit={query.limit:-5}`. In a path they are percent-encoded, in a
        /// query encoded as forms are; a parameter that finds nothing is left out, and a path that finds nothing fails the call.
        get,
        /// The body as JSON, with references in its texts: `"{user.id}"` alone is the value of whatever type, within other text its text. Without
        /// it post, put and patch send the client's body as it came.
        body,
        /// Headers beside the gateway's own, with references in braces. One that finds nothing is not sent.
        headers,
        /// Timeout of all attempts together; by default, and at most, what the route has left.
        timeout,
        /// A GraphQL document with one operation, for an upstream that is a GraphQL service: it is sent by `post` with its variables, and `data` of
        /// the answer is what counts. An answer with `errors` has failed, whatever its status. Nothing in the document is a reference: what it needs
        /// of a request are variables.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        query: Option<Spanned<String>>,
        /// The variables of `query` by their names, each JSON with references in its texts as in `body`. One that finds nothing is not sent, or fails
        /// the call where the document cannot do without it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        variables: Option<Spanned<Ordered<Spanned<Json>>>>,
        /// The statuses that are success: one, a range, or a list of them. An answer of status 204 is null.
        #[serde(default, skip_serializing_if = "Expect::is_default")]
        expect: Expect,
        /// The part of the answer that counts, by default all of it: `data.items`, `data.items.0`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<Spanned<JsonPlace>>,
        /// The members of that part that are kept, with what leads to them, and nothing else.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        keep: Option<Spanned<Vec<Spanned<JsonPath>>>>,
        /// The members of that part that are removed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        drop: Option<Spanned<Vec<Spanned<JsonPath>>>>,
        /// New names of members of that part, by their paths: `{date: created_at}`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rename: Option<Spanned<Ordered<Spanned<String>>>>,
        /// Facts that must all hold, or the call is not made: each with a value, a list of values, or `"*"` for any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        when: Option<Spanned<When>>,
        /// What stands in place of its answer where it fails, any JSON; the request then does not fail with it.
        #[serde(default, deserialize_with = "written", skip_serializing_if = "Option::is_none")]
        otherwise: Option<Spanned<serde_json::Value>>,
        /// Whether its answer is left out where it fails; by default the request fails with it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        optional: Option<Spanned<bool>>,
        /// Values in another call's answer for each of which it is made, once for each that is not like another: `cart.items.product_id`. The value
        /// is `{each}`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        each: Option<Spanned<Within>>,
        /// The most values of `each`, by default 100; with more of them the call fails.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        most: Option<Spanned<u32>>,
        /// How many calls of an `each` are made at once, by default 8.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        concurrency: Option<Spanned<u32>>,
        /// How many values of `each` are asked for in one call; `{each}` is then these, with commas between them. By default one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        batch: Option<Spanned<u32>>,
        /// Where an element of a batch's answer says which of the values it is for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<Spanned<JsonPlace>>,
        /// Whether all elements of a value count, as a list; by default the first one does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        many: Option<Spanned<bool>>,
        /// The member that the results become of what `each` went through: `cart.items.product`. The call is then no member of the answer itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        into: Option<Spanned<Within>>,
        /// Headers of its answer that the client gets, such as Set-Cookie; all others stay behind.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        back: Option<Spanned<Vec<Spanned<String>>>>,
    }
}

impl From<Keys> for Call {
    fn from(mut keys: Keys) -> Self {
        Self {
            requests: keys.requests(),
            upstream: keys.upstream,
            body: keys.body,
            query: keys.query,
            variables: keys.variables,
            headers: keys.headers,
            timeout: keys.timeout,
            expect: keys.expect,
            at: keys.at,
            keep: keys.keep,
            drop: keys.drop,
            rename: keys.rename,
            when: keys.when,
            otherwise: keys.otherwise,
            optional: keys.optional,
            each: keys.each,
            most: keys.most,
            concurrency: keys.concurrency,
            batch: keys.batch,
            by: keys.by,
            many: keys.many,
            into: keys.into,
            back: keys.back,
        }
    }
}

impl From<Call> for Keys {
    fn from(call: Call) -> Self {
        let [get, post, put, patch, delete] = targets(&call);
        Self {
            get,
            post,
            put,
            patch,
            delete,
            upstream: call.upstream,
            body: call.body,
            query: call.query,
            variables: call.variables,
            headers: call.headers,
            timeout: call.timeout,
            expect: call.expect,
            at: call.at,
            keep: call.keep,
            drop: call.drop,
            rename: call.rename,
            when: call.when,
            otherwise: call.otherwise,
            optional: call.optional,
            each: call.each,
            most: call.most,
            concurrency: call.concurrency,
            batch: call.batch,
            by: call.by,
            many: call.many,
            into: call.into,
            back: call.back,
        }
    }
}

impl<'de> Deserialize<'de> for Expect {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;
        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Expect;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a status, a range of them such as 200-299, or a list of both")
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Expect, E> {
                self.visit_str(&number.to_string())
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Expect, E> {
                text.parse().map(|range| Expect(vec![range])).map_err(E::custom)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Expect, A::Error> {
                let mut all = Vec::new();
                while let Some(range) = list.next_element()? {
                    all.push(range);
                }
                if all.is_empty() {
                    return Err(de::Error::custom("the list is empty: no answer would be a success"));
                }
                Ok(Expect(all))
            }
        }
        deserializer.deserialize_any(OneOrMany)
    }
}

impl Serialize for Expect {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0[..] {
            [one] => one.serialize(serializer),
            all => all.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for When {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Facts;
        impl<'de> Visitor<'de> for Facts {
            type Value = When;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map from facts to their values, such as {device: [desktop, tablet], user.kind: seller}")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<When, A::Error> {
                let mut facts = Vec::new();
                while let Some((of, wanted)) = map.next_entry()? {
                    facts.push(WhenFact { of, wanted });
                }
                Ok(When { facts })
            }
        }
        deserializer.deserialize_map(Facts)
    }
}

impl Serialize for When {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.facts.len()))?;
        for fact in &self.facts {
            map.serialize_entry(&fact.of, &fact.wanted.value)?;
        }
        map.end()
    }
}

schemas! {
    Expect: "Expect" = |generator| {
        let range = generator.subschema_for::<StatusRange>();
        json_schema!({"description": "A status, a range of them such as 200-299, or a list of both.",
                      "anyOf": [range, {"type": "array", "items": range, "minItems": 1}]})
    };
    When: "CallWhen" = |_generator| {
        let value = json_schema!({"type": ["string", "number", "boolean"]});
        json_schema!({
            "description": "Facts that must all hold, of the request (a selector) or of another call's answer (`user.kind`): each with its value, a list of values, or \"*\" for any.",
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {"anyOf": [value, {"type": "array", "items": value, "minItems": 1}]},
        })
    };
}
