//! The chain: the only place that knows the filters' order.
//!
//! Requests run through the filters as listed, response halves in reverse. A filter under `mode: observe` is given copies: it
//! decides and counts, and nothing it does reaches the client or the upstream.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use pingora_http::{RequestHeader, ResponseHeader};
use smallvec::SmallVec;

use crate::filter::{Attempt, Facts, Filter, Flow, Keep, Outcome, Request, Rescue, ResponseFilter, Step, Verdict, Want};
use crate::registry::Mode;
use crate::reply::Reply;

/// A filter at its place in a chain.
#[derive(Clone)]
pub struct Link {
    /// The name it is configured under, or its kind where it is written in place.
    pub name: Arc<str>,
    /// Its kind.
    pub kind: &'static str,
    /// Whether its decisions are carried out.
    pub mode: Mode,
    /// The filter.
    pub filter: Arc<dyn Filter>,
}

/// The filters of one route, in order.
#[derive(Clone, Default)]
pub struct Chain {
    links: Box<[Link]>,
}

/// One request's way through a chain: the response halves that it collected.
#[derive(Default)]
pub struct Exchange {
    /// In place for as many as routes usually list.
    halves: SmallVec<[Half; 4]>,
    /// How many filters were asked.
    asked: usize,
    /// Whether the last of them answered.
    answered: bool,
    /// Which of those that only observe would have, a bit each.
    would_answer: u64,
}

/// What a filter did with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Did {
    /// It let the request pass.
    Passed,
    /// It answered.
    Answered,
    /// It only observes, and would have answered.
    WouldAnswer,
}

impl Did {
    /// As programs are told it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Answered => "answered",
            Self::WouldAnswer => "would_answer",
        }
    }
}

struct Half {
    observed: bool,
    wants_body: bool,
    /// It made the answer itself, or is inside of the one that did.
    silent: bool,
    filter: Box<dyn ResponseFilter>,
}

/// One filter's decision, as `explain` prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The filter's name.
    pub name: String,
    /// Its kind.
    pub kind: &'static str,
    /// Whether it only observes.
    pub observed: bool,
    /// The status that it answers with, where it does.
    pub replies: Option<StatusCode>,
    /// Why, in the filter's own words.
    pub reasons: Vec<Cow<'static, str>>,
    /// How long it took.
    pub took: Duration,
}

impl Chain {
    /// A chain of these, in this order.
    pub fn new(links: Vec<Link>) -> Self {
        Self { links: links.into() }
    }

    /// Its filters in order.
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// The filters of it that guard each call apart which a request is answered from: what runs once around the whole lets the request pass there,
    /// for it leads to no upstream of its own.
    pub fn of_calls(&self) -> Self {
        Self { links: self.links.iter().filter(|link| link.filter.guards_calls()).cloned().collect() }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// A request that may change what it names has succeeded.
    pub fn forget(&self, head: &RequestHeader) {
        self.links.iter().for_each(|link| link.filter.forget(head));
    }

    /// Runs the request through. A reply has still to pass the response halves of the filters before the one that made it, with
    /// [`Exchange::head`] and [`Exchange::body`], and then [`Chain::mark`], which every answer gets.
    pub async fn request(&self, request: &mut Request<'_>, exchange: &mut Exchange) -> Option<Reply> {
        self.run(request, exchange, None).await
    }

    /// As [`Chain::request`], telling each filter's decision. Filters after the one that replies are not asked.
    pub async fn explain(&self, request: &mut Request<'_>) -> Vec<Decision> {
        let mut told = Vec::new();
        self.run(request, &mut Exchange::default(), Some(&mut told)).await;
        told
    }

    /// As [`Chain::request`]; with `told`, where each filter's decision goes, the request is only being explained.
    pub async fn run(&self, request: &mut Request<'_>, exchange: &mut Exchange, told: Option<&mut Vec<Decision>>) -> Option<Reply> {
        self.run_part(0..self.links.len(), request, exchange, told).await
    }

    /// As [`Chain::run`] through some of the filters: what is decided between two of them is decided between two parts.
    pub async fn run_part(
        &self,
        part: Range<usize>,
        request: &mut Request<'_>,
        exchange: &mut Exchange,
        mut told: Option<&mut Vec<Decision>>,
    ) -> Option<Reply> {
        let first = part.start;
        for (index, link) in self.links.get(part).unwrap_or_default().iter().enumerate() {
            exchange.asked = first + index + 1;
            let began = request.facts.steps.is_some().then(Instant::now);
            let reply = match &mut told {
                None => link.verdict(request, exchange).await,
                Some(told) if request.is_served() => link.tell(request, exchange, told).await,
                Some(told) => link.explain(request, exchange, told).await,
            };
            if let Some(began) = began {
                link.note(request.facts, reply.as_ref(), began.elapsed());
            }
            if reply.is_some() && link.mode == Mode::Enforce {
                exchange.answered = true;
                return reply;
            }
            if reply.is_some() {
                exchange.would_answer |= 1_u64.checked_shl(exchange.asked as u32 - 1).unwrap_or(0);
            }
        }
        None
    }

    /// Marks an answer, whoever made it: the last filter first, so that the first listed has the last word.
    pub fn mark(&self, head: &mut ResponseHeader, facts: &Facts) {
        for link in self.links.iter().rev() {
            if link.mode == Mode::Enforce {
                link.filter.answer(head, facts);
            }
        }
    }
}

impl Link {
    /// Notes what the filter did, for who asked for that.
    #[cold]
    fn note(&self, facts: &mut Facts, reply: Option<&Reply>, took: Duration) {
        let step = Step {
            name: self.name.clone(),
            kind: self.kind,
            observed: self.mode == Mode::Observe,
            replies: reply.map(|reply| reply.status),
            took,
        };
        facts.steps.get_or_insert_default().push(step);
    }

