//! What a saga goes by: its steps with their templates, and which values these need of the request and of each other.
//!
//! A definition is written as a text that is kept with its sagas, so that each goes on by the one that it began with, whatever the configuration
//! says by then; what it needs of the request is read once, when the saga begins.

mod compile;
mod gathered;
mod known;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use frontgate_filters::json::{Document, Place, Plan, Proved, Reader};
use frontgate_filters::words::selector::Selector;
use frontgate_filters::words::spanned::Spanned;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method};
use serde::{Deserialize, Serialize};

use self::known::Known;
use super::machine::{Send, Shape, State};
use super::record::{Hash, Id, Record};
use crate::compose::reference::Origin;
use crate::compose::template::{self, Json, Lacking, Missing, Target, Words};
use crate::config::model;

/// The header that all attempts of a call have the same value of (draft-ietf-httpapi-idempotency-key-header-07).
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The most bytes of a step's answer.
pub(crate) const LARGEST_ANSWER: usize = 1 << 20;

/// A definition as it is kept.
#[derive(Serialize, Deserialize)]
struct Text {
    /// The route's path, whose variables it may refer to.
    path: String,
    saga: model::Saga,
    /// The headers that stand in it without their values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    apart: Vec<Apart>,
}

/// A header of a call that is not kept: each attempt has it from the configuration in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Apart {
    /// The call's name.
    call: String,
    /// As it is written.
    header: String,
}

/// What a saga goes by.
pub(crate) struct Definition {
    /// The hash of its text.
    pub hash: Hash,
    /// Its text.
    pub text: String,
    /// What the machine knows of its steps.
    pub shape: Shape,
    /// How long a client is kept.
    pub wait: Duration,
    /// How long it goes forward.
    pub deadline: Duration,
    /// How long undoing is tried.
    pub give_up: Duration,
    /// How long its end is remembered.
    pub keep: Duration,
    /// What its sagas are known by to their clients.
    pub key: Vec<Selector>,
    /// Whether a request without that gets one of its own.
    pub generates_keys: bool,
    /// What it refers to of the request.
    facts: Vec<(String, Origin)>,
    /// Whether it refers to parts of the client's body.
    reads_body: bool,
    /// Whether a step sends the client's body as it came.
    sends_body: bool,
    steps: Vec<Step>,
    answer: Json<Source>,
}

/// A step with what takes it back.
struct Step {
    name: Arc<str>,
    undo_name: Arc<str>,
    call: Request,
    undo: Option<Request>,
    expect: model::Expect,
    /// Reads the parts of its answer that others refer to.
    plan: Arc<Plan>,
    /// Which these are, by the numbers of the plan's marks, and how many elements of arrays each names by itself.
    parts: Parts,
}

/// Parts of an answer, each with how many elements of arrays its place names by itself.
type Parts = Vec<(String, usize)>;

/// What is sent.
struct Request {
    upstream: String,
    /// Method, upstream and path, for people.
    words: String,
    method: Method,
    target: Target<Source>,
    headers: Vec<(HeaderName, Words<Source>)>,
    /// Those that the configuration in force has.
    apart: Vec<HeaderName>,
    body: RequestBody,
    timeout: Option<Duration>,
}

enum RequestBody {
    None,
    /// The client's, as it came.
    Client,
    Json(Json<Source>),
}

/// What a reference stands for, once it is compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// What is known of the request by this number; and whether it is the whole query.
    Fact(usize, bool),
    /// Of the answer to a step this part.
    Part(usize, usize),
    /// The saga's id.
    Saga,
    /// The key of a step.
    Key(usize),
}

impl template::Source for Source {
    fn is_query(&self) -> bool {
        matches!(self, Self::Fact(_, true))
    }
}

/// What a call asks.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'d> {
    /// Whose endpoints.
    pub upstream: &'d str,
    /// Method, upstream and path, as they are written.
    pub words: &'d str,
}

