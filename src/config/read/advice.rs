//! The obvious suggestion: what somebody meant who wrote a value of another type, or a word that does not exist.

use super::problem::{Kind, listed};
use super::tree::{Node, Value};
use crate::config::diagnostics::nearest;

/// What the value of a key of a map was meant for, where it is written without the map.
const SHORT: &[(&str, &str)] = &[
    ("listeners", "address"),
    ("jwks", "file"),
    ("health", "path"),
    ("outlier", "consecutive"),
    ("retry", "attempts"),
    ("limits", "body"),
    ("respond", "status"),
    ("redirect", "to"),
    ("rewrite", "path"),
    ("cached", "max_age"),
    ("slow", "over"),
    ("drain", "timeout"),
];

/// Keys of other programs that do what one of ours does.
const FOREIGN: &[(&str, &[&str])] = &[
    ("listeners", &["listen", "bind", "port", "ports"]),
    ("upstreams", &["services", "backends", "clusters"]),
    ("routes", &["locations", "rules"]),
    ("filters", &["plugins", "middleware", "middlewares"]),
    ("endpoints", &["servers", "hosts", "targets", "nodes", "backends", "addresses", "instances", "url", "urls"]),
    ("balance", &["lb", "lb_policy", "load_balancing", "strategy", "algorithm"]),
    ("health", &["healthcheck", "healthchecks", "health_check", "health_checks"]),
    ("upstream", &["backend", "proxy_pass", "service", "cluster", "target", "forward"]),
    ("path", &["location", "prefix", "uri", "url", "match"]),
    ("when", &["conditions", "predicates", "if", "headers", "header"]),
    ("mirror", &["shadow", "mirroring", "request_mirror"]),
    ("rewrite", &["strip_prefix", "strip_path", "path_rewrite"]),
    ("rate", &["limit", "requests", "rps"]),
    ("calls", &["backend", "backends", "requests", "sources", "steps"]),
    ("steps", &["calls", "stages", "tasks", "actions", "transactions"]),
    ("keep", &["allow", "include", "select", "fields"]),
    ("drop", &["deny", "exclude", "remove"]),
    ("rename", &["mapping", "map"]),
    ("at", &["target", "root", "pick"]),
    ("issuer", &["iss"]),
    ("audience", &["aud"]),
    ("algorithms", &["alg", "algs"]),
    ("server_name", &["sni", "servername", "verify_name", "hostname"]),
    ("ca", &["ca_file", "cafile", "ca_cert", "cacert", "trusted_ca", "client_ca"]),
    ("cert", &["certificate", "cert_file", "certfile", "crt", "ssl_certificate"]),
    ("key", &["private_key", "key_file", "keyfile", "ssl_certificate_key"]),
];

/// Words of other programs for a value of ours.
const SYNONYMS: &[(&str, &[&str])] = &[
    ("h2", &["http2", "http/2", "http_2", "http2.0", "http/2.0", "h2c", "grpc"]),
    ("http1", &["http", "http/1", "http/1.1", "http1.1", "http11", "http_1", "h1"]),
];

/// What a key of a map is given where its value is written as a mere word.
const EXAMPLES: &[(&str, &str, &str)] = &[
    ("listeners.*.tls", "a map", "{cert: shop.pem, key: shop.key}"),
    ("upstreams.*.tls", "a map", "{}"),
    ("tls.client_auth", "a map", "{ca: clients.pem, mode: $}"),
    ("listeners.*.proxy_protocol", "a map", "{from: [10.0.0.0/8]}"),
];

/// The one of these values that another program's word stands for.
fn synonym<'k>(word: &str, expected: &[&'k str]) -> Option<&'k str> {
    let word = word.to_ascii_lowercase();
    let ours = |known: &&&str| SYNONYMS.iter().any(|(own, others)| own == *known && others.contains(&word.as_str()));
    expected.iter().find(ours).copied()
}

/// What a whole map would look like at this path, in place of a word.
fn example(path: &[&str], wanted: &str, text: &str) -> Option<String> {
    let ends = |pattern: &str| {
        let mut found = path.iter().rev();
        pattern.rsplit('.').all(|word| found.next().is_some_and(|name| word == "*" || *name == word))
    };
    let (_, _, map) = EXAMPLES.iter().find(|(pattern, kind, _)| ends(pattern) && wanted.starts_with(kind))?;
    let mode = if matches!(text, "optional" | "required") { text } else { "required" };
    Some(format!("write {}", map.replace('$', mode)))
}

/// The one of these keys that was meant: the nearest one, or the one that does what another program's key does.
pub(super) fn meant<'k>(name: &str, expected: &[&'k str]) -> Option<&'k str> {
    nearest(name, expected.iter().copied()).or_else(|| {
        let name = name.to_lowercase().replace('-', "_");
        let ours = |known: &&&str| FOREIGN.iter().any(|(own, foreign)| own == *known && foreign.contains(&name.as_str()));
        expected.iter().find(ours).copied()
    })
}

