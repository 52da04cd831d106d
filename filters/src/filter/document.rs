//! Documents that are kept elsewhere and change while the gateway runs, such as key sets. The gateway fetches them; a filter only reads.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;

use super::BoxFuture;

/// A document as it was last had.
#[derive(Debug)]
pub struct Document {
    bytes: Bytes,
    generation: u64,
}

impl Document {
    /// These bytes, under a generation that no other document of this process has.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self { bytes: bytes.into(), generation: generation() }
    }

    /// What it says.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Changes when the bytes do: what was read from them is good for as long as it stays.
    pub fn generation(&self) -> u64 {
        self.generation
    }
}

/// A number that this gives only once; never 0.
pub fn generation() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// What a document is to be, and how fresh.
#[derive(Clone, Copy)]
pub struct Wanted {
    /// What the log calls it, as in `key set`.
    pub what: &'static str,
    /// The media types that are asked for, as `Accept` has them.
    pub accept: &'static str,
    /// How often it is fetched.
    pub refresh: Duration,
    /// For how much longer than `refresh` the last good one serves while it cannot be fetched.
    pub stale_for: Duration,
    /// Says why a document cannot be used. Then it counts as not fetched, and the last good one stays.
    pub check: fn(&[u8]) -> Result<(), String>,
}

/// A document that is kept fresh for as long as somebody holds this.
pub trait RemoteDocument: Send + Sync {
    /// The document in force; none while it never could be had, or not for longer than it may be stale.
    fn current(&self) -> Option<Arc<Document>>;
    /// The generation of the document in force; 0 where there is none. Cheaper than [`RemoteDocument::current`], which counts a reference
    /// that all threads share: for every request.
    fn generation(&self) -> u64 {
        self.current().map_or(0, |document| document.generation())
    }
    /// Asks for another document than the one of generation `seen` (0: none), where that is due: at once where it is there already, else
    /// waits for a fetch that is on its way, else begins one, unless the last one of this kind was a moment ago. Its end, however it ends,
    /// is within a bounded time.
    fn refresh(&self, seen: u64) -> BoxFuture<'static, ()>;
    /// How long ago the document was last known to be what is there.
    fn age(&self) -> Option<Duration>;
}

/// The document of a gateway that fetches nothing.
pub struct NoDocument;

impl RemoteDocument for NoDocument {
    fn current(&self) -> Option<Arc<Document>> {
        None
    }
    fn refresh(&self, _: u64) -> BoxFuture<'static, ()> {
        Box::pin(ready(()))
    }
    fn age(&self) -> Option<Duration> {
        None
    }
}
