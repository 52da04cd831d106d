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
mod caching;
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
use http::{HeaderName, HeaderValue, Method};

use super::template::{Json, Target, Words};
use super::{Composed, Composition, Inquiry};
use crate::config::model;
use crate::upstream::Pool;
pub(crate) use compile::compile;
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
    /// The request headers that the answer depends on, and whether it depends on something that no header says.
    varies: Varies,
}

/// On what an answer depends beside its target.
#[derive(Clone, Debug, Default)]
struct Varies {
    headers: Option<HeaderValue>,
    is_private: bool,
}

/// A call, compiled.
struct Call {
    name: Arc<str>,
    pool: Arc<Pool>,
    method: Method,
    target: Target<Source>,
    headers: Box<[(HeaderName, Words<Source>)]>,
    body: Body,
    timeout: Option<Duration>,
    expect: model::Expect,
    when: Option<Condition>,
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
    values: Box<[(Source, Option<Box<[Box<str>]>>)]>,
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
}

/// Where results become members: marks in the answer that `each` goes through.
struct Into {
    name: MemberName,
    objects: u16,
    /// Members of this name that are there already.
    existing: u16,
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
        let Some(policy) = policy.filter(|policy| !policy.is_noop() && self.answer.is_object()) else { return vec![true; count].into() };
        let (mut shown, mut hidden) = (vec![false; count], vec![false; count]);
        self.answer.members(&mut |name, sources| {
            let of = if name.is_some_and(|name| policy.drops(name)) { &mut hidden } else { &mut shown };
            sources(&mut |source: &Source| {
                if let Some(call) = source.call() {
                    of[call] = true;
                }
            });
        });
        // What puts members into an answer is where that is, and what only hidden calls need is as hidden.
        to_the_end(|| {
            let mut changed = false;
            for (index, call) in self.calls.iter().enumerate() {
                if let Some(of) = call.each.as_ref().filter(|each| each.into.is_some()).map(|each| each.of) {
                    changed |= spread(&mut shown, of, index) | spread(&mut hidden, of, index);
                }
                for &need in &call.needs {
                    changed |= spread(&mut hidden, index, need);
                }
            }
            changed
        });
        let made = |(index, call): (usize, &Call)| shown[index] || !hidden[index] || call.method != Method::GET;
        let mut made: Vec<bool> = self.calls.iter().enumerate().map(made).collect();
        to_the_end(|| {
            let mut changed = false;
            for (index, call) in self.calls.iter().enumerate() {
                for &need in &call.needs {
                    changed |= spread(&mut made, index, need);
                }
            }
            changed
        });
        made.into()
    }
}

/// Does it again for as long as it changes something.
fn to_the_end(mut once: impl FnMut() -> bool) {
    while once() {}
}

/// What holds of one holds of another, too; whether it did not before.
fn spread(flags: &mut [bool], from: usize, to: usize) -> bool {
    let changed = flags[from] && !flags[to];
    flags[to] |= changed;
    changed
}

impl Composition for Aggregate {
    fn names(&self) -> Vec<Arc<str>> {
        self.calls.iter().map(|call| call.name.clone()).collect()
    }

    fn reads_body(&self, _: &Method) -> bool {
        self.reads_body
    }

    fn most(&self) -> usize {
        self.most_total
    }

    fn compose<'a>(&'a self, inquiry: Inquiry<'a>) -> BoxFuture<'a, Composed> {
        Box::pin(async move {
            match run::Run::new(self, &inquiry) {
                Ok(run) => run.to_the_end().await,
                Err(reply) => Composed { reply, missing: Vec::new(), saga: None },
            }
        })
    }

    fn unneeded(&self, facts: &Facts) -> Vec<Arc<str>> {
        let needed = self.needed(facts.trims.as_deref());
        self.calls.iter().zip(&*needed).filter(|(_, needed)| !**needed).map(|(call, _)| call.name.clone()).collect()
    }
}
