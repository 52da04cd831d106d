//! Whether lines can be written: said once when they no longer can, and once when they can again.

use std::io;

use parking_lot::Mutex;

/// The state of where lines go.
#[derive(Debug)]
pub(super) struct Trouble {
    /// Where that is, for messages.
    target: String,
    /// Why the last write failed, where it did.
    why: Mutex<Option<String>>,
}

impl Trouble {
    /// None yet.
    pub(super) fn new(target: String) -> Self {
        Self { target, why: Mutex::default() }
    }

    /// What is wrong.
    pub(super) fn now(&self) -> Option<String> {
        self.why.lock().clone()
    }

    /// What a write came to. Only the thread that writes is here.
    pub(super) fn note(&self, written: &io::Result<usize>) {
        let mut why = self.why.lock();
        match written {
            Ok(_) => {
                if why.take().is_some() {
                    log::info!("the access log can be written to {} again", self.target);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                if why.is_none() {
                    log::error!("the access log cannot be written to {}, and lines will be lost: {error}", self.target);
                }
                *why = Some(format!("{}: {error}", self.target));
            }
        }
    }
}
