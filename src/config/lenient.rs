//! `server.admin` or `server.state_dir` alone, out of a configuration that need not be a good one, nor YAML at all: whoever asks a running gateway for help has no use
//! for the mistakes of a file that is not in force.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::places::Places;
use super::read::tree::{Builder, Node};
use super::read::{MAX_BYTES, yaml};
use crate::files;

/// Where a configuration says that operators are answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AdminAddress {
    /// The address.
    pub address: SocketAddr,
    /// The token that is asked for there, where one is written and can be had.
    pub token: Option<String>,
}

/// The admin address of the configuration at `path`, or where one usually is; nothing where none can be made out.
pub(crate) fn admin(path: Option<&Path>) -> Option<AdminAddress> {
    let env = |name: &str| std::env::var(name).ok();
    readable(path).into_iter().find_map(|(file, text)| admin_of(&file, &text, &env))
}

/// Whether the configuration at `path`, or where one usually is, can be read and says nothing of an admin address.
pub(crate) fn names_no_admin(path: Option<&Path>) -> bool {
    let env = |name: &str| std::env::var(name).ok();
    let files = readable(path);
    let says_nothing =
        |text: &str| read(text, &env).is_some_and(|root| root.get("server").is_none_or(|server| server.get("admin").is_none()));
    !files.is_empty() && files.iter().all(|(_, text)| says_nothing(text))
}

/// The directory that the configuration at `path` names as its `server.state_dir`; nothing where none can be made out.
pub(crate) fn state_dir(path: Option<&Path>) -> Option<PathBuf> {
    let env = |name: &str| std::env::var(name).ok();
    readable(path).into_iter().find_map(|(file, text)| {
        let server = section(&text, "server");
        let lines = section(&server, "state_dir");
        let of = |root: Node| Some(root.get("state_dir")?.text.clone());
        let whole = read(&text, &env).and_then(|root| Some(root.get("server")?.get("state_dir")?.text.clone()));
        let found = whole
            .or_else(|| read(&server, &env).and_then(|root| Some(root.get("server")?.get("state_dir")?.text.clone())))
            .or_else(|| read(&lines, &env).and_then(of))
            .filter(|found| !found.is_empty())?;
        Some(file.parent().map_or_else(|| PathBuf::from(&found), |folder| folder.join(&found)))
    })
}

/// The files of a configuration that can be read, with their texts.
fn readable(path: Option<&Path>) -> Vec<(PathBuf, String)> {
    let paths = match path {
        Some(path) => vec![path.to_owned()],
        None => vec![PathBuf::from("frontgate.yaml"), PathBuf::from("/etc/frontgate")],
    };
    let text = |file: PathBuf| {
        let bytes = files::read(&file, MAX_BYTES).ok()?;
        Some((file, String::from_utf8_lossy(&bytes).into_owned()))
    };
    let Some(first) = paths.into_iter().find_map(|path| Some(listed(&path)).filter(|files| !files.is_empty())) else { return Vec::new() };
    first.into_iter().filter_map(text).collect()
}

/// What there is of this name: a file, or those of a directory.
fn listed(path: &Path) -> Vec<PathBuf> {
    let owned = path.to_owned();
    let list = move || match std::fs::read_dir(&owned) {
        Ok(entries) => {
            let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
            files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
            files.sort();
            Ok(files)
        }
        Err(_) => Ok(if owned.exists() { vec![owned] } else { Vec::new() }),
    };
    files::patiently(path, list).unwrap_or_default()
}

/// The address that a text names, read from as much of it as can be read: all of it, the section `server`, the lines of `admin`, the words.
fn admin_of(file: &Path, text: &str, env: &dyn Fn(&str) -> Option<String>) -> Option<AdminAddress> {
    let server = section(text, "server");
    let lines = section(&server, "admin");
    let whole = read(text, env).and_then(|root| written(file, root.get("server")?.get("admin")?, env));
    whole
        .or_else(|| read(&server, env).and_then(|root| written(file, root.get("server")?.get("admin")?, env)))
        .or_else(|| read(&lines, env).and_then(|root| written(file, root.get("admin")?, env)))
        .or_else(|| words(if server.is_empty() { text } else { &server }).map(|address| AdminAddress { address, token: None }))
}

