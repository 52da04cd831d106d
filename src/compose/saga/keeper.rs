//! All sagas of a gateway: those that clients begin, those that a process before has left, and the journal behind them.
//!
//! Each open one is a task of its own on the runtime in the background, tied to no client: who began it waits for what becomes of it, and may
//! leave.

use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use frontgate_filters::filter::BoxFuture;
use http::header::{HeaderName, HeaderValue};
use parking_lot::Mutex;
use prometheus::Histogram;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};

use super::counted::Counted;
use super::definition::Definition;
use super::journal::{Health, Journal, Unavailable};
use super::machine::{Machine, Over, State};
use super::operated::{Known, Live, Operated, Order, Refused};
use super::record::{Act, Answer, Hash, Id, Millis, Record};
use super::runner::Run;
use super::store::{Write, Written};
use crate::compose::Calls;
use crate::telemetry::Metrics;
use crate::upstream::Pool;

/// How many may be open at once.
pub(crate) const MOST_OPEN: usize = 10_000;
/// How many that a process before has left may make calls to an upstream at once.
const MOST_RECOVERED: usize = 64;
/// How long a client waits for the journal at most, whatever its route says.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the last of a process may take to be parked.
const PARKING: Duration = Duration::from_secs(10);

/// What sagas need of the gateway around them.
pub(crate) trait World: Send + Sync {
    /// The upstream of this name in the configuration in force.
    fn pool(&self, name: &str) -> Option<Arc<Pool>>;

    /// What the configuration in force has for this header of a call of a route's saga, which is not kept with the saga.
    fn header(&self, _route: &str, _call: &str, _name: &HeaderName) -> Option<HeaderValue> {
        None
    }

    /// Who makes calls for a saga of this route that began with this request.
    fn calls(&self, route: &str, request_id: &str) -> Option<Arc<dyn Calls>>;
}

/// All sagas of a gateway.
pub(crate) struct Sagas {
    pub(super) journal: Journal,
    pub(super) world: Box<dyn World>,
    pub(super) metrics: Arc<Metrics>,
    /// Where they run.
    runtime: OnceLock<Handle>,
    /// Those that are under way here.
    pub(super) open: Mutex<HashMap<Id, Arc<Task>>>,
    /// Those that wait for an operator.
    pub(super) stuck: Mutex<HashMap<Id, Counted>>,
    /// Definitions that were read, by their hashes.
    pub(super) definitions: Mutex<HashMap<Hash, Arc<Definition>>>,
    /// By upstream, the turns of those that a process before has left: one upstream that hangs keeps none waiting of another one.
    recovering: Mutex<HashMap<String, Arc<Semaphore>>>,
    /// Those of which something cannot be read, which nobody is at.
    pub(super) unreadable: Mutex<HashSet<Id>>,
    /// Whether all of them are to leave off where they are.
    pub(super) parks: watch::Sender<bool>,
}

/// A saga that is under way, as those see it who wait for it.
pub(super) struct Task {
    /// How it fares.
    pub fares: watch::Sender<Fares>,
    /// What operators are told of its attempts.
    pub live: Mutex<Live>,
}

/// How a saga fares.
#[derive(Clone, Debug)]
pub(crate) enum Fares {
    /// Its beginning is not durable yet.
    Begins,
    /// It could not be written down, and nothing was sent.
    Unavailable,
    /// Another one has its key.
    Taken(Id, Box<Record>),
    /// It is here, and this is what its client is told where that is known.
    Is(State, Option<Answer>),
    /// It has left off there, and another process goes on with it.
    Parked(State),
}

/// What a client is told of what it wanted to begin.
#[derive(Debug)]
pub(crate) enum Begun {
    /// Nothing begins: the journal cannot be used, or the process is about to end.
    Unavailable,
    /// Nothing begins: too many are open.
    TooMany,
    /// Its key is that of this one.
    Taken(Id, Box<Record>),
    /// This became of it within its time.
    Answered(Id, Answer),
    /// It is still there.
    Open(Id, State),
}

impl Task {
    pub(super) fn new(fares: Fares) -> Arc<Self> {
        Arc::new(Self { fares: watch::Sender::new(fares), live: Mutex::default() })
    }
}

/// One of the open, until it is dropped.
pub(super) struct Open {
    pub sagas: Arc<Sagas>,
    pub id: Id,
    pub task: Arc<Task>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.sagas.open.lock().remove(&self.id);
    }
}

