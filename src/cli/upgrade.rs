//! Taking another process's place: `frontgate run --upgrade`, and QUIT to the one that runs.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::gateway::Gateway;
use crate::server::handover::{self, NotGiven, Peer, Taken, Waiting};
use crate::supervisor::Supervisor;

/// How processes take each other's place.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Takeover {
    /// Take the place of the gateway that runs, with its listening sockets: wait until that one is sent QUIT, then serve, while it drains
    #[arg(long)]
    upgrade: bool,
    /// Where both find each other; by default FRONTGATE_UPGRADE_SOCKET, else `upgrade.sock` in RUNTIME_DIRECTORY, in `frontgate` of
    /// XDG_RUNTIME_DIR, in /run/frontgate (root) or in /tmp/frontgate-UID. Nobody else may write to its directory
    #[arg(long, value_name = "PATH")]
    upgrade_socket: Option<PathBuf>,
}

impl Takeover {
    /// Where a process that takes over waits.
    pub(super) fn place(&self) -> PathBuf {
        handover::place(self.upgrade_socket.as_deref())
    }

    /// The sockets of the process whose place this one takes, where it is to take one's: once that hands them over. An error in words; `None`
    /// inside where a signal ended the wait.
    pub(super) fn taken(&self) -> Result<Option<Option<Taken>>, String> {
        if !self.upgrade {
            return Ok(None);
        }
        wait(&self.place()).map(Some)
    }
}

fn wait(place: &Path) -> Result<Option<Taken>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    let waiting = Waiting::at(place)?;
    log::info!("waiting at `{}` for the sockets of the gateway that runs: send it QUIT", place.display());
    runtime.block_on(async {
        let take = |kind| signal(kind).map_err(|error| format!("signals cannot be received: {error}"));
        let (mut term, mut int, mut quit) = (take(SignalKind::terminate())?, take(SignalKind::interrupt())?, take(SignalKind::quit())?);
        tokio::select! {
            taken = waiting.taken() => taken.map(Some).map_err(|error| format!("`{}` cannot be waited at: {error}", place.display())),
            _ = term.recv() => Ok(None),
            _ = int.recv() => Ok(None),
            _ = quit.recv() => Ok(None),
        }
    })
}

/// What the process does whose sockets this one has taken.
pub(super) enum Before {
    /// It leaves them to this one.
    Left(Left),
    /// It goes on; why.
    Stays(String),
}

/// How that process, by its identifier, leaves its sockets.
pub(super) enum Left {
    /// As it should.
    Drains(u32),
    /// By its end, before it could say anything; what came of asking.
    Gone(u32, String),
}

impl Left {
    /// Tells the log.
    pub(super) fn tell(&self) {
        match self {
            Self::Drains(process) => log::info!("process {process} leaves its sockets to this one, and drains"),
            Self::Gone(process, why) => log::warn!("process {process} is gone, and this one serves: {why}"),
        }
    }
}

/// Says to the process before that its sockets are served, on a thread of its own. What that one does then.
pub(super) fn say_served(taken: Taken) -> std::io::Result<oneshot::Receiver<Before>> {
    let (tell, told) = oneshot::channel();
    let process = taken.peer.process;
    let work = move || {
        let before = match taken.served() {
            Ok(()) => Before::Left(Left::Drains(process)),
            Err(why) if is_gone(process) => Before::Left(Left::Gone(process, why)),
            Err(why) => Before::Stays(why),
        };
        // Whoever asked is there until it hears of it, or ends.
        let _ = tell.send(before);
    };
    std::thread::Builder::new().name("take-over".to_owned()).spawn(work)?;
    Ok(told)
}

/// Whether this process has ended, or does so now.
fn is_gone(process: u32) -> bool {
    let end = Instant::now() + Duration::from_secs(1);
    loop {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        // Behind its name, which may hold anything: Z and X are of those that have ended.
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        if state.is_none_or(|state| matches!(state, 'Z' | 'X')) {
            return true;
        }
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Hands all sockets over to the process that waits at this place, on a thread of its own. What has come of it.
pub(super) fn hand_over(gateway: &Gateway, place: &Path) -> std::io::Result<oneshot::Receiver<Result<Peer, NotGiven>>> {
    let (tell, told) = oneshot::channel();
    let (sockets, place) = (gateway.entrances.pass(), place.to_owned());
    let watchdog = gateway.supervisor().and_then(Supervisor::watchdog);
    let work = move || {
        let given = sockets.map_err(NotGiven::Failed).and_then(|sockets| handover::give(&place, &sockets, watchdog));
        // Whoever asked is there until it hears of it.
        let _ = tell.send(given);
    };
    std::thread::Builder::new().name("hand-over".to_owned()).spawn(work)?;
    Ok(told)
}
