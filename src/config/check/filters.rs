//! Filters: options that the types alone cannot refuse, and the order in which they can work.

use frontgate_filters::registry::{FilterConfig, FilterEntry, Mode};
use frontgate_filters::words::spanned::Spanned;

use super::Report;
use crate::config::diagnostics::nearest;
use crate::config::model::{Config, FilterUse};

pub fn check(config: &Config, report: &mut Report<'_, '_>) {
    for entry in config.filters.values() {
        options(entry, report);
    }
    let lists = std::iter::once(&config.server.filters).chain(config.routes.iter().map(|route| &route.filters));
    for used in lists.flatten() {
        if let FilterUse::Inline(entry) = &used.value {
            options(entry, report);
        }
    }
    let server: Vec<Used<'_>> = resolved(config, &config.server.filters).collect();
    order(&server, 0, report);
    for route in &config.routes {
        let list: Vec<Used<'_>> = server.iter().copied().chain(resolved(config, &route.filters)).collect();
        order(&list, server.len(), report);
    }
}

/// What one filter's options say, and the pools that they name.
fn options(entry: &FilterEntry, report: &mut Report<'_, '_>) {
    for problem in entry.config.problems() {
        report.helped(problem.place, problem.message, problem.help);
    }
    let pools = report.tree.names("upstreams");
    for name in entry.config.pools() {
        if !pools.contains(name.as_str()) {
            let help = nearest(name, pools.iter().copied()).map(|near| format!("did you mean `{near}`?"));
            report.helped(name.place, format!("there is no upstream `{}`", name.value), help);
        }
    }
}

/// A filter where it is used; nothing of what it is where its name points nowhere.
pub type Used<'c> = (&'c Spanned<FilterUse>, Option<&'c FilterEntry>);

/// The filters of a list.
pub fn resolved<'c>(config: &'c Config, list: &'c [Spanned<FilterUse>]) -> impl Iterator<Item = Used<'c>> {
    list.iter().map(|used| match &used.value {
        FilterUse::Named(name) => (used, config.filters.get(name).map(|entry| &entry.value)),
        FilterUse::Inline(entry) => (used, Some(entry)),
    })
}

/// The order of one list behind those of the server, which were looked at by themselves: `before` of them.
fn order(list: &[Used<'_>], before: usize, report: &mut Report<'_, '_>) {
    for (index, (used, entry)) in list.iter().enumerate().skip(before) {
        let Some(entry) = entry else { continue };
        let earlier = &list[..index];
        let name = name_of(used, entry);
        // A name that stands twice is told of elsewhere.
        let first = |kind: &str| {
            let named = matches!(used.value, FilterUse::Named(_));
            earlier
                .iter()
                .find(|(other, entry)| !(named && other.value == used.value) && entry.is_some_and(|entry| entry.config.kind() == kind))
        };
        match &entry.config {
            FilterConfig::Jwt(_) => {
                if let Some((other, _)) = first("jwt") {
                    report.both(used.place, "a request has one token: two `jwt` cannot follow each other", other.place, "the first one");
                }
            }
            FilterConfig::Cors(_) => {
                if let Some((other, _)) = first("cors") {
                    report.both(used.place, "two `cors` would mark one answer", other.place, "the first one");
                }
                if let Some((other, _)) = earlier.iter().find(|(_, entry)| entry.is_some_and(|entry| entry.config.can_refuse())) {
                    let message = format!("`{name}` stands behind a filter that can refuse: a preflight would not reach it");
                    report.both(used.place, message, other.place, "this one can refuse");
                }
            }
            FilterConfig::Trim(_) => {
                if let Some((other, _)) = first("trim") {
                    report.both(used.place, "a route has one `trim` at most", other.place, "the first one");
                }
            }
            FilterConfig::CircuitBreaker(config) => {
                if let Some((other, _)) = first("circuit_breaker") {
                    report.both(used.place, "a route has one circuit breaker at most", other.place, "the first one");
                }
                if let Some((other, _)) = list.get(index + 1) {
                    let message = format!("`{name}` must be the last filter: what answers in the upstream's place passes those before it");
                    report.both(used.place, message, other.place, "this one comes after it");
                }
                if let (Some(place), Some((other, _))) = (config.caches_for_all(), first("jwt")) {
                    let message = format!("`{name}` would give one user's cached answer to another: write `per: claim.sub`");
                    report.both(place, message, other.place, "answers behind this one belong to its users");
                }
            }
            _ => {}
        }
        // A filter that could not be read may have been the one that is missed.
        let unsure = report.tree.torn || earlier.iter().any(|(_, entry)| entry.is_none());
        let jwt = earlier.iter().find(|(_, entry)| entry.is_some_and(|entry| matches!(entry.config, FilterConfig::Jwt(_))));
        match (&entry.config, jwt) {
            (FilterConfig::Rbac(_), None) if !unsure => {
                let help = Some("list a `jwt` before it".to_owned());
                report.helped(used.place, format!("`{name}` asks what a token says, and no `jwt` comes before it"), help);
            }
            (FilterConfig::Rbac(_), Some((other, Some(jwt)))) if jwt.mode == Mode::Observe && entry.mode == Mode::Enforce => {
                let message =
                    format!("`{name}` is enforced behind a `jwt` that only observes: whoever has no token would be told to bring one");
                report.both(used.place, message, other.place, "this one observes");
            }
            (config, None) if !unsure => {
                for selector in config.selectors().into_iter().filter(|selector| selector.reads_claims()) {
                    let message = format!("`{}` is read by `{name}`, and no `jwt` comes before it", selector.value);
                    report.both(used.place, message, selector.place, "here it is read");
                }
            }
            _ => {}
        }
    }
}

fn name_of<'c>(used: &'c FilterUse, entry: &'c FilterEntry) -> &'c str {
    match used {
        FilterUse::Named(name) => name,
        FilterUse::Inline(_) => entry.config.kind(),
    }
}
