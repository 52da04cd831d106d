//! Writes YAML that says the same when it is read again, with a comment behind each line where it comes from somewhere else than what is
//! around it.

use serde_json::Value;

use super::{Content, Shown};

/// Lists of words are written on one line up to this length.
const WIDE: usize = 100;
/// Comments stand beside lines up to this length in one column.
const COLUMN: usize = 64;

/// A line, and the comment behind it.
struct Line {
    text: String,
    comment: Option<String>,
}

struct Writer {
    lines: Vec<Line>,
    origins: bool,
}

/// All of it.
pub(super) fn text(shown: &Shown, origins: bool) -> String {
    let mut writer = Writer { lines: Vec::new(), origins };
    writer.entries(shown, 0, "");
    let widths = writer.lines.iter().map(|line| line.text.chars().count());
    let column = widths.filter(|width| *width <= COLUMN).max().unwrap_or(0);
    let mut out = String::new();
    for Line { text, comment } in writer.lines {
        out.push_str(&text);
        if let Some(comment) = comment {
            out.push_str(&" ".repeat(column.saturating_sub(text.chars().count()) + 2));
            out.push_str("# ");
            out.push_str(&comment);
        }
        out.push('\n');
    }
    out
}

impl Writer {
    /// A line for a value, whose comment is left out where it is `around`'s. What the comment would be.
    fn line(&mut self, text: String, shown: &Shown, around: &str) -> String {
        let own = shown.origin.text().to_owned();
        let comment = (self.origins && own != around).then(|| own.clone());
        self.lines.push(Line { text, comment });
        own
    }

    fn entries(&mut self, shown: &Shown, indent: usize, around: &str) {
        match &shown.content {
            Content::Map(entries) => {
                for (key, value) in entries {
                    self.value(format!("{}{}:", " ".repeat(indent), scalar(key)), value, indent, around);
                }
            }
            Content::List(items) => {
                for item in items {
                    let dash = format!("{}-", " ".repeat(indent));
                    match &item.content {
                        Content::Map(entries) if !entries.is_empty() => self.item(dash, item, entries, indent, around),
                        _ => self.value(dash, item, indent, around),
                    }
                }
            }
            Content::Scalar(_) | Content::Masked { .. } => {}
        }
    }

    /// A map in a list: its first key stands behind the dash.
    fn item(&mut self, dash: String, item: &Shown, entries: &[(String, Shown)], indent: usize, around: &str) {
        let mut lead = dash;
        let own = item.origin.text();
        // What is all of one line says so once.
        let around = if own == around { around } else { "" };
        for (index, (key, value)) in entries.iter().enumerate() {
            let prefix = if index == 0 { format!("{lead} ") } else { " ".repeat(indent + 2) };
            let before = self.lines.len();
            self.value(format!("{prefix}{}:", scalar(key)), value, indent + 2, if index == 0 { around } else { own });
            debug_assert!(self.lines.len() > before, "each key has its line");
            lead.clear();
        }
    }

    /// A value behind its key or its dash.
    fn value(&mut self, lead: String, shown: &Shown, indent: usize, around: &str) {
        match flow(shown) {
            Some(text) => {
                self.line(format!("{lead} {text}"), shown, around);
            }
            None => {
                let own = self.line(lead, shown, around);
                self.entries(shown, indent + 2, &own);
            }
        }
    }
}

/// A value as it is written on one line, where it is short: no collection, an empty one, or a list of words.
fn flow(shown: &Shown) -> Option<String> {
    match &shown.content {
        Content::Scalar(value) => Some(json_scalar(value)),
        Content::Masked { shown, .. } => Some(quoted(shown)),
        Content::Map(entries) => entries.is_empty().then(|| "{}".to_owned()),
        Content::List(items) => {
            let words: Option<Vec<String>> = items
                .iter()
                .map(|item| match &item.content {
                    Content::Scalar(value) => Some(json_scalar(value)),
                    Content::Masked { shown, .. } => Some(quoted(shown)),
                    Content::List(_) | Content::Map(_) => None,
                })
                .collect();
            let text = format!("[{}]", words?.join(", "));
            (text.chars().count() <= WIDE).then_some(text)
        }
    }
}

fn json_scalar(value: &Value) -> String {
    match value {
        // What is written is read for `${NAME}` again.
        Value::String(text) => scalar(&text.replace("${", "$${")),
        other => other.to_string(),
    }
}

/// A text, in quotes where it would be something else without them.
fn scalar(text: &str) -> String {
    let starts = text.chars().next().is_some_and(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '.'));
    let within = text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:@+%=~*^ $".contains(c));
    let splits = text.contains(": ") || text.contains(" #") || text.ends_with([':', ' ']);
    let is_word = !matches!(text.to_ascii_lowercase().as_str(), "null" | "true" | "false" | "yes" | "no" | "on" | "y" | "n");
    let is_number = text.parse::<f64>().is_ok() || text.starts_with("0x") || text.starts_with("0o") || looks_like_a_date(text);
    if starts && within && !splits && is_word && !is_number && !text.contains('$') { text.to_owned() } else { quoted(text) }
}

/// What readers of YAML 1.1 take for a number or a time: digits with dashes, colons or underscores between them.
fn looks_like_a_date(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_digit() || matches!(c, '-' | ':' | '_'))
}

/// A text in double quotes, whose escapes are those of JSON.
fn quoted(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}
