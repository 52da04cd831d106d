//! One request: each call is made as soon as all that it refers to has ended, and nothing outlives the request.

mod each;
mod fetch;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use frontgate_filters::filter::Facts;
use frontgate_filters::json::{Document, Reader};
use frontgate_filters::reply::{Reply, ReplyBody};
use http::{HeaderName, HeaderValue};
use pingora_http::RequestHeader;
use smallvec::SmallVec;

use self::each::Progress;
use self::fetch::{Consumer, Fetch};
use super::failure::Failure;
use super::find::Known;
use super::results::{One, Outcome};
use super::{Aggregate, Call, answer};
use crate::compose::caching::Caching;
use crate::compose::making::Making;
use crate::compose::service;
use crate::compose::values::{self, Value};
use crate::compose::{Answered, CallResult, Calls, Composed, Held, Inquiry, Missing};
use crate::refusals;
use crate::telemetry::Flag;

/// What has become of the calls of a request so far. Dropped, all that are on their way are cancelled.
pub(super) struct Run<'r> {
    aggregate: &'r Aggregate,
    head: &'r RequestHeader,
    facts: &'r Facts,
    calls: &'r dyn Calls,
    client_body: Bytes,
    /// The client's body, where there is one and something refers to a value in it.
    body: Option<Document>,
    /// Which calls are made for what is left of the answer; none where all of it is.
    needed: Option<Box<[bool]>>,
    outcomes: Vec<Outcome>,
    /// For how many calls each still waits.
    waits: SmallVec<[u32; 16]>,
    /// Of calls for values, by their index; nothing where there are none.
    progress: Vec<Option<Progress>>,
    fetches: Vec<Fetch>,
    making: Making<'r>,
    work: VecDeque<Work>,
    /// Bytes of all answers so far, and what holds their place in memory.
    received: usize,
    held: Vec<Held>,
    /// Calls that are missing, each once, and why.
    missing: Vec<(usize, Cow<'static, str>)>,
    has_succeeded: bool,
    /// The first call that failed without anything in its place.
    first_failed: Option<(usize, Failure)>,
    caching: Caching,
    back: Vec<(HeaderName, HeaderValue)>,
}

/// What is to be done next.
enum Work {
    /// All that this call needs has ended.
    Start(usize),
    /// This request has its answer.
    Deliver(usize),
}

/// A call that must not fail has failed.
struct Fatal {
    call: usize,
    failure: Failure,
}

impl<'r> Run<'r> {
    /// For a request. One that has a body of which something is wanted, and no JSON in it, is refused.
    pub(super) fn new(aggregate: &'r Aggregate, inquiry: &Inquiry<'r>) -> Result<Self, Reply> {
        let count = aggregate.calls.len();
        let body = match &aggregate.body {
            Some(plan) if !inquiry.body.is_empty() => {
                let read = values::read(plan, inquiry.body.clone());
                Some(read.ok_or_else(|| refusals::bad_request("The request's body is not JSON, and values in it are needed."))?)
            }
            _ => None,
        };
        let has_values = aggregate.calls.iter().any(|call| call.each.is_some());
        Ok(Self {
            aggregate,
            head: inquiry.head,
            facts: inquiry.facts,
            calls: inquiry.calls,
            client_body: inquiry.body.clone(),
            body,
            needed: inquiry.facts.trims.as_deref().map(|policy| aggregate.needed(Some(policy))),
            outcomes: (0..count).map(|_| Outcome::Pending).collect(),
            waits: aggregate.calls.iter().map(|call| call.needs.len() as u32).collect(),
            progress: if has_values { (0..count).map(|_| None).collect() } else { Vec::new() },
            fetches: Vec::with_capacity(count),
            making: Making::with_room(count),
            work: (0..count).filter(|&call| aggregate.calls[call].needs.is_empty()).map(Work::Start).collect(),
            received: 0,
            held: Vec::with_capacity(count),
            missing: Vec::new(),
            has_succeeded: false,
            first_failed: None,
            caching: Caching::default(),
            back: Vec::new(),
        })
    }

