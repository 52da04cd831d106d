//! What is wrong with a configuration, shown to people and to editors.
//!
//! A message never shows what came from the environment or what may be a secret.

mod show;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use frontgate_filters::words::spanned::{Place, Problem, Weight};

use super::ledger::Ledger;
use super::places::{At, Places, Source};
use super::secrets::{self, Words};
pub(crate) use crate::nearest::nearest;

/// Whether the configuration can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can, but something in it is probably not meant.
    Warning,
}

/// Which sort of mistake it is, for programs: these words stay the same when messages change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// A file of the configuration that cannot be read, or is not.
    File,
    /// A text that is not YAML.
    Syntax,
    /// A key that does not exist.
    UnknownKey,
    /// A required key that is not written.
    MissingKey,
    /// A key that is written twice.
    DuplicateKey,
    /// A key or a value that the language has and this version has not.
    NotInThisVersion,
    /// A value that its key cannot have.
    Value,
    /// An environment variable that cannot be expanded.
    Variable,
    /// A secret that is written where its name belongs.
    Exposed,
    /// A name that points nowhere.
    UnknownName,
    /// Values that cannot work, or not together.
    Rule,
    /// Something outside that a running gateway needs: a secret, a key, a directory.
    Outside,
    /// A definition that nothing uses.
    Unused,
    /// Something that works and is probably not meant.
    Doubtful,
}

impl Code {
    /// As programs read it.
    pub fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Syntax => "syntax",
            Self::UnknownKey => "unknown_key",
            Self::MissingKey => "missing_key",
            Self::DuplicateKey => "duplicate_key",
            Self::NotInThisVersion => "not_in_this_version",
            Self::Value => "value",
            Self::Variable => "variable",
            Self::Exposed => "exposed_secret",
            Self::UnknownName => "unknown_name",
            Self::Rule => "rule",
            Self::Outside => "outside",
            Self::Unused => "unused",
            Self::Doubtful => "doubtful",
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// How wrong.
    pub severity: Severity,
    /// Which sort of mistake.
    pub code: Code,
    /// What is wrong.
    pub message: String,
    /// Where; nothing where no file could be read.
    pub place: Option<At>,
    /// Other places that are involved, each with a note.
    pub labels: Vec<(At, String)>,
    /// What would be right.
    pub help: Option<String>,
    /// The line itself is not shown: it may hold a secret.
    pub hidden: bool,
    /// An error of which a gateway that starts tells, and serves all the same: `check` and a reload refuse it.
    pub tolerated: bool,
}

impl Diagnostic {
    /// An error.
    pub fn error(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code: Code::Rule,
            message: message.into(),
            place: None,
            labels: Vec::new(),
            help: None,
            hidden: false,
            tolerated: false,
        }
    }

    /// A warning.
    pub fn warning(message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, code: Code::Doubtful, ..Self::error(message) }
    }

    /// What a part of the configuration says of itself.
    pub fn from_problem(problem: Problem, places: &Places) -> Self {
        let diagnostic = match problem.weight {
            Weight::Wrong | Weight::Lacking => Self::error(problem.message),
            Weight::Doubtful => Self::warning(problem.message),
        };
        diagnostic.help(problem.help).on(places, problem.place)
    }

    /// Of this sort.
    pub fn code(mut self, code: Code) -> Self {
        self.code = code;
        self
    }

    /// At a place of a file.
    pub fn at(mut self, place: At) -> Self {
        self.place = Some(place);
        self
    }

    /// At a value of the configuration. What the environment brought to that value is taken out of the message.
    pub fn on(mut self, places: &Places, place: Place) -> Self {
        self.place = places.at(place);
        if let Some(origin) = places.origin(place) {
            self.message = self.message.replace(&format!("`{}`", origin.text), &format!("`{}`", origin.written));
            self.help = self.help.filter(|help| origin.text.is_empty() || !help.contains(&origin.text));
            let rest = |message: &str| message.replace(&origin.written, "").contains(&origin.text);
            if origin.text.len() >= 4 && rest(&self.message) {
                // As a part of something else, such as the path of a file.
                let parts: Vec<String> =
                    self.message.split(&origin.written).map(|part| part.replace(&origin.text, &origin.written)).collect();
                self.message = parts.join(&origin.written);
            } else if !origin.text.is_empty() && rest(&self.message) {
                self.message = format!("the value of `{}` does not fit here", origin.written);
            }
        }
        self
    }

    /// With another place that has to do with it.
    pub fn label(mut self, place: At, words: impl Into<String>) -> Self {
        self.labels.push((place, words.into()));
        self
    }

    /// With what would be right, if that is known.
    pub fn help(mut self, help: Option<String>) -> Self {
        self.help = help;
        self
    }
}

/// All that is wrong, and the files it is wrong in.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    /// In the order of files and lines.
    pub items: Vec<Diagnostic>,
    /// The files.
    pub sources: Arc<Vec<Source>>,
    /// The lines of each file that are not shown.
    hidden: Vec<BTreeSet<usize>>,
    /// Files beside the configuration's own that were read before this was found: it may be right when one of them changes.
    ledger: Option<Arc<Ledger>>,
}

