//! Indentation: which lines are neighbours, and which of them stands out of line.

use super::Mistake;
use super::words::{is_dash, key};

/// The collections that are open, from the outside in.
#[derive(Debug, Default)]
pub(super) struct Levels(Vec<Level>);

#[derive(Clone, Copy, Debug)]
struct Level {
    column: usize,
    list: bool,
    /// Where the line of its first entry begins.
    first: usize,
    /// How many entries it has so far.
    entries: usize,
}

impl Level {
    /// Whether it has one entry so far, on a line of which it is the first thing.
    fn is_alone(self) -> bool {
        self.entries == 1 && self.first != usize::MAX
    }
}

impl Levels {
    /// Whether this column is deeper than all that is open.
    pub(super) fn is_deeper(&self, column: usize) -> bool {
        self.0.last().is_none_or(|level| column > level.column)
    }

    /// Finds the place of a line. `below`: the line before it has left its value to this one.
    pub(super) fn line(&mut self, text: &str, start: usize, indent: usize, content: &str, below: bool) -> Result<(), Mistake> {
        let list = is_dash(content);
        let mut left: Option<Level> = None;
        while let Some(level) = self.0.last().copied().filter(|level| level.column > indent) {
            left = Some(level);
            self.0.pop();
        }
        let at = start + indent..start + indent + 1;
        let begins = Level { column: indent, list, first: start, entries: 1 };
        match self.0.last().copied() {
            Some(level) if level.column == indent && level.list == list => {
                if let Some(level) = self.0.last_mut() {
                    level.entries += 1;
                }
            }
            // The entries of a list may stand as deep as the key above them, but nothing else may.
            Some(level) if level.column == indent && list => {
                if !below || left.is_some() {
                    let message = "a list cannot begin here: the entries above it are keys";
                    return Err(Mistake::new(at, message, "write the key of the list above it"));
                }
                self.0.push(begins);
            }
            Some(level) if level.column == indent => {
                self.0.pop();
                if self.0.last().is_none_or(|outer| outer.column != indent) {
                    let help = "begin it with `- `, or indent it as what it belongs to";
                    return Err(Mistake::new(at, "a `-` is missing before this entry of a list", help));
                }
            }
            Some(_) if below && left.is_none() => self.0.push(begins),
            None if left.is_none() => self.0.push(begins),
            _ => return self.out_of_line(text, start, begins, left),
        }
        Ok(())
    }

    /// Whether keys stand in this column.
    pub(super) fn are_keys(&self, column: usize) -> bool {
        self.0.last().is_some_and(|level| level.column == column && !level.list && level.entries > 1)
    }

    /// An entry of a list begins in this column, on a line whose place is known.
    pub(super) fn dash(&mut self, column: usize) {
        self.add(column, true);
    }

    /// A key begins in this column, on a line whose place is known.
    pub(super) fn key(&mut self, column: usize) {
        self.add(column, false);
    }

    fn add(&mut self, column: usize, list: bool) {
        if self.is_deeper(column) {
            self.0.push(Level { column, list, first: usize::MAX, entries: 1 });
        }
    }

    /// A line that is as deep as none of its neighbours, or that makes the one before it stand out.
    fn out_of_line(&self, text: &str, start: usize, line: Level, left: Option<Level>) -> Result<(), Mistake> {
        let (outer, indent) = (self.0.last().copied(), line.column);
        let around = self.0.len().checked_sub(2).map(|index| self.0[index]);
        let (at, own, others) = match (left, outer) {
            // The only one of its neighbours so far stands out itself, and this line is the next of them, or belongs to it.
            (Some(_), Some(outer)) if outer.is_alone() && is_odd(around, outer.column, indent) => {
                let next = if outer.list && !line.list { indent - 2 } else { indent };
                (outer.first, outer.column, next)
            }
            // Between what it left and what is around that: it was meant to be one of those of its kind, or of those that it left.
            (Some(left), Some(outer)) if left.list != line.list && outer.list == line.list => (start, indent, outer.column),
            // The first of its neighbours stands out itself.
            (Some(left), outer) if left.is_alone() && is_odd(outer, left.column, indent) => (left.first, left.column, indent),
            (Some(left), _) => (start, indent, left.column),
            (None, Some(level)) => {
                let alone = level.is_alone() && self.0.len() > 1;
                let first_is_odd = alone
                    && (is_odd(around, level.column, indent)
                        || !is_odd(around, indent, level.column) && neighbours(text, start, indent) > 1);
                if first_is_odd { (level.first, level.column, indent) } else { (start, indent, level.column) }
            }
            (None, None) => (start, indent, 0),
        };
        let message = format!("this line is indented by {own}, its neighbours by {others}");
        Err(Mistake::new(at + own..at + own + 1, message, "lines of one map or list are indented alike"))
    }
}

/// Whether the first of two columns is no even step deeper than what is around both, and the second is one.
fn is_odd(around: Option<Level>, column: usize, other: usize) -> bool {
    let around = around.map_or(0, |level| level.column);
    let even = |column: usize| (column - around.min(column)).is_multiple_of(2);
    !even(column) && even(other)
}

/// How many keys follow each other in this column.
fn neighbours(text: &str, start: usize, column: usize) -> usize {
    let indent = |line: &&str| line.len() - line.trim_start_matches(' ').len();
    let lines = text[start..].lines().filter(|line| !line.trim().is_empty()).take_while(|line| indent(line) >= column);
    lines.filter(|line| indent(line) == column && key(line.trim_start()).is_some()).count()
}
