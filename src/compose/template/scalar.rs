//! What a text becomes where JSON wants a number, or yes or no.

use std::fmt;

use bytes::Bytes;
use frontgate_filters::json::Proved;

use crate::compose::values;

/// What a place in JSON wants of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(not(feature = "graphql"), allow(dead_code, reason = "no service is asked so"))]
pub(crate) enum Scalar {
    /// The text itself.
    #[default]
    Any,
    /// A whole number of 32 bits.
    Int,
    /// A number.
    Float,
    /// Yes or no.
    Boolean,
}

impl Scalar {
    /// The JSON that a text is meant as; nothing where it cannot be meant so.
    pub(crate) fn of_text(self, text: &[u8]) -> Option<Proved> {
        let text = std::str::from_utf8(text).ok()?;
        match self {
            Self::Any => Some(values::string(text)),
            Self::Int => text.parse::<i32>().ok().filter(|_| !text.starts_with('+')).map(|number| Proved::from(&number.into())),
            Self::Float => {
                let read = values::read(&std::sync::Arc::default(), Bytes::copy_from_slice(text.as_bytes()))?.whole();
                Some(read).filter(|read| read.first() == b'-' || read.first().is_ascii_digit())
            }
            Self::Boolean => matches!(text, "true" | "false").then(|| Proved::from(&(text == "true").into())),
        }
    }
}

impl fmt::Display for Scalar {
    /// As the language of GraphQL calls it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "text",
            Self::Int => "Int",
            Self::Float => "Float",
            Self::Boolean => "Boolean",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_what_is_wanted_or_nothing() {
        let told = |scalar: Scalar, text: &str| {
            scalar.of_text(text.as_bytes()).map(|value| String::from_utf8(value.into_bytes().to_vec()).expect("text"))
        };
        for (scalar, text, found) in [
            (Scalar::Any, "7\"", Some(r#""7\"""#)),
            (Scalar::Int, "7", Some("7")),
            (Scalar::Int, "-2147483648", Some("-2147483648")),
            (Scalar::Int, "2147483648", None),
            (Scalar::Int, "+7", None),
            (Scalar::Int, "7.0", None),
            (Scalar::Int, "1,\"x\":2", None),
            (Scalar::Int, "", None),
            (Scalar::Float, "12345678901234567890.10", Some("12345678901234567890.10")),
            (Scalar::Float, "-1e3", Some("-1e3")),
            (Scalar::Float, "1 2", None),
            (Scalar::Float, "[1]", None),
            (Scalar::Float, "null", None),
            (Scalar::Boolean, "true", Some("true")),
            (Scalar::Boolean, "TRUE", None),
        ] {
            assert_eq!(told(scalar, text).as_deref(), found, "{scalar} {text}");
        }
        assert!(Scalar::Any.of_text(b"\xff").is_none());
    }
}
