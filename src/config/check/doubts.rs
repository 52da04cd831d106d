//! What works and is probably not meant: said as a warning, since nothing else would ever say it.

use std::collections::HashSet;

use frontgate_filters::device::{DESKTOP, Devices};
use frontgate_filters::words::selector::Selector;
use frontgate_filters::words::spanned::Place;
use http::HeaderName;

use super::Report;
use super::filters::entries;
use crate::config::model::{Config, FirstByte, Upstream};
use crate::config::read::tree::{Node, Value};

pub(super) fn check(config: &Config, report: &mut Report<'_, '_>) {
    networks(config, report);
    for (name, upstream) in &config.upstreams {
        times(name, upstream, report);
        nameless(name, upstream, report);
    }
    accounts(config, report);
    devices(config, report);
    texts(report.tree.root, report);
}

/// A network whose address is one of its hosts: it is the whole network all the same.
fn networks(config: &Config, report: &mut Report<'_, '_>) {
    let of_listeners = config.server.listeners.iter().filter_map(|listener| listener.proxy_protocol.as_ref());
    for network in config.server.trusted_proxies.iter().chain(of_listeners.flat_map(|proxies| &proxies.from)) {
        let whole = network.0.trunc();
        if whole != network.0 {
            let message = format!("`{}` is the whole network {whole}: bits of a host are set in its address", network.0);
            let help = format!("write {whole}, or {} for this host alone", network.0.addr());
            report.warn(network.place, message, Some(help));
        }
    }
}

/// Times that leave others no room.
fn times(name: &str, upstream: &Upstream, report: &mut Report<'_, '_>) {
    if let Some(health) = &upstream.health
        && health.timeout.0 > health.interval.0
        && !report.tree.is_torn_at(health.place)
    {
        let message =
            format!("a probe may take longer (`timeout`, {}) than the time between two (`interval`, {})", health.timeout, health.interval);
        report.warn(health.place, message, Some("make `timeout` at most `interval`".to_owned()));
    }
    let timeouts = upstream.timeouts;
    let written = report.tree.root.get("upstreams").and_then(|all| all.get(name)).and_then(|one| one.get("timeouts"));
    let (Some(total), Some(written)) = (timeouts.total, written) else { return };
    let first_byte = match timeouts.first_byte {
        FirstByte::Fixed(duration) => duration,
        FirstByte::Adaptive(bounds) => bounds.max,
    };
    for (key, value) in [("connect", timeouts.connect), ("first_byte", first_byte), ("between_bytes", timeouts.between_bytes)] {
        // A default is not what somebody meant.
        let Some(node) = written.get(key) else { continue };
        if value.0 > total.0 && !report.tree.is_torn_at(Place(written.id)) {
            let message = format!("`{key}` ({value}) is longer than `total` ({total}), which ends the attempt before");
            report.warn(Place(node.id), message, None);
        }
    }
}

/// Certificates that nothing says the name of: few are for addresses.
fn nameless(name: &str, upstream: &Upstream, report: &mut Report<'_, '_>) {
    let Some(tls) = &upstream.tls else { return };
    let others = upstream.discover.as_ref().is_none_or(|discover| discover.dns.is_some() || discover.dns_srv.is_some());
    let is_named = others && upstream.endpoints.iter().all(|endpoint| endpoint.address.name().is_some());
    if tls.server_name.is_none() && upstream.host.is_none() && !is_named && !report.tree.is_torn_at(tls.place) {
        let message =
            format!("nothing says which name the certificates of the upstream `{name}` are for: they have to be for its addresses");
        report.warn(tls.place, message, Some("write `server_name`, unless its certificates name their IP addresses".to_owned()));
    }
}

/// Limits that a client chooses for itself.
fn accounts(config: &Config, report: &mut Report<'_, '_>) {
    let told = entries(config).flat_map(|entry| entry.config.options().identity_headers());
    let shown = config.server.cert_headers().filter_map(|(name, _)| HeaderName::from_bytes(name.as_bytes()).ok());
    let verified: HashSet<HeaderName> = told.chain(shown).collect();
    let mut found = Vec::new();
    for entry in entries(config) {
        for (selector, place, what) in entry.config.options().accounts() {
            let is_free = match selector {
                Selector::Header(name) => !verified.contains(name),
                Selector::Cookie(_) | Selector::Query(_) => true,
                _ => false,
            };
            if is_free {
                found.push((place, format!("`{selector}` is whatever the client sends: {what}")));
            }
        }
    }
    for (place, message) in found {
        report.warn(place, message, Some("use what is verified, such as `claim.sub`, or `client_ip`".to_owned()));
    }
}

