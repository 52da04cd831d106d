//! Deadlines of upstream connections, kept without a timer, a lock or an allocation a request.
//!
//! Pingora has one read timeout, and it runs while the client pauses an upload, too. So the real deadlines stand in a table with a slot
//! for every file descriptor; a sweeper looks through it every now and then and shuts down the sockets whose time is up, which ends
//! whatever Pingora waits for. The owner takes its slot back before the connection is closed or pooled and learns what happened.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Slots of one segment of the table.
const SEGMENT: usize = 4096;
/// Segments: a million descriptors.
const SEGMENTS: usize = 256;

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

/// The table of deadlines.
pub struct Watchdog {
    start: Instant,
    segments: Box<[OnceLock<Box<[Slot; SEGMENT]>>; SEGMENTS]>,
    /// The sweeper's pace in milliseconds.
    pace: AtomicU64,
}

/// A connection's deadlines in milliseconds since the start; 0 is none. The two lowest bits of `wait` say what it waits for.
#[derive(Default)]
struct Slot {
    wait: AtomicU64,
    total: AtomicU64,
    /// How long a wait is worth once it is resumed.
    resume: AtomicU64,
    fired: AtomicU64,
}

const FIRST_BYTE: u64 = 1;
const BETWEEN_BYTES: u64 = 2;
const UPLOAD: u64 = 3;
/// Values of `fired` besides 0: being shut down just now, and over (plus what it was for).
const FIRING: u64 = 1;
const FIRED: u64 = 2;

impl Default for Watchdog {
    fn default() -> Self {
        Self { start: Instant::now(), segments: Box::new([const { OnceLock::new() }; SEGMENTS]), pace: AtomicU64::new(100) }
    }
}

impl Watchdog {
    /// Sweeps often enough for a deadline this short: late by a twentieth at most, between 5 and 250 ms.
    pub fn pace_for(&self, shortest: Duration) {
        let pace = (shortest.as_millis() as u64 / 20).clamp(5, 250);
        self.pace.store(pace, Ordering::Relaxed);
    }

    /// How long the sweeper rests.
    pub fn pace(&self) -> Duration {
        Duration::from_millis(self.pace.load(Ordering::Relaxed))
    }

    fn now(&self) -> u64 {
        self.millis(Instant::now())
    }

    fn millis(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.start).as_millis() as u64 + 1
    }

    fn slot(&self, fd: i32) -> Option<&Slot> {
        let index = usize::try_from(fd).ok()?;
        let segment = self.segments.get(index / SEGMENT)?.get_or_init(|| Box::new(std::array::from_fn(|_| Slot::default())));
        Some(&segment[index % SEGMENT])
    }

    /// Takes the descriptor's slot for a new attempt, with the attempt's deadline if it has one.
    pub fn begin(&self, fd: i32, total: Option<Instant>) {
        let Some(slot) = self.slot(fd) else { return };
        let deadline = total.map_or(0, |at| self.millis(at));
        slot.fired.store(0, Ordering::Relaxed);
        slot.wait.store(0, Ordering::Relaxed);
        slot.total.store(deadline, Ordering::Release);
    }

    /// Waits for the response's head from `now` on.
    pub fn first_byte(&self, fd: i32, allowance: Duration, now: Instant) {
        self.arm(fd, allowance, now, FIRST_BYTE);
    }

    /// Waits for the next part of the body from `now` on.
    pub fn between_bytes(&self, fd: i32, allowance: Duration, now: Instant) {
        self.arm(fd, allowance, now, BETWEEN_BYTES);
    }

    /// Waits for the client's upload for as long as this from `now` on.
    pub fn upload(&self, fd: i32, allowance: Duration, now: Instant) {
        self.arm(fd, allowance, now, UPLOAD);
    }

    fn arm(&self, fd: i32, allowance: Duration, now: Instant, kind: u64) {
        let Some(slot) = self.slot(fd) else { return };
        let allowance = (allowance.as_millis() as u64).max(1);
        slot.resume.store(allowance << 2 | kind, Ordering::Relaxed);
        slot.wait.store((self.millis(now) + allowance) << 2 | kind, Ordering::Release);
    }

    /// The client is slow: the upstream's clock stands still.
    pub fn pause(&self, fd: i32) {
        if let Some(slot) = self.slot(fd) {
            slot.wait.store(0, Ordering::Release);
        }
    }

    /// The client reads again.
    pub fn resume(&self, fd: i32) {
        if let Some(slot) = self.slot(fd) {
            let resume = slot.resume.load(Ordering::Relaxed);
            if resume != 0 {
                slot.wait.store((self.now() + (resume >> 2)) << 2 | (resume & 3), Ordering::Release);
            }
        }
    }

    /// Gives the slot back. `Some` when the connection was shut down for this reason.
    pub fn end(&self, fd: i32) -> Option<Wait> {
        let slot = self.slot(fd)?;
        slot.wait.store(0, Ordering::Release);
        slot.total.store(0, Ordering::Release);
        slot.resume.store(0, Ordering::Relaxed);
        loop {
            match slot.fired.load(Ordering::Acquire) {
                0 => return None,
                // The sweeper is at it this very moment: its shutdown must not hit the descriptor's next owner.
                FIRING => std::hint::spin_loop(),
                fired => {
                    slot.fired.store(0, Ordering::Release);
                    return Some(match fired - FIRED {
                        FIRST_BYTE => Wait::FirstByte,
                        BETWEEN_BYTES => Wait::BetweenBytes,
                        UPLOAD => Wait::Upload,
                        _ => Wait::Total,
                    });
                }
            }
        }
    }

    /// One sweep: shuts down every connection whose time is up with `shut_down`.
    pub fn sweep(&self, mut shut_down: impl FnMut(i32)) {
        let now = self.now();
        for (number, segment) in self.segments.iter().enumerate() {
            let Some(segment) = segment.get() else { continue };
            for (index, slot) in segment.iter().enumerate() {
                let (wait, total) = (slot.wait.load(Ordering::Acquire), slot.total.load(Ordering::Acquire));
                let why = match (wait, total) {
                    (0, 0) => continue,
                    (_, total) if total != 0 && total <= now => 0,
                    (wait, _) if wait != 0 && wait >> 2 <= now => wait & 3,
                    _ => continue,
                };
                if slot.fired.compare_exchange(0, FIRING, Ordering::AcqRel, Ordering::Relaxed).is_err() {
                    continue;
                }
                // Between the look and the claim the owner may have taken the slot back.
                let still = slot.wait.load(Ordering::Acquire) == wait && slot.total.load(Ordering::Acquire) == total;
                if still {
                    shut_down((number * SEGMENT + index) as i32);
                    slot.wait.store(0, Ordering::Relaxed);
                    slot.total.store(0, Ordering::Relaxed);
                }
                slot.fired.store(if still { FIRED + why } else { 0 }, Ordering::Release);
            }
        }
    }
}

