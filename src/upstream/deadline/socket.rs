//! Deadlines of upstream connections, kept without a timer, a lock or an allocation a request.
//!
//! Pingora has one read timeout, and it runs while the client pauses an upload, too. So the real deadlines stand in a table with a slot
//! for every file descriptor; a sweeper looks through it every now and then and shuts down the sockets whose time is up, which ends
//! whatever Pingora waits for. The owner takes its slot back before the connection is closed or pooled and learns what happened.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::Wait;

/// Slots of one segment of the table.
const SEGMENT: usize = 4096;
/// Segments: a million descriptors.
const SEGMENTS: usize = 256;

/// The table of deadlines.
pub struct Watchdog {
    start: Instant,
    segments: Box<[OnceLock<Box<[Slot; SEGMENT]>>; SEGMENTS]>,
    /// The sweeper's pace in milliseconds.
    pace: AtomicU64,
}

/// A descriptor's slot, held for one attempt. What an earlier holder still does to the slot has no effect: by the time that a failed attempt
/// learns of its failure its connection is closed, and the number may be another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    fd: i32,
    holder: u16,
}

impl Lease {
    /// As one number, for an atomic.
    pub fn to_bits(self) -> u64 {
        u64::from(self.holder) << 32 | u64::from(self.fd as u32)
    }

    /// The lease of these bits.
    pub fn from_bits(bits: u64) -> Self {
        Self { fd: bits as u32 as i32, holder: (bits >> 32) as u16 }
    }
}

/// A connection's deadlines. Each word has a time in milliseconds since the start, then sixteen bits that say whose it is, and, but for
/// `total`, two that say what it waits for; 0 is none.
#[derive(Default)]
struct Slot {
    holder: AtomicU16,
    wait: AtomicU64,
    total: AtomicU64,
    /// How long a wait is worth once it is resumed.
    resume: AtomicU64,
    /// Whether the socket was shut down, for whom and why.
    fired: AtomicU64,
}

const FIRST_BYTE: u64 = 1;
const BETWEEN_BYTES: u64 = 2;
const UPLOAD: u64 = 3;
/// Values of `fired` besides 0, above the holder's bits: claimed just now, and over (plus what it was for).
const CLAIMED: u64 = 1 << 16;
const FIRED: u64 = 2;

/// A word of `wait` or `resume`.
fn word(millis: u64, holder: u16, kind: u64) -> u64 {
    millis << 18 | u64::from(holder) << 2 | kind
}

/// Whose word of `wait` or `resume` this is.
fn holder_of(word: u64) -> u16 {
    (word >> 2) as u16
}

impl Slot {
    /// Keeps everyone else from shutting the socket down and from taking the slot, until `fired` is written again.
    fn claim(&self, from: impl Fn(u64) -> bool) -> bool {
        loop {
            let fired = self.fired.load(Ordering::Acquire);
            if fired == CLAIMED {
                std::hint::spin_loop();
            } else if !from(fired) {
                return false;
            } else if self.fired.compare_exchange_weak(fired, CLAIMED, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                return true;
            }
        }
    }
}

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
    pub fn begin(&self, fd: i32, total: Option<Instant>) -> Option<Lease> {
        let slot = self.slot(fd)?;
        slot.claim(|_| true);
        let holder = slot.holder.load(Ordering::Relaxed).wrapping_add(1);
        slot.holder.store(holder, Ordering::Relaxed);
        slot.wait.store(0, Ordering::Relaxed);
        slot.resume.store(0, Ordering::Relaxed);
        slot.total.store(total.map_or(0, |at| self.millis(at) << 16 | u64::from(holder)), Ordering::Relaxed);
        slot.fired.store(0, Ordering::Release);
        Some(Lease { fd, holder })
    }

    /// Waits for the response's head from `now` on.
    pub fn first_byte(&self, lease: Lease, allowance: Duration, now: Instant) {
        self.arm(lease, allowance, now, FIRST_BYTE);
    }

    /// Waits for the next part of the body from `now` on.
    pub fn between_bytes(&self, lease: Lease, allowance: Duration, now: Instant) {
        self.arm(lease, allowance, now, BETWEEN_BYTES);
    }

    /// Waits for the client's upload for as long as this from `now` on.
    pub fn upload(&self, lease: Lease, allowance: Duration, now: Instant) {
        self.arm(lease, allowance, now, UPLOAD);
    }

    fn held(&self, lease: Lease) -> Option<&Slot> {
        self.slot(lease.fd).filter(|slot| slot.holder.load(Ordering::Relaxed) == lease.holder)
    }

    fn arm(&self, lease: Lease, allowance: Duration, now: Instant, kind: u64) {
        let Some(slot) = self.held(lease) else { return };
        let allowance = (allowance.as_millis() as u64).max(1);
        slot.resume.store(word(allowance, lease.holder, kind), Ordering::Relaxed);
        slot.wait.store(word(self.millis(now) + allowance, lease.holder, kind), Ordering::Release);
    }

    /// The client is slow: the upstream's clock stands still.
    pub fn pause(&self, lease: Lease) {
        if let Some(slot) = self.held(lease) {
            take_back(&slot.wait, |word| holder_of(word) == lease.holder);
        }
    }

    /// The client reads again.
    pub fn resume(&self, lease: Lease) {
        if let Some(slot) = self.held(lease) {
            let resume = slot.resume.load(Ordering::Relaxed);
            if resume != 0 && holder_of(resume) == lease.holder {
                slot.wait.store(word(self.now() + (resume >> 18), lease.holder, resume & 3), Ordering::Release);
            }
        }
    }

    /// Gives the slot back. `Some` when the connection was shut down for this reason.
    pub fn end(&self, lease: Lease) -> Option<Wait> {
        let slot = self.slot(lease.fd)?;
        let mine = |word: u64| holder_of(word) == lease.holder;
        take_back(&slot.wait, mine);
        take_back(&slot.resume, mine);
        take_back(&slot.total, |word| word as u16 == lease.holder);
        loop {
            let fired = slot.fired.load(Ordering::Acquire);
            match fired {
                // A sweep, or the next holder, is at it this very moment: a shutdown must not hit the descriptor's next owner.
                CLAIMED => std::hint::spin_loop(),
                fired if fired == 0 || fired as u16 != lease.holder => return None,
                fired => {
                    if slot.fired.compare_exchange(fired, 0, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                        return Some(match (fired >> 16) - FIRED {
                            FIRST_BYTE => Wait::FirstByte,
                            BETWEEN_BYTES => Wait::BetweenBytes,
                            UPLOAD => Wait::Upload,
                            _ => Wait::Total,
                        });
                    }
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
                let (why, holder) = match (wait, total) {
                    (0, 0) => continue,
                    (_, total) if total != 0 && total >> 16 <= now => (0, total as u16),
                    (wait, _) if wait != 0 && wait >> 18 <= now => (wait & 3, holder_of(wait)),
                    _ => continue,
                };
                if !slot.claim(|fired| fired == 0) {
                    continue;
                }
                // Between the look and the claim the holder may have given the slot back, and the next one taken it.
                let still = slot.wait.load(Ordering::Acquire) == wait && slot.total.load(Ordering::Acquire) == total;
                if still {
                    shut_down((number * SEGMENT + index) as i32);
                    slot.wait.store(0, Ordering::Relaxed);
                    slot.total.store(0, Ordering::Relaxed);
                }
                slot.fired.store(if still { (FIRED + why) << 16 | u64::from(holder) } else { 0 }, Ordering::Release);
            }
        }
    }
}

