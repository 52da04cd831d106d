//! The configurations that were in force of late, kept in `server.state_dir`, so that one of them can be put in force again.
//!
//! A file each, replaced whole, for its owner alone: the texts as they were written, with `${NAME}` in them and without the secrets that they
//! name. What was rolled back to, and over what, is a file beside them: it holds through a restart for as long as the files of the configuration
//! mean what was rolled back from.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::config::{Loaded, Source};
use crate::files;

/// How many are kept.
const MOST: usize = 5;
/// The largest file that is written or read, in bytes.
const LARGEST: u64 = 16 << 20;
/// The form of the files.
const FORMAT: u32 = 1;
/// What was rolled back to.
const ROLLBACK: &str = "rollback.json";

/// A configuration that was accepted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    format: u32,
    /// The larger, the later: clocks are set back.
    number: u64,
    /// Its hash.
    pub hash: String,
    /// When it was accepted, in seconds since 1970.
    at: u64,
    /// How it came: `start`, `watch`, `signal`, `admin`.
    pub how: String,
    /// Who asked for it, where it was an operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    files: Vec<Text>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Text {
    name: String,
    text: String,
}

/// What was rolled back to, and what it holds against.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rollback {
    format: u32,
    /// The hash of the configuration that holds.
    pub hash: String,
    /// When, in seconds since 1970.
    at: u64,
    /// Who asked for it.
    pub who: String,
    /// The texts of the files that are not in force.
    over: Vec<Text>,
    /// The hashes of what was rolled back from: what the files held when they were in force, and what they held when that was asked for.
    #[serde(default)]
    over_hashes: Vec<String>,
}

/// What is known of a rollback when a process begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Before {
    /// There was none.
    None,
    /// It holds.
    Holds(Rollback),
    /// It was one to this configuration, and the files mean something else by now.
    Over(String),
}

/// Where they are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct History(PathBuf);

impl Entry {
    /// When it was accepted.
    pub(crate) fn at(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.at)
    }

    /// Writes its files into a directory, which is made where there is none, under the names that they had. Nothing that is there is replaced.
    /// Where each came from and where it is now; the error is a sentence.
    pub(crate) fn write_into(&self, folder: &Path) -> Result<Vec<(String, PathBuf)>, String> {
        let cannot = |path: &Path, error: &std::io::Error| format!("`{}` cannot be written: {}", path.display(), files::words(error));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| cannot(folder, &error))?;
        let named = self.files.iter().map(|file| {
            let name = Path::new(&file.name).file_name().ok_or_else(|| format!("`{}` is no name of a file", file.name))?;
            Ok((file, folder.join(name)))
        });
        let named = named.collect::<Result<Vec<_>, String>>()?;
        if let Some((_, path)) = named.iter().find(|(_, path)| fs::symlink_metadata(path).is_ok()) {
            return Err(format!("`{}` is there already, and is left as it is", path.display()));
        }
        for (file, path) in &named {
            let written = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
            written.and_then(|mut new| new.write_all(file.text.as_bytes())).map_err(|error| cannot(path, &error))?;
        }
        Ok(named.into_iter().map(|(file, path)| (file.name.clone(), path)).collect())
    }

    /// The texts of its files.
    pub(crate) fn sources(&self) -> Vec<Source> {
        sources(&self.files)
    }
}

impl Rollback {
    /// To the configuration of this hash, which holds while the files have these texts, or mean one of those configurations.
    pub(crate) fn new(hash: &str, who: String, over: &[Source], over_hashes: Vec<String>, now: SystemTime) -> Self {
        Self { format: FORMAT, hash: hash.to_owned(), at: seconds(now), who, over: texts(over), over_hashes }
    }

    /// When.
    pub(crate) fn at(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.at)
    }

    /// Whether it holds against files with these texts, which are a configuration of this hash where they are one.
    pub(crate) fn is_over(&self, sources: &[Source], hash: Option<&str>) -> bool {
        hash.is_some_and(|hash| self.over_hashes.iter().any(|over| over == hash)) || self.over == texts(sources)
    }

    /// The configurations that it was rolled back from.
    pub(crate) fn over_hashes(&self) -> &[String] {
        &self.over_hashes
    }
}

impl History {
    /// That in this directory, which is what `server.state_dir` names.
    pub(crate) fn in_state(state: &Path) -> Self {
        Self(state.join("configurations"))
    }

    /// That of a configuration; nothing where it keeps nothing on disk.
    pub(crate) fn of(loaded: &Loaded) -> Option<Self> {
        Some(Self::in_state(&loaded.state_dir()?))
    }

