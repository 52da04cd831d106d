//! Which lines of a file may hold a secret, by how they look: no diagnostic shows such a line or repeats what is on it.
//!
//! It reads the text and not the values, so that it also holds for a file that is not YAML. It would rather hide a line too many.

use std::collections::BTreeSet;

/// What was found on hidden lines, to take it out of messages.
#[derive(Debug, Default)]
pub(super) struct Words(BTreeSet<String>);

/// Shorter ones than this are taken out only of what is said about their own line: they may be part of any word.
const TELLING: usize = 6;

impl Words {
    /// Notes a value, and what it consists of where it is a list or a map.
    pub(super) fn add(&mut self, value: &str) {
        let quotes: &[char] = &['"', '\'', ' ', '\t', '\r'];
        let whole = value.trim_matches(quotes);
        let parts = whole.split(|c: char| c.is_whitespace() || "[]{},\"'".contains(c));
        let known = ["", "file", "env", "file:", "env:"];
        let parts = parts.chain(std::iter::once(whole)).filter(|part| !known.contains(part));
        self.0.extend(parts.map(str::to_owned));
    }

    /// The text without them. `near`: it is about the line that holds them.
    pub(super) fn without(&self, text: &str, near: bool) -> String {
        let mut out = text.to_owned();
        // Longer ones first: they may hold others.
        let mut words: Vec<&String> = self.0.iter().filter(|word| text.contains(word.as_str())).collect();
        words.sort_by_key(|word| std::cmp::Reverse(word.len()));
        for word in words {
            if word.len() >= TELLING || near && word.len() > 2 {
                out = out.replace(word.as_str(), "…");
            } else if near {
                out = out.replace(&format!("`{word}`"), "`…`");
            }
        }
        out
    }
}

/// The lines that are not shown, from 1; what is secret on them is added to `words`.
pub(super) fn find(text: &str, words: &mut Words) -> BTreeSet<usize> {
    let mut hidden = BTreeSet::new();
    // Where a value goes on over the lines below: those that are indented by more than this.
    let mut deeper_than: Option<usize> = None;
    let mut in_pem = false;
    for (index, line) in text.lines().enumerate() {
        let content = line.trim();
        if content.is_empty() {
            continue;
        }
        let indent = line.len() - line.trim_start().len();
        let mut hide = in_pem;
        if let Some(depth) = deeper_than {
            match indent > depth || content.starts_with([']', '}']) || (indent == depth && content.starts_with("- ")) {
                true if !is_reference(content) => {
                    words.add(content.trim_start_matches("- "));
                    hide = true;
                }
                true => {}
                false => deeper_than = None,
            }
        }
        if content.contains("-----BEGIN ") && content.contains("PRIVATE KEY") {
            (hide, in_pem) = (true, true);
        }
        if in_pem {
            words.add(content);
            in_pem = !content.contains("-----END ");
        }
        for found in values(line).into_iter().chain(bare(line)) {
            words.add(found.text);
            hide |= !found.text.is_empty();
            deeper_than = deeper_than.or(found.goes_on);
        }
        if hide {
            hidden.insert(index + 1);
        }
    }
    hidden
}

/// A secret on a line, and the indentation above which the lines below belong to it.
struct Found<'t> {
    text: &'t str,
    goes_on: Option<usize>,
}

/// The values of keys that are named like secrets.
fn values(line: &str) -> Vec<Found<'_>> {
    let mut found = Vec::new();
    for (colon, _) in line.match_indices(':') {
        let (before, after) = (line[..colon].trim_end(), &line[colon + 1..]);
        let is_key = after.is_empty() || after.starts_with([' ', '\t']) || before.ends_with(['"', '\'']);
        let start = before.rfind(['{', '[', ',']).map_or(0, |at| at + 1);
        let key = before[start..].trim_start_matches([' ', '\t', '-']).trim_matches(['"', '\'']);
        if !is_key || !names_a_secret(key) {
            continue;
        }
        let in_flow = start > 0;
        let column = before[start..].find(|c: char| !" \t-".contains(c)).map_or(0, |offset| start + offset);
        let value = after.trim();
        if is_open(value) {
            found.push(Found { text: "", goes_on: Some(column) });
        } else if !is_harmless(value) {
            let text = if in_flow { until_delimiter(value) } else { value };
            let unbalanced = |open, close| text.matches(open).count() > text.matches(close).count();
            let goes_on = match in_flow {
                true => (unbalanced('[', ']') || unbalanced('{', '}')).then(|| line.len() - line.trim_start().len()),
                false => Some(column),
            };
            found.push(Found { text, goes_on });
        }
    }
    found
}

