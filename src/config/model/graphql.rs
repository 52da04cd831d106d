//! `graphql` of a route: a schema, and the calls that its fields are answered from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use frontgate_filters::words::matching::Match;
use frontgate_filters::words::selector::Selector;
use frontgate_filters::words::spanned::Spanned;
use frontgate_filters::words::units::Duration;
use schemars::{JsonSchema, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::compose::{Call, Expect, Json, JsonPath, JsonPlace, Ordered, Verb, When, Within, keys_of_a_call, targets, written};
use super::forms::{Short, deserialize_short_or_long, schemas, short_or};

/// A GraphQL schema whose fields are answered from calls: a query says which of them are made.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Graphql {
    /// The schema in GraphQL's own language (SDL): `{file: shop.graphql}`, or the text itself as a block.
    pub schema: Spanned<GraphSchema>,
    /// What fields are answered from, by `Type.field`: a call, or `{from: address.city}`, another place in the JSON of the object that the
    /// field belongs to. All other fields are the member of that JSON which has their name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, Spanned<GraphField>>,
    /// How the type of an object is told, by the interface or union that it is found as. By default the member `__typename` says it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub types: BTreeMap<String, Spanned<GraphTypes>>,
    /// Fields that are null for some clients: calls that only such fields need are not made. It saves work and hides nothing from who lies
    /// about his device: what a user may see is for `rbac` and the services to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hide: Option<Spanned<GraphHide>>,
    /// What one request may cost. All but `calls` and `errors` is judged before any call is made.
    #[serde(default)]
    pub limits: GraphLimits,
    /// Whether clients may ask for the schema: `false`, `true`, or facts that must hold, such as `{claim.roles: [developer]}`. Where it is not
    /// `false`, browsers get GraphiQL, a page to write queries in.
    #[serde(default, skip_serializing_if = "Introspection::is_off")]
    pub introspection: Introspection,
    /// Operations that are known before they are asked for, by their hash or name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persisted: Option<Spanned<Persisted>>,
    /// Whether queries may be sent by GET, too, with the document in the URL.
    #[serde(default = "Graphql::yes", skip_serializing_if = "Graphql::is_yes")]
    pub get: bool,
    /// Whether a federation router (Apollo, Cosmo, Hive) may take this graph as one of its subgraphs: it answers `_service`, and `_entities` for types with
    /// `@key`, whose objects are found by a field of the query root that has the type and takes the key.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub subgraph: bool,
}

impl Graphql {
    /// The most bytes of the answer to one call.
    pub const MOST_ANSWER: usize = 1 << 20;
    /// The most bytes of all answers of a request together.
    pub const MOST_TOTAL: usize = 8 << 20;

    /// The calls by the fields that they answer, in the order of their names.
    pub fn calls(&self) -> impl Iterator<Item = (&str, Spanned<&Call>)> {
        self.fields.iter().filter_map(|(name, field)| {
            let call = field.call.as_deref()?;
            Some((name.as_str(), Spanned { value: call, place: field.place }))
        })
    }

    /// The upstreams that its calls name.
    pub fn upstreams(&self) -> impl Iterator<Item = &Spanned<String>> {
        // One without is told of where its call is checked.
        self.fields.values().filter_map(|field| Some(&field.call.as_deref()?.upstream)).filter(|name| !name.is_empty())
    }

    fn yes() -> bool {
        true
    }

    fn is_yes(get: &bool) -> bool {
        *get
    }
}

/// A schema: its text, or the file that holds it.
#[derive(Clone, Debug, PartialEq)]
pub enum GraphSchema {
    /// It stands in the configuration.
    Text(String),
    /// It stands in this file.
    File(Spanned<PathBuf>),
}

/// The file of a schema.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "GraphSchemaFile")]
pub struct SchemaFile {
    /// A file with the schema, relative to the file that names it. A change of it is a reload.
    file: Spanned<PathBuf>,
}

impl From<SchemaFile> for GraphSchema {
    fn from(named: SchemaFile) -> Self {
        Self::File(named.file)
    }
}

impl Short for GraphSchema {
    type Long = SchemaFile;
    const EXPECTED: &'static str = "a schema as text, or `{file: shop.graphql}`";
    fn short(text: &str) -> Result<Self, String> {
        Ok(Self::Text(text.to_owned()))
    }
}

deserialize_short_or_long!(GraphSchema);

impl Serialize for GraphSchema {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::File(file) => SchemaFile { file: file.clone() }.serialize(serializer),
        }
    }
}

/// What a field is answered from: a checked one has exactly one of both.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(from = "Keys", into = "Keys")]
pub struct GraphField {
    /// A call. Where `upstream` is not written, its name is empty, for the check to refuse.
    pub call: Option<Box<Call>>,
    /// Another place in the JSON of the object that the field belongs to.
    pub from: Option<Spanned<JsonPlace>>,
}