    /// Every configuration that is kept, the last one first. The error says why a file is not used, for each that is not.
    pub(crate) fn entries(&self) -> (Vec<Entry>, Vec<String>) {
        let folder = self.0.clone();
        let listed = files::patiently(&self.0, move || match fs::read_dir(&folder) {
            Ok(entries) => Ok(entries.flatten().map(|entry| entry.path()).collect()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(files::unreadable(&folder, &error)),
        });
        let (mut entries, mut problems) = (Vec::new(), Vec::new());
        let paths: Vec<PathBuf> = listed.unwrap_or_else(|why| {
            problems.push(why);
            Vec::new()
        });
        for path in paths.iter().filter(|path| hash_of(path).is_some()) {
            match read::<Entry>(path) {
                Ok(Some(entry)) if entry.format == FORMAT && hash_of(path) == Some(entry.hash.as_str()) => entries.push(entry),
                Ok(None) => {}
                Ok(Some(_)) => problems.push(format!("`{}` is of something else", path.display())),
                Err(why) => problems.push(why),
            }
        }
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.number));
        entries.truncate(MOST);
        (entries, problems)
    }

    /// Keeps a configuration that was accepted, as the last one. Where it is the last one already, its texts are those of now.
    pub(crate) fn keep(&self, loaded: &Loaded, how: &str, who: Option<String>, now: SystemTime) -> Result<(), String> {
        let (entries, _) = self.entries();
        let files = texts(loaded.sources());
        let entry = match entries.first() {
            Some(last) if last.hash == loaded.hash && last.files == files => return Ok(()),
            Some(last) if last.hash == loaded.hash => Entry { files, ..last.clone() },
            last => Entry {
                format: FORMAT,
                number: last.map_or(0, |last| last.number) + 1,
                hash: loaded.hash.clone(),
                at: seconds(now),
                how: how.to_owned(),
                who,
                files,
            },
        };
        self.write(&format!("{}.json", entry.hash), &entry)?;
        // The same one from before is the same file.
        let older = entries.iter().filter(|older| older.hash != entry.hash).skip(MOST - 1);
        older.for_each(|older| drop(fs::remove_file(self.0.join(format!("{}.json", older.hash)))));
        Ok(())
    }

    /// What was rolled back to, and whether that still holds: this is what the files hold now.
    pub(crate) fn rollback(&self, disk: &Loaded) -> Result<Before, String> {
        let found: Option<Rollback> = read(&self.0.join(ROLLBACK))?;
        Ok(match found.filter(|found| found.format == FORMAT) {
            None => Before::None,
            Some(found) if found.hash != disk.hash && found.is_over(disk.sources(), Some(&disk.hash)) => Before::Holds(found),
            Some(found) => Before::Over(found.hash),
        })
    }

    /// What was rolled back to, where that was not let go, with who did it and when.
    pub(crate) fn rolled_back_to(&self) -> Option<(String, String, SystemTime)> {
        let found: Rollback = read(&self.0.join(ROLLBACK)).ok()??;
        (found.format == FORMAT).then(|| (found.hash.clone(), found.who.clone(), found.at()))
    }

    /// Keeps it through a restart.
    pub(crate) fn hold(&self, rollback: &Rollback) -> Result<(), String> {
        self.write(ROLLBACK, rollback)
    }

    /// What was rolled back to holds no more.
    pub(crate) fn let_go(&self) -> Result<(), String> {
        let path = self.0.join(ROLLBACK);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(format!("`{}` cannot be removed: {}", path.display(), files::words(&error)))
            }
            _ => Ok(()),
        }
    }

    fn write(&self, name: &str, value: &impl Serialize) -> Result<(), String> {
        let path = self.0.join(name);
        let cannot = |error: std::io::Error| format!("`{}` cannot be written: {}", path.display(), files::words(&error));
        let bytes = serde_json::to_vec(value).map_err(|error| cannot(error.into()))?;
        if bytes.len() as u64 > LARGEST {
            return Err(format!("`{}` is not written: it would be larger than {} MiB", path.display(), LARGEST >> 20));
        }
        files::replace(&path, &bytes).map_err(cannot)
    }
}

