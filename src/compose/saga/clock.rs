//! What time it is for sagas: that of the wall, but for a jump of it, which is believed once it has lasted. A clock that is set wrong for a moment
//! ends no saga and forgets none.

use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use super::record::Millis;

/// How far the clock of the wall may be from what it should be by now without having jumped: it is corrected all the time.
const DRIFT: Duration = Duration::from_secs(5);
/// How long a jump has to last until it is believed.
const LASTING: Duration = Duration::from_secs(24 * 60 * 60);

/// The clock of this process.
static CLOCK: LazyLock<Mutex<Steady>> = LazyLock::new(|| Mutex::new(Steady::new(wall(), Instant::now())));

/// Now.
pub(super) fn now() -> Millis {
    CLOCK.lock().now(wall(), Instant::now())
}

fn wall() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// A clock that goes on as it went where the one of the wall jumps.
#[derive(Debug)]
struct Steady {
    /// When the clock of the wall was last believed, and what it said.
    at: Instant,
    wall: Millis,
    /// Since when it has jumped, and where it would be now had it gone on from there.
    jumped: Option<(Instant, Millis)>,
}

impl Steady {
    fn new(wall: Millis, at: Instant) -> Self {
        Self { at, wall, jumped: None }
    }

    fn now(&mut self, wall: Millis, at: Instant) -> Millis {
        let expected = self.wall.plus(at.saturating_duration_since(self.at));
        if is_near(wall, expected) {
            *self = Self::new(wall, at);
            return wall;
        }
        match self.jumped {
            Some((since, from)) if is_near(wall, from.plus(at.saturating_duration_since(since))) => {
                if at.saturating_duration_since(since) >= LASTING {
                    log::warn!("sagas: the clock has been where it is for a day, and is believed: their times go by it again");
                    *self = Self::new(wall, at);
                    return wall;
                }
            }
            _ => {
                log::warn!(
                    "sagas: the clock has jumped by {:?}: their times go on as if it had not, unless it stays there for a day",
                    wall.until(expected).max(expected.until(wall))
                );
                self.jumped = Some((at, wall));
            }
        }
        expected
    }
}

fn is_near(one: Millis, other: Millis) -> bool {
    one.until(other).max(other.until(one)) <= DRIFT
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;

    #[test]
    fn a_clock_that_is_corrected_is_followed_and_one_that_jumps_is_not_until_that_has_lasted() {
        let begun = Instant::now();
        let after = |hours: u64| begun + Duration::from_millis(hours * HOUR);
        let mut clock = Steady::new(Millis(1_000 * HOUR), begun);

        assert_eq!(clock.now(Millis(1_001 * HOUR + 4_000), after(1)), Millis(1_001 * HOUR + 4_000));
        // Eight days ahead for a moment, and back.
        assert_eq!(clock.now(Millis(1_194 * HOUR), after(2)), Millis(1_002 * HOUR + 4_000));
        assert_eq!(clock.now(Millis(1_003 * HOUR), after(3)), Millis(1_003 * HOUR));
        // Back to 1970, and there to stay.
        for hours in 4..27 {
            assert_eq!(clock.now(Millis(hours * HOUR), after(hours)), Millis((1_000 + hours) * HOUR), "{hours}");
        }
        assert_eq!(clock.now(Millis(28 * HOUR), after(28)), Millis(28 * HOUR));
        assert_eq!(clock.now(Millis(29 * HOUR), after(29)), Millis(29 * HOUR));
    }

    #[test]
    fn a_clock_that_jumps_again_has_to_last_from_there() {
        let begun = Instant::now();
        let after = |hours: u64| begun + Duration::from_millis(hours * HOUR);
        let mut clock = Steady::new(Millis(0), begun);

        for (hours, ahead) in [(1, 100), (20, 100), (21, 500), (26, 500), (44, 500)] {
            assert_eq!(clock.now(Millis((hours + ahead) * HOUR), after(hours)), Millis(hours * HOUR), "{hours}");
        }
        assert_eq!(clock.now(Millis(545 * HOUR), after(45)), Millis(545 * HOUR));
    }
}
