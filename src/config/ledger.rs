//! Which files beside its own a configuration is made of, keys, secrets and certificates, and what was in them when they were read: where one
//! of them changes, the same text is another configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use frontgate_filters::words::fnv;
use frontgate_filters::words::spanned::Place;
use parking_lot::Mutex;

use crate::files;

/// The files that were read, by their paths.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    read_at_a_reload: Mutex<BTreeMap<PathBuf, Noted>>,
    read_by_themselves: Mutex<BTreeMap<PathBuf, Noted>>,
}

/// A file that was read.
#[derive(Clone, Debug, Default)]
struct Noted {
    /// What it held, as [`contents`] has it; nothing where it could not be read.
    held: Option<u64>,
    /// The same of the secret in it, where it was read for one: a line break more is none.
    secret: Option<u64>,
    /// The values that name it.
    named_by: BTreeSet<u32>,
}

/// A file that holds something else than it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rotated {
    /// Its path.
    pub path: PathBuf,
    /// Whether it is read for a secret.
    pub is_secret: bool,
    /// The values that name it.
    pub named_by: Vec<u32>,
}

impl Ledger {
    /// Reads a small file that counts as it was when the configuration came into force, such as a key.
    pub(crate) fn read(&self, place: Place, path: &Path) -> Result<Vec<u8>, String> {
        let read = files::read(path, files::SMALL);
        let mut files = self.read_at_a_reload.lock();
        let held = held(&read);
        // Where it is exchanged between two looks, the first one counts: then whoever compares finds another one now, and reads all of it again.
        files.entry(path.to_owned()).or_insert_with(|| Noted { held, ..Noted::default() }).named_by.insert(place.0);
        read
    }

    /// The secret in a file that was read is this.
    pub(crate) fn holds_secret(&self, path: &Path, secret: &str) {
        if let Some(noted) = self.read_at_a_reload.lock().get_mut(path) {
            noted.secret.get_or_insert_with(|| contents(secret.as_bytes()));
        }
    }

    /// Reads a small file that is followed as it changes while the configuration is in force, such as a certificate.
    pub(crate) fn read_followed(&self, place: Place, path: &Path) -> Result<Vec<u8>, String> {
        let read = files::read(path, files::SMALL);
        let mut files = self.read_by_themselves.lock();
        let noted = files.entry(path.to_owned()).or_default();
        noted.held = held(&read);
        noted.named_by.insert(place.0);
        read
    }

    /// The files in which a change is another configuration: what each held when it was read, as [`contents`] has it; nothing where it could
    /// not be read.
    pub(crate) fn files(&self) -> BTreeMap<PathBuf, Option<u64>> {
        helds(&self.read_at_a_reload)
    }

    /// All of them: those in which a change may mend a configuration that was refused.
    pub(crate) fn all(&self) -> BTreeMap<PathBuf, Option<u64>> {
        let mut all = helds(&self.read_by_themselves);
        all.extend(self.files());
        all
    }

    /// The files that were read for both and hold something else than for the one before, by their paths.
    pub(crate) fn rotated(&self, before: &Self) -> Vec<Rotated> {
        let both = [(&self.read_at_a_reload, &before.read_at_a_reload), (&self.read_by_themselves, &before.read_by_themselves)];
        let mut rotated = Vec::new();
        for (now, before) in both {
            // One after the other: it may be the same ledger.
            let before = before.lock().clone();
            for (path, now) in &*now.lock() {
                let Some(before) = before.get(path) else { continue };
                let is_same = match (now.secret, before.secret) {
                    (Some(now), Some(before)) => now == before,
                    _ => now.held == before.held,
                };
                if !is_same {
                    let named_by = now.named_by.iter().copied().collect();
                    rotated.push(Rotated { path: path.clone(), is_secret: now.secret.is_some(), named_by });
                }
            }
        }
        rotated
    }
}

fn helds(files: &Mutex<BTreeMap<PathBuf, Noted>>) -> BTreeMap<PathBuf, Option<u64>> {
    files.lock().iter().map(|(path, noted)| (path.clone(), noted.held)).collect()
}

fn held(read: &Result<Vec<u8>, String>) -> Option<u64> {
    read.as_ref().ok().map(|bytes| contents(bytes))
}

/// Tells contents from others. For this process alone: what is derived from a secret is neither shown nor kept.
pub(crate) fn contents(bytes: &[u8]) -> u64 {
    fnv::fnv1a(fnv::fnv1a(fnv::BASIS, &bytes.len().to_le_bytes()), bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_exchanged_while_it_is_read_for_several_counts_as_it_was_first() {
        let folder = std::env::temp_dir().join(format!("frontgate-ledger-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("a.key");
        let (before, after) = (Ledger::default(), Ledger::default());

        for (text, value) in [("one\n", "one"), ("two\n", "two")] {
            std::fs::write(&path, text).expect("written");
            before.read(Place(1), &path).expect("read");
            before.holds_secret(&path, value);
        }
        std::fs::write(&path, "one").expect("written");
        after.read(Place(7), &path).expect("read");
        after.holds_secret(&path, "one");

        assert_eq!(before.files().values().copied().collect::<Vec<_>>(), [Some(contents(b"one\n"))]);
        assert_eq!(after.rotated(&before), [], "a line break is no other secret");
        std::fs::write(&path, "three").expect("written");
        let last = Ledger::default();
        last.read(Place(7), &path).expect("read");
        last.holds_secret(&path, "three");
        assert_eq!(last.rotated(&after), [Rotated { path, is_secret: true, named_by: vec![7] }]);
        assert_eq!((last.rotated(&last), last.rotated(&Ledger::default())), (Vec::new(), Vec::new()));
        std::fs::remove_dir_all(&folder).expect("removed");
    }
}
