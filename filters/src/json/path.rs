//! The path language: `items.images.hd`, `*.debug`, `**.secret`, `claims."https://x/roles"`.
//!
//! A path is names between dots. Arrays are entered by themselves, however deep: `items.id` is the `id` of `items` where it is an object
//! and of every object in it where it is an array. `*` stands for any one name, `**` for any number of them, none included. A name with
//! a dot, a star, a quote, a comma or white space is written in double quotes, with `\"` and `\\` inside.

use std::fmt;
use std::str::FromStr;

/// The longest path, in bytes.
pub const MAX_LENGTH: usize = 1024;

/// The most names in one path.
pub const MAX_SEGMENTS: usize = 32;

/// Where members are found in a document; see the module.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Path(Vec<Segment>);

/// One step of a [`Path`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Segment {
    /// The member of this name.
    Name(String),
    /// Any one member: `*`.
    Any,
    /// Any number of names, also none: `**`.
    Deep,
}

impl Path {
    /// Of these steps, where there are some and the last is not [`Segment::Deep`].
    pub(super) fn of(segments: Vec<Segment>) -> Option<Self> {
        (!matches!(segments.last(), None | Some(Segment::Deep))).then_some(Self(segments))
    }

    /// The steps from the root; the last is never [`Segment::Deep`].
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// Reads a list of paths, as in `?fields=items.id,items.title`: commas separate, save within quotes. Spaces around a path are ignored,
    /// and so is nothing between two commas or at an end.
    ///
    /// More than `most` paths are an error; the place of an error counts from the list's beginning.
    pub fn list(text: &str, most: usize) -> Result<Vec<Self>, PathError> {
        let mut paths = Vec::new();
        let mut start = 0;
        while start < text.len() {
            let end = end_of_item(text, start);
            let item = text[start..end].trim_end_matches(' ');
            let lead = item.len() - item.trim_start_matches(' ').len();
            if lead < item.len() {
                if paths.len() == most {
                    return Err(PathError { at: start, message: format!("more than {most} paths") });
                }
                paths.push(item[lead..].parse().map_err(|error: PathError| PathError { at: error.at + start + lead, ..error })?);
            }
            start = end + 1;
        }
        Ok(paths)
    }
}

/// Where the item that begins at `start` ends: its comma, or the end of the text.
fn end_of_item(text: &str, start: usize) -> usize {
    let (mut quoted, mut escaped) = (false, false);
    for (offset, byte) in text.as_bytes()[start..].iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => return start + offset,
            _ => {}
        }
    }
    text.len()
}

/// What is wrong with a path, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathError {
    /// Bytes from the beginning of the text.
    pub at: usize,
    /// One sentence, without its place.
    pub message: String,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {}: {}", self.at, self.message)
    }
}

impl std::error::Error for PathError {}

impl FromStr for Path {
    type Err = PathError;
    fn from_str(text: &str) -> Result<Self, PathError> {
        Ok(Self(Self::read(text)?.into_iter().map(|(segment, _)| segment).collect()))
    }
}

impl Path {
    /// The steps, each with whether it was written in quotes.
    pub(super) fn read(text: &str) -> Result<Vec<(Segment, bool)>, PathError> {
        let wrong = |at: usize, message: &str| Err(PathError { at, message: message.to_owned() });
        if text.len() > MAX_LENGTH {
            return wrong(MAX_LENGTH, "a path is at most 1024 bytes long");
        }
        let ends_deep = |segments: &[(Segment, bool)]| matches!(segments.last(), Some((Segment::Deep, _)));
        let mut segments = Vec::new();
        let mut at = 0;
        loop {
            let start = at;
            let rest = &text[at..];
            if rest.starts_with('"') {
                let (name, length) = quoted(rest).map_err(|error| PathError { at: at + error.at, ..error })?;
                segments.push((Segment::Name(name), true));
                at += length;
            } else {
                let end = rest.find(|c: char| matches!(c, '.' | '"' | ',') || c.is_whitespace() || c.is_control()).unwrap_or(rest.len());
                at += end;
                match &rest[..end] {
                    "" => return wrong(start, "a name is missing here"),
                    "*" => segments.push((Segment::Any, false)),
                    "**" if ends_deep(&segments) => return wrong(start, "`**` after `**` says nothing more"),
                    "**" => segments.push((Segment::Deep, false)),
                    name => match name.find('*') {
                        Some(star) => {
                            return wrong(start + star, "a star is a whole name; write a name that has one in quotes");
                        }
                        None => segments.push((Segment::Name(name.to_owned()), false)),
                    },
                }
            }
            if segments.len() > MAX_SEGMENTS {
                return wrong(start, "a path has at most 32 names");
            }
            match text.as_bytes().get(at) {
                None if ends_deep(&segments) => return wrong(start, "a name should follow `**.`"),
                None => return Ok(segments),
                Some(b'.') => at += 1,
                Some(b'"') => return wrong(at, "quotes enclose a whole name"),
                Some(_) => {
                    return wrong(at, "a dot or the end of the path is missing here; write a name with this character in quotes");
                }
            }
        }
    }
}

