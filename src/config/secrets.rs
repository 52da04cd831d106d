//! Which lines of a file may hold a secret, by how they look: no diagnostic shows such a line or repeats what is on it.
//!
//! It reads the text and not the values, so that it also holds for a file that is not YAML. It would rather hide a line too many.

use std::collections::BTreeSet;

/// What stands in place of a secret.
pub(crate) const HIDDEN: &str = "***";

/// What was found on hidden lines, to take it out of messages.
#[derive(Debug, Default)]
pub(super) struct Words(BTreeSet<String>);

/// Shorter ones than this are taken out only of what is said about their own line: they may be part of any word.
pub(super) const TELLING: usize = 6;

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
    let mut section = Section::default();
    let lines: Vec<&str> = text.lines().collect();
    for (index, line) in lines.iter().copied().enumerate() {
        let content = line.trim();
        if content.is_empty() {
            continue;
        }
        let indent = line.len() - line.trim_start().len();
        let is_name = section.defines(line, &lines[index + 1..]);
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
            // What a filter or an upstream is called says nothing of what stands below.
            if is_name && found.goes_on == Some(indent) && (found.text.is_empty() || found.text.starts_with('{')) {
                continue;
            }
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

/// The section that a line stands in, as far as it is one whose keys are names that people choose.
#[derive(Default)]
struct Section {
    names: bool,
    /// How far its names are indented.
    depth: Option<usize>,
}

impl Section {
    /// Whether this line gives a name, like one of a secret or not, to a map that follows on it or below it.
    fn defines(&mut self, line: &str, below: &[&str]) -> bool {
        let depth = |line: &str| line.len() - line.trim_start().len();
        let (indent, content) = (depth(line), line.trim());
        if content.starts_with('#') {
            return false;
        }
        if indent == 0 {
            let key = content.split(':').next().unwrap_or_default().trim();
            *self = Self { names: matches!(key, "upstreams" | "filters"), depth: None };
            return false;
        }
        let names_are_at = *self.depth.get_or_insert(indent);
        let Some((_, value)) = content.split_once(':').filter(|_| self.names && indent == names_are_at) else { return false };
        let value = value.trim();
        let is_key = |line: &str| line.split('#').next().is_some_and(|line| line.contains(": ") || line.trim_end().ends_with(':'));
        match value {
            _ if value.starts_with('{') => true,
            _ if value.is_empty() || value.starts_with('#') => {
                let next = below.iter().find(|line| !line.trim().is_empty() && !line.trim().starts_with('#'));
                next.is_some_and(|next| depth(next) > indent && is_key(next))
            }
            _ => false,
        }
    }
}

/// The keys of the language that are called like secrets and hold none: what stands in their maps is looked at by itself.
fn is_known(key: &str, value: &str) -> bool {
    let is_map = value.is_empty() || value.starts_with(['{', '#']);
    // A bound on what a document of GraphQL is made of.
    let count = value.split([',', '}', ' ', '#']).next().unwrap_or_default();
    let is_count = (1..=7).contains(&count.len()) && count.bytes().all(|byte| byte.is_ascii_digit());
    key == "tokens" && is_count
        || key == "client_auth" && (is_map || ["required", "optional"].contains(&value.trim_end_matches(['}', ' ', '"', '\'', ','])))
}

/// A secret on a line, and the indentation above which the lines below belong to it.
struct Found<'t> {
    text: &'t str,
    goes_on: Option<usize>,
}

