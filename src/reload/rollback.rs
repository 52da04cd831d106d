//! Back to a configuration from before, which is in no file of the configuration: it holds until these mean something else than what was rolled
//! back from, through a restart as well.
//!
//! Somebody who mends the files at night may add a comment first: that is no reason to put back in force what was bad. What is told of the
//! files meanwhile is what they held when they were looked at last, and when that was.

use std::collections::BTreeSet;
use std::time::SystemTime;

use super::kept::{NO_HISTORY, meant};
use super::seen::Seen;
use super::{Cause, Files, Refused, Reloader, State, Texts, checked, listed, told};
use crate::changes;
use crate::config::diagnostics::Diagnostics;
use crate::config::{self, Loaded, Source};
use crate::history::{Before, Entry, History, Rollback};
use crate::snapshot;
use crate::status::{InForce, Reloaded, RolledBack};
use crate::telemetry::timestamp;
use crate::who::Who;

/// How many configurations a rollback holds against: one more with each further back, and each edit in the midst of it.
const MOST_OVER: usize = 16;

/// A configuration that was rolled back to.
pub(crate) struct Held {
    texts: Vec<Source>,
    rollback: Rollback,
    /// What the files hold in its place.
    on_disk: String,
    /// When they were read last.
    read: SystemTime,
}

impl Held {
    /// Its hash.
    pub(super) fn hash(&self) -> &str {
        &self.rollback.hash
    }

    /// What ends it.
    fn holds(&self) -> String {
        holds(self.rollback.over_hashes())
    }
}

/// What ends a rollback from these.
fn holds(over: &[String]) -> String {
    let from = if over.is_empty() { "what was rolled back from".to_owned() } else { over.join(" and ") };
    format!("until the files change in meaning, so that they hold another configuration than {from}, or until `frontgate reload`")
}

