//! What stands between an upstream's sources and its pool: it holds the last good set of each source and gives the pool what they come to.
//!
//! It lives for as long as a configuration names the same sources, and its sources are asked for as long as it lives.

mod keeping;
mod set;
mod told;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant, SystemTime};

use frontgate_filters::filter::BoxFuture;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use self::keeping::Keeping;
use self::set::{Asked, Failed, Set};
use super::Found;
use super::judge::Passes;
use super::kept::{self, Kept};
use crate::telemetry::{DiscoveryMetrics, DiscoveryResult};
use crate::upstream::{Failing, Pool, health};

/// The least time between two changes of a pool.
const PAUSE: Duration = Duration::from_millis(100);
/// How often it is looked whether what is in doubt still passes its probes.
const LOOK: Duration = Duration::from_secs(1);
/// The most endpoints that one source may name.
const MOST: usize = 100_000;

/// One source of an upstream's endpoints.
pub(crate) struct Part {
    /// Names it for people, and in what is kept on disk: with nothing secret in it.
    pub source: String,
    /// Tells it from all other sources: one with another identity is asked anew. It is shown to nobody.
    pub identity: String,
    /// How long after a doubtful answer another one has to come that says the same.
    pub patience: Duration,
    /// Asks it, for as long as the future is awaited, and reports.
    pub run: Run,
}

/// Asks a source and reports what it says.
pub(crate) type Run = Arc<dyn Fn(Reporter) -> BoxFuture<'static, ()> + Send + Sync>;

/// Keeps the endpoints of one upstream.
pub(crate) struct Keeper {
    upstream: Arc<str>,
    runs: Box<[Run]>,
    set: Mutex<Set>,
    /// The pool that is served with them.
    pool: Mutex<Weak<Pool>>,
    /// One change of the pool at a time, so that they come in their order.
    giving: Mutex<()>,
    /// Whether the pool has yet to be given what is known.
    due: AtomicBool,
    woken: Arc<Notify>,
    keeping: Mutex<Keeping>,
    tasks: Mutex<Vec<AbortHandle>>,
    metrics: Arc<DiscoveryMetrics>,
}

impl Keeper {
    /// The keeper of an upstream with these sources, of which there is at least one. It goes on with what `before` knows of the same ones, or
    /// with what is `kept` of them; until all have answered, `serving` stays, too.
    pub(crate) fn new(
        upstream: &str,
        parts: Vec<Part>,
        before: Option<&Self>,
        kept: Vec<Kept>,
        serving: Vec<Found>,
        metrics: Arc<DiscoveryMetrics>,
    ) -> Arc<Self> {
        let now = Instant::now();
        let (mut runs, mut asked) = (Vec::with_capacity(parts.len()), Vec::with_capacity(parts.len()));
        let before = before.map(|before| before.set.lock());
        let mut used = kept.is_empty();
        for part in parts {
            let known = before.as_ref().and_then(|set| set.known(&part.identity));
            let kept = kept.iter().find(|kept| kept.source == part.source);
            used |= kept.is_some();
            asked.push(known.unwrap_or_else(|| Asked::new(&part, kept, now)));
            runs.push(part.run);
        }
        drop(before);
        if !used {
            log::warn!("upstream `{upstream}`: the endpoints that were kept on disk are of other sources, and are not used");
        }
        Arc::new(Self {
            upstream: upstream.into(),
            runs: runs.into(),
            set: Mutex::new(Set::new(asked, serving)),
            pool: Mutex::new(Weak::new()),
            giving: Mutex::new(()),
            due: AtomicBool::new(false),
            woken: Arc::default(),
            keeping: Mutex::default(),
            tasks: Mutex::default(),
            metrics,
        })
    }

    /// Whether its sources are these.
    pub(crate) fn asks(&self, parts: &[Part]) -> bool {
        self.set.lock().parts.iter().map(|asked| &*asked.identity).eq(parts.iter().map(|part| &*part.identity))
    }

    /// What a pool begins with whose written addresses are these.
    pub(crate) fn endpoints(&self, written: &[Found]) -> Vec<Found> {
        self.set.lock().with(written)
    }

    /// From now on this pool is served, with these written addresses beside what is found, which is kept in this folder.
    pub(crate) fn serve(&self, pool: &Arc<Pool>, written: Vec<Found>, folder: Option<PathBuf>) {
        self.set.lock().written = written;
        self.keeping.lock().use_folder(folder);
        *self.pool.lock() = Arc::downgrade(pool);
        let age = self.set.lock().age();
        self.metrics.as_of(Some((age.at, age.older)));
        self.give(None);
    }

