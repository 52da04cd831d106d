//! What the types alone cannot say: names that point somewhere, values that fit each other. All problems at once, each at its value.

mod canary;
mod circles;
mod compose;
mod discover;
mod doubts;
mod filters;
mod methods;
mod mirror;
mod report;
mod routes;
mod server;
mod telemetry;
mod tracing;
mod when;

use std::collections::HashSet;

use frontgate_filters::words::spanned::{Place, Spanned};

use rustls::pki_types::ServerName;

use super::diagnostics::{Diagnostic, nearest};
use super::model::{Config, FilterUse, FirstByte, Upstream, UpstreamProtocol};
use super::read::tree::{Node, Value};
#[cfg(feature = "graphql")]
pub(crate) use compose::graphql::schema as graphs;
pub use report::{Check, Report, Tree};
pub(crate) use telemetry::strangers;

/// Adds everything that is wrong with `config` to `problems`.
pub fn check(config: &Config, tree: &Tree<'_>, problems: &mut Vec<Diagnostic>) {
    let report = &mut Report { tree, problems };
    server::check(config, report);
    empty_tls(report);
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
    compose::check(config, report);
    canary::check(config, report);
    circles::check(config, report);
    telemetry::check(config, report);
    tracing::check(config, report);
    references(config, report);
    doubts::check(config, report);
}

fn name(section: &str, name: &str, place: Place, report: &mut Report<'_, '_>) {
    if !is_name(name) {
        let place = report.tree.key(section, name).unwrap_or(place);
        report.error(place, format!("`{name}` is not a valid name: use letters, digits, `-` and `_`"));
    }
}

pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

fn upstream(name: &str, upstream: &Spanned<Upstream>, report: &mut Report<'_, '_>) {
    let place = upstream.place;
    discover::check(name, upstream, report);
    if upstream.discover.is_some() {
        // Others may come.
    } else if upstream.endpoints.is_empty() {
        report.lacking(place, format!("the upstream `{name}` has no endpoints: write `endpoints`, or `discover`"));
    } else if upstream.endpoints.iter().all(|endpoint| endpoint.weight == 0) {
        report.lacking(place, format!("all endpoints of the upstream `{name}` have weight 0: none would receive requests"));
    }
    for (index, endpoint) in upstream.endpoints.iter().enumerate() {
        if endpoint.address.port() == 0 {
            report.error(endpoint.place, "port 0 cannot be connected to");
        }
        if let Some(first) = upstream.endpoints[..index].iter().find(|other| other.address == endpoint.address) {
            report.both(endpoint.place, format!("duplicate endpoint `{}`", endpoint.address), first.place, "already listed here");
        }
        if let Some(version) = &endpoint.version
            && !printable(version)
        {
            report.error(version.place, "`version` must be printable ASCII without spaces");
        }
    }
    if let Some(host) = &upstream.host
        && crate::router::host_of(host).is_err()
    {
        report.error(host.place, format!("`{}` is not a valid host", host.value));
    }
    tls(upstream, report);
    protocol(upstream, report);
    resilience(upstream, report);
    let timeouts = upstream.timeouts;
    if let FirstByte::Adaptive(bounds) = timeouts.first_byte
        && (bounds.min.0.is_zero() || bounds.min.0 > bounds.max.0)
    {
        report.lacking(place, format!("`timeouts.first_byte` of the upstream `{name}`: `min` must be above 0 and at most `max`"));
    }
    for (key, zero) in [
        ("connect", timeouts.connect.0.is_zero()),
        ("first_byte", matches!(timeouts.first_byte, FirstByte::Fixed(timeout) if timeout.0.is_zero())),
        ("between_bytes", timeouts.between_bytes.0.is_zero()),
        ("total", timeouts.total.is_some_and(|total| total.0.is_zero())),
        ("stream_idle", timeouts.stream_idle.is_some_and(|idle| idle.0.is_zero())),
    ] {
        if zero {
            report.error(place, format!("`timeouts.{key}` of the upstream `{name}` is 0: every request would fail"));
        }
    }
}

/// Whether a version can stand in a header.
pub(super) fn printable(version: &str) -> bool {
    !version.is_empty() && version.bytes().all(|byte| (0x21..0x7f).contains(&byte))
}

/// What makes an upstream one for gRPC.
pub(super) const NEEDS_H2: &str = "write `protocol: h2` in the upstream";

/// `tls` without a value reads as one that is not there, and what is meant to be encrypted would be sent in clear text.
fn empty_tls(report: &mut Report<'_, '_>) {
    let root = report.tree.root;
    let upstreams = root.get("upstreams").map(Node::entries).unwrap_or_default().iter().map(|entry| (&entry.node, "write `tls: {}`"));
    let listeners = match root.get("server").and_then(|server| server.get("listeners")).map(|node| &node.value) {
        Some(Value::Seq(listeners)) => listeners.as_slice(),
        _ => &[],
    };
    let listeners = listeners.iter().map(|node| (node, "write `tls: {cert: shop.pem, key: shop.key}`"));
    for (node, help) in upstreams.chain(listeners) {
        if let Some(tls) = node.get("tls").filter(|tls| matches!(tls.value, Value::Null)) {
            report.helped(Place(tls.id), "`tls` has no value: clear text would be spoken", Some(format!("{help}, or leave it out")));
        }
    }
}

/// What is agreed upon is agreed upon in TLS.
fn protocol(upstream: &Spanned<Upstream>, report: &mut Report<'_, '_>) {
    if let (Some(protocol), None) = (&upstream.protocol, &upstream.tls)
        && protocol.value == UpstreamProtocol::Auto
    {
        let help = "write `tls: {}`, or the protocol that its endpoints speak: `http1` or `h2`".to_owned();
        report.helped(protocol.place, "`auto` is agreed upon in TLS, which this upstream has not".to_owned(), Some(help));
    }
}