impl Sagas {
    /// Opens the journal in this directory, or goes on trying to.
    pub(crate) fn open(folder: PathBuf, commits: Histogram, world: Box<dyn World>, metrics: Arc<Metrics>) -> Result<Arc<Self>, String> {
        metrics.saga_unreadable();
        Ok(Arc::new(Self {
            journal: Journal::open(folder, commits)?,
            world,
            metrics,
            runtime: OnceLock::new(),
            open: Mutex::default(),
            stuck: Mutex::default(),
            definitions: Mutex::default(),
            recovering: Mutex::default(),
            unreadable: Mutex::default(),
            parks: watch::Sender::new(false),
        }))
    }

    /// From now on they run on this runtime, also those that a process before has left.
    pub(crate) fn run(self: &Arc<Self>, runtime: &Handle) {
        if self.runtime.set(runtime.clone()).is_ok() {
            let sagas = self.clone();
            runtime.spawn(async move { sagas.follow().await });
        }
    }

    /// Whether the journal can be used.
    pub(crate) fn is_available(&self) -> bool {
        matches!(*self.journal.health().borrow(), Health::Open(_)) && !*self.parks.borrow()
    }

    /// The turns that those of a process before have at this upstream.
    pub(super) fn turns(&self, upstream: &str) -> Arc<Semaphore> {
        let mut all = self.recovering.lock();
        if let Some(turns) = all.get(upstream) {
            return turns.clone();
        }
        let turns = Arc::new(Semaphore::new(MOST_RECOVERED));
        all.insert(upstream.to_owned(), turns.clone());
        turns
    }

    /// Of this one something cannot be read: it is left as it is, and its key is refused. The log says so once.
    pub(super) fn cannot_read(&self, id: Id, why: &str) {
        let mut unreadable = self.unreadable.lock();
        if unreadable.len() < MOST_OPEN && unreadable.insert(id) {
            self.metrics.saga_unreadable().set(unreadable.len() as i64);
            log::error!("saga {id} cannot be read, is left as it is, and its key is refused: {why}");
        }
    }

