//! Which files beside its own a configuration is made of, keys and secrets, and what was in them when they were read: where one of them
//! changes, the same text is another configuration.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use frontgate_filters::words::fnv;
use parking_lot::Mutex;

use crate::files;

/// The files that were read, by their paths.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<BTreeMap<PathBuf, Option<u64>>>);

impl Ledger {
    /// Reads a small file, and remembers that it was.
    pub(crate) fn read(&self, path: &Path) -> Result<Vec<u8>, String> {
        let read = files::read(path, files::SMALL);
        self.0.lock().insert(path.to_owned(), read.as_ref().ok().map(|bytes| contents(bytes)));
        read
    }

    /// What each file held when it was read last, as [`contents`] has it; nothing where it could not be read.
    pub(crate) fn files(&self) -> BTreeMap<PathBuf, Option<u64>> {
        self.0.lock().clone()
    }
}

/// Tells contents from others. For this process alone: what is derived from a secret is neither shown nor kept.
pub(crate) fn contents(bytes: &[u8]) -> u64 {
    fnv::fnv1a(fnv::fnv1a(fnv::BASIS, &bytes.len().to_le_bytes()), bytes)
}