/// A call that is ready to be made, but for its upstream.
pub(crate) struct Prepared<'d> {
    /// Whose endpoints are asked.
    pub upstream: &'d str,
    /// The method.
    pub method: Method,
    /// Path and query.
    pub target: String,
    /// Its fields.
    pub fields: HeaderMap,
    /// Those that the configuration in force has, which are still to be added.
    pub apart: &'d [HeaderName],
    /// Its body.
    pub body: Option<Bytes>,
    /// How long one attempt may take.
    pub timeout: Option<Duration>,
}

/// A request of which a value that its saga needs cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoFacts {
    /// Its body should be JSON and is not.
    Body,
    /// What a step needs of it is no text.
    Text,
    /// There is more than is kept of one saga.
    TooLarge,
}

impl Definition {
    /// Compiles a checked saga of a route with this path.
    ///
    /// Headers of which `is_secret` says so are not kept with its sagas, as far as nothing is referred to in them: what they are is asked of the
    /// configuration that is in force at each attempt.
    pub(crate) fn compile(path: &str, saga: &model::Saga, is_secret: &dyn Fn(&str, &Spanned<String>) -> bool) -> Result<Self, String> {
        let (mut saga, mut apart) = (saga.clone(), Vec::new());
        for (name, call) in saga.calls_mut() {
            for (header, value) in &mut call.headers {
                if is_secret(header, value) && !value.value.contains(['{', '}']) {
                    value.value.clear();
                    apart.push(Apart { call: name.clone(), header: header.clone() });
                }
            }
        }
        let text = Text { path: path.to_owned(), saga, apart };
        let written = serde_json::to_string(&text).map_err(|error| error.to_string())?;
        compile::compile(written, &text)
    }

    /// Reads the text of one that was kept.
    pub(crate) fn read(text: String) -> Result<Self, String> {
        let read: Text = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        compile::compile(text, &read)
    }

    /// The names of its steps.
    pub(crate) fn steps(&self) -> impl ExactSizeIterator<Item = &Arc<str>> {
        self.steps.iter().map(|step| &step.name)
    }

