//! From numbers to stages: a bound that is passed counts at once or after a while, and it is over only when the number stays well below it.

use std::time::{Duration, Instant};

use super::Stage;

/// How long a number has to stay below what ends a stage: long enough for clients to come back, and for that to be seen.
const RECOVERING: Duration = Duration::from_secs(2);
/// What comes back this soon after it was over was not over: the next time the way back takes twice as long, up to eight times.
const RELAPSE: (Duration, u32) = (Duration::from_secs(30), 8);

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

    /// A share that is just above where the first stage begins; where that never begins, no such share.
    pub(super) fn just_above(&self) -> f64 {
        self.begin[0].next_up().min(1.0)
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
    /// When it was over last, and how many times as long as usual the way back takes since it came back soon.
    over: Option<Instant>,
    longer: u32,
}

impl Judge {
    /// The stage, now that the number is this.
    pub(super) fn judge(&mut self, value: f64, bounds: &Bounds, now: Instant) -> Stage {
        for (stage, (above, begin)) in [Stage::First, Stage::Second].into_iter().zip(self.above.iter_mut().zip(bounds.begin)) {
            if value <= begin {
                *above = None;
            } else if now.saturating_duration_since(*above.get_or_insert(now)) >= bounds.lasting && self.stage < stage {
                if self.stage == Stage::Calm {
                    let is_relapse = self.over.is_some_and(|over| now.saturating_duration_since(over) < RELAPSE.0);
                    self.longer = if is_relapse { (self.longer * 2).min(RELAPSE.1) } else { 1 };
                }
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
        } else if now.saturating_duration_since(*self.below.get_or_insert(now)) >= RECOVERING * self.longer {
            // One after the other: what comes back is seen before all of it is let in.
            (self.stage, self.below) = (lower, None);
            self.over = Some(now);
        }
        self.stage
    }
}
