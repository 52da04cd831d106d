//! Looks at the files of a configuration when something happens to them, and from time to time anyway.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use super::{Reloader, mounted};
use crate::watch::{Watch, changed};

/// Watches on a thread of its own for as long as the process runs.
pub(crate) fn watch(reloader: Arc<Reloader>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let mut watch = Watch::waking(reloader.stirred.clone());
    // What is opened for it is there before anybody is served.
    watch.follow_these(reloader.watched());
    let mut known = BTreeSet::new();
    let work = move || {
        while !reloader.is_draining() {
            // First, so that what changes after it was read is heard of. What is read now may name other files: whoever reads it wakes this
            // thread, which then watches these as well.
            watch.follow_these(reloader.watched());
            while reloader.look() {}
            warn_of_mounts(&reloader, &mut known);
            runtime.block_on(changed(&watch.woken()));
        }
    };
    std::thread::Builder::new().name("watch".to_owned()).spawn(work).map(drop)
}

/// Says it, once for each, where a file is a mount itself.
fn warn_of_mounts(reloader: &Reloader, known: &mut BTreeSet<PathBuf>) {
    for path in reloader.own_files() {
        if !known.contains(&path) && mounted::is_mount(&path) {
            log::warn!(
                "`{}` is a mount of this one file, as `subPath` makes it in Kubernetes: it stays as it is though its original is replaced, so \
                 that no change is seen; mount the directory instead",
                path.display()
            );
        }
        known.insert(path);
    }
}
