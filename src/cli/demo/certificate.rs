//! A certificate that is made when the demo starts and is gone with it: on Linux its files have no name any more before anything is in them.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A certificate for the loopback address, and its key.
pub(super) struct Certificate {
    cert: Unnamed,
    key: Unnamed,
}

impl Certificate {
    /// One that nobody knows.
    pub(super) fn fresh() -> Result<Self, String> {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).map_err(|error| error.to_string())?;
        Ok(Self { cert: Unnamed::holding(&made.cert.pem())?, key: Unnamed::holding(&made.signing_key.serialize_pem())? })
    }

    /// Where the configuration finds it.
    pub(super) fn cert(&self) -> &Path {
        &self.cert.path
    }

    /// Where the configuration finds its key.
    pub(super) fn key(&self) -> &Path {
        &self.key.path
    }
}

/// A file that this process alone finds, for as long as it is held.
struct Unnamed {
    path: PathBuf,
    _open: File,
}

impl Unnamed {
    fn holding(text: &str) -> Result<Self, String> {
        let path = std::env::temp_dir().join(format!("frontgate-demo-{}", uuid::Uuid::now_v7()));
        let cannot = |error: std::io::Error| format!("`{}`: {error}", path.display());
        let mut file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path).map_err(cannot)?;
        // Elsewhere what is opened by its number is read on from where it was left.
        let nameless = cfg!(target_os = "linux");
        if nameless {
            std::fs::remove_file(&path).map_err(cannot)?;
        }
        file.write_all(text.as_bytes()).map_err(cannot)?;
        let path = if nameless { PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd())) } else { path };
        Ok(Self { path, _open: file })
    }
}

impl Drop for Unnamed {
    fn drop(&mut self) {
        if !cfg!(target_os = "linux") {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
