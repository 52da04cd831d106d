//! How long a client may keep a connection waiting.

use std::time::{Duration, Instant};

/// Bytes per second below which a transfer is a drip.
const DRIP: u64 = 500;

/// How long one direction has kept us waiting in all, against a budget that grows with the bytes moved.
#[derive(Default)]
pub(crate) struct Patience {
    since: Option<Instant>,
    waited: Duration,
    moved: u64,
}

impl Patience {
    /// So many bytes have moved.
    pub(crate) fn moved(&mut self, bytes: usize) {
        self.moved += bytes as u64;
        if let Some(since) = self.since.take() {
            self.waited += since.elapsed();
        }
    }

    /// Nothing moves just now. When patience ends.
    pub(crate) fn due(&mut self, allowance: Duration) -> Instant {
        let since = *self.since.get_or_insert_with(Instant::now);
        since + (allowance + Duration::from_secs(self.moved / DRIP)).saturating_sub(self.waited)
    }

    /// Ready for the next request.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_measured_against_what_has_moved() {
        let allowance = Duration::from_secs(10);
        let mut patience = Patience::default();

        let first = patience.due(allowance);
        assert_eq!(patience.due(allowance), first, "the same wait");
        patience.moved(5000);
        let second = patience.due(allowance);

        assert!(second > first + Duration::from_secs(9), "five thousand bytes are worth ten seconds more");
        patience.reset();
        assert!(patience.due(allowance) < second);
    }
}
