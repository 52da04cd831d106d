//! `graphql`: fields whose calls can be made, as far as that can be said without the schema; `schema` says the rest once it is read.

#[cfg(feature = "graphql")]
mod defaults;
#[cfg(feature = "graphql")]
pub(crate) mod schema;
#[cfg(test)]
mod tests;

use frontgate_filters::registry::{FilterConfig, Mode};
use frontgate_filters::words::selector::Selector;
use frontgate_filters::words::spanned::{Place, Spanned};

use super::reading::Reading;
use super::{around, each, reading, requests, service, shape};
use crate::compose::reference::{Origin, Scope};
use crate::config::check::Report;
use crate::config::check::doubts::classes;
use crate::config::check::filters::resolved;
use crate::config::model::{Call, Config, GraphField, Graphql, Introspection, Persisted, Route, Verb};
use crate::router::Pattern;

/// What calls of fields refer to, in place of the names of calls.
const NAMES: [&str; 2] = ["args", "parent"];
/// The number of `parent` among them.
const PARENT: usize = 1;

/// The most operations that clients may make known.
const MOST_AUTOMATIC: u32 = 100_000;

/// Checks the graphs of all routes.
pub(super) fn check(config: &Config, report: &mut Report<'_, '_>) {
    for route in &config.routes {
        if let Some(graphql) = route.target.graphql() {
            self::graphql(config, route, graphql, report);
        }
    }
}

fn graphql(config: &Config, route: &Route, graphql: &Spanned<Graphql>, report: &mut Report<'_, '_>) {
    let key = report.tree.key_of(graphql.place);
    if !cfg!(feature = "graphql") {
        report.helped(key, "this build has no graphs", Some("build it with `--features graphql`".to_owned()));
    }
    if let Some(methods) = route.methods.as_ref().filter(|methods| !methods.iter().any(|method| method.value == "POST")) {
        report.helped(methods.place, "requests to a graph are sent by POST, which is not listed here", Some("list POST".to_owned()));
    }
    around::check(config, route, graphql.place, "a graph", report);
    trims(config, route, key, report);
    limits(graphql, report);
    hide(config, graphql, report);
    if let Some(persisted) = &graphql.persisted {
        self::persisted(persisted, report);
    }
    for (name, types) in &graphql.types {
        let place = report.tree.key_of(types.place);
        if !is_graphql_name(name) {
            report.error(place, format!("`{name}` is not the name of a type: write that of an interface or a union"));
        }
    }
    let path = Pattern::parse(&route.path).ok();
    let mut read = Vec::new();
    for (name, field) in &graphql.fields {
        let place = report.tree.key_of(field.place);
        if !is_coordinate(name) {
            let help = Some("write `Type.field`, as in `Query.user`".to_owned());
            report.helped(place, format!("`{name}` is not a field of a type"), help);
        }
        let Some(call) = self::field(name, field, place, report) else { continue };
        // Without the route's path nobody knows its variables.
        if let Some(path) = &path {
            read.push(self::call(name, call, path, report));
        }
        if let (Some(timeout), Some(all)) = (&call.value.timeout, route.timeout)
            && timeout.0 > all.0
        {
            let message = format!("`timeout` of `{name}` ({}) is longer: the route's timeout of {all} ends it", timeout.value);
            report.warn(timeout.place, message, None);
        }
    }
    let told: Vec<&Reading<'_>> = read.iter().collect();
    around::finds(config, route, &told, report);
    introspection(config, route, &graphql.introspection, report);
}

/// Whether this can be a name in a schema.
fn is_graphql_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Whether this can be a field of a type.
fn is_coordinate(name: &str) -> bool {
    name.split_once('.').is_some_and(|(type_name, field)| is_graphql_name(type_name) && is_graphql_name(field))
}

