//! The calls that an aggregate makes of a request, in their stages, with what is known of each. None of them is made.

use std::fmt;
use std::sync::Arc;

use frontgate_filters::chain::Link;
use frontgate_filters::circuit_breaker::Fallback;
use frontgate_filters::filter::Facts;
use frontgate_filters::registry::FilterConfig;
use frontgate_filters::words::claims::Claim;
use frontgate_filters::words::matching::{Fact, Match, Wanted};
use frontgate_filters::words::selector::Selector;
use frontgate_filters::words::spanned::Spanned;
use pingora_http::RequestHeader;
use serde::{Deserialize, Serialize};

use crate::compose::reference::{Origin, Reference, Scope, Text};
use crate::compose::service;
use crate::compose::stages::stages;
use crate::compose::template::{Source, Target};
use crate::compose::values::{self, Value, Values};
use crate::config::model::{Call, FilterUse, Json, Verb, WhenFact};
use crate::router::Pattern;
use crate::snapshot::Snapshot;
use crate::status::CircuitState;

/// The calls that an aggregate makes of a request.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Plan {
    /// The class of the client's device, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    /// The calls, by stages, and within one in the configuration's order.
    calls: Vec<Planned>,
}

/// A call that is made, or why it is not.
#[derive(Debug, Serialize, Deserialize)]
struct Planned {
    /// When it is made, from 1 on: after all that it refers to.
    stage: usize,
    /// Its name.
    name: String,
    /// The method.
    method: String,
    /// The upstream.
    upstream: String,
    /// Path and query, with what is known by now filled in.
    target: String,
    /// The operation that a GraphQL service is sent: `query Home`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    operation: Option<String>,
    /// What becomes of the request where it fails: `required`, `optional` or `otherwise`; of a call for each of several values `partial`: what
    /// fails of it is left out.
    fails: String,
    /// Facts of other answers that decide whether it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    when: Option<String>,
    /// Its timeout, or the route's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timeout: Option<String>,
    /// What it is made for each of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    each: Option<String>,
    /// How the circuits stand that it has to pass, where a running gateway says so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    circuits: Vec<String>,
    /// Why it is not made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    not_made: Option<String>,
}

/// What is asked, where, and how it stands.
pub(super) struct Seen<'s> {
    /// What would serve it.
    pub snapshot: &'s Snapshot,
    /// The route's number.
    pub route: usize,
    /// The request as calls would see it.
    pub head: &'s RequestHeader,
    /// What is known of it.
    pub facts: &'s Facts,
    /// Whether a running gateway is asked.
    pub live: bool,
    /// The calls that nobody would see anything of.
    pub unneeded: Vec<Arc<str>>,
}

/// The plan of a route's aggregate; none where it has none.
pub(super) fn plan(seen: &Seen<'_>) -> Option<Plan> {
    let route = &seen.snapshot.loaded.config.routes[seen.route];
    let aggregate = &route.target.aggregate()?.value;
    let path = Pattern::parse(&route.path).ok()?;
    let names: Vec<&str> = aggregate.calls().map(|(name, _)| name).collect();
    let scope = Scope { path: &path, calls: &names, each: true, saga: false };
    let needs: Vec<Vec<usize>> = aggregate.calls().map(|(_, call)| needs(call, scope)).collect();
    let stages = stages(&needs).ok()?;
    let route_timeout = route.timeout.map(|timeout| timeout.to_string());
    let mut calls: Vec<Planned> = aggregate
        .calls()
        .zip(stages)
        .filter_map(|((name, call), stage)| {
            let mut planned = seen.call(name, call, scope, stage + 1)?;
            planned.timeout = planned.timeout.or_else(|| route_timeout.clone());
            Some(planned)
        })
        .collect();
    calls.sort_by_key(|call| call.stage);
    Some(Plan { device: seen.facts.device.as_ref().map(|device| device.to_string()), calls })
}

