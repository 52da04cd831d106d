//! What somebody meant who wrote a value with another unit, or with none.

/// A number and what stands behind it, in lower case and without spaces.
fn parts(text: &str) -> Option<(f64, String)> {
    let text: String = text.to_lowercase().chars().filter(|c| !matches!(c, ' ' | '_')).collect();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number = text[..end].parse().ok().filter(|number: &f64| number.is_finite() && *number < 1e12)?;
    Some((number, text[end..].to_owned()))
}

/// A number of one unit in whole numbers of it, or else of the next smaller one.
fn whole(number: f64, unit: &str, smaller: Option<(f64, &str)>) -> Option<String> {
    match smaller {
        _ if number.fract() == 0.0 => Some(format!("{number}{unit}")),
        Some((factor, unit)) if (number * factor).fract() == 0.0 => Some(format!("{}{unit}", number * factor)),
        _ => None,
    }
}

/// What to write in place of this duration.
pub(super) fn duration(text: &str) -> String {
    let guess = parts(text).and_then(|(number, unit)| match unit.as_str() {
        "" if number.fract() == 0.0 => Some(format!("{number}s or {number}ms")),
        "ms" | "msec" | "msecs" | "millis" | "millisecond" | "milliseconds" => whole(number, "ms", None),
        "s" | "sec" | "secs" | "second" | "seconds" => whole(number, "s", Some((1_000.0, "ms"))),
        "m" | "min" | "mins" | "minute" | "minutes" => whole(number, "m", Some((60.0, "s"))),
        "h" | "hr" | "hrs" | "hour" | "hours" => whole(number, "h", Some((60.0, "m"))),
        "d" | "day" | "days" => whole(number, "d", Some((24.0, "h"))),
        "w" | "week" | "weeks" => whole(number * 7.0, "d", None),
        _ => None,
    });
    or(guess, "a whole number with ms, s, m, h or d, as in 200ms or 5s")
}

/// What to write in place of this size.
pub(super) fn size(text: &str) -> String {
    let guess = parts(text).and_then(|(number, unit)| match unit.as_str() {
        "" if number.fract() == 0.0 => Some(format!("{number}B, {number}KiB or {number}MiB")),
        "b" | "byte" | "bytes" => whole(number, "B", None),
        "k" | "kb" | "kib" | "ki" => whole(number, "KiB", Some((1024.0, "B"))),
        "m" | "mb" | "mib" | "mi" => whole(number, "MiB", Some((1024.0, "KiB"))),
        "g" | "gb" | "gib" | "gi" => whole(number, "GiB", Some((1024.0, "MiB"))),
        _ => None,
    });
    or(guess, "a whole number with B, KiB, MiB or GiB, as in 64KiB")
}

/// What to write in place of this share.
pub(super) fn share(text: &str) -> String {
    let guess = parts(text).and_then(|(number, unit)| match unit.as_str() {
        "" if number == 1.0 => Some("1% or 100%".to_owned()),
        // Without what binary fractions add.
        "" if number < 1.0 => Some(format!("{}%", (number * 1e6).round() / 1e4)),
        "" | "%" | "percent" | "pct" if number <= 100.0 => Some(format!("{number}%")),
        _ => None,
    });
    or(guess, "a number between 0 and 100 with %, as in 50%")
}

/// What to write in place of this rate.
pub(super) fn rate(text: &str) -> String {
    let guess = parts(text).filter(|(number, _)| *number >= 1.0 && number.fract() == 0.0).and_then(|(number, unit)| {
        let per = |letter: &str| Some(format!("{number}/{letter}"));
        match unit.trim_start_matches("req").trim_start_matches(['r', '/']).trim_start_matches("per") {
            "" => Some(format!("{number}/s, {number}/m or {number}/h")),
            "s" | "sec" | "second" | "ps" => per("s"),
            "m" | "min" | "minute" | "pm" => per("m"),
            "h" | "hr" | "hour" => per("h"),
            "d" | "day" if number >= 24.0 => Some(format!("{}/h", (number / 24.0).floor())),
            _ => None,
        }
    });
    or(guess, "a whole number above 0 with /s, /m or /h, as in 100/s")
}

fn or(guess: Option<String>, rule: &str) -> String {
    format!("write {}", guess.as_deref().unwrap_or(rule))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_that_was_meant_is_found() {
        type Row = (fn(&str) -> String, &'static [(&'static str, &'static str)]);
        let tell: [Row; 4] = [
            (
                duration,
                &[
                    ("10sec", "10s"),
                    ("5", "5s or 5ms"),
                    ("1.5s", "1500ms"),
                    ("2 min", "2m"),
                    ("1 day", "1d"),
                    ("1.5d", "36h"),
                    ("1.5h", "90m"),
                ],
            ),
            (size, &[("10MB", "10MiB"), ("64k", "64KiB"), ("1.5GiB", "1536MiB"), ("64", "64B, 64KiB or 64MiB")]),
            (share, &[("0.5", "50%"), ("50", "50%"), ("0.07", "7%"), ("1", "1% or 100%"), ("50 %", "50%")]),
            (rate, &[("10", "10/s, 10/m or 10/h"), ("10/min", "10/m"), ("10r/s", "10/s"), ("5 per second", "5/s"), ("48/day", "2/h")]),
        ];
        for (what, cases) in tell {
            for (text, meant) in cases {
                assert_eq!(what(text), format!("write {meant}"), "{text}");
            }
            assert!(what("soon").starts_with("write a "), "{}", what("soon"));
        }
    }
}
