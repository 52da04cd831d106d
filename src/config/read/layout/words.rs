//! What single lines and characters are: keys, dashes, comments, what only looks like a space.

use super::Mistake;

/// The longest text that a message repeats, in bytes.
const SHOWN: usize = 200;

/// Whether a line is an entry of a list.
pub(super) fn is_dash(content: &str) -> bool {
    content == "-" || content.starts_with("- ")
}

/// Where the value begins on a line that begins with a key.
pub(super) fn key(line: &str) -> Option<usize> {
    let line = uncommented(line.trim_end());
    let searched = match line.chars().next()? {
        quote @ ('"' | '\'') => line[1..].find(quote)? + 2,
        '[' | '{' | '#' | '|' | '>' | '@' | '%' | '`' | '&' | '!' | '*' => return None,
        _ => 0,
    };
    let rest = line.get(searched..)?;
    let colon = rest.find(": ").or_else(|| rest.ends_with(':').then(|| rest.len() - 1))?;
    Some(searched + colon + 1)
}

/// Why a text where a key belongs is none: its colon is missing, or the space behind that.
pub(super) fn no_key(at: usize, line: &str) -> Option<Mistake> {
    let end = line.find(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_').unwrap_or(line.len());
    let (name, rest) = line.split_at(end);
    if name.is_empty() || rest.starts_with("://") {
        return None;
    }
    if rest.starts_with(':') {
        let message = "a space is missing after this colon";
        return Some(Mistake::new(at + end..at + end + 1, message, format!("write `{name}: `")));
    }
    rest.chars()
        .next()
        .is_none_or(char::is_whitespace)
        .then(|| Mistake::new(at..at + end, format!("a colon is missing after `{name}`"), format!("write `{name}:`")))
}

/// A text without the comment behind it.
pub(super) fn uncommented(text: &str) -> &str {
    text.find(" #").map_or(text, |at| text[..at].trim_end())
}

/// A text that YAML reads as something else.
pub(super) fn must_be_quoted(at: usize, text: &str, why: &str) -> Mistake {
    let quoted = if text.contains('"') { format!("'{}'", text.replace('\'', "''")) } else { format!("\"{}\"", text.replace('\\', "\\\\")) };
    if text.len() > SHOWN {
        return Mistake::new(at..at + text.len(), format!("this text must be quoted: {why}"), "put it between quotes");
    }
    Mistake::new(at..at + text.len(), format!("`{text}` must be quoted: {why}"), format!("quote it: {quoted}"))
}

/// The name of a character that looks like a space.
pub(super) fn odd_space(c: char) -> Option<&'static str> {
    match c {
        '\u{a0}' => Some("a no-break space"),
        '\u{202f}' => Some("a narrow no-break space"),
        '\u{3000}' => Some("an ideographic space"),
        '\u{200b}' | '\u{200c}' | '\u{200d}' | '\u{2060}' | '\u{feff}' => Some("a character without width"),
        c if c.is_whitespace() && !matches!(c, '\r' | '\n') => Some("a space of another width"),
        _ => None,
    }
}
