//! References as they are written: `{id}`, `{user.cart_id}`, `{query.limit:-5}`, `{...cart.items}`, and what they refer to.
//!
//! Reading is one thing, and knows nothing of the calls that there are; [`Scope::resolve`] is the other, and says what a reference stands for
//! where it is written.

use std::fmt;
use std::ops::Range;

use frontgate_filters::json::path::Segment as Name;
use frontgate_filters::json::place::Step;
use frontgate_filters::json::{PathError, Place};
use frontgate_filters::words::selector::Selector;

use crate::nearest::nearest;
use crate::router::{Pattern, Segment};

/// The longest text that may have references, in bytes.
const LONGEST: usize = 16 * 1024;

/// First words of selectors that others may follow: `header.X`. All other selectors are one word.
const KINDS: [&str; 6] = ["header", "cookie", "query", "claim", "tls", "client_cert"];

/// Selectors of one word.
const FACTS: [&str; 8] = ["client_ip", "route", "device", "method", "host", "path", "scheme", "version"];

/// Words that no call can be named after, beside the variables of its route's path: what begins with them means something else.
pub(crate) fn taken(name: &str) -> bool {
    KINDS.contains(&name) || FACTS.contains(&name) || matches!(name, "body" | "each" | "saga")
}

/// What is wrong with a text, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// Bytes from the beginning of the text.
    pub at: usize,
    /// One sentence, without its place.
    pub message: String,
}

impl Wrong {
    fn new(at: usize, message: impl Into<String>) -> Self {
        Self { at, message: message.into() }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {}: {}", self.at + 1, self.message)
    }
}

/// A text with references in braces. `{{` is a brace, and so is a closing one that closes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Text {
    /// Its parts in their order; two literals never follow each other.
    pub parts: Vec<Part>,
}

/// A part of a [`Text`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// What stands there.
    Literal(String),
    /// What is put in there.
    Reference(Reference),
}

/// A reference as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    /// Its elements or members are meant: `{...cart.items}`.
    pub spread: bool,
    /// The first name.
    pub head: String,
    /// What follows the first name and its dot, as it is written.
    pub rest: Option<String>,
    /// What stands in for a value that is missing or null.
    pub default: Option<String>,
    /// Its bytes in the text, with the braces where it has some.
    pub range: Range<usize>,
    /// Where in the text its first name begins.
    pub name_at: usize,
}

impl Text {
    /// Reads a text.
    pub(crate) fn parse(text: &str) -> Result<Self, Wrong> {
        if text.len() > LONGEST {
            return Err(Wrong::new(LONGEST, format!("a text with references is at most {LONGEST} bytes long")));
        }
        let (mut parts, mut literal, mut at) = (Vec::new(), String::new(), 0);
        while let Some(found) = text[at..].find('{') {
            let brace = at + found;
            literal.push_str(&text[at..brace]);
            if text[brace + 1..].starts_with('{') {
                literal.push('{');
                at = brace + 2;
                continue;
            }
            let reference = Reference::braced(text, brace)?;
            at = reference.range.end;
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
            }
            parts.push(Part::Reference(reference));
        }
        literal.push_str(&text[at..]);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Ok(Self { parts })
    }

    /// Its references.
    pub(crate) fn references(&self) -> impl Iterator<Item = &Reference> {
        self.parts.iter().filter_map(|part| match part {
            Part::Literal(_) => None,
            Part::Reference(reference) => Some(reference),
        })
    }

    /// What stands in it beside references.
    pub(crate) fn literal(&self) -> String {
        let literals = self.parts.iter().filter_map(|part| match part {
            Part::Literal(text) => Some(text.as_str()),
            Part::Reference(_) => None,
        });
        literals.collect()
    }

    /// The reference that it is, where it is nothing else.
    pub(crate) fn only(&self) -> Option<&Reference> {
        match &self.parts[..] {
            [Part::Reference(reference)] => Some(reference),
            _ => None,
        }
    }
}

impl Reference {
    /// Reads a reference that stands without braces: in `each`, `into`, `when` and behind `...`.
    pub(crate) fn bare(text: &str) -> Result<Self, Wrong> {
        if text.contains('{') {
            return Err(Wrong::new(text.find('{').unwrap_or(0), "here a reference is written without braces"));
        }
        if text.len() > LONGEST {
            return Err(Wrong::new(LONGEST, format!("a reference is at most {LONGEST} bytes long")));
        }
        Self::read(text, 0..text.len(), 0..text.len(), None, false)
    }

