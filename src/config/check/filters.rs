//! Filters: options that the types alone cannot refuse, and the order in which they can work.

use frontgate_filters::config::FilterEntry;
use frontgate_filters::spanned::Spanned;

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

/// The filters of a list as they are defined, each with its use; names that point nowhere are left out.
#[allow(dead_code, reason = "the order of kinds is checked by the first kind that has an order")]
fn resolved<'c>(config: &'c Config, list: &'c [Spanned<FilterUse>]) -> Vec<(&'c Spanned<FilterUse>, &'c FilterEntry)> {
    let entry = |used: &'c Spanned<FilterUse>| match &used.value {
        FilterUse::Named(name) => config.filters.get(name).map(|entry| (used, &entry.value)),
        FilterUse::Inline(entry) => Some((used, entry)),
    };
    list.iter().filter_map(entry).collect()
}
