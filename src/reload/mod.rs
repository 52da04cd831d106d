//! The configuration read again and put in force while the gateway serves: since its files changed, since somebody asked for it, or since
//! somebody wants one from before.
//!
//! One at a time, all or nothing. Where the configuration lies in files, what they held is remembered with every try, so that files which
//! stayed the same are nothing to do, and a bad one is told of once. What was rolled back to is in no file: it holds until the files change,
//! or somebody asks for them.

mod cause;
mod mounted;
mod rollback;
mod seen;
mod watching;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;

pub(crate) use self::cause::Cause;
use self::cause::listed;
use self::rollback::Held;
pub(crate) use self::rollback::{Beginning, NotRolledBack, begin};
use self::seen::Seen;
pub(crate) use self::watching::watch;
use crate::config::diagnostics::Diagnostics;
use crate::config::ledger::Ledger;
use crate::config::{self, Loaded};
use crate::gateway::Gateway;
use crate::history::History;
use crate::status::{InForce, Reloaded};
use crate::supervisor::Reloading;
use crate::telemetry::timestamp;
use crate::watch::EVERY_YAML;

/// How a configuration is read again.
pub(crate) type Read = Box<dyn Fn() -> Result<Loaded, Diagnostics> + Send + Sync>;

/// Files are believed when two looks so far apart find the same in them: not everybody who writes one does so at once.
const STEADY: Duration = Duration::from_millis(100);
/// How long one waits for files that go on changing, or that are gone and may come back.
const PATIENCE: Duration = Duration::from_secs(2);

/// Reads the configuration again and puts it in force, for signals, operators and whoever watches its files.
pub(crate) struct Reloader {
    gateway: Arc<Gateway>,
    read: Read,
    state: Mutex<State>,
}

/// What is known of where configurations come from.
#[derive(Default)]
struct State {
    /// The files, where there are any.
    files: Option<Files>,
    /// Where accepted configurations are kept, where they are.
    history: Option<History>,
    /// What was rolled back to.
    held: Option<Held>,
}

/// Where the configuration lies, and what was there when it was tried last.
struct Files {
    path: Option<PathBuf>,
    seen: Seen,
}

/// Why a reload was refused; the old configuration is still in force.
pub(crate) enum Refused {
    /// The configuration has problems.
    Problems(Diagnostics),
    /// It cannot be put in force by a reload.
    Because(String),
}

impl Refused {
    /// For a log.
    fn in_a_line(&self) -> String {
        match self {
            Self::Problems(problems) => problems.in_a_line(),
            Self::Because(why) => why.clone(),
        }
    }
}

/// What was refused, with the files that were read for it.
type Tried = (Refused, Option<Arc<Ledger>>);

/// One without errors, those included that are tolerated where a gateway starts.
fn checked(read: Result<Loaded, Diagnostics>) -> Result<Loaded, Diagnostics> {
    let loaded = read?;
    if loaded.warnings.refuse() { Err(loaded.warnings) } else { Ok(loaded) }
}

/// What the supervisor is told of a gateway that serves this configuration.
pub(crate) fn in_force(hash: &str) -> String {
    format!("configuration {hash} is in force")
}

impl Reloader {
    /// Reads with `read`.
    pub(crate) fn new(gateway: Arc<Gateway>, read: Read) -> Self {
        Self { gateway, read, state: Mutex::default() }
    }

    /// The configuration is read from files at this path, and the process has begun with this.
    pub(crate) fn begins(&self, path: Option<PathBuf>, beginning: Beginning) {
        let mut state = self.state.lock();
        let snapshot = self.gateway.snapshot();
        let seen = Seen::of(&snapshot.loaded);
        match beginning {
            Beginning::Files => {
                state.files = Some(Files { path, seen });
                self.accepted(&mut state, &snapshot.loaded, &Cause::Start);
            }
            Beginning::Held { held, disk, history } => {
                state.files = Some(Files { path, seen: seen.with(&Ok(disk)) });
                state.history = Some(history);
                self.holds(&mut state, held);
            }
        }
    }

