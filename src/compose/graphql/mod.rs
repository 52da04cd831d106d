//! GraphQL over calls: a schema, and for its fields the calls that answer them.
//!
//! - `schema` reads what is written, `tables` is what is left of it for requests: types, fields, where each comes from.
//! - `plan` turns a document into what is to be done for one of its operations, once; plans are kept.
//! - `page` is GraphiQL, for people who open the graph's address in a browser.
//! - `run` makes the calls of one request level by level, and cuts the answer out of what they are answered.
//!
//! Nothing of an answer is looked at, or goes on, that was not proved to be one JSON value.

mod accept;
mod defaults;
mod documents;
mod federation;
mod input;
mod leaf;
mod one_of;
mod outcome;
pub(crate) mod page;
pub(crate) mod persisted;
mod plan;
mod problem;
mod raw;
pub(crate) mod requests;
mod run;
mod said;
mod schema;
mod source;
mod tables;
#[cfg(test)]
mod tests;
mod told;

use std::sync::Arc;

use apollo_compiler::collections::HashMap;
use apollo_compiler::schema::Implementers;
use apollo_compiler::validation::Valid;
use apollo_compiler::{Name, Schema};
use frontgate_filters::words::cache_control::NO_STORE;
use frontgate_filters::words::selector::Selector;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, VARY};

use self::input::{Input, Members};
use self::plan::{Cache, Fault, Plan, Prepared, Refusal, Variables, Which};
use self::run::Run;
use self::tables::Tables;
use super::aggregate::{Varies, X_BFF_COMPLETE, X_BFF_MISSING, varies};
use super::{Inquiry, Missing};
use crate::config::model;
use crate::router::Pattern;
use crate::upstream::Pool;
pub(crate) use outcome::{Kind, Operation, Outcome, Refused, Request};
pub(crate) use problem::{At, Problem};
pub(crate) use said::{is_own, said};
pub(crate) use schema::schema;
pub(crate) use told::Planned;

/// A schema and the calls for its fields. Compiled once, shared by all requests.
pub(crate) struct Graph {
    sdl: Arc<str>,
    schema: Valid<Schema>,
    implementers: HashMap<Name, Implementers>,
    tables: Tables,
    written: model::Graphql,
    cache: Arc<Cache>,
    varies: Varies,
    most_calls: usize,
    most_errors: usize,
}

impl Graph {
    /// Of a schema and what is configured for it, on a route of this path.
    pub(crate) fn compile(
        written: &model::Graphql,
        sdl: &str,
        path: &Pattern,
        pool: &dyn Fn(&str) -> Result<Arc<Pool>, String>,
    ) -> Result<Self, Vec<Problem>> {
        let schema = schema(sdl, written.subgraph)?;
        let tables = Tables::compile(&schema, written, path, pool)?;
        Ok(Self {
            sdl: sdl.into(),
            implementers: schema.implementers_map(),
            varies: varies(&tables.selectors),
            schema,
            tables,
            written: written.clone(),
            cache: Arc::default(),
            most_calls: written.limits.calls.value as usize,
            most_errors: written.limits.errors.value as usize,
        })
    }

    /// Goes on with the plans of one that was before it, if nothing has changed that they depend on.
    pub(crate) fn keep_plans(&mut self, before: &Self) {
        if self.sdl == before.sdl && self.written == before.written {
            self.cache = before.cache.clone();
        }
    }

    /// The names of all calls: `Type.field`.
    pub(crate) fn names(&self) -> Vec<Arc<str>> {
        self.tables.calls.iter().map(|call| call.name.clone()).collect()
    }

    /// The schema as it is served.
    pub(crate) fn sdl(&self) -> &str {
        &self.sdl
    }

    /// Whether a call or what is hidden depends on this fact of a request.
    pub(crate) fn refers_to(&self, fact: &Selector) -> bool {
        self.tables.selectors.contains(fact)
    }

    /// How many documents are planned, and how many bytes that takes, about.
    #[cfg(test)]
    fn planned(&self) -> (usize, usize) {
        self.cache.told()
    }

    /// Executes a request.
    pub(crate) async fn run(&self, request: Request<'_>, inquiry: &Inquiry<'_>) -> Outcome {
        let (prepared, was_planned) = match self.cache.get(request.document, request.operation) {
            Some(prepared) => (prepared, true),
            None => match Prepared::new(&self.schema, &self.written.limits, request.document, request.operation) {
                Ok(prepared) => (Arc::new(prepared), false),
                Err(refusal) => return self.refused(&request, None, refusal, false),
            },
        };
        let (plan, variables) = match self.plan_for(&request, &prepared) {
            Ok(found) => found,
            Err(refusal) => return self.refused(&request, Some(&prepared), refusal, was_planned),
        };
        let prepared = match was_planned {
            true => prepared,
            false => {
                let kept = Arc::new(prepared.to_be_kept());
                self.cache.put(request.document, request.operation, &kept);
                kept
            }
        };
        let done = Run::new(self, &plan, &prepared, request.document, &variables, inquiry).finish().await;
        self.outcome(&prepared, done, was_planned)
    }

