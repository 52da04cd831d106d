//! Which call needs which: none itself, no ring of them, and what follows for those that may fail.

use std::collections::BTreeSet;

use super::Aggregated;
use super::reading::Use;
use super::service;
use super::shape::names;
use crate::compose::reference::Origin;
use crate::compose::stages::stages;
use crate::config::check::Report;
use crate::config::model::Verb;

/// More calls than this at once are told of.
const AT_ONCE: usize = 16;

pub(super) fn check(whole: &Aggregated<'_>, report: &mut Report<'_, '_>) {
    rings(whole, report);
    put_later(whole, report);
    for (index, call) in whole.calls.iter().enumerate() {
        fails_with(whole, index, report);
        if let (Some(timeout), Some(all)) = (&call.call.timeout, whole.route.timeout)
            && timeout.0 > all.0
        {
            let message = format!("`timeout` of `{}` ({}) is longer: the route's timeout of {all} ends it", call.name, timeout.value);
            report.warn(timeout.place, message, None);
        }
    }
    if whole.is_sure() {
        unused(whole, report);
    }
    crowded(whole, report);
}

/// The calls that a call refers to, each with the first reference to it.
fn needed<'w, 'c>(whole: &'w Aggregated<'c>, call: usize) -> Vec<(usize, &'w Use<'c>)> {
    let mut needed: Vec<(usize, &Use<'_>)> = Vec::new();
    for found in &whole.calls[call].uses.all {
        if let Origin::Call(other, _) = found.origin
            && !needed.iter().any(|(known, _)| *known == other)
        {
            needed.push((other, found));
        }
    }
    needed
}

/// Calls that wait for each other.
fn rings(whole: &Aggregated<'_>, report: &mut Report<'_, '_>) {
    let mut told: Vec<BTreeSet<usize>> = Vec::new();
    for start in 0..whole.calls.len() {
        let Some(ring) = shortest(whole, start) else { continue };
        let members: BTreeSet<usize> = ring.iter().map(|(call, _)| *call).collect();
        if told.contains(&members) {
            continue;
        }
        told.push(members);
        let (_, first) = &ring[0];
        let message = match &ring[..] {
            [(call, _)] => format!("`{}` needs itself", whole.name(*call)),
            all => {
                let next = |at: usize| whole.name(all[(at + 1) % all.len()].0);
                let steps: Vec<String> =
                    all.iter().enumerate().map(|(at, (call, _))| format!("`{}` needs `{}`", whole.name(*call), next(at))).collect();
                let (last, others) = steps.split_last().expect("a ring has members");
                format!("{}, and {last}: none of them can be made first", others.join(", "))
            }
        };
        let others = ring[1..].iter().map(|(_, found)| (report.part(found.part.text, found.part.range.clone()), "needed here")).collect();
        report.inside_with(first.part.text, first.part.range.clone(), message, others);
    }
}

/// The shortest way from a call back to itself: each call on it with its reference to the next.
fn shortest<'w, 'c>(whole: &'w Aggregated<'c>, start: usize) -> Option<Vec<(usize, &'w Use<'c>)>> {
    let mut ways: Vec<Vec<(usize, &Use<'_>)>> = vec![Vec::new()];
    let mut seen = BTreeSet::new();
    let mut at = 0;
    while at < ways.len() {
        let way = ways[at].clone();
        at += 1;
        let here = match way.last() {
            None => start,
            Some((_, found)) => match found.origin {
                Origin::Call(call, _) => call,
                _ => continue,
            },
        };
        for (next, found) in needed(whole, here) {
            let longer: Vec<_> = way.iter().copied().chain([(here, found)]).collect();
            if next == start {
                return Some(longer);
            }
            if seen.insert(next) {
                ways.push(longer);
            }
        }
    }
    None
}

/// References see an answer as it came: what others put into it is not there yet.
fn put_later(whole: &Aggregated<'_>, report: &mut Report<'_, '_>) {
    let uses = whole.calls.iter().enumerate().map(|(index, call)| (Some(index), &call.uses)).chain([(None, &whole.answer)]);
    for (who, found) in uses.flat_map(|(who, uses)| uses.all.iter().map(move |found| (who, found))) {
        let Origin::Call(other, place) = &found.origin else { continue };
        let path = names(place);
        // What puts something in the place of the values that it was made for means these.
        let others = whole.calls.iter().enumerate().filter(|(index, _)| Some(*index) != who);
        let puts = others.map(|(_, call)| call).find(|call| {
            call.call.into.as_ref().is_some_and(|into| {
                let member = names(&into.at);
                into.call == whole.name(*other) && !member.is_empty() && path.starts_with(&member)
            })
        });
        if let Some(puts) = puts {
            let message = format!("`{}` is not there yet where references look: `{}` puts it there", found.written, puts.name);
            report.inside(found.part.text, found.part.range.clone(), message, Some(format!("refer to `{}` itself", puts.name)));
        }
    }
}

/// A call that a request fails with, and that fails with one that may fail.
fn fails_with(whole: &Aggregated<'_>, index: usize, report: &mut Report<'_, '_>) {
    let call = &whole.calls[index];
    if !call.call.is_required() {
        return;
    }
    for (other, found) in needed(whole, index) {
        if other != index && whole.calls[other].call.is_optional() {
            let name = whole.name(other);
            let message = format!("`{}` fails wherever `{name}` fails, and the request with it, though `{name}` is optional", call.name);
            let help = format!("make `{}` optional too, or give `{name}` an `otherwise`", call.name);
            report.doubt_inside(found.part.text, found.part.range.clone(), message, Some(help));
        }
    }
}

/// Calls of which nothing is seen.
fn unused(whole: &Aggregated<'_>, report: &mut Report<'_, '_>) {
    let is_used = |index: usize| {
        let refers = |found: &Use<'_>| matches!(found.origin, Origin::Call(call, _) if call == index);
        let by_others = whole.calls.iter().enumerate().any(|(other, call)| other != index && call.uses.all.iter().any(refers));
        let call = &whole.calls[index].call;
        let changes = call.request().is_none_or(|(verb, _)| verb != Verb::Get) && !service::only_asks(call);
        let answered = whole.aggregate.answer.is_none() || whole.answer.all.iter().any(refers);
        answered || by_others || changes || call.into.is_some() || call.back.is_some()
    };
    for (_, call) in whole.calls.iter().enumerate().filter(|(index, _)| !is_used(*index)) {
        report.unused(call.key, format!("`{}` is called and not used", call.name));
    }
}

/// Many calls at the same time.
fn crowded(whole: &Aggregated<'_>, report: &mut Report<'_, '_>) {
    let needs: Vec<Vec<usize>> =
        (0..whole.calls.len()).map(|call| needed(whole, call).into_iter().map(|(other, _)| other).collect()).collect();
    // Calls that go round in a ring are told of elsewhere.
    let Ok(stages) = stages(&needs) else { return };
    for stage in 0..=stages.iter().copied().max().unwrap_or(0) {
        let calls = stages.iter().filter(|own| **own == stage).count();
        if calls > AT_ONCE {
            let message = format!("{calls} calls start at once for each request: more than {AT_ONCE} are many");
            report.warn(report.tree.key_of(whole.aggregate.calls.place), message, None);
        }
    }
}