    /// Makes all calls, and the answer.
    pub(super) async fn finish(mut self) -> Composed {
        loop {
            if let Err(fatal) = self.catch_up() {
                return self.failed(fatal);
            }
            match self.making.next().await {
                Some((fetch, answered)) => self.arrived(fetch, answered),
                None => break,
            }
        }
        if let Some((call, failure)) = self.first_failed.take().filter(|_| !self.has_succeeded) {
            return self.failed(Fatal { call, failure });
        }
        match answer::body(self.aggregate, self.known(None)) {
            Some(body) => {
                let mut held = Held::default();
                self.held.drain(..).for_each(|one| held.merge(one));
                match held.keeping(body) {
                    Some(body) => answer::composed(self.aggregate, body, self.missing(), &self.caching, std::mem::take(&mut self.back)),
                    None => {
                        let flag = Some(Flag::UpstreamOverflow);
                        Composed { reply: refusals::no_memory(), missing: self.missing(), flag, saga: None }
                    }
                }
            }
            None => {
                let biggest = self.aggregate.calls.iter().position(|call| call.each.as_ref().is_some_and(|each| each.into.is_some()));
                self.failed(Fatal { call: biggest.unwrap_or(0), failure: Failure::TooLong })
            }
        }
    }

    /// Does all that can be done before another answer comes.
    fn catch_up(&mut self) -> Result<(), Fatal> {
        while let Some(work) = self.work.pop_front() {
            match work {
                Work::Start(call) => self.start(call)?,
                Work::Deliver(fetch) => self.deliver(fetch)?,
            }
        }
        Ok(())
    }

    fn failed(&mut self, fatal: Fatal) -> Composed {
        let name = self.aggregate.calls[fatal.call].name.clone();
        let (flag, cause) = (fatal.failure.flag(), fatal.failure.cause());
        let others = self.missing().into_iter().filter(|other| other.name != name);
        let first = Missing { name: name.clone(), cause };
        let missing = std::iter::once(first).chain(others).collect();
        let mut reply = fatal.failure.reply(&name);
        // An error that is passed on has its place until its client has it, as any answer.
        if let ReplyBody::Bytes(body) = &mut reply.body {
            let mut held = Held::default();
            self.held.drain(..).for_each(|one| held.merge(one));
            match held.keeping(std::mem::take(body)) {
                Some(kept) => *body = kept,
                None => reply = refusals::no_memory(),
            }
        }
        Composed { reply, missing, flag, saga: None }
    }

    /// What is missing, in the order of the calls.
    fn missing(&self) -> Vec<Missing> {
        let mut missing = self.missing.clone();
        missing.sort_by_key(|(call, _)| *call);
        missing.into_iter().map(|(call, cause)| Missing { name: self.aggregate.calls[call].name.clone(), cause }).collect()
    }