    /// Begins to ask the sources, on this runtime; once.
    pub(crate) fn start(self: &Arc<Self>, runtime: &Handle) {
        let mut tasks = self.tasks.lock();
        if tasks.is_empty() {
            let sources = self.runs.iter().enumerate().map(|(part, run)| {
                let source = run(Reporter { keeper: Arc::downgrade(self), part });
                runtime.spawn(source).abort_handle()
            });
            tasks.extend(sources);
            tasks.push(runtime.spawn(look_after(Arc::downgrade(self), self.woken.clone())).abort_handle());
        }
    }

    /// Ends it while requests may still hold it: its sources are asked no more, and its pool is left alone.
    pub(crate) fn stop(&self) {
        self.tasks.lock().drain(..).for_each(|task| task.abort());
        let _one = self.giving.lock();
        *self.pool.lock() = Weak::new();
        self.metrics.as_of(None);
    }

    /// What a source says that its endpoints are, all of them.
    pub(crate) fn found(&self, part: usize, endpoints: Vec<Found>) {
        if endpoints.len() > MOST {
            let why = format!("it names {} endpoints, and {MOST} are the most", endpoints.len());
            return self.failed(part, Failed { why, is_invalid: true });
        }
        let now = Instant::now();
        let count = endpoints.len();
        let judged = self.probed(|passes| self.on(part, |asked| asked.answered(endpoints, passes, now)));
        let Some(judged) = judged else { return };
        self.metrics.count(DiscoveryResult::Duplicate, judged.duplicates);
        self.metrics.count(DiscoveryResult::Held, usize::from(judged.doubted > 0));
        if judged.doubted > 0 {
            let (source, upstream) = (self.source(part), &self.upstream);
            log::warn!(
                "upstream `{upstream}`: {source} names {} now, and {} no longer that it named before. In doubt these stay while \
                 they pass their health checks, without such until nobody can be reached there or it says so again; `frontgate upstreams accept {upstream}` lets them go now",
                in_words(count),
                judged.doubted
            );
        }
        self.have_changed(judged.changed);
    }

    /// A source says the same as the last time.
    pub(crate) fn again(&self, part: usize) {
        let now = Instant::now();
        let changed = self.probed(|passes| self.on(part, |asked| asked.again(passes, now)));
        self.have_changed(changed.unwrap_or_default());
    }

    /// A source is of no use, for this reason: what it said last stays.
    pub(crate) fn failed(&self, part: usize, failed: Failed) {
        self.metrics.count(DiscoveryResult::Failed, 1);
        let why = failed.why.clone();
        let news = self.on(part, |asked| asked.failed(failed).then(|| asked.judge.len()));
        if let Some(left) = news.flatten() {
            let stays = if left == 0 { "it has named no endpoint yet".to_owned() } else { format!("its last endpoints stay ({left})") };
            log::warn!("upstream `{}`: {}: {why}; {stays}", self.upstream, self.source(part));
        }
    }

    /// A source names this many endpoints that cannot be understood, such as this one.
    #[cfg(feature = "etcd")]
    pub(crate) fn skipped(&self, part: usize, count: usize, such: &str) {
        self.metrics.count(DiscoveryResult::Skipped, count);
        if count > 0 && self.on(part, Asked::first_skipped).unwrap_or_default() {
            log::warn!(
                "upstream `{}`: {}: what cannot be read as an endpoint is skipped, such as {such}",
                self.upstream,
                self.source(part)
            );
        }
    }

    /// The sources are right about what is in doubt: it goes at once. How many endpoints that were.
    pub(crate) fn accept(&self) -> usize {
        let gone = self.set.lock().parts.iter_mut().map(|asked| asked.judge.accept()).sum();
        self.metrics.count(DiscoveryResult::Accepted, usize::from(gone > 0));
        self.have_changed(gone > 0);
        gone
    }

    /// What this makes of each source.
    fn each<T>(&self, told: impl FnMut(&Asked) -> T) -> Vec<T> {
        self.set.lock().parts.iter().map(told).collect()
    }

    /// Does this with what is known of a source.
    fn on<T>(&self, part: usize, act: impl FnOnce(&mut Asked) -> T) -> Option<T> {
        let mut set = self.set.lock();
        let done = set.parts.get_mut(part).map(act);
        let age = set.age();
        self.metrics.as_of_if_shown((age.at, age.older));
        done
    }

    fn source(&self, part: usize) -> Arc<str> {
        self.set.lock().parts.get(part).map_or_else(|| "".into(), |asked| asked.source.clone())
    }