/// Classes of devices that no table has: what is written for them never happens.
fn devices(config: &Config, report: &mut Report<'_, '_>) {
    if report.tree.root.get("devices").is_some_and(|table| report.tree.is_torn_at(Place(table.id)) || report.tree.skips(table.id)) {
        return;
    }
    let classes: Vec<String> = match &config.devices {
        Some(table) => table.0.iter().map(|entry| entry.class.as_str().to_owned()).chain([DESKTOP.to_owned()]).collect(),
        // Their names alone: the table itself takes memory that only those are to pay who ask it for something.
        None => Devices::builtin_classes().iter().map(|class| (*class).to_owned()).collect(),
    };
    let in_filters = entries(config).flat_map(|entry| entry.config.options().device_classes());
    let in_filters = in_filters.map(|class| (report.tree.key_of(class.place), class.value.to_owned()));
    let in_routes = config.routes.iter().filter_map(|route| route.when.as_ref()).flat_map(|when| when.device_classes());
    let named: Vec<(Place, String)> = in_filters.chain(in_routes.map(|class| (class.place, class.value.to_owned()))).collect();
    for (place, class) in named.iter().filter(|(_, class)| !classes.contains(class)) {
        report.unknown(*place, "device class", class, classes.iter().map(String::as_str));
    }
}

/// Texts that look like something else than what they are.
fn texts(node: &Node, report: &mut Report<'_, '_>) {
    if report.tree.skips(node.id) {
        return;
    }
    match &node.value {
        Value::Seq(items) => items.iter().for_each(|item| texts(item, report)),
        Value::Map(entries) => {
            for entry in entries.iter().filter(|entry| !report.tree.skips(entry.key_id)) {
                // What clients are sent is text of its own.
                if !matches!(entry.key.as_str(), "json" | "body") {
                    texts(&entry.node, report);
                }
            }
        }
        Value::Text { .. } if !report.tree.is_from_environment(Place(node.id)) => {
            let text = node.text.trim();
            if let Some(inner) = within_typographic_quotes(text) {
                let help = format!("write \"{inner}\", or no quotes at all");
                report.warn(Place(node.id), format!("the quotes of `{text}` are part of the text: YAML knows only \" and '"), Some(help));
            } else if let Some((variable, meant)) = foreign_variable(text) {
                report.warn(Place(node.id), format!("`{variable}` is not expanded"), Some(format!("write `{meant}`")));
            }
        }
        _ => {}
    }
}

/// What stands between quotes that only look like some.
fn within_typographic_quotes(text: &str) -> Option<&str> {
    let open = ['“', '„', '”', '‘', '‚', '’', '«', '»', '‹', '›', '‟', '＂', '´'];
    let inner = text.strip_prefix(open)?.strip_suffix(open)?;
    (!inner.is_empty()).then_some(inner)
}

/// A variable as a shell or another program writes it, and as it is written here.
fn foreign_variable(text: &str) -> Option<(String, String)> {
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let meant = |written: &str, name: &str| Some((written.to_owned(), format!("${{{name}}}")));
    for (at, _) in text.match_indices('$') {
        if text[..at].ends_with('$') {
            continue;
        }
        let rest = &text[at + 1..];
        if let Some((name, _)) = rest.strip_prefix('(').and_then(|rest| rest.split_once(')')).filter(|(name, _)| is_name(name)) {
            return meant(&format!("$({name})"), name);
        }
        let name = &rest[..rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len())];
        // Within a text only what looks like the name of an environment variable.
        let is_whole = at == 0 && name.len() == rest.len();
        if is_name(name) && name.len() > 1 && (is_whole || !name.bytes().any(|byte| byte.is_ascii_lowercase())) {
            return meant(&format!("${name}"), name);
        }
    }
    if let Some(name) = text.strip_prefix('%').and_then(|rest| rest.strip_suffix('%')).filter(|name| is_name(name)) {
        return meant(text, name);
    }
    let (_, rest) = text.split_once("{{")?;
    let (inside, _) = rest.split_once("}}")?;
    let name = inside.trim().rsplit(['.', ' ']).next().unwrap_or_default();
    is_name(name).then(|| (format!("{{{{{inside}}}}}"), format!("${{{name}}}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_other_programs_are_told_from_other_dollars() {
        for (text, meant) in [
            ("$SHOP", "${SHOP}"),
            ("$shop", "${shop}"),
            ("https://$HOST/keys", "${HOST}"),
            ("$(SHOP)", "${SHOP}"),
            ("%SHOP%", "${SHOP}"),
            ("{{ .Values.shop }}", "${shop}"),
        ] {
            assert_eq!(foreign_variable(text).map(|(_, meant)| meant).as_deref(), Some(meant), "{text}");
        }
        for text in ["5 $", "a$b", "$1", "$$SHOP", "${SHOP}", "100%", "/a/{id}", "$"] {
            assert_eq!(foreign_variable(text), None, "{text}");
        }
    }
}
