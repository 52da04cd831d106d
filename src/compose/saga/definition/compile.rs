//! A definition is made of what is written: each reference becomes a fact of the request, a part of an answer, or a key.

use std::sync::Arc;

use frontgate_filters::json::{Mark, Place, Plan, Policy};
use http::header::HeaderName;

use super::{Definition, Parts, Request, RequestBody, Source, Step, Text, elements};
use crate::compose::reference::{Origin, Reference, Scope, Wrong};
use crate::compose::saga::machine::{self, MOST_STEPS, Shape};
use crate::compose::saga::record::Hash;
use crate::compose::template::{Json, Target, Words};
use crate::config::model;
use crate::router::Pattern;

/// The definition of a checked saga that is written so, which is this text.
pub(super) fn compile(text: String, written: &Text) -> Result<Definition, String> {
    let (saga, apart) = (&written.saga, &written.apart);
    let pattern = Pattern::parse(&written.path)?;
    let names: Vec<&str> = saga.steps().map(|(name, _)| name).collect();
    if names.is_empty() || names.len() > MOST_STEPS {
        return Err(format!("a saga has at least one step and at most {MOST_STEPS}"));
    }
    let mut compiler = Compiler { path: &pattern, names: &names, facts: Vec::new(), parts: vec![Vec::new(); names.len()] };
    let (mut calls, mut shape) = (Vec::new(), Vec::new());
    for (index, (name, step)) in saga.steps().enumerate() {
        let told = |wrong: String| format!("step `{name}`: {wrong}");
        // A step knows those before it and its own key; an undo its own answer, too.
        let apart_of = |call: &str| apart.iter().filter(|apart| apart.call == call).map(|apart| &*apart.header).collect::<Vec<_>>();
        let sends_body = step.call.request().is_some_and(|(verb, _)| verb.sends_a_body());
        let call = compiler.request(&step.call, &apart_of(name), index, index + 1, sends_body);
        let call = call.map_err(told)?;
        let before = compiler.parts[index].len();
        let apart = apart_of(&model::SagaStep::undo_name(name));
        let undo = step.undo_call().map(|undo| compiler.request(undo, &apart, index + 1, index + 1, false)).transpose().map_err(told)?;
        // Steps before cannot name it, so that whatever is named of it by now is named by its undo.
        let needs_answer = compiler.parts[index].len() > before;
        let undo_shape = match (&step.undo, &undo) {
            (None, _) => machine::Undo::Never,
            (Some(_), Some(_)) => machine::Undo::Call { needs_answer },
            (Some(_), None) => machine::Undo::Nothing,
        };
        if undo_shape == machine::Undo::Never && index + 1 < names.len() {
            return Err(told("only the last step may have no undo".to_owned()));
        }
        shape.push(machine::Step { attempts: step.attempts(), undo: undo_shape });
        calls.push((call, undo, step));
    }
    let answer = match &saga.answer {
        Some(answer) => serde_json::to_value(&answer.value).map_err(|error| error.to_string())?,
        None => names.iter().map(|name| ((*name).to_owned(), format!("{{{name}}}").into())).collect::<serde_json::Map<_, _>>().into(),
    };
    let answer = Json::compile(&answer, &mut |reference| compiler.resolve(reference, names.len(), names.len()))
        .map_err(|wrong| format!("the answer: {wrong}"))?;
    let Compiler { facts, parts, .. } = compiler;
    let sends_body = calls.iter().any(|(call, ..)| matches!(call.body, RequestBody::Client));
    let steps = calls.into_iter().zip(parts).zip(&names).map(|(((call, undo, step), parts), name)| {
        let (plan, parts) = marked(step.call.at.as_ref().map(|at| &at.value.0), &parts)?;
        Ok(Step {
            name: (*name).into(),
            undo_name: model::SagaStep::undo_name(name).into(),
            call,
            undo,
            expect: step.call.expect.clone(),
            plan,
            parts,
        })
    });
    Ok(Definition {
        hash: Hash::of(&[text.as_bytes()]),
        text,
        shape: Shape { steps: shape },
        wait: saga.wait.0,
        deadline: saga.deadline.0,
        give_up: saga.give_up.0,
        keep: saga.keep.0,
        key: saga.key.0.iter().map(|selector| selector.value.clone()).collect(),
        generates_keys: saga.on_missing_key == model::OnMissingKey::Generate,
        reads_body: facts.iter().any(|(_, origin)| matches!(origin, Origin::Body(_))),
        facts,
        sends_body,
        steps: steps.collect::<Result<_, String>>()?,
        answer,
    })
}

