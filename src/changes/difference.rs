//! What is not the same in two configurations: by route, filter, upstream and listener, each key with its old value and its new one; and what a
//! gateway would lose by changing from one to the other.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::loss::{Loss, losses, of_sagas};
use super::portrait::{Is, Key, Node, Portrait};
use super::sdl;
use crate::status::InForce;

/// What is not the same.
#[derive(Debug, Serialize)]
pub(crate) struct Difference {
    /// The hash of the first configuration.
    pub from: String,
    /// The second one's.
    pub to: String,
    /// Object by object.
    pub changes: Vec<Change>,
    /// The keys for which a reload would be refused: changing them takes a new process.
    pub refused: Vec<String>,
    /// What would be lost.
    pub lost: Vec<Loss>,
    /// That the first one is in force since somebody rolled back to it, while its files hold something else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rolled_back: Option<InForce>,
}

/// An object that came, went or is another.
#[derive(Debug, Serialize)]
pub(crate) struct Change {
    /// What it is: `route`, `filter`, `upstream`, `listener`, or `section` for what has no name of its own.
    pub what: &'static str,
    /// Its name.
    pub name: String,
    /// What became of it.
    pub became: Became,
    /// Its keys that differ; of one that came or went those that are written.
    pub keys: Vec<Changed>,
}

/// What became of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Became {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// Something in it is another.
    Changed,
}

/// A key that differs.
#[derive(Debug, Serialize)]
pub(crate) struct Changed {
    /// Its path in the object; empty for all of it.
    pub key: String,
    /// What it was; nothing where it was not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<String>,
    /// What it is; nothing where it is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<String>,
}

/// Keys by which an entry of a list is known, wherever in the list it stands.
const NAMES: &[&str] = &["name", "address", "version", "cert"];
/// Lists of named entries whose order decides something.
const ORDERED: &[&str] = &["canary", "certificates"];
/// Where a route has the schema of its graph.
const SCHEMA: &str = "graphql.schema";
/// Lists of words whose order says nothing.
const SETS: &[&str] = &["methods", "trusted_proxies", "read_methods"];

/// What is not the same in these two, which were made with one key.
pub(crate) fn difference(old: &Portrait, new: &Portrait) -> Difference {
    let mut compare = Compare { key: Key::of(old.key.clone()), marks: true, changes: Vec::new() };
    compare.all(&old.values, &new.values, Some([&old.state.ordered, &new.state.ordered]));
    let begins_some = |route: &str| new.state.sagas.iter().any(|known| known == route);
    let lost_by_sagas = of_sagas(&old.sagas, &|upstream| new.state.upstreams.contains_key(upstream), &begins_some);
    let fixed = old.state.fixed.iter().filter(|part| !new.state.fixed.contains(part));
    Difference {
        from: old.hash.clone(),
        to: new.hash.clone(),
        changes: compare.changes,
        refused: fixed.map(|(name, _)| name.clone()).collect(),
        lost: losses(&old.state, &new.state).into_iter().chain(lost_by_sagas).collect(),
        rolled_back: old.in_force.clone().filter(|in_force| in_force.on_disk.is_some()),
    }
}

/// The objects that are not the same in these values, for one process to tell of: without marks, which are there for comparing elsewhere.
pub(super) fn objects(old: &Node, new: &Node, key: Key) -> Vec<Change> {
    let mut compare = Compare { key, marks: false, changes: Vec::new() };
    compare.all(old, new, None);
    compare.changes
}

struct Compare {
    key: Key,
    /// Whether values that are not shown have their marks.
    marks: bool,
    changes: Vec<Change>,
}

