//! A listener's certificates as they are now: files that change are read again, and a bad one never takes a good one's place.

use std::sync::Arc;

use arc_swap::ArcSwap;
use frontgate_filters::words::spanned::Problem;
use rustls::ServerConfig;

use super::Server;
use crate::certificates::{Files, Refused, Renewed};
use crate::config::model::{Listener, Protocol};

/// A listener's certificates, as its files were when they last fitted each other.
pub(crate) struct Kept {
    server: ArcSwap<Server>,
    refused: Refused,
}

impl Kept {
    /// Reads the certificates of a listener; none where it speaks clear text.
    pub(crate) fn read(listener: &Listener, files: Files<'_>) -> Result<Option<Self>, Vec<Problem>> {
        let Some(server) = build(listener, files).transpose()? else { return Ok(None) };
        Ok(Some(Self { server: ArcSwap::from_pointee(server), refused: Refused::default() }))
    }

    /// What handshakes are made with.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        self.server.load().config.clone()
    }

    /// The certificates as they are shown.
    pub(crate) fn server(&self) -> Arc<Server> {
        self.server.load_full()
    }

    /// Why the files were refused, where they do not fit any more.
    pub(crate) fn renewal_refused(&self) -> Option<String> {
        self.refused.why()
    }

    /// Looks whether the files have other contents than before, and takes them where they fit each other.
    pub(crate) fn renew(&self, listener: &Listener, files: Files<'_>) -> Renewed {
        let contents = listener.tls.as_ref().map_or(0, |tls| super::certificates::contents(tls, files));
        self.refused.look(self.server.load().contents, contents, || {
            if let Some(server) = build(listener, files).transpose()? {
                self.server.store(Arc::new(server));
            }
            Ok(())
        })
    }
}

fn build(listener: &Listener, files: Files<'_>) -> Option<Result<Server, Vec<Problem>>> {
    let tls = listener.tls.as_ref()?;
    Some(Server::build(tls, listener.speaks(Protocol::H2), listener.speaks(Protocol::Http1), files))
}
