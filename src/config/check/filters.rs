//! Filters: options that the types alone cannot refuse, and the order in which they can work.

use frontgate_filters::filter::options::Placement;
use frontgate_filters::registry::{FilterEntry, Mode};
use frontgate_filters::words::spanned::{Place, Spanned};

use super::Report;
use crate::config::model::{Config, FilterUse, Route};

pub(super) fn check(config: &Config, report: &mut Report<'_, '_>) {
    entries(config).for_each(|entry| options(entry, report));
    let server: Vec<Used<'_>> = resolved(config, &config.server.filters).collect();
    order(&server, 0, report);
    for route in &config.routes {
        let list: Vec<Used<'_>> = server.iter().copied().chain(resolved(config, &route.filters)).collect();
        order(&list, server.len(), report);
        calls(config, route, report);
    }
}

/// Filters that make gRPC calls of requests, on a route whose upstream could not be sent one. What the server lists runs on others, too.
fn calls(config: &Config, route: &Route, report: &mut Report<'_, '_>) {
    if !route.target.is_proxied() {
        return;
    }
    let upstreams = || route.upstreams().filter_map(|name| config.upstreams.get(name.as_str()).map(|upstream| (name, upstream)));
    for (used, entry) in resolved(config, &route.filters) {
        let Some(entry) = entry.filter(|entry| entry.config.options().needs_grpc()) else { continue };
        for (name, _) in upstreams().filter(|(_, upstream)| upstream.speaks_http1_alone()) {
            let message = format!(
                "`{}` makes gRPC calls, which need HTTP/2, and the upstream `{}` is spoken to in HTTP/1.1",
                entry.config.kind(),
                name.value
            );
            report.helped(used.place, message, Some(super::NEEDS_H2.to_owned()));
        }
    }
}

/// What one filter's options say, and the upstreams that they name.
fn options(entry: &FilterEntry, report: &mut Report<'_, '_>) {
    let options = entry.config.options();
    report.problems(options.problems());
    let upstreams = report.tree.names("upstreams");
    for name in options.upstreams() {
        if !upstreams.contains(name.as_str()) && !report.tree.is_no_map("upstreams") {
            report.unknown(name.place, "upstream", name, upstreams.iter().copied());
        }
    }
}

/// Every filter, by name or written in place.
pub(super) fn entries(config: &Config) -> impl Iterator<Item = &FilterEntry> {
    let lists = std::iter::once(&config.server.filters).chain(config.routes.iter().map(|route| &route.filters));
    let inline = lists.flatten().filter_map(|used| match &used.value {
        FilterUse::Inline(entry) => Some(entry),
        FilterUse::Named(_) => None,
    });
    config.filters.values().map(|entry| &entry.value).chain(inline)
}

/// A filter where it is used; nothing of what it is where its name points nowhere.
pub(super) type Used<'c> = (&'c Spanned<FilterUse>, Option<&'c FilterEntry>);

/// The filters of a list.
pub(super) fn resolved<'c>(config: &'c Config, list: &'c [Spanned<FilterUse>]) -> impl Iterator<Item = Used<'c>> {
    list.iter().map(|used| match &used.value {
        FilterUse::Named(name) => (used, config.filters.get(name).map(|entry| &entry.value)),
        FilterUse::Inline(entry) => (used, Some(entry)),
    })
}

/// The order of one list after those of the server, which were looked at by themselves: `before` of them.
fn order(list: &[Used<'_>], before: usize, report: &mut Report<'_, '_>) {
    for (index, (used, entry)) in list.iter().enumerate().skip(before) {
        let Some(entry) = entry else { continue };
        let earlier = &list[..index];
        // A filter that could not be read may have been the one that is missed.
        let unsure = report.tree.torn || earlier.iter().any(|(_, entry)| entry.is_none());
        let spot = Spot { used, entry, earlier, next: list.get(index + 1), unsure };
        let rules = entry.config.options().placement();
        rules.iter().for_each(|rule| spot.keeps(rule, report));
        // One problem with a missing identity is enough.
        if !rules.iter().any(|rule| matches!(rule, Placement::AfterIdentity(_))) {
            spot.reads_claims(report);
        }
    }
}

/// A filter at its place in a list.
struct Spot<'l, 'c> {
    used: &'c Spanned<FilterUse>,
    entry: &'c FilterEntry,
    earlier: &'l [Used<'c>],
    next: Option<&'l Used<'c>>,
    unsure: bool,
}

