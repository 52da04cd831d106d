//! Requests to upstreams: one for each call, but the same one for calls that would ask the same.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use smallvec::{SmallVec, smallvec};

use super::super::Body;
use super::super::failure::Failure;
use super::super::source::Source;
use super::{Run, Work};
use crate::compose::template::{Lacking, Missing};
use crate::compose::values::{Value, Values};
use crate::compose::{Answered, Failed, Ready};

/// A request that was sent.
pub(super) struct Fetch {
    /// What was asked, where another may ask the same.
    asked: Option<Asked>,
    /// Who waits for the answer.
    pub(super) consumers: SmallVec<[Consumer; 1]>,
    /// The answer, once it is there.
    pub(super) ended: Option<Result<Answered, Failed>>,
}

/// A GET, or what asks a GraphQL service for something.
#[derive(PartialEq)]
struct Asked {
    /// The address of its pool, which only tells it from others.
    pool: usize,
    target: String,
    fields: HeaderMap,
    /// What a GraphQL service is sent.
    body: Option<Bytes>,
    /// Who waits shorter than others has a request of its own, which ends sooner.
    timeout: Option<Duration>,
}

/// Who waits for an answer: a call, or one of the requests for its values.
#[derive(Clone, Copy)]
pub(super) struct Consumer {
    pub(super) call: usize,
    pub(super) group: Option<usize>,
}

impl<'r> Run<'r> {
    /// Sends a request for a call, or waits with others for the same one.
    pub(super) fn launch(&mut self, consumer: Consumer, each: Option<&Value<'static>>) -> Result<(), Failure> {
        let ready = self.ready(consumer.call, each)?;
        let asked = self.aggregate.calls[consumer.call].may_be_repeated.then(|| Asked {
            pool: Arc::as_ptr(ready.pool).addr(),
            target: ready.target.clone(),
            fields: ready.fields.clone(),
            body: ready.body.clone(),
            timeout: ready.timeout,
        });
        if asked.is_some()
            && let Some(index) = self.fetches.iter().position(|fetch| fetch.asked == asked)
        {
            self.fetches[index].consumers.push(consumer);
            if self.fetches[index].ended.is_some() {
                self.work.push_back(Work::Deliver(index));
            }
            return Ok(());
        }
        if self.fetches.len() >= self.aggregate.most_calls {
            return Err(Failure::TooManyCalls(self.aggregate.most_calls));
        }
        let fetch = self.fetches.len();
        self.fetches.push(Fetch { asked, consumers: smallvec![consumer], ended: None });
        self.making.push(fetch, self.calls.make(ready));
        Ok(())
    }

    /// The request of a call, with all values.
    fn ready(&self, index: usize, each: Option<&Value<'static>>) -> Result<Ready<'r>, Failure> {
        let aggregate = self.aggregate;
        let call = &aggregate.calls[index];
        let known = self.known(each);
        let missing = |_: Missing| Failure::ValueMissing(self.lacks(index, each));
        let target = call.target.expand(&known).map_err(missing)?;
        let mut fields = HeaderMap::new();
        for (name, words) in &call.headers {
            if let Some(text) = words.expand(&known).map_err(missing)? {
                // A line break or a zero in it would be more than a value.
                fields.insert(name, HeaderValue::from_bytes(&text).map_err(|_| Failure::ValueMissing(None))?);
            }
        }
        let body = match &call.body {
            Body::None => None,
            Body::Client => {
                for name in [CONTENT_TYPE, CONTENT_ENCODING] {
                    let value = self.head.headers.get(&name).filter(|_| !self.client_body.is_empty());
                    if let Some(value) = value.filter(|_| !fields.contains_key(&name)) {
                        fields.insert(name, value.clone());
                    }
                }
                Some(self.client_body.clone())
            }
            Body::Json(json) => {
                fields.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
                Some(json.expand(&known, Lacking::Fails).map_err(missing)?.into_bytes())
            }
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
            most: aggregate.most_answer,
        })
    }

    /// The first value without which a call cannot be made and that there is not, as the configuration has it.
    fn lacks(&self, index: usize, each: Option<&Value<'static>>) -> Option<Box<str>> {
        let (known, call) = (self.known(each), &self.aggregate.calls[index]);
        let mut lacking = None;
        let mut look = |source: &Source| {
            if lacking.is_none() && known.find(source).is_none_or(|value| value.is_null()) {
                lacking = source.name(|call| &self.aggregate.calls[call].name);
            }
        };
        call.target.needed(&mut look);
        if let Body::Json(json) = &call.body {
            json.needed(&mut look);
        }
        lacking
    }

    /// A request has its answer.
    pub(super) fn arrived(&mut self, fetch: usize, answered: Result<Answered, Failed>) {
        let answered = answered.and_then(|mut answered| {
            self.received += answered.body.iter().map(Bytes::len).sum::<usize>();
            self.held.push(std::mem::take(&mut answered.held));
            if self.received > self.aggregate.most_total { Err(Failed::TooLarge) } else { Ok(answered) }
        });
        self.fetches[fetch].ended = Some(answered);
        self.work.push_back(Work::Deliver(fetch));
    }
}
