//! `discover: {file}`: endpoints from a file that somebody else writes.
//!
//! It is read when it changes, and from time to time anyway. One that cannot be read, or holds a mistake, leaves the endpoints as they are.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use frontgate_filters::words::spanned::Spanned;

use super::{Found, Part, Reporter};
use crate::config::diagnostics::Diagnostics;
use crate::config::model::Address;
use crate::config::{Loaded, targets};
use crate::files;
use crate::watch::{POLL, Watch, changed};

/// The largest file that is read, in bytes.
const LARGEST: u64 = 8 << 20;

/// Why a file gives no endpoints.
pub(crate) enum Unusable {
    /// It cannot be read.
    Unreadable(String),
    /// What it holds is wrong.
    Wrong(Diagnostics),
}

/// The source that a file is.
pub(super) fn part(path: &Spanned<PathBuf>, loaded: &Loaded) -> Part {
    let resolved: Arc<Path> = loaded.resolve_path(path.place, path).into();
    Part {
        source: format!("file {}", path.display()),
        identity: format!("file {}", resolved.display()),
        patience: POLL,
        run: Arc::new(move |reporter| Box::pin(run(reporter, resolved.clone()))),
    }
}

/// The endpoints that a file lists.
pub(crate) fn read(path: &Path) -> Result<Vec<Found>, Unusable> {
    files::read(path, LARGEST).map_err(Unusable::Unreadable).and_then(|bytes| parse(path, &bytes))
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Vec<Found>, Unusable> {
    let name = path.display().to_string();
    let text = std::str::from_utf8(bytes).map_err(|_| Unusable::Unreadable(format!("`{name}` is not UTF-8")))?;
    let listed = targets::read(&name, text.trim_start_matches('\u{feff}')).map_err(Unusable::Wrong)?;
    let found = listed.iter().filter_map(|endpoint| match endpoint.address {
        Address::Ip(address) => Some(Found::at(address, None, endpoint)),
        Address::Name(_) => None,
    });
    Ok(found.collect())
}

/// What reading it has come to.
enum Came {
    /// The bytes are those that were read last.
    Same,
    Other(Vec<Found>, Vec<u8>),
    Failed(String),
    Invalid(String),
}

async fn run(reporter: Reporter, path: Arc<Path>) {
    let mut watch = Watch::new(&path);
    let woken = watch.woken();
    let mut held: Option<Arc<Vec<u8>>> = None;
    loop {
        let (file, before) = (path.clone(), held.clone());
        let look = tokio::task::spawn_blocking(move || {
            // First, so that what changes after it was read is heard of.
            watch.follow();
            (look(&file, before.as_deref()), watch)
        });
        let Ok((came, back)) = look.await else { return };
        watch = back;
        match came {
            Came::Same => reporter.again(),
            Came::Other(endpoints, bytes) => {
                reporter.found(endpoints);
                held = Some(Arc::new(bytes));
            }
            Came::Failed(why) => reporter.failed(why),
            Came::Invalid(why) => reporter.invalid(why),
        }
        changed(&woken).await;
    }
}

fn look(path: &Path, before: Option<&Vec<u8>>) -> Came {
    let bytes = match files::read(path, LARGEST) {
        Ok(bytes) if before == Some(&bytes) => return Came::Same,
        Ok(bytes) => bytes,
        Err(why) => return Came::Failed(why),
    };
    match parse(path, &bytes) {
        Ok(endpoints) => Came::Other(endpoints, bytes),
        Err(Unusable::Unreadable(why)) => Came::Invalid(why),
        Err(Unusable::Wrong(problems)) => Came::Invalid(problems.in_a_line()),
    }
}
