//! The time that limits, circuits and deadlines go by: the system's monotonic clock, which somebody who tries a configuration out may take over:
//! then it stands still but for what it is put forward by.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How far it was put forward since it stands still, in nanoseconds: 0 in every process that serves.
static AHEAD: AtomicU64 = AtomicU64::new(0);

/// Since when it stands still.
static STANDS: OnceLock<Instant> = OnceLock::new();

/// What time it is.
#[inline]
pub fn now() -> Instant {
    match AHEAD.load(Ordering::Relaxed) {
        0 => Instant::now(),
        ahead => *STANDS.get_or_init(Instant::now) + Duration::from_nanos(ahead),
    }
}

/// Puts it forward by this much, for all of the process, and lets it stand still otherwise: nobody who serves may do so.
pub fn put_forward(by: Duration) {
    STANDS.get_or_init(Instant::now);
    AHEAD.fetch_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX / 4).max(1), Ordering::Relaxed);
}
