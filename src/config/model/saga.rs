//! `saga` of a route: steps that either all come about, or are taken back.

use std::collections::BTreeMap;
use std::fmt;

use frontgate_filters::words::selector::Selector;
use frontgate_filters::words::spanned::Spanned;
use frontgate_filters::words::units::Duration;
use schemars::{JsonSchema, json_schema};
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::compose::{Call, Expect, Json, JsonPlace, Ordered, Verb, When, Within, keys_of_a_call, targets, written};
use super::forms::{Short, deserialize_short_or_long, schemas};

/// Calls that are made one after the other and are durable: where one of them fails, what the others did is taken back.
///
/// What a client begins with a key is ended, whatever becomes of the client, of upstreams and of the gateway; the same key asked again gets the
/// same answer. It takes `server.state_dir`, and upstreams that honour `Idempotency-Key`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Saga {
    /// What a saga is known by to its client, beside the route: a fact of the request, or a list of which each must be there.
    #[serde(default)]
    pub key: SagaKey,
    /// What becomes of a request without its key.
    #[serde(default)]
    pub on_missing_key: OnMissingKey,
    /// How long a client is kept waiting for the end; then it gets 202 and may ask again.
    #[serde(default = "Saga::usual_wait")]
    pub wait: Spanned<Duration>,
    /// How long it goes forward; a saga that has not come to its last step by then is taken back.
    #[serde(default = "Saga::usual_deadline")]
    pub deadline: Spanned<Duration>,
    /// How long an undo, or a last step without one, is tried again; then the saga is stuck and waits for an operator.
    #[serde(default = "Saga::usual_give_up")]
    pub give_up: Spanned<Duration>,
    /// How long an end is remembered.
    #[serde(default = "Saga::usual_keep")]
    pub keep: Spanned<Duration>,
    /// The steps by name, in their order.
    pub steps: Spanned<Ordered<Spanned<SagaStep>>>,
    /// The answer as JSON where all steps are done, in whose texts references stand in braces. By default a member a step.
    #[serde(default, deserialize_with = "written", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Json>")]
    pub answer: Option<Spanned<Json>>,
}

impl Saga {
    /// How often a step is tried where nothing is written.
    pub const ATTEMPTS: u32 = 5;

    /// The steps in their order, by name.
    pub fn steps(&self) -> impl ExactSizeIterator<Item = (&str, &Spanned<SagaStep>)> {
        self.steps.iter()
    }

    /// The upstreams that its steps and their undos name.
    pub fn upstreams(&self) -> impl Iterator<Item = &Spanned<String>> {
        self.steps().flat_map(|(_, step)| [Some(&step.call.upstream), step.undo_call().map(|undo| &undo.upstream)].into_iter().flatten())
    }

    /// Its calls by their names, to be changed.
    pub fn calls_mut(&mut self) -> impl Iterator<Item = (String, &mut Call)> {
        self.steps.value.0.iter_mut().flat_map(|(name, step)| {
            let undo = match step.value.undo.as_mut().map(|undo| &mut undo.value) {
                Some(Undo::Call(call)) => Some((SagaStep::undo_name(name), &mut **call)),
                Some(Undo::Nothing) | None => None,
            };
            std::iter::once((name.clone(), &mut step.value.call)).chain(undo)
        })
    }

    /// The call of this name.
    pub fn call(&self, name: &str) -> Option<&Call> {
        self.steps().find_map(|(step, written)| match name {
            _ if name == step => Some(&written.call),
            _ if name == SagaStep::undo_name(step) => written.undo_call(),
            _ => None,
        })
    }

    fn usual_wait() -> Spanned<Duration> {
        seconds(5)
    }

    fn usual_deadline() -> Spanned<Duration> {
        seconds(2 * 60)
    }

    fn usual_give_up() -> Spanned<Duration> {
        seconds(24 * 60 * 60)
    }

    fn usual_keep() -> Spanned<Duration> {
        seconds(7 * 24 * 60 * 60)
    }
}

fn seconds(seconds: u64) -> Spanned<Duration> {
    Spanned::nowhere(Duration(std::time::Duration::from_secs(seconds)))
}

/// Facts of a request that are its key together: one, or a list.
#[derive(Clone, Debug, PartialEq)]
pub struct SagaKey(pub Vec<Spanned<Selector>>);

impl Default for SagaKey {
    fn default() -> Self {
        Self(vec![Spanned::nowhere(Selector::Header(http::HeaderName::from_static("idempotency-key")))])
    }
}

/// What becomes of a request without its key.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum OnMissingKey {
    /// It is refused: 400.
    #[default]
    Reject,
    /// It gets a key of its own, so that it begins a saga each time.
    Generate,
}

/// A step of a saga: a call, and how what it did is taken back.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(from = "Keys", into = "Keys")]
pub struct SagaStep {
    /// The call. Keys that no step may have are there for the check to refuse.
    pub call: Call,
    /// How often it is tried before what is known of it decides.
    pub attempts: Option<Spanned<u32>>,
    /// How it is taken back; the last step alone may leave it out.
    pub undo: Option<Spanned<Undo>>,
}

