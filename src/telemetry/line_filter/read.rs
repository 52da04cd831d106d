//! From the text of a filter to what it asks: words, comparisons, parentheses. What binds closest is `not`, then `and`, then `or`; what stands
//! side by side is joined by `and`.

use frontgate_filters::words::units::{Duration, Share, Size};
use http::Method;
use ipnet::IpNet;

use super::fields::{FIELDS, Kind, TextOf};
use super::glob::Glob;
use super::{Comparison, Expression, Point};
use crate::nearest::nearest;

/// The longest text.
const LONGEST: usize = 1024;
/// How deep parentheses and `not` may stand in each other.
const DEEPEST: u32 = 32;

/// Comparisons, those first that others begin with.
const COMPARISONS: [(&str, Operator); 7] = [
    ("!=", Operator::Compares(Comparison::Unequal)),
    (">=", Operator::Compares(Comparison::AtLeast)),
    ("<=", Operator::Compares(Comparison::AtMost)),
    ("=", Operator::Compares(Comparison::Equal)),
    (">", Operator::Compares(Comparison::More)),
    ("<", Operator::Compares(Comparison::Less)),
    ("~", Operator::Like),
];

/// What other languages write, with what is written here.
const FOREIGN: [(&str, &str); 8] =
    [("==", "="), ("<>", "!="), ("=~", "~"), ("~=", "~"), ("!~", "not …~…"), ("&&", "and"), ("||", "or"), ("!", "not")];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Compares(Comparison),
    Like,
}

