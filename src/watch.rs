//! Tells when a file may have other contents: what the kernel says of the folders that the file and the targets of its links lie in.
//!
//! A file that is replaced is another one under the same name, and a mounted volume is replaced by a link that leads elsewhere (`..data`), so
//! that folders are watched, never files. Not every file system says what happens in it: whoever waits looks from time to time all the same,
//! and compares contents, not times.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Weak};
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout, timeout_at};

/// How often one looks although nothing was heard.
pub(crate) const POLL: Duration = Duration::from_secs(10);
/// A file is looked at when nothing was heard for so long: who writes it may do so in several steps.
const QUIET: Duration = Duration::from_millis(50);
/// The longest that one waits for quiet.
const LOUD: Duration = Duration::from_secs(1);
/// The most links that lead to a file, as the kernel has it.
const LINKS: usize = 40;

/// One for the process: the kernel has few of them for each user.
static WATCHER: LazyLock<Option<Shared>> = LazyLock::new(Shared::new);

struct Shared {
    watcher: Mutex<RecommendedWatcher>,
    waiting: Arc<Mutex<Waiting>>,
}

/// Who wants to know of a folder, and of which names in it.
type Waiting = HashMap<PathBuf, Vec<(Weak<Notify>, Names)>>;

/// Names in a folder; [`EVERY_YAML`] is every name with this ending. What happens to others, such as logs, wakes nobody.
type Names = BTreeSet<OsString>;

/// In place of a file's name: every one that ends like it.
pub(crate) const EVERY_YAML: &str = "*.yaml";

/// Watches files for as long as it is held.
pub(crate) struct Watch {
    paths: Vec<PathBuf>,
    folders: BTreeMap<PathBuf, Names>,
    woken: Arc<Notify>,
}

impl Watch {
    /// One of no file yet, which wakes this.
    pub(crate) fn waking(woken: Arc<Notify>) -> Self {
        Self { paths: Vec::new(), folders: BTreeMap::new(), woken }
    }

    /// Nothing is watched before [`Self::follow`].
    pub(crate) fn new(path: &Path) -> Self {
        Self { paths: vec![path.to_owned()], folders: BTreeMap::new(), woken: Arc::default() }
    }

    /// Watches these files from now on, and follows them.
    pub(crate) fn follow_these(&mut self, paths: Vec<PathBuf>) {
        self.paths = paths;
        self.follow();
    }

    /// Finds out where the files lie now, and watches there. To be called before they are read, and where file systems may be waited for.
    pub(crate) fn follow(&mut self) {
        let mut folders: BTreeMap<PathBuf, Names> = BTreeMap::new();
        for (folder, names) in self.paths.iter().flat_map(|path| folders_of(path)) {
            folders.entry(folder).or_default().extend(names);
        }
        if let Some(shared) = &*WATCHER {
            for gone in self.folders.keys().filter(|folder| !folders.contains_key(*folder)) {
                shared.leave(gone, &self.woken);
            }
            for (folder, names) in folders.iter().filter(|(folder, names)| self.folders.get(*folder) != Some(names)) {
                shared.join(folder, names, &self.woken);
            }
        }
        self.folders = folders;
    }

    /// What is woken when something happens there.
    pub(crate) fn woken(&self) -> Arc<Notify> {
        self.woken.clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(shared) = &*WATCHER {
            self.folders.keys().for_each(|folder| shared.leave(folder, &self.woken));
        }
    }
}

/// Waits until the files may have changed.
pub(crate) async fn changed(woken: &Notify) {
    if timeout(POLL, woken.notified()).await.is_ok() {
        let end = Instant::now() + LOUD;
        while timeout_at(end.min(Instant::now() + QUIET), woken.notified()).await.is_ok() {}
    }
}

