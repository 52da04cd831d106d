//! What the types alone cannot say: names that point somewhere, values that fit each other. Every problem at once, each at its value.

mod filters;
mod routes;
mod server;

use std::collections::{BTreeSet, HashSet};

use frontgate_filters::words::spanned::{Place, Problem, Spanned};

use super::collect::Index;
use super::diagnostics::{Diagnostic, nearest};
use super::model::{Config, FilterUse, FirstByte, Secret, Upstream};
use super::tree::{Node, Places};

/// Reads a secret now, to find out whether it can be had.
pub type ReadSecret<'a> = &'a dyn Fn(&Secret) -> Result<String, String>;

/// The text as it was written, with what could not be read.
pub struct Tree<'t> {
    root: &'t Node,
    places: &'t Places,
    /// Whether something was left out: then what is not used may be used there.
    torn: bool,
}

impl<'t> Tree<'t> {
    /// The tree with these values left out.
    pub fn new(root: &'t Node, _index: &Index<'t>, places: &'t Places, skip: &HashSet<u32>) -> Self {
        Self { root, places, torn: !skip.is_empty() }
    }

    /// The names that a section defines, also those whose definitions have problems of their own.
    fn names(&self, section: &str) -> BTreeSet<&'t str> {
        self.root.get(section).map(|node| node.entries().iter().map(|entry| entry.key.as_str()).collect()).unwrap_or_default()
    }

    /// The place of a section's name itself.
    fn key(&self, section: &str, name: &str) -> Option<Place> {
        let entries = self.root.get(section)?.entries();
        entries.iter().find(|entry| entry.key == name).map(|entry| Place(entry.key_id))
    }
}

/// Where problems go.
struct Report<'a, 't> {
    tree: &'a Tree<'t>,
    problems: &'a mut Vec<Diagnostic>,
}

impl Report<'_, '_> {
    fn error(&mut self, place: Place, message: impl Into<String>) {
        self.helped(place, message, None);
    }

    fn helped(&mut self, place: Place, message: impl Into<String>, help: Option<String>) {
        self.problems.push(Diagnostic::error(message).help(help).on(self.tree.places, place));
    }

    /// What a part of the configuration says of itself.
    fn problems(&mut self, problems: Vec<Problem>) {
        for Problem { place, message, help } in problems {
            self.helped(place, message, help);
        }
    }

    fn warn(&mut self, place: Place, message: impl Into<String>) {
        self.problems.push(Diagnostic::warning(message).on(self.tree.places, place));
    }

    /// An error about two places.
    fn both(&mut self, place: Place, message: impl Into<String>, other: Place, words: &str) {
        let mut diagnostic = Diagnostic::error(message).on(self.tree.places, place);
        if let Some(at) = self.tree.places.at(other) {
            diagnostic = diagnostic.label(at, words);
        }
        self.problems.push(diagnostic);
    }
}

/// Adds everything that is wrong with `config` to `problems`.
pub fn check(config: &Config, tree: &Tree<'_>, problems: &mut Vec<Diagnostic>, secret: ReadSecret<'_>) {
    let report = &mut Report { tree, problems };
    server::check(config, report, secret);
    for (name, upstream) in &config.upstreams {
        self::name("upstreams", name, upstream.place, report);
        self::upstream(name, upstream, report);
    }
    for (name, filter) in &config.filters {
        self::name("filters", name, filter.place, report);
    }
    filters::check(config, report);
    if let Some(table) = &config.devices
        && let Err(why) = frontgate_filters::device::Devices::new(table)
    {
        report.error(table.place, why);
    }
    routes::check(config, report);
    references(config, report);
}