    /// A definition is a definition of the configuration in force, or was read.
    pub(super) fn remember(&self, definition: &Arc<Definition>) {
        let mut known = self.definitions.lock();
        if known.len() >= 256 {
            // Those that nobody goes by can be read again.
            known.retain(|_, known| Arc::strong_count(known) > 1);
        }
        known.insert(definition.hash, definition.clone());
    }

    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = self.runtime.get() {
            runtime.spawn(work);
        }
    }

    /// Begins a saga, unless its key is taken, and waits until then at most for what becomes of it. Once it has begun, `began` hears its id.
    pub(crate) async fn begin(
        self: &Arc<Self>,
        definition: &Arc<Definition>,
        record: Record,
        until: Instant,
        began: &(dyn Fn(Id) + Send + Sync),
    ) -> Begun {
        if !self.is_available() || self.runtime.get().is_none() {
            return Begun::Unavailable;
        }
        let id = Id::fresh();
        let task = Task::new(Fares::Begins);
        {
            let mut open = self.open.lock();
            if open.len() + self.stuck.lock().len() >= MOST_OPEN {
                return Begun::TooMany;
            }
            open.insert(id, task.clone());
        }
        self.remember(definition);
        let mut fares = task.fares.subscribe();
        let open = Open { sagas: self.clone(), id, task };
        let (sagas, definition) = (self.clone(), definition.clone());
        // Whether it begins does not depend on its client any more.
        self.spawn(async move { sagas.write_begin(open, definition, record).await });
        let patience = until.max(Instant::now() + PATIENCE);
        let begun = tokio::time::timeout_at(patience.into(), fares.wait_for(|fares| !matches!(fares, Fares::Begins))).await;
        match begun.map(|begun| begun.map(|fares| fares.clone())) {
            Ok(Ok(Fares::Taken(id, record))) => return Begun::Taken(id, record),
            Ok(Ok(Fares::Is(..) | Fares::Parked(_))) => began(id),
            Ok(Ok(Fares::Begins | Fares::Unavailable) | Err(_)) | Err(_) => return Begun::Unavailable,
        }
        let told = |fares: &Fares| matches!(fares, Fares::Is(_, Some(_)) | Fares::Parked(_));
        let _ = tokio::time::timeout_at(until.into(), fares.wait_for(told)).await;
        let fares = fares.borrow().clone();
        match fares {
            Fares::Is(_, Some(answer)) => Begun::Answered(id, answer),
            Fares::Is(state, None) | Fares::Parked(state) => Begun::Open(id, state),
            Fares::Begins | Fares::Unavailable | Fares::Taken(..) => Begun::Unavailable,
        }
    }

    async fn write_begin(self: Arc<Self>, open: Open, definition: Arc<Definition>, record: Record) {
        let write = Write::Begin { id: open.id, record: Box::new(record.clone()), definition: definition.text.clone() };
        match self.journal.write(write).await {
            Ok(Written::Done) => {
                open.task.fares.send_replace(Fares::Is(record.state, None));
                let counted = Counted::new(&self.metrics.sagas(&record.route), record.state, record.begun);
                let mut run = Run::new(open, definition, record, counted, Some(Machine::begun()));
                let command = run.first();
                run.follow(command).await;
            }
            Ok(Written::Taken(id, kept)) => {
                open.task.fares.send_replace(match kept.read() {
                    Ok(record) => Fares::Taken(id, Box::new(record)),
                    Err(why) => {
                        self.cannot_read(id, &why);
                        Fares::Unavailable
                    }
                });
            }
            Err(Unavailable) => drop(open.task.fares.send_replace(Fares::Unavailable)),
        }
    }

    /// The saga of this key, also where the journal can only be read.
    pub(crate) async fn find(&self, key: Hash) -> Result<Option<(Id, Record)>, Unavailable> {
        if *self.parks.borrow() {
            return Err(Unavailable);
        }
        let found = tokio::time::timeout(PATIENCE, self.journal.read(move |store| store.of_key(key))).await.unwrap_or(Err(Unavailable))?;
        let Some((id, kept)) = found else { return Ok(None) };
        match kept.read() {
            Ok(record) => Ok(Some((id, record))),
            Err(why) => {
                self.cannot_read(id, &why);
                Err(Unavailable)
            }
        }
    }

    /// From now on none begins, and each leaves off once what it does is durable.
    pub(crate) fn park(&self) {
        self.parks.send_replace(true);
    }

    /// Waits until all have left off, until then at most, and closes the journal.
    pub(crate) async fn close(self: &Arc<Self>, until: Instant) {
        self.park();
        let until = until.min(Instant::now() + PARKING);
        while !self.open.lock().is_empty() && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let left = self.open.lock().len();
        if left > 0 {
            log::warn!("sagas: {left} are left in the middle of a call, which is made again by whoever goes on with them");
        }
        let sagas = self.clone();
        let closed = tokio::task::spawn_blocking(move || sagas.journal.close());
        let _ = closed.await;
    }

    /// What is written of a saga that an operator means.
    async fn read(&self, id: Id) -> Result<Record, Refused> {
        let found = self.journal.read(move |store| store.record(id)).await?;
        found.ok_or_else(|| Refused::Unknown(id.to_string()))?.map_err(|why| Refused::Unreadable(id, why))
    }

    /// Takes one from the journal that is in a state for this order, which nobody here is at.
    async fn ordered(self: &Arc<Self>, id: Id, order: &Order, who: &str) -> Result<State, Refused> {
        if *self.parks.borrow() {
            return Err(Refused::Leaving);
        }
        let task = Task::new(Fares::Begins);
        let is_free = match self.open.lock().entry(id) {
            Entry::Vacant(place) => {
                place.insert(task.clone());
                true
            }
            Entry::Occupied(_) => false,
        };
        if !is_free {
            let record = self.read(id).await?;
            let busy = Refused::Busy { id, order: order.name() };
            return Err(if order.suits(record.state) { busy } else { Refused::other_state(id, order, &record) });
        }
        let open = Open { sagas: self.clone(), id, task: task.clone() };
        let mut record = self.read(id).await?;
        if !order.suits(record.state) {
            return Err(Refused::other_state(id, order, &record));
        }
        let Some(definition) = self.definition(id, record.definition).await? else {
            return Err(Refused::Unreadable(id, "its definition cannot be read".to_owned()));
        };
        if let Err(why) = definition.fits(&record) {
            return Err(Refused::Unreadable(id, why));
        }
        let was = record.state;
        let event = order.given(id, &mut record, &known(&definition))?;
        let (what, note) = (order.name().to_owned(), order.note().map(Cow::into_owned));
        let act = Act { at: Millis::now(), who: who.to_owned(), what, note, was: Some(was) };
        record.acted(act);
        let stuck = self.stuck.lock().remove(&id);
        let counted = stuck.unwrap_or_else(|| Counted::new(&self.metrics.sagas(&record.route), record.state, record.begun));
        let mut run = Run::new(open, definition, record, counted, None);
        let command = run.on(event);
        let mut fares = task.fares.subscribe();
        self.spawn(async move { run.follow(command).await });
        let moved = |fares: &Fares| !matches!(fares, Fares::Begins);
        match tokio::time::timeout(PATIENCE, fares.wait_for(moved)).await {
            Ok(Ok(fares)) => match &*fares {
                Fares::Is(state, _) | Fares::Parked(state) if *state != was => Ok(*state),
                _ => Err(Refused::Unavailable),
            },
            Ok(Err(_)) => Err(Refused::Unavailable),
            Err(_) => Err(Refused::Unconfirmed { id, order: order.name() }),
        }
    }
}

