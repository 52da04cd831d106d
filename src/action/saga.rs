//! A route whose requests begin sagas, and ask what became of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use frontgate_filters::filter::{BoxFuture, Facts};
use frontgate_filters::reply::{Reply, ReplyBody};
use frontgate_filters::words::selector::Selector;
use frontgate_filters::words::spanned::Spanned;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Method, StatusCode};
use pingora_http::RequestHeader;
use serde_json::json;

use super::{Act, Action, Upstreams, With};
use crate::compose::saga::Home;
use crate::compose::saga::definition::{Definition, IDEMPOTENCY_KEY, LARGEST_ANSWER, NoFacts};
use crate::compose::saga::keeper::{Begun, Sagas};
use crate::compose::saga::machine::State;
use crate::compose::saga::record::{Answer, Hash, Id, Millis, Record};
use crate::compose::{Composed, Composition, Explained, Inquiry};
use crate::config::model;
use crate::config::secrets::is_secret;
use crate::refusals;
use crate::router::Pattern;
use crate::telemetry::SagaMetrics;

/// Says that an answer is one that was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const YES: HeaderValue = HeaderValue::from_static("true");
const SOON: HeaderValue = HeaderValue::from_static("1");
/// When one that waits for an operator may have gone on.
const LATER: HeaderValue = HeaderValue::from_static("60");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
/// What is left to a client's own time limit when it is answered that its saga is still under way.
const MARGIN: Duration = Duration::from_millis(50);

/// A route of sagas.
struct Saga {
    route: Arc<str>,
    definition: Arc<Definition>,
    /// Where they are kept and run.
    home: Arc<Home>,
    /// Its series are there from the beginning.
    metrics: Arc<SagaMetrics>,
}

/// The route's saga as an action.
struct Begins {
    composition: Arc<dyn Composition>,
    /// Whether the route names methods: then all of these but GET and HEAD begin one.
    names_methods: bool,
}

/// Compiles a checked saga.
pub(super) fn compile(written: &model::Saga, route: &model::Route, _: &Pattern, with: &With<'_>) -> Result<Box<dyn Action>, String> {
    let is_secret = |name: &str, value: &Spanned<String>| with.loaded.is_brought(value.place) || is_secret(name);
    let definition = Definition::compile(&route.path, written, &is_secret)?;
    let metrics = with.metrics.sagas(&route.name);
    let saga = Saga { route: route.name.as_str().into(), definition: Arc::new(definition), home: with.sagas.clone(), metrics };
    Ok(Box::new(Begins { composition: Arc::new(saga), names_methods: route.methods.is_some() }))
}

impl Action for Begins {
    fn composition(&self) -> Option<&Arc<dyn Composition>> {
        Some(&self.composition)
    }

    fn act<'a>(&'a self, head: &RequestHeader, _: &Facts, _: &'a Upstreams) -> Act<'a> {
        let begins = head.method == Method::POST || self.names_methods && head.method != Method::OPTIONS;
        if begins || asks(&head.method) { Act::Compose(&self.composition) } else { Act::Answer(refusals::wrong_method("GET, HEAD, POST")) }
    }

    fn why(&self, _: &Reply) -> String {
        "no saga begins with this method".to_owned()
    }
}

/// Whether a part of a key is the one that a client is told where it has none.
fn is_own(selector: &Selector) -> bool {
    matches!(selector, Selector::Header(name) if *name == IDEMPOTENCY_KEY)
}

/// Whether a request of this method asks what became of a saga, and begins none.
fn asks(method: &Method) -> bool {
    *method == Method::GET || *method == Method::HEAD
}

impl Composition for Saga {
    fn names(&self) -> Vec<Arc<str>> {
        self.definition.names()
    }

    fn reads_body(&self, method: &Method) -> bool {
        !asks(method)
    }

    fn most(&self) -> usize {
        LARGEST_ANSWER
    }

    fn refers_to(&self, fact: &Selector) -> bool {
        self.definition.refers_to(fact)
    }

    fn compose<'a>(&'a self, inquiry: Inquiry<'a>) -> BoxFuture<'a, Composed> {
        Box::pin(async move {
            let key = self.key(inquiry.head, inquiry.facts);
            let lacks = !asks(&inquiry.head.method) && self.generates(&key);
            let own = lacks.then(|| Id::fresh().to_string());
            let own_part = |selector: &Selector| Some(own.as_ref().filter(|_| is_own(selector))?.as_bytes().to_vec());
            let key = key.into_iter().zip(&self.definition.key).map(|(part, selector)| part.or_else(|| own_part(selector))).collect();
            let (id, mut reply) = match self.answer(&inquiry, key).await {
                Ok((id, reply)) => (Some(id), reply),
                Err(reply) => (None, reply),
            };
            // Without it nobody could ask what became of it.
            if let Some(own) = own.and_then(|own| HeaderValue::try_from(own).ok()) {
                reply = reply.with(IDEMPOTENCY_KEY, own);
            }
            Composed { reply, missing: Vec::new(), flag: None, saga: id.map(|id| id.to_string().into()) }
        })
    }

