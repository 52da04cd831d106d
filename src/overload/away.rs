//! Whether new connections of clients are turned away at this time: that may pass too quickly to be seen in what is measured now and then.

use std::time::{Duration, Instant};

/// How long it is told after the last one.
const LATELY: Duration = Duration::from_secs(5);

/// How many were turned away for want of something, as of the last look.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Away {
    all: u64,
    last: Option<Instant>,
}

impl Away {
    /// By now there were so many. Whether some of them came since the last look.
    pub(super) fn count(&mut self, all: u64, now: Instant) -> bool {
        // With a listener that is gone its count is gone, too.
        let more = all > std::mem::replace(&mut self.all, all);
        if more {
            self.last = Some(now);
        }
        more
    }

    /// Whether some were of late.
    pub(super) fn is_lately(&self, now: Instant) -> bool {
        self.last.is_some_and(|last| now.saturating_duration_since(last) < LATELY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_while_there_are_more_and_for_a_while_after_the_last() {
        let (mut away, began) = (Away::default(), Instant::now());
        let at = |seconds| began + Duration::from_secs(seconds);

        assert!(!away.count(0, at(0)) && !away.is_lately(at(0)));
        assert!(away.count(3, at(1)) && away.is_lately(at(1)));
        assert!(!away.count(3, at(2)) && away.is_lately(at(2)), "none since, but a moment ago");
        assert!(!away.is_lately(at(7)));
        assert!(!away.count(1, at(8)) && away.count(2, at(9)), "a listener went away with its count");
    }
}