/// What reads parts of an answer, each in this place of it.
fn marked(at: Option<&Place>, parts: &[Place]) -> Result<(Arc<Plan>, Parts), String> {
    let (mut marks, mut names) = (Vec::new(), Vec::new());
    for (number, place) in (0_u16..).zip(parts) {
        let whole = match at {
            None => place.clone(),
            Some(at) if place.steps().is_empty() => at.clone(),
            Some(at) => format!("{at}.{place}").parse().map_err(|error: frontgate_filters::json::PathError| error.message)?,
        };
        names.push((place.to_string(), elements(&whole)));
        marks.push(Mark { number, place: whole, each: false });
    }
    let all = Policy::drop(&[]).map_err(|error| error.to_string())?;
    Ok((Arc::new(Plan::new(&all, &[], &marks).map_err(|error| error.to_string())?), names))
}

/// What was compiled so far.
struct Compiler<'c> {
    path: &'c Pattern,
    names: &'c [&'c str],
    facts: Vec<(String, Origin)>,
    /// By step, what is referred to of its answer.
    parts: Vec<Vec<Place>>,
}

impl Compiler<'_> {
    /// What a reference stands for, where the answers of so many steps and the keys of so many are known.
    fn resolve(&mut self, reference: &Reference, answers: usize, keys: usize) -> Result<Source, Wrong> {
        let scope = Scope { path: self.path, calls: &self.names[..keys], each: false, saga: true };
        match scope.resolve(reference)? {
            Origin::Saga => Ok(Source::Saga),
            Origin::Key(step) => Ok(Source::Key(step)),
            Origin::Call(step, _) if step >= answers => {
                Err(Wrong { at: reference.name_at, message: format!("`{}` has no answer yet where it is referred to", reference.head) })
            }
            Origin::Call(step, place) => {
                let parts = &mut self.parts[step];
                let known = parts.iter().position(|known| *known == place).unwrap_or_else(|| {
                    parts.push(place);
                    parts.len() - 1
                });
                Ok(Source::Part(step, known))
            }
            origin => {
                let is_query = origin == Origin::Query;
                let known = self.facts.iter().position(|(_, known)| *known == origin).unwrap_or_else(|| {
                    self.facts.push((reference.to_string(), origin));
                    self.facts.len() - 1
                });
                Ok(Source::Fact(known, is_query))
            }
        }
    }

    fn request(&mut self, call: &model::Call, apart: &[&str], answers: usize, keys: usize, sends_body: bool) -> Result<Request, String> {
        let Some((verb, target)) = call.request() else { return Err("it asks for nothing, or for several things".to_owned()) };
        let path = target.split('?').next().unwrap_or_default();
        let words = format!("{} {} {path}", verb.method(), call.upstream.value);
        let target = Target::compile(target, &mut |reference| self.resolve(reference, answers, keys)).map_err(|wrong| wrong.to_string())?;
        let kept = call.headers.iter().filter(|(name, _)| !apart.contains(&name.as_str()));
        let headers = kept.map(|(name, value)| {
            let header = HeaderName::from_bytes(name.as_bytes()).map_err(|error| error.to_string())?;
            let words =
                Words::compile(value, &mut |reference| self.resolve(reference, answers, keys)).map_err(|wrong| wrong.to_string())?;
            Ok((header, words))
        });
        let headers = headers.collect::<Result<Vec<_>, String>>()?;
        let apart = apart.iter().map(|name| HeaderName::from_bytes(name.as_bytes()).map_err(|error| error.to_string()));
        let apart = apart.collect::<Result<Vec<_>, String>>()?;
        let body = match &call.body {
            Some(body) => {
                let body = serde_json::to_value(&body.value).map_err(|error| error.to_string())?;
                let json =
                    Json::compile(&body, &mut |reference| self.resolve(reference, answers, keys)).map_err(|wrong| wrong.to_string())?;
                RequestBody::Json(json)
            }
            None if sends_body => RequestBody::Client,
            None => RequestBody::None,
        };
        let timeout = call.timeout.as_ref().map(|timeout| timeout.0);
        Ok(Request { upstream: call.upstream.value.clone(), words, method: verb.method(), target, headers, apart, body, timeout })
    }
}
