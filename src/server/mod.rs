//! A running gateway: sockets, services, and the way out. One path for production, tests and the demo.

pub(crate) mod activation;
pub(crate) mod handover;
mod operators;
mod worker;

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use self::operators::Operators;
use self::worker::Worker;
use crate::config::Loaded;
use crate::config::model::Threads;
use crate::discovery::dns::{Dns, Places};
use crate::door::{Bound, Inherited, Listening, Role};
use crate::gateway::Gateway;
use crate::reload::{Read, Reloader};
use crate::snapshot::Snapshot;
use crate::supervisor::Supervisor;
use crate::telemetry::Metrics;
use crate::upstream::{Documents, h1};

/// A gateway that listens and serves. Dropping it stops it at once.
pub struct Running {
    /// What its requests share.
    pub(crate) gateway: Arc<Gateway>,
    /// Reads the configuration again and puts it in force.
    pub(crate) reloader: Arc<Reloader>,
    admin: Option<SocketAddr>,
    status: Option<SocketAddr>,
    stop: watch::Sender<Option<Stop>>,
    thread: Option<JoinHandle<usize>>,
}

/// The way out.
#[derive(Clone, Copy, Debug)]
struct Stop {
    /// When those who are in flight then are cut off.
    at: Instant,
    /// What becomes of who waits at the listeners.
    listening: Listening,
}

/// What a process was given by whoever started it, or was there before it.
#[derive(Debug, Default)]
pub(crate) struct Surroundings {
    /// Sockets that are listened on already.
    pub inherited: Inherited,
    /// Who is told what the gateway is about.
    pub supervisor: Option<Supervisor>,
}

/// Binds every address and starts to serve. An address that cannot be had is an error before anything serves; `reload` reads the
/// configuration again when it is asked for.
pub fn start(loaded: Loaded, reload: Read) -> Result<Running, String> {
    start_in(loaded, reload, Surroundings::default())
}

/// The same with what the process was given.
pub(crate) fn start_in(loaded: Loaded, reload: Read, surroundings: Surroundings) -> Result<Running, String> {
    let Surroundings { mut inherited, supervisor } = surroundings;
    let metrics = Metrics::new();
    let server = loaded.config.server.clone();
    let mut operators = |role, address: Option<SocketAddr>| {
        let taken = address.map(|address| inherited.take(role, None, address).map_or_else(|| Bound::listen_or_say(address), Ok));
        taken.transpose()
    };
    let (admin_address, status_address) = (server.admin.as_ref().map(|admin| admin.address), server.status.as_ref().map(|s| s.value));
    let admin = operators(Role::Admin, admin_address)?;
    let status = operators(Role::Status, status_address)?;
    let documents = Documents::new(metrics.clone(), Dns::new(Places::of(&loaded)));
    let gateway = Gateway::new(Snapshot::compile(loaded, None, &metrics, Some(&documents))?, metrics, documents);
    if let Some(supervisor) = supervisor {
        gateway.is_told_to(supervisor);
    }
    for (role, address, bound) in [(Role::Admin, admin_address, &admin), (Role::Status, status_address, &status)] {
        if let (Some(address), Some(bound)) = (address, bound) {
            gateway.entrances.keep(role, address, bound.share()?);
        }
    }
    // Before anybody is listened to: what was begun is known by then.
    #[cfg(feature = "saga")]
    gateway.host_sagas()?;
    let reloader = Arc::new(Reloader::new(gateway.clone(), reload));
    let threads = match server.threads {
        Threads::Count(count) => count.get() as usize,
        Threads::Auto => std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get),
    };
    gateway.snapshot().warm_up();
    h1::share_out(rlimit::Resource::NOFILE.get_soft().unwrap_or(1024), threads);
    let orders: Vec<_> = (0..threads).map(|_| gateway.entrances.hire()).collect();
    gateway.open(&mut inherited)?;
    for address in inherited.left() {
        log::warn!("the socket of {address} that was handed over is closed: no address of the configuration is served with it");
    }
    drop(inherited);
    let (stop, stopped) = watch::channel(None);
    let mut running = Running {
        gateway: gateway.clone(),
        reloader: reloader.clone(),
        admin: admin.as_ref().map(|bound| bound.address),
        status: status.as_ref().map(|bound| bound.address),
        stop,
        thread: None,
    };
    let (finish, finished) = watch::channel(false);
    let (accepting, accepting_over) = mpsc::channel(1);
    let mut workers = Vec::new();
    for (number, orders) in orders.into_iter().enumerate() {
        let worker = Worker { gateway: gateway.clone(), orders, finished: finished.clone() };
        workers.push(worker.start(number, accepting.clone())?);
    }
    drop(accepting);
    let runtime = runtime()?;
    let operators = Operators { gateway, reloader, admin, status };
    let thread = std::thread::Builder::new()
        .name("frontgate-main".into())
        .spawn(move || {
            let cut_off = runtime.block_on(operators.serve(stopped, accepting_over));
            let _ = finish.send(true);
            for worker in workers {
                let _ = worker.join();
            }
            runtime.shutdown_timeout(LAST_WORDS);
            cut_off
        })
        .map_err(|error| format!("the main thread cannot be started: {error}"))?;
    running.thread = Some(thread);
    Ok(running)
}

/// How long a runtime may take for what is left on it when its time is over.
const LAST_WORDS: Duration = Duration::from_millis(100);

fn runtime() -> Result<tokio::runtime::Runtime, String> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| format!("a runtime cannot be started: {error}"))
}

impl Running {
    /// Where clients connect, in the configuration's order, with the ports that were taken for 0.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.gateway.entrances.addresses()
    }

    /// Where operators connect.
    pub fn admin(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// Where probes and scrapes connect.
    pub fn status(&self) -> Option<SocketAddr> {
        self.status
    }

    /// How many requests are in flight.
    pub fn requests(&self) -> usize {
        self.gateway.requests()
    }

    /// The page for Prometheus.
    pub fn scrape(&self) -> String {
        self.gateway.scrape()
    }

    /// Puts another configuration in force, all of it or nothing. Its hash, or why the one before stays.
    pub fn reload(&self, loaded: Loaded) -> Result<String, String> {
        self.gateway.reload(loaded).map(|reloaded| reloaded.hash)
    }

    /// Fails readiness, waits for the notice, closes the listeners, and returns when the last request has ended or time is up. How many were
    /// cut off then: each has its line in the access log, which is whole when this returns.
    pub fn drain(mut self) -> usize {
        let drain = self.gateway.snapshot().loaded.config.server.drain;
        self.gateway.drain();
        std::thread::sleep(drain.notice.0);
        let _ = self.stop.send(Some(Stop { at: Instant::now() + drain.timeout.0, listening: Listening::Ends }));
        self.join()
    }

    /// Leaves its sockets to another process, which serves them: nothing is accepted any more, and whoever waits there is that one's. Otherwise as
    /// a drain, without a notice.
    pub(crate) fn leave(mut self) -> usize {
        let timeout = self.gateway.snapshot().loaded.config.server.drain.timeout;
        self.gateway.drain();
        let _ = self.stop.send(Some(Stop { at: Instant::now() + timeout.0, listening: Listening::Left }));
        self.join()
    }

    /// Waits for the end. How many requests were cut off.
    fn join(&mut self) -> usize {
        let cut_off = self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        // Whoever else still holds the configuration, as a reload that waits for a file: what was logged is written now.
        self.gateway.snapshot().access_log.close();
        cut_off
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.stop.send(Some(Stop { at: Instant::now(), listening: Listening::Ends }));
        self.join();
    }
}