/// Ends a socket in both directions; its owner sees the end of the stream.
#[allow(unsafe_code, reason = "the descriptor's number is all that Pingora gives out")]
pub fn shut_down(fd: i32) {
    // SAFETY: shutdown(2) touches no memory. The descriptor is the upstream connection's: its owner takes the slot back, and waits for a
    // sweep in progress, before the connection is closed or pooled.
    unsafe {
        libc::shutdown(fd, libc::SHUT_RDWR);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn swept(watchdog: &Watchdog) -> Vec<i32> {
        let mut hit = Vec::new();
        watchdog.sweep(|fd| hit.push(fd));
        hit
    }

    #[test]
    fn shuts_down_what_is_late_and_says_why() {
        let watchdog = Watchdog { start: Instant::now() - Duration::from_secs(60), ..Watchdog::default() };
        watchdog.begin(7, None);
        watchdog.first_byte(7, Duration::from_secs(3600), Instant::now());
        watchdog.begin(5000, Some(Instant::now() - Duration::from_secs(1)));
        watchdog.between_bytes(5000, Duration::from_secs(3600), Instant::now());

        assert_eq!(swept(&watchdog), [5000]);
        assert_eq!(swept(&watchdog), [] as [i32; 0]);
        assert_eq!(watchdog.end(5000), Some(Wait::Total));
        assert_eq!(watchdog.end(7), None);
    }

    #[test]
    fn a_paused_wait_does_not_run_out_and_a_resumed_one_starts_anew() {
        let watchdog = Watchdog::default();
        watchdog.begin(3, None);
        watchdog.between_bytes(3, Duration::ZERO, Instant::now());
        watchdog.pause(3);
        std::thread::sleep(Duration::from_millis(5));
        assert!(swept(&watchdog).is_empty());

        watchdog.resume(3);
        std::thread::sleep(Duration::from_millis(5));

        assert_eq!(swept(&watchdog), [3]);
        assert_eq!(watchdog.end(3), Some(Wait::BetweenBytes));
    }

    #[test]
    fn a_slot_that_was_given_back_is_left_alone() {
        let watchdog = Watchdog::default();
        watchdog.begin(3, Some(Instant::now()));
        assert_eq!(watchdog.end(3), None);
        std::thread::sleep(Duration::from_millis(5));

        assert!(swept(&watchdog).is_empty());
        assert_eq!(watchdog.end(-1), None);
    }
}
