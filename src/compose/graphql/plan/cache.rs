//! Plans that are kept: so many, and so many bytes of them; those that nobody has asked for longest go.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

use super::document::Prepared;

/// The most documents.
const MOST: usize = 1_000;
/// The most bytes of all, about.
const MOST_BYTES: usize = 20 << 20;
/// How many of those that nobody asked for longest go at once: so that not each newcomer looks at all.
const AT_ONCE: usize = 32;
/// All are counted anew now and then: a document may get more plans later.
const COUNTED: u64 = 64;

/// What was made of documents, by their texts and the operation that was meant. Who finds something waits for nobody who finds something, too.
#[derive(Default)]
pub(in super::super) struct Cache {
    kept: RwLock<Kept>,
    clock: AtomicU64,
}

#[derive(Default)]
struct Kept {
    /// What was made of a text, for each operation that was meant.
    by_text: HashMap<Box<str>, Vec<Entry>>,
    count: usize,
    /// Bytes of all, as they were when each came, or when all were last counted.
    bytes: usize,
}

struct Entry {
    operation: Option<Box<str>>,
    prepared: Arc<Prepared>,
    used: AtomicU64,
}

impl Cache {
    /// What was made of this document for this operation.
    pub(in super::super) fn get(&self, text: &str, operation: Option<&str>) -> Option<Arc<Prepared>> {
        let kept = self.kept.read();
        let entry = kept.by_text.get(text)?.iter().find(|entry| entry.operation.as_deref() == operation)?;
        entry.used.store(self.tick(), Ordering::Relaxed);
        Some(entry.prepared.clone())
    }

    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Keeps what was made of a document.
    pub(in super::super) fn put(&self, text: &str, operation: Option<&str>, prepared: &Arc<Prepared>) {
        let now = self.tick();
        let entry = Entry { operation: operation.map(Into::into), prepared: prepared.clone(), used: AtomicU64::new(now) };
        let mut kept = self.kept.write();
        let of_text = kept.by_text.entry(text.into()).or_default();
        if of_text.iter().any(|entry| entry.operation.as_deref() == operation) {
            return;
        }
        of_text.push(entry);
        kept.count += 1;
        kept.bytes += text.len() + prepared.bytes();
        if now.is_multiple_of(COUNTED) {
            kept.bytes = kept.counted();
        }
        kept.make_room();
    }

    /// How many there are, and how many bytes they take, about.
    #[cfg(test)]
    pub(in super::super) fn told(&self) -> (usize, usize) {
        let kept = self.kept.read();
        (kept.count, kept.counted())
    }
}

impl Kept {
    fn counted(&self) -> usize {
        self.by_text.iter().flat_map(|(text, all)| all.iter().map(move |entry| text.len() + entry.prepared.bytes())).sum()
    }

    fn make_room(&mut self) {
        if self.count <= MOST && self.bytes <= MOST_BYTES {
            return;
        }
        let mut bytes = self.counted();
        let mut oldest: Vec<(u64, usize)> = Vec::with_capacity(self.count);
        for (text, all) in &self.by_text {
            oldest.extend(all.iter().map(|entry| (entry.used.load(Ordering::Relaxed), text.len() + entry.prepared.bytes())));
        }
        oldest.sort_unstable();
        // The newest one stays in any case.
        oldest.pop();
        let (mut count, mut gone) = (self.count, None);
        for (index, (used, weight)) in oldest.into_iter().enumerate() {
            if count <= MOST && bytes <= MOST_BYTES && index >= AT_ONCE {
                break;
            }
            count -= 1;
            bytes -= weight.min(bytes);
            gone = Some(used);
        }
        let Some(gone) = gone else { return };
        self.by_text.retain(|_, all| {
            all.retain(|entry| entry.used.load(Ordering::Relaxed) > gone);
            !all.is_empty()
        });
        self.count = self.by_text.values().map(Vec::len).sum();
        self.bytes = self.counted();
    }
}
