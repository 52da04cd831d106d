//! Points in time as RFC 3339 writes them, fast enough for every line of a log.
//!
//! Lines come by the thousand a second, so each thread keeps the text of the second it wrote last.

use std::cell::Cell;
use std::time::{SystemTime, UNIX_EPOCH};

/// Appends `time` as `2026-02-03T04:05:06.789Z`; a time before 1970 becomes 1970.
pub(super) fn write(out: &mut Vec<u8>, time: SystemTime) {
    thread_local! {
        static LAST: Cell<(u64, [u8; 19])> = const { Cell::new((0, *b"1970-01-01T00:00:00")) };
    }
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (mut second, mut text) = LAST.get();
    if second != since.as_secs() {
        second = since.as_secs();
        text = format(second);
        LAST.set((second, text));
    }
    out.extend_from_slice(&text);
    let millis = since.subsec_millis();
    out.extend_from_slice(&[b'.', digit(millis / 100), digit(millis / 10), digit(millis), b'Z']);
}

/// The second of `time` as `2026-02-03T04:05:06Z`; a time before 1970 becomes 1970.
pub(crate) fn text(time: SystemTime) -> String {
    let second = format(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs());
    second.iter().map(|byte| char::from(*byte)).chain(['Z']).collect()
}

/// The civil date of a day count, by Howard Hinnant's "chrono-Compatible Low-Level Date Algorithms": years begin in March, so
/// that the leap day comes last.
fn format(second: u64) -> [u8; 19] {
    let days = second / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);

    let mut text = *b"0000-00-00T00:00:00";
    let mut put = |at: usize, value: u64| {
        text[at] = digit((value / 10 % 10) as u32);
        text[at + 1] = digit((value % 10) as u32);
    };
    put(0, year / 100);
    put(2, year);
    put(5, month);
    put(8, day);
    put(11, second / 3_600 % 24);
    put(14, second / 60 % 60);
    put(17, second % 60);
    text
}

/// The last decimal digit of `value`.
fn digit(value: u32) -> u8 {
    b'0' + (value % 10) as u8
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn written(seconds: u64, millis: u64) -> String {
        let mut out = Vec::new();
        write(&mut out, UNIX_EPOCH + Duration::from_millis(seconds * 1_000 + millis));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn writes_known_points_in_time() {
        assert_eq!(written(0, 0), "1970-01-01T00:00:00.000Z");
        assert_eq!(written(951_782_400, 7), "2000-02-29T00:00:00.007Z");
        assert_eq!(written(1_709_251_199, 999), "2024-02-29T23:59:59.999Z");
        assert_eq!(written(4_107_542_400, 120), "2100-03-01T00:00:00.120Z");
    }

    #[test]
    fn agrees_with_the_http_date_of_every_fourth_hour_for_a_century() {
        for second in (1_600_000_000..4_750_000_000_u64).step_by(14_399) {
            let text = written(second, 0);
            let http = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second));
            assert_eq!(text[..4], http[12..16], "year of {http}");
            assert_eq!(text[8..10], http[5..7], "day of {http}");
            assert_eq!(text[11..19], http[17..25], "time of {http}");
            let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
            assert_eq!(months[text[5..7].parse::<usize>().unwrap() - 1], &http[8..11], "month of {http}");
        }
    }

    #[test]
    fn a_time_before_1970_becomes_1970() {
        let mut out = Vec::new();
        write(&mut out, UNIX_EPOCH - Duration::from_secs(1));
        assert_eq!(out, b"1970-01-01T00:00:00.000Z");
    }
}