/// The hash that a file is called after.
fn hash_of(path: &Path) -> Option<&str> {
    let name = path.file_name()?.to_str()?.strip_suffix(".json")?;
    (name.len() == 12 && name.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(name)
}

/// What a file holds; nothing where there is none.
fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<Option<T>, String> {
    if matches!(fs::symlink_metadata(path), Err(error) if error.kind() == ErrorKind::NotFound) {
        return Ok(None);
    }
    let bytes = files::read(path, LARGEST)?;
    serde_json::from_slice(&bytes).map(Some).map_err(|_| format!("`{}` is not what was written there", path.display()))
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Under whole paths: another process may begin in another directory.
fn texts(sources: &[Source]) -> Vec<Text> {
    let whole = |name: &str| std::path::absolute(name).map_or_else(|_| name.to_owned(), |path| path.display().to_string());
    sources.iter().map(|source| Text { name: whole(&source.name), text: source.text.clone() }).collect()
}

fn sources(texts: &[Text]) -> Vec<Source> {
    texts.iter().map(|text| Source { name: text.name.clone(), text: text.text.clone() }).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::config::load_text;

    fn scratch(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("frontgate-history-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        folder
    }

    /// A configuration that keeps its history in this folder.
    fn loaded(folder: &Path, route: &str) -> Loaded {
        let text = format!(
            "version: 1\nserver: {{listeners: [{{address: \"127.0.0.1:0\"}}], state_dir: \"{}\"}}\nroutes: [{{name: all, path: {route}, respond: {{}}}}]\n",
            folder.display()
        );
        load_text("a.yaml", &text).unwrap_or_else(|problems| panic!("{}", problems.render(false)))
    }

    fn routes(history: &History) -> Vec<String> {
        let (entries, problems) = history.entries();
        assert_eq!(problems, [""; 0]);
        let path = |entry: &Entry| entry.files[0].text.split("path: ").nth(1)?.split(',').next().map(str::to_owned);
        entries.iter().filter_map(path).collect()
    }

    #[test]
    fn the_last_five_are_kept_for_their_owner_alone_and_the_last_one_is_the_first() {
        let folder = scratch("five");
        let history = History::of(&loaded(&folder, "/0")).expect("a folder");
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
        assert_eq!(history.entries(), (Vec::new(), Vec::new()));

        for number in 0..7 {
            // However the clock is set meanwhile.
            let kept = history.keep(&loaded(&folder, &format!("/{number}")), "watch", None, now - Duration::from_secs(number));
            assert_eq!(kept, Ok(()));
        }

        assert_eq!(routes(&history), ["/6", "/5", "/4", "/3", "/2"]);
        let files: Vec<_> = fs::read_dir(&history.0).expect("a folder").flatten().map(|entry| entry.path()).collect();
        assert_eq!(files.len(), 5, "{files:?}");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert!(files.iter().all(|file| mode(file) == 0o600));
        assert_eq!(mode(&history.0), 0o700);
        fs::remove_dir_all(&folder).expect("removed");
    }

    #[test]
    fn one_that_comes_back_is_the_last_one_and_no_second() {
        let folder = scratch("back");
        let history = History::of(&loaded(&folder, "/0")).expect("a folder");
        let keep = |route: &str, how: &str| history.keep(&loaded(&folder, route), how, Some("me".to_owned()), SystemTime::now());

        for (route, how) in [("/0", "start"), ("/1", "watch"), ("/0", "admin"), ("/0", "start")] {
            assert_eq!(keep(route, how), Ok(()));
        }

        assert_eq!(routes(&history), ["/0", "/1"]);
        let (entries, _) = history.entries();
        assert_eq!((entries[0].how.as_str(), entries[0].who.as_deref()), ("admin", Some("me")), "it has been so since then");
        fs::remove_dir_all(&folder).expect("removed");
    }

    #[test]
    fn a_rollback_holds_for_as_long_as_the_files_mean_what_was_rolled_back_from() {
        let folder = scratch("rollback");
        let (old, new, other) = (loaded(&folder, "/old"), loaded(&folder, "/new"), loaded(&folder, "/other"));
        let again = load_text("a.yaml", &format!("# in other words\n{}", new.sources()[0].text)).expect("the same");
        let history = History::of(&new).expect("a folder");
        let now = UNIX_EPOCH + Duration::from_secs(7);
        let rollback = Rollback::new(&old.hash, "me".to_owned(), new.sources(), vec![new.hash.clone()], now);

        assert_eq!(history.rollback(&new), Ok(Before::None));
        history.hold(&rollback).expect("kept");

        assert_eq!(history.rollback(&new), Ok(Before::Holds(rollback.clone())));
        assert_eq!(history.rollback(&again), Ok(Before::Holds(rollback.clone())));
        assert_eq!(history.rollback(&other), Ok(Before::Over(old.hash.clone())));
        // One whose texts mean something else since the environment does.
        assert!(rollback.is_over(new.sources(), Some("another")) && rollback.is_over(new.sources(), None));
        assert_eq!((history.let_go(), history.let_go()), (Ok(()), Ok(())));
        assert_eq!(history.rollback(&new), Ok(Before::None));
        fs::remove_dir_all(&folder).expect("removed");
    }

    #[test]
    fn what_is_broken_is_told_of_and_keeps_nothing_else_from_being_used() {
        let folder = scratch("broken");
        let history = History::of(&loaded(&folder, "/0")).expect("a folder");
        for route in ["/0", "/1", "/2"] {
            history.keep(&loaded(&folder, route), "watch", None, SystemTime::now()).expect("kept");
        }
        let file = |route: &str| history.0.join(format!("{}.json", loaded(&folder, route).hash));
        fs::write(file("/1"), "{").expect("written");
        fs::copy(file("/0"), file("/2")).expect("copied");
        fs::write(history.0.join("notes.json"), "mine").expect("written");

        let (entries, mut problems) = history.entries();

        problems.sort_by_key(|problem| problem.contains("something else"));
        assert_eq!(entries.iter().map(|entry| entry.hash.as_str()).collect::<Vec<_>>(), [loaded(&folder, "/0").hash]);
        assert!(problems[0].ends_with("is not what was written there") && problems[1].ends_with("is of something else"), "{problems:?}");
        fs::remove_dir_all(&folder).expect("removed");
        fs::write(&folder, "no folder").expect("written");
        assert!(history.keep(&loaded(&folder, "/0"), "watch", None, SystemTime::now()).is_err_and(|why| why.contains("cannot be written")));
        fs::remove_file(&folder).expect("removed");
    }
}