impl Operated for Arc<Sagas> {
    fn journal(&self) -> &Journal {
        &self.journal
    }

    fn live(&self, id: Id) -> Option<Live> {
        self.open.lock().get(&id).map(|task| task.live.lock().clone())
    }

    fn unreadable(&self) -> u64 {
        self.unreadable.lock().len() as u64
    }

    fn steps(&self, definition: &str) -> Option<Vec<Known>> {
        Some(known(&Definition::read(definition.to_owned()).ok()?))
    }

    fn obey<'a>(&'a self, id: Id, order: &'a Order, who: &'a str) -> BoxFuture<'a, Result<State, Refused>> {
        Box::pin(self.ordered(id, order, who))
    }
}

/// The steps of a definition as operators are told of them.
fn known(definition: &Definition) -> Vec<Known> {
    let undos = definition.shape.steps.iter().map(|step| step.undo);
    let all = definition.steps().zip(undos).zip(definition.asked());
    let known = all.map(|((name, undo), (step, its_undo))| Known {
        name: name.to_string(),
        undo,
        upstream: step.upstream.to_owned(),
        undo_upstream: its_undo.map(|undo| undo.upstream.to_owned()),
        asks: Some(step.words.to_owned()),
        undo_asks: its_undo.map(|undo| undo.words.to_owned()),
    });
    known.collect()
}

/// Which of a saga's times are over.
pub(super) fn over(definition: &Definition, record: &Record, now: Millis) -> Over {
    Over { deadline: now >= record.deadline_from.plus(definition.deadline), give_up: now >= record.give_up_from.plus(definition.give_up) }
}

#[cfg(test)]
mod tests {
    use super::super::definition::Definition;
    use super::super::store::Store;
    use super::super::store::tests::{self, Scratch};
    use super::*;
    use crate::telemetry::Metrics;

    /// Without upstreams: nothing can be sent, and nothing has to be.
    struct Nowhere;

    impl World for Nowhere {
        fn pool(&self, _: &str) -> Option<Arc<Pool>> {
            None
        }
        fn calls(&self, _: &str, _: &str) -> Option<Arc<dyn Calls>> {
            None
        }
    }

    fn sagas(scratch: &Scratch) -> Arc<Sagas> {
        let metrics = Metrics::new();
        let sagas = Sagas::open(scratch.0.clone(), metrics.saga_commits(), Box::new(Nowhere), metrics).expect("a thread");
        sagas.run(&Handle::current());
        sagas
    }

    /// One that begins now.
    fn record(key: &str) -> Record {
        let now = Millis::now();
        Record { begun: now, deadline_from: now, give_up_from: now, ..tests::record(key) }
    }

    fn definition() -> Arc<Definition> {
        let saga = serde_json::json!({"deadline": "1h", "steps": {"a": {"upstream": "p", "post": "/a", "attempts": 100}}});
        Arc::new(Definition::compile("/a", &serde_json::from_value(saga).expect("a saga"), &|_, _| false).expect("a definition"))
    }

    #[tokio::test]
    async fn of_too_many_the_next_one_does_not_begin_until_another_ends() {
        let scratch = Scratch::new("many");
        let (sagas, definition) = (sagas(&scratch), definition());
        for number in 0..MOST_OPEN as u128 {
            sagas.open.lock().insert(Id(number), Task::new(Fares::Begins));
        }

        let soon = Instant::now() + Duration::from_millis(50);
        assert!(matches!(sagas.begin(&definition, record("k"), soon, &|_| {}).await, Begun::TooMany));
        assert!(sagas.find(record("k").key).await.expect("it can be read").is_none(), "nothing was written");

        sagas.open.lock().clear();
        assert!(matches!(
            sagas.begin(&definition, record("k"), soon, &|_| {}).await,
            Begun::Open(_, State::Running(0)) | Begun::Answered(..)
        ));
    }