/// What is wrong with a field whatever the schema is; its call, where it is one.
fn field<'c>(name: &str, field: &'c Spanned<GraphField>, key: Place, report: &mut Report<'_, '_>) -> Option<Spanned<&'c Call>> {
    let call = field.call.as_deref();
    match (call, &field.from) {
        (None, None) => {
            let help = "write a call, `{upstream: users, get: \"/users/{args.id}\"}`, or `{from: address.city}`".to_owned();
            report.helped(field.place, format!("nothing says what `{name}` is answered from"), Some(help));
            return None;
        }
        (Some(_), Some(from)) => {
            let message = "a field is answered from a call, or `from` another place of the object that it belongs to, not both";
            report.both(report.tree.key_of(from.place), message, key, "this field");
        }
        _ => {}
    }
    let call = Spanned { value: call?, place: field.place };
    if call.value.upstream.is_empty() {
        report.lacking(field.place, format!("the call of `{name}` has no `upstream`"));
    }
    for (key, place) in strange(call.value) {
        let message = match key {
            "keep" | "drop" => format!("`{key}` says nothing here: a query names what it gets"),
            "rename" => "`rename` says nothing here: another name of a member is `from` of its field".to_owned(),
            "optional" => {
                "`optional` says nothing here: a field that fails is null, and its error says so; `otherwise` stands in for it".to_owned()
            }
            "into" => "`into` says nothing here: what the call is answered is the field".to_owned(),
            _ => format!("`{key}` says nothing here: no header of a call's answer reaches a client of a graph"),
        };
        report.error(report.tree.key_of(place), message);
    }
    Some(call)
}

/// Keys of calls that mean something in aggregates alone.
fn strange(call: &Call) -> Vec<(&'static str, Place)> {
    let keys = [
        ("keep", call.keep.as_ref().map(|value| value.place)),
        ("drop", call.drop.as_ref().map(|value| value.place)),
        ("rename", call.rename.as_ref().map(|value| value.place)),
        ("optional", call.optional.as_ref().map(|value| value.place)),
        ("into", call.into.as_ref().map(|value| value.place)),
        ("back", call.back.as_ref().map(|value| value.place)),
    ];
    keys.into_iter().filter_map(|(key, place)| Some((key, place?))).collect()
}

/// Reads a call, and what is wrong with it by itself.
fn call<'c>(name: &'c str, call: Spanned<&'c Call>, path: &Pattern, report: &mut Report<'_, '_>) -> Reading<'c> {
    requests::check(call, report);
    service::check(call, report);
    shape::check(call.value, report);
    each::bounds(call, report);
    if call.value.timeout.as_ref().is_some_and(|timeout| timeout.0.is_zero()) {
        let place = call.value.timeout.as_ref().map_or(call.place, |timeout| timeout.place);
        report.error(place, "`timeout` of the call is 0: it would always fail");
    }
    let scope = Scope { path, calls: &NAMES, each: false, saga: false };
    let read = reading::call(name, call, scope, report);
    let is_root = name.starts_with("Query.") || name.starts_with("Mutation.");
    // What stands in a line; in a body all of them are an object.
    let lines: Vec<Place> =
        call.value.requests.iter().map(|(_, target)| target.place).chain(call.value.headers.values().map(|value| value.place)).collect();
    for found in &read.uses.all {
        let (text, range) = (found.part.text, found.part.range.clone());
        match &found.origin {
            Origin::Call(PARENT, _) if is_root => {
                let message = format!("`{}` finds nothing: a field of the whole graph belongs to no object", found.written);
                report.inside(text, range, message, Some("refer to an argument, as in `{args.id}`".to_owned()));
            }
            Origin::Call(PARENT, _)
                if call.value.each.is_some() && call.value.each.as_ref().is_none_or(|each| each.place != text.place) =>
            {
                let message = format!("`{name}` is called for several objects at once: `{}` would be one of them", found.written);
                report.inside(text, range, message, Some("write `{each}`, which is their values".to_owned()));
            }
            Origin::Call(_, place) if place.steps().is_empty() && lines.contains(&text.place) => {
                let help = format!("name one of them, as in `{{{}.id}}`", found.written);
                report.inside(text, range, format!("`{}` is all of them: one value is wanted", found.written), Some(help));
            }
            Origin::Body(_) => {
                let help = Some("refer to an argument, as in `{args.id}`".to_owned());
                report.inside(text, range, "the client's body is the query itself: nothing in it is meant by a path", help);
            }
            _ => {}
        }
    }
    if let Some(when) = &call.value.when {
        if when.facts.is_empty() {
            report.lacking(when.place, "`when` is empty: leave it out for all requests");
        }
        if read.when.facts.len() < when.facts.len() && read.uses.sure {
            report.error(when.place, "`when` of a field asks for facts of the request alone, such as `device`");
        }
    }
    if let Some(each) = &call.value.each {
        if read.uses.sure && !read.uses.all.iter().any(|found| found.origin == Origin::Each) {
            let message = format!("`{name}` is called for each of these, and `{{each}}` stands nowhere in it: all calls would be the same");
            report.helped(each.place, message, Some("write `{each}` where the value belongs".to_owned()));
        }
        if call.value.batch.is_none() && !report.tree.is_torn_at(each.place) {
            let message =
                format!("`{name}` is one call for each value of `{}`, at most {} for a request", each.written(), call.value.most());
            report.warn(each.place, message, Some("write `batch` and `by` where the upstream takes several values at once".to_owned()));
        }
    }
    if name.starts_with("Mutation.") {
        if let Some((Verb::Get, target)) = call.value.request() {
            report.warn(report.tree.key_of(target.place), format!("`{name}` is a mutation, and GET changes nothing"), None);
        }
        if let Some(query) = call.value.query.as_ref().filter(|_| service::only_asks(call.value)) {
            report.warn(report.tree.key_of(query.place), format!("`{name}` is a mutation, and a query changes nothing"), None);
        }
    } else if let Some(query) = call.value.query.as_ref().filter(|_| service::changes(call.value)) {
        let message = format!("`{name}` is asked beside others and as often as it is wanted, and this document is a mutation");
        report.helped(report.tree.key_of(query.place), message, Some("make it a field of `Mutation`".to_owned()));
    }
    read
}