/// The steps of a route's saga, with what each sends and what takes it back, as they are written.
pub(super) fn steps(snapshot: &Snapshot, route: usize) -> Vec<String> {
    let loaded = &snapshot.loaded;
    let Some(saga) = loaded.config.routes[route].target.saga() else { return Vec::new() };
    let asked = |call: &Call| {
        call.request().map_or_else(String::new, |(verb, target)| {
            let target = loaded.shown(target.place, verb.key(), target);
            format!("{} {} {target}", verb.method(), call.upstream.value)
        })
    };
    let told = saga.steps().map(|(name, step)| {
        let undo = step.undo_call().map_or_else(|| "no undo".to_owned(), |undo| format!("undo {}", asked(undo)));
        format!("{name}  {}; {undo}", asked(&step.call))
    });
    told.collect()
}

/// The calls that a call refers to.
fn needs(call: &Call, scope: Scope<'_>) -> Vec<usize> {
    let mut origins: Vec<Origin> = Vec::new();
    let mut read = |text: &str| {
        let text = Text::parse(text).unwrap_or_default();
        origins.extend(text.references().filter_map(|reference| scope.resolve(reference).ok()));
    };
    call.requests.iter().for_each(|(_, target)| read(target));
    call.headers.values().for_each(|value| read(value));
    call.sends().for_each(|body| Json::texts(body, &mut |text| read(text.value)));
    let spread = call.sends().flat_map(Json::spread);
    let bare =
        call.each.iter().map(|each| each.written()).chain(call.when.iter().flat_map(|when| &when.facts).map(|fact| fact.of.as_str()));
    let bare = bare.chain(spread);
    origins.extend(bare.filter_map(|text| scope.resolve(&Reference::bare(text).ok()?).ok()));
    origins
        .into_iter()
        .filter_map(|origin| match origin {
            Origin::Call(call, _) => Some(call),
            _ => None,
        })
        .collect()
}

