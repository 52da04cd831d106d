//! Idle connections to upstreams: each worker thread has its own, so that taking one waits for nobody.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use super::{Connection, give_back};

/// How many idle connections all threads keep together, however many descriptors there are.
const MOST: usize = 65_536;
/// A thread may keep so many whatever the others do.
const FEW: usize = 64;
/// How many endpoints lose theirs at once where descriptors run short.
const SHED: usize = 32;
/// How many idle connections each thread keeps.
static EACH: AtomicUsize = AtomicUsize::new(4096);

/// Bounds the idle connections of so many threads in a process that may have so many descriptors: half of those may be idle connections, so
/// that each of some thousands of endpoints keeps its own.
pub(crate) fn share_out(descriptors: u64, threads: usize) {
    EACH.store(each(descriptors, threads), Ordering::Relaxed);
}

fn each(descriptors: u64, threads: usize) -> usize {
    let all = usize::try_from(descriptors / 2).unwrap_or(MOST).min(MOST);
    (all / threads.max(1)).max(FEW)
}

/// Names are numbers that are given out one after the other: they need no hashing.
#[derive(Default)]
pub(crate) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0 << 8 | u64::from(*byte));
    }
    fn write_u64(&mut self, number: u64) {
        self.0 = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

#[derive(Default)]
struct Idle {
    /// By the endpoint's name: the one that was used last is at the end.
    of: HashMap<u64, Kept, BuildHasherDefault<AsItIs>>,
    number: usize,
}

struct Kept {
    /// Mostly one or two, which need no room elsewhere.
    connections: SmallVec<[Box<Connection>; 2]>,
    /// How long they are kept.
    patience: Duration,
}

thread_local! {
    static IDLE: RefCell<Idle> = RefCell::default();
}

/// An idle connection to this endpoint: the one that was used last, none that the upstream has closed.
pub(crate) fn idle(endpoint: u64) -> Option<Box<Connection>> {
    IDLE.with_borrow_mut(|idle| {
        let kept = idle.of.get_mut(&endpoint)?;
        while let Some(mut connection) = kept.connections.pop() {
            idle.number -= 1;
            if !connection.is_stale() {
                return Some(connection);
            }
        }
        None
    })
}

/// Keeps a connection for the endpoint's next request, for as long as this, if it can serve another.
pub(crate) fn put_back(endpoint: u64, mut connection: Box<Connection>, patience: Duration) {
    if !connection.is_clean() || patience.is_zero() {
        return;
    }
    give_back(&mut connection.input);
    give_back(&mut connection.output);
    connection.idle_since = Instant::now();
    connection.reused = true;
    IDLE.with_borrow_mut(|idle| {
        if idle.number >= EACH.load(Ordering::Relaxed) {
            return;
        }
        idle.number += 1;
        let kept = idle.of.entry(endpoint).or_insert_with(|| Kept { connections: SmallVec::new(), patience });
        kept.patience = patience;
        kept.connections.push(connection);
    });
}

/// Closes some of this thread's idle connections, where descriptors run short: how many.
pub(crate) fn shed() -> usize {
    IDLE.with_borrow_mut(|idle| {
        let kept = idle.of.iter().filter(|(_, kept)| !kept.connections.is_empty());
        let some: Vec<u64> = kept.map(|(endpoint, _)| *endpoint).take(SHED).collect();
        let before = idle.number;
        for endpoint in some {
            let Some(mut kept) = idle.of.remove(&endpoint) else { continue };
            idle.number -= kept.connections.len();
            kept.connections.iter_mut().for_each(|connection| connection.io.say_goodbye());
        }
        before - idle.number
    })
}

/// Closes what has been idle for too long, and what upstreams have closed; to be called about once a second on each thread.
pub(crate) fn sweep(now: Instant) {
    IDLE.with_borrow_mut(|idle| {
        let Idle { of, number } = idle;
        of.retain(|_, kept| {
            let before = kept.connections.len();
            let patience = kept.patience;
            kept.connections.retain(|connection| {
                let stays = now.saturating_duration_since(connection.idle_since) < patience && !connection.is_stale();
                if !stays {
                    connection.io.say_goodbye();
                }
                stays
            });
            *number -= before - kept.connections.len();
            !kept.connections.is_empty()
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_descriptors_are_shared_out_among_the_threads() {
        assert_eq!(each(20_000, 1), 10_000);
        assert_eq!(each(20_000, 4), 2500);
        assert_eq!(each(256, 64), FEW);
        assert_eq!(each(u64::MAX, 2), MOST / 2);
    }
}
