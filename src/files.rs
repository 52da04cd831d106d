//! Reads the files that a configuration names, within bounds: regular files only, no larger than they may be, no longer than one waits.
//!
//! A FIFO, a device or a network mount that hangs would hold its reader for ever, and a reload and every signal behind it.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

/// The maximum of a secret, a key or a key set, in bytes.
pub(crate) const SMALL: u64 = 1 << 20;

/// How long one waits for a file system.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many threads may wait for file systems that do not answer: they cannot be ended, so that each is lost.
const MOST_LOST: isize = 8;

static LOST: AtomicIsize = AtomicIsize::new(0);

/// The whole of a regular file of at most `most` bytes. The error names the file and says what is wrong with it.
pub(crate) fn read(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    let file = path.to_owned();
    within(PATIENCE, path, move || read_now(&file, most))
}

/// The end of a file, to be written to; it is created when there is none. A pipe that nobody reads is an error, not a wait.
pub(crate) fn append(path: &Path) -> io::Result<File> {
    let file = path.to_owned();
    // What is told of clients is not for everyone on the machine.
    let open = move || Ok(OpenOptions::new().append(true).create(true).mode(0o640).custom_flags(libc::O_NONBLOCK).open(file));
    within(PATIENCE, path, open).unwrap_or_else(|why| Err(io::Error::other(why)))
}

/// Puts a file with these bytes, for its owner alone, in the place of the one that is there: all of it or nothing. Its folder is made where
/// there is none.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let new = folder.join(format!(".{name}.new"));
    // Left there by a process that ended in the middle of it.
    let _ = std::fs::remove_file(&new);
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&new, path)
    })();
    if written.is_err() {
        let _ = std::fs::remove_file(&new);
    }
    written
}

/// What `work` makes of this path, unless its file system takes too long.
pub(crate) fn patiently<T: Send + 'static>(path: &Path, work: impl FnOnce() -> Result<T, String> + Send + 'static) -> Result<T, String> {
    within(PATIENCE, path, work)
}

/// Says of a path why it cannot be read.
pub(crate) fn unreadable(path: &Path, error: &io::Error) -> String {
    format!("`{}` cannot be read: {}", path.display(), words(error))
}

/// An error of the operating system without its number.
pub(crate) fn words(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "it does not exist".to_owned(),
        ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => {
            let text = error.to_string();
            text.split(" (os error").next().unwrap_or_default().to_owned()
        }
    }
}

fn read_now(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    let cannot = |error: io::Error| unreadable(path, &error);
    // Without waiting: to open a FIFO takes until somebody writes to it.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(cannot)?;
    let about = file.metadata().map_err(cannot)?;
    let kind = about.file_type();
    if !kind.is_file() {
        let what = match kind {
            kind if kind.is_dir() => "a directory",
            kind if kind.is_fifo() => "a pipe (FIFO)",
            kind if kind.is_socket() => "a socket",
            _ => "a device",
        };
        return Err(format!("`{}` cannot be read: it is {what}, not a regular file", path.display()));
    }
    let too_large = || format!("`{}` is larger than {}", path.display(), size(most));
    if about.len() > most {
        return Err(too_large());
    }
    // A file may grow while it is read.
    let mut bytes = Vec::with_capacity(about.len() as usize + 1);
    file.take(most + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > most { Err(too_large()) } else { Ok(bytes) }
}

fn size(bytes: u64) -> String {
    if bytes >= 1 << 20 { format!("{} MiB", bytes >> 20) } else { format!("{} KiB", bytes >> 10) }
}

/// Does the work on a thread of its own, which is left behind where it takes longer than `patience`.
fn within<T: Send + 'static>(
    patience: Duration,
    path: &Path,
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let cannot = |why: &str| Err(format!("`{}` cannot be read: {why}", path.display()));
    if LOST.load(Ordering::Acquire) >= MOST_LOST {
        return cannot("file systems do not answer, and too many threads wait for them already");
    }
    let (send, receive) = mpsc::sync_channel(1);
    let settled = Arc::new(AtomicBool::new(false));
    let ours = settled.clone();
    let started = std::thread::Builder::new().name("read-file".into()).spawn(move || {
        let _ = send.send(work());
        // Whoever settles second finds what the other one left.
        if ours.swap(true, Ordering::AcqRel) {
            LOST.fetch_sub(1, Ordering::AcqRel);
        }
    });
    if started.is_err() {
        return cannot("no thread can be started for it");
    }
    match receive.recv_timeout(patience) {
        Ok(result) => result,
        Err(mpsc::RecvTimeoutError::Disconnected) => cannot("its reader ended without a word"),
        Err(mpsc::RecvTimeoutError::Timeout) => {
            LOST.fetch_add(1, Ordering::AcqRel);
            if settled.swap(true, Ordering::AcqRel) {
                LOST.fetch_sub(1, Ordering::AcqRel);
            }
            cannot(&format!("its file system did not answer within {} s", patience.as_secs()))
        }
    }
}

