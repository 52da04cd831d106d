//! `routes`: hosts, paths and methods that can match, one target each, and no two routes for one thing.

use std::collections::HashMap;

use frontgate_filters::words::spanned::{Place, Spanned};
use http::{HeaderValue, Method};

use super::{Report, is_name};
use crate::config::model::{Config, Rewrite, Route};
use crate::router::{Pattern, Segment, Template, host_of};

/// A host and a path with its variables' names taken out: what two routes may not both claim.
type Shape = (String, Vec<Part>);

#[derive(PartialEq, Eq, Hash)]
enum Part {
    Literal(String),
    One,
    Rest,
}

pub fn check(config: &Config, report: &mut Report<'_, '_>) {
    let mut names: HashMap<&str, Place> = HashMap::new();
    let mut shapes: HashMap<Shape, Vec<&Spanned<Route>>> = HashMap::new();
    for route in &config.routes {
        if let Some(first) = names.insert(&route.name, route.name.place) {
            report.both(route.name.place, format!("two routes are named `{}`", route.name.value), first, "the first one");
        }
        if let Some(shape) = self::route(route, report) {
            shapes.entry(shape).or_default().push(route);
        }
    }
    for routes in shapes.values() {
        for (index, route) in routes.iter().enumerate() {
            if let Some(first) = routes[..index].iter().find(|other| overlap(other, route)) {
                let message = format!("the routes `{}` and `{}` take the same requests", first.name.value, route.name.value);
                report.both(route.path.place, message, first.path.place, "the other one");
            }
        }
    }
}

/// Whether two routes of one host and path share a method.
fn overlap(a: &Route, b: &Route) -> bool {
    match (&a.methods, &b.methods) {
        (Some(a), Some(b)) => a.iter().any(|method| b.iter().any(|other| method.value == other.value)),
        _ => true,
    }
}

/// Checks one route by itself. Its host and path, where they are good.
fn route(route: &Spanned<Route>, report: &mut Report<'_, '_>) -> Option<Shape> {
    let name = &route.name;
    if !is_name(name) || name.value == crate::telemetry::UNMATCHED {
        report.error(name.place, format!("`{}` is not a name: use letters, digits, `-` and `_`", name.value));
    }
    let targets = [route.upstream.is_some(), route.redirect.is_some(), route.respond.is_some()];
    match targets.iter().filter(|target| **target).count() {
        1 => {}
        0 => report.error(name.place, format!("the route `{}` leads nowhere: give it `upstream`, `redirect` or `respond`", name.value)),
        _ => report.error(name.place, format!("the route `{}` has more than one of `upstream`, `redirect` and `respond`", name.value)),
    }
    if route.timeout.is_some_and(|timeout| timeout.0.is_zero()) {
        report.error(name.place, format!("`timeout` of the route `{}` is 0: every request would fail", name.value));
    }
    methods(route, report);
    if let Some(respond) = &route.respond {
        report.problems(respond.problems(&[]));
    }
    let host = host(route, report);
    let pattern = match Pattern::parse(&route.path) {
        Ok(pattern) => pattern,
        Err(why) => {
            report.error(route.path.place, format!("`{}` is not a path: {why}", route.path.value));
            return None;
        }
    };
    targets_of(route, &pattern, report);
    let parts = pattern.segments().iter().map(|segment| match segment {
        Segment::Literal(text) => Part::Literal(text.to_string()),
        Segment::Variable(_) => Part::One,
        Segment::Rest => Part::Rest,
    });
    Some((host?, parts.collect()))
}

fn host(route: &Route, report: &mut Report<'_, '_>) -> Option<String> {
    let Some(host) = &route.host else { return Some(String::new()) };
    let bare = host.strip_prefix("*.").unwrap_or(host);
    match host_of(bare) {
        Ok(normal) if normal == bare => Some(host.value.clone()),
        Ok(normal) => {
            let help = host.value.replace(bare, &normal);
            report.helped(
                host.place,
                format!("`{}` is not a host as it is compared: no port, no capitals", host.value),
                Some(format!("write `{help}`")),
            );
            None
        }
        Err(_) => {
            report.error(host.place, format!("`{}` is not a host: write a name, an address, or `*.` and a name", host.value));
            None
        }
    }
}

fn methods(route: &Route, report: &mut Report<'_, '_>) {
    let Some(methods) = &route.methods else { return };
    if methods.is_empty() {
        report.error(methods.place, "`methods` is empty: leave it out for all methods");
    }
    for (index, method) in methods.iter().enumerate() {
        let is_method = Method::from_bytes(method.as_bytes()).is_ok() && !method.bytes().any(|byte| byte.is_ascii_lowercase());
        if !is_method {
            let help = Method::from_bytes(method.to_uppercase().as_bytes()).ok().map(|method| format!("did you mean `{method}`?"));
            report.helped(method.place, format!("`{}` is not a method", method.value), help);
        } else if method.value == "CONNECT" {
            report.error(method.place, "CONNECT is never served");
        } else if let Some(first) = methods[..index].iter().find(|other| other.value == method.value) {
            report.both(method.place, format!("`{}` stands twice", method.value), first.place, "here, too");
        }
    }
}

/// Rewrites and redirects against the path they begin with.
fn targets_of(route: &Route, pattern: &Pattern, report: &mut Report<'_, '_>) {
    if let Some(rewrite) = &route.rewrite {
        if route.upstream.is_none() {
            report.error(rewrite.place, "`rewrite` changes what an upstream is sent, and this route has none");
        }
        match &rewrite.value {
            Rewrite::StripPrefix(prefix) => strip_prefix(prefix, pattern, report),
            Rewrite::Path(path) => {
                if !path.starts_with('/') {
                    report.error(path.place, format!("`{}` does not begin with a slash", path.value));
                } else if let Err(why) = Template::parse(path, pattern) {
                    report.error(path.place, why);
                }
            }
        }
    }
    if let Some(redirect) = &route.redirect {
        if ![301, 302, 303, 307, 308].contains(&*redirect.status) {
            report.error(redirect.status.place, format!("{} is not a redirect: 301, 302, 303, 307 or 308", *redirect.status));
        }
        let is_target = ["/", "http://", "https://"].iter().any(|start| redirect.to.starts_with(start));
        if !is_target || HeaderValue::from_str(&redirect.to).is_err() {
            report.error(redirect.to.place, format!("`{}` is neither a path nor an http URL", redirect.to.value));
        } else if let Err(why) = Template::parse(&redirect.to, pattern) {
            report.error(redirect.to.place, why);
        }
    }
}

fn strip_prefix(prefix: &Spanned<String>, pattern: &Pattern, report: &mut Report<'_, '_>) {
    let trimmed = prefix.trim_end_matches('/');
    let mut segments = pattern.segments().iter();
    let fits = trimmed.starts_with('/')
        && trimmed[1..].split('/').all(|wanted| matches!(segments.next(), Some(Segment::Literal(text)) if **text == *wanted));
    if !fits {
        report.error(prefix.place, format!("`{}` is not made of the path's first literal segments", prefix.value));
    }
}
