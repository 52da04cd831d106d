//! `frontgate run`: serves in the foreground until a signal ends it.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::{self, SyncSender};
use std::task::Poll;
use std::time::Duration;

use tokio::signal::unix::{self, SignalKind};

use super::upgrade::{self, Before};
use super::{exit, fail, opened};
use crate::config;
use crate::gateway::Gateway;
use crate::reload::{self, Cause, in_force};
use crate::server::handover::{NotGiven, Peer, Taken};
use crate::server::{Running, Surroundings, activation, start_in};
use crate::snapshot;
use crate::supervisor::Supervisor;
use crate::telemetry::own_log;

/// How it is served.
#[derive(clap::Args, Default)]
pub(super) struct Options {
    /// Read the configuration, certificates, keys and secrets again when that is asked for, and not because their files change
    #[arg(long)]
    no_watch: bool,
    #[command(flatten)]
    upgrade: upgrade::Takeover,
}

/// Serves the configuration at `path`.
pub(super) fn run(path: Option<&Path>, options: Options) -> ExitCode {
    // Before anything else is opened: they are there under their numbers.
    let inherited = match activation::inherited() {
        Ok(inherited) => inherited,
        Err(why) => return fail(exit::RUNTIME, &why),
    };
    let loaded = match opened(path) {
        Ok(loaded) => loaded,
        Err(code) => {
            say_what_is_kept(path);
            return code;
        }
    };
    if !loaded.warnings.is_empty() {
        let _ = writeln!(std::io::stderr(), "{}", loaded.warnings.render(std::io::stderr().is_terminal()));
    }
    // Each client in flight takes two descriptors, and the usual limit of 1024 is there for programs that use `select`.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    small_pages();
    let path = path.map(Path::to_owned);
    own_log::init();
    let (inherited, taken) = match options.upgrade.taken() {
        Ok(None) => (inherited, None),
        Ok(Some(Some(mut taken))) => (std::mem::take(&mut taken.inherited).and(inherited), Some(taken)),
        // Nothing was taken, so nothing is to be ended.
        Ok(Some(None)) => return ExitCode::SUCCESS,
        Err(why) => return fail(exit::RUNTIME, &why),
    };
    let supervisor = Supervisor::of_environment(taken.as_ref().map(|taken| (taken.peer.process, taken.watchdog)));
    let (loaded, beginning) = reload::begin(loaded);
    let again = path.clone();
    let read = Box::new(move || config::load(again.as_deref()).and_then(snapshot::opened));
    let running = match start_in(loaded, read, Surroundings { inherited, supervisor }) {
        Ok(running) => running,
        Err(why) => return fail(exit::RUNTIME, &why),
    };
    running.reloader.begins(path, beginning);
    if options.no_watch {
        running.gateway.watch_nothing();
    } else if let Err(error) = reload::watch(running.reloader.clone()) {
        return fail(exit::RUNTIME, &format!("files cannot be watched: {error}"));
    }
    serve(running, taken, &options.upgrade.place())
}

/// Says where the last good configuration is kept, where one is: the file that was to be served is no good.
fn say_what_is_kept(path: Option<&Path>) {
    let Some(state) = config::lenient::state_dir(path) else { return };
    if let Some((hash, which)) = reload::last_good_in(&state) {
        let state = state.display();
        let _ = writeln!(
            std::io::stderr(),
            "frontgate: {which}, is kept in `{state}`; this writes it into a directory: \
             frontgate config history --state-dir {state} --write {hash} DIRECTORY"
        );
    }
}

/// Runs a gateway until a signal or an operator ends it, in the place of the process that it was taken from where there was one. 0 where no
/// request was cut off. `place` is where a process waits that takes this one's.
pub(super) fn serve(running: Running, taken: Option<Taken>, place: &Path) -> ExitCode {
    match govern(running, taken, place) {
        Ok(End::NotTaken(why)) => fail(exit::RUNTIME, &why),
        Ok(End::Drained { cut_off: 0 }) => ExitCode::SUCCESS,
        Ok(End::Drained { cut_off }) => {
            log::error!("the drain timeout is over, and {cut_off} requests were cut off");
            ExitCode::from(exit::RUNTIME)
        }
        // Nothing is waited for, not even our own threads.
        Ok(End::Now) => std::process::exit(0),
        Err(why) => fail(exit::RUNTIME, &format!("signals cannot be received: {why}")),
    }
}

/// Keeps the kernel from giving two mebibytes where a few kibibytes are touched: a third of what is resident under load, and no difference in
/// the CPU of a request. Where the kernel does not know of it, nothing changes.
#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "there is no safe way to ask for it")]
fn small_pages() {
    // SAFETY: this option takes numbers only, and concerns page sizes alone.
    unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) };
}

