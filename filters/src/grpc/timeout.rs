//! `grpc-timeout`: how long a call may take, as its client says, and what is left of that as its server is told.

use std::time::Duration;

use http::HeaderValue;

/// The most that eight digits say.
const MOST: u128 = 99_999_999;

/// The units, the finest first, each with how many nanoseconds it is.
const UNITS: [(u8, u128); 6] =
    [(b'n', 1), (b'u', 1_000), (b'm', 1_000_000), (b'S', 1_000_000_000), (b'M', 60_000_000_000), (b'H', 3_600_000_000_000)];

/// What a field says: up to eight digits and a unit; none where it says nothing that is one.
pub fn from_timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits.iter().fold(0_u128, |number, digit| number * 10 + u128::from(digit - b'0'));
    let nanoseconds = UNITS.iter().find(|(name, _)| name == unit)?.1 * number;
    let seconds = u64::try_from(nanoseconds / 1_000_000_000).ok()?;
    Some(Duration::new(seconds, (nanoseconds % 1_000_000_000) as u32))
}

/// The same of a time, in the finest unit that has room for it, rounded down.
pub fn to_timeout(time: Duration) -> HeaderValue {
    let nanoseconds = time.as_nanos();
    let fits = UNITS.iter().find(|(_, length)| nanoseconds / length <= MOST);
    let (unit, number) = fits.map_or((b'H', MOST), |(unit, length)| (*unit, nanoseconds / length));
    HeaderValue::from_str(&format!("{number}{}", char::from(unit))).expect("digits and a letter")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_read() {
        let nanoseconds = |text: &str| from_timeout(text.as_bytes()).map(|time| time.as_nanos());

        for (text, expected) in [
            ("1n", 1),
            ("20u", 20_000),
            ("0m", 0),
            ("3S", 3_000_000_000),
            ("2M", 120_000_000_000),
            ("99999999H", 359_999_996_400_000_000_000),
        ] {
            assert_eq!(nanoseconds(text), Some(expected), "{text}");
        }
        for text in ["", "S", "1", "1s", "-1S", "1.5S", "123456789S", " 1S", "1S ", "1 S"] {
            assert_eq!(nanoseconds(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_left_is_told_in_the_finest_unit_and_never_as_more() {
        for (time, expected) in [
            (Duration::ZERO, "0n"),
            (Duration::from_nanos(99_999_999), "99999999n"),
            (Duration::from_nanos(100_000_999), "100000u"),
            (Duration::from_millis(2500), "2500000u"),
            (Duration::from_secs(1000), "1000000m"),
            (Duration::from_secs(200_000), "200000S"),
            (Duration::from_secs(u64::MAX), "99999999H"),
        ] {
            let told = to_timeout(time);
            assert_eq!(told, expected);
            assert!(from_timeout(told.as_bytes()).expect("a timeout") <= time);
        }
    }
}
