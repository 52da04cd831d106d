//! Where the checks find what was written, and where their problems go.

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;

use frontgate_filters::words::spanned::{Place, Problem, Spanned, Weight};

use crate::config::block_line;
use crate::config::diagnostics::{Code, Diagnostic, nearest};
use crate::config::places::{At, Places, Source};
use crate::config::read::collect::Index;
use crate::config::read::listed;
use crate::config::read::tree::{Node, Value};
use crate::router::Pattern;

/// The text as it was written, with what could not be read.
pub struct Tree<'t> {
    /// The whole of it.
    pub(super) root: &'t Node,
    places: &'t Places,
    sources: &'t [Source],
    index: &'t Index<'t>,
    skip: &'t HashSet<u32>,
    /// The collections that something was left out of.
    around: HashSet<u32>,
    /// Whether something was left out: then what is not used may be used there.
    pub(super) torn: bool,
}

impl<'t> Tree<'t> {
    /// The tree with these values left out.
    pub(crate) fn new(root: &'t Node, places: &'t Places, sources: &'t [Source], index: &'t Index<'t>, skip: &'t HashSet<u32>) -> Self {
        Self { root, places, sources, index, skip, around: index.around(skip), torn: !skip.is_empty() }
    }

    /// Whether something was left out of this collection, or of the one that this value stands in.
    pub(super) fn is_torn_at(&self, place: Place) -> bool {
        let is_collection = self.index.node(place.0).is_some_and(|node| matches!(node.value, Value::Seq(_) | Value::Map(_)));
        let collection = if is_collection { place.0 } else { self.index.parent(place.0) };
        self.around.contains(&collection)
    }

    /// Whether something of this name was left out of a collection around this place, or of `calls` or `steps` beside what is around it.
    pub(super) fn has_left_out(&self, place: Place, name: &str) -> bool {
        let mut at = place.0;
        loop {
            let around = self.index.parent(at);
            let Some(node) = self.index.node(around).filter(|_| around != at) else { return false };
            let named = [Some(node), node.get("calls"), node.get("steps")].into_iter().flatten().filter_map(|node| node.get(name));
            if named.into_iter().any(|node| self.skips(node.id)) {
                return true;
            }
            at = around;
        }
    }

    /// Whether a value was left out.
    pub(super) fn skips(&self, id: u32) -> bool {
        self.skip.contains(&id)
    }

    /// Whether a value holds something of the environment.
    pub(super) fn is_from_environment(&self, place: Place) -> bool {
        self.places.origin(place).is_some()
    }

    /// Where a part of a text is written, as far as the text stands there as it is; else the text's own place.
    fn within(&self, text: Spanned<&str>, part: Range<usize>) -> Option<At> {
        let at = self.places.at(text.place)?;
        let written = self.sources.get(at.file).and_then(|source| source.text.get(at.range.clone())).unwrap_or_default();
        Some(match written.find(text.value) {
            Some(start) if !self.is_from_environment(text.place) && !part.is_empty() => {
                let start = at.range.start + start;
                At { file: at.file, range: start + part.start..start + part.end }
            }
            _ if !self.is_from_environment(text.place) && !part.is_empty() => self.within_block(&at, text.value, part).unwrap_or(at),
            _ => at,
        })
    }

    /// Where a part of a text is written that stands as a block, each of its lines indented alike.
    fn within_block(&self, at: &At, text: &str, part: Range<usize>) -> Option<At> {
        let source = &self.sources.get(at.file)?.text;
        // What a block begins with is indented like the rest of it, and is no part of the text.
        let block = source.get(..at.range.start)?.rfind('\n').map_or(0, |newline| newline + 1);
        let before = text.get(..part.start)?;
        let begins = before.rfind('\n').map_or(0, |newline| newline + 1);
        let ends = text.get(part.start..)?.find('\n').map_or(text.len(), |newline| part.start + newline);
        let start = block + block_line(source.get(block..)?, text, before.matches('\n').count())?;
        let columns = part.start - begins..part.end.clamp(part.start, ends) - begins;
        Some(At { file: at.file, range: start + columns.start..start + columns.end })
    }

    /// The place of the key whose value this is.
    pub(super) fn key_of(&self, place: Place) -> Place {
        let map = self.index.node(self.index.parent(place.0)).map(Node::entries).unwrap_or_default();
        map.iter().find(|entry| entry.node.id == place.0).map_or(place, |entry| Place(entry.key_id))
    }