#[cfg(not(target_os = "linux"))]
fn small_pages() {}

/// Tells what has come of handing over the sockets.
type Handing = tokio::sync::oneshot::Receiver<Result<Peer, NotGiven>>;

/// How the gateway ended.
enum End {
    /// It took no more requests and waited for those that it had.
    Drained {
        /// How many did not end in time.
        cut_off: usize,
    },
    /// At once.
    Now,
    /// The process whose place it should have taken goes on.
    NotTaken(String),
}

/// Does what signals and operators ask for, until one of them ends it. What may have to wait is done elsewhere, so that none is kept waiting.
fn govern(running: Running, taken: Option<Taken>, place: &Path) -> std::io::Result<End> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut signals = Signals::new()?;
        let gateway = running.gateway.clone();
        let reloader = running.reloader.clone();
        // The reasons of a refusal are in the log already.
        let reload = Chore::new("reload", move || drop(reloader.reload(&Cause::Signal)))?;
        let log = gateway.clone();
        let reopen = Chore::new("reopen-logs", move || reopen(&log))?;
        for address in running.addresses() {
            log::info!("listening on {address}");
        }
        if let Some(admin) = running.admin() {
            log::info!("admin on {admin}");
        }
        let is_ready = || {
            if let Some(supervisor) = gateway.supervisor() {
                supervisor.ready(&in_force(&gateway.snapshot().loaded.hash));
            }
        };
        let mut taking = taken.map(upgrade::say_served).transpose()?;
        if taking.is_none() {
            is_ready();
        }
        let (ended, mut end) = tokio::sync::oneshot::channel();
        let mut waiting = Some((running, ended));
        let (mut handing, mut not_taken) = (None, None);
        loop {
            let signal = tokio::select! {
                signal = signals.next() => signal,
                () = gateway.asked_to_drain() => Signal::Drain,
                cut_off = &mut end => return Ok(match not_taken {
                    Some(why) => End::NotTaken(why),
                    None => End::Drained { cut_off: cut_off.unwrap_or_default() },
                }),
                before = left(&mut taking) => {
                    taking = None;
                    match (before, waiting.take()) {
                        // What was accepted meanwhile is answered.
                        (Before::Stays(why), Some((running, ended))) => {
                            not_taken = Some(why);
                            end_apart(running, Way::Leave, ended)?;
                        }
                        (Before::Stays(_), None) => {}
                        (Before::Left(how), stays) => {
                            how.tell();
                            waiting = stays;
                            is_ready();
                        }
                    }
                    continue;
                }
                given = handed(&mut handing) => {
                    handing = None;
                    match (given, waiting.take()) {
                        (Ok(successor), Some((running, ended))) => {
                            log::info!("process {} serves with the same sockets", successor.process);
                            if let Some(supervisor) = gateway.supervisor() {
                                supervisor.replaced_by(successor.process);
                            }
                            drain(running, Way::Leave, ended)?;
                        }
                        (Err(NotGiven::Nobody(why)), Some((running, ended))) => {
                            let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
                            log::info!("QUIT: no process waits at `{}` to take over{why}, so this one drains", place.display());
                            drain(running, Way::Close, ended)?;
                        }
                        (Err(NotGiven::Failed(why)), stays) => {
                            log::error!("QUIT: no other process has taken over, and this one serves on: {why}");
                            waiting = stays;
                        }
                        (_, None) => {}
                    }
                    continue;
                }
            };
            match signal {
                Signal::Now => return Ok(End::Now),
                Signal::HandOver if waiting.is_some() => {
                    if handing.is_none() {
                        handing = Some(upgrade::hand_over(&gateway, place)?);
                    }
                }
                Signal::Drain | Signal::HandOver => match waiting.take() {
                    // Another process may have the sockets by now, and must not find them closed.
                    Some((running, ended)) => {
                        let is_shared = handing.is_some() || taking.is_some();
                        drain(running, if is_shared { Way::Leave } else { Way::Close }, ended)?;
                    }
                    None => log::info!("still draining: {} requests in flight", gateway.requests()),
                },
                Signal::Reload => {
                    reopen.ask();
                    if waiting.is_some() {
                        reload.ask();
                    }
                }
                Signal::Reopen => reopen.ask(),
                // Whoever writes the file tells of it.
                Signal::TooLarge => {}
                Signal::Unknown => log::warn!("USR2 is ignored: it means nothing here"),
            }
        }
    })
}

/// What has come of handing over the sockets, while that is under way.
async fn handed(handing: &mut Option<Handing>) -> Result<Peer, NotGiven> {
    match handing {
        Some(handing) => handing.await.unwrap_or_else(|_| Err(NotGiven::Failed("it was given up".to_owned()))),
        None => std::future::pending().await,
    }
}

