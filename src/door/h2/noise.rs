//! How much a client of HTTP/2 says that asks for nothing: frames that cost it little and the gateway some work, and requests that are taken
//! back at once.
//!
//! Every such frame counts, and what is answered counts against it, as does time: whoever downloads opens windows and may ping, and is not
//! noticed. A client whose noise outgrows all that floods the connection, which ends (RFC 9113, section 10.5).

use std::time::Instant;

/// What a client may say at once.
const MOST: u64 = 10_000;
/// What is forgotten in a second.
const RATE: u64 = 400;
/// What a request counts that is taken back.
pub(super) const RESET: u64 = 10;
/// What a stream counts whose time has passed while its client took or sent nothing.
pub(super) const STALL: u64 = 500;
/// What a request counts that is none: over HTTP/1 its connection would end.
pub(super) const MALFORMED: u64 = 300;
/// What every part of an answer is worth that its client's window did not cut short, and so many bytes of any.
const PART: u64 = 10;
const BYTES: u64 = 1 << 10;

/// What a part of an answer is worth that its client took; `rest` is what its window left for later.
pub(super) fn worth(bytes: usize, rest: usize) -> u64 {
    bytes as u64 / BYTES + if rest == 0 { PART } else { 0 }
}

/// A connection's noise.
#[derive(Debug)]
pub(super) struct Noise {
    /// In millionths, so that what is forgotten in a microsecond is a whole number.
    level: u64,
    at: Instant,
    /// What was answered, as of the last look.
    answered: u64,
}

impl Noise {
    /// None yet.
    pub(super) fn new(now: Instant) -> Self {
        Self { level: 0, at: now, answered: 0 }
    }

    /// So much more was said; `answered` is the sum up to now. Whether it is a flood.
    pub(super) fn add(&mut self, more: u64, answered: u64, now: Instant) -> bool {
        const UNIT: u64 = 1_000_000;
        let forgotten = now.saturating_duration_since(self.at).as_micros() as u64 * RATE;
        let calm = forgotten.saturating_add(answered.saturating_sub(self.answered).saturating_mul(UNIT));
        (self.at, self.answered) = (now, answered);
        self.level = self.level.saturating_sub(calm).saturating_add(more.saturating_mul(UNIT));
        self.level > MOST * UNIT
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// How many times a client may do this, at most a million.
    fn until_flood(more: u64, pause: Duration, answered: u64) -> Option<u64> {
        let mut now = Instant::now();
        let mut noise = Noise::new(now);
        (1..=1_000_000).find(|count| {
            now += pause;
            noise.add(more, count * answered, now)
        })
    }

    #[test]
    fn a_flood_is_found_and_what_comes_slowly_is_none() {
        assert_eq!(until_flood(1, Duration::ZERO, 0), Some(MOST + 1));
        assert_eq!(until_flood(RESET, Duration::ZERO, 0), Some(MOST / RESET + 1));
        assert_eq!(until_flood(1, Duration::from_micros(2_500), 0), None);
        assert!(until_flood(1, Duration::from_micros(2_000), 0).is_some_and(|count| count > 4 * MOST));
    }

    #[test]
    fn whoever_takes_answers_may_open_windows_and_ping() {
        // Each part of 16 KiB: eight updates for the stream, as many for the connection, and a ping.
        assert_eq!(until_flood(17, Duration::ZERO, worth(16 << 10, 0)), None);
        // Each part of 50 bytes: an update for either, and a ping.
        assert_eq!(until_flood(3, Duration::ZERO, worth(50, 0)), None);
    }

    #[test]
    fn a_window_that_is_opened_byte_by_byte_is_noise() {
        assert_eq!(until_flood(1, Duration::ZERO, worth(1, 10_000)), Some(MOST + 1));
    }

    #[test]
    fn requests_that_are_taken_back_are_noise_unless_they_were_answered() {
        assert_eq!(until_flood(RESET, Duration::ZERO, worth(0, 0)), None);
        assert!(until_flood(RESET, Duration::ZERO, worth(0, 0) / 2).is_some());
    }

    #[test]
    fn a_crowd_of_stalls_is_noise_and_a_few_are_none() {
        let now = Instant::now();
        let mut noise = Noise::new(now);

        assert!(!noise.add(20 * STALL, 0, now));
        assert!(!noise.add(20 * STALL, 0, now + Duration::from_secs(30)));
        assert!(noise.add(60 * STALL, 0, now + Duration::from_secs(60)));
    }

    #[test]
    fn requests_that_are_none_are_noise_though_they_are_answered() {
        let answer = 2 * worth(0, 0);

        assert_eq!(until_flood(MALFORMED, Duration::ZERO, answer), Some(36));
        assert_eq!(until_flood(MALFORMED, Duration::from_secs(1), answer), None);
    }
}
