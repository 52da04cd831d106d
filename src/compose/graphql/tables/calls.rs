//! The calls of fields, compiled.

use std::sync::Arc;
use std::time::Duration;

use apollo_compiler::ast::FieldDefinition;
use bytes::Bytes;
use frontgate_filters::json::path::Segment;
use frontgate_filters::json::place::Step;
use frontgate_filters::words::matching::{Fact, Match, Matcher};
use frontgate_filters::words::selector::Selector;
use http::header::ACCEPT;
use http::{HeaderName, Method};

use super::super::source::{Source, Steps};
use crate::compose::reference::{Origin, Reference, Scope, Wrong};
use crate::compose::service;
use crate::compose::template::{Json, Target, Words};
use crate::config::model;
use crate::router::Pattern;
use crate::upstream::Pool;

/// Names that stand for a field's arguments and for the object that it belongs to.
const SCOPE: [&str; 2] = ["args", "parent"];

/// A call that answers a field.
pub(in super::super) struct Call {
    /// `Type.field`.
    pub(in super::super) name: Arc<str>,
    pub(in super::super) pool: Arc<Pool>,
    pub(in super::super) method: Method,
    pub(in super::super) target: Target<Source>,
    pub(in super::super) headers: Box<[(HeaderName, Words<Source>)]>,
    pub(in super::super) body: Option<Json<Source>>,
    /// Whether it changes nothing: a GET, or a query to a GraphQL service.
    pub(in super::super) is_safe: bool,
    /// Whether its upstream is a GraphQL service, of whose answer the data counts.
    pub(in super::super) asks_service: bool,
    pub(in super::super) timeout: Option<Duration>,
    pub(in super::super) expect: model::Expect,
    pub(in super::super) when: Option<Matcher>,
    /// What stands in for its answer where it fails: JSON.
    pub(in super::super) otherwise: Option<Bytes>,
    /// The part of an answer that counts.
    pub(in super::super) at: Steps,
    pub(in super::super) each: Option<Each>,
    /// As it is written, for people.
    pub(in super::super) written: Box<str>,
}

/// The values that a call is made for.
pub(in super::super) struct Each {
    pub(in super::super) of: Of,
    /// The most that one object may have.
    pub(in super::super) most: usize,
    pub(in super::super) concurrency: usize,
    /// How many are asked for at once, and where an element of the answer says which one it is for.
    pub(in super::super) batch: Option<(usize, Steps)>,
    pub(in super::super) many: bool,
}

/// Where values lie.
#[derive(Clone, Debug)]
pub(in super::super) enum Of {
    Arguments(Steps),
    Parent(Steps),
}

/// Compiles the call of the field of this name.
pub(super) fn compile(
    name: &str,
    call: &model::Call,
    definition: &FieldDefinition,
    is_root: bool,
    path: &Pattern,
    pool: &dyn Fn(&str) -> Result<Arc<Pool>, String>,
    selectors: &mut Vec<Selector>,
) -> Result<Call, String> {
    let said = |wrong: Wrong| wrong.to_string();
    let Some((verb, written)) = call.request() else { return Err("it is one of get, post, put, patch and delete".to_owned()) };
    let has_each = call.each.is_some();
    let mut source = |reference: &Reference| -> Result<Source, Wrong> {
        let scope = Scope { path, calls: &SCOPE, each: has_each, saga: false };
        let wrong = |message: String| Err(Wrong { at: reference.range.start, message });
        Ok(match scope.resolve(reference)? {
            Origin::Variable(variable) => Source::Variable(variable),
            Origin::Selector(selector) => {
                selectors.push(selector.clone());
                Source::Selector(selector)
            }
            Origin::Query => Source::Query,
            Origin::Call(0, place) => {
                if let Some(Step::Segment(Segment::Name(argument))) = place.steps().first()
                    && definition.argument_by_name(argument).is_none()
                {
                    return wrong(format!("the field has no argument `{argument}`"));
                }
                Source::Arguments(place.steps().into())
            }
            Origin::Call(..) if is_root => return wrong("what a request begins with has no parent".to_owned()),
            Origin::Call(..) if has_each => {
                return wrong("a call for each value is one for several objects: refer to `{each}`, not to a parent".to_owned());
            }
            Origin::Call(_, place) => Source::Parent(place.steps().into()),
            Origin::Each => Source::Each,
            Origin::Body(_) => return wrong("the client's body is the GraphQL request: refer to `{args}`".to_owned()),
            Origin::Saga | Origin::Key(_) => return wrong("here is no saga".to_owned()),
        })
    };
    let target = Target::compile(written, &mut source).map_err(said)?;
    let headers = call.headers.iter().map(|(name, text)| {
        let words = Words::compile(text, &mut source).map_err(said)?;
        Ok((HeaderName::from_bytes(name.as_bytes()).map_err(|error| error.to_string())?, words))
    });
    let mut headers = headers.collect::<Result<Vec<_>, String>>()?;
    let sent = service::sent(call, &mut source)?;
    let asks_service = sent.is_some();
    let is_safe = sent.as_ref().map_or(verb == model::Verb::Get, |sent| !sent.changes);
    if asks_service && headers.iter().all(|(name, _)| *name != ACCEPT) {
        headers.push((ACCEPT, Words::compile(service::ACCEPTS, &mut source).map_err(said)?));
    }
    let body = match (sent, &call.body) {
        (Some(sent), _) => Some(sent.body),
        (None, Some(body)) => {
            let value = serde_json::to_value(&body.value).map_err(|error| error.to_string())?;
            Some(Json::compile(&value, &mut source).map_err(said)?)
        }
        (None, None) => None,
    };
    let when = call.when.as_ref().map(|when| {
        let facts = when.facts.iter().map(|fact| match source(&Reference::bare(&fact.of).map_err(said)?).map_err(said)? {
            Source::Selector(selector) => Ok(Fact { selector, wanted: fact.wanted.clone() }),
            _ => Err(format!("`{}` is no fact of the request", fact.of)),
        });
        facts.collect::<Result<Vec<_>, String>>().map(|facts| Match { facts }.compile())
    });
    let each = call.each.as_ref().map(|each| {
        let steps: Steps = each.at.steps().into();
        let of = match each.call.as_str() {
            "args" => Of::Arguments(steps),
            "parent" if !is_root => Of::Parent(steps),
            _ => return Err("`each` is a place in `args` or in `parent`".to_owned()),
        };
        let batch = match (&call.batch, &call.by) {
            (Some(size), Some(by)) => Some((size.value.max(1) as usize, by.0.steps().into())),
            (None, _) => None,
            (Some(_), None) => return Err("`batch` needs `by`".to_owned()),
        };
        Ok(Each { of, most: call.most() as usize, concurrency: call.concurrency().max(1) as usize, batch, many: call.is_many() })
    });
    Ok(Call {
        name: name.into(),
        pool: pool(&call.upstream)?,
        method: verb.method(),
        target,
        headers: headers.into(),
        body,
        is_safe,
        asks_service,
        timeout: call.timeout.as_ref().map(|timeout| timeout.value.0),
        expect: call.expect.clone(),
        when: when.transpose()?,
        otherwise: call.otherwise.as_ref().map(|value| value.value.to_string().into()),
        at: call.at.as_ref().map_or_else(Steps::default, |at| at.0.steps().into()),
        each: each.transpose()?,
        written: match service::named(call) {
            Some(operation) => format!("{} {} {} ({operation})", verb.method(), call.upstream.value, written.value).into(),
            None => format!("{} {} {}", verb.method(), call.upstream.value, written.value).into(),
        },
    })
}