    /// What its steps ask, each with what its undo does.
    pub(crate) fn asked(&self) -> impl Iterator<Item = (Asked<'_>, Option<Asked<'_>>)> {
        fn asked(request: &Request) -> Asked<'_> {
            Asked { upstream: &request.upstream, words: &request.words }
        }
        self.steps.iter().map(|step| (asked(&step.call), step.undo.as_ref().map(asked)))
    }

    /// The names of all its calls.
    pub(crate) fn names(&self) -> Vec<Arc<str>> {
        let names = self.steps.iter().flat_map(|step| [Some(&step.name), step.undo.as_ref().map(|_| &step.undo_name)]);
        names.flatten().cloned().collect()
    }

    /// Whether it needs this fact of the request, for its key or for a step.
    pub(crate) fn refers_to(&self, fact: &Selector) -> bool {
        self.key.contains(fact) || self.facts.iter().any(|(_, origin)| matches!(origin, Origin::Selector(known) if known == fact))
    }

    /// Whether a record speaks of no step that there is not. Why, where it does.
    pub(crate) fn fits(&self, record: &Record) -> Result<(), String> {
        let of_state = match record.state {
            State::Running(step) | State::Undoing(step) => Some(step),
            State::Stuck(why) => Some(why.step()),
            State::Done | State::Undone | State::Abandoned => None,
        };
        let failed = record.failure.as_ref().map(|failure| failure.step);
        match of_state
            .into_iter()
            .chain(failed)
            .chain(record.answers.keys().chain(&record.left).copied())
            .find(|step| *step >= self.steps.len())
        {
            Some(step) => Err(format!("it speaks of step {}, and its definition has {}", step.saturating_add(1), self.steps.len())),
            // Nothing is undone that cannot be.
            None if matches!(record.state, State::Undoing(step) if self.steps[step].undo.is_none()) => {
                Err("it says that a step is undone that has no undo".to_owned())
            }
            None => Ok(()),
        }
    }

    /// The name of a call.
    pub(crate) fn name(&self, send: Send) -> &Arc<str> {
        match send {
            Send::Step(step) | Send::Learn(step) => &self.steps[step].name,
            Send::Undo(step) => &self.steps[step].undo_name,
        }
    }

    /// The call with its values.
    pub(crate) fn prepare(&self, send: Send, id: Id, record: &Record) -> Result<Prepared<'_>, Missing> {
        let (index, request, suffix) = match send {
            Send::Step(index) | Send::Learn(index) => (index, &self.steps[index].call, ""),
            Send::Undo(index) => (index, self.steps[index].undo.as_ref().ok_or(Missing)?, "-undo"),
        };
        let known = Known { definition: self, id, record };
        let target = request.target.expand(&known)?;
        let mut fields = HeaderMap::new();
        for (name, words) in &request.headers {
            if let Some(value) = words.expand(&known)? {
                fields.append(name.clone(), HeaderValue::from_bytes(&value).map_err(|_| Missing)?);
            }
        }
        let key = format!("{id}-{}{suffix}", self.steps[index].name);
        fields.insert(IDEMPOTENCY_KEY, HeaderValue::try_from(key).map_err(|_| Missing)?);
        let body = match &request.body {
            RequestBody::None => None,
            RequestBody::Client => record.body.as_ref().map(|body| {
                if let Some(content_type) = body.content_type.as_ref().and_then(|text| HeaderValue::try_from(text).ok()) {
                    fields.entry(CONTENT_TYPE).or_insert(content_type);
                }
                // What the bytes are in is a fact, whatever the step's own headers say.
                if let Some(coding) = body.content_encoding.as_ref().and_then(|text| HeaderValue::try_from(text).ok()) {
                    fields.insert(CONTENT_ENCODING, coding);
                }
                body.bytes.clone()
            }),
            RequestBody::Json(json) => {
                fields.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
                Some(json.expand(&known, Lacking::Fails)?.into_bytes())
            }
        };
        let method = request.method.clone();
        let (upstream, apart, timeout) = (&request.upstream, &request.apart, request.timeout);
        Ok(Prepared { upstream, method, target, fields, apart, body, timeout })
    }

    /// Whether a step is done that is answered with this status.
    pub(crate) fn expects(&self, step: usize, status: u16) -> bool {
        self.steps[step].expect.contains(status)
    }

    /// What others need of the answer to a step. Nothing where that cannot be read; an answer without a body is null.
    pub(crate) fn parts(&self, step: usize, chunks: Vec<Bytes>) -> Option<BTreeMap<String, String>> {
        let step = &self.steps[step];
        if step.parts.is_empty() {
            return Some(BTreeMap::new());
        }
        let mut reader = Reader::new(step.plan.clone());
        if chunks.iter().all(|chunk| chunk.iter().all(u8::is_ascii_whitespace)) {
            reader.push(Bytes::from_static(b"null")).ok()?;
        } else {
            chunks.into_iter().try_for_each(|chunk| reader.push(chunk)).ok()?;
        }
        let document = reader.finish().ok()?;
        let mut parts = BTreeMap::new();
        for (mark, (name, elements)) in (0_u16..).zip(&step.parts) {
            if let Some(value) = found(&document, mark, *elements) {
                parts.insert(name.clone(), String::from_utf8(value.into_bytes().into()).ok()?);
            }
        }
        Some(parts)
    }

    /// What the client is answered where all is done.
    pub(crate) fn answer(&self, id: Id, record: &Record) -> Bytes {
        let known = Known { definition: self, id, record };
        // Text around a value that is missing is left out, so that nothing can be missing here.
        self.answer.expand(&known, Lacking::LeftOut).map_or_else(|_| Bytes::from_static(b"{}"), Proved::into_bytes)
    }
}

/// A value that was marked: one, or a list where the way to it led through arrays.
fn found(document: &Document, mark: u16, elements: usize) -> Option<Proved> {
    let all: Vec<_> = document.marked(mark).collect();
    match &all[..] {
        [] => None,
        [first, ..] if document.depth(first) > elements => {
            Some(Proved::list(&all.iter().map(|found| document.get(found)).collect::<Vec<_>>()))
        }
        // Of members of one name the last one counts, as for most readers.
        [.., last] => Some(document.get(last)),
    }
}

/// How many elements of arrays a place names by itself.
fn elements(place: &Place) -> usize {
    place.steps().iter().filter(|step| matches!(step, frontgate_filters::json::place::Step::Element(_))).count()
}

#[cfg(test)]
mod tests;