impl Shared {
    fn new() -> Option<Self> {
        let waiting: Arc<Mutex<Waiting>> = Arc::default();
        let heard = waiting.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| hear(&heard, event));
        match watcher {
            Ok(watcher) => Some(Self { watcher: Mutex::new(watcher), waiting }),
            Err(error) => {
                log::warn!("changes of files cannot be heard of, so they are looked for every {} s: {error}", POLL.as_secs());
                None
            }
        }
    }

    /// From now on these names are what this one waits for in the folder.
    fn join(&self, folder: &Path, names: &Names, woken: &Arc<Notify>) {
        // Before the other lock, which the watcher's own thread takes: what is watched and who waits for it change together.
        let mut watcher = self.watcher.lock();
        let is_first = {
            let mut waiting = self.waiting.lock();
            let who = waiting.entry(folder.to_owned()).or_default();
            let is_first = who.is_empty();
            who.retain(|(other, _)| !is_of(other, woken));
            who.push((Arc::downgrade(woken), names.clone()));
            is_first
        };
        // What cannot be watched is looked at all the same.
        if is_first && let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) {
            log::debug!("`{}` cannot be watched: {error}", folder.display());
        }
    }

    fn leave(&self, folder: &Path, woken: &Arc<Notify>) {
        let mut watcher = self.watcher.lock();
        let is_last = {
            let mut waiting = self.waiting.lock();
            let Some(who) = waiting.get_mut(folder) else { return };
            who.retain(|(other, _)| other.strong_count() > 0 && !is_of(other, woken));
            let is_last = who.is_empty();
            if is_last {
                waiting.remove(folder);
            }
            is_last
        };
        if is_last {
            // A folder that is gone is watched no more.
            let _ = watcher.unwatch(folder);
        }
    }
}

fn is_of(one: &Weak<Notify>, woken: &Arc<Notify>) -> bool {
    std::ptr::eq(one.as_ptr(), Arc::as_ptr(woken))
}

fn has(names: &Names, name: &OsStr) -> bool {
    let ends = || name.as_encoded_bytes().ends_with(EVERY_YAML.trim_start_matches('*').as_bytes());
    names.contains(name) || names.contains(OsStr::new(EVERY_YAML)) && ends()
}

/// Wakes whoever waits for what this is about; where that is not known, everybody.
fn hear(waiting: &Mutex<Waiting>, event: notify::Result<notify::Event>) {
    let event = match event {
        Ok(event) if matches!(event.kind, EventKind::Access(_)) => return,
        Ok(event) if !event.need_rescan() && !event.paths.is_empty() => Some(event),
        _ => None,
    };
    let waiting = waiting.lock();
    let wake = |woken: &Weak<Notify>| woken.upgrade().into_iter().for_each(|woken| woken.notify_one());
    let everybody = |who: &Vec<(Weak<Notify>, Names)>| who.iter().for_each(|(woken, _)| wake(woken));
    let Some(event) = event else { return waiting.values().for_each(everybody) };
    for path in &event.paths {
        // Of a folder itself, or of something in one.
        waiting.get(path).into_iter().for_each(everybody);
        let inside = path.parent().and_then(|folder| waiting.get(folder)).zip(path.file_name());
        if let Some((who, name)) = inside {
            who.iter().filter(|(_, names)| has(names, name)).for_each(|(woken, _)| wake(woken));
        }
    }
}

