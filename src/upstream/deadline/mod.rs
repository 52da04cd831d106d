//! What ends an attempt that takes too long.
//!
//! An attempt holds one [`Deadline`] from its connection on. Behind it a socket is shut down ([`socket`]), which ends whatever Pingora waits
//! for; nobody but this folder knows that.

pub mod socket;
pub mod timer;

use std::sync::Arc;
use std::time::{Duration, Instant};

use socket::{Lease, Watchdog};

/// What a deadline was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The response's head.
    FirstByte,
    /// The next part of the body.
    BetweenBytes,
    /// The whole attempt.
    Total,
    /// The next part of the client's upload, on a connection that no guard looks into (HTTP/2).
    Upload,
}

/// The deadlines of one attempt, until it is ended or dropped.
pub struct Deadline {
    watchdog: Arc<Watchdog>,
    lease: Option<Lease>,
}

impl Deadline {
    /// Those of an attempt on this connection, which may take until `total`.
    pub fn on_socket(watchdog: &Arc<Watchdog>, fd: i32, total: Option<Instant>) -> Self {
        Self { watchdog: watchdog.clone(), lease: watchdog.begin(fd, total) }
    }

    /// What pauses them while the client does not read.
    pub fn lease(&self) -> Option<Lease> {
        self.lease
    }

    /// The response's head may take so long from `now` on.
    pub fn first_byte(&self, allowance: Duration, now: Instant) {
        self.lease.inspect(|lease| self.watchdog.first_byte(*lease, allowance, now));
    }

    /// The next part of the body may take so long from `now` on.
    pub fn between_bytes(&self, allowance: Duration, now: Instant) {
        self.lease.inspect(|lease| self.watchdog.between_bytes(*lease, allowance, now));
    }

    /// The next part of the client's upload may take so long from `now` on.
    pub fn upload(&self, allowance: Duration, now: Instant) {
        self.lease.inspect(|lease| self.watchdog.upload(*lease, allowance, now));
    }

    /// The attempt is over; `Some` when it was ended for this reason.
    pub fn end(mut self) -> Option<Wait> {
        self.watchdog.end(self.lease.take()?)
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take() {
            self.watchdog.end(lease);
        }
    }
}
