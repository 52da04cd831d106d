//! The configuration: from files to a checked [`Loaded`], or to everything that is wrong with them.
//!
//! `source` finds the files, `read` makes the types of `model` out of their texts, `check` looks at what the types alone cannot say,
//! `diagnostics` shows what is wrong and where. Nothing is started here.

pub mod check;
pub mod diagnostics;
pub(crate) mod document;
pub(crate) mod ledger;
pub(crate) mod lenient;
pub mod model;
mod places;
mod read;
pub mod schema;
pub(crate) mod secrets;
pub(crate) mod show;
mod source;
pub(crate) mod targets;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use frontgate_filters::words::fnv;
use frontgate_filters::words::spanned::{Place, Problem, Spanned};

use self::diagnostics::{Code, Diagnostic, Diagnostics, Severity};
use self::ledger::Ledger;
pub(crate) use self::lenient::{admin, names_no_admin};
use self::model::{Config, Secret};
pub(crate) use self::places::Source;
use self::places::{At, Places};
use self::read::tree::{Builder, Node, Value};
use self::read::{collect, yaml};

/// A configuration without errors, and where each of its values is written.
#[derive(Debug)]
pub struct Loaded {
    /// What was written.
    pub config: Config,
    /// What is probably not meant, and errors that are tolerated where a gateway starts.
    pub warnings: Diagnostics,
    /// Names this configuration: equal for equal values, however and in however many files they are written.
    pub hash: String,
    places: Places,
    sources: Arc<Vec<Source>>,
    ledger: Arc<Ledger>,
}

/// Reads a file or a directory; without a path ./frontgate.yaml, else /etc/frontgate/.
pub fn load(path: Option<&Path>) -> Result<Loaded, Diagnostics> {
    let found = source::read(path)?;
    load_sources(found.sources, found.warnings, &|name| std::env::var(name).ok())
}

/// The texts of a configuration as its files hold them, whatever is wrong with them. The error says why they are not to be had.
pub(crate) fn texts(path: Option<&Path>) -> Result<Vec<Source>, Diagnostics> {
    source::read(path).map(|found| found.sources)
}

/// Reads texts that were kept as if their files held them.
pub(crate) fn load_texts(texts: Vec<Source>) -> Result<Loaded, Diagnostics> {
    load_sources(texts, Vec::new(), &|name| std::env::var(name).ok())
}

/// Reads a text as if it were a file of this name in the current directory.
pub fn load_text(name: &str, text: &str) -> Result<Loaded, Diagnostics> {
    load_sources(vec![Source { name: name.to_owned(), text: text.to_owned() }], Vec::new(), &|name| std::env::var(name).ok())
}