/// The folders in which something has to happen before this path leads to other contents, and to which names there: those of the file itself
/// and of every link on the way to it.
fn folders_of(path: &Path) -> BTreeMap<PathBuf, Names> {
    let mut found: Vec<(PathBuf, OsString)> = Vec::new();
    let mut next = vec![std::path::absolute(path).unwrap_or_else(|_| path.to_owned())];
    let mut links = 0;
    while let Some(path) = next.pop() {
        let mut so_far = PathBuf::new();
        for part in path.components() {
            let folder = so_far.clone();
            so_far.push(part);
            if links < LINKS
                && let Ok(target) = std::fs::read_link(&so_far)
            {
                links += 1;
                next.push(folder.join(target));
                found.push((folder, part.as_os_str().to_owned()));
            }
        }
        found.extend(so_far.parent().map(Path::to_owned).zip(so_far.file_name().map(OsStr::to_owned)));
    }
    // A link that leads elsewhere later on is another folder then.
    let mut folders: BTreeMap<PathBuf, Names> = BTreeMap::new();
    for (folder, name) in found {
        if let Ok(folder) = std::fs::canonicalize(folder) {
            folders.entry(folder).or_default().insert(name);
        }
    }
    folders
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("frontgate-watch-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::canonicalize(folder).expect("a folder")
    }

    /// Waits for less than the time after which one looks anyway.
    async fn hears(woken: &Notify) -> bool {
        timeout(POLL / 2, changed(woken)).await.is_ok()
    }

    #[tokio::test]
    async fn a_file_that_is_written_or_replaced_is_heard_of() {
        let folder = scratch("file");
        let file = folder.join("targets.json");
        let mut watch = Watch::new(&file);
        watch.follow();
        let woken = watch.woken();

        std::fs::write(&file, "one").expect("written");
        assert!(hears(&woken).await, "it came");
        std::fs::write(&file, "two").expect("written");
        assert!(hears(&woken).await, "it was written");
        std::fs::write(folder.join("new"), "three").expect("written");
        std::fs::rename(folder.join("new"), &file).expect("renamed");
        assert!(hears(&woken).await, "it was replaced");
        std::fs::remove_dir_all(&folder).expect("removed");
    }

    #[tokio::test]
    async fn a_volume_that_is_exchanged_by_a_link_is_heard_of_again_and_again() {
        let folder = scratch("volume");
        for (name, text) in [("..1", "one"), ("..2", "two"), ("..3", "three")] {
            std::fs::create_dir(folder.join(name)).expect("a folder");
            std::fs::write(folder.join(name).join("targets.json"), text).expect("written");
        }
        symlink("..1", folder.join("..data")).expect("a link");
        symlink("..data/targets.json", folder.join("targets.json")).expect("a link");
        let mut watch = Watch::new(&folder.join("targets.json"));
        let woken = watch.woken();

        for (target, text) in [("..2", "two"), ("..3", "three")] {
            watch.follow();
            symlink(target, folder.join("..tmp")).expect("a link");
            std::fs::rename(folder.join("..tmp"), folder.join("..data")).expect("renamed");
            assert!(hears(&woken).await, "{target}");
            assert_eq!(std::fs::read_to_string(folder.join("targets.json")).expect("read"), text);
        }
        watch.follow();
        std::fs::write(folder.join("..3/targets.json"), "four").expect("written");
        assert!(hears(&woken).await, "where the link leads now");
        std::fs::remove_dir_all(&folder).expect("removed");
    }

    #[test]
    fn links_that_lead_in_circles_have_an_end() {
        let folder = scratch("circle");
        symlink("b", folder.join("a")).expect("a link");
        symlink("a", folder.join("b")).expect("a link");

        assert!(folders_of(&folder.join("a")).keys().eq([&folder]));
        std::fs::remove_dir_all(&folder).expect("removed");
    }

    #[tokio::test]
    async fn what_happens_to_others_in_a_folder_wakes_nobody() {
        let folder = scratch("others");
        let (mut one, mut all) = (Watch::new(&folder.join("one.key")), Watch::new(&folder.join(EVERY_YAML)));
        one.follow();
        all.follow();
        let (one_woken, all_woken) = (one.woken(), all.woken());

        std::fs::write(folder.join("access.log"), "a line").expect("written");
        std::fs::write(folder.join("new.yaml"), "text").expect("written");
        assert!(hears(&all_woken).await, "a new one of its kind");
        assert!(timeout(QUIET, one_woken.notified()).await.is_err(), "neither is it");
        std::fs::write(folder.join("access.log"), "another line").expect("written");
        std::fs::write(folder.join("one.key"), "text").expect("written");
        assert!(hears(&one_woken).await, "it");
        assert!(timeout(QUIET, all_woken.notified()).await.is_err(), "neither is of its kind");

        // What is followed may be another one without being missed in between.
        one.follow_these(vec![folder.join("two.key")]);
        std::fs::write(folder.join("two.key"), "text").expect("written");
        assert!(hears(&one_woken).await, "the other one");
        std::fs::remove_dir_all(&folder).expect("removed");
    }

    #[test]
    fn a_folder_is_watched_for_as_long_as_somebody_wants_to_know() {
        let folder = scratch("several");
        let waiting = || WATCHER.as_ref().expect("a watcher").waiting.lock().get(&folder).map(Vec::len);
        let (mut one, mut other) = (Watch::new(&folder.join("a")), Watch::new(&folder.join("b")));
        one.follow();
        other.follow();
        one.follow();
        assert_eq!(waiting(), Some(2));

        drop(one);
        assert_eq!(waiting(), Some(1));
        drop(other);
        assert_eq!(waiting(), None);
        std::fs::remove_dir_all(&folder).expect("removed");
    }
}
