//! From numbers to stages: a bound that is passed counts at once or after a while, and it is over only when the number stays well below it.

use std::time::{Duration, Instant};

use super::Stage;

/// How long a number has to stay below what ends a stage: long enough for clients to come back, and for that to be seen.
const RECOVERING: Duration = Duration::from_secs(2);

/// What a number is compared with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Above these begin the first and the second stage.
    begin: [f64; 2],
    /// Below these they may end.
    end: [f64; 2],
    /// How long a number has to stay above a bound.
    lasting: Duration,
}

impl Bounds {
    /// Of a share: the second stage begins half-way between the bound and all there is, and each ends a twentieth of all below where it begins.
    pub(super) fn of_share(bound: f64) -> Self {
        const MARGIN: f64 = 0.05;
        let begin = [bound, bound + (1.0 - bound) / 2.0];
        // Of a small bound half: it could never be reached otherwise.
        Self { begin, end: begin.map(|bound| bound - MARGIN.min(bound / 2.0)), lasting: Duration::ZERO }
    }

    /// Of lateness: the second stage begins at four times the bound, and each ends at half of where it begins.
    pub(super) fn of_lag(bound: Duration, lasting: Duration) -> Self {
        let begin = [1.0, 4.0].map(|times| bound.as_secs_f64() * times);
        Self { begin, end: begin.map(|bound| bound / 2.0), lasting }
    }
}

/// The stage of one number, as it goes up and down.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Judge {
    stage: Stage,
    /// Since when the number is above where the next stage begins, and above where the one after it does.
    above: [Option<Instant>; 2],
    /// Since when it is below where this one ends.
    below: Option<Instant>,
}

impl Judge {
    /// The stage, now that the number is this.
    pub(super) fn judge(&mut self, value: f64, bounds: &Bounds, now: Instant) -> Stage {
        for (stage, (above, begin)) in [Stage::First, Stage::Second].into_iter().zip(self.above.iter_mut().zip(bounds.begin)) {
            if value <= begin {
                *above = None;
            } else if now.saturating_duration_since(*above.get_or_insert(now)) >= bounds.lasting && self.stage < stage {
                (self.stage, self.below) = (stage, None);
            }
        }
        let lower = match self.stage {
            Stage::Calm => return Stage::Calm,
            Stage::First => Stage::Calm,
            Stage::Second => Stage::First,
        };
        if value >= bounds.end[self.stage as usize - 1] {
            self.below = None;
        } else if now.saturating_duration_since(*self.below.get_or_insert(now)) >= RECOVERING {
            // One after the other: what comes back is seen before all of it is let in.
            (self.stage, self.below) = (lower, None);
        }
        self.stage
    }
}
