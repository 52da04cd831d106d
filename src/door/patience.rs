//! How long a client may keep a connection waiting.

use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use super::socket;
use crate::upstream::timer::Timer;

/// Bytes per second below which a transfer is a drip.
const DRIP: u64 = 500;
/// How often it is looked whether something was taken, while all that may be waited passes.
const LOOKS: u32 = 8;

/// How long one direction has kept us waiting in all, against a budget that grows with the bytes moved.
///
/// The budget bounds the sum of all waits. A single one is bounded, too, however much has moved before it: who stops is not waited for as if
/// it were merely slow.
#[derive(Default)]
pub(crate) struct Patience {
    since: Option<Instant>,
    waited: Duration,
    moved: u64,
    /// How often it was looked in this wait.
    looks: u32,
}

impl Patience {
    /// So many bytes have moved.
    pub(crate) fn moved(&mut self, bytes: u64) {
        self.moved += bytes;
        self.looks = 0;
        if let Some(since) = self.since.take() {
            self.waited += since.elapsed();
        }
    }

    /// Whether something is waited for.
    pub(crate) fn is_waiting(&self) -> bool {
        self.since.is_some()
    }

    /// Nothing is taken just now. Ready when patience with that ends; `taken` tells how much of it was since that was asked last.
    pub(super) fn poll_taken(
        &mut self,
        cx: &mut Context<'_>,
        timer: &mut Timer,
        allowance: Duration,
        taken: impl FnOnce() -> u64,
    ) -> Poll<()> {
        let more = taken();
        if more > 0 {
            self.moved(more);
        }
        loop {
            let due = self.until_taken(allowance);
            let next = self.since.map_or(due, |since| (since + allowance / LOOKS * (self.looks + 1)).min(due));
            ready!(timer.poll(cx, Some(next)));
            if next == due {
                return Poll::Ready(());
            }
            self.looks += 1;
        }
    }

    /// The wait up to now was nobody's fault.
    pub(crate) fn excuse(&mut self) {
        self.since = None;
    }

    /// Nothing comes just now. When patience with who sends it ends: what has come is worth time, though at once never more than as much again.
    pub(crate) fn until_sent(&mut self, allowance: Duration) -> Instant {
        self.until(allowance, allowance.saturating_mul(2))
    }

    /// Nothing is taken just now. When patience with who should take it ends.
    pub(crate) fn until_taken(&mut self, allowance: Duration) -> Instant {
        self.until(allowance, allowance)
    }

    fn until(&mut self, allowance: Duration, at_once: Duration) -> Instant {
        let since = *self.since.get_or_insert_with(Instant::now);
        since + (allowance + Duration::from_secs(self.moved / DRIP)).saturating_sub(self.waited).min(at_once)
    }

    /// Ready for the next request.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }
}

/// How much of what a socket was given its client's side has taken: that the kernel has it says nothing.
#[derive(Default)]
pub(super) struct Taken {
    given: u64,
    taken: u64,
}

impl Taken {
    /// The socket was given so much more.
    pub(super) fn give(&mut self, bytes: usize) {
        self.given += bytes as u64;
    }

    /// How much more was taken since this was asked last.
    pub(super) fn more(&mut self, socket: Option<&TcpStream>) -> u64 {
        let held = socket.and_then(socket::not_taken).unwrap_or(0);
        let more = self.given.saturating_sub(held).saturating_sub(self.taken);
        self.taken += more;
        more
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;
    use crate::upstream::timer::sweep;

    const ALLOWANCE: Duration = Duration::from_secs(10);

    #[test]
    fn a_wait_is_measured_against_what_has_moved() {
        let mut patience = Patience::default();

        let first = patience.until_sent(ALLOWANCE);
        assert_eq!(patience.until_sent(ALLOWANCE), first, "the same wait");
        patience.moved(5000);
        let second = patience.until_sent(ALLOWANCE);

        assert!(second > first + Duration::from_secs(9), "five thousand bytes are worth ten seconds more");
        patience.reset();
        assert!(patience.until_sent(ALLOWANCE) < second);
    }

    #[test]
    fn who_stops_is_not_waited_for_as_if_it_were_slow() {
        let mut patience = Patience::default();
        patience.moved(1 << 30);
        let now = Instant::now();

        assert!(patience.until_sent(ALLOWANCE) < now + ALLOWANCE * 2 + Duration::from_secs(1));
        assert!(patience.until_taken(ALLOWANCE) < now + ALLOWANCE + Duration::from_secs(1));
    }

    #[test]
    fn a_drip_uses_its_budget_up() {
        let mut patience = Patience { waited: Duration::from_secs(60), ..Patience::default() };
        patience.moved(10_000);
        let now = Instant::now();
        assert!(patience.until_taken(ALLOWANCE) <= now + Duration::from_secs(1), "ten and twenty seconds are less than sixty");

        patience.moved(25_000);

        assert!(patience.until_taken(ALLOWANCE) >= now + ALLOWANCE, "ten and seventy are more");
    }

    #[test]
    fn what_was_taken_begins_the_wait_anew_whenever_that_is_seen() {
        let looks_until_over = |taken_at: Option<u32>| {
            let (mut patience, mut timer) = (Patience::default(), Timer::new());
            let cx = &mut Context::from_waker(Waker::noop());
            let mut looks = 0;
            while patience.poll_taken(cx, &mut timer, ALLOWANCE, || u64::from(taken_at == Some(looks))).is_pending() {
                looks += 1;
                assert!(looks < 100, "it is never over");
                sweep(Instant::now() + ALLOWANCE);
            }
            looks
        };

        assert_eq!(looks_until_over(None), LOOKS);
        assert_eq!(looks_until_over(Some(5)), 5 + LOOKS);
    }

    #[test]
    fn an_excused_wait_counts_for_nothing() {
        let mut patience = Patience::default();
        let first = patience.until_taken(ALLOWANCE);
        assert!(patience.is_waiting());
        std::thread::sleep(Duration::from_millis(2));

        patience.excuse();

        assert!(!patience.is_waiting());
        assert!(patience.until_taken(ALLOWANCE) > first);
        assert_eq!(patience.waited, Duration::ZERO);
    }
}
