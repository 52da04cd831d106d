//! `routes`: hosts, paths and methods that can match, one target each. What routes of one host and path have to differ in is said beside `when`.

use std::collections::HashMap;

use frontgate_filters::words::spanned::{Place, Spanned};

use super::{Check, Report, is_name, mirror, when};
use crate::config::model::{Config, Route, Target};
use crate::router::{Pattern, Segment, UNMATCHED, host_of};

/// A host and a path without the names of its variables: no two routes may have both in common.
type Shape = (String, Vec<Part>);

#[derive(PartialEq, Eq, Hash)]
enum Part {
    Literal(String),
    One,
    Rest,
}

pub(super) fn check(config: &Config, report: &mut Report<'_, '_>) {
    let mut names: HashMap<&str, Place> = HashMap::new();
    let mut shapes: HashMap<Shape, Vec<&Spanned<Route>>> = HashMap::new();
    for route in &config.routes {
        if let Some(first) = names.insert(&route.name, route.name.place) {
            report.both(route.name.place, format!("two routes are named `{}`", route.name.value), first, "the first one");
        }
        when::check(config, route, report);
        if let Some(shape) = self::route(route, report) {
            shapes.entry(shape).or_default().push(route);
        }
    }
    for routes in shapes.values() {
        when::order(config, routes, report);
    }
}

/// Checks one route by itself. Its host and path, where they are good.
fn route(route: &Spanned<Route>, report: &mut Report<'_, '_>) -> Option<Shape> {
    let name = &route.name;
    if !is_name(name) || name.value == UNMATCHED {
        report.error(name.place, format!("`{}` is not a valid name: use letters, digits, `-` and `_`", name.value));
    }
    match route.target.written().len() {
        1 => {}
        0 => report.lacking(
            name.place,
            format!("the route `{}` leads nowhere: write `upstream`, `redirect`, `respond`, `aggregate` or `saga`", name.value),
        ),
        _ => leads_to_several(route, report),
    }
    if route.timeout.is_some_and(|timeout| timeout.0.is_zero()) {
        report.error(name.place, format!("`timeout` of the route `{}` is 0: every request would fail", name.value));
    }
    if let Some(methods) = &route.methods {
        super::methods::check(methods, "for all methods", report);
    }
    let host = host(route, report);
    let pattern = match Pattern::parse(&route.path) {
        Ok(pattern) => Some(pattern),
        Err(why) => {
            report.error(route.path.place, format!("`{}` is not a valid path: {why}", route.path.value));
            None
        }
    };
    target(route, pattern.as_ref(), report);
    let pattern = pattern?;
    let parts = pattern.segments().iter().map(|segment| match segment {
        Segment::Literal(text) => Part::Literal(text.to_string()),
        Segment::Variable(_) => Part::One,
        Segment::Rest => Part::Rest,
    });
    Some((host?, parts.collect()))
}

/// A route that leads to more than one thing.
fn leads_to_several(route: &Route, report: &mut Report<'_, '_>) {
    let written = route.target.written();
    let ((first, name), (second, other)) = (key(&written[0], report), key(&written[1], report));
    let message = format!("the route `{}` leads to one thing, and `{name}` and `{other}` are two", route.name.value);
    let help = match (&written[0], &written[1]) {
        (Target::Upstream(_) | Target::Apart(_), Target::Aggregate(_)) => {
            "each of the `calls` names its own upstream: remove that of the route"
        }
        (Target::Upstream(_) | Target::Apart(_), Target::Saga(_)) => "each of the `steps` names its own upstream: remove that of the route",
        _ => "remove one of them, or write another route for it",
    };
    report.both_helped(second, message, first, "this is the first one", help);
}

/// The key of something that a route leads to, and its name.
fn key(target: &Target, report: &Report<'_, '_>) -> (Place, &'static str) {
    let (place, name) = match target {
        Target::Upstream(upstream) => (upstream.place, "upstream"),
        Target::Apart(split) => (split.place, "upstream"),
        Target::Redirect(redirect) => (redirect.place, "redirect"),
        Target::Respond(respond) => (respond.place, "respond"),
        Target::Aggregate(aggregate) => (aggregate.place, "aggregate"),
        Target::Graphql(graphql) => (graphql.place, "graphql"),
        Target::Saga(saga) => (saga.place, "saga"),
        Target::Unclear(_) => (Place::default(), ""),
    };
    (report.tree.key_of(place), name)
}

fn host(route: &Route, report: &mut Report<'_, '_>) -> Option<String> {
    let Some(host) = &route.host else { return Some(String::new()) };
    if host.value == "*" {
        report.helped(host.place, "`*` is the name of no host", Some("leave `host` out: then every host matches".to_owned()));
        return None;
    }
    let bare = host.strip_prefix("*.").unwrap_or(host);
    if bare.contains('*') {
        let message = format!("`{}` matches no host: `*` can only be the whole first label", host.value);
        let rest = bare.trim_start_matches(['*', '.']);
        let help = (!rest.is_empty() && !rest.contains('*')).then(|| format!("write `*.{rest}`"));
        report.helped(host.place, message, help);
        return None;
    }
    match host_of(bare) {
        Ok(normal) if normal == bare => Some(host.value.clone()),
        Ok(normal) => {
            let help = host.value.replace(bare, &normal);
            report.helped(
                host.place,
                format!("the host `{}` must be in lower case and without a port", host.value),
                Some(format!("write `{help}`")),
            );
            None
        }
        Err(_) => {
            let message = format!("`{}` is not a valid host: write a name, an IP address, or `*.` and a name", host.value);
            let inner = host.split_once("://").map_or(host.as_str(), |(_, rest)| rest).split('/').next().unwrap_or_default();
            let inner = host_of(inner).ok().filter(|inner| **inner != *host.as_str());
            let help = inner.map(|inner| format!("write `{inner}`: a scheme and a path do not belong to a host"));
            report.helped(host.place, message, help);
            None
        }
    }
}

/// What the route leads to, with what belongs to it.
fn target(route: &Route, path: Option<&Pattern>, report: &mut Report<'_, '_>) {
    if let Some(rewrite) = &route.rewrite {
        if !route.target.is_proxied() && !route.target.makes_calls() {
            report.lacking(rewrite.place, "`rewrite` changes the path that is sent to an upstream, but this route has no `upstream`");
        }
        rewrite.check(path, report);
    }
    if let Some(mirror) = &route.mirror {
        mirror::check(route, mirror, report);
    }
    for target in route.target.written() {
        match target {
            Target::Redirect(redirect) => redirect.check(path, report),
            Target::Respond(respond) => respond.check(path, report),
            // Whether there is an upstream of this name is checked with all other names.
            Target::Upstream(_) | Target::Apart(_) | Target::Aggregate(_) | Target::Graphql(_) | Target::Saga(_) | Target::Unclear(_) => {}
        }
    }
}
