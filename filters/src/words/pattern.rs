//! Path patterns as they are written in routes and permissions: `/users/{id}/files/**`.

use crate::words::path::normalise;

/// A pattern, segment by segment. `/a/` ends with an empty literal, so it differs from `/a`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: Box<str>,
    segments: Vec<Segment>,
}

/// What one segment of a path must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// Exactly this, in normal form; empty only at the end, for a trailing slash.
    Literal(Box<str>),
    /// Anything but empty, under this name.
    Variable(Box<str>),
    /// `**`: all that follows, be it nothing or a lone slash. Always last.
    Rest,
}

impl Pattern {
    /// Reads a pattern; the error says what is wrong with it, without repeating it.
    ///
    /// Literals are brought into the normal form that paths are compared in, so `/caf%c3%a9` and `/café` are one pattern.
    pub fn parse(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix('/').ok_or("a path begins with `/`")?;
        let mut segments = Vec::new();
        let mut parts = rest.split('/').peekable();
        while let Some(part) = parts.next() {
            let last = parts.peek().is_none();
            let segment = match part {
                "**" if last => Segment::Rest,
                "**" => return Err("`**` is only allowed at the end".into()),
                "" if last => Segment::Literal("".into()),
                "" => return Err("an empty segment (`//`) never matches: slashes are merged".into()),
                _ => match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
                    Some(name) => Segment::Variable(variable(name, &segments)?),
                    None => Segment::Literal(literal(part)?),
                },
            };
            segments.push(segment);
        }
        if segments.last() == Some(&Segment::Rest) && position(&segments, "rest").is_some() {
            return Err("`{rest}` is the name of what `**` matches".into());
        }
        Ok(Self { text: text.into(), segments })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its segments, of which there is always at least one.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Whether a path from [`normalise`] fits, for those who compare with one pattern alone.
    pub fn matches(&self, path: &str) -> bool {
        let Some(path) = path.strip_prefix('/') else { return false };
        let mut parts = path.split('/');
        for segment in &self.segments {
            let fits = match (segment, parts.next()) {
                (Segment::Rest, _) => return true,
                (Segment::Literal(text), Some(part)) => **text == *part,
                (Segment::Variable(_), Some(part)) => !part.is_empty(),
                (_, None) => false,
            };
            if !fits {
                return false;
            }
        }
        parts.next().is_none()
    }

    /// The place of the variable of this name, counted from 0; `rest` is `**`.
    pub fn position(&self, name: &str) -> Option<usize> {
        let rest = || (name == "rest").then(|| self.segments.iter().position(|segment| *segment == Segment::Rest));
        position(&self.segments, name).or_else(|| rest().flatten())
    }
}

fn position(segments: &[Segment], name: &str) -> Option<usize> {
    segments.iter().position(|segment| matches!(segment, Segment::Variable(known) if **known == *name))
}

fn variable(name: &str, before: &[Segment]) -> Result<Box<str>, String> {
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Err(format!("`{{{name}}}` is not a variable: its name takes letters, digits and `_`"));
    }
    if position(before, name).is_some() {
        return Err(format!("duplicate variable `{{{name}}}`"));
    }
    Ok(name.into())
}

fn literal(part: &str) -> Result<Box<str>, String> {
    if part.contains(['{', '}', '*']) {
        if part == "*" {
            return Err("`*` is no wildcard: write `{x}` for one segment, or `**` at the end for any number".into());
        }
        return Err(format!("`{part}`: a variable `{{x}}` and `**` fill a whole segment"));
    }
    let slashed = format!("/{part}");
    match normalise(&slashed) {
        Ok(path) if path != "/" => Ok(path[1..].into()),
        Ok(_) => Err(format!("`{part}` never matches: dot segments are resolved")),
        Err(reason) => Err(format!("`{part}` never matches: {reason} is refused")),
    }
}
