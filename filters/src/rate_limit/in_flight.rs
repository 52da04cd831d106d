//! How many requests of a key are on their way.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hasher};

use parking_lot::Mutex;

/// Locks; each is held for one look-up.
const SHARDS: usize = 64;

/// Keys that a shard has room for from the start: small tables would lie side by side in one cache line, whatever their shards do.
const ROOM: usize = 28;

type Counts = HashMap<u64, u32, BuildHasherDefault<Hashed>>;

/// Apart from its neighbours: threads at two of them do not wait for each other's cache line.
#[repr(align(128))]
struct Shard(Mutex<Counts>);

/// The requests in flight, by key. There are never more keys than requests.
pub struct InFlight {
    most: u32,
    shards: Box<[Shard]>,
}

impl InFlight {
    /// Nothing is in flight; of one key at most `most` may be.
    pub fn new(most: u32) -> Self {
        let shard = || Shard(Mutex::new(HashMap::with_capacity_and_hasher(ROOM, BuildHasherDefault::default())));
        Self { most, shards: (0..SHARDS).map(|_| shard()).collect() }
    }

    /// Takes a place for one more, unless all are taken. Whoever got one gives it back with [`InFlight::leave`].
    #[must_use]
    pub fn enter(&self, key: u64) -> bool {
        let mut counts = self.shard(key).lock();
        let count = counts.entry(key).or_insert(0);
        let free = *count < self.most;
        *count += u32::from(free);
        free
    }

    /// Gives a place back.
    pub fn leave(&self, key: u64) {
        if let Entry::Occupied(mut entry) = self.shard(key).lock().entry(key) {
            match entry.get() {
                0 | 1 => drop(entry.remove()),
                _ => *entry.get_mut() -= 1,
            }
        }
    }

    /// Whether there is a place for one more.
    pub fn has_room(&self, key: u64) -> bool {
        self.count(key) < self.most
    }

    /// How many requests of this key are on their way.
    pub fn count(&self, key: u64) -> u32 {
        self.shard(key).lock().get(&key).copied().unwrap_or(0)
    }

    fn shard(&self, key: u64) -> &Mutex<Counts> {
        &self.shards[(key % SHARDS as u64) as usize].0
    }
}

/// Keys are hashes under a secret already; the map's own is taken from their other end.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are written as one number")
    }
    fn write_u64(&mut self, key: u64) {
        self.0 = key.rotate_right(6);
    }
    fn finish(&self) -> u64 {
        self.0
    }
}
