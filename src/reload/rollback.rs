//! Back to a configuration from before, which is in no file of the configuration: it holds until these change, through a restart as well.

use std::time::SystemTime;

use super::seen::Seen;
use super::{Cause, Refused, Reloader, State, checked, told};
use crate::changes::changes;
use crate::config::diagnostics::Diagnostics;
use crate::config::{self, Loaded, Source};
use crate::history::{Entry, History, Rollback, are_same};
use crate::snapshot;
use crate::status::{HistoryStatus, InForce, KeptConfiguration, Reloaded, RolledBack};
use crate::telemetry::timestamp;
use crate::who::Who;

/// A configuration that was rolled back to.
pub(crate) struct Held {
    texts: Vec<Source>,
    rollback: Rollback,
    /// What the files hold in its place.
    on_disk: String,
}

impl Held {
    /// Its hash.
    pub(super) fn hash(&self) -> &str {
        &self.rollback.hash
    }

    /// Whether these texts are those that it was rolled back from.
    pub(super) fn is_over(&self, texts: &[Source]) -> bool {
        self.rollback.is_over(texts)
    }
}

/// What a process begins with.
pub(crate) enum Beginning {
    /// What the files hold.
    Files,
    /// What was rolled back to before the process was started anew.
    Held {
        /// That.
        held: Held,
        /// What the files hold.
        disk: Vec<Source>,
        /// Where it is kept.
        history: History,
    },
}

/// Why nothing was rolled back.
pub(crate) enum NotRolledBack {
    /// There is nothing to roll back to, or not this.
    Unknown(&'static str),
    /// It is accepted no more.
    Refused(Refused),
}

/// The configuration to begin with where this is what the files hold: it, or the one that was rolled back to while they held the same.
pub(crate) fn begin(loaded: Loaded) -> (Loaded, Beginning) {
    let Some(history) = History::of(&loaded) else { return (loaded, Beginning::Files) };
    let rollback = history.rollback(loaded.sources()).unwrap_or_else(|why| {
        log::error!("whether a configuration was rolled back to cannot be told, and the files are in force: {why}");
        None
    });
    let Some(rollback) = rollback else { return (loaded, Beginning::Files) };
    let Some(entry) = history.entries().0.into_iter().find(|entry| entry.hash == rollback.hash) else {
        log::error!("configuration {} was rolled back to and is kept no more: the files are in force", rollback.hash);
        return (loaded, Beginning::Files);
    };
    match read(&entry) {
        Ok(kept) => {
            let held = Held { texts: entry.sources(), on_disk: on_disk(&kept, Ok(&loaded)), rollback };
            let disk = loaded.sources().to_vec();
            (kept, Beginning::Held { held, disk, history })
        }
        Err(problems) => {
            let why = problems.in_a_line();
            log::error!(
                "configuration {} was rolled back to and cannot be used any more, so that the files are in force: {why}",
                entry.hash
            );
            (loaded, Beginning::Files)
        }
    }
}

/// A configuration that was kept, checked as if it were new.
fn read(entry: &Entry) -> Result<Loaded, Diagnostics> {
    checked(config::load_texts(entry.sources()).and_then(snapshot::opened))
}

/// What the files hold while this is in force.
fn on_disk(in_force: &Loaded, disk: Result<&Loaded, &Diagnostics>) -> String {
    match disk {
        Ok(disk) => {
            let changes = changes(&in_force.config, &disk.config);
            let changes = if changes.is_empty() { "every value is the same".to_owned() } else { changes.join(", ") };
            format!("the files hold configuration {}, which is not in force: {changes}", disk.hash)
        }
        Err(problems) => format!("the files are not in force, and have mistakes: {}", problems.in_a_line()),
    }
}

impl Reloader {
    /// Puts a configuration from before in force, that of this hash or the one before the one in force.
    pub(crate) fn rollback(&self, hash: Option<&str>, who: &Who) -> Result<RolledBack, NotRolledBack> {
        let mut state = self.state.lock();
        let unknown = |why| Err(NotRolledBack::Unknown(why));
        let Some(history) = state.history.clone() else {
            return unknown("No history is kept: that takes `server.state_dir` in the configuration.");
        };
        let (entries, problems) = history.entries();
        for why in problems {
            log::warn!("the history of configurations is not whole: {why}");
        }
        let in_force = self.gateway.snapshot().loaded.hash.clone();
        let entry = match hash {
            Some(hash) => {
                let mut meant = entries.iter().filter(|entry| !hash.is_empty() && entry.hash.starts_with(hash));
                match (meant.next(), meant.next()) {
                    (Some(entry), None) => entry,
                    (None, _) => return unknown("No configuration of this hash is kept."),
                    (Some(_), Some(_)) => return unknown("Several configurations begin with this hash."),
                }
            }
            None => {
                let before = entries.iter().position(|entry| entry.hash == in_force).map_or(0, |at| at + 1);
                let Some(entry) = entries.get(before) else { return unknown("None is kept from before the configuration in force.") };
                entry
            }
        };
        if entry.hash == in_force {
            return unknown("This is the configuration in force.");
        }
        let refused = |(refused, _): (Refused, _)| {
            log::error!("the operator {who} could not roll back to configuration {}: {}", entry.hash, refused.in_a_line());
            NotRolledBack::Refused(refused)
        };
        let kept = read(entry).map_err(|problems| refused((Refused::Problems(problems), None)))?;
        let (reloaded, same_values) = self.put(|| Ok(kept)).map_err(refused)?;
        Ok(self.rolled_back(&mut state, &history, entry, who, reloaded, same_values))
    }