impl Compare {
    /// Everything, and the order of routes where it is known.
    fn all(&mut self, old: &Node, new: &Node, ordered: Option<[&[Vec<String>]; 2]>) {
        let none = Node { is: Is::Map(Vec::new()), default: true };
        let section = |name: &str, of: &Node| of.get(name).cloned().unwrap_or_else(|| none.clone());
        let listed = |node: &Node, by: &str| {
            let (mut named, mut known) = (Vec::new(), BTreeMap::<String, usize>::new());
            for item in node.items() {
                let name = item.get(by).map(Node::line).unwrap_or_default();
                // Several listeners may take a free port.
                let same = known.entry(name.clone()).or_default();
                *same += 1;
                named.push((if *same == 1 { name } else { format!("{name} ({same})") }, item.clone()));
            }
            named
        };
        let listeners = |server: &Node| listed(server.get("listeners").unwrap_or(&none), "address");
        let [before, after] = [old, new].map(|values| section("server", values));
        self.objects("listener", &listeners(&before), &listeners(&after));
        let rest = |server: &Node| {
            let entries = server.entries().iter().filter(|(name, _)| name != "listeners").cloned().collect();
            Node { is: Is::Map(entries), default: server.default }
        };
        self.section("server", &rest(&before), &rest(&after));
        for (name, what) in [("upstreams", "upstream"), ("filters", "filter")] {
            self.objects(what, section(name, old).entries(), section(name, new).entries());
        }
        let routes = |values| listed(&section("routes", values), "name");
        self.objects("route", &routes(old), &routes(new));
        if let Some([before, after]) = ordered {
            self.order(before, after);
        }
        let known = ["version", "server", "upstreams", "filters", "routes"];
        let names: BTreeSet<&String> = [old, new].into_iter().flat_map(Node::entries).map(|(name, _)| name).collect();
        for name in names.into_iter().filter(|name| !known.contains(&name.as_str())) {
            self.section(name, &section(name, old), &section(name, new));
        }
    }

    fn objects(&mut self, what: &'static str, old: &[(String, Node)], new: &[(String, Node)]) {
        // There may be thousands of them.
        let [known_before, known_after] = [old, new].map(|list| list.iter().map(|(name, node)| (name, node)).collect::<BTreeMap<_, _>>());
        for (name, before) in old {
            let (became, keys) = match known_after.get(name) {
                None => (Became::Removed, self.written(before, true)),
                Some(after) => (Became::Changed, self.keys(before, after)),
            };
            if became == Became::Removed || !keys.is_empty() {
                self.changes.push(Change { what, name: name.clone(), became, keys });
            }
        }
        for (name, after) in new.iter().filter(|(name, _)| !known_before.contains_key(name)) {
            self.changes.push(Change { what, name: name.clone(), became: Became::Added, keys: self.written(after, false) });
        }
    }

    fn section(&mut self, name: &str, old: &Node, new: &Node) {
        let keys = self.keys(old, new);
        if !keys.is_empty() {
            self.changes.push(Change { what: "section", name: name.to_owned(), became: Became::Changed, keys });
        }
    }

    /// Routes that are tried one after the other, and no longer in the order in which they were.
    fn order(&mut self, old: &[Vec<String>], new: &[Vec<String>]) {
        for group in old {
            for other in new {
                let common = |of: &[String], in_: &[String]| of.iter().filter(|name| in_.contains(name)).cloned().collect::<Vec<_>>();
                let (before, after) = (common(group, other), common(other, group));
                if before != after {
                    let [old, new] = [&before, &after].map(|names| Some(format!("[{}]", names.join(", "))));
                    let keys = vec![Changed { key: "order".to_owned(), old, new }];
                    self.changes.push(Change { what: "section", name: "routes".to_owned(), became: Became::Changed, keys });
                }
            }
        }
    }

    fn keys(&self, old: &Node, new: &Node) -> Vec<Changed> {
        let mut out = Vec::new();
        self.compare("", old, new, &mut out);
        for key in ["aggregate", "saga"] {
            if let (Some(before), Some(after)) = (old.get(key), new.get(key)) {
                self.written_order(key, before, after, &mut out);
            }
        }
        out
    }

    /// Maps whose order says something: that of the members of an answer, of the calls that it is made of, and of the steps of a saga.
    fn written_order(&self, path: &str, old: &Node, new: &Node, out: &mut Vec<Changed>) {
        let names = |node: &Node, other: &Node| -> Vec<String> {
            node.entries().iter().map(|(name, _)| name.clone()).filter(|name| other.get(name).is_some()).collect()
        };
        let (before, after) = (names(old, new), names(new, old));
        let is_ordered = matches!(path, "aggregate.calls" | "saga.steps") || path.split('.').any(|key| matches!(key, "answer" | "body"));
        if is_ordered && before != after {
            let [old, new] = [&before, &after].map(|names| Some(format!("[{}]", names.join(", "))));
            out.push(Changed { key: format!("{path} (order)"), old, new });
        }
        for name in before {
            if let (Some(one), Some(other)) = (old.get(&name), new.get(&name)) {
                self.written_order(&format!("{path}.{name}"), one, other, out);
            }
        }
    }