impl Seen<'_> {
    fn call(&self, name: &str, call: &Spanned<Call>, scope: Scope<'_>, stage: usize) -> Option<Planned> {
        let (verb, target) = call.request()?;
        let filled = self.filled(target, scope);
        let missing = filled.is_none().then(|| "a value of its path is missing: it fails".to_owned());
        let unmet = call.when.iter().flat_map(|when| &when.facts).find_map(|fact| self.unmet(fact, scope));
        let trimmed = self.unneeded.iter().any(|known| **known == *name);
        let trimmed = trimmed.then(|| "its part of the answer is trimmed away".to_owned());
        let later: Vec<String> = call.when.iter().flat_map(|when| &when.facts).filter_map(|fact| later(fact, scope)).collect();
        let filled = filled.unwrap_or_else(|| target.value.clone());
        let fails = match (&call.otherwise, call.is_optional()) {
            (Some(_), _) => "otherwise",
            (None, true) => "optional",
            // Those that do not fail are in the answer, and nothing else is missing in it.
            (None, false) if call.each.is_some() => "partial",
            (None, false) => "required",
        };
        Some(Planned {
            stage,
            name: name.to_owned(),
            method: verb.method().to_string(),
            upstream: call.upstream.value.clone(),
            target: self.snapshot.loaded.shown(target.place, verb.key(), &filled).into_owned(),
            operation: service::named(call),
            fails: fails.to_owned(),
            when: (!later.is_empty()).then(|| later.join(" and ")),
            timeout: call.timeout.as_ref().map(|timeout| timeout.to_string()),
            each: call.each.as_ref().map(|each| {
                let batch = call.batch.as_ref().map(|batch| format!(", {} a call", batch.value)).unwrap_or_default();
                format!("{}{batch}, at most {}", each.written(), call.most())
            }),
            circuits: if self.live { self.circuits(call, verb) } else { Vec::new() },
            not_made: unmet.or(trimmed).or(missing),
        })
    }

    /// Path and query with what is known; nothing where something is missing without which it is not sent.
    fn filled(&self, text: &str, scope: Scope<'_>) -> Option<String> {
        let mut left: Vec<String> = Vec::new();
        let mut resolve = |reference: &Reference| {
            scope.resolve(reference).map(|origin| match origin {
                Origin::Variable(_) | Origin::Selector(_) | Origin::Query => Known::Now(origin),
                _ => {
                    left.push(format!("{{{reference}}}"));
                    Known::Later(left.len() - 1)
                }
            })
        };
        let target = Target::compile(text, &mut resolve).ok()?;
        let filled = target.expand(&Facing { head: self.head, facts: self.facts }).ok()?;
        Some(left.iter().enumerate().fold(filled, |filled, (number, reference)| filled.replace(&placeholder(number), reference)))
    }

    /// Why a fact of the request does not hold; nothing where it does, or is not known yet.
    fn unmet(&self, fact: &WhenFact, scope: Scope<'_>) -> Option<String> {
        let reference = Reference::bare(&fact.of).ok()?;
        let (holds, is_there) = match scope.resolve(&reference).ok()? {
            Origin::Selector(selector) => {
                let matcher = Match { facts: vec![Fact { selector: selector.clone(), wanted: fact.wanted.clone() }] }.compile();
                (matcher.holds(self.head, self.facts), selector.is_any(self.head, self.facts, &mut |_| true))
            }
            origin @ (Origin::Variable(_) | Origin::Query) => {
                let facing = Facing { head: self.head, facts: self.facts };
                let found = Known::Now(origin);
                let value = facing.find(&found);
                let mut holds = false;
                // What has no text is none of the texts that are wanted.
                let _ = value.as_ref().map(|value| value.texts(&mut |text| holds |= takes(&fact.wanted.value, text)));
                (holds, value.is_some())
            }
            _ => return None,
        };
        match (&fact.wanted.value, is_there) {
            _ if holds => None,
            (_, false) => Some(format!("there is no `{}`", fact.of)),
            (Wanted::Any, true) => None,
            (Wanted::OneOf(values), true) => Some(match &values[..] {
                [one] => format!("{} is not {}", fact.of, one.value),
                several => {
                    let several: Vec<&str> = several.iter().map(|value| value.as_str()).collect();
                    format!("{} is none of {}", fact.of, several.join(", "))
                }
            }),
        }
    }

    /// The circuits before a call's upstream that the route's filters have, and what answers where they let nothing through.
    fn circuits(&self, call: &Call, verb: Verb) -> Vec<String> {
        let links = self.snapshot.routes[self.route].chain.links();
        let breakers = links.iter().filter(|link| link.kind == "circuit_breaker");
        let told = |breaker: &Link| {
            let known = breaker.filter.inspect().circuits.into_iter().find(|circuit| *circuit.upstream == *call.upstream.value);
            // One that nobody has asked for lets everything through.
            let state = known.map_or(CircuitState::Closed, |circuit| CircuitState::from(circuit.state));
            let instead = if state == CircuitState::Closed || verb != Verb::Get { Vec::new() } else { self.fallbacks(breaker, call) };
            let instead = if instead.is_empty() { String::new() } else { format!(" (in its place: {})", instead.join(", else ")) };
            format!("{} {}{instead}", breaker.name, state.label())
        };
        breakers.map(told).collect()
    }

    /// What a filter answers in the place of a call's upstream, in its order.
    fn fallbacks(&self, breaker: &Link, call: &Call) -> Vec<String> {
        let config = &self.snapshot.loaded.config;
        let used = config.server.filters.iter().chain(&config.routes[self.route].filters);
        let entry = used.into_iter().find_map(|used| match &used.value {
            FilterUse::Named(name) if **name == *breaker.name => config.filters.get(name).map(|entry| &entry.value),
            FilterUse::Inline(entry) if entry.config.kind() == breaker.kind => Some(entry),
            _ => None,
        });
        let Some(FilterConfig::CircuitBreaker(written)) = entry.map(|entry| &entry.config) else { return Vec::new() };
        let fallbacks = written.fallback.iter().filter_map(|fallback| match &fallback.value {
            Fallback::Cached(_) => Some("what is cached".to_owned()),
            Fallback::Upstream(name) if name.value == call.upstream.value => None,
            Fallback::Upstream(name) => Some(format!("upstream {}", name.value)),
            Fallback::Respond(_) => Some("respond".to_owned()),
        });
        fallbacks.collect()
    }
}