impl SagaStep {
    /// The name of the call that takes back what a step of this name did.
    pub fn undo_name(step: &str) -> String {
        format!("{step}/undo")
    }

    /// How often it is tried.
    pub fn attempts(&self) -> u32 {
        self.attempts.as_ref().map_or(Saga::ATTEMPTS, |attempts| attempts.value)
    }

    /// The call that takes it back.
    pub fn undo_call(&self) -> Option<&Call> {
        match self.undo.as_ref().map(|undo| &undo.value) {
            Some(Undo::Call(call)) => Some(call),
            Some(Undo::Nothing) | None => None,
        }
    }
}

/// How a step is taken back.
#[derive(Clone, Debug, PartialEq)]
pub enum Undo {
    /// `none`: there is nothing to take back.
    Nothing,
    /// By this call.
    Call(Box<Call>),
}

keys_of_a_call! {
    /// A step as it is written: all keys on one level.
    #[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
    #[serde(deny_unknown_fields)]
    #[schemars(rename = "SagaStep")]
    struct Keys {
        /// The upstream that is asked; its balance, health checks and timeouts hold as for a proxied request.
        upstream: Spanned<String>,
        /// Path and query of a GET, with references in braces: `/stock/{body.sku}`. In a path they are percent-encoded, in a query encoded as
        /// forms are; a parameter that finds nothing is left out, and a path that finds nothing fails the step.
        get,
        /// The body as JSON, with references in its texts: `"{reserve.total}"` alone is the value of whatever type, within other text its text.
        /// Without it post, put and patch send the client's body as it came.
        body,
        /// Headers beside the gateway's own and `Idempotency-Key`, with references in braces. One that finds nothing is not sent.
        headers,
        /// Timeout of one attempt; by default what the upstream's timeouts say.
        timeout,
        /// The statuses that are success: one, a range, or a list of them.
        #[serde(default, skip_serializing_if = "Expect::is_default")]
        expect: Expect,
        /// The part of the answer that counts, by default all of it: `data.order`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<Spanned<JsonPlace>>,
        /// How often it is tried, by default 5 times: 200 ms later, 400 ms later, and so on. All attempts have the same `Idempotency-Key`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attempts: Option<Spanned<u32>>,
        /// The call that takes back what the step did, or `none` where there is nothing to take back. The last step alone may leave it out: nothing
        /// is taken back once it may have happened.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        undo: Option<Spanned<Undo>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(skip)]
        when: Option<Spanned<When>>,
        #[serde(default, deserialize_with = "written", skip_serializing_if = "Option::is_none")]
        #[schemars(skip)]
        otherwise: Option<Spanned<serde_json::Value>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(skip)]
        optional: Option<Spanned<bool>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(skip)]
        each: Option<Spanned<Within>>,
    }
}

keys_of_a_call! {
    /// A call that takes something back, as it is written.
    #[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
    #[serde(deny_unknown_fields)]
    #[schemars(rename = "SagaUndo")]
    pub struct UndoKeys {
        /// The upstream that is asked; by default that of the step.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        upstream: Option<Spanned<String>>,
        /// Path and query of a GET, with references in braces: the step's own key is `{STEP.key}`.
        get,
        /// The body as JSON, with references in its texts; without it there is none.
        body,
        /// Headers beside the gateway's own and `Idempotency-Key`, with references in braces. One that finds nothing is not sent.
        headers,
        /// Timeout of one attempt; by default what the upstream's timeouts say.
        timeout,
    }
}

/// A call with nothing else to it.
fn plain(upstream: Spanned<String>, requests: Vec<(Verb, Spanned<String>)>) -> Call {
    Call {
        upstream,
        requests,
        body: None,
        query: None,
        variables: None,
        headers: BTreeMap::new(),
        timeout: None,
        expect: Expect::default(),
        at: None,
        keep: None,
        drop: None,
        rename: None,
        when: None,
        otherwise: None,
        optional: None,
        each: None,
        most: None,
        concurrency: None,
        batch: None,
        by: None,
        many: None,
        into: None,
        back: None,
    }
}

impl From<Keys> for SagaStep {
    fn from(mut keys: Keys) -> Self {
        let requests = keys.requests();
        let mut undo = keys.undo;
        if let Some(Spanned { value: Undo::Call(undo), .. }) = &mut undo
            && undo.upstream.is_empty()
        {
            undo.upstream = keys.upstream.clone();
        }
        let call = Call {
            body: keys.body,
            headers: keys.headers,
            timeout: keys.timeout,
            expect: keys.expect,
            at: keys.at,
            when: keys.when,
            otherwise: keys.otherwise,
            optional: keys.optional,
            each: keys.each,
            ..plain(keys.upstream, requests)
        };
        Self { call, attempts: keys.attempts, undo }
    }
}

