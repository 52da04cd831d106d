//! What a process says on its standard error.
//!
//! Whoever asks gets all that was written before he asked, not what some thread has come to read of it: a process that logs and then answers has
//! logged by then.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::ChildStderr;
use std::sync::{Arc, Mutex};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

/// The pipe and what came out of it.
struct Pipe {
    end: File,
    bytes: Mutex<Vec<u8>>,
}

impl Pipe {
    /// Reads what there is. Whether more may come.
    fn drain(&self) -> bool {
        let (mut bytes, mut piece) = (self.bytes.lock().unwrap(), [0; 4096]);
        loop {
            match (&self.end).read(&mut piece) {
                Ok(0) => return false,
                Ok(read) => bytes.extend_from_slice(&piece[..read]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
    }

    /// Waits until there is something, or nothing will ever be.
    #[expect(unsafe_code, reason = "the standard library waits for no pipe")]
    fn wait(&self) {
        let mut asked = libc::pollfd { fd: self.end.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one entry, which lives as long as the call.
        unsafe { libc::poll(&raw mut asked, 1, -1) };
    }
}

/// What a process has said; it is read whether anybody asks or not, since a pipe that is full would stop the process.
#[derive(Clone)]
pub struct Heard(Arc<Pipe>);

impl Heard {
    /// Listens until the process ends.
    pub fn of(process: ChildStderr) -> Self {
        let end = File::from(OwnedFd::from(process));
        fcntl(&end, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
        let heard = Self(Arc::new(Pipe { end, bytes: Mutex::default() }));
        let pipe = heard.0.clone();
        std::thread::spawn(move || {
            while pipe.drain() {
                pipe.wait();
            }
        });
        heard
    }

    /// All that was said until now.
    pub fn said(&self) -> String {
        self.0.drain();
        String::from_utf8_lossy(&self.0.bytes.lock().unwrap()).into_owned()
    }

    /// Of that all lines that are whole.
    pub fn lines(&self) -> String {
        let mut said = self.said();
        said.truncate(said.rfind('\n').map_or(0, |end| end + 1));
        said
    }
}
