//! Sagas: several calls of which either all come about, or those that did are taken back. What was begun is ended, through a crash too.

mod clock;
pub(crate) mod counted;
pub(crate) mod definition;
mod file;
mod journal;
pub(crate) mod keeper;
pub(crate) mod machine;
pub(crate) mod operated;
pub(crate) mod record;
mod recovery;
mod runner;
mod store;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use self::keeper::Sagas;

/// Where the sagas of a gateway are kept and run: nowhere, until there is a place for them. All configurations of a gateway share it.
#[derive(Default)]
pub(crate) struct Home(OnceLock<(PathBuf, Arc<Sagas>)>);

impl Home {
    /// Who keeps and runs them, where somebody does.
    pub(crate) fn get(&self) -> Option<&Arc<Sagas>> {
        self.0.get().map(|(_, sagas)| sagas)
    }

    /// Where they are kept.
    pub(crate) fn folder(&self) -> Option<&Path> {
        self.0.get().map(|(folder, _)| folder.as_path())
    }

    /// From now on these do. The first ones stay.
    pub(crate) fn set(&self, folder: PathBuf, sagas: Arc<Sagas>) {
        let _ = self.0.set((folder, sagas));
    }
}

/// Where they are kept below `server.state_dir`.
pub(crate) fn folder(state: &Path) -> PathBuf {
    state.join("sagas")
}

/// Whether sagas were ever kept there.
pub(crate) fn were_kept(folder: &Path) -> bool {
    folder.join(file::NAME).exists()
}