/// A part of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token<'t> {
    Word(&'t str),
    /// In quotation marks, without them: no keyword, whatever it says.
    Quoted(&'t str),
    Operator(&'static str, Operator),
    Open,
    Close,
}

/// Reads a whole filter. The error is a sentence.
pub(super) fn expression(text: &str) -> Result<Expression, String> {
    if text.len() > LONGEST {
        return Err(format!("the filter is longer than {LONGEST} characters"));
    }
    let tokens = tokens(text)?;
    if tokens.is_empty() {
        return Err("the filter is empty: leave it out for every request".to_owned());
    }
    let mut reader = Reader { tokens: &tokens, deep: 0 };
    let expression = reader.any()?;
    match reader.tokens.first() {
        None => Ok(expression),
        Some(_) => Err("a `)` closes nothing".to_owned()),
    }
}

fn tokens(text: &str) -> Result<Vec<Token<'_>>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        if let Some((foreign, ours)) = FOREIGN.iter().find(|(foreign, _)| rest.starts_with(foreign) && !rest.starts_with("!=")) {
            return Err(format!("`{foreign}` is written `{ours}`"));
        }
        let length = if let Some((sign, operator)) = COMPARISONS.iter().find(|(sign, _)| rest.starts_with(sign)) {
            tokens.push(Token::Operator(sign, *operator));
            sign.len()
        } else if matches!(first, '"' | '\'') {
            let Some((inner, _)) = rest[1..].split_once(first) else { return Err(format!("a `{first}` has no end")) };
            tokens.push(Token::Quoted(inner));
            inner.len() + 2
        } else if first == '(' || first == ')' {
            tokens.push(if first == '(' { Token::Open } else { Token::Close });
            1
        } else {
            let ends = |c: char| c.is_whitespace() || matches!(c, '(' | ')' | '"' | '\'' | '=' | '!' | '<' | '>' | '~');
            let length = rest.find(ends).unwrap_or(rest.len());
            let (word, _) = rest.split_at(length);
            // `a&&b` is nothing that a value holds as a rule.
            if let Some(foreign) = ["&&", "||"].into_iter().find(|foreign| word.contains(foreign)) {
                let ours = if foreign == "&&" { "and" } else { "or" };
                return Err(format!("`{foreign}` is written `{ours}`; a value that holds it is quoted"));
            }
            tokens.push(Token::Word(word));
            length
        };
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

struct Reader<'t> {
    tokens: &'t [Token<'t>],
    deep: u32,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Option<&'t Token<'t>> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(first)
    }

    /// Whether this keyword comes next, which is taken then. What is followed by a comparison is a field.
    fn takes(&mut self, keyword: &str) -> bool {
        let is_it = matches!(self.tokens.first(), Some(Token::Word(word)) if word.eq_ignore_ascii_case(keyword))
            && !matches!(self.tokens.get(1), Some(Token::Operator(..)));
        if is_it {
            self.tokens = &self.tokens[1..];
        }
        is_it
    }

    fn any(&mut self) -> Result<Expression, String> {
        let mut parts = vec![self.all()?];
        while self.takes("or") {
            parts.push(self.all()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Expression::Any(parts.into()) })
    }

    fn all(&mut self) -> Result<Expression, String> {
        let mut parts = vec![self.one()?];
        loop {
            let joined = self.takes("and");
            let is_or = matches!(self.tokens.first(), Some(Token::Word(word)) if word.eq_ignore_ascii_case("or"));
            if !joined && (is_or || matches!(self.tokens.first(), None | Some(Token::Close))) {
                break;
            }
            parts.push(self.one()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Expression::All(parts.into()) })
    }

    fn one(&mut self) -> Result<Expression, String> {
        self.deep += 1;
        if self.deep > DEEPEST {
            return Err(format!("parentheses and `not` stand more than {DEEPEST} deep in each other"));
        }
        let one = self.part();
        self.deep -= 1;
        one
    }

    fn part(&mut self) -> Result<Expression, String> {
        if self.takes("not") {
            return Ok(Expression::Not(Box::new(self.one()?)));
        }
        if self.takes("share") {
            return self.share();
        }
        match self.next() {
            None => Err("something is missing at the end: a field with a comparison, as in `status>=500`".to_owned()),
            Some(Token::Close) => Err("a `)` stands where a field with a comparison is wanted".to_owned()),
            Some(Token::Operator(sign, _)) => Err(format!("there is no field before `{sign}`")),
            Some(Token::Quoted(text)) => Err(format!("`{text}` is in quotation marks, where a field is wanted")),
            Some(Token::Open) => {
                let inner = self.any()?;
                match self.next() {
                    Some(Token::Close) => Ok(inner),
                    _ => Err("a `(` is not closed".to_owned()),
                }
            }
            Some(Token::Word(word)) if ["and", "or"].iter().any(|keyword| word.eq_ignore_ascii_case(keyword)) => {
                Err(format!("there is nothing before `{word}`, or another word like it"))
            }
            Some(Token::Word(name)) => self.comparison(name),
        }
    }

    fn share(&mut self) -> Result<Expression, String> {
        let Some(Token::Word(text)) = self.next() else { return Err("`share` is followed by how much, as in `share 1%`".to_owned()) };
        let share: Share = text.parse()?;
        let end = share.0 * (u64::MAX as f64 + 1.0);
        Ok(Expression::Share(if share.0 >= 1.0 { Point::All } else { Point::Below(end as u64) }))
    }

    fn comparison(&mut self, name: &str) -> Result<Expression, String> {
        if name.eq_ignore_ascii_case("share") {
            return Err("`share` is written without a sign, as in `share 1%`".to_owned());
        }
        let Some((name, kind)) = FIELDS.iter().find(|(field, _)| *field == name) else { return Err(unknown(name)) };
        let Some(Token::Operator(sign, operator)) = self.tokens.first() else {
            return Err(format!("`{name}` is compared with nothing: write {}", example(name, kind)));
        };
        self.tokens = &self.tokens[1..];
        let value = match self.next() {
            Some(Token::Word(text) | Token::Quoted(text)) => *text,
            _ => return Err(format!("`{name}{sign}` is followed by no value: write {}", example(name, kind))),
        };
        let unfit = |fit: &str| Err(format!("`{name}` is compared by {fit}, not by `{sign}`"));
        let number = |of, wanted| match operator {
            Operator::Compares(compares) => Ok(Expression::Number { of, compares: *compares, wanted }),
            Operator::Like => unfit("`=`, `!=`, `<`, `<=`, `>` and `>=`"),
        };
        match (*kind, *operator) {
            (Kind::Number(of), _) => number(of, whole(name, value)?),
            (Kind::Size(of), _) => number(of, value.parse::<u64>().or_else(|_| value.parse::<Size>().map(|size| size.0))?),
            (Kind::Time(of), _) => number(of, u64::try_from(value.parse::<Duration>()?.0.as_micros()).unwrap_or(u64::MAX)),
            (Kind::Millis(of), _) => number(of, millis(name, value)?),
            (Kind::Address(of), Operator::Compares(compares @ (Comparison::Equal | Comparison::Unequal))) => {
                let alone = || value.parse().map(|address: std::net::IpAddr| IpNet::from(address.to_canonical()));
                match value.parse().or_else(|_| alone()) {
                    Ok(network) => Ok(Expression::Address { of, inside: compares == Comparison::Equal, network }),
                    Err(_) => Err(format!("`{value}` is neither an IP address nor a network such as 10.0.0.0/8")),
                }
            }
            (Kind::Address(_), _) => unfit("`=` and `!=`"),
            (Kind::Text(get, _), Operator::Like) => Ok(Expression::Like { of: TextOf { name, get }, glob: Glob::new(value) }),
            (Kind::Text(get, known), Operator::Compares(compares @ (Comparison::Equal | Comparison::Unequal))) => {
                possible(name, value, known)?;
                Ok(Expression::Text { of: TextOf { name, get }, equals: compares == Comparison::Equal, wanted: value.into() })
            }
            (Kind::Text(..), _) => unfit("`=`, `!=` and `~`"),
        }
    }
}

