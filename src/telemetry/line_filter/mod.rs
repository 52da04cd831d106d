//! Which lines of the access log somebody wants: `status>=400 or share 1%`, as `access_log.when` and `frontgate tap` write it.
//!
//! What was written is compiled once, where it is read. Asking a line allocates nothing, and the line need not be a text for it.

mod fields;
mod glob;
mod read;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use frontgate_filters::words::fnv;
use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};

use super::Line;
#[cfg(test)]
pub(crate) use fields::FIELDS;
use fields::{AddressOf, NumberOf, TextOf};
use glob::Glob;

/// A compiled filter of lines.
#[derive(Clone)]
pub struct LineFilter {
    text: Box<str>,
    expression: Expression,
    /// Whether it asks for the hashes of who somebody is.
    reads_names: bool,
}

/// What has to hold of a line.
#[derive(Clone)]
enum Expression {
    All(Box<[Expression]>),
    Any(Box<[Expression]>),
    Not(Box<Expression>),
    /// Requests whose hash is below this.
    Share(Point),
    Text {
        of: TextOf,
        equals: bool,
        wanted: Box<str>,
    },
    Like {
        of: TextOf,
        glob: Glob,
    },
    Number {
        of: NumberOf,
        compares: Comparison,
        wanted: u64,
    },
    Address {
        of: AddressOf,
        inside: bool,
        network: IpNet,
    },
}

/// Where in all hashes a share ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Point {
    All,
    Below(u64),
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    Unequal,
    Less,
    AtMost,
    More,
    AtLeast,
}

impl Comparison {
    fn holds(self, found: u64, wanted: u64) -> bool {
        match self {
            Self::Equal => found == wanted,
            Self::Unequal => found != wanted,
            Self::Less => found < wanted,
            Self::AtMost => found <= wanted,
            Self::More => found > wanted,
            Self::AtLeast => found >= wanted,
        }
    }
}

impl LineFilter {
    /// Whether somebody wants this line. A field that the line has not is unlike everything: `!=` holds there, and nothing else does.
    pub(crate) fn holds(&self, line: &Line<'_>) -> bool {
        self.expression.holds(line)
    }

    /// Whether it asks for what a line has in place of a name: the hashes of who somebody is, which take more than a look to make.
    pub(crate) fn reads_names(&self) -> bool {
        self.reads_names
    }

    /// Whether it asks for this field, which is a text.
    pub(crate) fn reads(&self, field: &'static str) -> bool {
        let mut all = Vec::new();
        self.expression.compared(&mut all);
        all.iter().any(|(of, _)| *of == field)
    }

    /// Every text that one of these fields is compared with as a whole: where the configuration knows all there are, another one is a
    /// mistake.
    pub(crate) fn named(&self, field: &'static str) -> impl Iterator<Item = &str> {
        let mut all = Vec::new();
        self.expression.compared(&mut all);
        all.into_iter().filter(move |(of, _)| *of == field).filter_map(|(_, wanted)| wanted)
    }
}

impl Expression {
    fn holds(&self, line: &Line<'_>) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(line)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(line)),
            Self::Not(part) => !part.holds(line),
            Self::Share(Point::All) => true,
            Self::Share(Point::Below(end)) => lot(line.request_id) < *end,
            Self::Text { of, equals, wanted } => (of.get)(line).is_some_and(|found| *found == *wanted.as_bytes()) == *equals,
            Self::Like { of, glob } => (of.get)(line).is_some_and(|found| glob.fits(found)),
            Self::Number { of, compares, wanted } => match of(line) {
                Some(found) => compares.holds(found, *wanted),
                None => *compares == Comparison::Unequal,
            },
            Self::Address { of, inside, network } => {
                let found: Option<IpAddr> = of(line);
                found.is_some_and(|found| network.contains(&found.to_canonical())) == *inside
            }
        }
    }

    /// The fields of text that it asks for, with what each has to be as a whole.
    fn compared<'e>(&'e self, all: &mut Vec<(&'static str, Option<&'e str>)>) {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.compared(all)),
            Self::Not(part) => part.compared(all),
            Self::Text { of, wanted, .. } => all.push((of.name, Some(wanted))),
            Self::Like { of, .. } => all.push((of.name, None)),
            Self::Share(_) | Self::Number { .. } | Self::Address { .. } => {}
        }
    }
}

/// Where a request is among all: the same wherever its identifier is the same, so that every gateway on its way keeps the same requests.
/// FNV-1a, mixed by the finisher of MurmurHash3 (Appleby), since identifiers of one moment are nearly the same text.
fn lot(request_id: &str) -> u64 {
    let hash = fnv::fnv1a(fnv::BASIS, request_id.as_bytes());
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

impl FromStr for LineFilter {
    type Err = String;

    /// The error says what is wrong and, where that can be guessed, what was meant.
    fn from_str(text: &str) -> Result<Self, String> {
        let expression = read::expression(text)?;
        let mut read = Vec::new();
        expression.compared(&mut read);
        let reads_names = read.iter().any(|(field, _)| fields::IN_PLACE_OF_NAMES.contains(field));
        Ok(Self { text: text.into(), reads_names, expression })
    }
}

impl fmt::Display for LineFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for LineFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LineFilter({:?})", self.text)
    }
}

/// Two that are written alike are the same.
impl PartialEq for LineFilter {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl<'de> Deserialize<'de> for LineFilter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = LineFilter;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a filter of lines such as `status>=400 or share 1%`")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<LineFilter, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }
}

impl Serialize for LineFilter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl JsonSchema for LineFilter {
    fn schema_name() -> Cow<'static, str> {
        "LineFilter".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "Fields of the access log with `=`, `!=`, `>`, `>=`, `<`, `<=` and `~`, joined by `and`, `or`, `not` and parentheses, and `share 1%`.",
        })
    }
}
