//! One answer made of several calls.
//!
//! - `compile` turns what is written into [`Call`]s: templates, conditions, and for each one plan by which its answer is read once, with marks
//!   on all that somebody refers to.
//! - `run` makes the calls of one request, each as soon as all that it refers to has ended, and stops with the first that must not fail.
//! - `results` is what they came to, `find` how references find values in it, `render` what calls with `into` put into others' answers.
//! - `answer` is what the client gets; `failure` where there is none.
//!
//! Nothing of an answer is looked at, or goes on, that was not proved to be one JSON value.

mod answer;
mod compile;
mod failure;
mod find;
mod render;
mod results;
mod run;
mod source;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use frontgate_filters::filter::{BoxFuture, Facts};
use frontgate_filters::json::splice::MemberName;
use frontgate_filters::json::{Document, Plan, Policy};
use frontgate_filters::words::matching::Matcher;
use frontgate_filters::words::selector::Selector;
use http::{HeaderName, HeaderValue, Method};

use super::template::{Json, Target, Words};
use super::{Composed, Composition, Inquiry};
use crate::config::model;
use crate::upstream::Pool;
#[cfg(feature = "graphql")]
pub(in crate::compose) use answer::{X_BFF_COMPLETE, X_BFF_MISSING};
pub(crate) use compile::compile;
#[cfg(feature = "graphql")]
pub(in crate::compose) use compile::varies;
use source::Source;

/// Calls, and what is made of their answers. Compiled once, shared by all requests.
pub(crate) struct Aggregate {
    calls: Box<[Call]>,
    answer: Json<Source>,
    /// How the client's body is read, where something refers to a value in it.
    body: Option<Arc<Plan>>,
    /// Whether it is needed at all.
    reads_body: bool,
    /// Whether a required call's own error is the answer.
    passes_errors: bool,
    /// The most bytes of one answer, and of all of them.
    most_answer: usize,
    most_total: usize,
    /// The most calls of one request.
    most_calls: usize,
    /// All calls, each behind those that need it.
    last_first: Box<[usize]>,
    /// The facts of the request that something refers to.
    facts: Box<[Selector]>,
    /// The request headers that the answer depends on, and whether it depends on something that no header says.
    varies: Varies,
}

/// Names, or other texts.
type Names = Box<[Box<str>]>;

/// On what an answer depends beside its target.
#[derive(Clone, Debug, Default)]
pub(in crate::compose) struct Varies {
    pub(in crate::compose) headers: Option<HeaderValue>,
    pub(in crate::compose) is_private: bool,
}

/// A call, compiled.
struct Call {
    name: Arc<str>,
    pool: Arc<Pool>,
    method: Method,
    target: Target<Source>,
    headers: Box<[(HeaderName, Words<Source>)]>,
    body: Body,
    /// Whether it changes nothing: a GET, or a query to a GraphQL service.
    is_safe: bool,
    /// Whether its upstream is a GraphQL service, of whose answer the data counts.
    asks_service: bool,
    timeout: Option<Duration>,
    expect: model::Expect,
    when: Option<Condition>,
    /// Whether another call, or the same for another value, may ask for the same.
    may_be_repeated: bool,
    /// What stands for its answer where it fails.
    otherwise: Option<Arc<Document>>,
    is_optional: bool,
    each: Option<Each>,
    /// Headers of its answer that the client gets.
    back: Box<[HeaderName]>,
    /// How its answer is read.
    plan: Arc<Plan>,
    /// The part that counts; none is all of it.
    at: Option<At>,
    /// The answer of a status that has none: null, read by the plan.
    null: Arc<Document>,
    /// The calls that it starts after.
    needs: Box<[usize]>,
    /// Those among them whose failure is its own.
    fails_with: Box<[usize]>,
    /// The calls that start after it.
    needed_by: Box<[usize]>,
    /// The calls that put members into its answer.
    gets: Box<[usize]>,
    /// The names that lead to where its answer, or parts of it, are in the whole.
    shown_at: Box<[Names]>,
}

/// The part of an answer that counts.
#[derive(Clone, Copy, Debug)]
struct At {
    mark: u16,
    /// How many elements are picked on the way there: the way through more arrays leads to a list.
    picked: usize,
}

