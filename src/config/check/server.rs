//! `server`: addresses used once, a protected admin address, limits and timeouts that can work.

use frontgate_filters::words::reserved;
use frontgate_filters::words::selector::Selector;
use frontgate_filters::words::spanned::{Place, Spanned};
use http::HeaderName;

use super::{Report, is_name};
use crate::config::model::{Config, Dns, Protocol, is_host_name};

/// The maximum of Pingora's parser: bytes of a head, and header lines.
const MOST: (u64, u32) = (1 << 20, 256);

pub(super) fn check(config: &Config, report: &mut Report<'_, '_>) {
    let server = &config.server;
    if server.listeners.is_empty() {
        report.lacking(config.version.place, "there is no listener: write `server: {listeners: [{address: \"0.0.0.0:8080\"}]}`");
    }
    for listener in &server.listeners {
        if listener.protocols.as_ref().is_some_and(Vec::is_empty) {
            report.lacking(listener.place, "`protocols` is empty: no client could be served");
        } else if listener.tls.is_none() && !listener.speaks(Protocol::Http1) {
            report.lacking(listener.place, "a clear-text listener must also speak http1: write `protocols: [h2, http1]`");
        }
        if listener.tls.is_some() && listener.redirect_to_https.is_some() {
            report.error(listener.place, "`redirect_to_https` is for clear-text listeners: this one has `tls`");
        }
        if let Some(proxies) = listener.proxy_protocol.as_ref().filter(|proxies| proxies.from.is_empty()) {
            report.lacking(proxies.place, "`from` names nobody: no client could be served");
        }
    }
    names_of_listeners(config, report);
    cert_headers(config, report);
    let mut taken: Vec<(std::net::SocketAddr, Place)> = Vec::new();
    let listeners = server.listeners.iter().map(|listener| (listener.address, listener.place));
    let admin = server.admin.iter().map(|admin| (admin.address, admin.place));
    let status = server.status.iter().map(|status| (status.value, status.place));
    for (address, place) in listeners.chain(admin).chain(status) {
        if address.port() != 0
            && let Some((_, first)) = taken.iter().find(|(other, _)| *other == address)
        {
            report.both(place, format!("duplicate address `{address}`"), *first, "already used here");
        }
        taken.push((address, place));
    }
    if let Some(admin) = server.admin.as_ref().filter(|admin| admin.token.is_none() && !admin.address.ip().is_loopback()) {
        report.lacking(admin.place, "an admin address that is not on loopback needs a token: write `{address: …, token: {file: …}}`");
    }
    if let Some(dns) = &server.dns {
        names(dns, report);
    }
    let place = report.tree.root.get("server").and_then(|server| server.get("limits")).map_or(config.version.place, |node| Place(node.id));
    let limits = server.limits;
    if !(1 << 10..=MOST.0).contains(&limits.headers.0) {
        report.error(place, "`limits.headers` must be between 1KiB and 1MiB");
    }
    if !(1..=MOST.1).contains(&limits.header_count) {
        report.error(place, "`limits.header_count` must be between 1 and 256");
    }
    if limits.uri.0 == 0 || limits.uri.0 > limits.headers.0 {
        report.error(place, "`limits.uri` must be above 0 and at most `limits.headers`");
    }
    let place =
        report.tree.root.get("server").and_then(|server| server.get("timeouts")).map_or(config.version.place, |node| Place(node.id));
    let timeouts = server.timeouts;
    for (key, value) in [
        ("handshake", timeouts.handshake),
        ("header", timeouts.header),
        ("body", timeouts.body),
        ("keepalive", timeouts.keepalive),
        ("max_age", timeouts.max_age),
        ("write", timeouts.write),
        ("tunnel", timeouts.tunnel),
    ] {
        if value.0.is_zero() {
            report.error(place, format!("`timeouts.{key}` is 0: no client could be served"));
        }
    }
    overload(config, report);
}

/// Bounds that something can be below.
fn overload(config: &Config, report: &mut Report<'_, '_>) {
    let place =
        report.tree.root.get("server").and_then(|server| server.get("overload")).map_or(config.version.place, |node| Place(node.id));
    let overload = config.server.overload;
    for (key, is_nothing) in
        [("memory", overload.memory.0 == 0.0), ("descriptors", overload.descriptors.0 == 0.0), ("lag", overload.lag.0.is_zero())]
    {
        if is_nothing {
            report.error(place, format!("`overload.{key}` is 0: the gateway would be overloaded all the time"));
        }
    }
}

/// Each name is one that systemd can give to a socket, and stands for one address.
fn names_of_listeners(config: &Config, report: &mut Report<'_, '_>) {
    let mut seen: Vec<&Spanned<String>> = Vec::new();
    for name in config.server.listeners.iter().filter_map(|listener| listener.name.as_ref()) {
        if !is_name(name) {
            report.error(name.place, format!("`{}` is not a valid name: use letters, digits, `-` and `_`", name.value));
        } else if matches!(name.as_str(), "admin" | "status") {
            report.error(name.place, format!("`{}` is the name of the address in `server.{}`", name.value, name.value));
        }
        match seen.iter().find(|other| other.value == name.value) {
            Some(first) => report.both(name.place, format!("duplicate listener `{}`", name.value), first.place, "already used here"),
            None => seen.push(name),
        }
    }
}

/// Headers that say who has shown a certificate: each can be set, holds a fact of one, and the same on every listener.
fn cert_headers(config: &Config, report: &mut Report<'_, '_>) {
    let mut seen: Vec<(HeaderName, &Spanned<Selector>)> = Vec::new();
    for (name, fact) in config.server.cert_headers() {
        let header = match HeaderName::from_bytes(name.as_bytes()) {
            Ok(header) if reserved::for_claims(&header) => {
                report.error(fact.place, format!("`{name}` is a header that no certificate can set"));
                continue;
            }
            Ok(header) => header,
            Err(_) => {
                report.error(fact.place, format!("`{name}` is not a header name"));
                continue;
            }
        };
        if !fact.is_of_certificate() {
            let help = "write `client_cert.cn`, `client_cert.subject` or `client_cert.san`".to_owned();
            report.helped(fact.place, format!("`{}` is no fact of a certificate", fact.value), Some(help));
        }
        match seen.iter().find(|(other, _)| reserved::are_alike(other.as_str(), header.as_str())) {
            Some((_, other)) if other.value != fact.value => {
                report.both(fact.place, format!("`{name}` stands for two facts"), other.place, "the other one");
            }
            Some(_) => {}
            None => seen.push((header, fact)),
        }
    }
}

/// Whom to ask for names, and in which domains.
fn names(dns: &Spanned<Dns>, report: &mut Report<'_, '_>) {
    if dns.servers.as_ref().is_some_and(Vec::is_empty) {
        report.lacking(dns.place, "`servers` is empty: no name could be resolved; leave it out for those in /etc/resolv.conf");
    }
    for server in dns.servers.iter().flatten() {
        if server.0.port() == 0 {
            report.error(server.place, "port 0 cannot be connected to");
        }
    }
    for domain in dns.search.iter().flatten() {
        if !is_host_name(domain) {
            report.error(domain.place, format!("`{}` is not a domain to search in, as in shop.internal", domain.value));
        }
    }
}
