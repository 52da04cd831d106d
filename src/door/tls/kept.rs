//! A listener's certificates as they are now: files that change are read again, and a bad one never takes a good one's place.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use frontgate_filters::words::spanned::Problem;
use rustls::ServerConfig;

use super::{Files, Server};
use crate::config::model::{Listener, Protocol};

/// A listener's certificates, as its files were when they last fitted each other.
pub(crate) struct Kept {
    server: ArcSwap<Server>,
    /// The contents that were refused last, so that they are told of once.
    refused: AtomicU64,
}

/// What reading the files again has brought.
#[derive(Debug)]
pub(crate) enum Renewed {
    /// Nothing has changed, or what is wrong was told before.
    Same,
    /// Others are shown from now on.
    Changed,
    /// They do not fit: those from before stay.
    Refused(Vec<Problem>),
}

impl Kept {
    /// Reads the certificates of a listener; none where it speaks clear text.
    pub(crate) fn read(listener: &Listener, files: Files<'_>) -> Result<Option<Self>, Vec<Problem>> {
        let Some(server) = build(listener, files).transpose()? else { return Ok(None) };
        Ok(Some(Self { server: ArcSwap::from_pointee(server), refused: AtomicU64::new(0) }))
    }

    /// What handshakes are made with.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        self.server.load().config.clone()
    }

    /// The certificates as they are shown.
    pub(crate) fn server(&self) -> Arc<Server> {
        self.server.load_full()
    }

    /// Looks whether the files have other contents than before, and takes them where they fit each other.
    pub(crate) fn renew(&self, listener: &Listener, files: Files<'_>) -> Renewed {
        let contents = listener.tls.as_ref().map_or(0, |tls| super::certificates::contents(tls, files));
        if contents == self.server.load().contents {
            self.refused.store(0, Ordering::Relaxed);
            return Renewed::Same;
        }
        if self.refused.load(Ordering::Relaxed) == contents {
            return Renewed::Same;
        }
        match build(listener, files).transpose() {
            Ok(Some(server)) => {
                self.server.store(Arc::new(server));
                Renewed::Changed
            }
            Ok(None) => Renewed::Same,
            Err(problems) => {
                self.refused.store(contents, Ordering::Relaxed);
                Renewed::Refused(problems)
            }
        }
    }
}

fn build(listener: &Listener, files: Files<'_>) -> Option<Result<Server, Vec<Problem>>> {
    let tls = listener.tls.as_ref()?;
    Some(Server::build(tls, listener.speaks(Protocol::H2), listener.speaks(Protocol::Http1), files))
}