    /// Reads the reference whose opening brace is at `brace`.
    fn braced(text: &str, brace: usize) -> Result<Self, Wrong> {
        let open = || Wrong::new(brace, "this brace is not closed; `{{` is a brace that opens no reference");
        let mut start = brace + 1;
        let spread = text[start..].starts_with("...");
        if spread {
            start += 3;
        }
        let end = end_of_name(text, start).ok_or_else(open)?;
        if text[end..].starts_with('}') {
            return Self::read(text, brace..end + 1, start..end, None, spread);
        }
        let default = end + 2;
        let close = default + text[default..].find('}').ok_or_else(open)?;
        if let Some(inner) = text[default..close].find('{') {
            return Err(Wrong::new(default + inner, "a default has no braces"));
        }
        if spread {
            return Err(Wrong::new(end, "what is spread has no default: where it is missing, nothing is put in"));
        }
        Self::read(text, brace..close + 1, start..end, Some(text[default..close].to_owned()), spread)
    }

    fn read(text: &str, range: Range<usize>, name: Range<usize>, default: Option<String>, spread: bool) -> Result<Self, Wrong> {
        let written = &text[name.clone()];
        let (head, rest) = match written.split_once('.') {
            Some((head, rest)) => (head, Some(rest)),
            None => (written, None),
        };
        let odd = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
        if let Some(at) = head.find(odd) {
            let why = if range == name { "" } else { "; `{{` is a brace that opens no reference" };
            return Err(Wrong::new(name.start + at, format!("a name takes letters, digits, `-` and `_`{why}")));
        }
        if head.is_empty() {
            return Err(Wrong::new(name.start, "a name is missing here"));
        }
        if rest == Some("") {
            return Err(Wrong::new(name.end, "a name is missing here"));
        }
        Ok(Self { spread, head: head.to_owned(), rest: rest.map(str::to_owned), default, range, name_at: name.start })
    }

    /// Where in the text what follows the first name begins.
    fn rest_at(&self) -> usize {
        self.name_at + self.head.len() + 1
    }

    fn place(&self) -> Result<Place, Wrong> {
        let Some(rest) = &self.rest else { return Ok(Place::WHOLE) };
        let place: Place = rest.parse().map_err(|error: PathError| Wrong::new(self.rest_at() + error.at, error.message))?;
        match place.steps().iter().any(|step| matches!(step, Step::Segment(Name::Any | Name::Deep))) {
            true => Err(Wrong::new(self.rest_at(), "`*` and `**` stand for several values, and one place is wanted")),
            false => Ok(place),
        }
    }
}

impl fmt::Display for Reference {
    /// As it is written without braces and default.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.head)?;
        self.rest.iter().try_for_each(|rest| write!(f, ".{rest}"))
    }
}

/// Where the name that begins at `start` ends: at its closing brace or its `:-`, of which names in quotes may have some.
fn end_of_name(text: &str, start: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut at, mut quoted) = (start, false);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' if quoted => at += 1,
            b'"' if quoted => quoted = false,
            b'"' if at > start && bytes[at - 1] == b'.' => quoted = true,
            b'}' if !quoted => return Some(at),
            b':' if !quoted && bytes.get(at + 1) == Some(&b'-') => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}

/// What a reference stands for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Origin {
    /// A variable of the route's path.
    Variable(Variable),
    /// A fact of the request.
    Selector(Selector),
    /// The whole query, as it came.
    Query,
    /// A value in the client's body.
    Body(Place),
    /// A value in the answer of the call of this index.
    Call(usize, Place),
    /// The value, or the values, that the call is made for.
    Each,
    /// The saga's identifier.
    Saga,
    /// The idempotency key of the step of this index.
    Key(usize),
}

/// A variable of the route's path: which of its segments it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Variable {
    /// The segment's number, from 0.
    position: usize,
    /// All from there on, for `**`.
    rest: bool,
}

impl Variable {
    /// What a normalised path has there, still percent-encoded. Empty where the path ends before.
    pub(crate) fn find<'p>(&self, path: &'p str) -> &'p str {
        let from = path.splitn(self.position + 2, '/').nth(self.position + 1).unwrap_or_default();
        if self.rest { from } else { from.split('/').next().unwrap_or_default() }
    }
}

/// What there is to refer to, where a reference stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope<'s> {
    /// The route's path.
    pub path: &'s Pattern,
    /// The names of the calls or steps that may be referred to, by their index.
    pub calls: &'s [&'s str],
    /// Whether `{each}` means something.
    pub each: bool,
    /// Whether calls are the steps of a saga, with `{saga}` and `{STEP.key}`.
    pub saga: bool,
}

