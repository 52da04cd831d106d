//! What the files of a configuration held when they were looked at last: contents, never times.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::config::diagnostics::Diagnostics;
use crate::config::ledger::{Ledger, contents};
use crate::config::{Loaded, Source};
use crate::files;

/// A configuration's files, and the keys and secrets beside them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// The configuration's own, by name; why they cannot be had where that is so.
    own: Result<BTreeMap<String, u64>, String>,
    /// The others, by path; nothing in place of one that cannot be read.
    beside: BTreeMap<PathBuf, Option<u64>>,
}

impl Seen {
    /// What there is now: the configuration's own files as they were read, and what is in the others.
    pub(super) fn now(texts: &Result<Vec<Source>, Diagnostics>, others: impl IntoIterator<Item = PathBuf>) -> Self {
        Self { own: own(texts), beside: looked_at(others) }
    }

    /// What was read for a configuration.
    pub(super) fn of(loaded: &Loaded) -> Self {
        Self { own: Ok(hashes(loaded.sources())), beside: loaded.ledger().files() }
    }

    /// The same files beside other ones of the configuration's own.
    pub(super) fn with(self, texts: &Result<Vec<Source>, Diagnostics>) -> Self {
        Self { own: own(texts), ..self }
    }

    /// Besides these, all that were read for a configuration that was refused.
    pub(super) fn and(mut self, ledger: Option<&Ledger>) -> Self {
        self.beside.extend(ledger.into_iter().flat_map(Ledger::all));
        self
    }

    /// The same files of the configuration's own, and what is in the others by now.
    pub(super) fn again(&self) -> Self {
        Self { own: self.own.clone(), beside: looked_at(self.others()) }
    }

    /// Besides these, the keys and secrets of that one.
    pub(super) fn beside(mut self, other: Self) -> Self {
        self.beside.extend(other.beside);
        self
    }

    /// Whether the configuration's own files are the same.
    pub(super) fn has_same_texts(&self, other: &Self) -> bool {
        self.own == other.own
    }

    /// Whether the keys and secrets are the same.
    pub(super) fn has_same_beside(&self, other: &Self) -> bool {
        self.beside == other.beside
    }

    /// The keys and secrets.
    pub(super) fn others(&self) -> impl Iterator<Item = PathBuf> {
        self.beside.keys().cloned().collect::<Vec<_>>().into_iter()
    }

    /// The configuration's own files.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.own.iter().flat_map(BTreeMap::keys).map(String::as_str)
    }

    /// Whether there is no configuration at all.
    pub(super) fn is_lost(&self) -> bool {
        self.own.is_err()
    }

    /// Whether something is not there that was before: it may come back at once.
    pub(super) fn lacks(&self, before: &Self) -> bool {
        let own = match (&self.own, &before.own) {
            (Ok(now), Ok(before)) => before.keys().any(|name| !now.contains_key(name)),
            (Err(_), Ok(_)) => true,
            (_, Err(_)) => false,
        };
        own || before.beside.iter().any(|(path, held)| held.is_some() && self.beside.get(path).is_some_and(Option::is_none))
    }

    /// What is not as before, an entry a file.
    pub(super) fn changes(&self, before: &Self) -> Vec<String> {
        let nothing = BTreeMap::new();
        let mut changes = Vec::new();
        if self.own.is_err() && self.own != before.own {
            changes.push("the configuration cannot be read".to_owned());
        } else {
            let (now, before) = (self.own.as_ref().unwrap_or(&nothing), before.own.as_ref().unwrap_or(&nothing));
            for (name, held) in now {
                match before.get(name) {
                    None => changes.push(format!("`{name}` is new")),
                    Some(before) if before != held => changes.push(format!("`{name}` has changed")),
                    Some(_) => {}
                }
            }
            changes.extend(before.keys().filter(|name| !now.contains_key(*name)).map(|name| format!("`{name}` is gone")));
        }
        for (path, held) in &self.beside {
            let what = match (before.beside.get(path).copied().flatten(), held) {
                (None, Some(_)) => "is there",
                (Some(_), None) => "is gone",
                (Some(before), Some(held)) if before != *held => "has changed",
                _ => continue,
            };
            changes.push(format!("`{}` {what}", path.display()));
        }
        changes
    }
}

fn looked_at(paths: impl IntoIterator<Item = PathBuf>) -> BTreeMap<PathBuf, Option<u64>> {
    let now = |path: &Path| files::read(path, files::SMALL).ok().map(|bytes| contents(&bytes));
    paths.into_iter().map(|path| (path.clone(), now(&path))).collect()
}

fn own(texts: &Result<Vec<Source>, Diagnostics>) -> Result<BTreeMap<String, u64>, String> {
    texts.as_ref().map(|sources| hashes(sources)).map_err(Diagnostics::in_a_line)
}

fn hashes(sources: &[Source]) -> BTreeMap<String, u64> {
    sources.iter().map(|source| (source.name.clone(), contents(source.text.as_bytes()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(own: &[(&str, &str)], beside: &[(&str, Option<&str>)]) -> Seen {
        let hash = |text: &str| contents(text.as_bytes());
        Seen {
            own: Ok(own.iter().map(|(name, text)| ((*name).to_owned(), hash(text))).collect()),
            beside: beside.iter().map(|(path, text)| (PathBuf::from(path), text.map(hash))).collect(),
        }
    }

    #[test]
    fn what_changed_came_or_went_is_named() {
        let before = seen(&[("a.yaml", "1"), ("b.yaml", "2")], &[("one.key", Some("x")), ("two.key", None), ("three.key", Some("z"))]);
        let now = seen(&[("a.yaml", "3"), ("c.yaml", "2")], &[("one.key", Some("y")), ("two.key", Some("x")), ("three.key", None)]);

        let expected = [
            "`a.yaml` has changed",
            "`c.yaml` is new",
            "`b.yaml` is gone",
            "`one.key` has changed",
            "`three.key` is gone",
            "`two.key` is there",
        ];
        assert_eq!(now.changes(&before), expected);
        assert!(now.lacks(&before) && before.changes(&before).is_empty() && !before.lacks(&before));
    }

    #[test]
    fn what_cannot_be_read_is_a_change_and_lacks_what_was_there() {
        let before = seen(&[("a.yaml", "1")], &[]);
        let lost = Seen { own: Err("it does not exist".to_owned()), ..before.clone() };

        assert_eq!(lost.changes(&before), ["the configuration cannot be read"]);
        assert_eq!(before.changes(&lost), ["`a.yaml` is new"]);
        assert!(lost.lacks(&before) && !before.lacks(&lost) && lost.changes(&lost).is_empty());
    }
}