/// What the upstream's certificate has to be for, and what is shown to it. The files are opened elsewhere.
fn tls(upstream: &Spanned<Upstream>, report: &mut Report<'_, '_>) {
    let Some(tls) = &upstream.tls else { return };
    if let Some(name) = &tls.server_name
        && ServerName::try_from(name.as_str()).is_err()
    {
        let message = format!("`{}` is not a valid server name: write the name of a host or an IP address, without a port", name.value);
        report.error(name.place, message);
    }
    if let (Some(one), None) | (None, Some(one)) = (&tls.cert, &tls.key) {
        report.lacking(one.place, "`cert` and `key` belong together");
    }
}

/// Health checks, outlier ejection, retries.
fn resilience(upstream: &Spanned<Upstream>, report: &mut Report<'_, '_>) {
    if let Some(health) = &upstream.health {
        let asks = [health.path.is_some(), health.tcp, health.grpc.is_some()].into_iter().filter(|asks| *asks).count();
        match &health.path {
            Some(path) if asks > 1 => report.error(path.place, "a health check has only one of `path`, `grpc` and `tcp`"),
            Some(path) if !path.starts_with('/') || path.bytes().any(|byte| !(0x21..0x7f).contains(&byte)) => {
                report.error(path.place, format!("`{}` is not a valid path", path.value));
            }
            None if !health.tcp && health.grpc.is_none() => {
                report.lacking(health.place, "a health check needs `path`, `grpc` or `tcp: true`");
            }
            _ => {}
        }
        if let Some(service) = &health.grpc {
            if health.tcp && health.path.is_none() {
                report.error(service.place, "a health check has only one of `path`, `grpc` and `tcp`");
            }
            if upstream.speaks_http1_alone() {
                report.helped(service.place, "gRPC needs HTTP/2, and this upstream is spoken to in HTTP/1.1", Some(NEEDS_H2.to_owned()));
            }
        }
        for (key, value) in [("interval", health.interval), ("timeout", health.timeout)] {
            if value.0.is_zero() {
                report.error(health.place, format!("`{key}` of a health check must be above 0"));
            }
        }
    }
    if let Some(outlier) = &upstream.outlier
        && outlier.eject_for.0.is_zero()
    {
        report.error(outlier.place, "`eject_for` must be above 0");
    }
    if let Some(retry) = &upstream.retry {
        if retry.attempts.get() > 10 {
            report.error(retry.place, "`attempts` must be at most 10");
        }
        if retry.when.is_empty() {
            report.lacking(retry.place, "`when` is empty: nothing would be retried");
        }
    }
}

/// Names that are not defined, and definitions that are not used.
fn references(config: &Config, report: &mut Report<'_, '_>) {
    let (upstreams, filters) = (report.tree.names("upstreams"), report.tree.names("filters"));
    let (mut used_upstreams, mut used_filters) = (HashSet::new(), HashSet::new());
    let mut missed: Vec<&str> = Vec::new();
    let server = HashSet::<&str>::from_iter(config.server.filters.iter().filter_map(|used| named(used)));
    let lists = std::iter::once(&config.server.filters).chain(config.routes.iter().map(|route| &route.filters));
    for (number, list) in lists.enumerate() {
        for entry in filters::resolved(config, list).filter_map(|(_, entry)| entry) {
            used_upstreams.extend(entry.config.options().upstreams().into_iter().map(|name| name.as_str()));
        }
        let mut seen: Vec<&Spanned<FilterUse>> = Vec::new();
        for used in list {
            let Some(name) = named(used) else { continue };
            used_filters.insert(name);
            if !filters.contains(name) && !report.tree.is_no_map("filters") {
                missed.push(name);
                report.unknown(used.place, "filter", name, filters.iter().copied());
            }
            if let Some(first) = seen.iter().find(|other| named(other) == Some(name)) {
                report.both(used.place, format!("the filter `{name}` is listed twice"), first.place, "already listed here");
            }
            if number > 0 && server.contains(name) {
                report.error(used.place, format!("the filter `{name}` already runs on every route: it is listed in `server.filters`"));
            }
            seen.push(used);
        }
    }
    let copies = config.routes.iter().filter_map(|route| route.mirror.as_ref()).map(|mirror| &mirror.upstream);
    for name in config.routes.iter().flat_map(|route| route.upstreams()).chain(copies) {
        used_upstreams.insert(name.as_str());
        if !upstreams.contains(name.as_str()) && !report.tree.is_no_map("upstreams") {
            report.unknown(name.place, "upstream", name, upstreams.iter().copied());
        }
    }
    if report.tree.torn {
        return;
    }
    missed.extend(used_upstreams.iter().filter(|name| !upstreams.contains(*name)));
    for (section, noun, names, used) in [("upstreams", "upstream", upstreams, used_upstreams), ("filters", "filter", filters, used_filters)]
    {
        // One that somebody misspelled is used.
        let is_meant = |name: &str| missed.iter().any(|wrong| nearest(wrong, std::iter::once(name)).is_some());
        for name in names.into_iter().filter(|name| !used.contains(name) && !is_meant(name)) {
            let place = report.tree.key(section, name).unwrap_or_default();
            report.unused(place, format!("the {noun} `{name}` is not used"));
        }
    }
}

fn named(used: &Spanned<FilterUse>) -> Option<&str> {
    match &used.value {
        FilterUse::Named(name) => Some(name),
        FilterUse::Inline(_) => None,
    }
}