impl Scope<'_> {
    /// What the reference stands for.
    pub(crate) fn resolve(&self, reference: &Reference) -> Result<Origin, Wrong> {
        let wrong = |message: String| Err(Wrong::new(reference.name_at, message));
        let (head, rest) = (reference.head.as_str(), reference.rest.as_deref());
        let alone = |origin: Origin, what: &str| match rest {
            None => Ok(origin),
            Some(_) => Err(Wrong::new(reference.rest_at() - 1, format!("`{head}` is {what}: nothing follows it"))),
        };
        if rest.is_none()
            && let Some(position) = self.path.position(head)
        {
            let rest = self.path.segments()[position] == Segment::Rest;
            return Ok(Origin::Variable(Variable { position, rest }));
        }
        match head {
            "each" if self.each => return alone(Origin::Each, "one value, or several"),
            "each" => return wrong("`each` is the value that a call with the key `each` is made for, and here is none".to_owned()),
            "body" => return reference.place().map(Origin::Body),
            "query" if rest.is_none() => return Ok(Origin::Query),
            "saga" if self.saga => return alone(Origin::Saga, "the saga's identifier"),
            _ => {}
        }
        if KINDS.contains(&head) || FACTS.contains(&head) {
            return match reference.to_string().parse() {
                Ok(selector) => Ok(Origin::Selector(selector)),
                Err(why) => wrong(why),
            };
        }
        if let Some(index) = self.calls.iter().position(|name| *name == head) {
            return match rest {
                Some("key") if self.saga => Ok(Origin::Key(index)),
                _ => Ok(Origin::Call(index, reference.place()?)),
            };
        }
        if self.path.position(head).is_some() {
            return Err(Wrong::new(reference.rest_at() - 1, format!("`{head}` is a variable of the route's path: nothing follows it")));
        }
        wrong(self.unknown(head))
    }

    /// The variables of the route's path.
    fn variables(&self) -> impl Iterator<Item = &str> {
        self.path.segments().iter().filter_map(|segment| match segment {
            Segment::Variable(name) => Some(&**name),
            Segment::Rest => Some("rest"),
            Segment::Literal(_) => None,
        })
    }

    fn unknown(&self, head: &str) -> String {
        let kind = if self.saga { "step before" } else { "call" };
        let known = self.variables().chain(self.calls.iter().copied()).chain(KINDS).chain(FACTS).chain(["body"]);
        let near = nearest(head, known.chain(self.each.then_some("each")).chain(self.saga.then_some("saga")));
        // `{userid}` and `{user_id}` are what others call the variable `id`; a letter too many or too few is a slip.
        let is_slip = |near: &&str| near.len().abs_diff(head.len()) <= 1;
        let ends_with = |name: &&str| head.len() > name.len() && head.to_lowercase().ends_with(&name.to_lowercase());
        let meant = near.filter(is_slip).or_else(|| self.variables().find(ends_with)).or(near);
        match meant {
            Some(meant) => format!("`{head}` is no {kind}, no variable of the route's path and no selector: did you mean `{meant}`?"),
            None => format!("`{head}` is no {kind}, no variable of the route's path and no selector"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Vec<Part> {
        Text::parse(text).expect(text).parts
    }

    fn only(text: &str) -> Reference {
        Text::parse(text).expect(text).only().expect("one reference").clone()
    }

    #[test]
    fn literals_and_references_alternate() {
        let parts = parsed("/a/{user.id}x{{y}}{q:-}");

        let texts: Vec<String> = parts
            .iter()
            .map(|part| match part {
                Part::Literal(text) => text.clone(),
                Part::Reference(reference) => format!("<{reference}|{}>", reference.default.as_deref().unwrap_or("none")),
            })
            .collect();
        assert_eq!(texts, ["/a/", "<user.id|none>", "x{y}}", "<q|>"]);
        assert_eq!(Text::parse("/a/{user.id}").expect("a text").references().next().map(|r| r.range.clone()), Some(3..12));
        assert_eq!(parsed(""), []);
        assert_eq!(parsed("}"), [Part::Literal("}".to_owned())]);
    }

    #[test]
    fn names_in_quotes_may_have_anything() {
        let reference = only(r#"{claim."https://x}/{:-roles"."a\"}b":-x:-"y}"#);

        assert_eq!(reference.head, "claim");
        assert_eq!(reference.rest.as_deref(), Some(r#""https://x}/{:-roles"."a\"}b""#));
        assert_eq!(reference.default.as_deref(), Some("x:-\"y"));
    }

    #[test]
    fn what_is_spread_is_told() {
        assert!(only("{...cart.items}").spread);
        assert!(!only("{cart.items}").spread);
        assert_eq!(only("{...cart.items}").name_at, 4);
    }

    #[test]
    fn errors_say_where() {
        for (text, at, words) in [
            ("a{", 1, "not closed"),
            ("a{b", 1, "not closed"),
            (r#"{a."b}"#, 0, "not closed"),
            ("{a:-b", 0, "not closed"),
            ("x{}", 2, "a name is missing"),
            ("{.a}", 1, "a name is missing"),
            ("{a.}", 3, "a name is missing"),
            ("{...}", 4, "a name is missing"),
            ("{a b}", 2, "takes letters"),
            (r#"{"a": 1}"#, 1, "takes letters"),
            ("{a:-{b}}", 4, "no braces"),
            ("{...a:-b}", 5, "no default"),
        ] {
            let wrong = Text::parse(text).expect_err(text);
            assert_eq!(wrong.at, at, "{text}: {wrong}");
            assert!(wrong.message.contains(words), "{text}: {wrong}");
        }
        assert!(Text::parse(&"a".repeat(LONGEST + 1)).is_err());
        assert_eq!(Reference::bare("{a}").expect_err("braces").at, 0);
        assert_eq!(Reference::bare("a.b").expect("a reference").to_string(), "a.b");
        assert_eq!(Reference::bare("").expect_err("nothing").at, 0);
        assert_eq!(Reference::bare("a b").expect_err("odd").message, "a name takes letters, digits, `-` and `_`");
    }

    fn resolved(text: &str) -> Result<Origin, Wrong> {
        let path = Pattern::parse("/shops/{shop}/device/{device}/**").expect("a path");
        let scope = Scope { path: &path, calls: &["user", "cart"], each: true, saga: false };
        scope.resolve(Text::parse(text).expect(text).only().expect("one reference"))
    }

    #[test]
    fn a_reference_stands_for_what_its_first_name_says() {
        let selector = |text: &str| Origin::Selector(text.parse().expect("a selector"));
        let place = |text: &str| text.parse::<Place>().expect("a place");
        for (text, origin) in [
            ("{shop}", Origin::Variable(Variable { position: 1, rest: false })),
            ("{device}", Origin::Variable(Variable { position: 3, rest: false })),
            ("{rest}", Origin::Variable(Variable { position: 4, rest: true })),
            ("{query}", Origin::Query),
            ("{query.q}", selector("query.q")),
            ("{header.X-Tenant}", selector("header.X-Tenant")),
            (r#"{claim."a.b".c}"#, selector(r#"claim."a.b".c"#)),
            ("{client_ip}", selector("client_ip")),
            ("{body}", Origin::Body(Place::WHOLE)),
            ("{body.a.0}", Origin::Body(place("a.0"))),
            ("{user}", Origin::Call(0, Place::WHOLE)),
            (r#"{cart."x.y".key}"#, Origin::Call(1, place(r#""x.y".key"#))),
            ("{each}", Origin::Each),
        ] {
            assert_eq!(resolved(text), Ok(origin), "{text}");
        }
    }

    #[test]
    fn what_a_reference_cannot_stand_for_is_told_with_its_place() {
        for (text, at, words) in [
            ("{usr.id}", 1, "did you mean `user`?"),
            ("{myShop}", 1, "did you mean `shop`?"),
            ("{user_shop}", 1, "did you mean `shop`?"),
            ("{zzzzzz}", 1, "no selector"),
            ("{each.x}", 5, "nothing follows"),
            ("{shop.x}", 5, "nothing follows"),
            ("{header}", 1, "names no header"),
            ("{client_ip.x}", 1, "not a selector"),
            ("{user.a..b}", 8, "a name is missing"),
            ("{user.*.b}", 6, "several values"),
            ("{saga}", 1, "no selector"),
        ] {
            let wrong = resolved(text).expect_err(text);
            assert_eq!(wrong.at, at, "{text}: {wrong}");
            assert!(wrong.message.contains(words), "{text}: {wrong}");
        }
        let path = Pattern::parse("/a").expect("a path");
        let scope = Scope { path: &path, calls: &["pay"], each: false, saga: true };
        let resolve = |text: &str| scope.resolve(Text::parse(text).expect(text).only().expect("one reference"));
        assert_eq!(resolve("{saga}"), Ok(Origin::Saga));
        assert_eq!(resolve("{pay.key}"), Ok(Origin::Key(0)));
        assert_eq!(resolve("{pay.key.x}"), Ok(Origin::Call(0, "key.x".parse().expect("a place"))));
        assert!(resolve("{each}").expect_err("no each").message.contains("here is none"));
    }

    #[test]
    fn variables_are_parts_of_the_path() {
        let path = "/shops/a%20b/device/tv/x/y";
        let find = |position, rest| Variable { position, rest }.find(path);
        assert_eq!((find(1, false), find(3, false), find(4, true), find(9, false)), ("a%20b", "tv", "x/y", ""));
    }

    #[test]
    fn words_that_mean_something_are_taken() {
        for name in ["query", "each", "body", "header", "device", "saga"] {
            assert!(taken(name), "{name}");
        }
        assert!(!taken("user"));
    }
}
