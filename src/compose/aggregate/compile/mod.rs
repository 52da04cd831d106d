//! From what is written to what requests meet. All that could be wrong was told by the check; what is said here names no place.

mod marks;
mod names;

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use frontgate_filters::json::place::Step;
use frontgate_filters::json::splice::MemberName;
use frontgate_filters::json::{Document, Path, Place, Plan, path::Segment};
use frontgate_filters::words::matching::{Fact, Match, Wanted};
use frontgate_filters::words::selector::Selector;
use frontgate_filters::words::spanned::Spanned;
use http::header::ACCEPT;
use http::{HeaderName, HeaderValue};

use self::marks::Marks;
use self::names::Renames;
use super::source::Source;
use super::{Aggregate, Batch, Body, Call, Condition, Each, Into, Names, Varies};
use crate::compose::reference::{Origin, Reference, Scope, Wrong};
use crate::compose::service;
use crate::compose::stages::stages;
use crate::compose::template::{Json, Stands, Target, Words};
use crate::compose::values;
use crate::config::model;
use crate::router::Pattern;
use crate::upstream::Pool;

/// Compiles a checked aggregate of the route with this path.
pub(crate) fn compile(
    written: &model::Aggregate,
    path: &Pattern,
    pool: &dyn Fn(&str) -> Result<Arc<Pool>, String>,
) -> Result<Aggregate, String> {
    let names: Vec<&str> = written.calls().map(|(name, _)| name).collect();
    let marks = written.calls().map(|(name, call)| marks(call).map_err(|error| format!("`{name}`: {error}"))).collect::<Result<_, _>>()?;
    let mut compiler = Compiler { path, names: &names, marks, body: Marks::default(), selectors: Vec::new(), refers_to_body: false };
    let drafts = written.calls().enumerate().map(|(index, (name, call))| {
        let pool = pool(&call.upstream)?;
        compiler.call(index, name, call, pool).map_err(|error| format!("`{name}`: {error}"))
    });
    let drafts = drafts.collect::<Result<Vec<_>, _>>()?;
    let value = match &written.answer {
        Some(answer) => serde_json::to_value(&answer.value).map_err(|error| error.to_string())?,
        None => usual_answer(written),
    };
    let answer = compiler.json(&value, false).map_err(|error| format!("`answer`: {error}"))?;
    let marks = std::mem::take(&mut compiler.marks);
    let mut calls = drafts
        .into_iter()
        .zip(&marks)
        .zip(written.calls())
        .map(|((draft, marks), (name, call))| finish(draft, marks, call).map_err(|error| format!("`{name}`: {error}")))
        .collect::<Result<Vec<_>, _>>()?;
    let needs: Vec<Vec<usize>> = calls.iter().map(|call| call.needs.to_vec()).collect();
    let stages = stages(&needs).map_err(|_| "calls need each other in a ring".to_owned())?;
    let mut last_first: Vec<usize> = (0..calls.len()).collect();
    last_first.sort_by_key(|&call| std::cmp::Reverse(stages[call]));
    for index in 0..calls.len() {
        let gets = |other: &Call| other.each.as_ref().is_some_and(|each| each.of == index && each.into.is_some());
        calls[index].needed_by = (0..calls.len()).filter(|&other| needs[other].contains(&index)).collect();
        calls[index].may_be_repeated = calls[index].is_safe && {
            let one = &calls[index];
            let alike = |other: &Call| other.is_safe && Arc::ptr_eq(&one.pool, &other.pool) && one.target.may_be_like(&other.target);
            one.each.is_some() || calls.iter().enumerate().any(|(other, call)| other != index && alike(call))
        };
        calls[index].gets = (0..calls.len()).filter(|&other| gets(&calls[other])).collect();
    }
    let places = shown(&answer, &calls, &last_first);
    calls.iter_mut().zip(places).for_each(|(call, at)| call.shown_at = at);
    let body = compiler.refers_to_body.then(|| compiler.body.plan(None, None)).transpose()?;
    Ok(Aggregate {
        reads_body: body.is_some() || calls.iter().any(|call| matches!(call.body, Body::Client)),
        body,
        calls: calls.into(),
        answer,
        passes_errors: written.errors == model::Errors::Pass,
        most_answer: usize::try_from(written.limits.answer.value.0).unwrap_or(usize::MAX),
        most_total: usize::try_from(written.limits.total.value.0).unwrap_or(usize::MAX),
        most_calls: written.limits.calls.value as usize,
        last_first: last_first.into(),
        varies: varies(&compiler.selectors),
        facts: compiler.selectors.into(),
    })
}