/// Empties a word that is still the holder's.
fn take_back(word: &AtomicU64, is_mine: impl Fn(u64) -> bool) {
    let _ = word.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |word| (word != 0 && is_mine(word)).then_some(0));
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
        let lease_7 = watchdog.begin(7, None).expect("a slot");
        watchdog.first_byte(lease_7, Duration::from_secs(3600), Instant::now());
        let lease_5000 = watchdog.begin(5000, Some(Instant::now() - Duration::from_secs(1))).expect("a slot");
        watchdog.between_bytes(lease_5000, Duration::from_secs(3600), Instant::now());

        assert_eq!(swept(&watchdog), [5000]);
        assert_eq!(swept(&watchdog), [] as [i32; 0]);
        assert_eq!(watchdog.end(lease_5000), Some(Wait::Total));
        assert_eq!(watchdog.end(lease_7), None);
    }

    #[test]
    fn a_paused_wait_does_not_run_out_and_a_resumed_one_starts_anew() {
        let watchdog = Watchdog::default();
        let lease_3 = watchdog.begin(3, None).expect("a slot");
        watchdog.between_bytes(lease_3, Duration::ZERO, Instant::now());
        watchdog.pause(lease_3);
        std::thread::sleep(Duration::from_millis(5));
        assert!(swept(&watchdog).is_empty());

        watchdog.resume(lease_3);
        std::thread::sleep(Duration::from_millis(5));

        assert_eq!(swept(&watchdog), [3]);
        assert_eq!(watchdog.end(lease_3), Some(Wait::BetweenBytes));
    }

    #[test]
    fn a_slot_that_was_given_back_is_left_alone() {
        let watchdog = Watchdog::default();
        let lease_3 = watchdog.begin(3, Some(Instant::now())).expect("a slot");
        assert_eq!(watchdog.end(lease_3), None);
        std::thread::sleep(Duration::from_millis(5));

        assert!(swept(&watchdog).is_empty());
        assert_eq!(watchdog.begin(-1, None), None);
    }

    #[test]
    fn what_an_earlier_holder_does_late_has_no_effect() {
        let watchdog = Watchdog::default();
        let failed = watchdog.begin(3, Some(Instant::now() + Duration::from_secs(60))).expect("a slot");
        watchdog.first_byte(failed, Duration::from_secs(60), Instant::now());
        // Its connection is closed, and the number is another attempt's before the first one hears of it.
        let next = watchdog.begin(3, Some(Instant::now())).expect("a slot");
        watchdog.first_byte(next, Duration::ZERO, Instant::now());

        assert_eq!(watchdog.end(failed), None);
        watchdog.pause(failed);
        watchdog.resume(failed);
        watchdog.between_bytes(failed, Duration::from_secs(60), Instant::now());
        std::thread::sleep(Duration::from_millis(5));

        assert_eq!(swept(&watchdog), [3]);
        assert_eq!(watchdog.end(failed), None);
        assert_eq!(watchdog.end(next), Some(Wait::Total));
    }

    #[test]
    fn a_lease_is_its_bits() {
        let watchdog = Watchdog::default();
        for fd in [0, 7, 70_000] {
            let lease = watchdog.begin(fd, None).expect("a slot");
            assert_eq!(Lease::from_bits(lease.to_bits()), lease);
        }
    }
}