    fn compare(&self, path: &str, old: &Node, new: &Node, out: &mut Vec<Changed>) {
        if old.is_same(new, &self.key) {
            return;
        }
        let said_at = |path: &str, node: &Node| {
            let line = self.line(path, node);
            if node.default { format!("{line} (default)") } else { line }
        };
        let said = |node: &Node| Some(said_at(path, node));
        match (&old.is, &new.is) {
            (Is::Value(Value::String(before)), Is::Value(Value::String(after))) if path == SCHEMA => sdl::compare(path, before, after, out),
            (Is::Map(before), Is::Map(after)) => {
                let added = after.iter().filter(|(name, _)| old.get(name).is_none());
                for (name, _) in before.iter().chain(added) {
                    let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    match (old.get(name), new.get(name)) {
                        (Some(one), Some(other)) => self.compare(&path, one, other, out),
                        (one, other) => {
                            let said = |node: &Node| said_at(&path, node);
                            let (old, new) = (one.map(said), other.map(said));
                            out.push(Changed { key: path, old, new });
                        }
                    }
                }
            }
            (Is::List(before), Is::List(after)) => match (named(before), named(after)) {
                (Some(before), Some(after)) => self.entries(path, &before, &after, out),
                _ if is_one_of(path, SETS) && self.holds_all(before, after) && self.holds_all(after, before) => {}
                _ => out.push(Changed { key: path.to_owned(), old: said(old), new: said(new) }),
            },
            _ => out.push(Changed { key: path.to_owned(), old: said(old), new: said(new) }),
        }
    }

    /// A value in a line: of a graph's schema only how much there is of it.
    fn line(&self, path: &str, node: &Node) -> String {
        match &node.is {
            Is::Value(Value::String(text)) if path == SCHEMA => sdl::summary(text),
            Is::Map(entries) if SCHEMA.strip_suffix(".schema") == Some(path) => {
                let short = |(name, value): &(String, Node)| match &value.is {
                    Is::Value(Value::String(text)) if name == "schema" => {
                        (name.clone(), Node { is: Is::Value(sdl::summary(text).into()), default: value.default })
                    }
                    _ => (name.clone(), value.clone()),
                };
                Node { is: Is::Map(entries.iter().map(short).collect()), default: node.default }.line_with(self.marks)
            }
            _ => node.line_with(self.marks),
        }
    }

    /// Entries of a list that have names.
    fn entries(&self, path: &str, old: &[(String, &Node)], new: &[(String, &Node)], out: &mut Vec<Changed>) {
        let find = |list: &[(String, &Node)], name: &str| list.iter().any(|(known, _)| known == name);
        for (name, before) in old {
            let key = format!("{path}[{name}]");
            match new.iter().find(|(known, _)| known == name) {
                Some((_, after)) => self.compare(&key, before, after, out),
                None => out.push(Changed { key, old: Some(before.line_with(self.marks)), new: None }),
            }
        }
        for (name, after) in new.iter().filter(|(name, _)| !find(old, name)) {
            out.push(Changed { key: format!("{path}[{name}]"), old: None, new: Some(after.line_with(self.marks)) });
        }
        if is_one_of(path, ORDERED) {
            let common = |list: &[(String, &Node)], other: &[(String, &Node)]| {
                let names: Vec<&str> = list.iter().map(|(name, _)| name.as_str()).filter(|name| find(other, name)).collect();
                format!("[{}]", names.join(", "))
            };
            let (before, after) = (common(old, new), common(new, old));
            if before != after {
                out.push(Changed { key: format!("{path} (order)"), old: Some(before), new: Some(after) });
            }
        }
    }

    /// What is written of an object that came or went.
    fn written(&self, node: &Node, went: bool) -> Vec<Changed> {
        let written = node.entries().iter().filter(|(_, value)| !value.default);
        let keys = written.map(|(name, value)| {
            let line = Some(self.line(name, value));
            let (old, new) = if went { (line, None) } else { (None, line) };
            Changed { key: name.clone(), old, new }
        });
        keys.collect()
    }

    fn holds_all(&self, list: &[Node], of: &[Node]) -> bool {
        of.iter().all(|wanted| list.iter().any(|one| one.is_same(wanted, &self.key)))
    }
}

/// The entries of a list with their names, where each has one of its own.
fn named(items: &[Node]) -> Option<Vec<(String, &Node)>> {
    let name = |item: &Node| NAMES.iter().find_map(|key| item.get(key)).map(Node::line);
    let all: Vec<(String, &Node)> = items.iter().map(|item| Some((name(item)?, item))).collect::<Option<_>>()?;
    let names: BTreeSet<&String> = all.iter().map(|(name, _)| name).collect();
    (names.len() == all.len()).then_some(all)
}

fn is_one_of(path: &str, keys: &[&str]) -> bool {
    keys.contains(&path.rsplit('.').next().unwrap_or_default())
}