/// A member a call, but for those that become members of others.
fn usual_answer(written: &model::Aggregate) -> serde_json::Value {
    let shown = written.calls().filter(|(_, call)| call.into.is_none());
    serde_json::Value::Object(shown.map(|(name, _)| (name.to_owned(), format!("{{{name}}}").into())).collect())
}

/// The marks on the answer of a call, before anybody refers to it.
fn marks(call: &model::Call) -> Result<Marks, String> {
    let renames = call.rename.iter().flat_map(|renames| renames.iter());
    let renames = renames.map(|(path, name)| Ok((path.parse::<Path>().map_err(|error| error.to_string())?, name.value.clone())));
    let at = call.at.as_ref().map_or(Place::WHOLE, |at| at.0.clone());
    Marks::new(at, Renames::new(renames.collect::<Result<_, String>>()?))
}

struct Compiler<'c> {
    path: &'c Pattern,
    names: &'c [&'c str],
    marks: Vec<Marks>,
    body: Marks,
    selectors: Vec<Selector>,
    /// Whether something refers to the client's body.
    refers_to_body: bool,
}

/// A call whose marks are not all there.
struct Draft {
    name: Arc<str>,
    pool: Arc<Pool>,
    target: Target<Source>,
    headers: Vec<(HeaderName, Words<Source>)>,
    body: Body,
    is_safe: bool,
    asks_service: bool,
    when: Option<Condition>,
    each: Option<Each>,
    needs: BTreeSet<usize>,
    fails_with: BTreeSet<usize>,
}

