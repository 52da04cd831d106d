//! Reads the whole configuration and reports every mistake in it, although serde stops at the first.
//!
//! A value that cannot be read is reported, left out, and reading starts again, until what is left can be read. What is wrong only
//! because something was left out is not reported: the map around it is left out too.

use std::collections::HashSet;

use frontgate_filters::words::spanned::Place;
use serde::de::DeserializeOwned;

use super::de::Reader;
use super::problem::Kind;
use super::tree::{Node, Value};
use crate::config::diagnostics::{Diagnostic, nearest};
use crate::config::places::Places;

/// The maximum number of mistakes reported at once; each costs a pass over the file.
const MAX_PROBLEMS: usize = 100;

/// The tree by the number of its values.
pub(crate) struct Index<'t> {
    /// The values; keys have none.
    nodes: Vec<Option<&'t Node>>,
    /// The number of the collection around each value or key, 0 for the root.
    parents: Vec<u32>,
}

impl<'t> Index<'t> {
    /// Walks the tree once.
    pub(crate) fn new(root: &'t Node) -> Self {
        let mut index = Self { nodes: Vec::new(), parents: Vec::new() };
        index.add(root, 0);
        index
    }

    fn add(&mut self, node: &'t Node, parent: u32) {
        self.note(node.id, Some(node), parent);
        match &node.value {
            Value::Seq(items) => items.iter().for_each(|item| self.add(item, node.id)),
            Value::Map(entries) => {
                for entry in entries {
                    self.note(entry.key_id, None, node.id);
                    self.add(&entry.node, node.id);
                }
            }
            _ => {}
        }
    }

    fn note(&mut self, id: u32, node: Option<&'t Node>, parent: u32) {
        let id = id as usize;
        if self.nodes.len() <= id {
            self.nodes.resize(id + 1, None);
            self.parents.resize(id + 1, 0);
        }
        (self.nodes[id], self.parents[id]) = (node, parent);
    }

    /// The value with this number.
    pub(crate) fn node(&self, id: u32) -> Option<&'t Node> {
        self.nodes.get(id as usize).copied().flatten()
    }

    /// The collection around a value or a key.
    pub(crate) fn parent(&self, id: u32) -> u32 {
        self.parents.get(id as usize).copied().unwrap_or(0)
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
    loop {
        let problem = match T::deserialize(Reader { node: root, skip }) {
            Ok(value) => return Some(value),
            Err(problem) => problem,
        };
        let victim = problem.at.unwrap_or(root.id);
        let follows = torn.contains(&victim)
            && match problem.kind {
                Kind::MissingField(name) => index.node(victim).is_some_and(|node| node.get(name).is_some()),
                _ => true,
            };
        if !follows {
            let help = match &problem.kind {
                Kind::UnknownField(name, expected) | Kind::UnknownVariant(name, expected) => {
                    nearest(name, expected.iter().copied()).map(|near| format!("did you mean `{near}`?"))
                }
                _ => None,
            };
            let mut diagnostic = Diagnostic::error(problem.message).help(help).on(places, Place(victim));
            diagnostic.hidden = problem.kind == Kind::Exposed;
            problems.push(diagnostic);
        }
        // Without progress the loop would not end.
        if victim == root.id || !skip.insert(victim) || problems.len() >= MAX_PROBLEMS {
            return None;
        }
        torn.insert(index.parent(victim));
    }
}
