//! Who writes what sagas have to remember: one thread, which has the file, and syncs it once for all who wait at that moment.
//!
//! Where the file cannot be opened, is full or fails to sync, everybody is told so and nothing is believed to be written; the thread tries again
//! until it can, and those who watch [`Journal::health`] see that. Nothing is ever kept in memory instead. A file that was there is not made anew
//! where it is gone, and what can be read of one that cannot be written is read.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use prometheus::Histogram;
use tokio::sync::{oneshot, watch};

use super::file;
use super::record::Millis;
use super::store::{Store, Trouble, Trust, Write, Written};
use crate::panics::{contained, stop_instead_of_abort};

/// How many may wait for the thread: each open saga waits for one thing at a time, and some ask.
const QUEUE: usize = 16_384;
/// How much is written with one sync.
const BATCH: usize = 256;
/// When a file that could not be used is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// The same where it is damaged: all of it is read then, and what a panic leaves stays in memory until the process ends.
const AGAIN_DAMAGED: Duration = Duration::from_secs(10);
/// The same where another process has it, which is about to leave it.
const AGAIN_ELSEWHERE: Duration = Duration::from_millis(50);
/// How much is written at least to see whether there is room again, and at most.
const ROOM: usize = 64 << 10;
const MOST_ROOM: usize = 16 << 20;
/// How often it is looked whether the file is still there, beside each time that it is written.
const LOOK: Duration = Duration::from_secs(1);
/// How often it is looked for what may be forgotten, and how much of that is done at once.
const SWEEP: Duration = Duration::from_secs(30);
const SWEEP_MOST: usize = 512;

/// Whether there is a file to write to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// It is open; how often it has been opened.
    Open(u64),
    /// Another process has it.
    Elsewhere,
    /// It cannot be used; why.
    Down(String),
    /// It was given up for good.
    Closed,
}

/// Nothing was written, as far as anybody knows: it may be there nevertheless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unavailable;

type Read = Box<dyn FnOnce(&Store) -> Result<(), Trouble> + Send>;

/// What is to be written, and who waits for it.
type Waiting = (Write, oneshot::Sender<Result<Written, Unavailable>>);

enum Work {
    Write(Write, oneshot::Sender<Result<Written, Unavailable>>),
    Read(Read),
    Close,
}

/// The thread, as others see it.
pub(crate) struct Journal {
    work: SyncSender<Work>,
    health: watch::Receiver<Health>,
    /// Whether its thread goes no further.
    is_lost: Arc<AtomicBool>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl Journal {
    /// Opens the file in this directory, or goes on trying to; how long each sync takes is told to `commits`. It returns once the first try is
    /// over.
    pub(crate) fn open(folder: PathBuf, commits: Histogram) -> Result<Self, String> {
        let (work, todo) = sync_channel(QUEUE);
        let (tell, health) = watch::channel(Health::Closed);
        let (tried, first) = sync_channel(1);
        let now = Instant::now();
        let mut keeper = Keeper {
            folder,
            commits,
            health: tell,
            store: None,
            opened: 0,
            was_there: false,
            trust: Trust::Proved,
            lacks: None,
            next_try: now,
            next_sweep: now,
            next_look: now,
        };
        let (is_lost, tell) = (Arc::new(AtomicBool::new(false)), keeper.health.clone());
        let lost = is_lost.clone();
        let run = move || {
            stop_instead_of_abort(move || {
                let why = "it is damaged, and left alone until the gateway is restarted";
                log::error!("sagas: the journal cannot be used, and nothing is begun: {why}");
                lost.store(true, Ordering::Relaxed);
                tell.send_replace(Health::Down(why.to_owned()));
            });
            keeper.try_open();
            let _ = tried.send(());
            keeper.run(&todo);
        };
        let thread = std::thread::Builder::new().name("saga-journal".to_owned()).spawn(run);
        let thread = thread.map_err(|error| format!("the thread for the journal of sagas cannot be started: {error}"))?;
        // A file system that does not answer is found out later: everything else serves.
        let _ = first.recv_timeout(Duration::from_secs(5));
        Ok(Self { work, health, is_lost, thread: Mutex::new(Some(thread)) })
    }

    /// Whether there is a file to write to.
    pub(crate) fn health(&self) -> watch::Receiver<Health> {
        self.health.clone()
    }

    /// Writes this. It is durable where it is told so.
    pub(crate) async fn write(&self, write: Write) -> Result<Written, Unavailable> {
        let (tell, told) = oneshot::channel();
        self.ask(Work::Write(write, tell))?;
        told.await.unwrap_or(Err(Unavailable))
    }

    /// Reads something.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Store) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, Unavailable> {
        let (tell, told) = oneshot::channel();
        let read = move |store: &Store| {
            // Whoever asked may have left.
            read(store).map(|found| drop(tell.send(found)))
        };
        self.ask(Work::Read(Box::new(read)))?;
        told.await.map_err(|_| Unavailable)
    }