impl Compiler<'_> {
    /// What a reference became.
    fn source(&mut self, reference: &Reference, each: bool) -> Result<Source, Wrong> {
        let scope = Scope { path: self.path, calls: self.names, each, saga: false };
        let said = |message: String| Wrong { at: reference.range.start, message };
        Ok(match scope.resolve(reference)? {
            Origin::Variable(variable) => Source::Variable(variable),
            Origin::Selector(selector) => {
                self.selectors.push(selector.clone());
                Source::Selector(selector)
            }
            Origin::Query => Source::Query,
            Origin::Body(place) => {
                self.refers_to_body = true;
                Source::Body(self.body.spot(&place).map_err(said)?)
            }
            Origin::Call(call, place) => Source::Call(call, self.marks[call].spot(&place).map_err(said)?),
            Origin::Each => Source::Each,
            Origin::Saga | Origin::Key(_) => return Err(said("here is no saga".to_owned())),
        })
    }

    fn json(&mut self, value: &serde_json::Value, each: bool) -> Result<Json<Source>, String> {
        Json::compile(value, &mut |reference| self.source(reference, each)).map_err(|wrong| wrong.to_string())
    }

    fn call(&mut self, index: usize, name: &str, call: &model::Call, pool: Arc<Pool>) -> Result<Draft, String> {
        let said = |wrong: Wrong| wrong.to_string();
        let Some((verb, target)) = call.request() else { return Err("it is one of get, post, put, patch and delete".to_owned()) };
        let each = call.each.is_some();
        let target = Target::compile(target, &mut |reference| self.source(reference, each)).map_err(said)?;
        let headers = call.headers.iter().map(|(name, text)| {
            let words = Words::compile(text, &mut |reference| self.source(reference, each)).map_err(said)?;
            Ok((HeaderName::from_bytes(name.as_bytes()).map_err(|error| error.to_string())?, words))
        });
        let mut headers = headers.collect::<Result<Vec<_>, String>>()?;
        let sent = service::sent(call, &mut |reference| self.source(reference, each))?;
        let asks_service = sent.is_some();
        let is_safe = sent.as_ref().map_or(verb == model::Verb::Get, |sent| !sent.changes);
        if asks_service && headers.iter().all(|(name, _)| *name != ACCEPT) {
            headers.push((ACCEPT, Words::compile(service::ACCEPTS, &mut |reference| self.source(reference, each)).map_err(said)?));
        }
        let body = match (sent, &call.body) {
            (Some(sent), _) => Body::Json(sent.body),
            (None, Some(body)) => Body::Json(self.json(&serde_json::to_value(&body.value).map_err(|error| error.to_string())?, each)?),
            (None, None) if verb.sends_a_body() => Body::Client,
            (None, None) => Body::None,
        };
        let mut fails_with = BTreeSet::new();
        let mut refers = |source: &Source| fails_with.extend(source.call());
        target.sources(&mut refers);
        headers.iter().for_each(|(_, words)| words.sources(&mut refers));
        if let Body::Json(json) = &body {
            json.sources(&mut refers);
        }
        let when = call.when.as_ref().map(|when| self.condition(when)).transpose()?;
        let each = self.each(index, call)?;
        fails_with.extend(each.as_ref().map(|each| each.of));
        let mut needs = fails_with.clone();
        needs.extend(when.iter().flat_map(|when| &when.values).filter_map(|(source, _)| source.call()));
        Ok(Draft { name: name.into(), pool, target, headers, body, is_safe, asks_service, when, each, needs, fails_with })
    }

    fn condition(&mut self, when: &model::When) -> Result<Condition, String> {
        let (mut facts, mut values) = (Vec::new(), Vec::new());
        for fact in &when.facts {
            let reference = Reference::bare(&fact.of).map_err(|wrong| wrong.to_string())?;
            match self.source(&reference, false).map_err(|wrong| wrong.to_string())? {
                Source::Selector(selector) => facts.push(Fact { selector, wanted: fact.wanted.clone() }),
                source => {
                    let wanted = match &fact.wanted.value {
                        Wanted::Any => None,
                        Wanted::OneOf(texts) => Some(texts.iter().map(|text| text.as_str().into()).collect()),
                    };
                    values.push((source, wanted));
                }
            }
        }
        Ok(Condition { facts: Match { facts }.compile(), values: values.into() })
    }

    fn each(&mut self, index: usize, call: &model::Call) -> Result<Option<Each>, String> {
        let Some(each) = &call.each else { return Ok(None) };
        let of = |name: &str| self.names.iter().position(|known| *known == name).ok_or_else(|| format!("there is no call `{name}`"));
        let (of, into_of) = (of(&each.call)?, call.into.as_ref().map(|into| of(&into.call)).transpose()?);
        let mark = self.marks[of].add(&each.at, true)?;
        let into = match (&call.into, into_of) {
            (Some(into), Some(target)) if target == of => {
                let Some((Step::Segment(Segment::Name(name)), objects)) = into.at.steps().split_last() else {
                    return Err("`into` names no member".to_owned());
                };
                if each.at.steps().len() <= objects.len() || each.at.steps()[..objects.len()] != *objects {
                    return Err("`into` lies where `each` does not go".to_owned());
                }
                let behind = Place::of(each.at.steps()[objects.len()..].iter().cloned());
                let (picked, way) = (behind.picked(), marks::way(&behind, true)?);
                let objects = self.marks[of].add(&Place::of(objects.iter().cloned()), true)?;
                let existing = self.marks[of].add(&into.at, false)?;
                Some(Into { names: marks::names(&into.at), name: MemberName::new(name), objects, existing, picked, way })
            }
            (Some(_), _) => return Err("`into` lies in another call than `each`".to_owned()),
            (None, _) => None,
        };
        let batch = match (&call.batch, &call.by) {
            (Some(size), Some(by)) => {
                let elements = self.marks[index].add(&Place::WHOLE, true)?;
                let way = call.at.as_ref().map(|at| marks::way(&at.0, false)).transpose()?.flatten();
                Some(Batch { size: size.value.max(1) as usize, elements, by: self.marks[index].add(&by.0, false)?, way })
            }
            (None, _) => None,
            (Some(_), None) => return Err("`batch` needs `by`".to_owned()),
        };
        let (most, concurrency) = (call.most() as usize, call.concurrency().max(1) as usize);
        Ok(Some(Each { of, mark, most, concurrency, batch, many: call.is_many(), into }))
    }
}

