//! The values of all files in one tree, every one with a number that leads back to its place; `${NAME}` is expanded here.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use frontgate_filters::words::spanned::Place;
use serde_yaml::Spanned;

use super::yaml::{self, Raw};
use crate::config::diagnostics::{Code, Diagnostic};
use crate::config::places::{At, Origin, Places};

/// A value of the configuration.
#[derive(Debug)]
pub(crate) struct Node {
    /// Its number in [`Places`], above 0.
    pub id: u32,
    /// What it is.
    pub value: Value,
    /// A scalar as it is written, after expansion: `1.0` stays `1.0` where text is wanted.
    pub text: String,
}

/// What a [`Node`] is.
#[derive(Debug)]
pub(crate) enum Value {
    /// Nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number of 0 or more.
    Unsigned(u64),
    /// A negative whole number.
    Signed(i64),
    /// Any other number.
    Float(f64),
    /// Text, which lies in the node.
    Text {
        /// Whether it held a `${NAME}`: such text may be read as a number.
        expanded: bool,
    },
    /// A list.
    Seq(Vec<Node>),
    /// A map, keys unique.
    Map(Vec<Entry>),
}

/// An entry of a map.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The key.
    pub key: String,
    /// The key's own number in [`Places`].
    pub key_id: u32,
    /// The value.
    pub node: Node,
}

impl Node {
    /// The entries of a map, none of anything else.
    pub(crate) fn entries(&self) -> &[Entry] {
        if let Value::Map(entries) = &self.value { entries } else { &[] }
    }

    /// The value of a map's key.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|entry| entry.key == key).map(|entry| &entry.node)
    }
}

/// Builds the tree of one file.
pub(crate) struct Builder<'a> {
    /// The table that all files share.
    pub places: &'a mut Places,
    /// The file's index.
    pub file: usize,
    /// The file's text.
    pub source: &'a str,
    /// The environment.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// What was wrong.
    pub problems: &'a mut Vec<Diagnostic>,
    /// Values that are left out because they have been reported.
    pub skip: &'a mut HashSet<u32>,
}

impl Builder<'_> {
    /// Numbers a value and all below it, expands its scalars, and reports duplicate keys.
    pub(crate) fn build(&mut self, raw: Spanned<Raw>) -> Node {
        self.build_one(raw, false)
    }

    /// The same for an entry of a list.
    fn build_item(&mut self, raw: Spanned<Raw>) -> Node {
        self.build_one(raw, true)
    }

    fn build_one(&mut self, raw: Spanned<Raw>, in_list: bool) -> Node {
        let range = yaml::bytes(self.source, &raw.defined);
        let id = self.places.add(self.file, range.clone());
        let written = |range: Range<usize>| self.source.get(range).unwrap_or_default().trim().to_owned();
        let (value, text) = match raw.value {
            Raw::Null => (Value::Null, String::new()),
            Raw::Bool(value) => (Value::Bool(value), written(range)),
            Raw::Unsigned(value) => (Value::Unsigned(value), written(range)),
            Raw::Signed(value) => (Value::Signed(value), written(range)),
            Raw::Float(value) => (Value::Float(value), written(range)),
            Raw::Text(text) => self.text(id, text),
            Raw::Seq(items) => {
                let items: Vec<Node> = items.into_iter().map(|item| self.build_item(item)).collect();
                let last = items.last().map(|item| item.id);
                self.places.resize(id, self.opening(range, None, last));
                (Value::Seq(items), String::new())
            }
            Raw::Map(entries) => {
                let entries = self.entries(id, entries, in_list);
                let first = entries.first().map(|entry| entry.key_id);
                let last = entries.last().map(|entry| entry.node.id);
                self.places.resize(id, self.opening(range, first, last));
                (Value::Map(entries), String::new())
            }
        };
        Node { id, value, text }
    }

    fn entries(&mut self, id: u32, raw: Vec<(Spanned<String>, Spanned<Raw>)>, in_list: bool) -> Vec<Entry> {
        let mut seen: HashMap<String, Range<usize>> = HashMap::with_capacity(raw.len());
        let mut entries: Vec<Entry> = Vec::with_capacity(raw.len());
        let mut run_together = false;
        for (key, value) in raw {
            let range = yaml::bytes(self.source, &key.defined);
            if let Some(first) = seen.get(&key.value) {
                // Two entries of a list without the dash between them are one map, and every key stands twice.
                let dash = in_list && entries.first().is_some_and(|entry| entry.key == key.value);
                if !run_together {
                    let help = dash.then(|| format!("a `-` is missing before `{}`?", key.value));
                    let diagnostic = Diagnostic::error(format!("duplicate key `{}`", key.value))
                        .code(Code::DuplicateKey)
                        .at(At { file: self.file, range })
                        .label(At { file: self.file, range: first.clone() }, "first defined here")
                        .help(help);
                    self.problems.push(diagnostic);
                }
                if dash {
                    run_together = true;
                    self.skip.insert(id);
                }
                continue;
            }
            seen.insert(key.value.clone(), range.clone());
            let key_id = self.places.add(self.file, range);
            entries.push(Entry { key: key.value, key_id, node: self.build(value) });
        }
        entries
    }

    fn text(&mut self, id: u32, text: String) -> (Value, String) {
        match expand(&text, self.env) {
            Ok(None) => (Value::Text { expanded: false }, text),
            Ok(Some((becomes, from_environment))) => {
                if from_environment {
                    self.places.came_from(id, Origin { written: text, text: becomes.clone() });
                }
                (Value::Text { expanded: true }, becomes)
            }
            Err(message) => {
                let mut diagnostic = Diagnostic::error(message).code(Code::Variable);
                diagnostic.place = self.places.at(Place(id));
                self.problems.push(diagnostic);
                self.skip.insert(id);
                (Value::Text { expanded: true }, text)
            }
        }
    }

    /// What a message about a whole collection points at: all of it where it is short, else its first key.
    fn opening(&self, range: Range<usize>, first_key: Option<u32>, last: Option<u32>) -> Range<usize> {
        let end = |id: Option<u32>| id.and_then(|id| self.places.at(Place(id))).filter(|at| at.range.end >= range.start);
        if self.source[range.start..].starts_with(['{', '[']) {
            let last = end(last).map_or(range.start + 1, |at| at.range.end);
            let close = self.source[last..].find(['}', ']', '\n']).map_or(last, |offset| last + offset);
            return range.start..(close + usize::from(!self.source[close..].starts_with('\n'))).min(self.source.len());
        }
        match end(first_key) {
            Some(key) => key.range,
            None => range.start..(range.start + 1).min(self.source.len()),
        }
    }
}

