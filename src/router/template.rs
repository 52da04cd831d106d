//! What a rewrite or a redirect makes of a path: `/v2/{rest}`, compiled against the route's pattern.

use super::{Pattern, Segment};

/// Text with places for what the variables and `**` of one pattern matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    /// The path's segment of this number, from 0.
    Segment(usize),
    /// All of the path from the segment of this number on.
    Rest(usize),
}

impl Template {
    /// Compiles a template against a pattern. `{rest}` is what `**` matched, without its leading slash.
    ///
    /// A path or an `http(s)` URL; a variable never reaches into the URL's host, or a client could choose where the answer
    /// points. The error says what is wrong, without repeating the template.
    pub(crate) fn parse(template: &str, pattern: &Pattern) -> Result<Self, String> {
        let fixed = match template.split_once("://") {
            Some(("http" | "https", rest)) => rest.split('/').next().unwrap_or(rest),
            _ if template.starts_with("//") => return Err("it begins with `//`, which would name a host".into()),
            _ if template.starts_with('/') => "",
            _ => return Err("it begins with neither `/` nor `http://` nor `https://`".into()),
        };
        if fixed.contains('{') {
            return Err("there is a variable in the host: a client could choose the host".into());
        }
        let mut parts = Vec::new();
        let mut left = template;
        while let Some(at) = left.find(['{', '}']) {
            let (text, brace) = left.split_at(at);
            let (name, after) =
                brace.strip_prefix('{').and_then(|inner| inner.split_once('}')).ok_or("a brace is not closed or not opened")?;
            let position = pattern.position(name).ok_or_else(|| unknown(name, pattern))?;
            if !text.is_empty() {
                parts.push(Part::Text(text.into()));
            }
            parts.push(match pattern.segments()[position] {
                Segment::Rest => Part::Rest(position),
                _ => Part::Segment(position),
            });
            left = after;
        }
        if !left.is_empty() {
            parts.push(Part::Text(left.into()));
        }
        Ok(Self { parts })
    }

    /// The text with a plain letter in every place: what its own parts look like in a path.
    pub(crate) fn sample(&self) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.to_string(),
            Part::Segment(_) | Part::Rest(_) => "x".to_owned(),
        };
        self.parts.iter().map(part).collect()
    }

    /// Fills in from a normalised path that the pattern matched; the bytes stay as they are there.
    ///
    /// An empty `{rest}` between two slashes leaves one, because a path that begins with two names a host.
    pub(crate) fn expand(&self, path: &str) -> String {
        let mut out = String::with_capacity(path.len() + 32);
        let mut merge = false;
        for part in &self.parts {
            let text = match part {
                Part::Text(text) if merge && out.ends_with('/') => text.strip_prefix('/').unwrap_or(text),
                Part::Text(text) => text,
                Part::Segment(number) => behind(path, *number).split('/').next().unwrap_or_default(),
                Part::Rest(number) => behind(path, *number),
            };
            merge = matches!(part, Part::Rest(_)) && text.is_empty();
            out.push_str(text);
        }
        out
    }
}

/// The path from its segment of this number on; empty where it ends before.
fn behind(path: &str, number: usize) -> &str {
    path.splitn(number + 2, '/').nth(number + 1).unwrap_or_default()
}

fn unknown(name: &str, pattern: &Pattern) -> String {
    let known = pattern.segments().iter().filter_map(|segment| match segment {
        Segment::Variable(name) => Some(format!("`{{{name}}}`")),
        Segment::Rest => Some("`{rest}`".into()),
        Segment::Literal(_) => None,
    });
    let known: Vec<_> = known.collect();
    match known.as_slice() {
        [] => format!("`{{{name}}}` matches nothing: the route's path has no variables"),
        _ => format!("`{{{name}}}` matches nothing: the route's path has {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(template: &str, pattern: &str, path: &str) -> String {
        let pattern = Pattern::parse(pattern).unwrap();
        Template::parse(template, &pattern).unwrap().expand(path)
    }

    #[test]
    fn fills_in_variables_and_rest() {
        assert_eq!(expand("/v2/{rest}", "/v1/**", "/v1/a/b"), "/v2/a/b");
        assert_eq!(expand("/v2/{rest}", "/v1/**", "/v1"), "/v2/");
        assert_eq!(expand("/v2/{rest}", "/v1/**", "/v1/"), "/v2/");
        assert_eq!(expand("/{b}/x-{a}", "/{a}/{b}", "/1/2"), "/2/x-1");
        assert_eq!(expand("/all/{rest}", "/**", "/a/b/"), "/all/a/b/");
        assert_eq!(expand("/{rest}", "/a/{rest}", "/a/b"), "/b");
        assert_eq!(expand("https://new.example/{id}/{rest}", "/{id}/**", "/7/x"), "https://new.example/7/x");
    }

    #[test]
    fn keeps_escapes_as_they_are() {
        assert_eq!(expand("/v2/{rest}", "/v1/**", "/v1/a%20b;c=%3B"), "/v2/a%20b;c=%3B");
    }

    #[test]
    fn never_begins_with_two_slashes() {
        assert_eq!(expand("/{rest}/{host}", "/{host}/**", "/evil.example"), "/evil.example");
    }

    #[test]
    fn refuses_what_the_pattern_does_not_have() {
        let refused = |template, pattern| Template::parse(template, &Pattern::parse(pattern).unwrap()).unwrap_err();

        assert_eq!(refused("/{rest}", "/a"), "`{rest}` matches nothing: the route's path has no variables");
        assert_eq!(refused("/{c}", "/{a}/**"), "`{c}` matches nothing: the route's path has `{a}`, `{rest}`");
        assert_eq!(refused("/{a", "/{a}"), "a brace is not closed or not opened");
        assert_eq!(refused("/a}", "/{a}"), "a brace is not closed or not opened");
        assert_eq!(refused("//{a}", "/{a}"), "it begins with `//`, which would name a host");
        assert_eq!(refused("https://{a}/", "/{a}"), "there is a variable in the host: a client could choose the host");
        assert_eq!(refused("https://a.example{rest}", "/**"), "there is a variable in the host: a client could choose the host");
    }
}
