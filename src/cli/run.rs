//! `frontgate run`: serves in the foreground until a signal ends it.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::{self, SyncSender};
use std::task::Poll;

use tokio::signal::unix::{self, SignalKind};

use super::{exit, fail, opened};
use crate::config;
use crate::gateway::Gateway;
use crate::reload::{self, Cause};
use crate::server::{Running, start};
use crate::snapshot;
use crate::telemetry::own_log;

/// How it is served.
#[derive(clap::Args, Default)]
pub(super) struct Options {
    /// Read the configuration, certificates, keys and secrets again when that is asked for, and not because their files change
    #[arg(long)]
    no_watch: bool,
}

/// Serves the configuration at `path`.
pub(super) fn run(path: Option<&Path>, options: Options) -> ExitCode {
    let loaded = match opened(path) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    if !loaded.warnings.is_empty() {
        let _ = writeln!(std::io::stderr(), "{}", loaded.warnings.render(std::io::stderr().is_terminal()));
    }
    // Each client in flight takes two descriptors, and the usual limit of 1024 is there for programs that use `select`.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    small_pages();
    let path = path.map(Path::to_owned);
    serve(|| {
        let (loaded, beginning) = reload::begin(loaded);
        let again = path.clone();
        let running = start(loaded, Box::new(move || config::load(again.as_deref()).and_then(snapshot::opened)))?;
        running.reloader.begins(path, beginning);
        if options.no_watch {
            running.gateway.watch_nothing();
        } else {
            reload::watch(running.reloader.clone()).map_err(|error| format!("files cannot be watched: {error}"))?;
        }
        Ok(running)
    })
}

/// Starts a gateway and runs it until a signal or an operator ends it. 0 where no request was cut off.
pub(super) fn serve(start: impl FnOnce() -> Result<Running, String>) -> ExitCode {
    own_log::init();
    let running = match start() {
        Ok(running) => running,
        Err(why) => return fail(exit::RUNTIME, &why),
    };
    match govern(running) {
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

/// How the gateway ended.
enum End {
    /// It took no more requests and waited for those that it had.
    Drained {
        /// How many did not end in time.
        cut_off: usize,
    },
    /// At once.
    Now,
}

/// Does what signals and operators ask for, until one of them ends it. What may have to wait is done elsewhere, so that none is kept waiting.
fn govern(running: Running) -> std::io::Result<End> {
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
        let (ended, mut end) = tokio::sync::oneshot::channel();
        let mut waiting = Some((running, ended));
        loop {
            let signal = tokio::select! {
                signal = signals.next() => signal,
                () = gateway.asked_to_drain() => Signal::Drain,
                cut_off = &mut end => return Ok(End::Drained { cut_off: cut_off.unwrap_or_default() }),
            };
            match signal {
                Signal::Now => return Ok(End::Now),
                Signal::Drain | Signal::HandOver => match waiting.take() {
                    Some((running, ended)) => {
                        if matches!(signal, Signal::HandOver) {
                            log::info!(
                                "QUIT: there is no other process to hand the listeners over to, so the requests in flight are drained"
                            );
                        }
                        drain(running, ended)?;
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

/// Drains on a thread of its own, which says how many requests were cut off.
fn drain(running: Running, ended: tokio::sync::oneshot::Sender<usize>) -> std::io::Result<()> {
    let notice = running.gateway.snapshot().loaded.config.server.drain.notice;
    let requests = running.requests();
    if notice.0.is_zero() {
        log::info!("draining: no new connections, {requests} requests in flight");
    } else {
        log::info!("draining: not ready any more, and no new connections in {notice}; {requests} requests in flight");
    }
    let work = move || {
        // Whoever asked is there until it hears of it.
        let _ = ended.send(running.drain());
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
    /// QUIT: the same, since there is nobody to take over.
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
