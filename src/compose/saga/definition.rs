//! What a saga goes by: its steps with their templates, and which values these need of the request and of each other.
//!
//! A definition is written as a text that is kept with its sagas, so that each goes on by the one that it began with, whatever the configuration
//! says by then; what it needs of the request is read once, when the saga begins.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use frontgate_filters::filter::Facts;
use frontgate_filters::json::{Document, Mark, Place, Plan, Policy, Proved, Reader};
use frontgate_filters::words::fields;
use frontgate_filters::words::selector::Selector;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method};
use pingora_http::RequestHeader;
use serde::{Deserialize, Serialize};

use super::machine::{self, MOST_STEPS, Send, Shape, State, Stuck};
use super::record::{Body, Hash, Id, Record};
use crate::compose::reference::{Origin, Reference, Scope, Wrong};
use crate::compose::template::{self, Json, Lacking, Missing, Target, Words};
use crate::compose::values::{self, Value, Values};
use crate::config::model;
use crate::router::Pattern;

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
    method: Method,
    target: Target<Source>,
    headers: Vec<(HeaderName, Words<Source>)>,
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
    /// There is more than is kept of one saga.
    TooLarge,
}

impl Definition {
    /// Compiles a checked saga of a route with this path.
    pub(crate) fn compile(path: &str, saga: &model::Saga) -> Result<Self, String> {
        let text = Text { path: path.to_owned(), saga: saga.clone() };
        let text = serde_json::to_string(&text).map_err(|error| error.to_string())?;
        Self::of(text, path, saga)
    }

    /// Reads the text of one that was kept.
    pub(crate) fn read(text: String) -> Result<Self, String> {
        let read: Text = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        Self::of(text, &read.path, &read.saga)
    }

    fn of(text: String, path: &str, saga: &model::Saga) -> Result<Self, String> {
        let pattern = Pattern::parse(path)?;
        let names: Vec<&str> = saga.steps().map(|(name, _)| name).collect();
        if names.is_empty() || names.len() > MOST_STEPS {
            return Err(format!("a saga has at least one step and at most {MOST_STEPS}"));
        }
        let mut compiler = Compiler { path: &pattern, names: &names, facts: Vec::new(), parts: vec![Vec::new(); names.len()] };
        let (mut calls, mut shape) = (Vec::new(), Vec::new());
        for (index, (name, step)) in saga.steps().enumerate() {
            let told = |wrong: String| format!("step `{name}`: {wrong}");
            // A step knows those before it and its own key; an undo its own answer, too.
            let call = compiler.request(&step.call, index, index + 1, step.call.request().is_some_and(|(verb, _)| verb.sends_a_body()));
            let call = call.map_err(told)?;
            let before = compiler.parts[index].len();
            let undo = step.undo_call().map(|undo| compiler.request(undo, index + 1, index + 1, false)).transpose().map_err(told)?;
            // Steps before cannot name it, so that whatever is named of it by now is named by its undo.
            let needs_answer = compiler.parts[index].len() > before;
            let undo_shape = match (&step.undo, &undo) {
                (None, _) => machine::Undo::Never,
                (Some(_), Some(_)) => machine::Undo::Call { needs_answer },
                (Some(_), None) => machine::Undo::Nothing,
            };
            if undo_shape == machine::Undo::Never && index + 1 < names.len() {
                return Err(told("only the last step may have no undo".to_owned()));
            }
            shape.push(machine::Step { attempts: step.attempts(), undo: undo_shape });
            calls.push((call, undo, step));
        }
        let answer = match &saga.answer {
            Some(answer) => serde_json::to_value(&answer.value).map_err(|error| error.to_string())?,
            None => names.iter().map(|name| ((*name).to_owned(), format!("{{{name}}}").into())).collect::<serde_json::Map<_, _>>().into(),
        };
        let answer = Json::compile(&answer, &mut |reference| compiler.resolve(reference, names.len(), names.len()))
            .map_err(|wrong| format!("the answer: {wrong}"))?;
        let Compiler { facts, parts, .. } = compiler;
        let sends_body = calls.iter().any(|(call, ..)| matches!(call.body, RequestBody::Client));
        let steps = calls.into_iter().zip(parts).zip(&names).map(|(((call, undo, step), parts), name)| {
            let (plan, parts) = marked(step.call.at.as_ref().map(|at| &at.value.0), &parts)?;
            Ok(Step {
                name: (*name).into(),
                undo_name: format!("{name}/undo").into(),
                call,
                undo,
                expect: step.call.expect.clone(),
                plan,
                parts,
            })
        });
        Ok(Self {
            hash: Hash::of(&[text.as_bytes()]),
            text,
            shape: Shape { steps: shape },
            wait: saga.wait.0,
            deadline: saga.deadline.0,
            give_up: saga.give_up.0,
            keep: saga.keep.0,
            key: saga.key.0.iter().map(|selector| selector.value.clone()).collect(),
            generates_keys: saga.on_missing_key == model::OnMissingKey::Generate,
            reads_body: facts.iter().any(|(_, origin)| matches!(origin, Origin::Body(_))),
            facts,
            sends_body,
            steps: steps.collect::<Result<_, String>>()?,
            answer,
        })
    }