    fn rolled_back(
        &self,
        state: &mut State,
        history: &History,
        entry: &Entry,
        who: &Who,
        reloaded: Reloaded,
        same_values: bool,
    ) -> RolledBack {
        let snapshot = self.gateway.snapshot();
        log::warn!("configuration {} is in force, the operator {who} rolled back to it: {}", reloaded.hash, told(&reloaded, same_values));
        let path = state.files.as_ref().and_then(|files| files.path.clone());
        let disk = state.files.as_ref().map(|_| config::texts(path.as_deref()));
        if let (Some(files), Some(disk)) = (&mut state.files, &disk) {
            files.seen = Seen::of(&snapshot.loaded).with(disk);
        }
        let is_on_disk = matches!(&disk, Some(Ok(texts)) if are_same(texts, snapshot.loaded.sources()));
        if is_on_disk {
            state.held = None;
            let kept = history.let_go();
            self.gateway.came_into_force(InForce {
                how: "rollback".to_owned(),
                who: Some(who.to_string()),
                since: timestamp(SystemTime::now()),
                on_disk: None,
            });
            not_whole(kept);
            return RolledBack { hash: reloaded.hash, changed: reloaded.changed, on_disk: None };
        }
        let told = match &disk {
            Some(Ok(_)) => on_disk(&snapshot.loaded, config::load(path.as_deref()).as_ref()),
            Some(Err(problems)) => on_disk(&snapshot.loaded, Err(problems)),
            None => "nothing holds it but the process".to_owned(),
        };
        let over = disk.and_then(Result::ok).unwrap_or_default();
        let rollback = Rollback::new(&reloaded.hash, who.to_string(), &over, SystemTime::now());
        not_whole(history.hold(&rollback));
        self.holds(state, Held { texts: entry.sources(), rollback, on_disk: told.clone() });
        RolledBack { hash: reloaded.hash, changed: reloaded.changed, on_disk: Some(told) }
    }

    /// What was rolled back to is in force.
    pub(super) fn holds(&self, state: &mut State, held: Held) {
        let Held { rollback, on_disk, .. } = &held;
        log::warn!(
            "the rollback of the operator {} to configuration {} holds until the files change, or `frontgate reload`: {on_disk}",
            rollback.who,
            rollback.hash
        );
        self.gateway.came_into_force(InForce {
            how: "rollback".to_owned(),
            who: Some(rollback.who.clone()),
            since: timestamp(rollback.at()),
            on_disk: Some(on_disk.clone()),
        });
        state.held = Some(held);
    }

    /// Puts what was rolled back to in force again: keys or secrets that it names have changed.
    pub(super) fn hold_again(&self, state: &mut State, cause: &Cause) -> Result<Reloaded, Refused> {
        let texts = state.held.as_ref().map(|held| held.texts.clone()).unwrap_or_default();
        let path = state.files.as_ref().and_then(|files| files.path.clone());
        let disk = config::texts(path.as_deref());
        let put = self.put(|| config::load_texts(texts).and_then(snapshot::opened));
        if let Some(files) = &mut state.files {
            files.seen = match &put {
                Ok(_) => Seen::of(&self.gateway.snapshot().loaded).with(&disk),
                Err((_, ledger)) => Seen::now(&disk, files.seen.others()).and(ledger.as_deref()),
            };
        }
        match put {
            Ok((reloaded, same_values)) => {
                log::info!("configuration {} is in force, {cause}: {}", reloaded.hash, told(&reloaded, same_values));
                Ok(reloaded)
            }
            Err((refused, _)) => {
                log::error!("the configuration was not read again, {cause}: {}", refused.in_a_line());
                Err(refused)
            }
        }
    }

    /// The configurations that are kept, the last one first, and which of them is in force.
    pub(crate) fn history(&self) -> Option<HistoryStatus> {
        let history = self.state.lock().history.clone()?;
        let snapshot = self.gateway.snapshot();
        let (entries, problems) = history.entries();
        let configurations = entries.iter().map(|entry| KeptConfiguration {
            hash: entry.hash.clone(),
            at: timestamp(entry.at()),
            how: entry.how.clone(),
            who: entry.who.clone(),
            in_force: entry.hash == snapshot.loaded.hash,
            files: entry.sources().into_iter().map(|source| source.name).collect(),
        });
        Some(HistoryStatus { configurations: configurations.collect(), in_force: self.gateway.in_force(), problems })
    }
}

fn not_whole(kept: Result<(), String>) {
    if let Err(why) = kept {
        log::error!("the rollback will not hold through a restart: {why}");
    }
}
