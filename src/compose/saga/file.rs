//! The file of the journal as a file: whose it is, who may see it, and that it is never begun anew where somebody might miss what was in it.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::store::Trouble;
use crate::files::{self, own_user};

/// The name of the file.
pub(super) const NAME: &str = "sagas.redb";
/// Its name until it is made.
const MADE: &str = "sagas.redb.new";
/// No link to another file is followed, and nobody is waited for.
const PLAIN: i32 = libc::O_NOFOLLOW | libc::O_NONBLOCK;

fn cannot(what: &Path, error: &io::Error) -> Trouble {
    let why = if error.raw_os_error() == Some(libc::ELOOP) {
        "it is a symbolic link, and has to be what it leads to".to_owned()
    } else {
        files::words(error)
    };
    Trouble::Broken(format!("`{}`: {why}", what.display()))
}

/// The file of this directory; nothing where it is not there. It is this user's own, and for nobody else, or it is not opened.
pub(super) fn existing(folder: &Path) -> Result<Option<File>, Trouble> {
    let Some(opened) = own_folder(folder)? else { return Ok(None) };
    let path = folder.join(NAME);
    let file = match OpenOptions::new().read(true).write(true).custom_flags(PLAIN).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(cannot(&path, &error)),
    };
    let found = file.metadata().map_err(|error| cannot(&path, &error))?;
    if !found.is_file() {
        return Err(Trouble::Broken(format!("`{}` is no regular file", path.display())));
    }
    is_private(folder, &opened, 0o700)?;
    is_private(&path, &file, 0o600)?;
    if found.len() == 0 {
        let why = "is empty, which it never is by itself: what it remembered is lost. Put it back, or remove it to begin anew";
        return Err(Trouble::Broken(format!("`{}` {why}", path.display())));
    }
    Ok(Some(file))
}

/// Which file it is: another one under the same name is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    number: u64,
}

impl Identity {
    /// Of an open one.
    pub(super) fn of(file: &File) -> io::Result<Self> {
        file.metadata().map(|found| Self::of_found(&found))
    }

    fn of_found(found: &fs::Metadata) -> Self {
        Self { device: found.dev(), number: found.ino() }
    }

    /// That it is what is found in this directory under its name.
    pub(super) fn is_found(self, folder: &Path) -> Result<(), Trouble> {
        let path = folder.join(NAME);
        match fs::symlink_metadata(&path) {
            Ok(found) if Self::of_found(&found) == self => Ok(()),
            Ok(_) => Err(Trouble::Broken(format!("`{}` is another file than the one that was opened", path.display()))),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Err(gone(folder)),
            Err(error) => Err(cannot(&path, &error)),
        }
    }
}

/// The journal of this directory was there, and is not any more.
pub(super) fn gone(folder: &Path) -> Trouble {
    let why = "is gone, and is not made anew while the gateway runs. Put it back, or restart the gateway to begin anew";
    Trouble::Broken(format!("`{}` {why}", folder.join(NAME).display()))
}

/// The directory; nothing where it is not there. One that a link leads to may be anybody's, whoever is to have the link by then.
fn own_folder(folder: &Path) -> Result<Option<File>, Trouble> {
    let opened = match OpenOptions::new().read(true).custom_flags(PLAIN).open(folder) {
        Ok(opened) => opened,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(cannot(folder, &error)),
    };
    if opened.metadata().map_err(|error| cannot(folder, &error))?.is_dir() {
        Ok(Some(opened))
    } else {
        Err(Trouble::Broken(format!("`{}` is no directory", folder.display())))
    }
}

/// That this belongs to this user; from then on others can neither read nor write it.
fn is_private(path: &Path, opened: &File, mode: u32) -> Result<(), Trouble> {
    let found = opened.metadata().map_err(|error| cannot(path, &error))?;
    let user = own_user();
    if found.uid() != user {
        let whose = format!("belongs to user {}, and has to belong to user {user}, as whom the gateway runs", found.uid());
        return Err(Trouble::Broken(format!("`{}` {whose}", path.display())));
    }
    let was = found.permissions().mode() & 0o777;
    if was & 0o077 != 0 {
        opened.set_permissions(fs::Permissions::from_mode(mode)).map_err(|error| cannot(path, &error))?;
        log::warn!("sagas: `{}` was open to other users ({was:04o}), and is not any more ({mode:04o})", path.display());
    }
    Ok(())
}

/// A file that is being made: it has its name once it is whole, so that one that is half made is never taken for one that was lost.
pub(super) struct New {
    folder: PathBuf,
    file: File,
}

impl New {
    /// An empty one in this directory, which is made where it is not there.
    pub(super) fn in_folder(folder: &Path) -> Result<Self, Trouble> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| cannot(folder, &error))?;
        let opened = own_folder(folder)?.ok_or_else(|| cannot(folder, &ErrorKind::NotFound.into()))?;
        is_private(folder, &opened, 0o700)?;
        let (path, made) = (folder.join(MADE), folder.join(NAME));
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(PLAIN).open(&path);
        let file = file.map_err(|error| cannot(&path, &error))?;
        is_private(&path, &file, 0o600)?;
        let elsewhere = || Trouble::Broken(format!("another process makes `{}`", made.display()));
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => elsewhere(),
            TryLockError::Error(error) => cannot(&path, &error),
        })?;
        // Whoever had the lock before may have made it meanwhile.
        let (ours, there) = (file.metadata(), fs::symlink_metadata(&path));
        let (ours, there) = (ours.map_err(|error| cannot(&path, &error))?, there.map_err(|error| cannot(&path, &error))?);
        if Identity::of_found(&ours) != Identity::of_found(&there) || fs::symlink_metadata(&made).is_ok() {
            return Err(elsewhere());
        }
        // What one left that never came to its end.
        file.set_len(0).map_err(|error| cannot(&path, &error))?;
        Ok(Self { folder: folder.to_owned(), file })
    }

    /// To write to.
    pub(super) fn file(&self) -> Result<File, Trouble> {
        self.file.try_clone().map_err(|error| cannot(&self.folder.join(MADE), &error))
    }

    /// It is whole.
    pub(super) fn finish(self) -> Result<(), Trouble> {
        let made = self.folder.join(NAME);
        fs::rename(self.folder.join(MADE), &made).map_err(|error| cannot(&made, &error))?;
        // The name is there after a crash, too.
        File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(|error| cannot(&self.folder, &error))
    }
}