    async fn explain(&self, request: &mut Request<'_>, exchange: &mut Exchange, told: &mut Vec<Decision>) -> Option<Reply> {
        let mut reasons = Vec::new();
        let (live, began) = (request.would_be_live(), Instant::now());
        let reply = {
            let mut asked = Request::new(request.head, request.facts, request.now).explained(&mut reasons).live(live);
            self.verdict(&mut asked, exchange).await
        };
        let took = began.elapsed();
        let (observed, replies) = (self.mode == Mode::Observe, reply.as_ref().map(|reply| reply.status));
        told.push(Decision { name: self.name.to_string(), kind: self.kind, observed, replies, reasons, took });
        reply
    }

    /// Decides for real. Why is what an explanation says before that, which changes nothing.
    async fn tell(&self, request: &mut Request<'_>, exchange: &mut Exchange, told: &mut Vec<Decision>) -> Option<Reply> {
        let (mut head, mut facts, mut before) = (request.head.clone(), request.facts.clone(), Vec::new());
        let mut dry = Request::new(&mut head, &mut facts, request.now).live(true);
        self.explain(&mut dry, &mut Exchange::default(), &mut before).await;
        let began = Instant::now();
        let reply = self.verdict(request, exchange).await;
        let (replies, took) = (reply.as_ref().map(|reply| reply.status), began.elapsed());
        told.extend(before.into_iter().map(|decision| Decision { replies, took, ..decision }));
        reply
    }

    async fn verdict(&self, request: &mut Request<'_>, exchange: &mut Exchange) -> Option<Reply> {
        match self.mode {
            Mode::Enforce => settle(self.filter.request(request), false, exchange).await,
            Mode::Observe => {
                let mut copy = request.head.clone();
                // Facts are for the log, but these say where the request goes and what others may leave to this filter.
                let facts = &request.facts;
                let (upstream, instead, packed) = (facts.upstream.clone(), facts.instead.clone(), facts.packed);
                let (variant, version, trims) = (facts.variant.clone(), facts.version.clone(), facts.trims.clone());
                let mut looking = request.with_head(&mut copy);
                let reply = settle(self.filter.request(&mut looking), true, exchange).await;
                let facts = &mut *request.facts;
                (facts.upstream, facts.instead, facts.packed) = (upstream, instead, packed);
                (facts.variant, facts.version, facts.trims) = (variant, version, trims);
                reply
            }
        }
    }
}

async fn settle(mut verdict: Verdict<'_>, observed: bool, exchange: &mut Exchange) -> Option<Reply> {
    loop {
        match verdict {
            Verdict::Continue => return None,
            Verdict::ContinueWith(filter) => {
                exchange.halves.push(Half { observed, wants_body: false, silent: false, filter });
                return None;
            }
            Verdict::Reply(reply) => return Some(reply),
            Verdict::Wait(wait) => verdict = wait.await,
        }
    }
}

impl Exchange {
    /// How many filters were asked, from the first one on.
    pub fn asked(&self) -> usize {
        self.asked
    }

    /// What came of it where the filter at this place of the chain was asked.
    pub fn did(&self, index: usize) -> Did {
        if self.answered && index + 1 == self.asked {
            Did::Answered
        } else if 1_u64.checked_shl(index as u32).is_some_and(|bit| self.would_answer & bit != 0) {
            Did::WouldAnswer
        } else {
            Did::Passed
        }
    }

    /// How many filters wait for the response.
    pub fn len(&self) -> usize {
        self.halves.len()
    }

    /// Whether any filter waits for the response.
    pub fn is_empty(&self) -> bool {
        self.halves.is_empty()
    }

    /// Whether what an attempt takes that ends now is a measure of its upstream in good health; to be asked before [`Exchange::attempt`].
    pub fn is_measure(&self) -> bool {
        self.halves.iter().all(|half| half.filter.is_measure())
    }

