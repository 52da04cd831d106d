//! The time that limits, circuits and deadlines go by: the system's monotonic clock, which somebody who tries a configuration out may put
//! forward in place of waiting.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How far it is ahead of the system's, in nanoseconds: 0 in every process that serves.
static AHEAD: AtomicU64 = AtomicU64::new(0);

/// What time it is.
#[inline]
pub fn now() -> Instant {
    match AHEAD.load(Ordering::Relaxed) {
        0 => Instant::now(),
        ahead => Instant::now() + Duration::from_nanos(ahead),
    }
}

/// Puts it forward by this much, for all of the process: nobody who serves may do so.
pub fn put_forward(by: Duration) {
    AHEAD.fetch_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX / 4), Ordering::Relaxed);
}