/// Whose rights this process has.
#[allow(unsafe_code, reason = "there is no safe way to ask for it")]
pub(crate) fn own_user() -> u32 {
    // SAFETY: it takes nothing, and cannot fail.
    unsafe { libc::geteuid() }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::process::Command;

    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("frontgate-files-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        folder
    }

    #[test]
    fn reads_regular_files_and_links_to_them() {
        let folder = scratch("good");
        let (file, link) = (folder.join("a"), folder.join("b"));
        std::fs::write(&file, "text").expect("a file");
        std::os::unix::fs::symlink(&file, &link).expect("a link");

        assert_eq!(read(&file, 4), Ok(b"text".to_vec()));
        assert_eq!(read(&link, 4), Ok(b"text".to_vec()));
        std::fs::remove_dir_all(&folder).expect("removed");
    }

    #[test]
    fn refuses_what_is_no_regular_file_at_once() {
        let folder = scratch("odd");
        let fifo = folder.join("fifo");
        assert!(Command::new("mkfifo").arg(&fifo).status().expect("mkfifo").success());

        for (path, words) in [
            (&fifo, "a pipe (FIFO), not a regular file"),
            (&folder, "a directory, not a regular file"),
            (&PathBuf::from("/dev/zero"), "a device, not a regular file"),
            (&folder.join("none"), "it does not exist"),
        ] {
            let why = read(path, 10).expect_err("no regular file");
            assert!(why.contains(words) && why.contains(&*path.display().to_string()), "{why}");
        }
        std::fs::remove_dir_all(&folder).expect("removed");
    }

    #[test]
    fn a_log_to_a_pipe_that_nobody_reads_is_an_error_and_no_wait() {
        let folder = scratch("log");
        let pipe = folder.join("log");
        assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());

        assert!(append(&pipe).is_err());
        assert!(append(&folder.join("new")).is_ok());
        std::fs::remove_dir_all(&folder).expect("removed");
    }

    #[test]
    fn refuses_a_file_that_is_too_large_whatever_it_says_of_its_size() {
        let folder = scratch("large");
        let file = folder.join("a");
        std::fs::write(&file, vec![b'x'; (1 << 20) + 1]).expect("a file");

        assert_eq!(read(&file, 1 << 20), Err(format!("`{}` is larger than 1 MiB", file.display())));
        // A file of /proc says that it is empty.
        assert_eq!(read(Path::new("/proc/self/maps"), 1 << 10), Err("`/proc/self/maps` is larger than 1 KiB".to_owned()));
        std::fs::remove_dir_all(&folder).expect("removed");
    }

    #[test]
    fn does_not_wait_for_ever() {
        let (open, gate) = mpsc::channel::<()>();

        let slow = within(Duration::ZERO, Path::new("/mnt/gone"), move || {
            let _ = gate.recv();
            Ok(())
        });
        drop(open);

        assert_eq!(slow, Err("`/mnt/gone` cannot be read: its file system did not answer within 0 s".to_owned()));
    }
}