    /// The names that a section defines, also those whose definitions have problems of their own.
    pub(super) fn names(&self, section: &str) -> BTreeSet<&'t str> {
        self.root.get(section).map(|node| node.entries().iter().map(|entry| entry.key.as_str()).collect()).unwrap_or_default()
    }

    /// Whether a section is written as something that can define no names: then it was left out, and any name may be meant by it.
    pub(super) fn is_no_map(&self, section: &str) -> bool {
        self.root.get(section).is_some_and(|node| !matches!(node.value, Value::Map(_) | Value::Null))
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
        for problem in problems {
            if problem.weight != Weight::Lacking || !self.tree.is_torn_at(problem.place) {
                self.problems.push(Diagnostic::from_problem(problem, self.tree.places));
            }
        }
    }

    /// A problem of something that is not there: not told where something around this place was left out, which may be what is missed.
    pub fn lacking(&mut self, place: Place, message: impl Into<String>) {
        self.problems(vec![Problem::lacking(place, message)]);
    }

    /// A name that points nowhere; these are the names that there are.
    pub fn unknown<'n>(&mut self, place: Place, what: &str, name: &str, known: impl Iterator<Item = &'n str>) {
        let known: Vec<&str> = known.collect();
        let help = match nearest(name, known.iter().copied()) {
            Some(near) => Some(format!("did you mean `{near}`?")),
            None if known.is_empty() || known.len() > 10 => None,
            None => Some(format!("there {} {}", if known.len() == 1 { "is" } else { "are" }, listed(&known))),
        };
        let diagnostic = Diagnostic::error(format!("there is no {what} `{name}`")).code(Code::UnknownName).help(help);
        self.problems.push(diagnostic.on(self.tree.places, place));
    }

    /// The same with what would be right.
    pub fn helped(&mut self, place: Place, message: impl Into<String>, help: Option<String>) {
        self.problems.push(Diagnostic::error(message).help(help).on(self.tree.places, place));
    }

    /// Something that is probably not meant.
    pub fn warn(&mut self, place: Place, message: impl Into<String>, help: Option<String>) {
        self.problems.push(Diagnostic::warning(message).help(help).on(self.tree.places, place));
    }

    /// A definition that nothing uses.
    pub fn unused(&mut self, place: Place, message: impl Into<String>) {
        self.problems.push(Diagnostic::warning(message).code(Code::Unused).on(self.tree.places, place));
    }

    /// An error about two places.
    pub fn both(&mut self, place: Place, message: impl Into<String>, other: Place, words: &str) {
        let diagnostic = self.about(place, message, other, words);
        self.problems.push(diagnostic);
    }

    /// An error in a part of a text, by its bytes, with what would be right.
    pub(super) fn inside(&mut self, text: Spanned<&str>, part: Range<usize>, message: impl Into<String>, help: Option<String>) {
        let diagnostic = Diagnostic::error(message).help(help);
        self.problems.push(self.narrowed(diagnostic, text, part));
    }

    /// The same, of something that is probably not meant.
    pub(super) fn doubt_inside(&mut self, text: Spanned<&str>, part: Range<usize>, message: impl Into<String>, help: Option<String>) {
        let diagnostic = Diagnostic::warning(message).help(help);
        self.problems.push(self.narrowed(diagnostic, text, part));
    }

    /// An error in a part of a text that has to do with other places, each with its words.
    pub(super) fn inside_with(
        &mut self,
        text: Spanned<&str>,
        part: Range<usize>,
        message: impl Into<String>,
        others: Vec<(Option<At>, &str)>,
    ) {
        let diagnostic = self.narrowed(Diagnostic::error(message), text, part);
        let labelled = others.into_iter().filter_map(|(at, words)| Some((at?, words)));
        self.problems.push(labelled.fold(diagnostic, |diagnostic, (at, words)| diagnostic.label(at, words)));
    }

    /// Where a value is written.
    pub(super) fn at(&self, place: Place) -> Option<At> {
        self.tree.places.at(place)
    }

    /// Where a part of a text is written.
    pub(super) fn part(&self, text: Spanned<&str>, part: Range<usize>) -> Option<At> {
        self.tree.within(text, part)
    }

    fn narrowed(&self, diagnostic: Diagnostic, text: Spanned<&str>, part: Range<usize>) -> Diagnostic {
        let diagnostic = diagnostic.on(self.tree.places, text.place);
        match self.tree.within(text, part) {
            Some(at) => diagnostic.at(at),
            None => diagnostic,
        }
    }

    /// The same with what would be right.
    pub(super) fn both_helped(&mut self, place: Place, message: impl Into<String>, other: Place, words: &str, help: &str) {
        let diagnostic = self.about(place, message, other, words).help(Some(help.to_owned()));
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
