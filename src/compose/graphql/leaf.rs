//! What services answer becomes what a leaf of the schema may be, as the reference implementation does it.

use std::collections::HashSet;

use memchr::memchr;

use super::raw::decoded;

/// What a leaf may be.
#[derive(Clone, Debug)]
pub(super) enum Leaf {
    Int,
    Float,
    String,
    Boolean,
    Id,
    /// One of these names.
    Enum(HashSet<Box<[u8]>>),
    /// A scalar of somebody's own: whatever it is.
    Custom,
}

/// A value as a leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Coerced {
    /// As it came.
    Same,
    /// As it came, in quotes.
    Quoted,
    /// This instead.
    Text(Box<str>),
}

/// The whole numbers that every reader of JSON can tell apart: up to this.
const EXACT: f64 = 9_007_199_254_740_991.0;

impl Leaf {
    /// A value that is not null, as it is written; nothing where this leaf cannot have it.
    pub(super) fn coerce(&self, value: &[u8]) -> Option<Coerced> {
        let first = *value.first()?;
        let is_number = matches!(first, b'-' | b'0'..=b'9');
        match self {
            Self::Custom => Some(Coerced::Same),
            Self::Enum(names) => {
                let written = unquoted(value)?;
                if names.contains(written) {
                    return Some(Coerced::Same);
                }
                let text = decoded(written).filter(|text| names.contains(&**text))?;
                Some(Coerced::Text(format!("\"{}\"", String::from_utf8(text).ok()?).into()))
            }
            Self::String => match first {
                b'"' => is_text(value).then_some(Coerced::Same),
                b't' | b'f' => Some(Coerced::Quoted),
                _ if is_number => Some(whole(value).map_or(Coerced::Quoted, |whole| Coerced::Text(format!("\"{whole}\"").into()))),
                _ => None,
            },
            Self::Id => match first {
                b'"' => is_text(value).then_some(Coerced::Same),
                _ if is_integer(value) => Some(Coerced::Quoted),
                _ if is_number => whole(value).map(|whole| Coerced::Text(format!("\"{whole}\"").into())),
                _ => None,
            },
            Self::Boolean => match first {
                b't' | b'f' => Some(Coerced::Same),
                _ if is_number => Some(Coerced::Text(if number(value)? == 0.0 { "false" } else { "true" }.into())),
                _ => None,
            },
            Self::Int => {
                if is_integer(value) {
                    let fits = str::from_utf8(value).ok()?.parse::<i32>().is_ok();
                    return fits.then_some(if value == b"-0" { Coerced::Text("0".into()) } else { Coerced::Same });
                }
                let number = of_any(value)?;
                let fits = number.fract() == 0.0 && number >= f64::from(i32::MIN) && number <= f64::from(i32::MAX);
                fits.then(|| Coerced::Text((number as i32).to_string().into()))
            }
            Self::Float => match first {
                _ if is_number => number(value).map(|_| Coerced::Same),
                _ => {
                    let number = of_any(value)?;
                    let whole = number.fract() == 0.0 && number.abs() <= EXACT;
                    Some(Coerced::Text(if whole { (number as i64).to_string() } else { number.to_string() }.into()))
                }
            },
        }
    }
}

