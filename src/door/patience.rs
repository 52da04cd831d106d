//! How long a client may keep a connection waiting.

use std::future::Future;
use std::pin::Pin;
use std::task::Context;
use std::time::{Duration, Instant};

use tokio::time::Sleep;

/// How long one direction has kept us waiting in all, against a budget that grows with the bytes moved.
#[derive(Default)]
pub(super) struct Patience {
    pub(super) since: Option<Instant>,
    waited: Duration,
    moved: u64,
    pub(super) timer: Option<Pin<Box<Sleep>>>,
}

/// Bytes per second below which a transfer is a drip.
pub const DRIP: u64 = 500;

impl Patience {
    pub(super) fn moved(&mut self, bytes: usize) {
        self.moved += bytes as u64;
        if let Some(since) = self.since.take() {
            self.waited += since.elapsed();
        }
    }

    /// Nothing moves just now. Whether patience has ended.
    pub(super) fn wait(&mut self, allowance: Duration, cx: &mut Context<'_>) -> bool {
        if self.since.is_none() {
            let now = Instant::now();
            let left = (allowance + Duration::from_secs(self.moved / DRIP)).saturating_sub(self.waited);
            self.since = Some(now);
            arm(&mut self.timer, now + left);
        }
        self.timer.as_mut().is_some_and(|timer| timer.as_mut().poll(cx).is_ready())
    }

    pub(super) fn reset(&mut self) {
        (self.since, self.waited, self.moved) = (None, Duration::ZERO, 0);
    }
}

/// Sets a timer, anew or for the first time.
pub(super) fn arm(timer: &mut Option<Pin<Box<Sleep>>>, deadline: Instant) {
    match timer {
        Some(timer) => timer.as_mut().reset(deadline.into()),
        None => *timer = Some(Box::pin(tokio::time::sleep_until(deadline.into()))),
    }
}
