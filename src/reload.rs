//! The configuration read again and put in force while the gateway serves.

use std::sync::Arc;

use crate::config::Loaded;
use crate::config::diagnostics::Diagnostics;
use crate::gateway::Gateway;

/// How a configuration is read again.
pub(crate) type Read = Box<dyn Fn() -> Result<Loaded, Diagnostics> + Send + Sync>;

/// Reads the configuration again and puts it in force, for the signal and for the admin address.
pub(crate) struct Reloader {
    gateway: Arc<Gateway>,
    read: Read,
}

/// Why a reload was refused; the old configuration is still in force.
pub(crate) enum Refused {
    /// The configuration has problems.
    Problems(Diagnostics),
    /// It cannot be put in force by a reload.
    Because(String),
}

impl Reloader {
    /// Reads with `read`.
    pub(crate) fn new(gateway: Arc<Gateway>, read: Read) -> Self {
        Self { gateway, read }
    }

    /// All or nothing. The new configuration's hash.
    pub(crate) fn reload(&self) -> Result<String, Refused> {
        let refused = |problems: Diagnostics| {
            self.gateway.metrics.reload_failed();
            log::error!("the configuration was not reloaded:\n{}", problems.render(false));
            Refused::Problems(problems)
        };
        let loaded = (self.read)().map_err(refused)?;
        if loaded.warnings.refuse() {
            return Err(refused(loaded.warnings));
        }
        match self.gateway.reload(loaded) {
            Ok(hash) => {
                log::info!("configuration {hash} is in force");
                Ok(hash)
            }
            Err(why) => {
                log::error!("the configuration was not reloaded: {why}");
                Err(Refused::Because(why))
            }
        }
    }
}