fn whole(name: &str, value: &str) -> Result<u64, String> {
    value.parse().map_err(|_| match value.strip_suffix("xx").and_then(|class| class.parse::<u64>().ok()) {
        Some(class) => format!("`{value}` is no number: write `{name}>={class}00 {name}<{}00`", class + 1),
        None => format!("`{value}` is no number, and `{name}` is one"),
    })
}

/// Milliseconds, which may be parts of one, in microseconds.
fn millis(name: &str, value: &str) -> Result<u64, String> {
    let wrong = || match name.strip_suffix("_ms").filter(|_| value.parse::<Duration>().is_ok()) {
        Some(timed) => format!("`{name}` is a number of milliseconds: write `{timed}` to compare it with {value}"),
        None => format!("`{value}` is no number of milliseconds"),
    };
    let number: f64 = value.parse().map_err(|_| wrong())?;
    if (0.0..1e15).contains(&number) { Ok((number * 1000.0) as u64) } else { Err(wrong()) }
}

/// Whether a text can be there at all.
fn possible(name: &str, value: &str, known: &[&str]) -> Result<(), String> {
    if name == "method" {
        let capital = value.to_ascii_uppercase();
        let is_method = Method::from_bytes(value.as_bytes()).is_ok();
        return match is_method {
            true if capital == value => Ok(()),
            true => Err(format!("`{value}` is no method: did you mean `{capital}`?")),
            false => Err(format!("`{value}` is no method")),
        };
    }
    if known.is_empty() || known.contains(&value) {
        return Ok(());
    }
    let all = || known.iter().map(|one| format!("`{one}`")).collect::<Vec<_>>().join(", ");
    match nearest(value, known.iter().copied()) {
        Some(near) => Err(format!("`{name}` is never `{value}`: did you mean `{near}`?")),
        None => Err(format!("`{name}` is never `{value}`: it is one of {}", all())),
    }
}

fn unknown(name: &str) -> String {
    let names = || FIELDS.iter().map(|(name, _)| *name);
    match nearest(name, names()) {
        Some(near) => format!("`{name}` is no field of the access log: did you mean `{near}`?"),
        None => format!("`{name}` is no field of the access log: there are {}", names().collect::<Vec<_>>().join(", ")),
    }
}

/// A comparison of this field that works.
fn example(name: &str, kind: &Kind) -> String {
    let rest = match kind {
        Kind::Text(_, known) => format!("={}", known.first().unwrap_or(&"…")),
        Kind::Number(_) if name == "status" => ">=500".to_owned(),
        Kind::Number(_) | Kind::Millis(_) => ">1".to_owned(),
        Kind::Size(_) => ">64KiB".to_owned(),
        Kind::Time(_) => ">200ms".to_owned(),
        Kind::Address(_) => "=10.0.0.0/8".to_owned(),
    };
    format!("`{name}{rest}`")
}