fn name(section: &str, name: &str, place: Place, report: &mut Report<'_, '_>) {
    if !is_name(name) {
        let place = report.tree.key(section, name).unwrap_or(place);
        report.error(place, format!("`{name}` is not a name: use letters, digits, `-` and `_`"));
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

fn upstream(name: &str, upstream: &Spanned<Upstream>, report: &mut Report<'_, '_>) {
    let place = upstream.place;
    if upstream.endpoints.is_empty() {
        report.error(place, format!("the pool `{name}` has no endpoints"));
    } else if upstream.endpoints.iter().all(|endpoint| endpoint.weight == 0) {
        report.error(place, format!("every endpoint of the pool `{name}` has weight 0: none would take a request"));
    }
    for (index, endpoint) in upstream.endpoints.iter().enumerate() {
        if endpoint.address.port() == 0 {
            report.error(endpoint.place, "port 0 cannot be connected to");
        }
        if let Some(first) = upstream.endpoints[..index].iter().find(|other| other.address == endpoint.address) {
            report.both(endpoint.place, format!("`{}` stands twice in this pool", endpoint.address), first.place, "here, too");
        }
        if let Some(version) = &endpoint.version
            && (version.is_empty() || !version.bytes().all(|byte| (0x21..0x7f).contains(&byte)))
        {
            report.error(version.place, "a version is printable ASCII without spaces");
        }
    }
    if let Some(host) = &upstream.host
        && crate::router::host_of(host).is_err()
    {
        report.error(host.place, format!("`{}` is not a host", host.value));
    }
    living(upstream, report);
    let timeouts = upstream.timeouts;
    if let FirstByte::Adaptive(bounds) = timeouts.first_byte
        && (bounds.min.0.is_zero() || bounds.min.0 > bounds.max.0)
    {
        report.error(place, format!("`timeouts.first_byte` of the pool `{name}`: `min` is more than nothing and no more than `max`"));
    }
    for (key, zero) in [
        ("connect", timeouts.connect.0.is_zero()),
        ("first_byte", matches!(timeouts.first_byte, FirstByte::Fixed(timeout) if timeout.0.is_zero())),
        ("between_bytes", timeouts.between_bytes.0.is_zero()),
        ("total", timeouts.total.is_some_and(|total| total.0.is_zero())),
    ] {
        if zero {
            report.error(place, format!("`timeouts.{key}` of the pool `{name}` is 0: every request would fail"));
        }
    }
}

/// How a pool finds out which endpoints live, and what it does about it.
fn living(upstream: &Spanned<Upstream>, report: &mut Report<'_, '_>) {
    if let Some(health) = &upstream.health {
        match &health.path {
            Some(path) if health.tcp => report.error(path.place, "a probe has `path` or `tcp`, not both"),
            Some(path) if !path.starts_with('/') || path.bytes().any(|byte| !(0x21..0x7f).contains(&byte)) => {
                report.error(path.place, format!("`{}` is not a path", path.value));
            }
            None if !health.tcp => report.error(health.place, "a probe needs `path`, what it asks for, or `tcp: true`"),
            _ => {}
        }
        for (key, value) in [("interval", health.interval), ("timeout", health.timeout)] {
            if value.0.is_zero() {
                report.error(health.place, format!("`{key}` of a probe is more than nothing"));
            }
        }
    }
    if let Some(outlier) = &upstream.outlier
        && outlier.eject_for.0.is_zero()
    {
        report.error(outlier.place, "`eject_for` is more than nothing");
    }
    if let Some(retry) = &upstream.retry {
        if retry.attempts.get() > 10 {
            report.error(retry.place, "`attempts` is at most 10");
        }
        if retry.when.is_empty() {
            report.error(retry.place, "`when` is empty: nothing would be tried again");
        }
    }
}

/// Names that point nowhere, and what nothing points at.
fn references(config: &Config, report: &mut Report<'_, '_>) {
    let (pools, filters) = (report.tree.names("upstreams"), report.tree.names("filters"));
    let (mut used_pools, mut used_filters) = (HashSet::new(), HashSet::new());
    let server = HashSet::<&str>::from_iter(config.server.filters.iter().filter_map(|used| named(used)));
    let lists = std::iter::once(&config.server.filters).chain(config.routes.iter().map(|route| &route.filters));
    for (number, list) in lists.enumerate() {
        for entry in filters::resolved(config, list).filter_map(|(_, entry)| entry) {
            used_pools.extend(entry.config.options().upstreams().into_iter().map(|name| name.as_str()));
        }
        let mut seen: Vec<&Spanned<FilterUse>> = Vec::new();
        for used in list {
            let Some(name) = named(used) else { continue };
            used_filters.insert(name);
            if !filters.contains(name) {
                let help = nearest(name, filters.iter().copied()).map(|near| format!("did you mean `{near}`?"));
                report.helped(used.place, format!("there is no filter `{name}`"), help);
            }
            if let Some(first) = seen.iter().find(|other| named(other) == Some(name)) {
                report.both(used.place, format!("`{name}` stands twice in this list"), first.place, "here, too");
            }
            if number > 0 && server.contains(name) {
                report.error(used.place, format!("`{name}` is one of `server.filters` and runs on every route already"));
            }
            seen.push(used);
        }
    }
    for route in &config.routes {
        let Some(name) = &route.upstream else { continue };
        used_pools.insert(name.as_str());
        if !pools.contains(name.as_str()) {
            let help = nearest(name, pools.iter().copied()).map(|near| format!("did you mean `{near}`?"));
            report.helped(name.place, format!("there is no upstream `{}`", name.value), help);
        }
    }
    if report.tree.torn {
        return;
    }
    for (section, names, used) in [("upstreams", pools, used_pools), ("filters", filters, used_filters)] {
        for name in names.into_iter().filter(|name| !used.contains(name)) {
            let place = report.tree.key(section, name).unwrap_or_default();
            report.warn(place, format!("nothing uses `{name}`"));
        }
    }
}

fn named(used: &Spanned<FilterUse>) -> Option<&str> {
    match &used.value {
        FilterUse::Named(name) => Some(name),
        FilterUse::Inline(_) => None,
    }
}