/// What the process whose sockets these were does now, while that is waited for.
async fn left(taking: &mut Option<tokio::sync::oneshot::Receiver<Before>>) -> Before {
    match taking {
        Some(taking) => taking.await.unwrap_or_else(|_| Before::Stays("it was given up".to_owned())),
        None => std::future::pending().await,
    }
}

/// What becomes of the sockets in a drain.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// They are closed.
    Close,
    /// Another process has them.
    Leave,
}

/// What ending takes beyond the drain: the last lines of the log, the process itself.
const AFTERWARDS: Duration = Duration::from_secs(10);

/// Says that it drains, and does so.
fn drain(running: Running, way: Way, ended: tokio::sync::oneshot::Sender<usize>) -> std::io::Result<()> {
    let (notice, timeout) = {
        let drain = &running.gateway.snapshot().loaded.config.server.drain;
        (drain.notice, drain.timeout)
    };
    let requests = running.requests();
    if let Some(supervisor) = running.gateway.supervisor() {
        let longest = notice.0.saturating_add(timeout.0).saturating_add(AFTERWARDS);
        supervisor.stopping(&format!("draining: {requests} requests in flight"), longest);
    }
    if notice.0.is_zero() || way == Way::Leave {
        log::info!("draining: no new connections, {requests} requests in flight");
    } else {
        log::info!("draining: not ready any more, and no new connections in {notice}; {requests} requests in flight");
    }
    end_apart(running, way, ended)
}

/// Ends it on a thread of its own, which says how many requests were cut off.
fn end_apart(running: Running, way: Way, ended: tokio::sync::oneshot::Sender<usize>) -> std::io::Result<()> {
    let work = move || {
        // Whoever asked is there until it hears of it.
        let _ = ended.send(if way == Way::Leave { running.leave() } else { running.drain() });
    };
    std::thread::Builder::new().name("drain".to_owned()).spawn(work).map(drop)
}

/// Opens the log anew, after what was there has been moved away.
fn reopen(gateway: &Gateway) {
    match gateway.snapshot().access_log.reopen() {
        Ok(true) => log::info!("the access log was opened anew"),
        Ok(false) => log::info!("the access log is in no file that could be opened anew"),
        Err(error) => log::error!("the access log cannot be opened anew, and goes on where it was: {error}"),
    }
}

/// Something that is done whenever somebody asks, on a thread of its own. Who asks while it is being done has it done once more.
struct Chore(SyncSender<()>);

impl Chore {
    fn new(name: &str, work: impl Fn() + Send + 'static) -> std::io::Result<Self> {
        let (ask, asked) = mpsc::sync_channel(1);
        std::thread::Builder::new().name(name.to_owned()).spawn(move || asked.iter().for_each(|()| work()))?;
        Ok(Self(ask))
    }

    /// Never waits: where it is asked for already, that will do.
    fn ask(&self) {
        let _ = self.0.try_send(());
    }
}

/// What a signal means.
#[derive(Clone, Copy)]
enum Signal {
    /// INT: end at once.
    Now,
    /// TERM: end when the requests in flight have.
    Drain,
    /// QUIT: the same, once another process serves with the sockets where one waits for them.
    HandOver,
    /// HUP: open the log anew and read the configuration again.
    Reload,
    /// USR1: open the log anew.
    Reopen,
    /// USR2.
    Unknown,
    /// XFSZ: a file may not grow any more. Who takes it gets an error from the kernel, and is not ended.
    TooLarge,
}

/// The signals that are taken from now on.
struct Signals([(unix::Signal, Signal); 7]);

impl Signals {
    fn new() -> std::io::Result<Self> {
        let take = |kind, meaning| Ok::<_, std::io::Error>((unix::signal(kind)?, meaning));
        Ok(Self([
            take(SignalKind::interrupt(), Signal::Now)?,
            take(SignalKind::terminate(), Signal::Drain)?,
            take(SignalKind::quit(), Signal::HandOver)?,
            take(SignalKind::hangup(), Signal::Reload)?,
            take(SignalKind::user_defined1(), Signal::Reopen)?,
            take(SignalKind::user_defined2(), Signal::Unknown)?,
            take(SignalKind::from_raw(libc::SIGXFSZ), Signal::TooLarge)?,
        ]))
    }

    /// The next one; of several at once the gravest.
    async fn next(&mut self) -> Signal {
        std::future::poll_fn(|cx| {
            for (signal, meaning) in &mut self.0 {
                if signal.poll_recv(cx).is_ready() {
                    return Poll::Ready(*meaning);
                }
            }
            Poll::Pending
        })
        .await
    }
}
