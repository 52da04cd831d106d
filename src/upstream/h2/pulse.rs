//! Whether a connection lives, told from what comes on it. One that has been silent while an answer is waited for is asked by a PING (RFC
//! 9113, section 6.7), and is dead where that is not answered: a peer that is gone without a word is left within ten seconds.
//!
//! Servers of gRPC take many PINGs for an attack. A connection that carries gRPC, or whose peer has said so before, is asked once for each
//! silence in which something new was sent, and otherwise every few minutes; that its host is gone, the kernel finds out by itself.

use std::time::{Duration, Instant};

/// Silence after which a peer is asked.
const QUIET: Duration = Duration::from_secs(4);
/// How long it may take to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// A connection that was silent for so long is asked together with its next request.
const STALE: Duration = Duration::from_secs(10);
/// How often servers of gRPC are asked without a reason: they allow for five minutes.
const SPARING: Duration = Duration::from_secs(310);

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Beat {
    /// Nothing before this time, if ever.
    Rest(Option<Instant>),
    /// The peer is to be asked.
    Ask,
    /// It is gone.
    Dead,
}

/// What is known of a connection's life.
pub(super) struct Pulse {
    /// When something has come last.
    heard: Instant,
    /// Since when there are streams without a pause, and whether the first of them met a connection that had long been silent.
    busy: Option<(Instant, bool)>,
    /// When the last stream was opened.
    opened: Instant,
    /// When it was asked last, and whether the answer is still to come.
    asked: Option<(Instant, bool)>,
}

impl Pulse {
    /// A connection that has just greeted.
    pub(super) fn new(now: Instant) -> Self {
        Self { heard: now, busy: None, opened: now, asked: None }
    }

    /// Something has come.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
        if let Some((_, stale)) = &mut self.busy {
            *stale = false;
        }
    }

    /// A stream was opened.
    pub(super) fn opened(&mut self, now: Instant) {
        self.opened = now;
        self.busy.get_or_insert((now, now.saturating_duration_since(self.heard) >= STALE));
    }

    /// No stream is open.
    pub(super) fn is_idle(&mut self) {
        self.busy = None;
    }

    /// The peer was asked.
    pub(super) fn asked(&mut self, now: Instant) {
        self.asked = Some((now, true));
    }

    /// It has answered.
    pub(super) fn answered(&mut self) {
        if let Some((_, waiting)) = &mut self.asked {
            *waiting = false;
        }
    }

    /// Whether it was asked and has not answered.
    pub(super) fn is_asked(&self) -> bool {
        self.asked.is_some_and(|(_, waiting)| waiting)
    }

    /// What is to be done now.
    pub(super) fn beat(&self, now: Instant, sparing: bool) -> Beat {
        if let Some((asked, true)) = self.asked {
            let due = asked.max(self.heard) + ANSWER;
            return if now >= due { Beat::Dead } else { Beat::Rest(Some(due)) };
        }
        let Some((busy, stale)) = self.busy else { return Beat::Rest(None) };
        let quiet = if stale { busy } else { self.heard.max(busy) + QUIET };
        let due = match self.asked {
            Some((asked, _)) if sparing && self.opened <= asked => quiet.max(asked + SPARING),
            _ => quiet,
        };
        if now >= due { Beat::Ask } else { Beat::Rest(Some(due)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn who_is_silent_while_an_answer_is_waited_for_is_asked_and_left_within_ten_seconds() {
        let began = Instant::now();
        let mut pulse = Pulse::new(began);
        assert_eq!(pulse.beat(began + seconds(1000), false), Beat::Rest(None), "nobody waits");

        pulse.opened(began + seconds(1));
        assert_eq!(pulse.beat(began + seconds(1), false), Beat::Rest(Some(began + seconds(5))));
        // More requests are no sign of life.
        pulse.opened(began + seconds(4));
        assert_eq!(pulse.beat(began + seconds(5), false), Beat::Ask);
        pulse.asked(began + seconds(5));

        assert_eq!(pulse.beat(began + seconds(6), false), Beat::Rest(Some(began + seconds(10))));
        assert_eq!(pulse.beat(began + seconds(10), false), Beat::Dead);
    }

    #[test]
    fn whoever_sends_anything_lives() {
        let began = Instant::now();
        let mut pulse = Pulse::new(began);
        pulse.opened(began);
        pulse.asked(began + seconds(4));

        pulse.heard(began + seconds(8));
        assert_eq!(pulse.beat(began + seconds(9), false), Beat::Rest(Some(began + seconds(13))), "the answer may be behind much else");
        pulse.answered();

        assert_eq!(pulse.beat(began + seconds(9), false), Beat::Rest(Some(began + seconds(12))));
        assert_eq!(pulse.beat(began + seconds(12), false), Beat::Ask);
        pulse.is_idle();
        assert_eq!(pulse.beat(began + seconds(99), false), Beat::Rest(None));
    }

    #[test]
    fn a_connection_that_was_long_silent_is_asked_with_its_next_request() {
        let began = Instant::now();
        let mut pulse = Pulse::new(began);

        pulse.opened(began + seconds(10));

        assert_eq!(pulse.beat(began + seconds(10), false), Beat::Ask);
        pulse.heard(began + seconds(10));
        assert_eq!(pulse.beat(began + seconds(10), false), Beat::Rest(Some(began + seconds(14))), "it has spoken first");
    }

    #[test]
    fn servers_of_grpc_are_asked_once_for_what_was_sent_to_them() {
        let began = Instant::now();
        let mut pulse = Pulse::new(began);
        pulse.opened(began);
        assert_eq!(pulse.beat(began + seconds(4), true), Beat::Ask);
        pulse.asked(began + seconds(4));
        pulse.answered();
        pulse.heard(began + seconds(4));

        assert_eq!(pulse.beat(began + seconds(60), true), Beat::Rest(Some(began + seconds(314))));
        pulse.opened(began + seconds(60));
        assert_eq!(pulse.beat(began + seconds(60), true), Beat::Ask);
    }
}