/// Whether a key's value stands below it.
fn is_open(value: &str) -> bool {
    value.is_empty() || value.starts_with('#') || ["|", ">", "|-", ">-", "|+", ">+"].contains(&value)
}

/// Whether this says where a secret is kept.
fn is_reference(value: &str) -> bool {
    let inner = value.trim_start_matches(['{', ' ', '"', '\'', '-']);
    let after = |key: &str| inner.strip_prefix(key).and_then(|rest| rest.trim_start_matches(['"', '\'']).trim_start().strip_prefix(':'));
    // Under `env`, what cannot be the name of a variable may be the secret itself.
    let is_name = |text: &str| {
        let name = text.trim_start_matches([' ', '"', '\'']);
        let name = name[..name.find(['"', '\'', '}', ',', '#']).unwrap_or(name.len())].trim_end();
        !name.starts_with(|c: char| c.is_ascii_digit()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    after("file").is_some() || after("env").is_some_and(is_name)
}

/// Whether this is no secret whatever its key is called: a place, a flag, a selector, a variable without a default.
fn is_harmless(value: &str) -> bool {
    let word = value.split([',', '}', ']', ' ', '#']).next().unwrap_or_default();
    let selector = ["claim.", "header.", "cookie.", "query.", "client_cert."].iter().any(|kind| {
        let list = value.trim_start_matches(['[', ' ', '"', '\'']);
        list.starts_with(kind)
    });
    let variable = value.trim_start_matches(['"', '\'']).strip_prefix("${").and_then(|rest| rest.split_once('}'));
    let is_variable = variable.is_some_and(|(name, rest)| {
        let ends = rest.trim_start_matches(['"', '\'']).trim_start();
        !name.contains(":-") && (ends.is_empty() || ends.starts_with([',', '}', ']', '#']))
    });
    ["true", "false", "null", "~", "yes", "no", "on", "off", "any"].contains(&word) || is_reference(value) || selector || is_variable
}

/// A value in a flow collection, as far as it goes.
fn until_delimiter(value: &str) -> &str {
    let mut depth = 0usize;
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
    for (at, c) in value.char_indices() {
        match c {
            _ if quote.is_some() && at > 0 && Some(c) == quote => return &value[..=at],
            _ if quote.is_some() => {}
            '[' | '{' => depth += 1,
            ']' | '}' if depth == 0 => return &value[..at],
            ']' | '}' => depth -= 1,
            ',' if depth == 0 => return &value[..at],
            _ => {}
        }
    }
    value
}

/// Whether a key says that its value is a secret.
fn names_a_secret(key: &str) -> bool {
    let mut words: Vec<String> = vec![String::new()];
    for c in key.chars() {
        // `clientSecret` is two words, and so is `client-secret`.
        if !c.is_alphanumeric() || c.is_uppercase() && words.last().is_some_and(|word| word.ends_with(char::is_lowercase)) {
            words.push(String::new());
        }
        if let (true, Some(word)) = (c.is_alphanumeric(), words.last_mut()) {
            word.extend(c.to_lowercase());
        }
    }
    const ALONE: [&str; 16] = [
        "secret",
        "secrets",
        "password",
        "passwords",
        "passwd",
        "passphrase",
        "pwd",
        "pass",
        "pw",
        "token",
        "tokens",
        "credential",
        "credentials",
        "authorization",
        "apikey",
        "apikeys",
    ];
    const OF_KEYS: [&str; 12] =
        ["api", "private", "access", "secret", "signing", "encryption", "hash", "hmac", "shared", "master", "auth", "session"];
    let of = |word: &str| matches!(word, "key" | "keys");
    words.iter().any(|word| ALONE.contains(&word.as_str()))
        || words.windows(2).any(|pair| OF_KEYS.contains(&pair[0].as_str()) && of(&pair[1]) || pair[0] == "basic" && pair[1] == "auth")
}

/// Secrets that look like ones whatever their key is called: a password in a URL, credentials of a header, a signed token.
fn bare(line: &str) -> Vec<Found<'_>> {
    let mut found = Vec::new();
    for word in line.split(|c: char| c.is_whitespace() || "\"'`".contains(c)) {
        let inside = word.find("://").map_or(word.trim_start_matches(['[', '{', '(', ',']), |at| &word[at + 3..]);
        let in_url = inside.len() < word.len() && word.contains("://");
        if let Some((user, _)) = inside.rsplit_once('@') {
            if let Some((_, password)) = user.split_once(':') {
                found.extend([user, password].map(|text| Found { text, goes_on: None }));
            } else if in_url && !user.contains(['/', '?', '#']) {
                found.push(Found { text: user, goes_on: None });
            }
        }
        if let Some(at) = word.find("eyJ") {
            let token = &word[at..];
            let end = token.find(|c: char| !c.is_ascii_alphanumeric() && !"-_.=".contains(c)).unwrap_or(token.len());
            if token[..end].split('.').count() > 2 {
                found.push(Found { text: &token[..end], goes_on: None });
            }
        }
    }
    let lower = line.to_ascii_lowercase();
    for scheme in ["bearer ", "basic "] {
        for (at, _) in lower.match_indices(scheme) {
            let value = line[at + scheme.len()..].trim_start();
            let end = value.find(|c: char| !c.is_ascii_alphanumeric() && !"-._~+/=".contains(c)).unwrap_or(value.len());
            if end >= 8 {
                found.push(Found { text: &value[..end], goes_on: None });
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(text: &str) -> Vec<usize> {
        find(text, &mut Words::default()).into_iter().collect()
    }

    #[test]
    fn lines_that_hold_a_secret_are_found_however_it_is_written() {
        for (text, lines) in [
            ("jwt_secret: [hunter2]", vec![1]),
            ("a: {token: hunter2, b: c}", vec![1]),
            ("a: {\"clientSecret\":\"hunter2\"}", vec![1]),
            ("password: |\n  hunter2\n  more\nother: x", vec![2, 3]),
            ("password: hunter\n  two\nother: x", vec![1, 2]),
            ("- secret:\n    - hunter2\n  other: x", vec![2]),
            ("tokens:\n- hunter2\nother: x", vec![2]),
            ("token: [\n  hunter2\n]\nother: x", vec![1, 2, 3]),
            ("token: {hunter2}", vec![1]),
            ("token: {env: \"hunter2 & more\"}", vec![1]),
            ("token: ${NAME:-hunter2}", vec![1]),
            ("api_key: hunter2: x", vec![1]),
            ("url: https://u:hunter2@h/k", vec![1]),
            ("url: 'redis://:hunter2@h'", vec![1]),
            ("url: https://hunter2@h/k", vec![1]),
            ("endpoints: [admin:hunter2@10.0.0.1:80]", vec![1]),
            ("set: {X: \"Bearer abcdefghij\"}", vec![1]),
            ("x: eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc", vec![1]),
            ("key: |\n  -----BEGIN PRIVATE KEY-----\n  abc\n  -----END PRIVATE KEY-----\nb: c", vec![2, 3, 4]),
        ] {
            assert_eq!(hidden(text), lines, "{text}");
        }
    }

    #[test]
    fn lines_that_only_name_one_are_shown() {
        for text in [
            "token: {file: admin.token}",
            "token: {env: ADMIN_TOKEN}",
            "token:\n  file: admin.token",
            "keys: {secret: {file: hs.key}}",
            "forward_token: true",
            "token: ${ADMIN_TOKEN}",
            "claim_headers: {X-Token: claim.sub}",
            "key: client_ip",
            "key: [header.X-Api-Key]",
            "keys: {public_key: {file: rsa.pub}}",
            "issuer: https://id.shop.example:8443/",
            "url: https://id.shop.example/@shop/keys",
            "path: /a/**  # the bearer of a token",
        ] {
            assert_eq!(hidden(text), Vec::<usize>::new(), "{text}");
        }
    }

    #[test]
    fn what_is_secret_is_taken_out_of_messages() {
        let mut words = Words::default();
        find("url: https://u:hunter2@h/k\ntoken: [abc, x]", &mut words);

        assert_eq!(words.without("`https://u:hunter2@h/k` is wrong, hunter2", false), "`https://…@h/k` is wrong, …");
        assert_eq!(words.without("`abc` and `x` in abcd", false), "`abc` and `x` in abcd");
        assert_eq!(words.without("`abc` and `x` in xy", true), "`…` and `…` in xy");
    }
}
