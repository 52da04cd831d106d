//! What a call asks for: one verb, a path and a query of its upstream's own, headers, a body.

use frontgate_filters::headers::problems_of;
use frontgate_filters::words::reserved;
use frontgate_filters::words::spanned::{Place, Spanned};
use http::HeaderName;
use http::header::ACCEPT_ENCODING;

use super::reading::Uses;
use crate::compose::reference::{Part, Reference, Scope};
use crate::compose::template::leads_astray;
use crate::config::check::Report;
use crate::config::model::{Aggregate, Call, Json, Verb};

pub(super) fn check(call: Spanned<&Call>, report: &mut Report<'_, '_>) {
    match &call.requests[..] {
        [] if call.query.is_some() => {
            report.lacking(call.place, "this call says not where its query is sent: write `post: /graphql`, or what its path is")
        }
        [] => report.lacking(call.place, "this call asks for nothing: write get, post, put, patch or delete, with a path"),
        [_] => {}
        [(first, one), others @ ..] => {
            for (verb, target) in others {
                let message = format!("a call has one verb, and this one has `{}` and `{}`", first.key(), verb.key());
                report.both(report.tree.key_of(target.place), message, report.tree.key_of(one.place), "the first one");
            }
        }
    }
    if let Some(body) = &call.body {
        let place = report.tree.key_of(body.place);
        match call.request() {
            Some((Verb::Get, _)) => report.helped(place, "`get` has no body", Some("write `post`, or leave the body out".to_owned())),
            _ if body.value == Json::Null => {
                let help = "leave it out to send the client's body, or write what is sent".to_owned();
                report.helped(place, "`body` has no value", Some(help));
            }
            _ => {}
        }
    }
    headers(call.value, report);
    back(call.value, report);
}

fn headers(call: &Call, report: &mut Report<'_, '_>) {
    let mut seen: Vec<(HeaderName, Place)> = Vec::new();
    for (name, value) in &call.headers {
        let place = report.tree.key_of(value.place);
        report.problems(problems_of(name, None, place, is_own));
        let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else { continue };
        match seen.iter().find(|(known, _)| *known == header) {
            Some((_, first)) => report.both(place, format!("`{name}` stands twice"), *first, "already listed here"),
            None => seen.push((header, place)),
        }
    }
}

/// Whether calls have this header from the gateway alone.
fn is_own(name: &HeaderName) -> bool {
    reserved::on_requests(name) || *name == ACCEPT_ENCODING
}

/// Headers that two answers would give back, of which the client gets one.
pub(super) fn given_back_twice(aggregate: &Aggregate, report: &mut Report<'_, '_>) {
    let mut seen: Vec<(&str, &Spanned<String>)> = Vec::new();
    for (call, name) in
        aggregate.calls().flat_map(|(name, call)| call.back.iter().flat_map(move |back| back.iter().map(move |one| (name, one))))
    {
        match seen.iter().find(|(_, known)| known.eq_ignore_ascii_case(name)) {
            Some((first, known)) => {
                report.both(name.place, format!("`{}` is given back by `{first}` already", name.value), known.place, "the first one");
            }
            None => seen.push((call, name)),
        }
    }
}

/// Headers of the answer that the client gets.
fn back(call: &Call, report: &mut Report<'_, '_>) {
    let Some(back) = &call.back else { return };
    if back.is_empty() {
        report.lacking(back.place, "`back` is empty: leave it out");
    }
    if let Some(each) = &call.each {
        let message = "a call with `each` has many answers: none of them gives headers back";
        report.both(report.tree.key_of(back.place), message, report.tree.key_of(each.place), "it is made for each of these");
    }
    for name in &back.value {
        let own = |name: &HeaderName| {
            reserved::on_answers(name)
                || name.as_str().starts_with("x-bff-")
                || matches!(name.as_str(), "content-type" | "content-encoding")
        };
        let strictest = name.eq_ignore_ascii_case("cache-control");
        match strictest {
            true => report.error(name.place, "`Cache-Control` of an answer is always the strictest one of all its calls"),
            false => report.problems(problems_of(name, None, name.place, own)),
        }
    }
}

/// Reads path and query.
pub(super) fn target<'c>(target: &'c Spanned<String>, scope: Scope<'_>, uses: &mut Uses<'c>, report: &mut Report<'_, '_>) {
    let text = Spanned { value: target.as_str(), place: target.place };
    if let Some((message, help)) = no_path(text.value) {
        report.helped(text.place, message, help);
    }
    let Some(read) = uses.text(text, scope, report) else { return };
    let mut in_query = false;
    for (index, part) in read.parts.iter().enumerate() {
        match part {
            Part::Literal(literal) => {
                if let Some(odd) = literal.chars().find(|c| !('!'..='~').contains(c)) {
                    let help = "write it percent-encoded, as it is sent".to_owned();
                    report.helped(text.place, format!("`{}` cannot stand in a path or a query", odd.escape_default()), Some(help));
                } else if literal.contains('#') {
                    report.error(text.place, "`#` begins a fragment, which is never sent");
                }
                in_query |= literal.contains('?');
            }
            Part::Reference(reference) => {
                let next = read.parts.get(index + 1);
                let before = index.checked_sub(1).and_then(|index| read.parts.get(index));
                if reference.spread {
                    spread(text, reference, report);
                } else if reference.head == "query" && reference.rest.is_none() && !stands_alone(before, next, in_query) {
                    let help = "write `?{query}` for all of it, or `{query.NAME}` for one parameter".to_owned();
                    let message = "`{query}` is the whole query: it stands alone behind `?` or between two `&`";
                    report.inside(text, reference.range.clone(), message, Some(help));
                }
            }
        }
    }
    dots(text, &read.parts, report);
    twice(text, &read.parts, report);
}