    /// Reads the configuration again. What is in force then.
    pub(crate) fn reload(&self, cause: &Cause) -> Result<Reloaded, Refused> {
        self.read_again(&mut self.state.lock(), cause)
    }

    /// Looks at the files, and reads the configuration again where one of them holds something else than the last time.
    pub(crate) fn look(&self) {
        let Some((path, before)) = self.state.lock().files.as_ref().map(|files| (files.path.clone(), files.seen.clone())) else { return };
        let Some(now) = settled(&before, || Seen::now(&config::texts(path.as_deref()), before.others())) else { return };
        let mut state = self.state.lock();
        // Meanwhile somebody else may have read them, or rolled back.
        if state.files.as_ref().is_none_or(|files| files.seen != before) || self.is_draining() {
            return;
        }
        let cause = Cause::Watch(now.changes(&before));
        // Why it is refused is in the log, in the status and in the metrics.
        let holds = |held: &Held| now.has_same_texts(&before) || config::texts(path.as_deref()).is_ok_and(|texts| held.is_over(&texts));
        let _ =
            if state.held.as_ref().is_some_and(holds) { self.hold_again(&mut state, &cause) } else { self.read_again(&mut state, &cause) };
    }

    /// Everything in which a change would be another configuration; folders by a name in them.
    fn watched(&self) -> Vec<PathBuf> {
        let state = self.state.lock();
        let Some(Files { path, seen }) = &state.files else { return Vec::new() };
        let usual = || [Path::new("frontgate.yaml"), Path::new("/etc/frontgate")].map(Path::to_owned).to_vec();
        let places = path.as_ref().map_or_else(usual, |path| vec![path.clone()]);
        let inside = places.iter().filter(|place| place.is_dir()).map(|place| place.join(EVERY_YAML)).collect::<Vec<_>>();
        places.into_iter().chain(inside).chain(seen.names().map(PathBuf::from)).chain(seen.others()).collect()
    }

    /// The files that the configuration consists of.
    fn own_files(&self) -> Vec<PathBuf> {
        self.state.lock().files.iter().flat_map(|files| files.seen.names().map(PathBuf::from).collect::<Vec<_>>()).collect()
    }

    /// Whether what changes now is nothing to this process any more.
    fn is_draining(&self) -> bool {
        self.gateway.is_draining()
    }

    fn read_again(&self, state: &mut State, cause: &Cause) -> Result<Reloaded, Refused> {
        // Before it is read: what changes in between is seen as a change then.
        let texts = state.files.as_ref().map(|files| config::texts(files.path.as_deref()));
        match self.put(&self.read) {
            Ok((reloaded, same_values)) => {
                let snapshot = self.gateway.snapshot();
                if let Some(files) = &mut state.files {
                    files.seen = Seen::of(&snapshot.loaded);
                }
                self.accepted(state, &snapshot.loaded, cause);
                log::info!("configuration {} is in force, {cause}: {}", reloaded.hash, told(&reloaded, same_values));
                Ok(reloaded)
            }
            Err((refused, ledger)) => {
                if let (Some(files), Some(texts)) = (&mut state.files, texts) {
                    files.seen = Seen::now(&texts, files.seen.others()).and(ledger.as_deref());
                }
                let why = refused.in_a_line();
                match cause {
                    Cause::Watch(changes) => log::error!("the configuration was not reloaded ({}): {why}", listed(changes)),
                    Cause::Admin(who) => log::error!("the configuration was not reloaded as the operator {who} asks: {why}"),
                    _ => log::error!("the configuration was not reloaded: {why}"),
                }
                Err(refused)
            }
        }
    }