keys_of_a_call! {
    /// A field as it is written: all keys on one level.
    #[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[schemars(rename = "GraphField")]
    struct Keys {
        /// The upstream that is asked; its balance, health checks, retries and timeouts hold as for a proxied request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        upstream: Option<Spanned<String>>,
        /// Path and query of a GET, with references in braces: `/by/{parent.id}?limit={args.limit}`. `{args.x}` is an argument of the field,
        /// `{parent.x}` a member of the JSON of the object that it belongs to. In a path they are percent-encoded, in a query encoded as forms
        /// are; a parameter that finds nothing is left out, and a path that finds nothing fails the call.
        get,
        /// The body as JSON, with references in its texts: `"{args.stars}"` alone is the value of whatever type, within other text its text.
        /// Without it nothing is sent.
        body,
        /// Headers beside the gateway's own, with references in braces. One that finds nothing is not sent.
        headers,
        /// Timeout of all attempts together; by default, and at most, what the route has left.
        timeout,
        /// A GraphQL document with one operation, for an upstream that is a GraphQL service: it is sent by `post` with its variables, and `data` of
        /// the answer is what counts. An answer with `errors` has failed, whatever its status. Nothing in the document is a reference: what it needs
        /// are variables.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        query: Option<Spanned<String>>,
        /// The variables of `query` by their names, each JSON with references in its texts as in `body`. One that finds nothing is not sent, or fails
        /// the call where the document cannot do without it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        variables: Option<Spanned<Ordered<Spanned<Json>>>>,
        /// The statuses that are success: one, a range, or a list of them. An answer of status 204 is null, and so are 404 and 410 of a GET.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expect: Option<Spanned<Expect>>,
        /// The part of the answer that counts, by default all of it: `data.items`, `data.items.0`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<Spanned<JsonPlace>>,
        /// Facts of the request that must all hold, or the call is not made and the field is null: each with a value, a list of values, or `"*"`
        /// for any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        when: Option<Spanned<When>>,
        /// What stands in place of its answer where it fails, any JSON; the field has then no error.
        #[serde(default, deserialize_with = "written", skip_serializing_if = "Option::is_none")]
        otherwise: Option<Spanned<serde_json::Value>>,
        /// Values of the objects that the field belongs to, for each of which the call is made, once for each that is not like another:
        /// `parent.product_id`. All objects of a level of the query are taken together. The value is `{each}`.
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
        /// Another place in the JSON of the object that the field belongs to, in place of a call: `address.city`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<Spanned<JsonPlace>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(skip)]
        keep: Option<Spanned<Vec<Spanned<JsonPath>>>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(skip)]
        drop: Option<Spanned<Vec<Spanned<JsonPath>>>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(skip)]
        rename: Option<Spanned<Ordered<Spanned<String>>>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(skip)]
        optional: Option<Spanned<bool>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(skip)]
        into: Option<Spanned<Within>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(skip)]
        back: Option<Spanned<Vec<Spanned<String>>>>,
    }
}

impl Keys {
    /// Whether something of a call is written.
    fn is_call(&self) -> bool {
        let requests = [&self.upstream, &self.get, &self.post, &self.put, &self.patch, &self.delete];
        requests.iter().any(|key| key.is_some())
            || !self.headers.is_empty()
            || [self.query.is_some(), self.variables.is_some()].contains(&true)
            || [self.body.is_some(), self.timeout.is_some(), self.expect.is_some(), self.at.is_some(), self.when.is_some()].contains(&true)
            || [self.otherwise.is_some(), self.each.is_some(), self.most.is_some(), self.concurrency.is_some()].contains(&true)
            || [self.batch.is_some(), self.by.is_some(), self.many.is_some(), self.keep.is_some(), self.drop.is_some()].contains(&true)
            || [self.rename.is_some(), self.optional.is_some(), self.into.is_some(), self.back.is_some()].contains(&true)
    }
}

impl From<Keys> for GraphField {
    fn from(mut keys: Keys) -> Self {
        let is_call = keys.is_call();
        let call = Call {
            requests: keys.requests(),
            upstream: keys.upstream.unwrap_or_default(),
            body: keys.body,
            query: keys.query,
            variables: keys.variables,
            headers: keys.headers,
            timeout: keys.timeout,
            expect: keys.expect.map(|expect| expect.value).unwrap_or_default(),
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
        };
        Self { call: is_call.then(|| Box::new(call)), from: keys.from }
    }
}