impl Diagnostics {
    /// Puts what was found into the order of files and lines, each thing once, and takes secrets out of it.
    pub fn new(mut items: Vec<Diagnostic>, sources: Arc<Vec<Source>>) -> Self {
        items.sort_by_key(|item| item.place.as_ref().map(|at| (at.file, at.range.start)));
        items.dedup_by(|later, earlier| later.message == earlier.message && later.place.is_some() && later.place == earlier.place);
        let mut all = Self { items, sources, hidden: Vec::new(), ledger: None };
        if !all.items.is_empty() {
            all.hide();
        }
        all
    }

    /// About a part of a text of this name.
    #[cfg(feature = "graphql")]
    pub(crate) fn of_text(name: &str, text: &str, diagnostic: Diagnostic, part: std::ops::Range<usize>) -> Self {
        let source = Source { name: name.to_owned(), text: text.to_owned() };
        Self::new(vec![diagnostic.at(At { file: 0, range: part })], Arc::new(vec![source]))
    }

    /// About a configuration that has read these files.
    pub(super) fn of(self, ledger: &Arc<Ledger>) -> Self {
        Self { ledger: Some(ledger.clone()), ..self }
    }

    /// The files beside the configuration's own that this may be about.
    pub(crate) fn ledger(&self) -> Option<&Arc<Ledger>> {
        self.ledger.as_ref()
    }

    /// Whether an error is among them.
    pub fn refuse(&self) -> bool {
        self.items.iter().any(|item| item.severity == Severity::Error)
    }

    /// For a log, in which one event is one line: the first error with what would be right, and how many more there are.
    pub fn in_a_line(&self) -> String {
        let errors = || self.items.iter().filter(|item| item.severity == Severity::Error);
        let Some(first) = errors().next() else { return "nothing is wrong".to_owned() };
        let mut line = String::new();
        if let Some(at) = &first.place {
            let source = &self.sources[at.file];
            let (row, column) = source.line_column(at.range.start);
            line = format!("{}:{row}:{column}: ", source.name);
        }
        line.push_str(&first.message);
        for (at, label) in first.labels.iter().take(1) {
            let source = &self.sources[at.file];
            line.push_str(&format!(", {label}: {}:{}", source.name, source.line_column(at.range.start).0));
        }
        // What would be right, where that is not a text of its own.
        if let Some(help) = first.help.as_ref().filter(|help| !help.contains('\n')) {
            line.push_str(&format!(" ({help})"));
        }
        let more = errors().count() - 1;
        if more > 0 {
            line.push_str(&format!(", and {more} more (`frontgate check` shows all)"));
        }
        line.replace(char::is_control, " ")
    }

    /// What both say, of the same files or of others.
    pub fn and(mut self, other: Self) -> Self {
        if other.items.is_empty() {
            return self;
        }
        let ledger = self.ledger.take().or(other.ledger);
        if self.sources.is_empty() || other.sources.is_empty() || Arc::ptr_eq(&self.sources, &other.sources) {
            self.items.extend(other.items);
            return Self { ledger, ..Self::new(self.items, if self.sources.is_empty() { other.sources } else { self.sources }) };
        }
        let before = self.sources.len();
        self.items.extend(other.items.into_iter().map(|mut item| {
            let places = item.place.iter_mut().chain(item.labels.iter_mut().map(|(at, _)| at));
            places.for_each(|at| at.file += before);
            item
        }));
        let sources = self.sources.iter().chain(other.sources.iter()).cloned().collect();
        Self { ledger, ..Self::new(self.items, Arc::new(sources)) }
    }

    /// The same as doubts: what they are about is no part of what is asked for.
    pub fn doubted(mut self) -> Self {
        self.items.iter_mut().for_each(|item| item.severity = Severity::Warning);
        self
    }

    /// Finds the lines that hold secrets, as they look and as messages found them, and removes those secrets from every message.
    fn hide(&mut self) {
        let mut words = Words::default();
        self.hidden = self.sources.iter().map(|source| secrets::find(&source.text, &mut words)).collect();
        for at in self.items.iter().filter(|item| item.hidden).filter_map(|item| item.place.as_ref()) {
            let source = &self.sources[at.file];
            let (first, last) = (source.line_column(at.range.start).0, source.line_column(at.range.end).0);
            self.hidden[at.file].extend(first..=last);
            words.add(source.text.get(at.range.clone()).unwrap_or_default());
        }
        for index in 0..self.items.len() {
            let item = &self.items[index];
            let on_it = item.place.iter().chain(item.labels.iter().map(|(at, _)| at)).any(|at| self.hides(at));
            let item = &mut self.items[index];
            item.message = words.without(&item.message, on_it);
            item.help = item.help.take().map(|help| words.without(&help, on_it));
            item.labels.iter_mut().for_each(|(_, label)| *label = words.without(label, on_it));
        }
    }

    fn hides(&self, at: &At) -> bool {
        let line = self.sources[at.file].line_column(at.range.start).0;
        self.hidden.get(at.file).is_some_and(|lines| lines.contains(&line))
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// How many of each: `3 errors, 1 warning`.
    pub fn total(&self) -> String {
        let count = |severity| self.items.iter().filter(|item| item.severity == severity).count();
        let told = |count: usize, what: &str| match count {
            0 => None,
            1 => Some(format!("1 {what}")),
            _ => Some(format!("{count} {what}s")),
        };
        let parts = [told(count(Severity::Error), "error"), told(count(Severity::Warning), "warning")];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

/// For people, without colour.
impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}
