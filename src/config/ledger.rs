//! Which files beside its own a configuration is made of, keys, secrets and certificates, and what was in them when they were read: where one
//! of them changes, the same text is another configuration.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use frontgate_filters::words::fnv;
use parking_lot::Mutex;

use crate::files;

/// The files that were read, by their paths.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    read_at_a_reload: Mutex<BTreeMap<PathBuf, Option<u64>>>,
    read_by_themselves: Mutex<BTreeMap<PathBuf, Option<u64>>>,
}

impl Ledger {
    /// Reads a small file that counts as it was when the configuration came into force, such as a key.
    pub(crate) fn read(&self, path: &Path) -> Result<Vec<u8>, String> {
        note(&self.read_at_a_reload, path)
    }

    /// Reads a small file that is followed as it changes while the configuration is in force, such as a certificate.
    pub(crate) fn read_followed(&self, path: &Path) -> Result<Vec<u8>, String> {
        note(&self.read_by_themselves, path)
    }

    /// The files in which a change is another configuration: what each held when it was read last, as [`contents`] has it; nothing where it
    /// could not be read.
    pub(crate) fn files(&self) -> BTreeMap<PathBuf, Option<u64>> {
        self.read_at_a_reload.lock().clone()
    }

    /// All of them: those in which a change may mend a configuration that was refused.
    pub(crate) fn all(&self) -> BTreeMap<PathBuf, Option<u64>> {
        let mut all = self.read_by_themselves.lock().clone();
        all.extend(self.files());
        all
    }
}

fn note(files: &Mutex<BTreeMap<PathBuf, Option<u64>>>, path: &Path) -> Result<Vec<u8>, String> {
    let read = files::read(path, files::SMALL);
    files.lock().insert(path.to_owned(), read.as_ref().ok().map(|bytes| contents(bytes)));
    read
}

/// Tells contents from others. For this process alone: what is derived from a secret is neither shown nor kept.
pub(crate) fn contents(bytes: &[u8]) -> u64 {
    fnv::fnv1a(fnv::fnv1a(fnv::BASIS, &bytes.len().to_le_bytes()), bytes)
}
