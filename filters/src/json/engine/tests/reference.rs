//! The slow reader that the engine is compared with: whole input, recursion, one byte at a time, paths followed name by name.
//!
//! It marks the bytes that go. On defective input it stops where the engine should, by the same leniency: what stays or goes whole is
//! only looked at for its strings and brackets.

use crate::json::path::{Path, Segment};

/// One policy of an intersection.
pub struct Rules {
    pub keep: bool,
    pub paths: Vec<Path>,
}

/// What goes out, and where the input is defective.
pub fn trim(text: &[u8], rules: &[Rules]) -> (Vec<u8>, Option<usize>) {
    let mut reader = Reader { text, rules, hides: rules.iter().any(|rules| rules.keep), gone: vec![false; text.len()], stack: Vec::new() };
    let mut at = 0;
    let defect = loop {
        at = reader.white(at);
        match reader.text.get(at) {
            None => break None,
            Some(_) => match reader.root(at) {
                Ok(end) => at = end,
                Err(defect) => break Some(defect),
            },
        }
    };
    if let Some(defect) = defect
        && reader.hides
    {
        reader.gone[defect..].fill(true);
    }
    (text.iter().zip(&reader.gone).filter(|(_, gone)| !**gone).map(|(byte, _)| *byte).collect(), defect)
}

enum Fate {
    Keep,
    Drop,
    Inside { scalars: bool },
}

struct Reader<'a> {
    text: &'a [u8],
    rules: &'a [Rules],
    hides: bool,
    gone: Vec<bool>,
    /// The names on the way; `None` for a key that is no valid string.
    stack: Vec<Option<String>>,
}

