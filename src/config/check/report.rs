//! Where the checks find what was written, and where their problems go.

use std::collections::{BTreeSet, HashSet};

use frontgate_filters::words::spanned::{Place, Problem};

use crate::config::diagnostics::Diagnostic;
use crate::config::model::Secret;
use crate::config::places::Places;
use crate::config::read::tree::Node;
use crate::router::Pattern;

/// Reads a secret now, to find out whether it can be had.
pub type ReadSecret<'a> = &'a dyn Fn(&Secret) -> Result<String, String>;

/// The text as it was written, with what could not be read.
pub struct Tree<'t> {
    /// The whole of it.
    pub(super) root: &'t Node,
    places: &'t Places,
    /// Whether something was left out: then what is not used may be used there.
    pub(super) torn: bool,
}

impl<'t> Tree<'t> {
    /// The tree with these values left out.
    pub fn new(root: &'t Node, places: &'t Places, skip: &HashSet<u32>) -> Self {
        Self { root, places, torn: !skip.is_empty() }
    }

    /// The names that a section defines, also those whose definitions have problems of their own.
    pub(super) fn names(&self, section: &str) -> BTreeSet<&'t str> {
        self.root.get(section).map(|node| node.entries().iter().map(|entry| entry.key.as_str()).collect()).unwrap_or_default()
    }

    /// The place of a section's name itself.
    pub(super) fn key(&self, section: &str, name: &str) -> Option<Place> {
        let entries = self.root.get(section)?.entries();
        entries.iter().find(|entry| entry.key == name).map(|entry| Place(entry.key_id))
    }
}

/// Where problems go.
pub struct Report<'a, 't> {
    /// What was written.
    pub(super) tree: &'a Tree<'t>,
    /// All of them so far.
    pub(super) problems: &'a mut Vec<Diagnostic>,
}

impl Report<'_, '_> {
    /// A problem here.
    pub fn error(&mut self, place: Place, message: impl Into<String>) {
        self.helped(place, message, None);
    }

    /// What a part of the configuration says of itself.
    pub fn problems(&mut self, problems: Vec<Problem>) {
        for Problem { place, message, help } in problems {
            self.helped(place, message, help);
        }
    }

    /// The same with what would be right.
    pub fn helped(&mut self, place: Place, message: impl Into<String>, help: Option<String>) {
        self.problems.push(Diagnostic::error(message).help(help).on(self.tree.places, place));
    }

    /// Something that is probably not meant.
    pub fn warn(&mut self, place: Place, message: impl Into<String>) {
        self.problems.push(Diagnostic::warning(message).on(self.tree.places, place));
    }

    /// An error about two places.
    pub fn both(&mut self, place: Place, message: impl Into<String>, other: Place, words: &str) {
        let diagnostic = self.about(place, message, other, words);
        self.problems.push(diagnostic);
    }

    /// The same, of one that is tolerated where a gateway starts.
    pub fn tolerated(&mut self, place: Place, message: impl Into<String>, other: Place, words: &str) {
        let diagnostic = Diagnostic { tolerated: true, ..self.about(place, message, other, words) };
        self.problems.push(diagnostic);
    }

    fn about(&self, place: Place, message: impl Into<String>, other: Place, words: &str) -> Diagnostic {
        let diagnostic = Diagnostic::error(message).on(self.tree.places, place);
        match self.tree.places.at(other) {
            Some(at) => diagnostic.label(at, words),
            None => diagnostic,
        }
    }
}

/// A part of a route that is checked beside what carries it out; `path` is the route's, where that one is good.
pub trait Check {
    /// Reports everything that is wrong with it.
    fn check(&self, path: Option<&Pattern>, report: &mut Report<'_, '_>);
}
