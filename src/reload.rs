//! The configuration read again and put in force while the gateway serves.

use std::sync::Arc;

use crate::config::Loaded;
use crate::config::diagnostics::Diagnostics;
use crate::gateway::Gateway;
use crate::status::Reloaded;
use crate::supervisor::Reloading;

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

/// What the supervisor is told of a gateway that serves this configuration.
pub(crate) fn in_force(hash: &str) -> String {
    format!("configuration {hash} is in force")
}

impl Reloader {
    /// Reads with `read`.
    pub(crate) fn new(gateway: Arc<Gateway>, read: Read) -> Self {
        Self { gateway, read }
    }

    /// All or nothing. What is in force then.
    pub(crate) fn reload(&self) -> Result<Reloaded, Refused> {
        let _told = Reloading::of(self.gateway.supervisor());
        let refused = |problems: Diagnostics| {
            let why = problems.in_a_line();
            log::error!("the configuration was not reloaded: {why}");
            self.gateway.reload_refused(why);
            Refused::Problems(problems)
        };
        let loaded = (self.read)().map_err(refused)?;
        if loaded.warnings.refuse() {
            return Err(refused(loaded.warnings));
        }
        match self.gateway.reload(loaded) {
            Ok(reloaded) => {
                let changed = if reloaded.changed.is_empty() { "nothing has changed".to_owned() } else { reloaded.changed.join(", ") };
                log::info!("configuration {} is in force: {changed}", reloaded.hash);
                if let Some(supervisor) = self.gateway.supervisor() {
                    supervisor.status(&in_force(&reloaded.hash));
                }
                Ok(reloaded)
            }
            Err(why) => {
                log::error!("the configuration was not reloaded: {why}");
                Err(Refused::Because(why))
            }
        }
    }
}