impl Reader<'_> {
    fn white(&self, mut at: usize) -> usize {
        while matches!(self.text.get(at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            at += 1;
        }
        at
    }

    fn root(&mut self, at: usize) -> Result<usize, usize> {
        match self.text[at] {
            b'{' | b'[' => self.container(at),
            b'"' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'+' | b'-' | b'.' => match self.skip(at) {
                // A scalar at the end of the input may end there.
                Err(end) if end == self.text.len() && self.text[at] != b'"' => Ok(end),
                other => other,
            },
            _ => Err(at),
        }
    }

    /// Passes over a value; an error is where the input ends or is wrong.
    fn skip(&self, mut at: usize) -> Result<usize, usize> {
        let first = self.text[at];
        if first == b'"' {
            return self.string(at).ok_or(self.text.len());
        }
        if !matches!(first, b'{' | b'[') {
            while let Some(byte) = self.text.get(at) {
                if !(byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')) {
                    return Ok(at);
                }
                at += 1;
            }
            return Err(at);
        }
        let mut depth = 0;
        loop {
            match self.text.get(at) {
                None => return Err(at),
                Some(b'"') => {
                    at = self.string(at).ok_or(self.text.len())?;
                    continue;
                }
                // Backslashes outside of strings are no JSON; they escape quotes and each other all the same, but no bracket.
                Some(b'\\') if matches!(self.text.get(at + 1), Some(b'"' | b'\\')) => at += 1,
                Some(b'{' | b'[') => depth += 1,
                Some(b'}' | b']') => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return if (self.text[at] == b'}') == (first == b'{') { Ok(at + 1) } else { Err(at) };
            }
            at += 1;
        }
    }

    /// After the closing quote of the string that begins at `at`.
    fn string(&self, mut at: usize) -> Option<usize> {
        at += 1;
        loop {
            match self.text.get(at)? {
                b'"' => return Some(at + 1),
                b'\\' => at += 2,
                _ => at += 1,
            }
        }
    }

    fn fate(&self) -> Fate {
        let (mut all_keep, mut scalars) = (true, true);
        for rules in self.rules {
            let mut inside = false;
            let mut found = false;
            for path in &rules.paths {
                match follow(path.segments(), &self.stack) {
                    Follow::Found => found = true,
                    Follow::Inside => inside = true,
                    Follow::Lost => {}
                }
            }
            match (rules.keep, found, inside) {
                (false, true, _) | (true, false, false) => return Fate::Drop,
                (true, true, _) => {}
                (true, false, true) => (all_keep, scalars) = (false, false),
                (false, false, true) => all_keep = false,
                (false, false, false) => {}
            }
        }
        if all_keep { Fate::Keep } else { Fate::Inside { scalars } }
    }

    fn container(&mut self, open: usize) -> Result<usize, usize> {
        let object = self.text[open] == b'{';
        let close = if object { b'}' } else { b']' };
        let end = self.text.len();
        let mut kept = false;
        let mut at = self.white(open + 1);
        match self.text.get(at) {
            None => return Err(end),
            Some(b'}' | b']') => return if self.text[at] == close { Ok(at + 1) } else { Err(at) },
            Some(_) => {}
        }
        // Where what goes with the next member begins: its comma, or itself.
        let mut head = at;
        loop {
            let Some(&first) = self.text.get(at) else { return Err(self.cut(head, end)) };
            if object {
                if first != b'"' {
                    return Err(self.cut(head, at));
                }
                let Some(after) = self.string(at) else { return Err(self.cut(head, end)) };
                let name = decode(&self.text[at..after]);
                let colon = self.white(after);
                match self.text.get(colon) {
                    Some(b':') => {}
                    None => return Err(self.cut(head, end)),
                    Some(_) => return Err(self.cut(head, colon)),
                }
                at = self.white(colon + 1);
                self.stack.push(name);
            }
            let fate = if self.stack.is_empty() { self.root_fate() } else { self.fate() };
            let Some(&first) = self.text.get(at) else {
                match fate {
                    Fate::Drop => self.gone[head..].fill(true),
                    Fate::Inside { scalars: false } => {
                        self.cut(head, end);
                    }
                    _ => {}
                }
                return Err(end);
            };
            let container = matches!(first, b'{' | b'[');
            if !container && first != b'"' && !(first.is_ascii_alphanumeric() || matches!(first, b'+' | b'-' | b'.')) {
                if matches!(fate, Fate::Drop | Fate::Inside { scalars: false }) {
                    self.gone[head..at].fill(true);
                }
                return Err(at);
            }
            let mut bare = false;
            match fate {
                Fate::Inside { .. } if container => {
                    kept = true;
                    at = self.container(at)?;
                }
                Fate::Keep | Fate::Inside { scalars: true } => {
                    kept = true;
                    at = self.skip(at)?;
                }
                _ => {
                    let result = self.skip(at);
                    let (Ok(stop) | Err(stop)) = result;
                    self.gone[head..stop].fill(true);
                    at = result?;
                    bare = !kept;
                }
            }
            if object {
                self.stack.pop();
            }

            let next = self.white(at);
            if bare {
                self.gone[at..next].fill(true);
            }
            match self.text.get(next) {
                None => return Err(end),
                Some(b'}' | b']') => return if self.text[next] == close { Ok(next + 1) } else { Err(next) },
                Some(b',') => {}
                Some(_) => return Err(next),
            }
            at = self.white(next + 1);
            head = next;
            if bare {
                self.gone[next..at].fill(true);
                head = at;
            }
        }
    }

    /// A header that begins at `head` turns out cut or wrong at `at`.
    fn cut(&mut self, head: usize, at: usize) -> usize {
        if self.hides {
            self.gone[head..at].fill(true);
        }
        at
    }

    /// Elements of arrays at the top: whatever the paths, something may be found in them.
    fn root_fate(&self) -> Fate {
        Fate::Inside { scalars: !self.hides }
    }
}

enum Follow {
    Found,
    Inside,
    Lost,
}

fn follow(path: &[Segment], names: &[Option<String>]) -> Follow {
    let (Some((segment, rest)), Some((name, names))) = (path.split_first(), names.split_first()) else {
        return match (path.is_empty(), names.is_empty()) {
            // What is in it is meant too.
            (true, _) => Follow::Found,
            (false, _) => Follow::Inside,
        };
    };
    match segment {
        Segment::Any => follow(rest, names),
        Segment::Name(own) => {
            if Some(own) == name.as_ref() {
                follow(rest, names)
            } else {
                Follow::Lost
            }
        }
        Segment::Deep => match (follow(rest, &[std::slice::from_ref(name), names].concat()), follow(path, names)) {
            (Follow::Found, _) | (_, Follow::Found) => Follow::Found,
            _ => Follow::Inside,
        },
    }
}

fn decode(quoted: &[u8]) -> Option<String> {
    let raw = &quoted[1..quoted.len() - 1];
    if raw.contains(&b'\\') { serde_json::from_slice(quoted).ok() } else { String::from_utf8(raw.to_vec()).ok() }
}