    /// Asks the pool what is known against its endpoints only where somebody wants to know.
    fn probed<T>(&self, act: impl FnOnce(Passes<'_>) -> T) -> T {
        let failing: OnceLock<Failing> = OnceLock::new();
        let look = || self.pool.lock().upgrade().map(|pool| pool.failing(Instant::now())).unwrap_or_default();
        act(&|address| {
            let failing = failing.get_or_init(look);
            match failing.addresses.contains(address) {
                true => Some(false),
                false => failing.probed.then_some(true),
            }
        })
    }

    fn have_changed(&self, changed: bool) {
        if changed {
            self.keeping.lock().is_due();
            self.due.store(true, Ordering::Release);
            self.woken.notify_one();
        }
    }

    /// Gives the pool what is known.
    fn give(&self, runtime: Option<&Handle>) {
        let _one = self.giving.lock();
        self.due.store(false, Ordering::Release);
        let Some(serving) = self.pool.lock().upgrade() else { return };
        let next = {
            let set = self.set.lock();
            set.with(&set.written)
        };
        if let Some(told) = serving.replace(&next, Instant::now()) {
            self.metrics.count(DiscoveryResult::Changed, 1);
            log::info!("upstream `{}` has {} now: {} came and {} went", self.upstream, in_words(next.len()), told.came, told.went);
        }
        if let Some(runtime) = runtime {
            health::watch(&serving, runtime);
        }
    }

    /// What is due.
    fn look(&self) {
        let changed = self.probed(|passes| {
            let mut set = self.set.lock();
            let mut changed = false;
            for asked in set.parts.iter_mut().filter(|asked| asked.judge.doubted() > 0) {
                changed |= asked.judge.look(passes);
            }
            changed
        });
        if changed || self.due.load(Ordering::Acquire) {
            self.give(Some(&Handle::current()));
        }
    }
}

impl Keeper {
    /// Writes to disk what is known, where that is due.
    async fn keep(&self) {
        let now = Instant::now();
        let Some(folder) = self.keeping.lock().begin(now) else { return };
        let known = self.each(|asked| Kept {
            source: asked.source.to_string(),
            age: asked.as_of.now(now),
            endpoints: asked.judge.endpoints().cloned().collect(),
        });
        let upstream = self.upstream.clone();
        let write = tokio::task::spawn_blocking(move || kept::write(&folder, &upstream, known, SystemTime::now()));
        if let Ok(written) = write.await
            && let Some(why) = self.keeping.lock().ended(written)
        {
            log::warn!("upstream `{}`: its endpoints are not kept for the next start: {why}", self.upstream);
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.tasks.get_mut().drain(..).for_each(|task| task.abort());
    }
}

/// Whom a source reports to.
#[derive(Clone)]
pub(crate) struct Reporter {
    keeper: Weak<Keeper>,
    part: usize,
}

impl Reporter {
    /// The endpoints are these, all of them.
    pub(crate) fn found(&self, endpoints: Vec<Found>) {
        self.tell(|keeper| keeper.found(self.part, endpoints));
    }

    /// They are what they were when they were last reported.
    pub(crate) fn again(&self) {
        self.tell(|keeper| keeper.again(self.part));
    }

    /// The source cannot be asked, for this reason, which holds nothing secret.
    pub(crate) fn failed(&self, why: String) {
        self.tell(|keeper| keeper.failed(self.part, Failed { why, is_invalid: false }));
    }

    /// The source answers, and what it says cannot be used, for this reason, which holds nothing secret.
    pub(crate) fn invalid(&self, why: String) {
        self.tell(|keeper| keeper.failed(self.part, Failed { why, is_invalid: true }));
    }

    /// It names this many endpoints that cannot be understood, such as this one.
    #[cfg(feature = "etcd")]
    pub(crate) fn skipped(&self, count: usize, such: &str) {
        self.tell(|keeper| keeper.skipped(self.part, count, such));
    }

    fn tell(&self, tell: impl FnOnce(&Keeper)) {
        if let Some(keeper) = self.keeper.upgrade() {
            tell(&keeper);
        }
    }
}

/// So many endpoints, in words.
pub(crate) fn in_words(count: usize) -> String {
    format!("{count} endpoint{}", if count == 1 { "" } else { "s" })
}

/// Gives the pool what has changed, as soon as may be.
async fn look_after(keeper: Weak<Keeper>, woken: Arc<Notify>) {
    loop {
        tokio::select! {
            () = woken.notified() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
        let Some(keeper) = keeper.upgrade() else { return };
        keeper.look();
        keeper.keep().await;
        drop(keeper);
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests;