/// An alias walks around a path: what is trimmed away by its name comes by another one.
fn trims(config: &Config, route: &Route, key: Place, report: &mut Report<'_, '_>) {
    let lists = [&config.server.filters, &route.filters];
    for (used, entry) in lists.into_iter().flat_map(|list| resolved(config, list)) {
        if entry.is_some_and(|entry| matches!(entry.config, FilterConfig::Trim(_)) && entry.mode == Mode::Enforce) {
            let message =
                "`trim` removes members by their names, and a query calls them as it likes: write `hide`, which goes by the schema";
            report.both(used.place, message, key, "this is answered by a graph");
        }
    }
}

fn limits(graphql: &Graphql, report: &mut Report<'_, '_>) {
    for (key, limit) in graphql.limits.each() {
        if limit.value == 0 {
            report.error(limit.place, format!("`{key}` is 0: no request could be served"));
        }
    }
}

fn hide(config: &Config, graphql: &Graphql, report: &mut Report<'_, '_>) {
    let Some(hide) = &graphql.hide else { return };
    if hide.profiles.is_empty() {
        report.lacking(hide.place, "`hide` hides nothing: set `profiles`");
    }
    let classes = (hide.by.value == Selector::Device).then(|| classes(config, report)).flatten();
    for (profile, fields) in &hide.profiles {
        let place = report.tree.key_of(fields.place);
        if let Some(classes) = classes.as_ref().filter(|classes| !classes.contains(profile)) {
            report.unknown(place, "device class", profile, classes.iter().map(String::as_str));
        }
        if fields.is_empty() {
            report.lacking(fields.place, "the list is empty: name at least one field");
        }
        for (index, field) in fields.iter().enumerate() {
            if !is_coordinate(field) {
                let help = Some("write `Type.field`, as in `Image.hd`".to_owned());
                report.helped(field.place, format!("`{}` is not a field of a type", field.value), help);
            } else if let Some(first) = fields[..index].iter().find(|other| other.value == field.value) {
                report.both(field.place, format!("`{}` is listed twice", field.value), first.place, "already listed here");
            }
        }
    }
}

fn persisted(persisted: &Spanned<Persisted>, report: &mut Report<'_, '_>) {
    let automatic = persisted.automatic;
    if persisted.only.value && persisted.file.is_none() {
        report.error(persisted.only.place, "`only` runs the operations of a file alone, and `file` names none: nothing could be run");
    }
    if persisted.only.value && automatic.value > 0 {
        let message = "`automatic` lets clients make operations known, and `only` runs none of those";
        report.both(report.tree.key_of(automatic.place), message, report.tree.key_of(persisted.only.place), "no others are run");
    }
    if automatic.value > MOST_AUTOMATIC {
        report.error(automatic.place, format!("`automatic` must be at most {MOST_AUTOMATIC}"));
    }
    if persisted.file.is_none() && automatic.value == 0 && !persisted.only.value {
        report.lacking(persisted.place, "`persisted` makes nothing known: set `file` or `automatic`");
    }
}

fn introspection(config: &Config, route: &Route, introspection: &Introspection, report: &mut Report<'_, '_>) {
    let Introspection::For(facts) = introspection else { return };
    if facts.facts.is_empty() {
        report.lacking(facts.place, "no fact has to hold: write `true` for everybody");
    }
    report.problems(facts.problems());
    around::facts_are_known(config, route, facts, report);
}
