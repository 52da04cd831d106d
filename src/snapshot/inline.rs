//! Filters that are written in place, and what they are told apart by.

use frontgate_filters::registry::FilterEntry;

use crate::config::model::{self, FilterUse};

/// Filters that are written in place: the route's name, empty for the server's, and where in its list.
pub(super) fn inline(config: &model::Config) -> impl Iterator<Item = (&str, usize, &FilterEntry)> {
    let routes = config.routes.iter().map(|route| (route.name.as_str(), &route.filters));
    std::iter::once(("", &config.server.filters)).chain(routes).flat_map(|(owner, list)| {
        list.iter().enumerate().filter_map(move |(index, used)| match &used.value {
            FilterUse::Inline(entry) => Some((owner, index, entry)),
            FilterUse::Named(_) => None,
        })
    })
}

/// No name holds a slash, so no name is one of these.
pub(super) fn inline_key(owner: &str, index: usize) -> String {
    format!("{owner}/{index}")
}