    /// The names of its steps.
    pub(crate) fn steps(&self) -> impl ExactSizeIterator<Item = &Arc<str>> {
        self.steps.iter().map(|step| &step.name)
    }

    /// The names of all its calls.
    pub(crate) fn names(&self) -> Vec<Arc<str>> {
        let names = self.steps.iter().flat_map(|step| [Some(&step.name), step.undo.as_ref().map(|_| &step.undo_name)]);
        names.flatten().cloned().collect()
    }

    /// Puts what the saga needs of the request into its record.
    pub(crate) fn gather(&self, head: &RequestHeader, facts: &Facts, body: &Bytes, record: &mut Record) -> Result<(), NoFacts> {
        let document = if self.reads_body { Some(self.body(body).ok_or(NoFacts::Body)?) } else { None };
        let mut length = 0;
        for (number, (name, origin)) in self.facts.iter().enumerate() {
            let value = match origin {
                Origin::Body(_) => document.as_ref().and_then(|body| body.value(number)),
                origin => of_request(origin, head, facts),
            };
            let Some(value) = value else { continue };
            let Ok(text) = String::from_utf8(value.into_bytes().into()) else { continue };
            length += text.len();
            record.facts.insert(name.clone(), text);
        }
        if self.sends_body {
            length += body.len();
            let content_type = head.headers.get(CONTENT_TYPE).and_then(fields::text).map(str::to_owned);
            // Several codings may be named in several fields (RFC 9110, 8.4).
            let codings: Vec<&str> = head.headers.get_all(CONTENT_ENCODING).iter().filter_map(fields::text).collect();
            let content_encoding = (!codings.is_empty()).then(|| codings.join(", "));
            record.body = Some(Body { content_type, content_encoding, bytes: body.clone() });
        }
        if length > super::record::LARGEST / 2 { Err(NoFacts::TooLarge) } else { Ok(()) }
    }

    /// What was gathered of what the request says, beside its body: the names and values that tell it from another one with the same key. What
    /// its connection or the gateway says, such as the client's address, may be another when the same is sent again.
    pub(crate) fn said<'r>(&'r self, record: &'r Record) -> impl Iterator<Item = &'r [u8]> {
        let said = self.facts.iter().filter(|(_, origin)| match origin {
            Origin::Body(_) => false,
            Origin::Selector(selector) => !matches!(
                selector,
                Selector::ClientIp | Selector::Route | Selector::Scheme | Selector::TlsSni | Selector::TlsVersion | Selector::Version
            ),
            _ => true,
        });
        // A value is JSON, and never empty: nothing tells one that is missing.
        said.flat_map(|(name, _)| [name.as_bytes(), record.facts.get(name).map_or(&[][..], String::as_bytes)])
    }