    fn ask(&self, work: Work) -> Result<(), Unavailable> {
        if self.is_lost.load(Ordering::Relaxed) {
            return Err(Unavailable);
        }
        self.work.try_send(work).map_err(|error| match error {
            TrySendError::Full(_) | TrySendError::Disconnected(_) => Unavailable,
        })
    }

    /// Closes the file once all that was asked for is done, so that another process may have it.
    pub(crate) fn close(&self) {
        let thread = self.thread.lock().take().filter(|_| !self.is_lost.load(Ordering::Relaxed));
        if let Some(thread) = thread {
            // A full queue is one that is being worked at.
            let until = Instant::now() + Duration::from_secs(5);
            while let Err(TrySendError::Full(_)) = self.work.try_send(Work::Close) {
                if Instant::now() >= until {
                    log::error!("sagas: the journal does not answer, and is left open");
                    return;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            while !thread.is_finished() {
                if Instant::now() >= until {
                    log::error!("sagas: the journal does not answer, and is left open");
                    return;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            let _ = thread.join();
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.close();
    }
}

/// The thread's own.
struct Keeper {
    folder: PathBuf,
    commits: Histogram,
    health: watch::Sender<Health>,
    /// Open for reading at least.
    store: Option<Store>,
    opened: u64,
    /// Whether the file was seen.
    was_there: bool,
    /// Whether it is known to be what was written to it.
    trust: Trust,
    /// How much room there has to be before anything is written; nothing where writing did not fail.
    lacks: Option<usize>,
    next_try: Instant,
    next_sweep: Instant,
    next_look: Instant,
}

impl Keeper {
    fn run(&mut self, todo: &Receiver<Work>) {
        loop {
            let now = Instant::now();
            if !self.writes() && now >= self.next_try {
                if self.store.is_some() { self.try_to_write() } else { self.try_open() }
            }
            if self.writes() && now >= self.next_look {
                self.look();
            }
            if self.writes() && now >= self.next_sweep {
                self.sweep();
            }
            let next = if self.writes() { self.next_sweep.min(self.next_look) } else { self.next_try };
            let first = match todo.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(first) => first,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let (mut writes, mut reads, mut closes) = (Vec::new(), Vec::new(), false);
            let mut next = Some(first);
            while let Some(work) = next {
                match work {
                    Work::Write(write, tell) => writes.push((write, tell)),
                    Work::Read(read) => reads.push(read),
                    Work::Close => closes = true,
                }
                next = if closes || writes.len() + reads.len() >= BATCH { None } else { todo.try_recv().ok() };
            }
            self.write(writes);
            // What is asked behind a write sees it.
            for read in reads {
                self.read(read);
            }
            if closes {
                break;
            }
        }
        self.store = None;
        self.health.send_replace(Health::Closed);
    }

    /// Whether it can be written, as far as anybody knows.
    fn writes(&self) -> bool {
        self.store.is_some() && self.lacks.is_none()
    }

    fn try_open(&mut self) {
        match self.open() {
            Ok(store) => {
                self.store = Some(store);
                if self.lacks.is_some() { self.try_to_write() } else { self.can_be_used() }
            }
            Err(trouble) => self.fails(trouble),
        }
    }

    fn open(&mut self) -> Result<Store, Trouble> {
        let open = || {
            if !self.was_there {
                return Store::open(&self.folder);
            }
            Store::open_again(&self.folder, self.trust)?.ok_or_else(|| file::gone(&self.folder))
        };
        let opened = contained(open).unwrap_or_else(|_| Err(panicked()));
        self.was_there |= matches!(opened, Ok(_) | Err(Trouble::Elsewhere));
        if opened.is_ok() {
            self.trust = Trust::Known;
        }
        opened
    }

    fn can_be_used(&mut self) {
        self.opened += 1;
        if self.opened > 1 || *self.health.borrow() != Health::Closed {
            log::info!("sagas: the journal in `{}` can be used", self.folder.display());
        }
        self.health.send_replace(Health::Open(self.opened));
    }

    /// Whether there is room for as much as could not be written. Until there is, it is not said to be open: whoever waits to write would fail again.
    fn try_to_write(&mut self) {
        let Some(bytes) = self.lacks else { return };
        let tried = |store: &Store| {
            // What is over makes room.
            store.delete(Millis::now(), SWEEP_MOST)?;
            store.has_room(bytes)
        };
        match self.ask(tried) {
            Some(Ok(())) => {
                self.lacks = None;
                self.can_be_used();
            }
            Some(Err(trouble)) => self.cannot_write(trouble, bytes),
            None => {}
        }
    }

    /// So much could not be written. What is there is read nevertheless.
    fn cannot_write(&mut self, trouble: Trouble, bytes: usize) {
        let was_said = self.lacks.is_some() && matches!(*self.health.borrow(), Health::Down(_));
        self.lacks = Some(bytes.clamp(ROOM, MOST_ROOM));
        if let Trouble::Damaged(_) = trouble {
            return self.fails(trouble);
        }
        if was_said {
            (self.store, self.next_try) = (None, Instant::now() + AGAIN);
        } else {
            self.fails(trouble);
        }
        self.store = self.open().ok();
    }

    /// Nothing is believed of a file that has failed once: it is opened anew.
    fn fails(&mut self, trouble: Trouble) {
        self.store = None;
        let (health, again) = match trouble {
            Trouble::Elsewhere => (Health::Elsewhere, AGAIN_ELSEWHERE),
            Trouble::Broken(why) => (Health::Down(why), AGAIN),
            Trouble::Damaged(why) => {
                self.trust = Trust::Proved;
                (Health::Down(why), AGAIN_DAMAGED)
            }
        };
        self.next_try = Instant::now() + again;
        if *self.health.borrow() != health {
            match &health {
                Health::Down(why) => {
                    log::error!("sagas: the journal in `{}` cannot be used, and nothing is begun: {why}", self.folder.display())
                }
                _ => log::info!("sagas: another process has the journal in `{}`; it is waited for", self.folder.display()),
            }
        }
        self.health.send_replace(health);
    }

    fn write(&mut self, writes: Vec<Waiting>) {
        if writes.is_empty() {
            return;
        }
        if !self.writes() {
            writes.into_iter().for_each(|(_, tell)| drop(tell.send(Err(Unavailable))));
            return;
        }
        let (batch, tell): (Vec<Write>, Vec<_>) = writes.into_iter().unzip();
        let begun = Instant::now();
        match self.ask(|store| store.put(&batch)).unwrap_or_else(|| Err(panicked())) {
            Ok(written) => {
                if written.iter().any(|written| matches!(written, Written::Done)) {
                    self.commits.observe(begun.elapsed().as_secs_f64());
                }
                tell.into_iter().zip(written).for_each(|(tell, written)| drop(tell.send(Ok(written))));
            }
            Err(trouble) => {
                // Before anybody tries again.
                self.cannot_write(trouble, batch.iter().map(Write::bytes).sum());
                tell.into_iter().for_each(|tell| drop(tell.send(Err(Unavailable))));
            }
        }
    }

    fn read(&mut self, read: Read) {
        if let Some(Err(trouble)) = self.ask(read) {
            self.fails(trouble);
        }
    }

    /// What the file says to this; nothing where there is none. Of one that somebody panicked at nothing is believed, nor dropped.
    fn ask<T>(&mut self, what: impl FnOnce(&Store) -> Result<T, Trouble>) -> Option<Result<T, Trouble>> {
        let store = self.store.as_ref()?;
        Some(contained(|| what(store)).unwrap_or_else(|_| {
            if let Some(store) = self.store.take() {
                store.abandon();
            }
            Err(panicked())
        }))
    }

    /// Whether the file is still there.
    fn look(&mut self) {
        self.next_look = Instant::now() + LOOK;
        if let Some(Err(trouble)) = self.ask(Store::is_found) {
            self.fails(trouble);
        }
    }

    fn sweep(&mut self) {
        self.next_sweep = Instant::now() + SWEEP;
        match self.ask(|store| store.delete(Millis::now(), SWEEP_MOST)) {
            Some(Ok(SWEEP_MOST)) => self.next_sweep = Instant::now() + Duration::from_millis(100),
            Some(Ok(_)) | None => {}
            Some(Err(trouble)) => self.cannot_write(trouble, 0),
        }
    }
}

/// It made somebody panic.
fn panicked() -> Trouble {
    Trouble::Damaged("it is damaged".to_owned())
}

#[cfg(test)]
mod tests {
    use prometheus::HistogramOpts;

    use super::super::record::{Hash, Id};
    use super::super::store::tests::{Scratch, record};
    use super::*;

    fn commits() -> Histogram {
        Histogram::with_opts(HistogramOpts::new("commits", "Commits.")).expect("a histogram")
    }

    fn begin(number: u128) -> Write {
        Write::Begin { id: Id(number), record: Box::new(record(&number.to_string())), definition: "text".to_owned() }
    }

    async fn until(journal: &Journal, wanted: impl Fn(&Health) -> bool) {
        let mut health = journal.health();
        let waited = tokio::time::timeout(Duration::from_secs(20), health.wait_for(|health| wanted(health))).await;
        waited.expect("in time").expect("the thread lives");
    }

    #[tokio::test]
    async fn many_who_wait_at_once_are_written_with_few_syncs_and_all_of_it_is_there() {
        let scratch = Scratch::new("group");
        let commits = commits();
        let journal = Arc::new(Journal::open(scratch.0.clone(), commits.clone()).expect("a thread"));

        let writing = (0..500).map(|number| {
            let journal = journal.clone();
            tokio::spawn(async move { journal.write(begin(number)).await })
        });
        for one in writing.collect::<Vec<_>>() {
            assert!(matches!(one.await.expect("no panic"), Ok(Written::Done)));
        }

        assert!(commits.get_sample_count() < 250, "{}", commits.get_sample_count());
        let there = journal.read(|store| store.range("running", None, 1000)).await.expect("it can be read");
        assert_eq!(there.len(), 500);
    }

    #[tokio::test]
    async fn a_journal_that_cannot_be_opened_says_so_and_is_there_when_it_can() {
        let scratch = Scratch::new("later");
        std::fs::write(&scratch.0, "no directory").expect("written");
        let journal = Journal::open(scratch.0.clone(), commits()).expect("a thread");
        assert!(matches!(&*journal.health().borrow(), Health::Down(_)));
        assert!(journal.write(begin(1)).await.is_err());
        assert!(journal.read(|store| store.record(Id(1))).await.is_err());

        std::fs::remove_file(&scratch.0).expect("removed");
        until(&journal, |health| *health == Health::Open(1)).await;

        assert!(matches!(journal.write(begin(1)).await, Ok(Written::Done)));
        let _ = std::fs::remove_dir_all(&scratch.0);
    }

    #[tokio::test]
    async fn one_that_is_gone_while_it_is_used_is_not_begun_anew_but_waited_for() {
        let scratch = Scratch::new("gone");
        let journal = Journal::open(scratch.0.clone(), commits()).expect("a thread");
        journal.write(begin(1)).await.expect("written");
        let elsewhere = scratch.0.with_extension("moved");
        let _ = std::fs::remove_dir_all(&elsewhere);
        std::fs::rename(&scratch.0, &elsewhere).expect("moved");
        let fails = journal.read(|_| Err::<(), _>(Trouble::Broken("a failure".to_owned()))).await;
        assert_eq!(fails, Err(Unavailable));

        until(&journal, |health| matches!(health, Health::Down(why) if why.contains("is gone"))).await;
        assert!(!scratch.0.exists() && journal.write(begin(2)).await.is_err());
        std::fs::rename(&elsewhere, &scratch.0).expect("put back");
        until(&journal, |health| *health == Health::Open(2)).await;

        let found = journal.read(|store| store.record(Id(1))).await.expect("it can be read");
        assert!(matches!(found, Some(Ok(_))), "{found:?}");
    }

    #[tokio::test]
    async fn nothing_is_written_to_one_that_nobody_could_find_again() {
        let scratch = Scratch::new("removed");
        let journal = Journal::open(scratch.0.clone(), commits()).expect("a thread");
        journal.write(begin(1)).await.expect("written");
        let (path, aside) = (scratch.0.join(file::NAME), scratch.0.join("aside"));
        std::fs::rename(&path, &aside).expect("moved");

        assert_eq!(journal.write(begin(2)).await.err(), Some(Unavailable));
        assert!(!path.exists() && matches!(&*journal.health().borrow(), Health::Down(why) if why.contains("is gone")));
        std::fs::rename(&aside, &path).expect("put back");
        until(&journal, |health| *health == Health::Open(2)).await;

        assert!(matches!(journal.write(begin(3)).await, Ok(Written::Done)));
        let found = journal.read(|store| store.range("running", None, 10)).await.expect("it can be read");
        assert_eq!(found.into_iter().map(|(id, _)| id.0).collect::<Vec<_>>(), [1, 3]);
    }

    #[tokio::test]
    async fn that_it_is_gone_is_seen_where_nobody_writes_and_so_is_another_one_in_its_place() {
        let scratch = Scratch::new("unasked");
        let journal = Journal::open(scratch.0.clone(), commits()).expect("a thread");
        journal.write(begin(1)).await.expect("written");
        let path = scratch.0.join(file::NAME);
        let copy = std::fs::read(&path).expect("it can be read");

        std::fs::remove_file(&path).expect("removed");
        until(&journal, |health| matches!(health, Health::Down(why) if why.contains("is gone"))).await;
        std::fs::write(&path, copy).expect("a copy");
        until(&journal, |health| *health == Health::Open(2)).await;
        let found = journal.read(|store| store.record(Id(1))).await.expect("it can be read");

        assert!(matches!(found, Some(Ok(_))), "{found:?}");
    }

    /// What panics once more while a panic unwinds, which ends a process.
    struct Fatal;

    impl Drop for Fatal {
        fn drop(&mut self) {
            panic!("once more");
        }
    }

    /// A thread that stops keeps the hook for panics, and whoever runs tests takes that at the end: it happens in a process of its own.
    #[test]
    fn a_failure_that_would_end_the_process_ends_the_journal_alone() {
        const OWN: &str = "FRONTGATE_TEST_IN_ITS_OWN_PROCESS";
        const FINE: i32 = 7;
        if std::env::var_os(OWN).is_some() {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runtime.block_on(fails_for_good())));
            std::process::exit(if done.is_ok() { FINE } else { 1 });
        }
        let module = module_path!().split_once("::").map_or("", |(_, module)| module);
        let name = format!("{module}::a_failure_that_would_end_the_process_ends_the_journal_alone");

        let itself = std::env::current_exe().expect("a program");
        let ended =
            std::process::Command::new(itself).args([name.as_str(), "--exact", "--nocapture"]).env(OWN, "1").output().expect("it runs");

        assert_eq!(ended.status.code(), Some(FINE), "{}", String::from_utf8_lossy(&ended.stderr));
    }

    async fn fails_for_good() {
        let scratch = Scratch::new("fatal");
        let journal = Arc::new(Journal::open(scratch.0.clone(), commits()).expect("a thread"));
        journal.write(begin(1)).await.expect("written");

        let asking = journal.clone();
        tokio::spawn(async move {
            let _ = asking
                .read(|_| {
                    let _fatal = Fatal;
                    if true { panic!("a failure") } else { Ok(()) }
                })
                .await;
        });
        until(&journal, |health| matches!(health, Health::Down(why) if why.contains("until the gateway is restarted"))).await;

        assert_eq!(journal.write(begin(2)).await.err(), Some(Unavailable));
        assert_eq!(journal.read(|store| store.record(Id(1))).await.err(), Some(Unavailable));
        let begun = Instant::now();
        journal.close();
        assert!(begun.elapsed() < Duration::from_secs(4), "nobody waits for a thread that goes no further");
    }

    #[tokio::test]
    async fn after_a_panic_all_is_read_again_from_the_file_once_that_is_proved() {
        let scratch = Scratch::new("panicked");
        let journal = Journal::open(scratch.0.clone(), commits()).expect("a thread");
        journal.write(begin(1)).await.expect("written");

        let panics = journal.read(|_| if true { panic!("a failure") } else { Ok(()) }).await;

        assert_eq!(panics, Err(Unavailable));
        until(&journal, |health| *health == Health::Open(2)).await;
        assert!(matches!(journal.write(begin(2)).await, Ok(Written::Done)));
        let found = journal.read(|store| store.range("running", None, 10)).await.expect("it can be read");
        assert_eq!(found.len(), 2);
    }

    #[tokio::test]
    async fn the_next_process_has_it_once_it_is_closed() {
        let scratch = Scratch::new("next");
        let old = Journal::open(scratch.0.clone(), commits()).expect("a thread");
        old.write(begin(1)).await.expect("written");
        let new = Journal::open(scratch.0.clone(), commits()).expect("a thread");
        assert_eq!(*new.health().borrow(), Health::Elsewhere);

        old.close();
        until(&new, |health| matches!(health, Health::Open(_))).await;

        assert!(old.write(begin(2)).await.is_err());
        let found = new.read(|store| store.of_key(Hash::of(&[b"1"]))).await.expect("it can be read");
        assert_eq!(found.map(|(id, _)| id), Some(Id(1)));
    }
}