/// The name at the beginning of `text`, which begins with a quote, and how many bytes it takes with both quotes.
fn quoted(text: &str) -> Result<(String, usize), PathError> {
    let mut name = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((name, at + 1)),
            '\\' => match chars.next() {
                Some((_, c @ ('"' | '\\'))) => name.push(c),
                _ => return Err(PathError { at, message: "only \\\" and \\\\ are escapes in a quoted name".into() }),
            },
            c => name.push(c),
        }
    }
    Err(PathError { at: 0, message: "this quote is not closed".into() })
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, segment) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            segment.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Deep => f.write_str("**"),
            Self::Name(name) => {
                let odd = |c: char| matches!(c, '.' | '"' | ',' | '*') || c.is_whitespace() || c.is_control();
                if name.is_empty() || name.contains(odd) {
                    write!(f, "\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
                } else {
                    f.write_str(name)
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Segment {
        Segment::Name(text.to_owned())
    }

    #[test]
    fn names_stars_and_quotes_are_told_apart() {
        let path: Path = r#"a.*.**."https://x/roles"."*"."\"\\"."".é"#.parse().expect("a path");
        let expected = [name("a"), Segment::Any, Segment::Deep, name("https://x/roles"), name("*"), name("\"\\"), name(""), name("é")];
        assert_eq!(path.segments(), expected);
    }

    #[test]
    fn a_path_prints_as_it_is_read() {
        for text in ["a", "a.b.c", "**.x", "a.*.b", r#""a.b".c"#, r#""*"."""#, r#""\"\\""#, r#""a b""#, r"a\b"] {
            assert_eq!(text.parse::<Path>().expect("a path").to_string(), text);
        }
    }

    #[test]
    fn errors_say_where() {
        for (text, at) in [
            ("", 0),
            ("a.", 2),
            (".a", 0),
            ("a..b", 2),
            ("a.b*", 3),
            ("a.***", 2),
            ("a.**", 2),
            ("**.**.a", 3),
            (r#"a."b"#, 2),
            (r#"a."b"c"#, 5),
            (r#"a.b"c""#, 3),
            (r#"é."\n""#, 4),
            ("a b", 1),
            ("a,b", 1),
        ] {
            assert_eq!(text.parse::<Path>().expect_err(text).at, at, "{text}");
        }
        assert!("a".repeat(2000).parse::<Path>().is_err());
        assert!(vec!["a"; 33].join(".").parse::<Path>().is_err());
    }

    #[test]
    fn a_list_splits_at_commas_outside_of_quotes() {
        let paths = Path::list(r#"items.id, "a,b".c,d"#, 3).expect("three paths");
        assert_eq!(paths.iter().map(Path::to_string).collect::<Vec<_>>(), ["items.id", r#""a,b".c"#, "d"]);

        assert_eq!(Path::list("a,b.,c", 9).expect_err("an empty name").at, 4);
        assert_eq!(Path::list("a,b,c", 2).expect_err("too many").at, 4);
        assert_eq!(Path::list("", 2).expect("nothing"), []);
    }

    #[test]
    fn a_list_may_have_empty_members() {
        for text in ["id,", ",id", "id,,", ", ,id ,", "id"] {
            assert_eq!(Path::list(text, 1).expect("a path"), [Path::list("id", 1).expect("a path")[0].clone()], "{text}");
        }
        assert_eq!(Path::list(" , ,", 0).expect("nothing"), []);
        assert_eq!(Path::list("a,,b", 1).expect_err("too many").at, 3);
        assert_eq!(Path::list("a.,", 9).expect_err("an empty name").at, 2);
    }
}