    /// The step that would stand where all others were taken back, where there is one.
    pub(crate) fn stands(&self) -> Option<&Arc<str>> {
        self.shape.pivot().map(|step| &self.steps[step].name)
    }

    /// The client's body, where its values can be read.
    fn body(&self, body: &Bytes) -> Option<ClientBody> {
        let places = self.facts.iter().enumerate().filter_map(|(number, (_, origin))| match origin {
            Origin::Body(place) => Some((number, place)),
            _ => None,
        });
        let (mut marks, mut known) = (Vec::new(), Vec::new());
        for (mark, (fact, place)) in (0_u16..).zip(places) {
            marks.push(Mark { number: mark, place: place.clone(), each: false });
            known.push(BodyPlace { fact, mark, elements: elements(place) });
        }
        let plan = Plan::new(&Policy::drop(&[]).ok()?, &[], &marks).ok()?;
        Some(ClientBody { document: values::read(&Arc::new(plan), body.clone())?, places: known })
    }

    /// Whether a record speaks of no step that there is not. Why, where it does.
    pub(crate) fn fits(&self, record: &Record) -> Result<(), String> {
        let of_state = match record.state {
            State::Running(step) | State::Undoing(step) => Some(step),
            State::Stuck(Stuck::Pivot(step) | Stuck::Undo(step) | Stuck::Lost(step) | Stuck::Upstream { step, .. }) => Some(step),
            State::Done | State::Undone | State::Abandoned => None,
        };
        let failed = record.failure.as_ref().map(|failure| failure.step);
        match of_state.into_iter().chain(failed).chain(record.answers.keys().copied()).find(|step| *step >= self.steps.len()) {
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
        Ok(Prepared { upstream: &request.upstream, method, target, fields, body, timeout: request.timeout })
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

/// The client's body, with the values of it that are referred to.
struct ClientBody {
    document: Document,
    places: Vec<BodyPlace>,
}

/// Where a fact is in the client's body.
struct BodyPlace {
    fact: usize,
    mark: u16,
    /// How many elements of arrays its place names by itself.
    elements: usize,
}

impl ClientBody {
    /// The value of the fact of this number.
    fn value(&self, fact: usize) -> Option<Proved> {
        let place = self.places.iter().find(|place| place.fact == fact)?;
        found(&self.document, place.mark, place.elements)
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

/// What reads parts of an answer, each in this place of it.
fn marked(at: Option<&Place>, parts: &[Place]) -> Result<(Arc<Plan>, Parts), String> {
    let (mut marks, mut names) = (Vec::new(), Vec::new());
    for (number, place) in (0_u16..).zip(parts) {
        let whole = match at {
            None => place.clone(),
            Some(at) if place.steps().is_empty() => at.clone(),
            Some(at) => format!("{at}.{place}").parse().map_err(|error: frontgate_filters::json::PathError| error.message)?,
        };
        names.push((place.to_string(), elements(&whole)));
        marks.push(Mark { number, place: whole, each: false });
    }
    let all = Policy::drop(&[]).map_err(|error| error.to_string())?;
    Ok((Arc::new(Plan::new(&all, &[], &marks).map_err(|error| error.to_string())?), names))
}

/// A fact of the request as JSON.
fn of_request(origin: &Origin, head: &RequestHeader, facts: &Facts) -> Option<Proved> {
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(values::string);
    match origin {
        Origin::Variable(variable) => {
            let encoded = variable.find(head.uri.path());
            if encoded.is_empty() { None } else { text(&percent_encoding::percent_decode_str(encoded).collect::<Vec<u8>>()) }
        }
        Origin::Selector(Selector::Claim(path)) => values::claim(path.find(&facts.identity.as_ref()?.claims)?),
        Origin::Selector(selector) => text(&selector.find(head, facts)?),
        Origin::Query => text(head.uri.query()?.as_bytes()),
        Origin::Body(_) | Origin::Call(..) | Origin::Each | Origin::Saga | Origin::Key(_) => None,
    }
}

/// What is known of a saga.
struct Known<'k> {
    definition: &'k Definition,
    id: Id,
    record: &'k Record,
}

impl Values<Source> for Known<'_> {
    fn find(&self, source: &Source) -> Option<Value<'_>> {
        let json = |text: &String| values::read(&Arc::default(), Bytes::copy_from_slice(text.as_bytes())).map(|document| document.whole());
        match source {
            Source::Fact(number, is_query) => {
                let (name, _) = &self.definition.facts[*number];
                let kept = self.record.facts.get(name)?;
                if *is_query {
                    // It is put in as it came.
                    return Some(Value::Text(serde_json::from_str::<String>(kept).ok()?.into_bytes().into()));
                }
                json(kept).map(Value::Json)
            }
            Source::Part(step, part) => {
                let (name, _) = &self.definition.steps[*step].parts[*part];
                json(self.record.answers.get(step)?.get(name)?).map(Value::Json)
            }
            Source::Saga => Some(Value::Json(values::string(&self.id.to_string()))),
            Source::Key(step) => Some(Value::Json(values::string(&format!("{}-{}", self.id, self.definition.steps[*step].name)))),
        }
    }
}

/// What was compiled so far.
struct Compiler<'c> {
    path: &'c Pattern,
    names: &'c [&'c str],
    facts: Vec<(String, Origin)>,
    /// By step, what is referred to of its answer.
    parts: Vec<Vec<Place>>,
}

