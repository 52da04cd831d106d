//! `telemetry`: filters of lines ask for routes, upstreams and limits that there are.

use std::fmt;

use frontgate_filters::registry::FilterConfig;

use super::Report;
use crate::config::model::{AccessLog, Config, FilterUse};
use crate::nearest::nearest;
use crate::router::UNMATCHED;
use crate::telemetry::LineFilter;

/// A name in a filter of lines that nothing has.
pub(crate) struct Stranger<'s> {
    /// What it would be the name of.
    what: &'static str,
    /// The name.
    name: &'s str,
    /// The names that there are.
    known: Vec<&'s str>,
}

impl fmt::Display for Stranger<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "There is no {} `{}`", self.what, self.name)?;
        match nearest(self.name, self.known.iter().copied()) {
            Some(near) => write!(f, ": did you mean `{near}`?"),
            None => f.write_str("."),
        }
    }
}

/// Checks which lines the access log has.
pub(super) fn check(config: &Config, report: &mut Report<'_, '_>) {
    let AccessLog::On { when: Some(when), .. } = &config.telemetry.access_log else { return };
    // What could not be read may be what is named.
    if report.tree.torn {
        return;
    }
    for Stranger { what, name, known } in strangers(config, when) {
        report.unknown(when.place, what, name, known.into_iter());
    }
}

/// The names in a filter of lines that lead nowhere: no line would ever have them.
pub(crate) fn strangers<'s>(config: &'s Config, filter: &'s LineFilter) -> Vec<Stranger<'s>> {
    let routes = config.routes.iter().map(|route| route.name.as_str()).chain([UNMATCHED]);
    let named = config.filters.iter().map(|(name, entry)| (name.as_str(), &entry.value));
    // One that is written in place has the name of its kind.
    let in_place = std::iter::once(&config.server.filters).chain(config.routes.iter().map(|route| &route.filters)).flatten();
    let in_place = in_place.filter_map(|used| match &used.value {
        FilterUse::Inline(entry) => Some((entry.config.kind(), entry)),
        FilterUse::Named(_) => None,
    });
    let limits = named.chain(in_place).filter(|(_, entry)| matches!(entry.config, FilterConfig::RateLimit(_))).map(|(name, _)| name);
    let known: [(&'static str, &'static str, Vec<&str>); 3] = [
        ("route", "route", routes.collect()),
        ("upstream", "upstream", config.upstreams.keys().map(String::as_str).collect()),
        ("limit", "rate limit", limits.collect()),
    ];
    let mut strangers = Vec::new();
    for (field, what, known) in known {
        for name in filter.named(field).filter(|name| !known.contains(name)) {
            strangers.push(Stranger { what, name, known: known.clone() });
        }
    }
    strangers
}
