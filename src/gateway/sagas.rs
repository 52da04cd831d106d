//! What operators are told of all sagas together, and who runs them.

use super::Gateway;
use crate::changes::{GONE, KEYS, of_sagas};
use crate::snapshot::Snapshot;
use crate::status::{SagaNeeds, SagaState, SagasStatus};

#[cfg(feature = "saga")]
use std::sync::Arc;

#[cfg(feature = "saga")]
use crate::compose::saga::operated::{Operated, journal, needs};
#[cfg(feature = "saga")]
use crate::status::SagaJournal;

impl Gateway {
    /// From now on operators see and steer the sagas of this one. The first one stays.
    #[cfg(feature = "saga")]
    pub(crate) fn is_steered_by(&self, sagas: Arc<dyn Operated>) {
        let _ = self.sagas.set(sagas);
    }

    /// Who runs sagas, where there is a place to keep them.
    #[cfg(feature = "saga")]
    pub(crate) fn sagas(&self) -> Option<&Arc<dyn Operated>> {
        self.sagas.get()
    }

    /// All sagas together, where there is a place to keep them.
    #[cfg(feature = "saga")]
    pub(super) fn sagas_status(&self) -> Option<SagasStatus> {
        let (journal, why) = journal(&**self.sagas()?);
        let unreadable = self.sagas()?.unreadable();
        Some(SagasStatus { journal, why, open: self.metrics.open_sagas(), unreadable })
    }

    /// There are none.
    #[cfg(not(feature = "saga"))]
    pub(super) fn sagas_status(&self) -> Option<SagasStatus> {
        None
    }

    /// What the open sagas need of a configuration; nothing where that is not known now, which the log says.
    #[cfg(feature = "saga")]
    pub(crate) async fn saga_needs(&self) -> Vec<SagaNeeds> {
        let Some(sagas) = self.sagas() else { return Vec::new() };
        needs(&**sagas).await.unwrap_or_else(|why| {
            log::warn!("what the open sagas need of the configuration is not known: {why}");
            Vec::new()
        })
    }

    /// There are none.
    #[cfg(not(feature = "saga"))]
    pub(crate) async fn saga_needs(&self) -> Vec<SagaNeeds> {
        Vec::new()
    }

    /// What the open sagas need and the configuration in force has not, a sentence each.
    pub(crate) async fn unmet_by_sagas(&self) -> Vec<String> {
        unmet(&self.snapshot(), &self.saga_needs().await)
    }

    /// The routes of sagas that were there before, whose keys are known on no other, a sentence each.
    pub(super) fn keys_forgotten(&self, before: &Snapshot, now: &Snapshot) -> Vec<String> {
        let gone = saga_routes(before).filter(|name| saga_routes(now).all(|known| known != *name));
        gone.map(|name| format!("the sagas of route `{name}` lose {KEYS}: {GONE}")).collect()
    }

    /// Has the log say what of this the open sagas need that the configuration before it had, once that is known.
    #[cfg(feature = "saga")]
    pub(super) fn warn_of_sagas(&self, before: &Snapshot, now: &Arc<Snapshot>) {
        self.keys_forgotten(before, now).iter().for_each(|lost| log::warn!("{lost}"));
        let is_less = before.pools.keys().any(|name| !now.pools.contains_key(name))
            || saga_routes(before).any(|name| saga_routes(now).all(|known| known != name));
        let (true, Some(sagas), Some(runtime)) = (is_less, self.sagas().cloned(), self.background.get()) else { return };
        let now = now.clone();
        runtime.spawn(async move {
            match needs(&*sagas).await {
                Ok(needs) => unmet(&now, &needs).iter().for_each(|unmet| log::warn!("{unmet}")),
                Err(why) => log::warn!("what the open sagas need of the configuration is not known: {why}"),
            }
        });
    }

    /// There are none.
    #[cfg(not(feature = "saga"))]
    pub(super) fn warn_of_sagas(&self, _: &Snapshot, _: &Snapshot) {}

    /// What of the sagas is not as it should be, a sentence each. A stuck one is, from the first moment on: unlike a circuit it never mends
    /// itself, and what it has done is neither finished nor taken back until an operator decides.
    pub(super) fn saga_troubles(&self) -> Vec<String> {
        let Some(told) = self.sagas_status() else { return Vec::new() };
        let stuck = told.open.iter().filter(|open| open.state == SagaState::Stuck).map(|stuck| {
            let (count, route) = (stuck.count, &stuck.route);
            let sagas = if count == 1 { "a saga of route" } else { &*format!("{count} sagas of route") };
            let need = if count == 1 { "is stuck and needs" } else { "are stuck and need" };
            format!("{sagas} `{route}` {need} an operator")
        });
        let unreadable = match told.unreadable {
            0 => None,
            1 => Some("a saga cannot be read, and nobody goes on with it".to_owned()),
            count => Some(format!("{count} sagas cannot be read, and nobody goes on with them")),
        };
        unusable(&told).into_iter().chain(stuck).chain(unreadable).collect()
    }
}

/// The routes that sagas begin on.
fn saga_routes(snapshot: &Snapshot) -> impl Iterator<Item = &str> {
    snapshot.loaded.config.routes.iter().filter(|route| route.target.saga().is_some()).map(|route| &*route.name.value)
}

/// What these need and this configuration has not, a sentence each.
fn unmet(snapshot: &Snapshot, needs: &[SagaNeeds]) -> Vec<String> {
    let lost =
        of_sagas(needs, &|upstream| snapshot.pools.contains_key(upstream), &|route| saga_routes(snapshot).any(|known| known == route));
    lost.iter().map(|loss| format!("the sagas of route `{}` lose {}: {}", loss.name, loss.lost, loss.because)).collect()
}

/// That nothing can be written down, so that no saga begins.
#[cfg(feature = "saga")]
fn unusable(told: &SagasStatus) -> Option<String> {
    let why = told.why.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
    (told.journal != SagaJournal::Open).then(|| format!("the journal of sagas cannot be used, and their routes answer 503{why}"))
}

#[cfg(not(feature = "saga"))]
fn unusable(_: &SagasStatus) -> Option<String> {
    None
}