impl<'c> Spot<'_, 'c> {
    /// Whether the filter can work here by one of its kind's rules.
    fn keeps(&self, rule: &Placement, report: &mut Report<'_, '_>) {
        let (kind, name, place) = (self.entry.config.kind(), self.name(), self.used.place);
        match *rule {
            Placement::Once => {
                // A name that is listed twice is reported elsewhere.
                let named = matches!(self.used.value, FilterUse::Named(_));
                let others = self.earlier.iter().filter(|(other, _)| !(named && other.value == self.used.value));
                if let Some(other) = first(others, |entry| entry.config.kind() == kind) {
                    report.both(place, format!("a route has at most one `{kind}`"), other.0, "the first one");
                }
            }
            Placement::BeforeRefusals(why) => {
                if let Some(other) = first(self.earlier, |entry| entry.config.options().can_refuse()) {
                    report.both(place, format!("`{name}` comes after a filter that can refuse: {why}"), other.0, "this one can refuse");
                }
            }
            Placement::Before(other, why) => {
                if let Some((earlier, _)) = first(self.earlier, |entry| entry.config.kind() == other) {
                    report.both(place, format!("`{name}` must come before every `{other}`: {why}"), earlier, "this one comes before it");
                }
            }
            Placement::Last(why) => {
                if let Some((other, _)) = self.next {
                    report.both(place, format!("`{name}` must be the last filter: {why}"), other.place, "this one comes after it");
                }
            }
            Placement::AfterIdentity(why) => match self.identity() {
                None if !self.unsure => {
                    let message = format!("`{name}` asks what a token says, and no filter before it verifies one");
                    report.helped(place, message, Some("list a `jwt` before it".to_owned()));
                }
                Some((other, Mode::Observe)) if self.entry.mode == Mode::Enforce => {
                    let message = format!("`{name}` is enforced after a filter that verifies tokens but only observes: {why}");
                    report.both(place, message, other, "this one only observes");
                }
                _ => {}
            },
            Placement::Anonymous(place, why) => {
                if let Some((other, _)) = self.identity() {
                    report.both(place, format!("`{name}` comes after a filter that identifies callers: {why}"), other, "this one does");
                }
            }
        }
    }

    /// Whether the claims that the filter reads are there by now.
    fn reads_claims(&self, report: &mut Report<'_, '_>) {
        if self.unsure || self.identity().is_some() {
            return;
        }
        for selector in self.entry.config.options().selectors().into_iter().filter(|selector| selector.reads_claims()) {
            let message = format!("`{}` is read by `{}`, and no filter before it verifies a token", selector.value, self.name());
            report.both(self.used.place, message, selector.place, "it is read here");
        }
    }

    /// The filter before this one that identifies callers.
    fn identity(&self) -> Option<(Place, Mode)> {
        first(self.earlier, |entry| entry.config.options().identifies())
    }

    fn name(&self) -> &'c str {
        match &self.used.value {
            FilterUse::Named(name) => name,
            FilterUse::Inline(_) => self.entry.config.kind(),
        }
    }
}

/// Where the first filter of this sort is listed, and its mode.
fn first<'u, 'c: 'u>(list: impl IntoIterator<Item = &'u Used<'c>>, is: impl Fn(&FilterEntry) -> bool) -> Option<(Place, Mode)> {
    list.into_iter().find_map(|(used, entry)| entry.filter(|entry| is(entry)).map(|entry| (used.place, entry.mode)))
}