    #[tokio::test]
    async fn one_that_cannot_be_read_fails_for_its_key_alone() {
        let scratch = Scratch::new("one-unreadable");
        let (sagas, definition) = (sagas(&scratch), definition());
        let soon = || Instant::now() + Duration::from_millis(50);
        let id = Id::fresh();
        let write = Write::Begin { id, record: Box::new(record("k")), definition: definition.text.clone() };
        assert!(matches!(sagas.journal.write(write).await, Ok(Written::Done)));
        let damage = move |store: &Store| {
            tests::damage(store, id);
            Ok(())
        };
        sagas.journal.read(damage).await.expect("damaged");

        assert_eq!(sagas.unreadable(), 0);
        for _ in 0..3 {
            assert!(sagas.find(record("k").key).await.is_err());
        }
        assert!(matches!(sagas.begin(&definition, record("k"), soon(), &|_| {}).await, Begun::Unavailable));
        assert_eq!(sagas.unreadable(), 1);
        assert!(matches!(sagas.ordered(id, &Order::Undo { leave: Vec::new() }, "me").await, Err(Refused::Unreadable(..))));

        let begun = sagas.begin(&definition, record("other"), soon(), &|_| {}).await;
        assert!(matches!(begun, Begun::Open(..)), "{begun:?}");
        assert!(sagas.find(record("other").key).await.is_ok_and(|found| found.is_some()));
        assert_eq!(*sagas.journal.health().borrow(), Health::Open(1));
        // Whoever comes next finds it, and it is counted and told of.
        sagas.close(Instant::now() + Duration::from_secs(10)).await;
        let next = self::sagas(&scratch);
        let until = Instant::now() + Duration::from_secs(20);
        while next.unreadable() == 0 && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(next.unreadable(), 1);
        let listed = super::super::operated::list(&next, &Default::default()).await.expect("a list");
        assert_eq!((listed.unreadable, listed.sagas.len()), (vec![id.to_string()], 1));
    }

    #[test]
    fn those_that_wait_for_one_upstream_keep_none_waiting_for_another() {
        let scratch = Scratch::new("turns");
        let metrics = Metrics::new();
        let sagas = Sagas::open(scratch.0.clone(), metrics.saga_commits(), Box::new(Nowhere), metrics).expect("a thread");

        let hung: Vec<_> = (0..MOST_RECOVERED).map(|_| sagas.turns("hung").try_acquire_owned().expect("a turn")).collect();

        assert!(sagas.turns("hung").try_acquire_owned().is_err());
        assert!(sagas.turns("other").try_acquire_owned().is_ok());
        drop(hung);
        assert!(sagas.turns("hung").try_acquire_owned().is_ok());
    }

    #[tokio::test]
    async fn one_that_speaks_of_steps_that_there_are_not_keeps_no_other_from_going_on() {
        let scratch = Scratch::new("no-such-step");
        let definition = definition();
        let (damaged, sound) = (Id(1), Id(2));
        {
            let store = Store::open(&scratch.0).expect("it opens");
            let begin = |id, key, state| {
                let record = Record { state, definition: definition.hash, ..record(key) };
                Write::Begin { id, record: Box::new(record), definition: definition.text.clone() }
            };
            store.put(&[begin(damaged, "a", State::Undoing(7)), begin(sound, "b", State::Running(0))]).expect("it is put");
        }

        let sagas = sagas(&scratch);

        // Nobody makes calls here: it is tried.
        let attempts = || sagas.live(sound).map_or(0, |live| live.attempts);
        let end = Instant::now() + Duration::from_secs(30);
        while attempts() == 0 {
            assert!(Instant::now() < end, "it does not go on");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(!sagas.open.lock().contains_key(&damaged));
        assert!(matches!(sagas.ordered(damaged, &Order::Retry, "me").await, Err(Refused::OtherState { .. } | Refused::Unreadable(..))));
    }

    #[tokio::test]
    async fn once_parked_none_begins_and_the_journal_is_given_up() {
        let scratch = Scratch::new("park");
        let (sagas, definition) = (sagas(&scratch), definition());
        let soon = Instant::now() + Duration::from_millis(10);
        let begun = sagas.begin(&definition, record("k"), soon, &|_| {}).await;
        let Begun::Open(id, _) = begun else { panic!("{begun:?}") };

        sagas.close(Instant::now() + Duration::from_secs(10)).await;

        assert!(matches!(sagas.begin(&definition, record("other"), soon, &|_| {}).await, Begun::Unavailable));
        assert!(sagas.find(record("k").key).await.is_err());
        assert_eq!(sagas.open.lock().len(), 0);
        let next = self::sagas(&scratch);
        let found = next.find(record("k").key).await.expect("it can be read");
        assert_eq!(found.map(|(found, record)| (found, record.state)), Some((id, State::Running(0))));
    }
}