    fn explain(&self, head: &RequestHeader, facts: &Facts) -> Explained {
        let key = self.key(head, facts);
        let generates = self.generates(&key);
        let (refused, says) = match key.into_iter().collect::<Option<Vec<_>>>() {
            _ if self.has_several_keys(head) => (Some(StatusCode::BAD_REQUEST), "it has several keys, and is refused"),
            Some(_) if asks(&head.method) => (None, "it asks what became of the saga of its key"),
            Some(_) => (None, "it begins a saga, unless its key has begun one"),
            None if asks(&head.method) || !generates => (Some(missing_key().status), "it has no key, and is refused"),
            None => (None, "it begins a saga under a key of its own"),
        };
        Explained { refused, says }
    }
}

impl Saga {
    /// The answer to a request, with the saga that it is about where it is about one.
    async fn answer(&self, inquiry: &Inquiry<'_>, key: Option<Vec<Vec<u8>>>) -> Result<(Id, Reply), Reply> {
        let (head, facts) = (inquiry.head, inquiry.facts);
        let Some(sagas) = self.home.get() else { return Err(unavailable()) };
        if self.has_several_keys(head) {
            return Err(several_keys());
        }
        let Some(key) = key else { return Err(missing_key()) };
        let known_by = Hash::of_key(&self.route, &key);
        if asks(&head.method) {
            return self.ask(sagas, known_by, head).await;
        }
        let request_id = String::from_utf8_lossy(facts.request_id.as_bytes()).into_owned();
        let begun = |definition: &Definition| {
            let mut record = Record::begin(self.route.to_string(), known_by, known_by, definition.hash, request_id.clone(), Millis::now());
            definition.gather(head, facts, &inquiry.body, &mut record)?;
            record.fingerprint = self.fingerprint(definition, inquiry, &key, &record);
            Ok(record)
        };
        let until = Instant::now() + self.definition.wait;
        let until = inquiry.deadline.map_or(until, |deadline| until.min(deadline.checked_sub(MARGIN).unwrap_or(deadline)));
        let record = match begun(&self.definition) {
            Ok(record) => record,
            Err(NoFacts::Body) => return Err(no_json()),
            Err(NoFacts::Text) => return Err(no_text()),
            Err(NoFacts::TooLarge) => return Err(too_large()),
        };
        let fingerprint = record.fingerprint;
        let began = |id: Id| inquiry.calls.begins(&id.to_string());
        match sagas.begin(&self.definition, record, until, &began).await {
            Begun::Unavailable => Err(unavailable()),
            Begun::TooMany => Err(too_many()),
            Begun::Taken(id, before) => {
                // What one began with is compared as its own definition reads a request, whatever the one in force says by now.
                let mut is_same = before.fingerprint == fingerprint;
                if !is_same && before.definition != self.definition.hash {
                    let definition = sagas.definition(id, before.definition).await.map_err(|_| unavailable())?;
                    let again = definition.and_then(|definition| begun(&definition).ok());
                    is_same = again.is_some_and(|again| again.fingerprint == before.fingerprint);
                }
                match &before.answer {
                    _ if !is_same => Err(reused()),
                    Some(answer) => Ok((id, self.given_again(answer))),
                    None => Ok((id, running(id, before.state))),
                }
            }
            Begun::Answered(id, answer) => Ok((id, given(&answer))),
            Begun::Open(id, state) => Ok((id, self.open(id, state, head))),
        }
    }

    /// What two requests of one key have in common that are the same, as a definition reads them.
    fn fingerprint(&self, definition: &Definition, inquiry: &Inquiry<'_>, key: &[Vec<u8>], record: &Record) -> Hash {
        let uri = &inquiry.head.uri;
        let query = uri.query().unwrap_or_default().as_bytes();
        let request = [inquiry.head.method.as_str().as_bytes(), self.route.as_bytes(), uri.path().as_bytes(), query, &inquiry.body];
        Hash::of(&request.into_iter().chain(key.iter().map(Vec::as_slice)).chain(definition.said(record)).collect::<Vec<_>>())
    }

    /// What became of the saga of this key.
    async fn ask(&self, sagas: &Arc<Sagas>, key: Hash, head: &RequestHeader) -> Result<(Id, Reply), Reply> {
        match sagas.find(key).await {
            Err(_) => Err(unavailable()),
            Ok(None) => Err(unknown()),
            Ok(Some((id, Record { answer: Some(answer), .. }))) => Ok((id, self.given_again(&answer))),
            Ok(Some((id, record))) => Ok((id, self.open(id, record.state, head))),
        }
    }

    /// What the saga of a request is known by to its client, with nothing for each part that is missing.
    fn key(&self, head: &RequestHeader, facts: &Facts) -> Vec<Option<Vec<u8>>> {
        let part = |selector: &Selector| selector.find(head, facts).filter(|part| !part.is_empty()).map(std::borrow::Cow::into_owned);
        self.definition.key.iter().map(part).collect()
    }

    /// Whether a key is made up for a request with these parts of one: that part is missing which its client is told, and no other.
    fn generates(&self, key: &[Option<Vec<u8>>]) -> bool {
        let missing = || key.iter().zip(&self.definition.key).filter(|(part, _)| part.is_none());
        self.definition.generates_keys && missing().next().is_some() && missing().all(|(_, selector)| is_own(selector))
    }

