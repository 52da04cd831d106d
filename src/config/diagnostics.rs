//! What is wrong with a configuration, shown to people and to editors.
//!
//! A message never shows what came from the environment or what may be a secret.

use std::fmt;
use std::sync::Arc;

use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Renderer, Snippet};
use frontgate_filters::words::spanned::Place;
use serde_json::json;

use super::places::{At, Places, Source};

/// Whether the configuration can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can, but something in it is probably not meant.
    Warning,
}

/// One thing that is wrong.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// How wrong.
    pub severity: Severity,
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
        Self { severity: Severity::Warning, ..Self::error(message) }
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
            if !origin.text.is_empty() && self.message.replace(&origin.written, "").contains(&origin.text) {
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

/// The name nearest to a misspelled one, if any is near.
pub fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (name.chars().count() / 3).max(1);
    names
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, known)| known)
}

/// All that is wrong, and the files it is wrong in.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    /// In the order of files and lines.
    pub items: Vec<Diagnostic>,
    /// The files.
    pub sources: Arc<Vec<Source>>,
}

impl Diagnostics {
    /// Puts what was found into the order of files and lines.
    pub fn new(mut items: Vec<Diagnostic>, sources: Arc<Vec<Source>>) -> Self {
        items.sort_by_key(|item| item.place.as_ref().map(|at| (at.file, at.range.start)));
        Self { items, sources }
    }

    /// Whether an error is among them.
    pub fn refuse(&self) -> bool {
        self.items.iter().any(|item| item.severity == Severity::Error)
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// For people, with the lines in question.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let mut out = String::new();
        for item in &self.items {
            let level = match item.severity {
                Severity::Error => Level::ERROR,
                Severity::Warning => Level::WARNING,
            };
            let mut group = Group::with_title(level.primary_title(&item.message));
            if let Some(at) = &item.place {
                group = group.element(self.snippet(at, AnnotationKind::Primary, None, item.hidden));
            }
            for (at, words) in &item.labels {
                group = group.element(self.snippet(at, AnnotationKind::Context, Some(words), false));
            }
            if let Some(help) = &item.help {
                group = group.element(Level::HELP.message(help));
            }
            out.push_str(&renderer.render(&[group]));
            out.push_str("\n\n");
        }
        out.truncate(out.trim_end().len());
        out
    }

    /// The one line that a place begins in. Whole files would be copied for every message otherwise.
    fn snippet<'a>(&'a self, at: &At, kind: AnnotationKind, words: Option<&'a str>, hidden: bool) -> Snippet<'a, Annotation<'a>> {
        let source = &self.sources[at.file];
        let start = source.text[..at.range.start].rfind('\n').map_or(0, |newline| newline + 1);
        let end = source.text[at.range.start..].find('\n').map_or(source.text.len(), |newline| at.range.start + newline);
        let (line, column) = source.line_column(at.range.start);
        if hidden {
            return Snippet::source("…").path(format!("{}:{line}:{column}", source.name)).fold(true);
        }
        let text = source.text[start..end].trim_end();
        let from = (at.range.start - start).min(text.len());
        let to = (at.range.end.max(at.range.start) - start).clamp(from, text.len().max(from));
        Snippet::source(text).line_start(line).path(source.name.as_str()).annotation(kind.span(from..to).label(words))
    }

    /// For a log, in which one event is one line: the first error, and how many more there are.
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
        let more = errors().count() - 1;
        if more > 0 {
            line.push_str(&format!(", and {more} more (`frontgate check` shows all)"));
        }
        line.replace(char::is_control, " ")
    }

    /// For editors: an array of `{severity, message, file, line, column, end_line, end_column, help}`.
    pub fn to_json(&self) -> serde_json::Value {
        self.items
            .iter()
            .map(|item| {
                let severity = match item.severity {
                    Severity::Error => "error",
                    Severity::Warning => "warning",
                };
                let mut object = json!({"severity": severity, "message": item.message});
                if let Some(at) = &item.place {
                    let source = &self.sources[at.file];
                    let (line, column) = source.line_column(at.range.start);
                    let (end_line, end_column) = source.line_column(at.range.end);
                    object["file"] = source.name.as_str().into();
                    object["line"] = line.into();
                    object["column"] = column.into();
                    object["end_line"] = end_line.into();
                    object["end_column"] = end_column.into();
                }
                object["help"] = item.help.clone().into();
                object
            })
            .collect()
    }
}

/// For people, without colour.
impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}