/// What a process begins with.
pub(crate) enum Beginning {
    /// What the files hold.
    Files,
    /// What was rolled back to before the process was started anew.
    Held {
        /// That.
        held: Box<Held>,
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
    let rollback = match history.rollback(&loaded) {
        Ok(Before::None) => return (loaded, Beginning::Files),
        Ok(Before::Holds(rollback)) => rollback,
        Ok(Before::Over(hash)) => {
            log::warn!("the rollback to configuration {hash} has ended: the files hold another one than was rolled back from");
            return (loaded, Beginning::Files);
        }
        Err(why) => {
            log::error!("whether a configuration was rolled back to cannot be told, and the files are in force: {why}");
            return (loaded, Beginning::Files);
        }
    };
    let Some(entry) = history.entries().0.into_iter().find(|entry| entry.hash == rollback.hash) else {
        log::error!("configuration {} was rolled back to and is kept no more: the files are in force", rollback.hash);
        return (loaded, Beginning::Files);
    };
    match read(&entry) {
        Ok(kept) => {
            let held = Held { texts: entry.sources(), on_disk: on_disk(&kept, Ok(&loaded)), rollback, read: SystemTime::now() };
            let disk = loaded.sources().to_vec();
            (kept, Beginning::Held { held: Box::new(held), disk, history })
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
            let changes = changes::changes(in_force, disk);
            let changes = if changes.is_empty() { "every value is the same".to_owned() } else { changes::listed(&changes) };
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
            return unknown(NO_HISTORY);
        };
        let (entries, problems) = history.entries();
        for why in problems {
            log::warn!("the history of configurations is not whole: {why}");
        }
        let in_force = self.gateway.snapshot().loaded.hash.clone();
        let entry = match hash {
            Some(hash) => match meant(&entries, hash) {
                Ok(entry) => entry,
                Err(why) => return unknown(why),
            },
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
        log::warn!("configuration {} is in force, the operator {who} rolled back to it: {}", reloaded.hash, told(&reloaded, same_values));
        Ok(self.rolled_back(&mut state, &history, entry, who, in_force, reloaded))
    }

    /// This is in force again in place of `before`, and is held against the files where they mean something else.
    fn rolled_back(
        &self,
        state: &mut State,
        history: &History,
        entry: &Entry,
        who: &Who,
        before: String,
        reloaded: Reloaded,
    ) -> RolledBack {
        let snapshot = self.gateway.snapshot();
        let texts = state.files.as_ref().map(Files::texts);
        if let (Some(files), Some(texts)) = (&mut state.files, &texts) {
            files.seen = Seen::of(&snapshot.loaded).with(texts);
        }
        self.stirred.notify_one();
        let disk = texts.clone().map(|texts| texts.and_then(config::load_texts));
        let now = SystemTime::now();
        if matches!(&disk, Some(Ok(disk)) if disk.hash == reloaded.hash) {
            state.held = None;
            let how = "rollback".to_owned();
            self.gateway.came_into_force(InForce { how, who: Some(who.to_string()), since: timestamp(now), ..InForce::default() });
            not_whole(history.let_go());
            return RolledBack { hash: reloaded.hash, changed: reloaded.changed, on_disk: None, holds: None };
        }
        let told = match &disk {
            Some(disk) => on_disk(&snapshot.loaded, disk.as_ref()),
            None => "nothing holds it but the process".to_owned(),
        };
        // What the files held while they were in force, and what somebody has written to them just now: neither is what is wanted.
        let mut over = match state.held.take() {
            Some(held) => held.rollback.over_hashes().to_vec(),
            None => vec![before],
        };
        over.extend(disk.and_then(Result::ok).map(|disk| disk.hash));
        over.retain(|hash| *hash != reloaded.hash);
        let mut known = BTreeSet::new();
        over.retain(|hash| known.insert(hash.clone()));
        // The first one is what was in force, and the last one what the files hold.
        while over.len() > MOST_OVER {
            over.remove(1);
        }
        let rollback = Rollback::new(&reloaded.hash, who.to_string(), &texts.and_then(Result::ok).unwrap_or_default(), over, now);
        not_whole(history.hold(&rollback));
        let held = Held { texts: entry.sources(), rollback, on_disk: told.clone(), read: now };
        let holds = Some(held.holds());
        self.holds(state, held);
        RolledBack { hash: reloaded.hash, changed: reloaded.changed, on_disk: Some(told), holds }
    }

    /// What was rolled back to is in force.
    pub(super) fn holds(&self, state: &mut State, held: Held) {
        let Held { rollback, on_disk, read, .. } = &held;
        log::warn!("the rollback of the operator {} to configuration {} holds {}: {on_disk}", rollback.who, rollback.hash, held.holds());
        self.gateway.came_into_force(InForce {
            how: "rollback".to_owned(),
            who: Some(rollback.who.clone()),
            since: timestamp(rollback.at()),
            on_disk: Some(on_disk.clone()),
            on_disk_at: Some(timestamp(*read)),
            holds: Some(held.holds()),
        });
        state.held = Some(held);
    }

    /// The files were looked at, and hold what they held.
    pub(super) fn hold_as_before(&self, state: &mut State) {
        if let Some(held) = &mut state.held {
            held.read = SystemTime::now();
            self.gateway.files_hold(&held.on_disk, timestamp(held.read));
        }
    }

    /// The files could not be put in force in the place of what was rolled back to.
    pub(super) fn hold_all_the_same(&self, state: &mut State, refused: &Refused) {
        if let Some(held) = &mut state.held {
            held.on_disk = match refused {
                Refused::Problems(problems) => on_disk(&self.gateway.snapshot().loaded, Err(problems)),
                Refused::Because(why) => format!("the files are not in force, and cannot be put in force: {why}"),
            };
        }
        self.hold_as_before(state);
    }

    /// The files hold something else than when they were looked at last, and something that was rolled back to is in force: whether it stays so
    /// is a question of what they mean.
    pub(super) fn look_while_held(&self, state: &mut State, cause: &Cause, before: &Seen, now: Seen, texts: Texts) {
        let disk = texts.clone().and_then(config::load_texts);
        let hash = disk.as_ref().ok().map(|disk| disk.hash.as_str());
        let is_over = |held: &Held| texts.as_ref().is_ok_and(|texts| held.rollback.is_over(texts, hash));
        let (same_texts, same_beside) = (now.has_same_texts(before), now.has_same_beside(before));
        if !state.held.as_ref().is_some_and(is_over) {
            let refused = self.read_again(state, cause, Some(texts)).is_err();
            // Keys and secrets of what is in force are what they are, whatever else is wrong.
            if refused && !same_beside {
                self.hold_again(state, cause, None);
            }
            return;
        }
        if let (Some(held), false) = (&mut state.held, same_texts) {
            held.on_disk = on_disk(&self.gateway.snapshot().loaded, disk.as_ref());
            if let Cause::Watch(changes) = cause {
                log::warn!(
                    "{}, and means what was rolled back from: the rollback to configuration {} holds {}",
                    listed(changes),
                    held.hash(),
                    held.holds()
                );
            }
        }
        self.hold_as_before(state);
        // Where the files were refused meanwhile, they are no trouble any more.
        if !same_beside || self.gateway.has_refused() {
            self.hold_again(state, cause, Some(&texts));
        } else if let Some(files) = &mut state.files {
            files.seen = now;
        }
    }

    /// Puts what was rolled back to in force again: keys or secrets that it names have changed. `texts` is what the files hold, where what was
    /// seen of them is not known yet.
    fn hold_again(&self, state: &mut State, cause: &Cause, texts: Option<&Texts>) {
        let held = state.held.as_ref().map(|held| held.texts.clone()).unwrap_or_default();
        let put = self.put(|| config::load_texts(held).and_then(snapshot::opened));
        if let Some(files) = &mut state.files {
            let seen = match &put {
                Ok(_) => Seen::of(&self.gateway.snapshot().loaded),
                Err((_, ledger)) => files.seen.again().and(ledger.as_deref()),
            };
            files.seen = match texts {
                Some(texts) => seen.with(texts),
                None => files.seen.clone().beside(seen),
            };
        }
        self.stirred.notify_one();
        match put {
            Ok((reloaded, same_values)) => {
                log::info!(
                    "configuration {}, which was rolled back to, was put in force again {cause}: {}",
                    reloaded.hash,
                    told(&reloaded, same_values)
                );
            }
            Err((refused, _)) => log::error!("the configuration was not read again, {cause}: {}", refused.in_a_line()),
        }
    }
}

fn not_whole(kept: Result<(), String>) {
    if let Err(why) = kept {
        log::error!("the rollback will not hold through a restart: {why}");
    }
}
