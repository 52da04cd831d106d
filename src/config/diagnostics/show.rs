//! Diagnostics as people read them, and as editors do.

use annotate_snippets::{AnnotationKind, Element, Group, Level, Origin, Renderer, Snippet};
use serde_json::json;

use super::{Diagnostics, Severity};
use crate::config::places::At;

/// What stands for a line that is not shown.
const HIDDEN: &str = "line not shown: it may hold a secret";

impl Diagnostics {
    /// For people, with the lines in question and the total.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let mut out = String::new();
        for item in &self.items {
            let level = match item.severity {
                Severity::Error => Level::ERROR,
                Severity::Warning => Level::WARNING,
            };
            let mut group = Group::with_title(level.primary_title(&item.message));
            let mut unseen = false;
            let labels = item.labels.iter().map(|(at, words)| (at, AnnotationKind::Context, Some(words.as_str())));
            for (at, kind, words) in item.place.iter().map(|at| (at, AnnotationKind::Primary, None)).chain(labels) {
                let hidden = self.hides(at);
                unseen |= hidden;
                group = group.element(self.shown(at, kind, words, hidden));
            }
            if unseen {
                group = group.element(Level::NOTE.message(HIDDEN));
            }
            if let Some(help) = &item.help {
                group = group.element(Level::HELP.message(help));
            }
            out.push_str(&renderer.render(&[group]));
            out.push_str("\n\n");
        }
        out.push_str(&self.total());
        out
    }

    /// The one line that a place begins in, or only its number. Whole files would be copied for every message otherwise.
    fn shown<'a>(&'a self, at: &At, kind: AnnotationKind, words: Option<&'a str>, hidden: bool) -> Element<'a> {
        let source = &self.sources[at.file];
        let (line, column) = source.line_column(at.range.start);
        if hidden {
            return Origin::path(source.name.as_str()).line(line).char_column(column).into();
        }
        let start = source.text[..at.range.start].rfind('\n').map_or(0, |newline| newline + 1);
        let end = source.text[at.range.start..].find('\n').map_or(source.text.len(), |newline| at.range.start + newline);
        let text = source.text[start..end].trim_end();
        let from = (at.range.start - start).min(text.len());
        let to = (at.range.end.max(at.range.start) - start).clamp(from, text.len().max(from));
        Snippet::source(text).line_start(line).path(source.name.as_str()).annotation(kind.span(from..to).label(words)).into()
    }

    /// For editors: an array of `{severity, code, message, file, line, column, end_line, end_column, help}`.
    pub fn to_json(&self) -> serde_json::Value {
        self.items
            .iter()
            .map(|item| {
                let severity = match item.severity {
                    Severity::Error => "error",
                    Severity::Warning => "warning",
                };
                let mut object = json!({"severity": severity, "code": item.code.word(), "message": item.message});
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