/// The values of keys that are named like secrets.
fn values(line: &str) -> Vec<Found<'_>> {
    let mut found = Vec::new();
    // A key whose colon is missing.
    let content = line.trim_start_matches([' ', '\t', '-']);
    if let Some((key, value)) = content.split_once([' ', '\t'])
        && !value.trim_start().starts_with([':', '='])
        && names_a_secret(key.trim_matches(['"', '\'']))
        && !key.ends_with(':')
    {
        found.push(Found { text: value, goes_on: None });
    }
    for (at, separator) in line.match_indices([':', '=']) {
        let (before, after) = (line[..at].trim_end().trim_end_matches(['"', '\'']), &line[at + 1..]);
        let start = before.rfind(|c: char| !c.is_alphanumeric() && !"-_. ".contains(c)).map_or(0, |end| end + 1);
        // Behind a character of several bytes it begins later.
        let start = (start..=before.len()).find(|start| before.is_char_boundary(*start)).unwrap_or(before.len());
        let key = before[start..].trim_start_matches([' ', '-']);
        if separator == ":" && after.starts_with("//") || !keeps_a_secret(key) {
            continue;
        }
        let in_flow = before[..start].contains(['{', '[']);
        let column = before.len() - key.len();
        let value = after.trim();
        if is_known(key, value) {
            continue;
        }
        if is_open(value) {
            // What follows may be a comment, and may be meant for the value.
            let text = if value.starts_with('#') { value } else { "" };
            found.push(Found { text, goes_on: Some(column) });
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
    // Nothing stands beside the place.
    let alone = !value.starts_with('{') || !value.split('}').next().unwrap_or_default().contains(',');
    alone && (after("file").is_some() || after("env").is_some_and(is_name))
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
    ["true", "false", "null", "~", "yes", "no", "on", "off", "any", "*", "\"*\"", "'*'"].contains(&word)
        || is_reference(value)
        || selector
        || is_variable
        || is_put_in(value)
}

/// Whether this is nothing but a reference that is filled in for each request: `"{header.Authorization}"`.
fn is_put_in(value: &str) -> bool {
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
    let Some((name, rest)) = value[quote.map_or(0, char::len_utf8)..].strip_prefix('{').and_then(|inner| inner.split_once('}')) else {
        return false;
    };
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    // Without quotes it is a text that was read, and all of it; within YAML it would be a map.
    let ends = match quote {
        None => rest.is_empty(),
        Some(quote) => rest.strip_prefix(quote).is_some_and(|rest| {
            let rest = rest.trim_start();
            rest.is_empty() || rest.starts_with([',', '}', ']', '#'])
        }),
    };
    is_name && ends && (quote.is_some() || name.contains('.'))
}

/// A value as it may be shown, where all or a part of it may be a secret: by its look, by the name of the key, header or fact that it is the
/// value of, or by a name within it, as in a query.
pub(super) fn masked(key: &str, value: &str) -> Option<String> {
    if (names_a_secret(key) || key.to_ascii_lowercase().contains("cookie")) && !is_harmless(value) {
        return Some(HIDDEN.to_owned());
    }
    let mut words: Vec<&str> =
        bare(value).into_iter().map(|found| found.text).chain(assigned(value)).filter(|text| !text.is_empty()).collect();
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    (!words.is_empty()).then(|| words.into_iter().fold(value.to_owned(), |shown, word| shown.replace(word, HIDDEN)))
}

/// Whether a fact of a request, or a member of a document, is called like something that is shown to nobody.
#[cfg_attr(not(feature = "saga"), allow(dead_code, reason = "nothing is shown by such names"))]
pub(crate) fn is_secret(name: &str) -> bool {
    names_a_secret(name) || name.to_ascii_lowercase().contains("cookie")
}

/// What is assigned within a value to names of secrets: `…?token=…`, `password: …`.
fn assigned(value: &str) -> impl Iterator<Item = &str> {
    let separators = value.match_indices('=').chain(value.match_indices(": "));
    separators.filter_map(|(at, separator)| {
        let name = value[..at].rsplit(|c: char| !c.is_alphanumeric() && !"-_.".contains(c)).next().unwrap_or_default();
        let after = value[at + separator.len()..].trim_start_matches([' ', '"', '\'']);
        let end = after.find(|c: char| c.is_whitespace() || "&;,\"'#}".contains(c)).unwrap_or(after.len());
        (names_a_secret(name) && !is_harmless(&after[..end])).then_some(&after[..end])
    })
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

/// Whether what stands behind a key is a secret, or what a cookie says.
fn keeps_a_secret(key: &str) -> bool {
    names_a_secret(key) || key.starts_with("cookie.") || key == "Cookie" || key.eq_ignore_ascii_case("set-cookie")
}

/// Whether a key says that its value is a secret.
fn names_a_secret(key: &str) -> bool {
    let mut words: Vec<String> = vec![String::new()];
    let mut after_lower = false;
    for c in key.chars() {
        // `clientSecret` is two words, and so is `client-secret`.
        if !c.is_alphanumeric() || c.is_uppercase() && after_lower {
            words.push(String::new());
        }
        if let (true, Some(word)) = (c.is_alphanumeric(), words.last_mut()) {
            word.extend(c.to_lowercase());
        }
        after_lower = c.is_lowercase();
    }
    const ALONE: &[&str] = &[
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
        "auth",
    ];
    const OF_KEYS: &[&str] =
        &["api", "private", "access", "secret", "signing", "encryption", "hash", "hmac", "shared", "master", "auth", "session"];
    let of = |word: &str| matches!(word, "key" | "keys");
    // Who misspells the key writes the secret behind it all the same.
    let near =
        |word: &str, known: &str| known.len() > 4 && word.len().abs_diff(known.len()) < 2 && strsim::damerau_levenshtein(word, known) < 2;
    words.iter().any(|word| ALONE.iter().any(|known| word == known || near(word, known)))
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
            ("TOKEN: hunter2", vec![1]),
            ("client_auth: hunter2", vec![1]),
            ("client_auth: {password: hunter2}", vec![1]),
            ("client_auth: |\n  hunter2", vec![2]),
            ("a: {when: {cookie.session: hunter2}}", vec![1]),
            ("when:\n  cookie.session:\n    - hunter2\n  other: x", vec![3]),
            ("set: {Set-Cookie: \"a=hunter2\"}", vec![1]),
            ("set: {Cookie: a=hunter2}", vec![1]),
            ("when: {header.X-Api-Key: [hunter2]}", vec![1]),
            ("client_secret: {ca: hunter2}", vec![1]),
            ("filters:\n  auth: hunter2", vec![2]),
            ("filters:\n  auth:\n    hunter2", vec![3]),
            ("filters:\n  auth: |\n    x: hunter2", vec![3]),
            ("filters:\n  auth: {jwt: {token: hunter2}}", vec![2]),
            ("filters:\n  login:\n    auth:\n      x: hunter2", vec![4]),
            ("routes:\n  auth:\n    x: hunter2", vec![3]),
            ("token \"hunter2\"", vec![1]),
            ("token: # hunter2", vec![1]),
            ("a: {token: {file: x, value: hunter2}}", vec![1]),
            ("DB_PASSWORD=hunter2", vec![1]),
            ("password:hunter2", vec![1]),
            ("a: {toekn: hunter2}", vec![1]),
            ("é: {token: hunter2, é: x}", vec![1]),
            ("url: https://u:hunter2@h/k", vec![1]),
            ("url: 'redis://:hunter2@h'", vec![1]),
            ("url: https://hunter2@h/k", vec![1]),
            ("endpoints: [admin:hunter2@10.0.0.1:80]", vec![1]),
            ("set: {X: \"Bearer abcdefghij\"}", vec![1]),
            ("headers: {Authorization: \"{header.Authorization}hunter2\"}", vec![1]),
            ("headers: {X-Api-Key: \"{header.Key:-hunter2}\"}", vec![1]),
            ("token: {hunter2}", vec![1]),
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
            "headers: {Authorization: \"{header.Authorization}\", X-Api-Key: '{cookie.key}'}",
            "token: ${ADMIN_TOKEN}",
            "claim_headers: {X-Token: claim.sub}",
            "key: client_ip",
            "key: [header.X-Api-Key]",
            "by: cookie.session",
            "when: {cookie.session: \"*\", header.X-Api-Key: '*'}",
            "sticky: {cookie: 30d}",
            "keys: {public_key: {file: rsa.pub}}",
            "issuer: https://id.shop.example:8443/",
            "url: https://id.shop.example/@shop/keys",
            "path: /a/**  # the bearer of a token",
            "client_auth: {ca: clients.pem, crl: clients.crl, mode: optional}",
            "tls: {cert: a.pem, client_auth: {ca: clients.pem}}",
            "client_auth:\n  ca: clients.pem\n  mode: required",
            "limits: {depth: 10, tokens: 5000, cost: 5000}",
            "limits:\n  tokens: 5000 # of a document",
            "client_auth: optional",
            "tls: {client_auth: optional}",
            "filters:\n  auth:\n    jwt:\n      issuer: any\n  other: {cors: {}}",
            "filters:\n  auth: {jwt: {issuer: any}}",
            "upstreams:\n  # who gives tokens\n  tokens:\n    endpoints: [10.0.0.1:80]\n    host: a",
        ] {
            assert_eq!(hidden(text), Vec::<usize>::new(), "{text}");
        }
    }

    /// The keys of the language whose values are hidden: another one has to be looked at before it stands here.
    #[test]
    fn no_other_key_of_the_language_is_called_like_a_secret() {
        fn keys(schema: &serde_json::Value, found: &mut BTreeSet<String>) {
            if let Some(properties) = schema["properties"].as_object() {
                found.extend(properties.keys().filter(|key| names_a_secret(key) && !is_known(key, "")).cloned());
            }
            let inner = schema.as_object().into_iter().flat_map(serde_json::Map::values).chain(schema.as_array().into_iter().flatten());
            inner.for_each(|inner| keys(inner, found));
        }
        let schema: serde_json::Value = serde_json::from_str(&crate::config::schema::json()).expect("JSON");
        let mut found = BTreeSet::new();

        keys(&schema, &mut found);

        // `credentials` and `forward_token` are flags, which are shown, `tokens` is a number, which is; the others are places of secrets.
        let hidden = ["credentials", "forward_token", "hash_key", "password", "secret", "token", "tokens"];
        assert_eq!(found.into_iter().collect::<Vec<_>>(), hidden);
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