/// Why a text is not what is asked of an upstream.
fn no_path(text: &str) -> Option<(String, Option<String>)> {
    if text.starts_with("//") {
        return Some((format!("`{text}` begins with //, which would name a host"), Some("write one slash".to_owned())));
    }
    let scheme = text.split("://").next().filter(|scheme| scheme.len() < text.len());
    if scheme.is_some_and(|scheme| !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphabetic())) {
        let path = text.split_once("://").and_then(|(_, rest)| rest.find('/').map(|slash| rest[slash..].to_owned()));
        let help = path.map_or("write a path".to_owned(), |path| format!("write `{path}`, and the host as an endpoint of the `upstream`"));
        return Some((format!("`{text}` begins with a scheme: a call goes to its `upstream`, by a path"), Some(help)));
    }
    (!text.starts_with('/')).then(|| (format!("`{text}` is not a path: it does not begin with a slash"), None))
}

/// Whether what stands around a reference ends and begins a parameter.
fn stands_alone(before: Option<&Part>, next: Option<&Part>, in_query: bool) -> bool {
    let opens = matches!(before, Some(Part::Literal(literal)) if literal.ends_with(['?', '&']));
    let closes = match next {
        None => true,
        Some(Part::Literal(literal)) => literal.starts_with('&'),
        Some(Part::Reference(_)) => false,
    };
    in_query && opens && closes
}

/// Segments that a server may take for a way up. Those that references are in are seen to when they are filled in.
fn dots(text: Spanned<&str>, parts: &[Part], report: &mut Report<'_, '_>) {
    let plain: String = parts
        .iter()
        .map(|part| match part {
            Part::Literal(literal) => literal.as_str(),
            Part::Reference(_) => "x",
        })
        .collect();
    let path = plain.split('?').next().unwrap_or_default();
    let goes_astray = |segment: &&str| !segment.is_empty() && leads_astray(segment.as_bytes());
    if let Some(segment) = path.split('/').find(goes_astray) {
        report.error(text.place, format!("the segment `{segment}` is one that servers resolve or refuse: write the path as it is meant"));
    }
}

/// Parameters beside the whole query of the client, which may have them, too: then a service gets two, and which one counts is its own affair.
fn twice(text: Spanned<&str>, parts: &[Part], report: &mut Report<'_, '_>) {
    let is_whole = |part: &&Part| matches!(part, Part::Reference(reference) if reference.head == "query" && reference.rest.is_none());
    let Some(Part::Reference(whole)) = parts.iter().find(is_whole) else { return };
    let plain: String = parts.iter().map(|part| if let Part::Literal(literal) = part { literal } else { "{}" }).collect();
    let parameters = plain.split_once('?').map_or("", |(_, query)| query).split('&');
    // Where it does not stand alone that has been said.
    if !parameters.clone().any(|parameter| parameter == "{}") {
        return;
    }
    let own = parameters.filter_map(|parameter| parameter.split('=').next()).find(|name| !name.is_empty() && !name.contains("{}"));
    if let Some(own) = own {
        let message =
            format!("`{{query}}` is whatever the client sends: a `{own}` of its own goes along beside the one that is written here");
        let help = "name what is the client's to say, as in `q={query.q}`".to_owned();
        report.doubt_inside(text, whole.range.clone(), message, Some(help));
    }
}

/// Reads the value of a header.
pub(super) fn header<'c>(value: &'c Spanned<String>, scope: Scope<'_>, uses: &mut Uses<'c>, report: &mut Report<'_, '_>) {
    let text = Spanned { value: value.as_str(), place: value.place };
    let Some(read) = uses.text(text, scope, report) else { return };
    let odd = |literal: &str| literal.bytes().any(|byte| !(0x20..0x7f).contains(&byte));
    if value.trim() != value.value || read.parts.iter().any(|part| matches!(part, Part::Literal(literal) if odd(literal))) {
        report.error(text.place, "a header value must be printable ASCII, without a space at either end");
    }
    for reference in read.references().filter(|reference| reference.spread) {
        spread(text, reference, report);
    }
}

fn spread(text: Spanned<&str>, reference: &Reference, report: &mut Report<'_, '_>) {
    let help = format!("write `{{{reference}}}`: the values of a list are then joined by commas");
    report.inside(text, reference.range.clone(), "`...` spreads into JSON, and this is text", Some(help));
}
