//! What operators are told of all sagas together, and who runs them.

use super::Gateway;
use crate::status::{SagaState, SagasStatus};

#[cfg(feature = "saga")]
use std::sync::Arc;

#[cfg(feature = "saga")]
use crate::compose::saga::operated::{Operated, journal};
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
        Some(SagasStatus { journal, why, open: self.metrics.open_sagas() })
    }

    /// There are none.
    #[cfg(not(feature = "saga"))]
    pub(super) fn sagas_status(&self) -> Option<SagasStatus> {
        None
    }

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
        unusable(&told).into_iter().chain(stuck).collect()
    }
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