    /// Puts in force what is read, and says whether its values are those from before. Where it is refused, with the files that were read for it.
    fn put(&self, read: impl FnOnce() -> Result<Loaded, Diagnostics>) -> Result<(Reloaded, bool), Tried> {
        let _told = Reloading::of(self.gateway.supervisor());
        let loaded = checked(read()).map_err(|problems| {
            self.gateway.reload_refused(problems.in_a_line());
            let ledger = problems.ledger().cloned();
            (Refused::Problems(problems), ledger)
        })?;
        let ledger = loaded.ledger().clone();
        let before = self.gateway.snapshot();
        let reloaded = self.gateway.reload(loaded).map_err(|why| (Refused::Because(why), Some(ledger)))?;
        if let Some(supervisor) = self.gateway.supervisor() {
            supervisor.status(&in_force(&reloaded.hash));
        }
        let same_values = reloaded.hash == before.loaded.hash;
        Ok((reloaded, same_values))
    }

    /// What the files hold is in force: nothing that was rolled back to holds any more, and the history has one more.
    fn accepted(&self, state: &mut State, loaded: &Loaded, cause: &Cause) {
        let now = SystemTime::now();
        if let Some(held) = state.held.take() {
            log::warn!("the rollback to configuration {} has ended", held.hash());
        }
        state.history = History::of(loaded);
        if let Some(history) = &state.history {
            for why in [history.let_go(), history.keep(loaded, cause.label(), cause.who(), now)].into_iter().filter_map(Result::err) {
                log::warn!("the history of configurations is not whole: {why}");
            }
        }
        self.gateway.came_into_force(InForce { how: cause.label().to_owned(), who: cause.who(), since: timestamp(now), on_disk: None });
    }
}

/// What a reload has changed, for a log.
fn told(reloaded: &Reloaded, same_values: bool) -> String {
    match (reloaded.changed.is_empty(), same_values) {
        (false, _) => reloaded.changed.join(", "),
        (true, true) => "every value is as before".to_owned(),
        (true, false) => "only the order of its parts is another".to_owned(),
    }
}

/// What there is once it has come to rest; nothing where that is what there was before.
fn settled(before: &Seen, look: impl Fn() -> Seen) -> Option<Seen> {
    let mut now = look();
    let end = Instant::now() + PATIENCE;
    while now != *before {
        std::thread::sleep(STEADY);
        let again = look();
        let is_steady = again == now && !again.lacks(before);
        now = again;
        if is_steady || Instant::now() >= end {
            return Some(now).filter(|now| now != before);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::config::Source;

    fn seen(text: Option<&str>) -> Seen {
        let texts = match text {
            Some(text) => Ok(vec![Source { name: "a.yaml".to_owned(), text: text.to_owned() }]),
            None => Ok(Vec::new()),
        };
        Seen::now(&texts, [])
    }

    /// Looks that find these one after the other, the last one over and over.
    fn looks(found: &[Option<&str>]) -> impl Fn() -> Seen {
        let found: Vec<Seen> = found.iter().map(|text| seen(*text)).collect();
        let next = Cell::new(0);
        move || {
            let at = next.replace(next.get() + 1);
            found[at.min(found.len() - 1)].clone()
        }
    }

    #[test]
    fn files_are_believed_when_they_have_come_to_rest() {
        let before = seen(Some("old"));

        for (found, settles_to) in [
            (&[Some("old")][..], None),
            (&[Some("new"), Some("new")], Some("new")),
            (&[Some("n"), Some("ne"), Some("new")], Some("new")),
            // An editor that takes the file away first.
            (&[None, None, Some("new")], Some("new")),
            (&[None, Some("old")], None),
            (&[Some("new"), Some("old")], None),
        ] {
            assert_eq!(settled(&before, looks(found)), settles_to.map(|text| seen(Some(text))), "{found:?}");
        }
    }

    #[test]
    fn what_stays_away_is_believed_in_the_end() {
        let began = Instant::now();

        assert_eq!(settled(&seen(Some("old")), looks(&[None])), Some(seen(None)));
        assert!(began.elapsed() >= PATIENCE);
    }
}
