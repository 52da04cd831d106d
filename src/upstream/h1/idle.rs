//! Idle connections to upstreams: each worker thread has its own, so that taking one waits for nobody.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::time::{Duration, Instant};

use super::{Connection, give_back};

/// How many idle connections a thread keeps in all.
const MOST: usize = 4096;

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
    #[allow(clippy::vec_box, reason = "they come and go as boxes: what is moved is a pointer")]
    connections: Vec<Box<Connection>>,
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
        if idle.number >= MOST {
            return;
        }
        idle.number += 1;
        let kept = idle.of.entry(endpoint).or_insert_with(|| Kept { connections: Vec::new(), patience });
        kept.patience = patience;
        kept.connections.push(connection);
    });
}

/// Closes what has been idle for too long, and what upstreams have closed; to be called about once a second on each thread.
pub(crate) fn sweep(now: Instant) {
    IDLE.with_borrow_mut(|idle| {
        let Idle { of, number } = idle;
        of.retain(|_, kept| {
            let before = kept.connections.len();
            let patience = kept.patience;
            kept.connections.retain_mut(|connection| {
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
