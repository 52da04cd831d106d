//! Files that the configuration names, read without ever waiting long: of regular files, so many bytes at most, and for so long at most.
//!
//! A pipe that nobody writes to and a mount whose server is gone would hold up whoever reads them, for ever. Here such a read is given up: its
//! thread stays behind, and of those there is a limit.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

/// The largest file that is read as a secret or as keys.
pub(crate) const KEYS: u64 = 1 << 20;
/// How long a file is waited for. A disk takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(3);
/// How many may be waited for at once, those included that were given up.
const MOST: usize = 64;

/// How many are waited for, by anybody.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// Counts what is waited for until it has come.
struct Wait;

impl Wait {
    fn begin() -> Option<Self> {
        let wait = Self;
        // Dropped, it takes itself out of the count again.
        (WAITING.fetch_add(1, Ordering::AcqRel) < MOST).then_some(wait)
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        WAITING.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The whole of a regular file that has at most so many bytes.
pub(crate) fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let path = path.to_owned();
    in_time(move || regular(&path, most))?
}

/// The end of a file, which is created when there is none, to be written to.
pub(crate) fn append(path: &Path) -> io::Result<File> {
    let path = path.to_owned();
    // What is told of clients is not for everyone on the machine. A pipe that nobody reads is an error, not a wait.
    in_time(move || OpenOptions::new().append(true).create(true).mode(0o640).custom_flags(libc::O_NONBLOCK).open(path))?
}

/// Does what may have to wait for a file system, unless that takes too long.
pub(crate) fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let wait = Wait::begin().ok_or_else(|| io::Error::other("too many other files do not answer"))?;
    let (done, answer) = mpsc::sync_channel(1);
    std::thread::Builder::new().name("files".to_owned()).spawn(move || {
        let worked = work();
        drop(wait);
        // Nobody may be left to hear of it.
        let _ = done.send(worked);
    })?;
    answer.recv_timeout(PATIENCE).map_err(|_| io::Error::new(ErrorKind::TimedOut, "it does not answer"))
}

/// As [`read`], for as long as it takes: to be called within [`in_time`].
pub(crate) fn regular(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let is_regular = |is: bool| if is { Ok(()) } else { Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file")) };
    // Asked twice: to open a device may do something, and what lies there may have changed since.
    is_regular(std::fs::metadata(path)?.is_file())?;
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    is_regular(file.metadata()?.is_file())?;
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let size = if most >= 1 << 20 { format!("{} MiB", most >> 20) } else { format!("{} KiB", most >> 10) };
        return Err(io::Error::new(ErrorKind::FileTooLarge, format!("it is larger than {size}")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("frontgate-files-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        folder
    }

    #[test]
    fn only_a_regular_file_of_a_fair_size_is_read() {
        let folder = folder("regular");
        std::fs::write(folder.join("good"), "text").expect("a file");
        std::fs::write(folder.join("large"), "x".repeat(5000)).expect("a file");
        std::os::unix::fs::symlink("good", folder.join("link")).expect("a link");
        let pipe = std::process::Command::new("mkfifo").arg(folder.join("pipe")).status().expect("mkfifo");
        assert!(pipe.success());
        let why = |name: &str| read(&folder.join(name), 4096).expect_err("an error").to_string();

        assert_eq!(read(&folder.join("good"), 4).expect("its bytes"), b"text");
        assert_eq!(read(&folder.join("link"), 4).expect("its bytes"), b"text");
        assert_eq!(why("large"), "it is larger than 4 KiB");
        for name in ["pipe", ".", "/dev/zero", "/dev/tty"] {
            assert_eq!(why(name), "it is not a regular file", "{name}");
        }
        assert!(why("none").contains("No such file"), "{}", why("none"));
        std::fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn a_log_to_a_pipe_that_nobody_reads_is_an_error_and_no_wait() {
        let folder = folder("pipe");
        let pipe = folder.join("log");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());

        assert!(append(&pipe).is_err());

        std::fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn what_does_not_answer_is_given_up() {
        let (release, held) = mpsc::channel::<()>();

        let given_up = in_time(move || held.recv().is_ok());

        assert_eq!(given_up.expect_err("it takes too long").kind(), ErrorKind::TimedOut);
        drop(release);
    }
}