/// Expands `${NAME}` and `${NAME:-default}`; `$${` becomes `${`. Nothing where there is nothing to expand, else the new text and
/// whether any of it came from the environment. What came in is not looked at again.
fn expand(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Option<(String, bool)>, String> {
    if !text.contains("${") {
        return Ok(None);
    }
    let (mut out, mut rest, mut from_environment) = (String::with_capacity(text.len()), text, false);
    while let Some(start) = rest.find("${") {
        let (before, found) = rest.split_at(start);
        if let Some(before) = before.strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = &found[2..];
            continue;
        }
        out.push_str(before);
        let (inside, behind) =
            found[2..].split_once('}').ok_or("`${` without a closing `}`: write `$${` for the two characters themselves")?;
        let (name, default) = inside.split_once(":-").map_or((inside, None), |(name, default)| (name, Some(default)));
        let named = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || !name.chars().all(named) {
            return Err(format!(
                "`${{{inside}}}` is not a variable name: write ${{NAME}} or ${{NAME:-default}}, or `$${{` for the characters themselves"
            ));
        }
        // As in a shell, `:-` also stands in for a variable that is set to nothing.
        match (env(name), default) {
            (Some(value), None) => (out.push_str(&value), from_environment = true).1,
            (Some(value), Some(_)) if !value.is_empty() => (out.push_str(&value), from_environment = true).1,
            (_, Some(default)) => out.push_str(default),
            (None, None) => {
                return Err(format!("the environment variable `{name}` is not set: set it, or write ${{{name}:-default}}"));
            }
        }
        rest = behind;
    }
    out.push_str(rest);
    Ok(Some((out, from_environment)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expands_names_defaults_and_escapes_once() {
        let env = |name: &str| match name {
            "A" => Some("${B}".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        let expanded = |text: &str| expand(text, &env).map(|found| found.map(|(text, _)| text));

        assert_eq!(expanded("plain $A $"), Ok(None));
        assert_eq!(expanded("x${A}y"), Ok(Some("x${B}y".into())));
        assert_eq!(expanded("${EMPTY:-d}${EMPTY}${NONE:-}|$${A}"), Ok(Some("d|${A}".into())));
        assert!(expanded("${NONE}").is_err());
        assert!(expanded("${A").is_err());
        assert!(expanded("${A B}").is_err());
    }
}
