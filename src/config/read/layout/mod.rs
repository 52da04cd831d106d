//! Why a text is not YAML, found by reading it line by line as a person would: a parser says where it gave up, which is rarely where the
//! mistake is.
//!
//! It is asked only after the parser has given up, and says nothing where it knows no better.

mod flow;
mod indent;
mod words;

use std::collections::HashMap;
use std::ops::Range;

use self::indent::Levels;
use self::words::{is_dash, key, must_be_quoted, no_key, odd_space, uncommented};
use crate::config::diagnostics::nearest;

/// A mistake in how a text is laid out.
#[derive(Debug, PartialEq)]
pub(super) struct Mistake {
    /// What is wrong.
    pub message: String,
    /// Where, in bytes.
    pub range: Range<usize>,
    /// What would be right.
    pub help: Option<String>,
}

impl Mistake {
    fn new(range: Range<usize>, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), range, help: Some(help.into()) }
    }
}

/// The first mistake of a text that is not YAML, if it is one of those that people make.
pub(super) fn explain(text: &str) -> Option<Mistake> {
    let mut reader =
        Reader { text, at: 0, open: Vec::new(), anchors: HashMap::new(), aliases: Vec::new(), levels: Levels::default(), bare: None };
    match reader.read() {
        Err(mistake) => Some(mistake),
        Ok(()) => reader.aliases(),
    }
}

/// Characters that look like the spaces before a line and are none, although a parser takes them.
pub(super) fn odd_indentation(text: &str) -> Option<Mistake> {
    let begins_oddly = |line: &str| line.trim_start_matches(' ').chars().next().is_some_and(|c| odd_space(c).is_some());
    if text.is_ascii() || !text.lines().any(begins_oddly) {
        return None;
    }
    explain(text).filter(|mistake| mistake.message.starts_with(INDENTED))
}

const INDENTED: &str = "this line is indented with";

/// Refuses a line that a block of text would end with, though it is indented by more than what the block belongs to.
fn within_block(start: usize, indent: usize, first: Option<usize>) -> Result<(), Mistake> {
    match first {
        Some(first) if indent < first => {
            let message = format!("this line is indented by {indent}, the block of text that it stands in by {first}");
            Err(Mistake::new(start + indent..start + indent + 1, message, format!("indent it by {first} or more")))
        }
        _ => Ok(()),
    }
}

