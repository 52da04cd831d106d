//! The configuration read again and put in force while the gateway serves: since its files changed, since somebody asked for it, or since
//! somebody wants one from before.
//!
//! One at a time, all or nothing. Where the configuration lies in files, what they held is remembered with every try, so that files which
//! stayed the same are nothing to do, and a bad one is told of once. What was rolled back to is in no file: it holds until the files mean
//! something else than what was rolled back from, or somebody asks for them.

mod cause;
mod kept;
mod mounted;
mod rollback;
mod seen;
mod settled;
mod watching;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use tokio::sync::Notify;

pub(crate) use self::cause::Cause;
use self::cause::listed;
pub(crate) use self::kept::{NO_HISTORY, kept_in, last_good_in, write_kept};
use self::rollback::Held;
pub(crate) use self::rollback::{Beginning, NotRolledBack, begin};
use self::seen::Seen;
use self::settled::{settled, twice_the_same};
pub(crate) use self::watching::watch;
use crate::changes;
use crate::config::diagnostics::Diagnostics;
use crate::config::ledger::Ledger;
use crate::config::{self, Loaded, Source};
use crate::gateway::Gateway;
use crate::history::History;
use crate::snapshot;
use crate::status::{InForce, Reloaded};
use crate::supervisor::Reloading;
use crate::telemetry::timestamp;
use crate::watch::EVERY_YAML;

/// How a configuration is read again.
pub(crate) type Read = Box<dyn Fn() -> Result<Loaded, Diagnostics> + Send + Sync>;

/// What the files of a configuration hold, or why that is not to be had.
type Texts = Result<Vec<Source>, Diagnostics>;

/// Reads the configuration again and puts it in force, for signals, operators and whoever watches its files.
pub(crate) struct Reloader {
    gateway: Arc<Gateway>,
    read: Read,
    state: Mutex<State>,
    /// Woken when the files that are to be watched may be others.
    stirred: Arc<Notify>,
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
        Self { gateway, read, state: Mutex::default(), stirred: Arc::default() }
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
                self.holds(&mut state, *held);
            }
        }
    }

    /// Reads the configuration again. What is in force then.
    pub(crate) fn reload(&self, cause: &Cause) -> Result<Reloaded, Refused> {
        let mut state = self.state.lock();
        let texts = state.files.as_ref().map(Files::texts);
        self.read_again(&mut state, cause, texts)
    }

    /// Looks at the files, and reads the configuration again where one of them holds something else than the last time. Whether one has to
    /// look once more, since somebody else has read them meanwhile: what has changed since then is not known.
    pub(crate) fn look(&self) -> bool {
        let Some((path, before)) = self.state.lock().files.as_ref().map(|files| (files.path.clone(), files.seen.clone())) else {
            return false;
        };
        let found = settled(&before, || {
            let texts = config::texts(path.as_deref());
            (Seen::now(&texts, before.others()), texts)
        });
        let mut state = self.state.lock();
        if self.is_draining() {
            return false;
        }
        if state.files.as_ref().is_none_or(|files| files.seen != before) {
            return true;
        }
        let Some((now, texts)) = found else {
            self.hold_as_before(&mut state);
            return false;
        };
        let cause = Cause::Watch(now.changes(&before));
        if state.held.is_some() {
            self.look_while_held(&mut state, &cause, &before, now, texts);
        } else {
            // Why it is refused is in the log, in the status and in the metrics.
            let _ = self.read_again(&mut state, &cause, Some(texts));
        }
        false
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

    /// Puts in force what these texts are; where there are no files, what is read.
    fn read_again(&self, state: &mut State, cause: &Cause, texts: Option<Texts>) -> Result<Reloaded, Refused> {
        // What was looked at is what is read: files that are written to just now are seen as a change the next time.
        let put = match &texts {
            Some(texts) => self.put(|| texts.clone().and_then(config::load_texts).and_then(snapshot::opened)),
            None => self.put(&self.read),
        };
        match put {
            Ok((reloaded, same_values)) => {
                let snapshot = self.gateway.snapshot();
                if let Some(files) = &mut state.files {
                    files.seen = Seen::of(&snapshot.loaded);
                }
                self.stirred.notify_one();
                self.accepted(state, &snapshot.loaded, cause);
                log::info!("configuration {} is in force, {cause}: {}", reloaded.hash, told(&reloaded, same_values));
                Ok(reloaded)
            }
            Err((refused, ledger)) => {
                if let (Some(files), Some(texts)) = (&mut state.files, &texts) {
                    files.seen = Seen::now(texts, files.seen.others()).and(ledger.as_deref());
                }
                self.stirred.notify_one();
                self.hold_all_the_same(state, &refused);
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
        let how = cause.label().to_owned();
        self.gateway.came_into_force(InForce { how, who: cause.who(), since: timestamp(now), ..InForce::default() });
    }
}

/// What a reload has changed, for a log.
fn told(reloaded: &Reloaded, same_values: bool) -> String {
    match (reloaded.changed.is_empty(), same_values) {
        (false, _) => changes::listed(&reloaded.changed),
        (true, true) => "every value is as before".to_owned(),
        (true, false) => "only the order of its parts is another".to_owned(),
    }
}

impl Files {
    /// What they hold.
    fn texts(&self) -> Texts {
        twice_the_same(|| config::texts(self.path.as_deref()))
    }
}
