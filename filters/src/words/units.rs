//! Values with a unit, written one way each: `200ms`, `64KiB`, `50%`, `100/s`.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use schemars::JsonSchema;

use super::meant;

/// A span of time: a whole number and `ms`, `s`, `m`, `h` or `d`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[schemars(transparent, inline)]
pub struct Duration(#[schemars(with = "String", regex(pattern = r"^[0-9]+(ms|s|m|h|d)$"))] pub std::time::Duration);

/// A number of bytes: a whole number and `B`, `KiB`, `MiB` or `GiB`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[schemars(transparent, inline)]
pub struct Size(#[schemars(with = "String", regex(pattern = r"^[0-9]+(B|KiB|MiB|GiB)$"))] pub u64);

/// A share between 0 and 1, written in per cent: `50%`, `2.5%`.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, JsonSchema)]
#[schemars(transparent, inline)]
pub struct Share(#[schemars(with = "String", regex(pattern = r"^[0-9]+(\.[0-9]+)?%$"))] pub f64);

/// A number of events in a span of time: `100/s`, `600/m`, `10000/h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(transparent, inline)]
pub struct Rate(#[schemars(with = "String", regex(pattern = r"^[1-9][0-9]*/(s|m|h)$"))] pub (NonZeroU32, Per));

/// The span of time that a [`Rate`] counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Per {
    /// One second.
    Second,
    /// Sixty seconds.
    Minute,
    /// 3,600 seconds.
    Hour,
}

/// Splits `12ms` into the number's text and the unit's.
fn split(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    text.split_at(end)
}

impl FromStr for Duration {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a duration: {}", meant::duration(text));
        let (number, unit) = split(text);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let millis = match unit {
            "ms" => Some(number),
            "s" => number.checked_mul(1_000),
            "m" => number.checked_mul(60_000),
            "h" => number.checked_mul(3_600_000),
            "d" => number.checked_mul(86_400_000),
            _ => return Err(wrong()),
        };
        // A century bounds every sum of instants made from it.
        match millis {
            Some(millis) if millis <= 100 * 366 * 24 * 3_600_000 => Ok(Self(std::time::Duration::from_millis(millis))),
            _ => Err(format!("`{text}` is longer than a hundred years")),
        }
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        match millis {
            0 => f.write_str("0s"),
            m if m % 3_600_000 == 0 => write!(f, "{}h", m / 3_600_000),
            m if m % 60_000 == 0 => write!(f, "{}m", m / 60_000),
            m if m % 1_000 == 0 => write!(f, "{}s", m / 1_000),
            m => write!(f, "{m}ms"),
        }
    }
}

impl FromStr for Size {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a size: {}", meant::size(text));
        let (number, unit) = split(text);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let shift = match unit {
            "B" => 0,
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            _ => return Err(wrong()),
        };
        number.checked_mul(1 << shift).map(Self).ok_or_else(|| format!("`{text}` is too large"))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("0B"),
            b if b % (1 << 30) == 0 => write!(f, "{}GiB", b >> 30),
            b if b % (1 << 20) == 0 => write!(f, "{}MiB", b >> 20),
            b if b % (1 << 10) == 0 => write!(f, "{}KiB", b >> 10),
            b => write!(f, "{b}B"),
        }
    }
}

impl FromStr for Share {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a share: {}", meant::share(text));
        let number: f64 = text.strip_suffix('%').and_then(|n| n.parse().ok()).ok_or_else(wrong)?;
        if (0.0..=100.0).contains(&number) { Ok(Self(number / 100.0)) } else { Err(wrong()) }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is left of a decimal fraction in binary digits is not told: 0.29 times 100 is a little less than 29.
        write!(f, "{}%", (self.0 * 1e14).round() / 1e12)
    }
}

impl FromStr for Rate {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a rate: {}", meant::rate(text));
        let (number, per) = text.split_once('/').ok_or_else(wrong)?;
        let per = match per {
            "s" => Per::Second,
            "m" => Per::Minute,
            "h" => Per::Hour,
            _ => return Err(wrong()),
        };
        Ok(Self((number.parse().map_err(|_| wrong())?, per)))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.0.1 {
            Per::Second => "s",
            Per::Minute => "m",
            Per::Hour => "h",
        };
        write!(f, "{}/{unit}", self.0.0)
    }
}

macro_rules! as_text {
    ($($unit:ty),*) => {$(
        impl<'de> serde::Deserialize<'de> for $unit {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
        impl serde::Serialize for $unit {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )*};
}
as_text!(Duration, Size, Share, Rate);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_prints_as_it_is_written() {
        for text in ["0s", "200ms", "5s", "10m", "24h", "1500ms"] {
            assert_eq!(text.parse::<Duration>().expect("a duration").to_string(), text);
        }
        for text in ["0B", "64KiB", "10MiB", "1GiB", "1000B"] {
            assert_eq!(text.parse::<Size>().expect("a size").to_string(), text);
        }
        for text in ["50%", "2.5%"] {
            assert_eq!(text.parse::<Share>().expect("a share").to_string(), text);
        }
        for tenths in 0..=1000 {
            let text = format!("{}%", f64::from(tenths) / 10.0);
            assert_eq!(text.parse::<Share>().expect("a share").to_string(), text);
        }
        for text in ["100/s", "600/m", "10000/h"] {
            assert_eq!(text.parse::<Rate>().expect("a rate").to_string(), text);
        }
    }

    #[test]
    fn a_missing_or_foreign_unit_is_refused() {
        for text in ["5", "5 s", "-1s", "1.5s", "s", "5sec", "99999999999999999999h", "9000000h"] {
            assert!(text.parse::<Duration>().is_err(), "{text}");
        }
        for text in ["64", "64KB", "64kib", "99999999999999999999GiB", "17179869184GiB"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
        for text in ["50", "101%", "-1%", "NaN%", "%"] {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
        for text in ["0/s", "5/d", "5", "1.5/s"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }
}
