//! What a process before has left is found in the journal and goes on by itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::counted::Counted;
use super::definition::Definition;
use super::journal::{Health, Unavailable};
use super::keeper::{Fares, Open, Sagas, Task};
use super::machine::State;
use super::record::{Hash, Id, Record};
use super::runner::Run;
use super::store::Store;

/// How many are read from the journal at once.
const PAGE: usize = 500;

impl Sagas {
    /// Takes up what is found in the journal whenever that was opened.
    pub(super) async fn follow(self: Arc<Self>) {
        let (mut health, mut parks) = (self.journal.health(), self.parks.subscribe());
        loop {
            let opened = matches!(*health.borrow_and_update(), Health::Open(_));
            if opened && self.recover().await.is_err() {
                // Its state tells when to try again.
                tokio::time::sleep(Duration::from_millis(100)).await;
                if matches!(*health.borrow(), Health::Open(_)) && !*parks.borrow() {
                    continue;
                }
            }
            tokio::select! {
                changed = health.changed() => if changed.is_err() { return },
                _ = parks.wait_for(|parks| *parks) => return,
            }
        }
    }

    /// Takes up all that are open in the journal and that nobody here is at.
    ///
    /// All of them are found before one goes on: a journal that is written to is read from more slowly.
    async fn recover(self: &Arc<Self>) -> Result<(), Unavailable> {
        let (begun, mut found) = (Instant::now(), Vec::new());
        for state in ["running", "undoing", "stuck"] {
            let mut after = None;
            loop {
                let page = self.journal.read(move |store| store.range(state, after, PAGE)).await?;
                let Some((last, _)) = page.last() else { break };
                after = Some(*last);
                let mut claimed = Vec::new();
                for (id, record) in page {
                    match record {
                        Ok(record) if state == "stuck" => {
                            let counted = || Counted::new(&self.metrics.sagas(&record.route), record.state, record.begun);
                            self.stuck.lock().entry(id).or_insert_with(counted);
                        }
                        Ok(record) => claimed.extend(self.claim(id, &record)),
                        Err(why) => self.cannot_read(id, &why),
                    }
                }
                found.extend(self.left(claimed).await?);
            }
        }
        self.forget_ended().await?;
        if found.is_empty() {
            return Ok(());
        }
        log::info!("sagas: {} that were open go on, found within {:?}", found.len(), begun.elapsed());
        for mut run in found {
            self.spawn(async move {
                let command = run.first();
                run.follow(command).await;
            });
        }
        Ok(())
    }

    /// Of those that wait for an operator, forgets those that have ended, for the same reason.
    async fn forget_ended(&self) -> Result<(), Unavailable> {
        let ids: Vec<Id> = self.stuck.lock().keys().copied().collect();
        let ended = move |store: &Store| {
            let mut ended = Vec::new();
            for id in ids {
                if let Some(Ok(record)) = store.record(id)?
                    && record.state.is_ended()
                {
                    ended.push((id, record.state));
                }
            }
            Ok(ended)
        };
        for (id, state) in self.journal.read(ended).await? {
            // Whoever is at it now tells it.
            if !self.open.lock().contains_key(&id) && self.stuck.lock().remove(&id).is_some() {
                log::warn!("saga {id}: what an operator wanted was written after all, it is {} now", state.name());
            }
        }
        Ok(())
    }

    /// From now on it is under way here, unless it is already.
    fn claim(self: &Arc<Self>, id: Id, record: &Record) -> Option<Open> {
        let mut open = self.open.lock();
        if open.contains_key(&id) {
            return None;
        }
        let task = Task::new(Fares::Is(record.state, record.answer.clone()));
        open.insert(id, task.clone());
        Some(Open { sagas: self.clone(), id, task })
    }

    /// Those of them that somebody has left behind.
    async fn left(self: &Arc<Self>, claimed: Vec<Open>) -> Result<Vec<Run>, Unavailable> {
        // What was read before may have been left by now: what counts is what is there while nobody else is at it.
        let ids: Vec<Id> = claimed.iter().map(|open| open.id).collect();
        let records = self.journal.read(move |store| ids.into_iter().map(|id| store.record(id)).collect::<Result<Vec<_>, _>>()).await?;
        let mut left = Vec::with_capacity(claimed.len());
        for (open, record) in claimed.into_iter().zip(records) {
            match record {
                Some(Ok(record)) if matches!(record.state, State::Running(_) | State::Undoing(_)) => {
                    let Some(definition) = self.definition(open.id, record.definition).await? else { continue };
                    if let Err(why) = definition.fits(&record) {
                        self.cannot_read(open.id, &why);
                        continue;
                    }
                    // An order that failed to be written may be there nevertheless.
                    if self.stuck.lock().remove(&open.id).is_some() {
                        log::warn!("saga {}: what an operator wanted was written after all, it is {} now", open.id, record.state.name());
                    }
                    let counted = Counted::new(&self.metrics.sagas(&record.route), record.state, record.begun);
                    left.push(Run::new(open, definition, record, counted, None));
                }
                Some(Err(why)) => self.cannot_read(open.id, &why),
                Some(Ok(_)) | None => {}
            }
        }
        Ok(left)
    }

    /// The definition of this hash, which this saga goes by; none where it cannot be read, which the log says.
    pub(crate) async fn definition(&self, id: Id, hash: Hash) -> Result<Option<Arc<Definition>>, Unavailable> {
        if let Some(known) = self.definitions.lock().get(&hash) {
            return Ok(Some(known.clone()));
        }
        let text = self.journal.read(move |store| store.definition(hash)).await?;
        match text.ok_or_else(|| "it is not there".to_owned()).and_then(Definition::read) {
            Ok(definition) => {
                let definition = Arc::new(definition);
                self.remember(&definition);
                Ok(Some(definition))
            }
            Err(why) => {
                self.cannot_read(id, &format!("the definition that it goes by: {why}"));
                Ok(None)
            }
        }
    }
}
