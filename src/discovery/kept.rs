//! What sources said last, kept on disk: a gateway that starts while a source is away begins with it.
//!
//! One file an upstream in `server.state_dir`, replaced whole, for its owner alone. What cannot be read or belongs to something else is not
//! used, and is written over in time.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::Found;
use crate::config::model::{Name, is_host_name};
use crate::files;

/// The largest file that is written or read, in bytes.
const LARGEST: u64 = 16 << 20;
/// The form of the file.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct File {
    format: u32,
    upstream: String,
    sources: Vec<Source>,
}

#[derive(Serialize, Deserialize)]
struct Source {
    source: String,
    /// In seconds since 1970.
    as_of: u64,
    endpoints: Vec<Endpoint>,
}

#[derive(Serialize, Deserialize)]
struct Endpoint {
    address: SocketAddr,
    weight: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

/// What a source said last.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Kept {
    /// Which source.
    pub source: String,
    /// How long ago it said so.
    pub age: Duration,
    /// Its endpoints.
    pub endpoints: Vec<Found>,
}

/// Where it is kept for this upstream.
fn path(folder: &Path, upstream: &str) -> PathBuf {
    folder.join("endpoints").join(format!("{upstream}.json"))
}

/// What was kept of an upstream's sources; nothing where nothing was. The error says why it is not used.
pub(crate) fn read(folder: &Path, upstream: &str, now: SystemTime) -> Result<Vec<Kept>, String> {
    let path = path(folder, upstream);
    if matches!(fs::symlink_metadata(&path), Err(error) if error.kind() == io::ErrorKind::NotFound) {
        return Ok(Vec::new());
    }
    let unusable = |why: &str| format!("`{}` {why}", path.display());
    let bytes = files::read(&path, LARGEST)?;
    let file: File = serde_json::from_slice(&bytes).map_err(|_| unusable("is not what was written there"))?;
    if file.format != FORMAT || file.upstream != upstream {
        return Err(unusable("is of something else"));
    }
    let sources = file.sources.into_iter().map(|source| {
        let endpoints = source.endpoints.into_iter().map(Endpoint::found).collect::<Option<Vec<Found>>>();
        let at = UNIX_EPOCH + Duration::from_secs(source.as_of);
        // A clock that was set back knows of no age.
        let age = now.duration_since(at).unwrap_or_default();
        Some(Kept { source: source.source, age, endpoints: endpoints? })
    });
    sources.collect::<Option<Vec<Kept>>>().ok_or_else(|| unusable("is not what was written there"))
}

/// Writes what the sources of an upstream said last in the place of what was there: all of it or nothing.
pub(super) fn write(folder: &Path, upstream: &str, sources: Vec<Kept>, now: SystemTime) -> Result<(), String> {
    let sources = sources.into_iter().map(|kept| Source {
        source: kept.source,
        as_of: now.checked_sub(kept.age).and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default().as_secs(),
        endpoints: kept.endpoints.into_iter().map(Endpoint::from).collect(),
    });
    let file = File { format: FORMAT, upstream: upstream.to_owned(), sources: sources.collect() };
    let path = path(folder, upstream);
    let cannot = |error: &io::Error| format!("`{}` cannot be written: {}", path.display(), files::words(error));
    let bytes = serde_json::to_vec(&file).map_err(|error| cannot(&error.into()))?;
    if bytes.len() as u64 > LARGEST {
        return Err(format!("`{}` is not written: it would be larger than {} MiB", path.display(), LARGEST >> 20));
    }
    files::replace(&path, &bytes).map_err(|error| cannot(&error))
}

impl Endpoint {
    fn found(self) -> Option<Found> {
        let is_version = |version: &String| !version.is_empty() && version.bytes().all(|byte| (0x21..0x7f).contains(&byte));
        if self.address.port() == 0 || !self.version.as_ref().is_none_or(is_version) {
            return None;
        }
        let name = match self.name.as_deref().map(|name| name.rsplit_once(':')) {
            None => None,
            Some(Some((host, port))) if is_host_name(host) => Some(Name { host: host.into(), port: port.parse().ok()? }),
            Some(_) => return None,
        };
        Some(Found { address: self.address, weight: self.weight, version: self.version, name })
    }
}

impl From<Found> for Endpoint {
    fn from(found: Found) -> Self {
        Self { address: found.address, weight: found.weight, version: found.version, name: found.name.map(|name| name.to_string()) }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("frontgate-kept-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        folder
    }

    fn kept(source: &str, age: u64) -> Kept {
        let name = Name { host: "shop.internal".into(), port: 80 };
        let one =
            Found { address: "10.0.0.1:80".parse().expect("an address"), weight: 3, version: Some("v2".to_owned()), name: Some(name) };
        let other = Found { address: "[::1]:81".parse().expect("an address"), weight: 1, version: None, name: None };
        Kept { source: source.to_owned(), age: Duration::from_secs(age), endpoints: vec![one, other] }
    }

    #[test]
    fn what_was_written_is_read_back_older_and_is_its_owners_alone() {
        let (folder, now) = (scratch("good"), UNIX_EPOCH + Duration::from_secs(1_000_000));
        assert_eq!(read(&folder, "shop", now), Ok(Vec::new()));

        write(&folder, "shop", vec![kept("file a", 5)], now).expect("written");
        write(&folder, "shop", vec![kept("file b", 7)], now).expect("written again");

        assert_eq!(read(&folder, "shop", now + Duration::from_secs(10)), Ok(vec![kept("file b", 17)]));
        assert_eq!(read(&folder, "shop", now - Duration::from_secs(100)), Ok(vec![kept("file b", 0)]), "the clock was set back");
        let mode = fs::metadata(path(&folder, "shop")).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.join("endpoints")).expect("a folder").count(), 1, "nothing else is left");
        fs::remove_dir_all(&folder).expect("removed");
    }

    #[test]
    fn what_is_broken_or_of_something_else_is_not_used() {
        let (folder, now) = (scratch("bad"), UNIX_EPOCH + Duration::from_secs(1_000_000));
        write(&folder, "shop", vec![kept("file a", 5)], now).expect("written");
        let file = path(&folder, "shop");
        let good = fs::read_to_string(&file).expect("a file");
        fs::copy(&file, path(&folder, "other")).expect("copied");

        assert_eq!(read(&folder, "other", now), Err(format!("`{}` is of something else", path(&folder, "other").display())));
        for bad in [
            "".to_owned(),
            "[]".to_owned(),
            good[..good.len() / 2].to_owned(),
            good.replace("\"format\":1", "\"format\":2"),
            good.replace("10.0.0.1:80", "10.0.0.1:0"),
            good.replace("10.0.0.1:80", "shop"),
            good.replace("\"v2\"", "\"v 2\""),
            good.replace("shop.internal:80", "shop..internal:80"),
            good.replace("shop.internal:80", "shop.internal"),
        ] {
            fs::write(&file, &bad).expect("written");
            assert!(read(&folder, "shop", now).is_err(), "{bad}");
        }
        fs::remove_dir_all(&folder).expect("removed");
    }

    #[test]
    fn a_folder_that_cannot_be_written_to_is_told_of() {
        let folder = scratch("none");
        fs::write(&folder, "no folder").expect("a file");

        let why = write(&folder, "shop", Vec::new(), UNIX_EPOCH).expect_err("no folder");

        assert!(why.contains("cannot be written") && why.contains("shop.json"), "{why}");
        fs::remove_file(&folder).expect("removed");
    }
}
