//! How many of the files and sockets that the process may have open it has.

use std::fs;
use std::time::{Duration, Instant};

use super::Measured;

const FOLDER: &str = "/proc/self/fd";
/// How many times as long as a count took there is none, where it takes long: a hundredth of a processor's time at most is for counting.
const PAUSE: u32 = 100;

/// How many of so many descriptors are not for just anything: for operators, for probes, and for what is needed to serve who is there already,
/// as connections to upstreams.
pub(crate) fn reserve(most: u64) -> u64 {
    (most / 4).clamp(8, 512)
}

/// How many of so many clients' connections may come up to; beyond that they are turned away. What they share, and what is measured.
pub(crate) fn for_clients(most: u64) -> u64 {
    most.saturating_sub(reserve(most) / 4 * 3)
}

/// How many are in use, where the kernel says so without a list of them: from Linux 6.2 on the folder's size does.
pub(crate) fn in_use() -> Option<u64> {
    fs::metadata(FOLDER).ok().map(|folder| folder.len()).filter(|count| *count > 0)
}

/// What was counted.
#[derive(Default)]
pub(super) struct Descriptors {
    most: u64,
    /// Where each has to be looked at: how many there were, and until when that holds.
    counted: Option<(u64, Instant)>,
}

impl Descriptors {
    /// Looks how many there may be.
    pub(super) fn refresh(&mut self) {
        self.most = rlimit::Resource::NOFILE.get_soft().unwrap_or(0);
    }

    /// How many there are, of those up to which clients are let in: all that there may be are never reached while there are only clients.
    pub(super) fn used(&mut self, now: Instant) -> Option<Measured> {
        Some(Measured::Used { used: self.count(now)?, most: for_clients(self.most), of: "what the limit of open files leaves to clients" })
    }

    fn count(&mut self, now: Instant) -> Option<u64> {
        in_use().or_else(|| match self.counted {
            Some((count, until)) if now < until => Some(count),
            _ => self.list(),
        })
    }

    fn list(&mut self) -> Option<u64> {
        let began = Instant::now();
        // One of them is this very listing.
        let count = (fs::read_dir(FOLDER).ok()?.count() as u64).saturating_sub(1);
        let took = began.elapsed();
        self.counted = Some((count, began + took.saturating_mul(PAUSE).min(Duration::from_secs(60))));
        Some(count)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_counting_see_what_is_opened() {
        let (mut counts, mut lists) = (Descriptors::default(), Descriptors::default());
        let now = Instant::now();
        // Other tests of this process open and close some, too.
        const MANY: usize = 400;
        let before = (counts.count(now).expect("a count"), lists.list().expect("a list"));

        let files: Vec<_> = (0..MANY).map(|_| fs::File::open("/dev/null").expect("a file")).collect();
        let after = (counts.count(now + Duration::from_secs(61)).expect("a count"), lists.list().expect("a list"));

        assert!(after.0 > before.0 + 200 && after.1 > before.1 + 200, "{before:?} {after:?}");
        drop(files);
        let (count, until) = lists.counted.expect("it was counted");
        assert_eq!(count, after.1);
        assert!(until > now);
    }

    #[test]
    fn how_many_there_may_be_is_the_process_s_limit() {
        let mut descriptors = Descriptors::default();
        assert_eq!(descriptors.used(Instant::now()).map(Measured::value), Some(0.0), "nothing is known of a limit yet");

        descriptors.refresh();

        assert!(descriptors.used(Instant::now()).is_some_and(|used| used.value() > 0.0));
    }
}
