//! What was wrong with a text, and where.

use std::fmt;

/// Why a text is not one JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Bytes of the text before the fault. For bytes that are not UTF-8 the beginning of their sequence, for a text that ends early its length.
    pub at: u64,
    /// What stands there.
    pub what: What,
}

/// What can be wrong with a text (RFC 8259).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// There is nothing, or nothing but white space.
    Nothing,
    /// Something else stands where a value must begin.
    NoValue,
    /// Something else than a name in quotes stands where a member must begin.
    NoName,
    /// Something else than a colon stands after a member's name.
    NoColon,
    /// Neither a comma nor the right closing bracket stands after a member or an element.
    NoComma,
    /// A number has something else where it must have a digit.
    NoDigit,
    /// A word is none of `true`, `false` and `null`.
    NoWord,
    /// A string has a control character that is not escaped.
    Control,
    /// A string has a backslash before something that it cannot escape.
    Escape,
    /// `\u` has something else than four hexadecimal digits behind it.
    Hexadecimal,
    /// Bytes are not UTF-8.
    Utf8,
    /// More than [`MOST_DEPTH`](super::MOST_DEPTH) containers are open at once.
    TooDeep,
    /// More than [`MOST_TOUCHED`](super::MOST_TOUCHED) values are marked or get a new name.
    TooMany,
    /// Something stands behind the value.
    Second,
    /// The text ends within the value.
    Early,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "there is no value",
            Self::NoValue => "a value is missing here",
            Self::NoName => "a member's name in quotes is missing here",
            Self::NoColon => "a colon is missing here",
            Self::NoComma => "a comma or the closing bracket is missing here",
            Self::NoDigit => "a digit is missing here",
            Self::NoWord => "this is none of true, false and null",
            Self::Control => "a control character in a string is not escaped",
            Self::Escape => "a backslash cannot stand before this",
            Self::Hexadecimal => "a hexadecimal digit is missing here",
            Self::Utf8 => "this is not UTF-8",
            Self::TooDeep => "this is nested too deep",
            Self::TooMany => "more values are wanted than can be noted",
            Self::Second => "something stands behind the value",
            Self::Early => "the text ends within the value",
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not one JSON value: {} (at byte {})", self.what, self.at)
    }
}

impl std::error::Error for Fault {}

/// As a [`Fault`], with its place in the present chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Defect(pub(super) usize, pub(super) What);
