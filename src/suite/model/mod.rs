//! What can be written in a file of cases.

mod forms;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use frontgate_filters::words::spanned::Spanned;
use frontgate_filters::words::units::Duration;
use schemars::JsonSchema;
use serde_json::{Map, Value};

use self::forms::nullable;
pub(in crate::suite) use self::forms::{Answers, Decided, Field, Nullable, Texts};

/// Requests with what is expected of them, for `frontgate test`.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::suite) struct Suite {
    /// The configuration, relative to this file; `--config` comes before it.
    #[serde(default)]
    pub config: Option<Spanned<PathBuf>>,
    /// What upstreams answer where a case says nothing else, by name.
    #[serde(default)]
    pub upstreams: BTreeMap<String, Spanned<Answers>>,
    /// What calls of aggregates are answered where a case says nothing else, by name.
    #[serde(default)]
    pub calls: BTreeMap<String, Spanned<Answers>>,
    /// The cases. Each has a gateway of its own.
    pub cases: Vec<Spanned<Case>>,
}

/// A case or a step of one: what is its own, and what both say of a request. A step that leaves something out takes the case's.
macro_rules! asking {
    ($($(#[$about:meta])* $name:ident { $($own:tt)* })*) => {$(
        $(#[$about])*
        #[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub(in crate::suite) struct $name {
            $($own)*
            /// Who is connected; in a step by default whom the case says, else 127.0.0.1.
            #[serde(default)]
            pub client_ip: Option<IpAddr>,
            /// Claims in place of a token: nothing of them is checked. In a step by default those of the case.
            #[serde(default)]
            pub claims: Option<Map<String, Value>>,
            /// The certificate that the client shows: nothing of it is checked. The request has to come over TLS. In a step by default that of
            /// the case.
            #[serde(default)]
            pub client_cert: Option<Spanned<ClientCert>>,
            /// What whichever upstream is asked answers, unless `upstreams` names it; in a step by default what the case says.
            #[serde(default)]
            pub upstream: Option<Spanned<Answers>>,
            /// What single upstreams answer, by name; in a step others as the case says.
            #[serde(default)]
            pub upstreams: BTreeMap<String, Spanned<Answers>>,
            /// What single calls of an aggregate are answered, by name, whatever their upstreams answer; in a step others as the case says.
            #[serde(default)]
            pub calls: BTreeMap<String, Spanned<Answers>>,
            /// The request; that of a case is made by the steps that have none of their own.
            #[serde(default)]
            pub request: Option<Spanned<Request>>,
            /// What is expected; of a case by the steps that expect nothing of their own.
            #[serde(default)]
            pub expect: Option<Spanned<Expect>>,
        }
    )*};
}

asking! {
    /// A case: one request with what is expected of it, or `steps`.
    Case {
        /// What it shows, in a sentence.
        pub name: Spanned<String>,
        /// Several requests to the same gateway, one after the other.
        #[serde(default)]
        pub steps: Vec<Spanned<Step>>,
    }
    /// One of several requests.
    Step {
        /// How much time passes before it.
        #[serde(default)]
        pub after: Option<Duration>,
        /// How often it is made; each time the same is expected. All steps of a case together make 10,000 requests at most.
        #[serde(default)]
        pub times: Option<Spanned<NonZeroU32>>,
    }
}

/// A certificate of a client.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::suite) struct ClientCert {
    /// Its subject, such as `CN=alice,O=shop`.
    pub subject: String,
    /// Its subject alternative names.
    #[serde(default)]
    pub san: Vec<String>,
}

/// A request.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::suite) struct Request {
    /// The method; by default GET.
    #[serde(default = "Request::get")]
    pub method: String,
    /// A URL, or a path, which comes with the host `localhost`. With https:// it comes over TLS 1.3, its host the name that is asked for.
    pub url: Spanned<String>,
    /// Headers; a list has one line each.
    #[serde(default)]
    pub headers: BTreeMap<String, Texts>,
    /// A body of any JSON value, as application/json where `headers` says nothing else.
    #[serde(default)]
    pub json: Option<Value>,
    /// A body of text.
    #[serde(default)]
    pub body: Option<String>,
}

impl Request {
    fn get() -> String {
        "GET".to_owned()
    }
}