/// The call, once all marks on its answer are there.
fn finish(draft: Draft, marks: &Marks, call: &model::Call) -> Result<Call, String> {
    let paths = |paths: &Spanned<Vec<Spanned<model::JsonPath>>>| paths.iter().map(|path| path.value.0.clone()).collect::<Vec<Path>>();
    let (keep, drop) = (call.keep.as_ref().map(paths), call.drop.as_ref().map(paths));
    let plan = marks.plan(keep.as_deref(), drop.as_deref())?;
    let read = |plan: &Arc<Plan>, text: String| -> Result<Arc<Document>, String> {
        values::read(plan, Bytes::from(text)).map(Arc::new).ok_or_else(|| "its JSON is nested too deep".to_owned())
    };
    let otherwise = match &call.otherwise {
        Some(value) => Some(read(&marks.plain_plan()?, value.value.to_string())?),
        None => None,
    };
    let back = call.back.iter().flat_map(|names| &names.value);
    let back = back.map(|name| HeaderName::from_bytes(name.as_bytes()).map_err(|error| error.to_string()));
    Ok(Call {
        method: call.request().map(|(verb, _)| verb.method()).unwrap_or_default(),
        timeout: call.timeout.as_ref().map(|timeout| timeout.value.0),
        expect: call.expect.clone(),
        is_optional: call.is_optional(),
        null: read(&plan, "null".to_owned())?,
        back: back.collect::<Result<_, _>>()?,
        name: draft.name,
        pool: draft.pool,
        target: draft.target,
        headers: draft.headers.into(),
        body: draft.body,
        is_safe: draft.is_safe,
        asks_service: draft.asks_service,
        when: draft.when,
        otherwise,
        each: draft.each,
        plan,
        at: marks.at(),
        needs: draft.needs.into_iter().collect(),
        fails_with: draft.fails_with.into_iter().collect(),
        may_be_repeated: false,
        needed_by: Box::default(),
        gets: Box::default(),
        shown_at: Box::default(),
    })
}

/// For each call, the names that lead to where its answer, or parts of it, are in the whole: by itself, and within what it is put into.
fn shown(answer: &Json<Source>, calls: &[Call], last_first: &[usize]) -> Vec<Box<[Names]>> {
    // Where each is, with the names of which part of it that is. What is within a text has no members.
    let mut places: Vec<Vec<(Names, Option<Names>)>> = calls.iter().map(|_| Vec::new()).collect();
    answer.places(&mut |path, stands, source| {
        if let Source::Call(call, spot) = source {
            let part = (stands == Stands::Whole).then(|| spot.names.clone());
            places[*call].push((path.into(), part));
        }
    });
    for &index in last_first.iter().rev() {
        let Some((each, into)) = calls[index].each.as_ref().and_then(|each| Some((each, each.into.as_ref()?))) else { continue };
        let within = places[each.of].iter().filter_map(|(path, part)| {
            let behind = into.names.strip_prefix(&**part.as_ref()?)?;
            Some((path.iter().chain(behind).cloned().collect(), Some(Names::default())))
        });
        let within: Vec<_> = within.collect();
        places[index].extend(within);
    }
    places.into_iter().map(|places| places.into_iter().map(|(path, _)| path).collect()).collect()
}

/// The headers that these facts are read from. The client's address and certificate are in none.
pub(in crate::compose) fn varies(selectors: &[Selector]) -> Varies {
    let mut names: Vec<String> = Vec::new();
    let mut add = |name: &str| {
        if !name.is_empty() && !names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            names.push(name.to_owned());
        }
    };
    for selector in selectors {
        selector.varies_by().split(", ").for_each(&mut add);
        if let Selector::Header(name) = selector {
            add(name.as_str());
        }
    }
    let is_private = selectors.iter().any(|selector| {
        selector.is_of_certificate()
            || matches!(selector, Selector::ClientIp | Selector::Claim(_) | Selector::Version | Selector::TlsSni | Selector::TlsVersion)
    });
    Varies { headers: HeaderValue::from_str(&names.join(", ")).ok().filter(|value| !value.is_empty()), is_private }
}
