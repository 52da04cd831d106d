//! Why a value could not be read, in the words of the documentation.

use std::fmt;

use serde::de::{self, Expected, Unexpected};

/// Why a value could not be read.
#[derive(Debug)]
pub(super) struct Problem {
    /// In words.
    pub message: String,
    /// Which of the errors that are treated apart.
    pub kind: Kind,
    /// The value or key it is about, once that is known.
    pub at: Option<u32>,
}

/// The errors that are treated apart.
#[derive(Debug, PartialEq)]
pub(super) enum Kind {
    /// A key that does not exist, and those that do.
    UnknownField(String, &'static [&'static str]),
    /// A word that does not exist, and those that do.
    UnknownVariant(String, &'static [&'static str]),
    /// A required key that is not written.
    MissingField(&'static str),
    /// A value of another type than the key's: what was expected, in the words of the documentation.
    Type(String),
    /// A secret was written where its name belongs: the line must not be shown.
    Exposed,
    /// Any other.
    Other,
}

impl Problem {
    /// A problem whose place is not known yet.
    pub(super) fn new(message: String, kind: Kind) -> Self {
        Self { message, kind, at: None }
    }

    /// About this value or key, unless it is known already what it is about.
    pub(super) fn at(mut self, id: u32) -> Self {
        self.at.get_or_insert(id);
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

impl de::Error for Problem {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string(), Kind::Other)
    }
    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::new(format!("there is no key `{field}` here"), Kind::UnknownField(field.to_owned(), expected))
    }
    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::new(format!("`{variant}` is not one of {}", either(expected)), Kind::UnknownVariant(variant.to_owned(), expected))
    }
    fn missing_field(field: &'static str) -> Self {
        Self::new(format!("the key `{field}` is missing"), Kind::MissingField(field))
    }
    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let wanted = wanted(expected);
        Self::new(format!("expected {wanted}, found {}", kind(found)), Kind::Type(wanted))
    }
    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let found = match found {
            Unexpected::Unsigned(number) => number.to_string(),
            Unexpected::Signed(number) => number.to_string(),
            other => kind(other).to_owned(),
        };
        Self::new(format!("expected {}, found {found}", wanted(expected)), Kind::Other)
    }
    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        Self::new(format!("expected {}, found {length} of them", wanted(expected)), Kind::Other)
    }
}

/// `a, b or c`, each in backticks.
pub(super) fn either(names: &[&str]) -> String {
    joined(names, "or")
}

/// `a, b and c`, each in backticks.
pub(in crate::config) fn listed(names: &[&str]) -> String {
    joined(names, "and")
}

fn joined(names: &[&str], word: &str) -> String {
    match names {
        [] => "nothing".to_owned(),
        [one] => format!("`{one}`"),
        [first @ .., last] => format!("{} {word} `{last}`", first.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")),
    }
}

/// What serde calls a type, in the words of the documentation.
fn wanted(expected: &dyn Expected) -> String {
    let words = expected.to_string();
    match words.as_str() {
        "u8" => "a whole number from 0 to 255".to_owned(),
        "u16" => "a whole number from 0 to 65535".to_owned(),
        "u32" => "a whole number from 0 to 4294967295".to_owned(),
        "u64" | "usize" => "a whole number of 0 or more".to_owned(),
        "i8" | "i16" | "i32" | "i64" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a string" | "path string" => "text".to_owned(),
        "a sequence" => "a list".to_owned(),
        "socket address" => "an IP address and a port".to_owned(),
        words if words.starts_with("a nonzero") => "a whole number above 0".to_owned(),
        words if words.starts_with("struct ") => "a map of keys".to_owned(),
        words => words.to_owned(),
    }
}

fn kind(found: Unexpected<'_>) -> &'static str {
    match found {
        Unexpected::Bool(_) => "true or false",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) => "a whole number",
        Unexpected::Float(_) => "a number with a fraction",
        Unexpected::Str(_) | Unexpected::Char(_) => "text",
        Unexpected::Unit | Unexpected::Option => "nothing",
        Unexpected::Seq => "a list",
        Unexpected::Map => "a map",
        _ => "something else",
    }
}
