//! Requests to upstreams: one for each thing that is asked for, however many fields ask for it.

use std::sync::Arc;

use bytes::Bytes;
use frontgate_filters::json::place::Step;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use smallvec::SmallVec;

use super::super::documents::{Data, Documents, Span};
use super::super::source::{Arguments, Known};
use super::super::tables::{Call, CallId};
use super::Run;
use super::failure::Failure;
use crate::compose::service::{self, NoData};
use crate::compose::template::{Lacking, Missing};
use crate::compose::values::Value;
use crate::compose::{Answered, CallResult, Failed, Ready};
use crate::config::model::Graphql;

/// A request that was sent.
#[derive(Default)]
pub(super) struct Fetch {
    /// The headers and what a GraphQL service is sent, where another may ask the same.
    asked: Option<(HeaderMap, Option<Bytes>)>,
    /// The groups that wait for it, and which of their requests it is.
    pub(super) waiting: SmallVec<[(usize, usize); 2]>,
    ended: Option<Ended>,
    /// The calls that were counted by it.
    counted: SmallVec<[CallId; 2]>,
}

impl Fetch {
    /// Whether it is this, which goes to the same target.
    fn asks_the_same(&self, ready: &Ready<'_>) -> bool {
        self.asked.as_ref().is_some_and(|(fields, body)| (fields, body) == (&ready.fields, &ready.body))
    }
}

/// How a request ended.
struct Ended {
    answered: Result<Answered, Failed>,
    /// Its JSON, once somebody has asked for it; none where it has none.
    read: Option<Option<Span>>,
    /// Its data, once somebody has asked for that.
    data: Option<Result<Span, NoData>>,
}

/// What an answer is for a call.
#[derive(Clone, Debug)]
pub(super) enum Read {
    Json(Span),
    Nothing,
    Failed(Arc<Failure>),
    /// A service says that there is none.
    Gone(Arc<Failure>),
}

/// What is asked for.
pub(super) struct Wanted<'w> {
    pub(super) arguments: &'w Arguments,
    pub(super) parent: Option<Span>,
    pub(super) each: Option<&'w Value<'static>>,
}

impl<'r> Run<'r> {
    /// Sends a request, or waits with others for the same one. The number of it, and whether it has its answer already.
    pub(super) fn launch(&mut self, call: CallId, wanted: &Wanted<'_>, waiting: (usize, usize)) -> Result<(usize, bool), Arc<Failure>> {
        let ready = self.ready(call, wanted).map_err(|Missing| Failure::value_missing(call))?;
        let key = self.graph.tables.calls[call].is_safe.then(|| (Arc::as_ptr(ready.pool).addr(), ready.target.clone()));
        if let Some(key) = &key
            && let Some(same) = self.by_target.get(key)
            && let Some(&fetch) = same.iter().find(|&&fetch| self.fetches[fetch].asks_the_same(&ready))
        {
            let known = &mut self.fetches[fetch];
            known.waiting.push(waiting);
            return Ok((fetch, known.ended.is_some()));
        }
        let most = self.graph.most_calls;
        if self.fetches.len() >= most {
            return Err(Failure::too_many(call, most, "calls"));
        }
        let fetch = self.fetches.len();
        let asked = key.is_some().then(|| (ready.fields.clone(), ready.body.clone()));
        if let Some(key) = key {
            self.by_target.entry(key).or_default().push(fetch);
        }
        self.fetches.push(Fetch { asked, waiting: [waiting].into_iter().collect(), ..Fetch::default() });
        self.making.push(fetch, self.calls.make(ready));
        Ok((fetch, false))
    }

