//! Reads the whole configuration and reports every mistake in it, although serde stops at the first.
//!
//! A value that cannot be read is reported, left out, and reading starts again, until what is left can be read. What is wrong only
//! because something was left out is not reported: the map around it is left out too.

use std::collections::HashSet;

use frontgate_filters::words::spanned::Place;
use serde::de::DeserializeOwned;

use super::de::Reader;
use super::problem::{Kind, Problem};
use super::tree::{Node, Value};
use super::{absent, advice};
use crate::config::diagnostics::{Code, Diagnostic};
use crate::config::places::Places;

/// The maximum number of mistakes reported at once; each costs a pass over the file.
const MAX_PROBLEMS: usize = 100;

/// The tree by the number of its values.
pub(crate) struct Index<'t> {
    /// The values; keys have none.
    nodes: Vec<Option<&'t Node>>,
    /// The number of the collection around each value or key, 0 for the root.
    parents: Vec<u32>,
    /// The key of each value, and each key itself; entries of lists have none.
    keys: Vec<Option<&'t str>>,
}

impl<'t> Index<'t> {
    /// Walks the tree once.
    pub(crate) fn new(root: &'t Node) -> Self {
        let mut index = Self { nodes: Vec::new(), parents: Vec::new(), keys: Vec::new() };
        index.add(root, 0, None);
        index
    }

    fn add(&mut self, node: &'t Node, parent: u32, key: Option<&'t str>) {
        self.note(node.id, Some(node), parent, key);
        match &node.value {
            Value::Seq(items) => items.iter().for_each(|item| self.add(item, node.id, None)),
            Value::Map(entries) => {
                for entry in entries {
                    self.note(entry.key_id, None, node.id, Some(&entry.key));
                    self.add(&entry.node, node.id, Some(&entry.key));
                }
            }
            _ => {}
        }
    }

    fn note(&mut self, id: u32, node: Option<&'t Node>, parent: u32, key: Option<&'t str>) {
        let id = id as usize;
        if self.nodes.len() <= id {
            self.nodes.resize(id + 1, None);
            self.parents.resize(id + 1, 0);
            self.keys.resize(id + 1, None);
        }
        (self.nodes[id], self.parents[id], self.keys[id]) = (node, parent, key);
    }

    /// The value with this number.
    pub(crate) fn node(&self, id: u32) -> Option<&'t Node> {
        self.nodes.get(id as usize).copied().flatten()
    }

    /// The collection around a value or a key.
    pub(crate) fn parent(&self, id: u32) -> u32 {
        self.parents.get(id as usize).copied().unwrap_or(0)
    }

    /// The keys that lead to a value or a key, from the outside in; an entry of a list is `*`.
    pub(super) fn path(&self, id: u32) -> Vec<&'t str> {
        let mut path = Vec::new();
        let mut at = id;
        while self.parent(at) != 0 {
            path.push(self.keys[at as usize].unwrap_or("*"));
            at = self.parent(at);
        }
        path.reverse();
        path
    }

    /// The key whose value this is, or in whose list it stands.
    pub(super) fn key(&self, id: u32) -> Option<&'t str> {
        let own = |id: u32| self.keys.get(id as usize).copied().flatten();
        own(id).or_else(|| own(self.parent(id)))
    }

    /// Every collection that one of these values is in, at any depth.
    pub(crate) fn around(&self, ids: &HashSet<u32>) -> HashSet<u32> {
        let mut around = HashSet::new();
        for id in ids {
            let mut at = self.parent(*id);
            while at != 0 && around.insert(at) {
                at = self.parent(at);
            }
        }
        around
    }
}

/// Reads a type from the tree, adding to `problems` what is wrong and to `skip` what was left out for it. Nothing where too little
/// is left to read.
pub(crate) fn read<T: DeserializeOwned>(
    root: &Node,
    index: &Index<'_>,
    places: &Places,
    skip: &mut HashSet<u32>,
    problems: &mut Vec<Diagnostic>,
) -> Option<T> {
    let mut torn: HashSet<u32> = skip.iter().map(|id| index.parent(*id)).collect();
    // Keys that do not exist, each with the map that it is in: they may be meant for one that is missing there.
    let mut misnamed: Vec<(u32, String, bool)> = Vec::new();
    loop {
        let problem = match T::deserialize(Reader { node: root, skip }) {
            Ok(value) => return Some(value),
            Err(problem) => problem,
        };
        let victim = problem.at.unwrap_or(root.id);
        let follows = torn.contains(&victim)
            && match problem.kind {
                Kind::MissingField(name) => {
                    index.node(victim).is_some_and(|node| node.get(name).is_some())
                        || misnamed.iter().any(|(map, key, absent)| *map == victim && (*absent || advice::meant(key, &[name]).is_some()))
                }
                _ => true,
            };
        if let Kind::UnknownField(name, _) = &problem.kind {
            misnamed.push((index.parent(victim), name.clone(), absent::key(&index.path(victim)).is_some()));
        }
        if !follows {
            problems.push(diagnostic(problem, victim, index, places));
        }
        // Without progress the loop would not end.
        if victim == root.id || !skip.insert(victim) || problems.len() >= MAX_PROBLEMS {
            return None;
        }
        torn.insert(index.parent(victim));
    }
}

/// What is said of a problem with this value or key.
fn diagnostic(problem: Problem, victim: u32, index: &Index<'_>, places: &Places) -> Diagnostic {
    let path = index.path(victim);
    let absent = match &problem.kind {
        Kind::UnknownField(name, _) => absent::key(&path).map(|help| (format!("the key `{name}` is not in this version"), help)),
        Kind::Type(_) | Kind::UnknownVariant(..) => {
            absent::value(&path, index.node(victim)).map(|help| ("this is not in this version".to_owned(), help))
        }
        _ => None,
    };
    if let Some((message, help)) = absent {
        return Diagnostic::error(message).code(Code::NotInThisVersion).help(Some(help.to_owned())).on(places, Place(victim));
    }
    let code = match problem.kind {
        Kind::UnknownField(..) => Code::UnknownKey,
        Kind::MissingField(_) => Code::MissingKey,
        Kind::Exposed => Code::Exposed,
        Kind::UnknownVariant(..) | Kind::Type(_) | Kind::Other if problem.message.contains(absent::WORDS) => Code::NotInThisVersion,
        Kind::UnknownVariant(..) | Kind::Type(_) | Kind::Other => Code::Value,
    };
    let help = advice::advice(&problem.kind, index.node(victim), index.key(victim), &path);
    let hidden = problem.kind == Kind::Exposed;
    let mut diagnostic = Diagnostic::error(problem.message).code(code).help(help).on(places, Place(victim));
    diagnostic.hidden = hidden;
    diagnostic
}