impl From<GraphField> for Keys {
    fn from(field: GraphField) -> Self {
        let Some(call) = field.call else { return Self { from: field.from, ..Self::default() } };
        let call = *call;
        let [get, post, put, patch, delete] = targets(&call);
        Self {
            get,
            post,
            put,
            patch,
            delete,
            upstream: (!call.upstream.is_empty()).then_some(call.upstream),
            body: call.body,
            query: call.query,
            variables: call.variables,
            headers: call.headers,
            timeout: call.timeout,
            expect: (call.expect != Expect::default()).then(|| Spanned::nowhere(call.expect)),
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
            from: field.from,
        }
    }
}

/// How the type of an object is told that is found as an interface or a union.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct GraphTypes {
    /// The member that says it.
    pub by: Spanned<JsonPlace>,
    /// The type by that member's value; by default the value is the type's name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, Spanned<String>>,
}

/// Fields that are null for some clients.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct GraphHide {
    /// What chooses the profile; by default the class of the client's device.
    #[serde(default = "GraphHide::device")]
    pub by: Spanned<Selector>,
    /// The fields that are null, as `Type.field`, by the value of `by`.
    pub profiles: BTreeMap<String, Spanned<Vec<Spanned<String>>>>,
}

impl GraphHide {
    fn device() -> Spanned<Selector> {
        Spanned::nowhere(Selector::Device)
    }
}

/// What one GraphQL request may cost.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct GraphLimits {
    /// Maximum number of fields within each other.
    pub depth: Spanned<u32>,
    /// Maximum number of fields, those of a fragment counted wherever it is spread.
    pub fields: Spanned<u32>,
    /// Maximum number of aliases of one field at one place.
    pub aliases: Spanned<u32>,
    /// Maximum number of tokens of a document: names, numbers, texts and punctuation.
    pub tokens: Spanned<u32>,
    /// Maximum cost: 1 a field, 10 a call, each times what `first`, `limit` or `last` says of the lists around it, else 10 for a list.
    pub cost: Spanned<u32>,
    /// Maximum number of calls that one request makes; the call that goes beyond it fails.
    pub calls: Spanned<u32>,
    /// Maximum number of errors in one answer; further ones are left out of the list.
    pub errors: Spanned<u32>,
}

impl GraphLimits {
    /// Every limit with its key.
    pub fn each(&self) -> [(&'static str, Spanned<u32>); 7] {
        [
            ("depth", self.depth),
            ("fields", self.fields),
            ("aliases", self.aliases),
            ("tokens", self.tokens),
            ("cost", self.cost),
            ("calls", self.calls),
            ("errors", self.errors),
        ]
    }
}

impl Default for GraphLimits {
    fn default() -> Self {
        let usual = Spanned::nowhere;
        Self {
            depth: usual(10),
            fields: usual(500),
            aliases: usual(30),
            tokens: usual(5_000),
            cost: usual(5_000),
            calls: usual(64),
            errors: usual(20),
        }
    }
}

/// Whether clients may ask for the schema.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Introspection {
    /// Nobody may.
    #[default]
    Off,
    /// Everybody may.
    On,
    /// Those may of whom these facts hold.
    For(Spanned<Match>),
}

impl Introspection {
    fn is_off(&self) -> bool {
        *self == Self::Off
    }
}

impl<'de> Deserialize<'de> for Introspection {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Introspection;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false, or facts that must hold, such as {claim.roles: [developer]}")
            }
            fn visit_bool<E: de::Error>(self, on: bool) -> Result<Introspection, E> {
                Ok(if on { Introspection::On } else { Introspection::Off })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Introspection, A::Error> {
                Match::deserialize(MapAccessDeserializer::new(map)).map(|facts| Introspection::For(Spanned::nowhere(facts)))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl Serialize for Introspection {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Off => serializer.serialize_bool(false),
            Self::On => serializer.serialize_bool(true),
            Self::For(facts) => facts.serialize(serializer),
        }
    }
}

/// Operations that are known before they are asked for.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Persisted {
    /// A file of JSON with the operations: a manifest as Apollo's tools write it, or a map from identifiers to documents. A change of it is a
    /// reload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<Spanned<PathBuf>>,
    /// Whether no other operations than those of the file are run.
    #[serde(default)]
    pub only: Spanned<bool>,
    /// How many operations clients may make known themselves by their SHA-256 (automatic persisted queries); the oldest ones go first. By
    /// default none.
    #[serde(default)]
    pub automatic: Spanned<u32>,
}

schemas! {
    GraphSchema: "GraphSchema" = |generator| short_or(generator.subschema_for::<SchemaFile>(), "A schema in GraphQL's own language, or the file that holds it.");
    Introspection: "Introspection" = |generator| {
        let facts = generator.subschema_for::<Match>();
        json_schema!({"description": "Whether clients may ask for the schema, or facts that must hold for those who may.",
                      "anyOf": [{"type": "boolean"}, facts]})
    };
}