    /// An attempt at the upstream has ended, and nothing was sent yet. Every half hears of it; the rescue is the innermost one's. A reply
    /// passes only the halves outside of the one that gives it, so the others end here.
    pub fn attempt(&mut self, attempt: &Attempt<'_>) -> Rescue {
        let mut rescue = Rescue::Pass;
        let mut inner = self.halves.len();
        for (index, half) in self.halves.iter_mut().enumerate().rev() {
            let offer = half.filter.attempt(attempt);
            if attempt.last && !half.observed && matches!(rescue, Rescue::Pass) && !matches!(offer, Rescue::Pass) {
                rescue = offer;
                inner = index;
            }
        }
        if matches!(rescue, Rescue::Reply(_)) {
            self.halves.iter_mut().skip(inner).for_each(|half| half.silent = true);
        }
        rescue
    }

    /// The request goes on at this upstream, since the one that was chosen for it could not be reached.
    pub fn moved(&mut self, to: &str, now: Instant) {
        self.halves.iter_mut().rev().for_each(|half| half.filter.moved(to, now));
    }

    /// The response's head, through the halves in reverse. `method` is the request's: an answer to HEAD has no body to offer.
    pub fn head(&mut self, method: &Method, head: &mut ResponseHeader) {
        let bodyless = has_no_body(method, head.status);
        for half in self.halves.iter_mut().rev().filter(|half| !half.silent) {
            let want = if half.observed { half.filter.head(&mut head.clone()) } else { half.filter.head(head) };
            half.wants_body = want == Want::Chunks && !bodyless;
        }
    }

    /// Whether any half wants the body, after [`Exchange::head`].
    pub fn wants_body(&self) -> bool {
        self.halves.iter().any(|half| half.wants_body && !half.silent)
    }

    /// Whether any half rewrites the request's body.
    pub fn rewrites_upload(&self) -> bool {
        self.halves.iter().any(|half| half.filter.rewrites_upload())
    }

    /// A part of the request's body, through the halves that rewrite it, in their order.
    pub fn upload(&mut self, body: &mut Option<Bytes>, last: bool) -> Flow {
        for half in self.halves.iter_mut().filter(|half| half.filter.rewrites_upload()) {
            if half.observed {
                half.filter.upload(&mut body.clone(), last);
            } else if let abort @ Flow::Abort(_) = half.filter.upload(body, last) {
                return abort;
            }
        }
        Flow::Go
    }

    /// The trailers, through the halves that want the body, in reverse.
    pub fn trailers(&mut self, trailers: &mut Option<HeaderMap>) {
        for half in self.halves.iter_mut().rev().filter(|half| half.wants_body && !half.silent) {
            if half.observed {
                half.filter.trailers(&mut trailers.clone());
            } else {
                half.filter.trailers(trailers);
            }
        }
    }

    /// A part of the body, through the halves that want it, in reverse.
    pub fn body(&mut self, body: &mut Option<Bytes>, last: bool) -> Flow {
        for half in self.halves.iter_mut().rev().filter(|half| half.wants_body && !half.silent) {
            if half.observed {
                half.filter.body(&mut body.clone(), last);
            } else if let abort @ Flow::Abort(_) = half.filter.body(body, last) {
                return abort;
            }
        }
        Flow::Go
    }

    /// No more of the body has come for now: what halves hold back goes through those outside of them, into `body`, in which nothing is yet.
    pub fn pause(&mut self, body: &mut Option<Bytes>) -> Flow {
        for half in self.halves.iter_mut().rev().filter(|half| half.wants_body && !half.silent) {
            let mut held = None;
            if half.observed {
                if body.is_some() {
                    half.filter.body(&mut body.clone(), false);
                }
                half.filter.pause(&mut held);
                continue;
            }
            if body.is_some()
                && let abort @ Flow::Abort(_) = half.filter.body(body, false)
            {
                return abort;
            }
            if let abort @ Flow::Abort(_) = half.filter.pause(&mut held) {
                return abort;
            }
            *body = match (body.take(), held) {
                (Some(first), Some(then)) => Some([first, then].concat().into()),
                (first, then) => first.or(then),
            };
        }
        Flow::Go
    }

    /// What the halves would keep of the answer to a call, which has come whole.
    pub fn keeps(&mut self) -> Vec<Keep> {
        self.halves.iter_mut().filter(|half| !half.silent).filter_map(|half| half.filter.keeps()).collect()
    }

    /// The end. A half that is dropped without it has lost its connection or its thread, and gives back what it holds all the same.
    pub fn done(&mut self, outcome: &Outcome) {
        for half in self.halves.drain(..).rev() {
            half.filter.done(outcome);
        }
    }
}

/// Answers that carry no body, or one that must not be changed: to HEAD, 1xx, 204, 206 and 304 (RFC 9110, section 6.4.1).
fn has_no_body(method: &Method, status: StatusCode) -> bool {
    method == Method::HEAD || status.is_informational() || matches!(status.as_u16(), 204 | 206 | 304)
}

#[cfg(test)]
mod tests;