    /// The request of a call, with all values.
    fn ready(&self, index: CallId, wanted: &Wanted<'_>) -> Result<Ready<'r>, Missing> {
        let graph = self.graph;
        let call = &graph.tables.calls[index];
        let known = Known {
            head: self.head,
            facts: self.facts,
            documents: &self.documents,
            arguments: wanted.arguments,
            parent: wanted.parent,
            each: wanted.each,
        };
        let target = call.target.expand(&known)?;
        let mut fields = HeaderMap::new();
        for (name, words) in &call.headers {
            if let Some(text) = words.expand(&known)? {
                // A line break or a zero in it would be more than a value.
                fields.insert(name, HeaderValue::from_bytes(&text).map_err(|_| Missing)?);
            }
        }
        let body = match &call.body {
            Some(json) => {
                fields.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
                Some(json.expand(&known, Lacking::Fails)?.into_bytes())
            }
            None => None,
        };
        Ok(Ready {
            name: &call.name,
            pool: &call.pool,
            again: call.method.is_idempotent(),
            method: call.method.clone(),
            target,
            fields,
            body,
            timeout: call.timeout,
            most: Graphql::MOST_ANSWER,
        })
    }

    /// A request has its answer.
    pub(super) fn ended(&mut self, fetch: usize, answered: Result<Answered, Failed>) -> SmallVec<[(usize, usize); 2]> {
        let answered = answered.and_then(|mut answered| {
            self.received += answered.body.iter().map(Bytes::len).sum::<usize>();
            self.held.merge(std::mem::take(&mut answered.held));
            if self.received > Graphql::MOST_TOTAL { Err(Failed::TooLarge) } else { Ok(answered) }
        });
        let fetch = &mut self.fetches[fetch];
        fetch.ended = Some(Ended { answered, read: None, data: None });
        std::mem::take(&mut fetch.waiting)
    }

    /// What the answer to a request is for a call. It is counted once for each call.
    pub(super) fn read(&mut self, index: CallId, fetch: usize) -> Read {
        let call = &self.graph.tables.calls[index];
        let fetch = &mut self.fetches[fetch];
        let is_new = !fetch.counted.contains(&index);
        let Some(ended) = &mut fetch.ended else { return Read::Nothing };
        let read = match &mut ended.answered {
            Err(failed) => Read::Failed(Failure::of_call(index, *failed)),
            Ok(answered) if !call.expect.contains(answered.status.as_u16()) => {
                let failure = Failure::of_status(index, answered.status);
                match answered.status {
                    StatusCode::NOT_FOUND | StatusCode::GONE if call.method == Method::GET => Read::Gone(failure),
                    _ => Read::Failed(failure),
                }
            }
            Ok(answered) if call.asks_service => {
                let documents = &mut self.documents;
                let data = || service::data(answered).map(|data| documents.add(data.into_bytes()));
                match *ended.data.get_or_insert_with(data) {
                    Ok(span) => Read::Json(span),
                    Err(why) => Read::Failed(Failure::no_data(index, why)),
                }
            }
            Ok(answered) if answered.status == StatusCode::NO_CONTENT => Read::Nothing,
            Ok(answered) => {
                let documents = &mut self.documents;
                match *ended.read.get_or_insert_with(|| documents.read(&answered.body)) {
                    Some(span) if says_whose(call, documents, span) => Read::Json(span),
                    _ => Read::Failed(Failure::malformed(index)),
                }
            }
        };
        if is_new {
            let result = match &read {
                Read::Json(_) | Read::Nothing => CallResult::Ok,
                Read::Failed(failure) | Read::Gone(failure) => failure.result,
            };
            fetch.counted.push(index);
            self.calls.count(&call.name, result);
            if let (CallResult::Ok, Ok(answered)) = (result, &mut ended.answered) {
                std::mem::take(&mut answered.keeping).keep();
                self.caching.add(&answered.headers);
            }
        }
        read
    }
}

/// Whether an answer can say what was found for several values: there is something where its elements should be, and where there are some, one
/// at least says whose it is. Nothing else is asked of an answer for one value.
fn says_whose(call: &Call, documents: &Documents, answer: Span) -> bool {
    let Some((_, by)) = call.each.as_ref().and_then(|each| each.batch.as_ref()) else { return true };
    let spans = match documents.find(answer, &call.at) {
        Data::Nothing => return false,
        // None of the elements of a list has it.
        Data::Many(spans) if spans.is_empty() && documents.first(answer) == b'[' => return documents.elements(answer).next().is_none(),
        Data::One(span) => vec![span],
        Data::Many(spans) => spans,
    };
    let mut is_empty = true;
    spans.into_iter().any(|span| has_owner(documents, by, span, &mut is_empty)) || is_empty
}

/// Whether one of these elements says whose it is; whether there are any is noted.
fn has_owner(documents: &Documents, by: &[Step], span: Span, is_empty: &mut bool) -> bool {
    match documents.first(span) {
        b'[' => documents.elements(span).any(|element| has_owner(documents, by, element, is_empty)),
        b'n' => false,
        _ => {
            *is_empty = false;
            documents.owner(span, by).is_some()
        }
    }
}
