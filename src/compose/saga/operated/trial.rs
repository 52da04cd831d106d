//! Someone who obeys operators as a runner of sagas does, over a real journal and without making a call: for tests of what operators see.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus::{Histogram, HistogramOpts};

use super::super::machine::{Command, Keep, Machine, Shape, Step};
pub(crate) use super::super::machine::{State, Stuck};
use super::super::record::{Act, Hash};
pub(crate) use super::super::record::{Id, Millis};
use super::super::store::Write;
use super::super::store::tests::Scratch;
use super::{BoxFuture, Journal, Known, Live, Operated, Order, Pseudonyms, Record, Refused, SagaStatus, Undo, Wanted, list, show};

/// The text of the definition that all of its sagas go by.
const STEPS: &str = "reserve charge confirm";

/// Three steps of which the last is the pivot. It obeys as a runner does, without making a call.
pub(crate) struct Runner {
    /// What sagas are kept in.
    pub(crate) journal: Journal,
    /// What is known of the attempts of some.
    pub(crate) live: Mutex<BTreeMap<Id, Live>>,
    _scratch: Scratch,
}

impl Runner {
    /// One with a journal in a directory of this name, which goes with it.
    pub(crate) fn new(name: &str) -> Arc<Self> {
        let scratch = Scratch::new(name);
        let commits = Histogram::with_opts(HistogramOpts::new("commits", "Commits.")).expect("a histogram");
        let journal = Journal::open(scratch.0.clone(), commits).expect("a thread");
        Arc::new(Self { journal, live: Mutex::default(), _scratch: scratch })
    }

    /// Writes down a saga that began a minute ago, and what is made of it.
    pub(crate) async fn put(&self, id: u128, made: impl FnOnce(&mut Record)) -> Id {
        let id = Id(id);
        self.put_as(id, "checkout", &[&id.to_string()], made).await
    }

    /// The same of this route, whose client knows it by these parts of a key.
    pub(crate) async fn put_with(&self, route: &str, key: &[&str], made: impl FnOnce(&mut Record)) -> Id {
        self.put_as(Id::fresh(), route, key, made).await
    }

    async fn put_as(&self, id: Id, route: &str, key: &[&str], made: impl FnOnce(&mut Record)) -> Id {
        let begun = Millis(Millis::now().0 - 60_000);
        let hash = |text: &str| Hash::of(&[text.as_bytes()]);
        let key: Vec<Vec<u8>> = key.iter().map(|part| part.as_bytes().to_vec()).collect();
        let key = Hash::of_key(route, &key);
        let mut record = Record::begin(route.to_owned(), key, hash("f"), hash("steps"), "request-1".to_owned(), begun);
        let began = Box::new(record.clone());
        self.journal.write(Write::Begin { id, record: began, definition: STEPS.to_owned() }).await.expect("it is written");
        made(&mut record);
        let record = Box::new(record);
        let change = Write::Change { id, record, before: State::Running(0), forgotten: None, was_forgotten: None };
        self.journal.write(change).await.expect("it is written");
        id
    }

    /// What is told of one.
    pub(crate) async fn shown(&self, id: Id) -> SagaStatus {
        show(self, &id.to_string().parse().expect("an id"), &Pseudonyms::of_this_process()).await.expect("it is shown")
    }

    /// The ids of those that are wanted.
    pub(crate) async fn listed(&self, wanted: Wanted) -> Vec<String> {
        list(self, &wanted).await.expect("they are listed").sagas.into_iter().map(|saga| saga.id).collect()
    }
}

impl Operated for Runner {
    fn journal(&self) -> &Journal {
        &self.journal
    }

    fn live(&self, id: Id) -> Option<Live> {
        self.live.lock().get(&id).cloned()
    }

    fn steps(&self, definition: &str) -> Option<Vec<Known>> {
        let undo = |name: &str| if name == "confirm" { Undo::Never } else { Undo::Call { needs_answer: false } };
        let known = |name: &str| Known {
            name: name.to_owned(),
            undo: undo(name),
            upstream: format!("of-{name}"),
            undo_upstream: (name != "confirm").then(|| format!("of-{name}-undo")),
            asks: Some(format!("POST of-{name} /{name}")),
            undo_asks: (name != "confirm").then(|| format!("DELETE of-{name}-undo /{name}")),
        };
        Some(definition.split(' ').map(known).collect())
    }

    fn obey<'a>(&'a self, id: Id, order: &'a Order, who: &'a str) -> BoxFuture<'a, Result<State, Refused>> {
        Box::pin(async move {
            let record = self.journal.read(move |store| store.record(id)).await?;
            let mut record = record.ok_or_else(|| Refused::Unknown(id.to_string()))?.map_err(|why| Refused::Unreadable(id, why))?;
            let before = record.state;
            let known = self.steps(STEPS).unwrap_or_default();
            let event = order.given(id, &mut record, &known)?;
            let shape = Shape { steps: known.iter().map(|known| Step { attempts: 1, undo: known.undo }).collect() };
            let mut machine = Machine::recovered(before, record.answers.keys().copied(), record.left.iter().copied());
            let Command::Keep(keep) = machine.on(&shape, event) else { return Err(Refused::other_state(id, order, &record)) };
            record.moves(keep, Millis::now());
            let (what, note) = (order.name().to_owned(), order.note().map(Cow::into_owned));
            record.acted(Act { at: Millis::now(), who: who.to_owned(), what, note, was: Some(before) });
            let change = Write::Change { id, record: Box::new(record), before, forgotten: None, was_forgotten: None };
            self.journal.write(change).await?;
            Ok(keep.state)
        })
    }
}

/// Moves a saga through these states.
pub(crate) fn moved(record: &mut Record, states: &[State]) {
    for state in states {
        record.moves(Keep { state: *state, answer: None, failed: None, anew: false }, Millis::now());
    }
}
