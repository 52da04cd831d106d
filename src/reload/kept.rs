//! The configurations that were accepted of late, for who asks a running gateway for them, and for who has none that runs.

use std::path::{Path, PathBuf};

use super::Reloader;
use crate::changes;
use crate::config::{self, Loaded};
use crate::history::{Entry, History};
use crate::status::{HistoryStatus, InForce, KeptConfiguration};
use crate::telemetry::timestamp;

/// How many changes are told of each configuration.
const TOLD: usize = 20;

/// What is said where nothing is kept.
pub(crate) const NO_HISTORY: &str = "No history is kept: that takes `server.state_dir` in the configuration.";

/// What is told of the configurations that are kept, of which the one of this hash is in force.
fn in_words(entries: &[Entry], in_force: &str) -> Vec<KeptConfiguration> {
    let loaded: Vec<Option<Loaded>> = entries.iter().map(|entry| config::load_texts(entry.sources()).ok()).collect();
    let changed = |at: usize| {
        let (new, old) = (loaded.get(at)?.as_ref()?, loaded.get(at + 1)?.as_ref()?);
        Some(changes::first(changes::changes(old, new), TOLD))
    };
    let told = entries.iter().enumerate().map(|(at, entry)| KeptConfiguration {
        hash: entry.hash.clone(),
        at: timestamp(entry.at()),
        how: entry.how.clone(),
        who: entry.who.clone(),
        in_force: entry.hash == in_force,
        changed: changed(at),
        files: entry.sources().into_iter().map(|source| source.name).collect(),
    });
    told.collect()
}

/// The configurations that are kept in this directory, as `server.state_dir` names it, where no gateway runs that could be asked.
pub(crate) fn kept_in(state: &Path) -> HistoryStatus {
    let history = History::in_state(state);
    let (entries, problems) = history.entries();
    let (hash, in_force) = match history.rolled_back_to() {
        None => (String::new(), InForce::default()),
        Some((hash, who, at)) => {
            let on_disk = Some("what the files mean is not known here".to_owned());
            let holds = Some("until they mean something else, or a reload is asked for".to_owned());
            (hash, InForce { how: "rollback".to_owned(), who: Some(who), since: timestamp(at), on_disk, holds, ..InForce::default() })
        }
    };
    HistoryStatus { configurations: in_words(&entries, &hash), in_force, problems }
}

/// The last good one of those that are kept there: the one that was rolled back to, or else the last one that was accepted. Its hash, and in words
/// which one it is.
pub(crate) fn last_good_in(state: &Path) -> Option<(String, String)> {
    let history = History::in_state(state);
    let (entries, _) = history.entries();
    if let Some((hash, who, at)) = history.rolled_back_to()
        && entries.iter().any(|entry| entry.hash == hash)
    {
        let words = format!("the configuration that the operator {who} rolled back to, {hash}, at {}", timestamp(at));
        return Some((hash, words));
    }
    let last = entries.first()?;
    Some((last.hash.clone(), format!("the last configuration that was accepted, {} of {}", last.hash, timestamp(last.at()))))
}

/// Writes the files of one of them into another directory. Where each came from and where it is now; the error is a sentence.
pub(crate) fn write_kept(state: &Path, hash: &str, into: &Path) -> Result<Vec<(String, PathBuf)>, String> {
    let (entries, _) = History::in_state(state).entries();
    meant(&entries, hash)?.write_into(into)
}

/// The one that is meant by a hash, or by how that begins.
pub(super) fn meant<'e>(entries: &'e [Entry], hash: &str) -> Result<&'e Entry, &'static str> {
    let mut meant = entries.iter().filter(|entry| !hash.is_empty() && entry.hash.starts_with(hash));
    match (meant.next(), meant.next()) {
        (Some(entry), None) => Ok(entry),
        (None, _) => Err("No configuration of this hash is kept."),
        (Some(_), Some(_)) => Err("Several configurations begin with this hash."),
    }
}

impl Reloader {
    /// The configurations that are kept, the last one first, and which of them is in force.
    pub(crate) fn history(&self) -> Option<HistoryStatus> {
        let history = self.state.lock().history.clone()?;
        let snapshot = self.gateway.snapshot();
        let (entries, problems) = history.entries();
        let configurations = in_words(&entries, &snapshot.loaded.hash);
        Some(HistoryStatus { configurations, in_force: self.gateway.in_force(), problems })
    }

    /// The configuration of this hash, or of which the hash begins so, from those that are kept. The error is a sentence.
    pub(crate) fn kept(&self, hash: &str) -> Result<Loaded, String> {
        let Some(history) = self.state.lock().history.clone() else { return Err(NO_HISTORY.to_owned()) };
        let (entries, _) = history.entries();
        let entry = meant(&entries, hash)?;
        config::load_texts(entry.sources())
            .map_err(|problems| format!("Configuration {} cannot be used any more: {}", entry.hash, problems.in_a_line()))
    }
}