    /// An answer that was given before. When to come again says nothing any more; a failure is counted once.
    fn given_again(&self, answer: &Answer) -> Reply {
        if answer.status >= 500 {
            self.metrics.tells_again();
        }
        given(&Answer { retry_after: None, ..answer.clone() }).with(REPLAYED, YES)
    }

    /// It is still under way; where to ask, and when.
    fn open(&self, id: Id, state: State, head: &RequestHeader) -> Reply {
        let body = json!({"saga": id.to_string(), "state": state.name()}).to_string();
        let reply = bytes(StatusCode::ACCEPTED, body.into(), "saga_open", HeaderValue::from_static("application/json"));
        let reply = reply.with(RETRY_AFTER, again(state));
        // The key may be in the query.
        let is_in_query = self.definition.key.iter().any(|selector| matches!(selector, Selector::Query(_)));
        let whole = head.uri.path_and_query().filter(|_| is_in_query).map(|whole| whole.as_str());
        match HeaderValue::try_from(whole.unwrap_or_else(|| head.uri.path())) {
            Ok(place) => reply.with(LOCATION, place),
            Err(_) => reply,
        }
    }

    /// Whether a header that the key is made of stands there more than once: which one is meant nobody knows.
    fn has_several_keys(&self, head: &RequestHeader) -> bool {
        let is_repeated =
            |selector: &Selector| matches!(selector, Selector::Header(name) if head.headers.get_all(name).iter().nth(1).is_some());
        self.definition.key.iter().any(is_repeated)
    }
}

/// An answer as it was given, or is.
fn given(answer: &Answer) -> Reply {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let reason = if status.is_success() { "saga_done" } else { "saga_undone" };
    let content_type = HeaderValue::try_from(&*answer.content_type).unwrap_or_else(|_| HeaderValue::from_static("application/json"));
    let reply = bytes(status, answer.body.clone(), reason, content_type);
    let reply = match status {
        StatusCode::UNAUTHORIZED => reply.with(WWW_AUTHENTICATE, HeaderValue::from_static(r#"Bearer realm="frontgate""#)),
        _ => reply,
    };
    match answer.retry_after {
        Some(seconds) => reply.with(RETRY_AFTER, HeaderValue::from(seconds)),
        None => reply,
    }
}

fn bytes(status: StatusCode, body: Bytes, reason: &'static str, content_type: HeaderValue) -> Reply {
    let headers = vec![(CONTENT_TYPE, content_type), (CACHE_CONTROL, NO_STORE)];
    Reply { status, headers, body: ReplyBody::Bytes(body), reason }
}

/// The key's saga is still under way.
fn running(id: Id, state: State) -> Reply {
    let detail = match state {
        State::Stuck(_) => "What began with this key is stuck, until somebody has looked at it.",
        _ => "What began with this key is still under way.",
    };
    let reply = Reply::problem(StatusCode::CONFLICT, "saga_running", detail).with_member("saga", id.to_string().into());
    reply.with_member("state", state.name().into()).with(RETRY_AFTER, again(state)).with(CACHE_CONTROL, NO_STORE)
}

/// When to ask again for one in this state.
fn again(state: State) -> HeaderValue {
    if matches!(state, State::Stuck(_)) { LATER } else { SOON }
}

fn several_keys() -> Reply {
    let detail = "The request has more than one key, and which one is meant is not known.";
    Reply::problem(StatusCode::BAD_REQUEST, "idempotency_key_repeated", detail)
}

fn missing_key() -> Reply {
    Reply::problem(StatusCode::BAD_REQUEST, "idempotency_key_missing", "The request needs a key, by which it may be sent again.")
}

fn reused() -> Reply {
    let detail = "This key has begun something else: a new request needs a key of its own.";
    Reply::problem(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", detail)
}

fn unknown() -> Reply {
    Reply::problem(StatusCode::NOT_FOUND, "saga_unknown", "Nothing is known of this key.").with(CACHE_CONTROL, NO_STORE)
}

fn unavailable() -> Reply {
    let detail = "What has to be remembered of this request cannot be written down now.";
    Reply::problem(StatusCode::SERVICE_UNAVAILABLE, "state_unavailable", detail).with(RETRY_AFTER, SOON)
}

fn too_many() -> Reply {
    let detail = "Too many of these requests are under way.";
    Reply::problem(StatusCode::SERVICE_UNAVAILABLE, "too_many_sagas", detail).with(RETRY_AFTER, SOON)
}

fn no_text() -> Reply {
    Reply::problem(StatusCode::BAD_REQUEST, "value_unreadable", "What a step needs of the request has to be UTF-8.")
}

fn no_json() -> Reply {
    Reply::problem(StatusCode::BAD_REQUEST, "body_unreadable", "The request's body has to be JSON.")
}

fn too_large() -> Reply {
    Reply::problem(StatusCode::PAYLOAD_TOO_LARGE, "saga_too_large", "The request says more than is kept of one.")
}
