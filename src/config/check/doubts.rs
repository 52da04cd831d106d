//! What works and is probably not meant: said as a warning, since nothing else would ever say it.

use std::collections::HashSet;

use frontgate_filters::device::{DESKTOP, Devices};
use frontgate_filters::words::condition::Condition;
use frontgate_filters::words::matching::Wanted;
use frontgate_filters::words::selector::Selector;
use frontgate_filters::words::spanned::Place;
use http::HeaderName;

use super::Report;
use super::filters::entries;
use crate::config::model::{Balance, Config, FilterUse, FirstByte, Listener, Upstream};
use crate::config::read::tree::{Node, Value};

pub(super) fn check(config: &Config, report: &mut Report<'_, '_>) {
    networks(config, report);
    for (name, upstream) in &config.upstreams {
        times(name, upstream, report);
        nameless(name, upstream, report);
        unheard(upstream, report);
    }
    idle(config, report);
    unshown(config, report);
    accounts(config, report);
    devices(config, report);
    texts(report.tree.root, Among::default(), report);
}

/// A network whose address is one of its hosts: it is the whole network all the same.
fn networks(config: &Config, report: &mut Report<'_, '_>) {
    let of_listeners = config.server.listeners.iter().filter_map(|listener| listener.proxy_protocol.as_ref());
    for network in config.server.trusted_proxies.iter().chain(of_listeners.flat_map(|proxies| &proxies.from)) {
        let whole = network.0.trunc();
        if network.0.prefix_len() == 0 {
            let message = format!("`{}` is everybody: each client may say that it is another one", network.0);
            report.warn(network.place, message, Some("name the addresses of your proxies and load balancers".to_owned()));
        } else if whole != network.0 {
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

/// Statuses of gRPC where nobody speaks it.
fn unheard(upstream: &Upstream, report: &mut Report<'_, '_>) {
    let Some(retry) = upstream.retry.as_ref().filter(|_| upstream.speaks_http1_alone()) else { return };
    if let Some(status) = retry.when.iter().find(|condition| matches!(condition, Condition::Grpc(_))) {
        let message = format!("`{status}` is never met: gRPC needs HTTP/2, and this upstream is spoken to in HTTP/1.1");
        report.warn(retry.place, message, Some(super::NEEDS_H2.to_owned()));
    }
}

/// Filters that do nothing as they are written.
fn idle(config: &Config, report: &mut Report<'_, '_>) {
    let named = config.filters.values().map(|entry| (entry.place, &entry.value));
    let lists = std::iter::once(&config.server.filters).chain(config.routes.iter().map(|route| &route.filters));
    let inline = lists.flatten().filter_map(|used| match &used.value {
        FilterUse::Inline(entry) => Some((used.place, entry)),
        FilterUse::Named(_) => None,
    });
    for (place, entry) in named.chain(inline).filter(|(_, entry)| entry.config.options().does_nothing()) {
        if !report.tree.is_torn_at(place) {
            report.warn(place, format!("this `{}` does nothing: none of its options is written", entry.config.kind()), None);
        }
    }
}

/// What certificates of clients say, where no listener asks for them.
fn unshown(config: &Config, report: &mut Report<'_, '_>) {
    if report.tree.torn || asks_for_certificates(config) {
        return;
    }
    let hashes = config.upstreams.values().filter_map(|upstream| match &upstream.balance {
        Balance::ConsistentHash(selector) => Some((selector.place, &selector.value)),
        _ => None,
    });
    let read = entries(config).flat_map(|entry| {
        let options = entry.config.options();
        let accounts = options.accounts().into_iter().map(|(selector, place, _)| (place, selector));
        options.selectors().into_iter().map(|selector| (selector.place, selector.value)).chain(accounts).collect::<Vec<_>>()
    });
    let mut found: Vec<(Place, String)> = Vec::new();
    for (place, selector) in hashes.chain(read) {
        let text = selector.to_string();
        if text.starts_with("client_cert.") && place != Place::default() && !found.iter().any(|(known, _)| *known == place) {
            found.push((place, text));
        }
    }
    for (place, selector) in found {
        report.warn(place, format!("`{selector}` finds nothing: {UNASKED}"), Some(ASK.to_owned()));
    }
}

/// Why nothing is known of clients' certificates, and what helps.
pub(super) const UNASKED: &str = "no listener asks its clients for a certificate";
pub(super) const ASK: &str = "write `client_auth: {ca: clients.pem}` in the `tls` of the listener";

/// Whether a listener asks its clients for a certificate.
pub(super) fn asks_for_certificates(config: &Config) -> bool {
    let asks = |listener: &Listener| listener.tls.as_ref().is_some_and(|tls| tls.client_auth.is_some());
    config.server.listeners.iter().any(|listener| asks(listener))
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
    let Some(classes) = classes(config, report) else { return };
    let in_filters = entries(config).flat_map(|entry| entry.config.options().device_classes());
    let in_filters = in_filters.map(|class| (report.tree.key_of(class.place), class.value.to_owned()));
    let in_routes = config.routes.iter().filter_map(|route| route.when.as_ref()).flat_map(|when| when.device_classes());
    let named: Vec<(Place, String)> = in_filters.chain(in_routes.map(|class| (class.place, class.value.to_owned()))).collect();
    for (place, class) in named.iter().filter(|(_, class)| !classes.contains(class)) {
        report.unknown(*place, "device class", class, classes.iter().map(String::as_str));
    }
    let matches = config.routes.iter().flat_map(|route| &route.canary).flat_map(|variant| &variant.matches);
    for fact in matches.flat_map(|matches| &matches.facts).filter(|fact| fact.selector == Selector::Device) {
        let Wanted::OneOf(values) = &fact.wanted.value else { continue };
        for class in values.iter().filter(|class| !classes.contains(class)) {
            // One that is not in a list has the fact's own place.
            let place = if values.len() == 1 { fact.wanted.place } else { class.place };
            report.unknown(place, "device class", class, classes.iter().map(String::as_str));
        }
    }
}

/// What texts stand among.
#[derive(Clone, Copy, Default)]
struct Among {
    /// They are the values of headers, the same for every request.
    fixed: bool,
    /// Braces open references in them.
    referring: bool,
}

/// The classes of devices that there are; nothing where the table could not be read.
pub(super) fn classes(config: &Config, report: &Report<'_, '_>) -> Option<Vec<String>> {
    if report.tree.root.get("devices").is_some_and(|table| report.tree.is_torn_at(Place(table.id)) || report.tree.skips(table.id)) {
        return None;
    }
    Some(match &config.devices {
        Some(table) => table.0.iter().map(|entry| entry.class.as_str().to_owned()).chain([DESKTOP.to_owned()]).collect(),
        // Their names alone: the table itself takes memory that only those are to pay who ask it for something.
        None => Devices::builtin_classes().iter().map(|class| (*class).to_owned()).collect(),
    })
}

/// Texts that look like something else than what they are.
fn texts(node: &Node, among: Among, report: &mut Report<'_, '_>) {
    if report.tree.skips(node.id) {
        return;
    }
    match &node.value {
        Value::Seq(items) => items.iter().for_each(|item| texts(item, among, report)),
        Value::Map(entries) => {
            for entry in entries.iter().filter(|entry| !report.tree.skips(entry.key_id)) {
                // What clients are sent is text of its own.
                let key = entry.key.as_str();
                if !matches!(key, "json" | "body" | "answer" | "schema") {
                    let fixed = among.fixed || matches!(key, "set" | "add");
                    texts(
                        &entry.node,
                        Among { fixed, referring: among.referring || matches!(key, "aggregate" | "graphql" | "saga") },
                        report,
                    );
                }
            }
        }
        Value::Text { .. } if !report.tree.is_from_environment(Place(node.id)) => {
            let text = node.text.trim();
            if let Some(inner) = within_typographic_quotes(text) {
                let help = format!("write \"{inner}\", or no quotes at all");
                report.warn(Place(node.id), format!("the quotes of `{text}` are part of the text: YAML knows only \" and '"), Some(help));
            } else if let Some(variable) = among.fixed.then(|| of_a_request(text)).flatten() {
                let help = "only the environment is expanded, as `${NAME}`, when the configuration is read".to_owned();
                report.warn(Place(node.id), format!("`{variable}` is not expanded: the value is the same for every request"), Some(help));
            } else if let Some((variable, meant)) =
                foreign_variable(text).filter(|(variable, _)| !among.referring || variable.starts_with('$'))
            {
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

/// What another program would put in the place of this for each request: `$remote_addr`, `%REQ(X)%`, `%[src]`.
fn of_a_request(text: &str) -> Option<&str> {
    for (at, sign) in text.match_indices(['$', '%']) {
        let rest = &text[at + 1..];
        let word = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let after = &rest[word..];
        let begins = rest.starts_with(|c: char| c.is_ascii_alphabetic());
        let length = match sign {
            "$" if begins
                && rest[..word].bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_digit())
                && word > 2 =>
            {
                word
            }
            "%" if begins && after.starts_with('%') && word > 2 => word + 1,
            "%" if begins && after.starts_with('(') => word + after.find(")%")? + 2,
            "%" if rest.starts_with('[') => rest.find(']')? + 1,
            _ => continue,
        };
        return Some(&text[at..at + 1 + length]);
    }
    None
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
    fn what_other_programs_find_in_a_request_is_told_from_what_is_meant_as_it_is() {
        for (text, variable) in [
            ("$remote_addr", "$remote_addr"),
            ("for=$remote_addr;proto=$scheme", "$remote_addr"),
            ("%REQ(X-Env)%", "%REQ(X-Env)%"),
            ("a %DOWNSTREAM_REMOTE_ADDRESS% b", "%DOWNSTREAM_REMOTE_ADDRESS%"),
            ("%[src]", "%[src]"),
        ] {
            assert_eq!(of_a_request(text), Some(variable), "{text}");
        }
        for text in ["$SHOP", "100%", "5 $", "50% of 100%", "%2F", "max-age=31536000", "${x}", "$$", "%("] {
            assert_eq!(of_a_request(text), None, "{text}");
        }
    }

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