/// Whether a text is one of those that are wanted.
fn takes(wanted: &Wanted, text: &[u8]) -> bool {
    match wanted {
        Wanted::Any => true,
        Wanted::OneOf(values) => values.iter().any(|value| value.as_bytes() == text),
    }
}

/// A fact that the answer of another call decides, or the client's body.
fn later(fact: &WhenFact, scope: Scope<'_>) -> Option<String> {
    let origin = scope.resolve(&Reference::bare(&fact.of).ok()?).ok()?;
    if !matches!(origin, Origin::Call(..) | Origin::Body(_)) {
        return None;
    }
    Some(match &fact.wanted.value {
        Wanted::Any => format!("there is {}", fact.of),
        Wanted::OneOf(values) => {
            let values: Vec<&str> = values.iter().map(|value| value.as_str()).collect();
            format!("{} is {}", fact.of, values.join(" or "))
        }
    })
}

/// What stands for a reference, as the template is filled in.
enum Known {
    /// Its value is known.
    Now(Origin),
    /// Its value comes with an answer: this placeholder stands in.
    Later(usize),
}

impl Source for Known {
    fn is_query(&self) -> bool {
        matches!(self, Self::Now(Origin::Query))
    }
}

/// What is known before any call is made.
struct Facing<'f> {
    head: &'f RequestHeader,
    facts: &'f Facts,
}

impl Values<Known> for Facing<'_> {
    fn find(&self, source: &Known) -> Option<Value<'_>> {
        match source {
            Known::Later(number) => Some(Value::Text(placeholder(*number).into_bytes().into())),
            Known::Now(Origin::Variable(variable)) => {
                Some(Value::Text(percent_encoding::percent_decode_str(variable.find(self.head.uri.path())).into()))
            }
            Known::Now(Origin::Selector(Selector::Claim(path))) => match path.find(&self.facts.identity.as_ref()?.claims)? {
                Claim::Text(text) => Some(Value::Text(text.as_bytes().into())),
                other => values::claim(other).map(Value::Json),
            },
            Known::Now(Origin::Selector(selector)) => selector.find(self.head, self.facts).map(Value::Text),
            Known::Now(Origin::Query) => self.head.uri.query().map(|query| Value::Text(query.as_bytes().into())),
            Known::Now(_) => None,
        }
    }
}

/// What no encoding changes, and nobody writes.
fn placeholder(number: usize) -> String {
    format!("frontgate~reference~{number}~")
}

impl Plan {
    /// How many stages there are.
    fn stages(&self) -> usize {
        self.calls.iter().map(|call| call.stage).max().unwrap_or(0)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
        let device = self.device.as_ref().map(|device| format!("; device {device}")).unwrap_or_default();
        writeln!(f, "aggregate {}, {}{device}", count(self.calls.len(), "call"), count(self.stages(), "stage"))?;
        let width = |of: &dyn Fn(&Planned) -> usize| self.calls.iter().map(of).max().unwrap_or(0);
        let (name, method, upstream) =
            (width(&|call| call.name.len()), width(&|call| call.method.len()), width(&|call| call.upstream.len()));
        let target = width(&|call| call.target.chars().count()).min(60);
        let mut before = 0;
        for call in &self.calls {
            let stage = if call.stage == before { String::new() } else { format!("stage {}", call.stage) };
            before = call.stage;
            write!(
                f,
                "  {stage:<8} {:<name$} {:<method$} {:<upstream$} {:<target$}  ",
                call.name, call.method, call.upstream, call.target
            )?;
            match &call.not_made {
                Some(why) => writeln!(f, "not made: {why}")?,
                None => {
                    let operation = call.operation.clone();
                    let each = call.each.as_ref().map(|each| format!("each of {each}"));
                    let when = call.when.as_ref().map(|when| format!("if {when}"));
                    let circuits = call.circuits.iter().map(|circuit| format!("circuit {circuit}"));
                    let fails = if call.fails == "partial" { "what fails is left out" } else { &call.fails };
                    let parts = [operation, Some(fails.to_owned()), call.timeout.clone(), each, when].into_iter().flatten().chain(circuits);
                    writeln!(f, "{}", parts.collect::<Vec<_>>().join(", "))?;
                }
            }
        }
        Ok(())
    }
}
