//! What the language has and this version has not: who writes it is told so, instead of being told that it is misspelled.

use super::tree::Node;

/// How a message says it.
pub(super) const WORDS: &str = "not in this version";

/// The ends of paths, `*` for every name and every entry of a list, with what can be done instead. A key leaves this list when it comes.
const KEYS: &[(&[&str], &str)] = &[(&["jwt.tunnel_until_exp"], "a token that expires meanwhile does not end a tunnel")];

/// What to do instead of a key that this version has not; nothing for every other key.
pub(super) fn key(path: &[&str]) -> Option<&'static str> {
    KEYS.iter().find(|(patterns, _)| patterns.iter().any(|pattern| ends(path, pattern))).map(|(_, help)| *help)
}

/// The same of a value whose key exists.
pub(super) fn value(path: &[&str], node: Option<&Node>) -> Option<&'static str> {
    if ends(path, "listeners.*.protocols.*") && node.is_some_and(|node| matches!(node.text.to_ascii_lowercase().as_str(), "h3" | "http3")) {
        return Some("HTTP/3 is not spoken yet: `h2` and `http1` are");
    }
    None
}

fn ends(path: &[&str], pattern: &str) -> bool {
    let mut wanted = pattern.rsplit('.');
    let mut found = path.iter().rev();
    wanted.all(|word| found.next().is_some_and(|name| word == "*" || *name == word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_called_absent_that_exists() {
        let schema: serde_json::Value = serde_json::from_str(&crate::config::schema::json()).expect("JSON");
        let definitions = [
            ("listeners.*", "Listener"),
            ("server", "Server"),
            ("server.limits", "Limits"),
            ("server.timeouts", "ServerTimeouts"),
            ("upstreams.*", "Upstream"),
            ("upstreams.*.timeouts", "UpstreamTimeouts"),
            ("routes.*", "Route"),
            ("telemetry", "Telemetry"),
            ("access_log", "AccessLogMap"),
            ("filters.*", "Filter"),
            ("server.filters.*", "Filter"),
        ];

        for pattern in KEYS.iter().flat_map(|(patterns, _)| patterns.iter()) {
            let (map, key) = pattern.rsplit_once('.').expect("a path");
            let properties = match definitions.iter().find(|(path, _)| *path == map) {
                Some((_, name)) => &schema["$defs"][*name]["properties"],
                None => &schema["$defs"]["Filter"]["properties"][map]["properties"],
            };
            assert!(properties.is_object(), "{pattern}: {properties}");
            assert!(properties.get(key).is_none(), "`{pattern}` exists");
        }
    }
}