/// Reads the text. Every step returns the mistake that it meets.
struct Reader<'t> {
    text: &'t str,
    /// How far it was read.
    at: usize,
    /// Brackets that are open.
    open: Vec<flow::Open>,
    /// Anchors, each with the first place of it.
    anchors: HashMap<&'t str, usize>,
    /// Aliases, each with its place.
    aliases: Vec<(&'t str, usize)>,
    levels: Levels,
    /// The text that the last line consisted of, where it had no key, with its place and its column.
    bare: Option<(usize, &'t str, usize)>,
}

/// What a line of block YAML leaves to those below it.
enum After {
    /// Nothing.
    Done,
    /// Its value stands below.
    Below,
    /// A plain text, which may go on.
    Plain,
    /// A block of text, whose lines are indented by more than the first number, and as its first line is, once that is known.
    Block(usize, Option<usize>),
}

impl<'t> Reader<'t> {
    fn read(&mut self) -> Result<(), Mistake> {
        let mut after = After::Done;
        let mut begun = false;
        while self.at < self.text.len() {
            let (start, end) = (self.at, self.line_end(self.at));
            let line = &self.text[start..end];
            let indent = line.len() - line.trim_start_matches(' ').len();
            let content = line.trim();
            let blank = content.is_empty();
            if let After::Block(least, first) = after
                && (blank || indent > least)
            {
                if !blank && !content.starts_with('#') {
                    within_block(start, indent, first)?;
                    after = After::Block(least, first.or(Some(indent)));
                }
                self.at = end + 1;
                continue;
            }
            if blank || content.starts_with('#') {
                self.at = end + 1;
                continue;
            }
            self.indented(start, line)?;
            if line.starts_with("---") || line.starts_with("...") {
                if begun && line.starts_with("---") {
                    let help = "a file holds one YAML document: remove the `---`, or write several files in a directory";
                    return Err(Mistake::new(start..start + 3, "a second document begins here", help));
                }
                self.at = end + 1;
                continue;
            }
            begun = true;
            if matches!(after, After::Plain) && self.levels.is_deeper(indent) && key(content).is_none() && !is_dash(content) {
                self.at = end + 1;
                continue;
            }
            let is_key = key(content).is_some();
            if let Some((at, text, _)) = self.bare.filter(|(.., column)| matches!(after, After::Plain) && is_key && *column == indent)
                && let Some(mistake) = no_key(at, text)
            {
                return Err(mistake);
            }
            if let Err(mistake) = self.levels.line(self.text, start, indent, content, matches!(after, After::Below)) {
                // What stands deeper belongs to the text before it, which was meant to be a key.
                let bare = self.bare.filter(|_| matches!(after, After::Plain) && !is_dash(content));
                return Err(bare.and_then(|(at, text, _)| no_key(at, text)).unwrap_or(mistake));
            }
            self.at = start + indent;
            self.bare = None;
            after = self.block(start)?;
        }
        match self.open.pop() {
            Some(open) => Err(open.unclosed()),
            None => Ok(()),
        }
    }

    /// Refuses what looks like spaces before a line and is none.
    fn indented(&self, start: usize, line: &str) -> Result<(), Mistake> {
        for (offset, c) in line.char_indices() {
            let at = start + offset..start + offset + c.len_utf8();
            match c {
                ' ' => {}
                '\t' => return Err(Mistake::new(at, format!("{INDENTED} a tab"), "indent with spaces")),
                _ => match odd_space(c) {
                    Some(name) => {
                        let message = format!("{INDENTED} {name} (U+{:04X})", u32::from(c));
                        return Err(Mistake::new(at, message, "indent with spaces"));
                    }
                    None => break,
                },
            }
        }
        Ok(())
    }

    /// Reads a line of block YAML: dashes, a key, a value.
    fn block(&mut self, line: usize) -> Result<After, Mistake> {
        loop {
            let end = self.line_end(self.at);
            let rest = &self.text[self.at..end];
            if is_dash(rest.trim_end()) {
                let inner = rest[1..].trim_start_matches(' ');
                let column = self.at - line;
                self.at = end - inner.len();
                self.levels.dash(column);
                if inner.trim().is_empty() || inner.starts_with('#') {
                    self.at = end + 1;
                    return Ok(After::Below);
                }
                continue;
            }
            let column = self.at - line;
            if let Some(value) = key(rest) {
                self.levels.key(column);
                self.at += value;
            } else if let Some(mistake) = no_key(self.at, rest).filter(|_| self.levels.are_keys(column)) {
                return Err(mistake);
            } else {
                self.bare = Some((self.at, rest, column));
            }
            return self.value(column);
        }
    }

    /// Reads the value at this place, whose key begins in this column.
    fn value(&mut self, column: usize) -> Result<After, Mistake> {
        let end = self.line_end(self.at);
        let trim = |text: &'t str| text.trim_start_matches([' ', '\t']);
        let mut rest = trim(&self.text[self.at..end]);
        while rest.starts_with(['&', '!']) {
            let word = rest.split([' ', '\t', '\r']).next().unwrap_or(rest);
            if let Some(name) = word.strip_prefix('&') {
                self.anchors.entry(name).or_insert(end - rest.len());
            }
            rest = trim(&rest[word.len()..]);
        }
        let at = end - rest.len();
        let text = rest.trim_end();
        self.at = at;
        match text.chars().next() {
            None | Some('#') => {
                self.at = end + 1;
                Ok(After::Below)
            }
            Some('|' | '>') => {
                self.at = end + 1;
                // Where a number says how deep it is indented, its first line may be deeper.
                Ok(After::Block(column, text.contains(|c: char| c.is_ascii_digit()).then_some(0)))
            }
            Some('*') => {
                self.alias(at, uncommented(text))?;
                self.at = end + 1;
                Ok(After::Done)
            }
            Some('@' | '`' | '%') => Err(must_be_quoted(at, uncommented(text), "it cannot begin a value in YAML")),
            Some(quote @ ('"' | '\'')) => {
                let close = self.quoted(at, quote)?;
                self.rest(close, at)
            }
            Some('[' | '{') => {
                let close = self.flow(at)?;
                self.rest(close, at)
            }
            Some(_) => self.plain(at, text, end),
        }
    }

    /// A text without quotes: nothing in it may look like another key.
    fn plain(&mut self, at: usize, text: &'t str, end: usize) -> Result<After, Mistake> {
        let text = uncommented(text);
        if text.contains(": ") || text.ends_with(':') {
            let mut mistake = must_be_quoted(at, text, "a colon and a space in a value begin another key");
            mistake.help = mistake.help.map(|help| format!("{help}; if it is a map, write it below its key or in braces"));
            return Err(mistake);
        }
        if text.starts_with("- ") {
            let help = "write the entries below the key, each with its dash, or in brackets: [a, b]";
            return Err(Mistake::new(at..at + text.len(), "a list cannot begin on the line of its key", help));
        }
        self.at = end + 1;
        Ok(After::Plain)
    }

    /// What follows a closing quote or bracket on its line: a colon where it was a key, else nothing but a comment.
    fn rest(&mut self, close: usize, began: usize) -> Result<After, Mistake> {
        let end = self.line_end(close);
        let rest = self.text[close..end].trim();
        self.at = end + 1;
        if rest.is_empty() || rest.starts_with('#') {
            return Ok(After::Done);
        }
        if rest.starts_with(':') && (rest.len() == 1 || rest.starts_with(": ")) {
            return Ok(After::Below);
        }
        let whole = uncommented(self.text[began..end].trim_end());
        let place = end - self.text[close..end].trim_start().len()..end;
        if whole.starts_with(['"', '\'']) {
            return Err(Mistake::new(place, "nothing may follow the closing quote", "put the quotes around the whole value"));
        }
        if whole.contains('\n') {
            return Err(Mistake::new(
                place,
                "nothing may follow the closing bracket",
                "remove it, or write a comma before it within the brackets",
            ));
        }
        Err(must_be_quoted(began, whole, "a bracket begins a list or a map in YAML"))
    }

    /// The end of a quoted text, behind its closing quote.
    fn quoted(&self, at: usize, quote: char) -> Result<usize, Mistake> {
        let mut chars = self.text[at + 1..].char_indices().peekable();
        while let Some((offset, c)) = chars.next() {
            match c {
                '\\' if quote == '"' => {
                    chars.next();
                }
                '\'' if quote == '\'' && chars.peek().is_some_and(|(_, next)| *next == '\'') => {
                    chars.next();
                }
                '\n' => {
                    let next = self.text[at + 1 + offset + 1..].lines().next().unwrap_or_default();
                    if key(next.trim_start()).is_some() || is_dash(next.trim()) {
                        break;
                    }
                }
                c if c == quote => return Ok(at + 1 + offset + 1),
                _ => {}
            }
        }
        Err(Mistake::new(at..at + 1, format!("this `{quote}` is not closed"), format!("add a closing `{quote}`")))
    }

    /// Notes an alias. What cannot be the name of one was meant as text.
    fn alias(&mut self, at: usize, text: &'t str) -> Result<(), Mistake> {
        let name = &text[1..];
        if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_')) {
            return Err(must_be_quoted(at, text, "`*` begins an alias in YAML"));
        }
        self.aliases.push((name, at));
        Ok(())
    }

    /// The first alias of an anchor that does not stand before it.
    fn aliases(&self) -> Option<Mistake> {
        let (name, at) = self.aliases.iter().find(|(name, at)| self.anchors.get(name).is_none_or(|place| place > at))?;
        let help = match self.anchors.get(name) {
            Some(place) => {
                let line = self.text[..*place].matches('\n').count() + 1;
                format!("it is defined on line {line}: an anchor comes before what uses it")
            }
            None => match nearest(name, self.anchors.keys().copied()) {
                Some(near) => format!("did you mean `*{near}`?"),
                None => format!("define it as `&{name}`; if it is text, quote it: \"*{name}\""),
            },
        };
        Some(Mistake::new(*at..at + 1 + name.len(), format!("there is no anchor `{name}`"), help))
    }

    fn line_end(&self, at: usize) -> usize {
        self.text[at..].find('\n').map_or(self.text.len(), |offset| at + offset)
    }
}

#[cfg(test)]
mod tests;