fn load_sources(sources: Vec<Source>, mut problems: Vec<Diagnostic>, env: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, Diagnostics> {
    let sources = Arc::new(sources);
    let (mut places, mut skip, mut roots) = (Places::default(), HashSet::new(), Vec::new());
    for (file, source) in sources.iter().enumerate() {
        let mut builder = Builder { places: &mut places, file, source: &source.text, env, problems: &mut problems, skip: &mut skip };
        match yaml::read(&source.text) {
            Ok(raw) => roots.push(builder.build(raw)),
            Err(error) => {
                let diagnostic = Diagnostic::error(error.message).code(Code::Syntax).help(error.help);
                problems.push(diagnostic.at(At { file, range: error.range }));
            }
        }
    }
    // A file that is not YAML may define what the others name: without it nothing can be said about names.
    if roots.len() < sources.len() {
        return Err(Diagnostics::new(problems, sources));
    }

    let root = read::unite(roots, &mut places, &mut problems);
    if let Some(diagnostic) = not_sections(&root, &places) {
        problems.push(diagnostic);
        return Err(Diagnostics::new(problems, sources));
    }
    let index = collect::Index::new(&root);
    let config: Option<Config> = collect::read(&root, &index, &places, &mut skip, &mut problems);
    if let Some(config) = &config {
        let tree = check::Tree::new(&root, &places, &sources, &index, &skip);
        check::check(config, &tree, &mut problems);
    }

    let failed = problems.iter().any(|problem| problem.severity == Severity::Error && !problem.tolerated);
    let found = Diagnostics::new(problems, sources.clone());
    match config {
        Some(config) if !failed => Ok(Loaded { hash: hash(&config), config, warnings: found, places, sources, ledger: Arc::default() }),
        _ => Err(found),
    }
}

/// The least that serves.
const SMALLEST: &str = "the smallest configuration is:
version: 1
server: {listeners: [{address: \"127.0.0.1:8080\"}]}
routes: [{name: all, path: \"/**\", respond: {status: 204}}]";

/// What to say of a text that has no sections at all.
fn not_sections(root: &Node, places: &Places) -> Option<Diagnostic> {
    let found = match &root.value {
        Value::Map(entries) if !entries.is_empty() => return None,
        Value::Map(_) | Value::Null => {
            let empty = Diagnostic::error("the configuration is empty").code(Code::MissingKey).help(Some(SMALLEST.to_owned()));
            return Some(empty.on(places, Place(root.id)));
        }
        Value::Seq(_) => "a list",
        _ => "text",
    };
    let message = format!("expected a map with `version`, `server`, `upstreams`, `filters`, `routes` and others, found {found}");
    Some(Diagnostic::error(message).code(Code::Value).help(Some(SMALLEST.to_owned())).on(places, Place(root.id)))
}

/// The key whose value this is.
#[cfg(feature = "graphql")]
fn key_of(root: &Node, place: Place) -> Option<Place> {
    match &root.value {
        Value::Map(entries) => {
            let here = entries.iter().find(|entry| entry.node.id == place.0).map(|entry| Place(entry.key_id));
            here.or_else(|| entries.iter().find_map(|entry| key_of(&entry.node, place)))
        }
        Value::Seq(items) => items.iter().find_map(|item| key_of(item, place)),
        _ => None,
    }
}

/// Where a line of a text begins in a block that holds it, each of whose lines is indented alike.
pub(in crate::config) fn block_line(block: &str, text: &str, line: usize) -> Option<usize> {
    let (first, content) = text.lines().enumerate().find(|(_, content)| !content.trim().is_empty())?;
    let mut starts = Vec::new();
    let mut at = 0;
    for written in block.split_inclusive('\n') {
        starts.push((at, written.trim_end_matches(['\n', '\r'])));
        at += written.len();
    }
    let found = starts.iter().position(|(_, written)| written.trim() == content.trim())?;
    let indent = starts[found].1.len().checked_sub(content.len())?;
    let (start, written) = starts.get((found + line).checked_sub(first)?)?;
    let wanted = text.lines().nth(line)?;
    (written.get(indent..) == Some(wanted)).then_some(start + indent)
}

impl Loaded {
    /// `file:line:column` of a value, or what to say of one that no file holds.
    pub fn describe(&self, place: Place) -> String {
        self.places.at(place).map_or_else(
            || "(default)".to_owned(),
            |at| {
                let (line, column) = self.sources[at.file].line_column(at.range.start);
                format!("{}:{line}:{column}", self.sources[at.file].name)
            },
        )
    }

    /// A path, relative to the file that names it.
    pub fn resolve_path(&self, place: Place, path: &Path) -> PathBuf {
        resolve(place, path, &self.places, &self.sources)
    }

    /// The values as they are written, read once more, with their places; nothing where the environment has changed so that they cannot be.
    fn written(&self) -> (Option<Node>, Places) {
        let (mut places, mut problems, mut skip, mut roots) = (Places::default(), Vec::new(), HashSet::new(), Vec::new());
        let env = |name: &str| std::env::var(name).ok();
        for (file, source) in self.sources.iter().enumerate() {
            let Ok(raw) = yaml::read(&source.text) else { return (None, places) };
            let source = &source.text;
            let mut builder = Builder { places: &mut places, file, source, env: &env, problems: &mut problems, skip: &mut skip };
            roots.push(builder.build(raw));
        }
        let root = (!roots.is_empty()).then(|| read::unite(roots, &mut places, &mut problems));
        (root, places)
    }

    /// The keys that lead to values, `filters.login.jwt.keys.secret`, by the numbers of their places; entries of lists by their names where
    /// they have some. One that names a file is that of which the file holds the contents.
    pub(crate) fn keys_to(&self, places: &BTreeSet<u32>) -> BTreeMap<u32, String> {
        let mut found = BTreeMap::new();
        if let (Some(root), false) = (self.written().0, places.is_empty()) {
            keys_to(&root, "", places, &mut found);
        }
        found
    }

    /// Where is kept what a restart shall not lose, if anywhere.
    pub(crate) fn state_dir(&self) -> Option<PathBuf> {
        self.config.server.state_dir.as_ref().map(|path| self.resolve_path(path.place, path))
    }

    /// The contents of a file that a value names; an error says why it cannot be had.
    pub fn file(&self, path: &Spanned<PathBuf>) -> Result<Vec<u8>, String> {
        self.ledger.read_followed(path.place, &self.resolve_path(path.place, path))
    }

    /// What was found wrong with these values after they were loaded: secrets and files that cannot be had.
    pub fn diagnose(&self, problems: Vec<Problem>) -> Diagnostics {
        let told = |problem| Diagnostic::from_problem(problem, &self.places).code(Code::Outside);
        Diagnostics::new(problems.into_iter().map(told).collect(), self.sources.clone()).of(&self.ledger)
    }

    /// What was found wrong with these values beside something that lies outside; `keys`: the keys are meant whose values these are.
    #[cfg(feature = "graphql")]
    pub(crate) fn judged(&self, problems: Vec<Problem>, keys: bool) -> Diagnostics {
        if problems.is_empty() {
            return Diagnostics::default();
        }
        let root = keys.then(|| self.written().0).flatten();
        let told = problems.into_iter().map(|mut problem| {
            problem.place = root.as_ref().and_then(|root| key_of(root, problem.place)).unwrap_or(problem.place);
            Diagnostic::from_problem(problem, &self.places)
        });
        Diagnostics::new(told.collect(), self.sources.clone()).of(&self.ledger)
    }

    /// Something that is said of a line of a text that stands here as a block, with its columns there: at the line of the file, as far as it can
    /// be told, else at the whole text.
    #[cfg(feature = "graphql")]
    pub(crate) fn within_block(
        &self,
        place: Place,
        text: &str,
        (line, columns): (usize, std::ops::Range<usize>),
        diagnostic: Diagnostic,
    ) -> Diagnostics {
        let diagnostic = diagnostic.on(&self.places, place);
        let at = self.places.at(place).and_then(|at| {
            let source = &self.sources.get(at.file)?.text;
            // From the beginning of its line: what a block begins with is indented like the rest of it.
            let block = source.get(..at.range.start)?.rfind('\n').map_or(0, |newline| newline + 1);
            let start = block_line(source.get(block..)?, text, line)? + block;
            Some(At { file: at.file, range: start + columns.start..start + columns.end })
        });
        let diagnostic = match at {
            Some(at) => diagnostic.at(at),
            None => diagnostic,
        };
        Diagnostics::new(vec![diagnostic], self.sources.clone()).of(&self.ledger)
    }

    /// The files that it was read from, with their texts.
    pub(crate) fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// The keys and secrets in files that were read for it so far.
    pub(crate) fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// The present value of a secret, read anew, without one line break at its end, as editors and `echo` leave it there; an error says why it
    /// cannot be had.
    pub fn secret(&self, secret: &Secret) -> Result<String, String> {
        let mut value = match secret {
            Secret::Env(name) if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') => {
                return Err("this is not the name of an environment variable".to_owned());
            }
            Secret::Env(name) => std::env::var(&name.value).map_err(|_| format!("the environment variable `{}` is not set", name.value))?,
            Secret::File(path) => {
                let path = self.resolve_path(path.place, path);
                String::from_utf8(self.ledger.read(secret.place(), &path)?).map_err(|_| format!("`{}` is not UTF-8", path.display()))?
            }
        };
        if value.ends_with('\n') {
            value.pop();
            value.truncate(value.strip_suffix('\r').map_or(value.len(), str::len));
        }
        if let Secret::File(path) = secret {
            self.ledger.holds_secret(&self.resolve_path(path.place, path), &value);
        }
        if value.is_empty() { Err("the secret is empty".to_owned()) } else { Ok(value) }
    }
}

fn keys_to(node: &Node, path: &str, wanted: &BTreeSet<u32>, found: &mut BTreeMap<u32, String>) {
    if wanted.contains(&node.id) {
        found.insert(node.id, path.strip_suffix(".file").unwrap_or(path).to_owned());
    }
    for entry in node.entries() {
        let path = if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
        keys_to(&entry.node, &path, wanted, found);
    }
    if let Value::Seq(items) = &node.value {
        for (index, item) in items.iter().enumerate() {
            let name = item.get("name").filter(|name| !name.text.is_empty()).map_or_else(|| index.to_string(), |name| name.text.clone());
            keys_to(item, &format!("{path}[{name}]"), wanted, found);
        }
    }
}

fn resolve(place: Place, path: &Path, places: &Places, sources: &[Source]) -> PathBuf {
    let directory = places.at(place).and_then(|at| Path::new(&sources[at.file].name).parent());
    directory.map_or_else(|| path.to_owned(), |directory| directory.join(path))
}

/// A hash of the canonical form: short, and the same on every machine.
fn hash(config: &Config) -> String {
    let text = serde_json::to_vec(config).unwrap_or_default();
    let hash = fnv::fnv1a(fnv::BASIS, &text);
    let mut out = String::with_capacity(12);
    let _ = write!(out, "{:012x}", hash >> 16);
    out
}