/// What would be right; `key` is the one whose value this is, or in whose list it stands.
pub(super) fn advice(kind: &Kind, node: Option<&Node>, key: Option<&str>, path: &[&str]) -> Option<String> {
    match kind {
        Kind::UnknownField(_, []) => None,
        Kind::UnknownField(name, expected) => {
            let all = || format!("the keys here are {}", listed(expected));
            Some(match (nearest(name, expected.iter().copied()), meant(name, expected)) {
                (Some(near), _) => format!("did you mean `{near}`?"),
                (None, Some("rewrite")) => format!("write `rewrite: {{{name}: …}}`; {}", all()),
                (None, Some(meant)) => format!("did you mean `{meant}`? {}", all()),
                (None, None) => all(),
            })
        }
        Kind::UnknownVariant(name, expected) => match synonym(name, expected).or_else(|| nearest(name, expected.iter().copied())) {
            Some(near) => Some(format!("did you mean `{near}`?")),
            None => in_a_map(name, expected, key),
        },
        Kind::Type(wanted) => node.and_then(|node| {
            let is_word = !matches!(node.value, Value::Null | Value::Seq(_) | Value::Map(_));
            example(path, wanted, &node.text).filter(|_| is_word).or_else(|| of_type(wanted, node, key))
        }),
        _ => None,
    }
}

/// A text where a map of one key belongs: `to: x.log`, `rewrite: /v2`.
fn in_a_map(text: &str, expected: &[&str], key: Option<&str>) -> Option<String> {
    if expected.contains(&"jwks") && text.contains("://") {
        return Some(format!("write {{jwks: {{url: {}}}}}", written(text)));
    }
    let inner = SHORT.iter().find(|(name, _)| Some(*name) == key).map(|(_, inner)| *inner);
    let is_path = text.contains(['/', '.']);
    let inner = inner.or_else(|| (is_path && expected.contains(&"file")).then_some("file"))?;
    expected.contains(&inner).then(|| format!("write {{{inner}: {}}}", written(text)))
}

fn of_type(wanted: &str, node: &Node, key: Option<&str>) -> Option<String> {
    let text = node.text.trim();
    let is_scalar = !matches!(node.value, Value::Null | Value::Seq(_) | Value::Map(_)) && !text.is_empty();
    match wanted {
        "a list" if is_scalar => {
            // Methods are in capitals, and only they are.
            let text = if key == Some("methods") { text.to_uppercase() } else { text.to_owned() };
            let entries: Vec<String> = text.split(',').map(|part| written(part.trim())).collect();
            Some(format!("write [{}]", entries.join(", ")))
        }
        "a list" if matches!(node.value, Value::Map(_)) => Some("begin each entry with `- `, or write them in brackets".to_owned()),
        "true or false" if is_scalar => {
            let flag = match text.to_lowercase().as_str() {
                "true" | "on" | "yes" | "y" | "1" | "enabled" => "true",
                "false" | "off" | "no" | "n" | "0" | "disabled" => "false",
                _ => return None,
            };
            Some(format!("write {flag}"))
        }
        wanted if wanted.starts_with("a whole number") && is_scalar => {
            let digits: String = text.chars().filter(|c| !matches!(c, '_' | ',' | ' ')).collect();
            digits.parse::<u64>().ok().map(|number| format!("write {number}, without quotes"))
        }
        wanted if wanted.starts_with("an address") && is_scalar && text.parse::<u16>().is_ok() => {
            // An admin address on every interface needs a token.
            let everywhere = if key == Some("admin") { String::new() } else { format!(", or 0.0.0.0:{text} for every interface") };
            Some(format!("write 127.0.0.1:{text}{everywhere}"))
        }
        wanted
            if (wanted == "text" || wanted.starts_with("the name of")) && matches!(&node.value, Value::Seq(items) if items.len() == 1) =>
        {
            Some("write it without the brackets".to_owned())
        }
        wanted if wanted.starts_with("a map") && is_scalar => {
            let inner = match SHORT.iter().find(|(name, _)| Some(*name) == key)?.1 {
                "file" if text.contains("://") => "url",
                inner => inner,
            };
            Some(format!("write {{{inner}: {}}}", written(text)))
        }
        wanted if wanted.starts_with("a map") && matches!(node.value, Value::Seq(_)) => {
            Some("write its keys without dashes and brackets".to_owned())
        }
        _ => None,
    }
}

/// A text as it can be written in brackets.
fn written(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | '%' | '+' | '@');
    let harmless = text.chars().all(|c| plain(c) || c == ':') && !text.ends_with(':') && !text.starts_with([':', '@', '%', '-']);
    if harmless { text.to_owned() } else { format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")) }
}