/// What is between the quotes.
fn unquoted(value: &[u8]) -> Option<&[u8]> {
    value.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

/// Whether a string of JSON is a text: its grammar lets halves of surrogate pairs stand alone, which no text has and many readers refuse.
fn is_text(value: &[u8]) -> bool {
    let unit = |at: usize| -> Option<u16> {
        let digits = value.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u16::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
    };
    let mut at = 0;
    while let Some(found) = value.get(at..).and_then(|rest| memchr(b'\\', rest)) {
        at += found;
        at += match unit(at) {
            Some(0xd800..=0xdbff) if matches!(unit(at + 6), Some(0xdc00..=0xdfff)) => 12,
            Some(0xd800..=0xdfff) => return false,
            Some(_) => 6,
            None => 2,
        };
    }
    true
}

fn is_integer(value: &[u8]) -> bool {
    let digits = value.strip_prefix(b"-").unwrap_or(value);
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

/// A number of JSON that is finite.
fn number(value: &[u8]) -> Option<f64> {
    str::from_utf8(value).ok()?.parse::<f64>().ok().filter(|number| number.is_finite())
}

/// A number that is whole but is not written like that: `3.0`, `1e3`.
fn whole(value: &[u8]) -> Option<i64> {
    if is_integer(value) {
        return None;
    }
    number(value).filter(|number| number.fract() == 0.0 && number.abs() <= EXACT).map(|number| number as i64)
}

/// The number that a number, a word or a text is.
fn of_any(value: &[u8]) -> Option<f64> {
    match value.first()? {
        b't' => Some(1.0),
        b'f' => Some(0.0),
        b'"' => {
            let text = decoded(unquoted(value)?)?;
            let text = str::from_utf8(&text).ok()?.trim();
            let plain = !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
            if plain { number(text.as_bytes()) } else { None }
        }
        b'-' | b'0'..=b'9' => number(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of a value; `same` where it stays, nothing where it is refused.
    fn printed(leaf: &Leaf, value: &str) -> String {
        match leaf.coerce(value.as_bytes()) {
            None => "refused".to_owned(),
            Some(Coerced::Same) => "same".to_owned(),
            Some(Coerced::Quoted) => format!("\"{value}\""),
            Some(Coerced::Text(text)) => text.into(),
        }
    }

    #[test]
    fn leaves_are_what_the_reference_implementation_makes_of_values() {
        let status = Leaf::Enum([&b"NEW"[..], b"PAID"].into_iter().map(Into::into).collect());
        for (leaf, value, expected) in [
            (&Leaf::Int, "5", "same"),
            (&Leaf::Int, "-0", "0"),
            (&Leaf::Int, "3.0", "3"),
            (&Leaf::Int, "1e3", "1000"),
            (&Leaf::Int, "3.5", "refused"),
            (&Leaf::Int, "2147483647", "same"),
            (&Leaf::Int, "2147483648", "refused"),
            (&Leaf::Int, "-2147483648", "same"),
            (&Leaf::Int, "\"5\"", "5"),
            (&Leaf::Int, "\" 5 \"", "5"),
            (&Leaf::Int, "\"\"", "refused"),
            (&Leaf::Int, "\"inf\"", "refused"),
            (&Leaf::Int, "\"a\"", "refused"),
            (&Leaf::Int, "true", "1"),
            (&Leaf::Int, "{}", "refused"),
            (&Leaf::Float, "1.50", "same"),
            (&Leaf::Float, "12345678901234567890", "same"),
            (&Leaf::Float, "1e999", "refused"),
            (&Leaf::Float, "\"1.5\"", "1.5"),
            (&Leaf::Float, "\"10\"", "10"),
            (&Leaf::Float, "false", "0"),
            (&Leaf::Float, "\"NaN\"", "refused"),
            (&Leaf::Float, "[]", "refused"),
            (&Leaf::String, "\"a\\u00e9\"", "same"),
            (&Leaf::String, r#""\ud83d\ude00 \\ud800""#, "same"),
            (&Leaf::String, r#""\ud800""#, "refused"),
            (&Leaf::String, r#""\ude00\ud83d""#, "refused"),
            (&Leaf::String, r#""\n\\\udfff""#, "refused"),
            (&Leaf::String, r#""\ud83d\u0041""#, "refused"),
            (&Leaf::Id, r#""\ud800x""#, "refused"),
            (&Leaf::String, "12", "\"12\""),
            (&Leaf::String, "1.50", "\"1.50\""),
            (&Leaf::String, "1e2", "\"100\""),
            (&Leaf::String, "true", "\"true\""),
            (&Leaf::String, "{}", "refused"),
            (&Leaf::Id, "7", "\"7\""),
            (&Leaf::Id, "12345678901234567890", "\"12345678901234567890\""),
            (&Leaf::Id, "7.0", "\"7\""),
            (&Leaf::Id, "7.5", "refused"),
            (&Leaf::Id, "true", "refused"),
            (&Leaf::Id, "\"x\"", "same"),
            (&Leaf::Boolean, "false", "same"),
            (&Leaf::Boolean, "2", "true"),
            (&Leaf::Boolean, "0.0", "false"),
            (&Leaf::Boolean, "\"true\"", "refused"),
            (&status, "\"PAID\"", "same"),
            (&status, "\"\\u004eEW\"", "\"NEW\""),
            (&status, "\"LOST\"", "refused"),
            (&status, "1", "refused"),
            (&Leaf::Custom, "{\"a\": [1]}", "same"),
        ] {
            assert_eq!(printed(leaf, value), expected, "{leaf:?} {value}");
        }
    }
}
