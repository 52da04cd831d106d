//! Where the sagas of a gateway live: opened when a configuration first has some or a process before has left some, parked on the way out.

use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Instant;

use http::header::{HeaderName, HeaderValue};

use super::Gateway;
use crate::compose::Calls;
use crate::compose::call::unattended;
use crate::compose::saga::keeper::{Sagas, World};
use crate::compose::saga::{folder, were_kept};
use crate::config::Loaded;
use crate::request_id::new_request_id;
use crate::snapshot::Snapshot;
use crate::upstream::Pool;

/// The gateway as its sagas see it, for as long as it is there.
struct Around(Weak<Gateway>);

impl World for Around {
    fn pool(&self, name: &str) -> Option<Arc<Pool>> {
        self.0.upgrade()?.snapshot().pools.get(name).cloned()
    }

    fn header(&self, route: &str, call: &str, name: &HeaderName) -> Option<HeaderValue> {
        let snapshot = self.0.upgrade()?.snapshot();
        let route = snapshot.loaded.config.routes.iter().find(|known| *known.name.value == *route)?;
        let written = &route.target.saga()?.call(call)?.headers;
        let (_, value) = written.iter().find(|(written, _)| name.as_str().eq_ignore_ascii_case(written))?;
        // Whatever it refers to by now is not known of one that began before.
        if value.value.contains(['{', '}']) { None } else { HeaderValue::from_str(&value.value).ok() }
    }

    fn calls(&self, route: &str, request_id: &str) -> Option<Arc<dyn Calls>> {
        let id = HeaderValue::try_from(request_id).unwrap_or_else(|_| new_request_id());
        Some(unattended(&self.0.upgrade()?.snapshot(), route, id))
    }
}

/// Where a configuration wants sagas to be kept, where it has some or has left some there.
fn wanted(loaded: &Loaded) -> Option<PathBuf> {
    let folder = folder(&loaded.state_dir()?);
    let has_some = loaded.config.routes.iter().any(|route| route.target.saga().is_some());
    (has_some || were_kept(&folder)).then_some(folder)
}

impl Gateway {
    /// Opens what sagas are kept in, where the configuration in force has some and nobody has opened that before.
    pub(crate) fn host_sagas(self: &Arc<Self>) -> Result<(), String> {
        let _ = self.me.set(Arc::downgrade(self));
        self.host_sagas_of(&self.snapshot())
    }

    pub(super) fn host_sagas_of(&self, snapshot: &Snapshot) -> Result<(), String> {
        let (None, Some(folder), Some(me)) = (snapshot.sagas.get(), wanted(&snapshot.loaded), self.me.get()) else { return Ok(()) };
        let world = Box::new(Around(me.clone()));
        let sagas = Sagas::open(folder.clone(), self.metrics.saga_commits(), world, self.metrics.clone())?;
        self.is_steered_by(Arc::new(sagas.clone()));
        snapshot.sagas.set(folder, sagas);
        self.run_sagas();
        Ok(())
    }

    /// Lets them go on, once there is something to run on.
    pub(super) fn run_sagas(&self) {
        if let (Some(sagas), Some(runtime)) = (self.snapshot().sagas.get(), self.background.get()) {
            sagas.run(runtime);
        }
    }

    /// Why a configuration cannot follow the one in force, where the sagas that are open are kept elsewhere than it says.
    pub(super) fn keeps_sagas_elsewhere(&self, loaded: &Loaded) -> Result<(), String> {
        match (self.snapshot().sagas.folder(), wanted(loaded)) {
            (Some(is), Some(wanted)) if is != wanted => {
                Err("server.state_dir cannot be changed by a reload while sagas are kept there: start a new process for it".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// Parks all sagas and gives up what they are kept in, until then at most.
    pub(crate) async fn close_sagas(&self, until: Instant) {
        let snapshot = self.snapshot();
        if let Some(sagas) = snapshot.sagas.get() {
            sagas.close(until).await;
        }
    }
}