impl From<SagaStep> for Keys {
    fn from(step: SagaStep) -> Self {
        let call = step.call;
        let [get, post, put, patch, delete] = targets(&call);
        Self {
            get,
            post,
            put,
            patch,
            delete,
            upstream: call.upstream,
            body: call.body,
            headers: call.headers,
            timeout: call.timeout,
            expect: call.expect,
            at: call.at,
            attempts: step.attempts,
            undo: step.undo,
            when: call.when,
            otherwise: call.otherwise,
            optional: call.optional,
            each: call.each,
        }
    }
}

impl From<UndoKeys> for Undo {
    fn from(mut keys: UndoKeys) -> Self {
        let requests = keys.requests();
        // An empty name is that of nobody: the step puts its own in.
        let upstream = keys.upstream.unwrap_or_default();
        Self::Call(Box::new(Call { body: keys.body, headers: keys.headers, timeout: keys.timeout, ..plain(upstream, requests) }))
    }
}

impl Short for Undo {
    type Long = UndoKeys;
    const EXPECTED: &'static str = "the call that takes the step back, or `none` where there is nothing to take back";
    fn short(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::Nothing),
            other => Err(format!("`{other}` is neither a call nor `none`")),
        }
    }
}

impl Serialize for Undo {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Nothing => serializer.serialize_str("none"),
            Self::Call(call) => {
                let [get, post, put, patch, delete] = targets(call);
                let keys = UndoKeys {
                    upstream: Some(call.upstream.clone()),
                    get,
                    post,
                    put,
                    patch,
                    delete,
                    body: call.body.clone(),
                    headers: call.headers.clone(),
                    timeout: call.timeout,
                };
                keys.serialize(serializer)
            }
        }
    }
}

deserialize_short_or_long!(Undo);

impl<'de> Deserialize<'de> for SagaKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;
        impl<'de> Visitor<'de> for OneOrMany {
            type Value = SagaKey;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a selector, or a list of them")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<SagaKey, E> {
                text.parse().map(|one| SagaKey(vec![Spanned::nowhere(one)])).map_err(E::custom)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<SagaKey, A::Error> {
                let mut all = Vec::new();
                while let Some(one) = list.next_element()? {
                    all.push(one);
                }
                if all.is_empty() {
                    return Err(de::Error::custom("the list is empty: all requests would have one key"));
                }
                Ok(SagaKey(all))
            }
        }
        deserializer.deserialize_any(OneOrMany)
    }
}

impl Serialize for SagaKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0[..] {
            [one] => one.serialize(serializer),
            all => all.serialize(serializer),
        }
    }
}

schemas! {
    SagaKey: "SagaKey" = |generator| {
        let selector = generator.subschema_for::<Selector>();
        json_schema!({"description": "A selector, or a list of them of which each must find something.",
                      "anyOf": [selector, {"type": "array", "items": selector, "minItems": 1}]})
    };
    Undo: "Undo" = |generator| {
        let call = generator.subschema_for::<UndoKeys>();
        json_schema!({"description": "The call that takes the step back, or `none` where there is nothing to take back.",
                      "anyOf": [{"const": "none"}, call]})
    };
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_saga_is_written_again_as_it_was_read_and_an_undo_asks_the_upstream_of_its_step() {
        let written = json!({
            "key": ["claim.sub", "header.idempotency-key"],
            "on_missing_key": "generate",
            "wait": "1s", "deadline": "2m", "give_up": "1h", "keep": "168h",
            "steps": {
                "reserve": {"upstream": "stock", "post": "/r", "body": {"sku": "{body.sku}"}, "timeout": "2s", "attempts": 3,
                            "undo": {"upstream": "stock", "delete": "/r/{reserve.key}"}},
                "note": {"upstream": "notes", "put": "/n", "expect": "200-204", "at": "data", "undo": "none"},
                "confirm": {"upstream": "orders", "post": "/o"}
            },
            "answer": {"order": "{confirm.id}"}
        });
        let saga: Saga = serde_json::from_value(written.clone()).expect("a saga");
        assert_eq!(serde_json::to_value(&saga).expect("JSON"), written);

        let short: Saga =
            serde_json::from_value(json!({"steps": {"a": {"upstream": "p", "post": "/a", "undo": {"delete": "/a"}}}})).expect("a saga");

        let (_, step) = short.steps().next().expect("a step");
        assert_eq!(step.undo_call().map(|undo| undo.upstream.as_str()), Some("p"));
        assert_eq!((step.attempts(), short.wait.to_string().as_str(), short.keep.to_string().as_str()), (5, "5s", "168h"));
        assert_eq!(short.key.0[0].value.to_string(), "header.idempotency-key");
        assert!(serde_json::from_value::<Undo>(json!("nothing")).is_err());
        assert!(serde_json::from_value::<SagaKey>(json!([])).is_err());
    }
}
