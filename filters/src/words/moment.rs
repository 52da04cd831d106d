//! A moment as RFC 3339 writes one: `2026-12-01T18:00:00Z`, or with an offset such as `+01:00` in place of the `Z`.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use schemars::JsonSchema;

const DAY: i64 = 86_400;

/// A point in time, to the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[schemars(transparent, inline)]
pub struct Moment(
    #[schemars(with = "String", regex(pattern = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(Z|[+-][0-9]{2}:[0-9]{2})$"))]
    pub  SystemTime,
);

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let (date, rest) = (text.get(..10)?, text.get(10..)?);
            let (time, zone) = (rest.get(1..9)?, rest.get(9..)?);
            let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
            let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
            let ahead = match zone {
                "Z" => 0,
                _ => {
                    let [hours, minutes] = numbers(zone.get(1..)?, ':', [2, 2])?;
                    let ahead = (hours <= 23 && minutes <= 59).then_some(hours * 3600 + minutes * 60)?;
                    match zone.as_bytes()[0] {
                        b'+' => ahead,
                        b'-' => -ahead,
                        _ => return None,
                    }
                }
            };
            let is_right = rest.starts_with('T') && (1..=12).contains(&month) && (1..=days_of(year, month)).contains(&day);
            if !is_right || year < 1970 || hour > 23 || minute > 59 || second > 59 {
                return None;
            }
            let seconds = days_before(year, month, day) * DAY + hour * 3600 + minute * 60 + second - ahead;
            Some(Self(UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).ok()?)))
        };
        read().ok_or_else(|| format!("`{text}` is not a moment: write it as 2026-12-01T18:00:00Z"))
    }
}

/// The numbers of a text in which they are so many digits each, with this between them.
fn numbers<const N: usize>(text: &str, between: char, digits: [usize; N]) -> Option<[i64; N]> {
    let mut found = [0; N];
    let mut parts = text.split(between);
    for (found, digits) in found.iter_mut().zip(digits) {
        let part = parts.next().filter(|part| part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit()))?;
        *found = part.parse().ok()?;
    }
    parts.next().is_none().then_some(found)
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970 to this one.
fn days_before(year: i64, month: i64, day: i64) -> i64 {
    let leaps = |year: i64| year / 4 - year / 100 + year / 400;
    let years = (year - 1970) * 365 + leaps(year - 1) - leaps(1969);
    years + (1..month).map(|month| days_of(year, month)).sum::<i64>() + day - 1
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
        let (mut days, time) = (seconds / DAY, seconds % DAY);
        let mut year = 1970;
        while days >= 365 + i64::from(is_leap(year)) {
            days -= 365 + i64::from(is_leap(year));
            year += 1;
        }
        let mut month = 1;
        while days >= days_of(year, month) {
            days -= days_of(year, month);
            month += 1;
        }
        write!(f, "{year:04}-{month:02}-{:02}T{:02}:{:02}:{:02}Z", days + 1, time / 3600, time / 60 % 60, time % 60)
    }
}

impl<'de> serde::Deserialize<'de> for Moment {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl serde::Serialize for Moment {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seconds(text: &str) -> Option<u64> {
        let moment = text.parse::<Moment>().ok()?;
        Some(moment.0.duration_since(UNIX_EPOCH).expect("after 1970").as_secs())
    }

    #[test]
    fn known_moments_are_read_and_written() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:00:00Z", 951_825_600),
            ("2026-12-01T18:00:00Z", 1_796_148_000),
            ("2038-01-19T03:14:07Z", 2_147_483_647),
        ] {
            assert_eq!(seconds(text), Some(expected), "{text}");
            assert_eq!(text.parse::<Moment>().expect("a moment").to_string(), text);
        }
        assert_eq!(seconds("2026-12-01T19:00:00+01:00"), Some(1_796_148_000));
        assert_eq!(seconds("2026-12-01T12:30:00-05:30"), Some(1_796_148_000));
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in [
            "",
            "2026-12-01",
            "2026-12-01 18:00:00Z",
            "2026-12-01T18:00:00",
            "2026-12-01T18:00Z",
            "2026-13-01T18:00:00Z",
            "2026-02-29T18:00:00Z",
            "2026-12-00T18:00:00Z",
            "2026-12-01T24:00:00Z",
            "2026-12-01T18:00:60Z",
            "2026-12-01T18:00:00+24:00",
            "2026-12-01T18:00:00.5Z",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+01:00",
            "+026-12-01T18:00:00Z",
            "2026-12-01T18:00:0éZ",
            "tomorrow",
        ] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_second_is_the_same_again_once_it_was_written(second in 0_u64..253_402_300_800) {
            let text = Moment(UNIX_EPOCH + Duration::from_secs(second)).to_string();

            prop_assert_eq!(seconds(&text), Some(second), "{}", text);
        }
    }
}