impl Compiler<'_> {
    /// What a reference stands for, where the answers of so many steps and the keys of so many are known.
    fn resolve(&mut self, reference: &Reference, answers: usize, keys: usize) -> Result<Source, Wrong> {
        let scope = Scope { path: self.path, calls: &self.names[..keys], each: false, saga: true };
        match scope.resolve(reference)? {
            Origin::Saga => Ok(Source::Saga),
            Origin::Key(step) => Ok(Source::Key(step)),
            Origin::Call(step, _) if step >= answers => {
                Err(Wrong { at: reference.name_at, message: format!("`{}` has no answer yet where it is referred to", reference.head) })
            }
            Origin::Call(step, place) => {
                let parts = &mut self.parts[step];
                let known = parts.iter().position(|known| *known == place).unwrap_or_else(|| {
                    parts.push(place);
                    parts.len() - 1
                });
                Ok(Source::Part(step, known))
            }
            origin => {
                let is_query = origin == Origin::Query;
                let known = self.facts.iter().position(|(_, known)| *known == origin).unwrap_or_else(|| {
                    self.facts.push((reference.to_string(), origin));
                    self.facts.len() - 1
                });
                Ok(Source::Fact(known, is_query))
            }
        }
    }

    fn request(&mut self, call: &model::Call, answers: usize, keys: usize, sends_body: bool) -> Result<Request, String> {
        let Some((verb, target)) = call.request() else { return Err("it asks for nothing, or for several things".to_owned()) };
        let target = Target::compile(target, &mut |reference| self.resolve(reference, answers, keys)).map_err(|wrong| wrong.to_string())?;
        let headers = call.headers.iter().map(|(name, value)| {
            let header = HeaderName::from_bytes(name.as_bytes()).map_err(|error| error.to_string())?;
            let words =
                Words::compile(value, &mut |reference| self.resolve(reference, answers, keys)).map_err(|wrong| wrong.to_string())?;
            Ok((header, words))
        });
        let headers = headers.collect::<Result<Vec<_>, String>>()?;
        let body = match &call.body {
            Some(body) => {
                let body = serde_json::to_value(&body.value).map_err(|error| error.to_string())?;
                let json =
                    Json::compile(&body, &mut |reference| self.resolve(reference, answers, keys)).map_err(|wrong| wrong.to_string())?;
                RequestBody::Json(json)
            }
            None if sends_body => RequestBody::Client,
            None => RequestBody::None,
        };
        let timeout = call.timeout.as_ref().map(|timeout| timeout.0);
        Ok(Request { upstream: call.upstream.value.clone(), method: verb.method(), target, headers, body, timeout })
    }
}

#[cfg(test)]
mod tests;