    /// The plan for a request, and its variables.
    fn plan_for(&self, request: &Request<'_>, prepared: &Prepared) -> Result<(Arc<Plan>, Variables), Refusal> {
        let refused = |why: Refused, message: &str| Err((why, vec![Fault { message: message.to_owned(), at: None }]));
        if prepared.kind == Operation::Mutation && !request.may_mutate {
            return refused(Refused::Mutation, "A mutation changes something, and this request may not.");
        }
        if prepared.asks_schema && !request.introspection {
            return refused(Refused::Introspection, "Introspection is off here: the schema is not told.");
        }
        let given = match request.variables.filter(|_| !prepared.operation.variables.is_empty()).map(Input::read) {
            None | Some(Some(Input::Null)) => Members::default(),
            Some(Some(Input::Object(given))) => given,
            Some(_) => return refused(Refused::Variables, "Variables are a JSON object, which does not nest too deep."),
        };
        let variables = plan::coerce(&self.schema, &prepared.operation, given).map_err(|fault| (Refused::Variables, vec![fault]))?;
        let profile = request.profile.and_then(|profile| self.tables.profiles.iter().position(|known| *known.name == *profile));
        let which = Which { profile, holding: prepared.holding(&variables) };
        let plan = match prepared.plan(which) {
            Some(plan) => plan,
            None => {
                let (limits, again) = (&self.written.limits, prepared.document.is_none());
                // Another client's profile, or other values of the variables that say whether fields are there.
                let read = again.then(|| Prepared::new(&self.schema, limits, request.document, request.operation)).transpose()?;
                let plan = Arc::new(plan::compile(&self.schema, &self.tables, limits, read.as_ref().unwrap_or(prepared), which)?);
                prepared.keep(which, &plan);
                plan
            }
        };
        let cost = plan.cost.or_else(|| plan.cost(Some(&variables))).unwrap_or(u64::MAX);
        let most = self.written.limits.cost.value;
        if cost > u64::from(most) {
            return refused(Refused::Limit, &format!("The operation costs {cost}, more than {most}."));
        }
        Ok((plan, variables))
    }

    fn refused(&self, request: &Request<'_>, prepared: Option<&Prepared>, (why, faults): Refusal, was_planned: bool) -> Outcome {
        Outcome {
            body: run::refusal(request.document, why, &faults, self.most_errors).into(),
            kind: Kind::Refused(why),
            operation: prepared.map(|prepared| prepared.kind),
            name: prepared.and_then(|prepared| prepared.name.clone()),
            errors: faults.len().max(1),
            missing: Vec::new(),
            headers: vec![(CACHE_CONTROL, NO_STORE)],
            was_planned,
        }
    }

    fn outcome(&self, prepared: &Prepared, done: run::Done, was_planned: bool) -> Outcome {
        let missing = done.missing.into_iter().map(|(call, cause)| Missing { name: self.tables.calls[call].name.clone(), cause });
        let mut missing: Vec<Missing> = missing.collect();
        let mut headers = Vec::with_capacity(3);
        let is_complete = missing.is_empty() && done.errors == 0;
        headers.push((X_BFF_COMPLETE, HeaderValue::from_static(if is_complete { "true" } else { "false" })));
        if !missing.is_empty() {
            let names = missing.iter().map(|missing| &*missing.name).collect::<Vec<_>>().join(", ");
            headers.extend(HeaderValue::from_str(&names).ok().map(|names| (X_BFF_MISSING, names)));
        }
        missing.extend(done.odd);
        match done.caching.header(self.varies.is_private) {
            Some(kept) if is_complete && prepared.kind == Operation::Query => {
                headers.push((CACHE_CONTROL, kept));
                headers.extend(self.varies.headers.clone().map(|varies| (VARY, varies)));
            }
            None if is_complete => {}
            _ => headers.push((CACHE_CONTROL, NO_STORE)),
        }
        let (body, errors) = match done.held.keeping(done.body.into()) {
            Some(body) => (body, done.errors),
            None => {
                let words = "There is no memory left for this answer.";
                (
                    format!("{{\"errors\":[{{\"message\":\"{words}\",\"extensions\":{{\"code\":\"LIMIT_EXCEEDED\"}}}}],\"data\":null}}")
                        .into(),
                    1,
                )
            }
        };
        Outcome {
            body,
            kind: Kind::Data,
            operation: Some(prepared.kind),
            name: prepared.name.clone(),
            errors,
            missing,
            headers,
            was_planned,
        }
    }
}

/// Line and column of a byte of a text, both from 1 on.
fn place_in(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}