    fn known<'k>(&'k self, each: Option<&'k Value<'static>>) -> Known<'k> {
        Known {
            aggregate: self.aggregate,
            head: self.head,
            facts: self.facts,
            body: self.body.as_ref(),
            outcomes: &self.outcomes,
            each,
            rendering: None,
        }
    }

    /// Begins a call: it may end at once.
    fn start(&mut self, index: usize) -> Result<(), Fatal> {
        let call = &self.aggregate.calls[index];
        let met = call.when.as_ref().is_none_or(|when| self.known(None).holds(when));
        if !met || self.needed.as_ref().is_some_and(|needed| !needed[index]) {
            self.calls.count(&call.name, CallResult::Skipped);
            self.end(index, Outcome::Skipped);
            return Ok(());
        }
        if let Some(&other) = call.fails_with.iter().find(|&&other| matches!(self.outcomes[other], Outcome::Failed)) {
            return self.fail(index, Failure::ValueMissing(Some((&*self.aggregate.calls[other].name).into())));
        }
        if call.each.is_some() {
            return self.start_each(index);
        }
        match self.launch(Consumer { call: index, group: None }, None) {
            Ok(()) => Ok(()),
            Err(failure) => self.fail(index, failure),
        }
    }

    /// A call has failed: that is the end, or something stands in for it, or it is left out.
    fn fail(&mut self, index: usize, failure: Failure) -> Result<(), Fatal> {
        let call = &self.aggregate.calls[index];
        self.calls.count(&call.name, failure.result());
        if call.is_required() {
            return Err(Fatal { call: index, failure });
        }
        self.missing.push((index, failure.cause()));
        match &call.otherwise {
            Some(document) => self.end(index, Outcome::One(One { document: document.clone(), stands_in: true })),
            None => {
                self.first_failed.get_or_insert((index, failure));
                self.end(index, Outcome::Failed);
            }
        }
        Ok(())
    }

    /// A call has ended. What waited only for it can begin.
    fn end(&mut self, index: usize, outcome: Outcome) {
        self.outcomes[index] = outcome;
        for &other in &self.aggregate.calls[index].needed_by {
            self.waits[other] -= 1;
            if self.waits[other] == 0 {
                self.work.push_back(Work::Start(other));
            }
        }
    }

    /// Reads an answer as the call wants it.
    fn read(&mut self, index: usize, answered: &mut Answered) -> Result<Arc<Document>, Failure> {
        let call = &self.aggregate.calls[index];
        let keeping = std::mem::take(&mut answered.keeping);
        if !call.expect.contains(answered.status.as_u16()) {
            return Err(Failure::of_status(answered, self.aggregate.passes_errors));
        }
        let document = if call.asks_service {
            let data = service::data(answered)?.into_bytes();
            call.document(std::slice::from_ref(&data))?
        } else if answered.status == http::StatusCode::NO_CONTENT {
            call.null.clone()
        } else {
            call.document(&answered.body)?
        };
        self.calls.count(&call.name, CallResult::Ok);
        keeping.keep();
        self.has_succeeded = true;
        self.caching.add(&answered.headers);
        for name in &call.back {
            self.back.extend(answered.headers.get_all(name).map(|value| (name.clone(), value)));
        }
        Ok(document)
    }

    /// An answer is there, for one call or for several.
    fn deliver(&mut self, fetch: usize) -> Result<(), Fatal> {
        let consumers = std::mem::take(&mut self.fetches[fetch].consumers);
        let Some(mut ended) = self.fetches[fetch].ended.take() else { return Ok(()) };
        for consumer in consumers {
            let read = match &mut ended {
                Ok(answered) => self.read(consumer.call, answered),
                Err(failed) => Err(Failure::Unanswered(*failed)),
            };
            match (consumer.group, read) {
                (None, Ok(document)) => self.end(consumer.call, Outcome::One(One { document, stands_in: false })),
                (None, Err(failure)) => self.fail(consumer.call, failure)?,
                (Some(group), read) => self.group_ended(consumer.call, group, read)?,
            }
        }
        self.fetches[fetch].ended = Some(ended);
        // Who has asked for the same meanwhile gets it, too.
        if !self.fetches[fetch].consumers.is_empty() {
            self.work.push_back(Work::Deliver(fetch));
        }
        Ok(())
    }
}

impl Call {
    /// A text as the call wants it.
    fn document(&self, chunks: &[Bytes]) -> Result<Arc<Document>, Failure> {
        let mut reader = Reader::new(self.plan.clone());
        let pushed = chunks.iter().try_for_each(|chunk| reader.push(chunk.clone()));
        let document = pushed.and_then(|()| reader.finish()).map_err(|_| Failure::Malformed)?;
        if each::is_for(self, &document) { Ok(Arc::new(document)) } else { Err(Failure::Malformed) }
    }
}