/// The values of a text that is YAML, whatever else is wrong with them.
fn read(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Option<Node> {
    let raw = yaml::read(text).ok()?;
    let (mut places, mut problems, mut skip) = (Places::default(), Vec::new(), HashSet::new());
    let mut builder = Builder { places: &mut places, file: 0, source: text, env, problems: &mut problems, skip: &mut skip };
    Some(builder.build(raw))
}

/// `127.0.0.1:9901`, or a map of `address` and `token`.
fn written(file: &Path, node: &Node, env: &dyn Fn(&str) -> Option<String>) -> Option<AdminAddress> {
    let address = node.get("address").unwrap_or(node).text.parse().ok().filter(|address: &SocketAddr| address.port() != 0)?;
    let token = node.get("token").and_then(|token| match (token.get("file"), token.get("env")) {
        (Some(path), _) => {
            let path = file.parent().map_or_else(|| path.text.clone().into(), |folder| folder.join(&path.text));
            String::from_utf8(files::read(&path, files::SMALL).ok()?).ok()
        }
        (None, Some(name)) => env(&name.text),
        (None, None) => None,
    });
    Some(AdminAddress { address, token: token.map(|token| token.trim_end_matches(['\r', '\n']).to_owned()) })
}

/// The lines of a key and of what belongs to it, moved to the left; empty where no line begins with the key.
fn section(text: &str, key: &str) -> String {
    let depth = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let mut lines =
        text.lines().skip_while(|line| !line.trim_start_matches(' ').strip_prefix(key).is_some_and(|rest| rest.starts_with(':')));
    let Some(first) = lines.next() else { return String::new() };
    let by = depth(first);
    let is_part = |line: &&str| line.trim().is_empty() || line.trim_start().starts_with('#') || depth(line) > by;
    let mut found = first[by..].to_owned();
    for line in lines.take_while(is_part) {
        found.push('\n');
        found.push_str(line.get(by..).unwrap_or_default());
    }
    found
}

/// The first address that is written behind the word `admin`, whatever is around it.
fn words(text: &str) -> Option<SocketAddr> {
    text.match_indices("admin").find_map(|(at, word)| {
        let begins = text[..at].ends_with(|before: char| before.is_whitespace() || "{,\"'".contains(before)) || at == 0;
        let value = text[at + word.len()..].trim_start_matches(['"', '\'']).strip_prefix(':').filter(|_| begins)?;
        // No farther than the next key that is not the address.
        let mut words = value.split(|c: char| c.is_whitespace() || "{},\"'".contains(c)).filter(|word| !word.is_empty());
        let first = words.next()?;
        let address = if first == "address:" { words.next()? } else { first };
        address.parse().ok().filter(|address: &SocketAddr| address.port() != 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_of_the_state_is_found_in_whatever_state_the_file_is() {
        let folder = std::env::temp_dir().join(format!("frontgate-lenient-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let file = folder.join("a.yaml");
        for (text, found) in [
            ("version: 1\nserver: {state_dir: state}\n", Some(folder.join("state"))),
            ("server:\n  state_dir: /var/lib/x   # ours\nroutes: [\n", Some("/var/lib/x".into())),
            ("server:\n  listeners: [{address: 1}\n  state_dir: \"/var/lib/x\"\nroutes: 7\n", Some("/var/lib/x".into())),
            ("server: {listeners: []}\n", None),
            ("", None),
        ] {
            std::fs::write(&file, text).expect("written");
            assert_eq!(state_dir(Some(&file)), found, "{text}");
        }
        std::fs::remove_dir_all(folder).expect("it is there");
    }

    fn found(text: &str) -> Option<String> {
        let env = |name: &str| match name {
            "PORT" => Some("7001".to_owned()),
            "TOKEN" => Some("secret\n".to_owned()),
            _ => None,
        };
        let at = admin_of(Path::new("a.yaml"), text, &env)?;
        Some(at.token.map_or(at.address.to_string(), |token| format!("{} {token}", at.address)))
    }

    #[test]
    fn the_admin_address_is_found_in_whatever_state_the_file_is() {
        for (text, address) in [
            ("version: 1\nserver: {admin: 127.0.0.1:7001}\n", Some("127.0.0.1:7001")),
            ("nonsense: [1]\nserver:\n  lisners: 7\n  admin: \"127.0.0.1:${PORT}\"\n", Some("127.0.0.1:7001")),
            ("server:\n  admin: {address: \"[::1]:7001\", token: {env: TOKEN}}\nroutes: 3\n", Some("[::1]:7001 secret")),
            ("server:\n  admin:\n    address: 10.0.0.1:7001\n    token: {env: NONE}\n", Some("10.0.0.1:7001")),
            // What comes before or after it is no YAML.
            ("routes: [\nserver:\n  admin: 127.0.0.1:7001\nfilters:\n\t- x\n", Some("127.0.0.1:7001")),
            (
                "server:\n  listeners: [{address: 1}\n  admin: {address: 127.0.0.1:7001, token: {env: TOKEN}}\n",
                Some("127.0.0.1:7001 secret"),
            ),
            ("server: {listeners: [{, admin: 127.0.0.1:7001, threads: 2}\n", Some("127.0.0.1:7001")),
            ("server: {listeners: [{, \"admin\": {address: '127.0.0.1:7001', threads: 2}\n", Some("127.0.0.1:7001")),
            // None that could be connected to.
            ("server: {admin: 127.0.0.1:0}\n", None),
            ("server: {admin: \"127.0.0.1:${UNSET}\"}\n", None),
            ("server: {listeners: [{address: 127.0.0.1:8080}]}\nfilters: {admins: {rbac: {}}}\n", None),
            ("filters: {admin: {rbac: {claim: 1.2.3.4:5}}}\n", None),
            ("", None),
        ] {
            assert_eq!(found(text).as_deref(), address, "{text}");
        }
    }
}