/// What is sent.
enum Body {
    None,
    /// The client's, as it came.
    Client,
    Json(Json<Source>),
}

/// Facts that must hold.
struct Condition {
    facts: Matcher,
    /// Values of other kinds, each with what it may be; none is anything but null.
    values: Box<[(Source, Option<Names>)]>,
}

/// The values that a call is made for.
struct Each {
    /// In the answer of this call, under this mark.
    of: usize,
    mark: u16,
    most: usize,
    concurrency: usize,
    batch: Option<Batch>,
    many: bool,
    into: Option<Into>,
}

/// How the elements of a batch's answer are told apart.
struct Batch {
    size: usize,
    /// Marks in the call's own answer.
    elements: u16,
    by: u16,
    /// Marks what lies on the way to the list of elements where an array makes several of it, even if nothing is found in it.
    way: Option<Arc<Plan>>,
}

/// Where results become members: marks in the answer that `each` goes through.
struct Into {
    /// The names that lead there, the member's own last.
    names: Names,
    name: MemberName,
    objects: u16,
    /// Members of this name that are there already.
    existing: u16,
    /// How many elements are picked on the way from there to the value: a way through more arrays leads to a list.
    picked: usize,
    /// Marks all that lies on that way where an array makes a list, even if nothing is found in it.
    way: Option<Arc<Plan>>,
}

impl Call {
    /// Whether the request fails with it.
    fn is_required(&self) -> bool {
        self.otherwise.is_none() && !self.is_optional
    }
}

impl Aggregate {
    /// Which calls are made for an answer of which this policy lets only some members stay. A call that is not safe is made in any case, as is
    /// one of which nothing was to be in the answer.
    fn needed(&self, policy: Option<&Policy>) -> Box<[bool]> {
        let count = self.calls.len();
        let Some(policy) = policy.filter(|policy| !policy.is_noop()) else { return vec![true; count].into() };
        let goes = |path: &Names| policy.drops(path.iter().map(|name| &**name));
        let is_hidden = |call: &Call| !call.shown_at.is_empty() && call.shown_at.iter().all(goes);
        let mut hidden: Vec<bool> = self.calls.iter().map(is_hidden).collect();
        // What only hidden calls need is as hidden.
        for &index in self.last_first.iter() {
            let call = &self.calls[index];
            let only_for_hidden =
                call.shown_at.is_empty() && !call.needed_by.is_empty() && call.needed_by.iter().all(|&other| hidden[other]);
            hidden[index] |= only_for_hidden;
        }
        let mut made: Vec<bool> = self.calls.iter().zip(&hidden).map(|(call, hidden)| !hidden || !call.is_safe).collect();
        for &index in self.last_first.iter() {
            made[index] |= self.calls[index].needed_by.iter().any(|&other| made[other]);
        }
        made.into()
    }
}

impl Composition for Aggregate {
    fn names(&self) -> Vec<Arc<str>> {
        self.calls.iter().map(|call| call.name.clone()).collect()
    }

    fn reads_body(&self, method: &Method) -> bool {
        // What these have for a body means nothing (RFC 9110, section 9.3.1), and no cache tells requests apart by it.
        self.reads_body && !matches!(*method, Method::GET | Method::HEAD)
    }

    fn most(&self) -> usize {
        self.most_total
    }

    fn refers_to(&self, fact: &Selector) -> bool {
        self.facts.contains(fact)
    }

    fn compose<'a>(&'a self, inquiry: Inquiry<'a>) -> BoxFuture<'a, Composed> {
        Box::pin(async move {
            match run::Run::new(self, &inquiry) {
                Ok(run) => run.finish().await,
                Err(reply) => Composed { reply, missing: Vec::new(), flag: None, saga: None },
            }
        })
    }

    fn unneeded(&self, facts: &Facts) -> Vec<Arc<str>> {
        let needed = self.needed(facts.trims.as_deref());
        self.calls.iter().zip(&*needed).filter(|(_, needed)| !**needed).map(|(call, _)| call.name.clone()).collect()
    }
}