/// An answer of an upstream, or that there is none.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::suite) struct Answer {
    /// The status; by default 200.
    #[serde(default = "Answer::ok")]
    pub status: u16,
    /// Headers; a list has one line each.
    #[serde(default)]
    pub headers: BTreeMap<String, Texts>,
    /// A body of any JSON value, as application/json where `headers` says nothing else.
    #[serde(default)]
    pub json: Option<Value>,
    /// A body of text.
    #[serde(default)]
    pub body: Option<String>,
    /// Trailers behind the body, such as `grpc-status`.
    #[serde(default)]
    pub trailers: BTreeMap<String, String>,
    /// How long it takes to its head.
    #[serde(default)]
    pub slow: Option<Duration>,
    /// How it fails, in place of answering.
    #[serde(default)]
    pub fails: Option<Fails>,
}

impl Answer {
    fn ok() -> u16 {
        200
    }
}

impl Default for Answer {
    fn default() -> Self {
        Self { status: Self::ok(), headers: BTreeMap::new(), json: None, body: None, trailers: BTreeMap::new(), slow: None, fails: None }
    }
}

/// How an upstream fails.
#[derive(Clone, Copy, Debug, serde::Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(in crate::suite) enum Fails {
    /// Nobody listens there.
    Connect,
    /// It closes the connection in place of an answer.
    Close,
    /// It breaks off in the middle of the body.
    Break,
    /// What it sends is no HTTP.
    Garbage,
}

/// What is expected of a request. What is not named may be as it likes.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::suite) struct Expect {
    /// The route that takes it; null for none.
    #[serde(deserialize_with = "nullable")]
    #[schemars(with = "Option<String>")]
    pub route: Option<Nullable<String>>,
    /// What each filter decides: `passes`, `not_asked`, `answers`, or the status that it answers with. One that only observes decides all the
    /// same.
    pub filters: BTreeMap<String, Spanned<Decided>>,
    /// The status of the answer.
    pub status: Option<Spanned<u16>>,
    /// Headers of the answer: a text, `"*"` for any, a list of all lines, or null for none.
    pub headers: BTreeMap<String, Spanned<Field>>,
    /// Trailers of the answer, as those of a gRPC call: likewise.
    pub trailers: BTreeMap<String, Spanned<Field>>,
    /// The answer's body as JSON, all of it. Where it is compressed, as it is once it is unpacked.
    pub json: Option<Spanned<Value>>,
    /// The answer's body as text, all of it.
    pub body: Option<Spanned<String>>,
    /// Whether all of the answer comes; by default it has to.
    pub whole: Option<Spanned<bool>>,
    /// The `code` of a refusal of the gateway's own.
    pub code: Option<Spanned<String>>,
    /// The upstream that is asked last; null for none.
    #[serde(deserialize_with = "nullable")]
    #[schemars(with = "Option<String>")]
    pub upstream: Option<Nullable<String>>,
    /// The endpoint that is asked last, as its address.
    pub endpoint: Option<Spanned<String>>,
    /// How many times an upstream is asked.
    pub attempts: Option<Spanned<u32>>,
    /// The version that a canary chose, `stable`, or the endpoint's; null for none.
    #[serde(deserialize_with = "nullable")]
    #[schemars(with = "Option<String>")]
    pub version: Option<Nullable<String>>,
    /// What the upstream is sent, of several attempts the last.
    pub sent: Option<Spanned<Sent>>,
    /// The calls of an aggregate that are missing in its answer, or replaced in it, in the order of the configuration; `[]` for none.
    pub missing: Option<Spanned<Vec<String>>>,
    /// The calls of an aggregate, by name: how many requests are sent for one, or what the last of them is. 0 for a call that is not made.
    pub calls: BTreeMap<String, Spanned<ExpectedCall>>,
}

/// What is expected of a call.
#[derive(Clone, Debug)]
pub(in crate::suite) enum ExpectedCall {
    /// So many requests are sent for it.
    Times(u32),
    /// This is sent.
    Sent(Box<Sent>),
}

/// What is expected of the request that an upstream is sent.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::suite) struct Sent {
    /// How many requests are sent.
    pub times: Option<Spanned<u32>>,
    /// The method.
    pub method: Option<Spanned<String>>,
    /// Path and query.
    pub path: Option<Spanned<String>>,
    /// Headers: a text, `"*"` for any, a list of all lines, or null for none.
    pub headers: BTreeMap<String, Spanned<Field>>,
    /// The body as JSON, all of it.
    pub json: Option<Spanned<Value>>,
    /// The body as text, all of it.
    pub body: Option<Spanned<String>>,
}
