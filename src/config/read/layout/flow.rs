//! Lists and maps in brackets: where a bracket is left open, and which texts in them must be quoted.

use super::words::{is_dash, key, must_be_quoted};
use super::{Mistake, Reader};

/// A bracket that is open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    bracket: char,
    at: usize,
    /// Whether the entry that is being read has its colon.
    colon: bool,
    /// How deep the line is on which the outermost bracket was opened.
    indent: usize,
}

impl Open {
    fn close(self) -> char {
        if self.bracket == '[' { ']' } else { '}' }
    }

    /// It is never closed.
    pub(super) fn unclosed(self) -> Mistake {
        let close = self.close();
        Mistake::new(self.at..self.at + 1, format!("this `{}` is not closed", self.bracket), format!("add a `{close}`"))
    }
}

impl<'t> Reader<'t> {
    /// Reads from an opening bracket to behind the closing one.
    pub(super) fn flow(&mut self, began: usize) -> Result<usize, Mistake> {
        let line = self.text[..began].rfind('\n').map_or(0, |newline| newline + 1);
        let indent = self.text[line..].len() - self.text[line..].trim_start_matches(' ').len();
        let mut at = began;
        while let Some(c) = self.text[at..].chars().next() {
            match c {
                '[' | '{' => {
                    self.open.push(Open { bracket: c, at, colon: false, indent });
                    at += 1;
                }
                ']' | '}' => {
                    let Some(open) = self.open.pop() else { return Ok(at) };
                    if open.close() != c {
                        return Err(open.unclosed());
                    }
                    at += 1;
                    if self.open.is_empty() {
                        return Ok(at);
                    }
                    self.stuck(open.at, at)?;
                }
                ',' => {
                    self.entry(false);
                    at += 1;
                }
                '\n' => {
                    at += 1;
                    self.next_line(at)?;
                }
                ' ' | '\t' | '\r' => at += 1,
                '#' if self.text[..at].ends_with([' ', '\t', '\n']) => at = self.line_end(at),
                '"' | '\'' => at = self.quoted(at, c)?,
                ':' if self.is_colon(at + 1) || self.text[..at].ends_with(['"', '\'']) => {
                    self.entry(true);
                    at += 1;
                }
                '&' | '!' => {
                    let word = self.word(at);
                    if c == '&' {
                        self.anchors.entry(&word[1..]).or_insert(at);
                    }
                    at += word.len();
                }
                '*' => {
                    let text = self.plain_text(at);
                    self.alias(at, text)?;
                    at += text.len();
                }
                '@' | '`' | '%' => return Err(must_be_quoted(at, self.plain_text(at), "it cannot begin a value in YAML")),
                _ => at = self.plain_in_flow(at)?,
            }
        }
        self.at = at;
        Err(self.open.pop().map_or_else(|| Mistake::new(began..began + 1, "this bracket is not closed", "close it"), Open::unclosed))
    }

    /// A comma or a colon of the innermost bracket.
    fn entry(&mut self, colon: bool) {
        if let Some(open) = self.open.last_mut() {
            open.colon = colon;
        }
    }

    /// Whether a colon before this place separates a key from its value.
    fn is_colon(&self, after: usize) -> bool {
        self.text[after..].chars().next().is_none_or(|c| c.is_whitespace() || ",[]{}".contains(c))
    }

    /// A line below the opening bracket that looks as if no bracket were open.
    fn next_line(&self, start: usize) -> Result<(), Mistake> {
        let line = &self.text[start..self.line_end(start)];
        let content = line.trim();
        let indent = line.len() - line.trim_start_matches(' ').len();
        match self.open.last() {
            Some(open) if indent <= open.indent && (is_dash(content) || key(content).is_some()) => Err(open.unclosed()),
            _ => Ok(()),
        }
    }

    /// What follows a closed bracket at once was meant to be one text with it: `[::1]:80`.
    fn stuck(&self, began: usize, at: usize) -> Result<(), Mistake> {
        let next = self.text[at..].chars().next();
        let colon = next == Some(':') && self.is_colon(at + 1);
        if colon || next.is_none_or(|c| c.is_whitespace() || ",]}".contains(c)) {
            return Ok(());
        }
        let rest = self.plain_text(at);
        Err(must_be_quoted(began, &self.text[began..at + rest.len()], "a bracket begins a list or a map in YAML"))
    }

    /// Reads a text without quotes. A bracket in it ends it for YAML, but not for who wrote it.
    fn plain_in_flow(&mut self, began: usize) -> Result<usize, Mistake> {
        let mut end = began;
        for (offset, c) in self.text[began..].char_indices() {
            end = began + offset;
            match c {
                ',' | ']' | '}' | '\n' => break,
                '[' | '{' => {
                    let whole = self.plain_text(began);
                    return Err(must_be_quoted(began, whole, "a bracket begins a list or a map in YAML"));
                }
                ':' if self.is_colon(end + 1) => break,
                '#' if self.text[..end].ends_with(' ') => break,
                _ => end += c.len_utf8(),
            }
        }
        // Two colons without a comma between them.
        let second = self.text[end..].starts_with(':') && self.open.last().is_some_and(|open| open.bracket == '{' && open.colon);
        if second {
            let text = &self.text[began..end];
            let at = began + text.rfind(' ').map_or(0, |space| space + 1);
            return Err(Mistake::new(
                at..end,
                format!("a comma is missing before `{}`", &self.text[at..end]),
                "separate entries with commas",
            ));
        }
        Ok(if end > began { end } else { began + self.text[began..].chars().next().map_or(0, char::len_utf8) })
    }

    /// A text as who wrote it meant it: with the brackets that are opened in it closed again.
    fn plain_text(&self, began: usize) -> &'t str {
        let mut depth = 0usize;
        let mut end = self.text.len();
        for (offset, c) in self.text[began..].char_indices() {
            match c {
                '[' | '{' => depth += 1,
                ']' | '}' if depth > 0 => depth -= 1,
                ',' if depth > 0 => {}
                ',' | ']' | '}' | '\n' => {
                    end = began + offset;
                    break;
                }
                _ => {}
            }
        }
        self.text[began..end].trim_end()
    }

    fn word(&self, began: usize) -> &'t str {
        let rest = &self.text[began..];
        &rest[..rest.find(|c: char| c.is_whitespace() || ",[]{}".contains(c)).unwrap_or(rest.len())]
    }
}
