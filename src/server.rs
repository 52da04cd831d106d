//! A running gateway: sockets, services, and the way out. One path for production, tests and the demo.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::IntoRawFd;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use pingora_core::apps::ServerApp;
use pingora_core::apps::http_app::HttpServer;
use pingora_core::listeners::{L4BufferSettings, ListenerConfig};
use pingora_core::server::Fds;
use pingora_core::server::configuration::ServerConf;
use pingora_core::services::Service as _;
use pingora_core::services::listening::Service;
use pingora_proxy::HttpProxy;
use tokio::sync::{mpsc, watch};

use crate::admin::{Admin, Reloader, Scope};
use crate::config::Loaded;
use crate::config::model::{Protocol, Threads};
use crate::door::Door;
use crate::gateway::Gateway;
use crate::proxy::Proxy;
use crate::snapshot::Snapshot;
use crate::telemetry::Metrics;
use crate::upstream::{Documents, watchdog};

/// A gateway that listens and serves. Dropping it stops it at once.
pub struct Running {
    /// What its requests share.
    pub gateway: Arc<Gateway>,
    /// Reads the configuration again and puts it in force.
    pub reloader: Arc<Reloader>,
    addresses: Vec<SocketAddr>,
    admin: Option<SocketAddr>,
    status: Option<SocketAddr>,
    stop: watch::Sender<Option<Instant>>,
    thread: Option<JoinHandle<()>>,
}

/// One socket with the name that Pingora knows it by.
struct Held {
    name: String,
    address: SocketAddr,
    listener: TcpListener,
}

/// Binds every address and starts to serve. An address that cannot be had is an error before anything serves; `reload` reads the
/// configuration again when it is asked for.
pub fn start(loaded: Loaded, reload: crate::admin::Read) -> Result<Running, String> {
    let metrics = Metrics::new();
    let server = loaded.config.server.clone();
    let token = match server.admin.as_ref().and_then(|admin| admin.token.as_ref()) {
        Some(secret) => Some(loaded.secret(secret)?),
        None => None,
    };
    let listeners = server.listeners.iter().map(|listener| bind(listener.address)).collect::<Result<Vec<_>, _>>()?;
    let admin = server.admin.as_ref().map(|admin| bind(admin.address)).transpose()?;
    let status = server.status.as_ref().map(|address| bind(address.value)).transpose()?;
    let documents = Documents::new();
    let gateway = Gateway::new(Snapshot::compile(loaded, None, &metrics, Some(&documents))?, metrics, documents);
    let reloader = Arc::new(Reloader::new(gateway.clone(), reload));
    let threads = match server.threads {
        Threads::Count(count) => count.get() as usize,
        Threads::Auto => std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get),
    };
    let (stop, stopped) = watch::channel(None);
    let mut running = Running {
        gateway: gateway.clone(),
        reloader: reloader.clone(),
        addresses: listeners.iter().map(|held| held.address).collect(),
        admin: admin.as_ref().map(|held| held.address),
        status: status.as_ref().map(|held| held.address),
        stop,
        thread: None,
    };
    let idle = server.timeouts.keepalive.0;
    let h2: Vec<bool> = server.listeners.iter().map(|listener| listener.protocols.contains(&Protocol::H2)).collect();
    let (shutdown, shut) = watch::channel(false);
    let (finish, finished) = watch::channel(false);
    let (accepting, accepting_over) = mpsc::channel(1);
    let mut workers = Vec::new();
    for number in 0..threads {
        let listeners = listeners.iter().map(Held::share).collect::<Result<Vec<_>, _>>()?;
        let worker = Worker { gateway: gateway.clone(), listeners, h2: h2.clone(), idle, shut: shut.clone(), finished: finished.clone() };
        workers.push(worker.start(number, accepting.clone())?);
    }
    drop((accepting, listeners));
    let runtime = runtime()?;
    let operators = Operators { gateway, reloader, token, admin, status };
    let thread = std::thread::Builder::new()
        .name("frontgate-main".into())
        .spawn(move || {
            runtime.block_on(operators.serve(stopped, shutdown, accepting_over));
            let _ = finish.send(true);
            for worker in workers {
                let _ = worker.join();
            }
            runtime.shutdown_timeout(LAST_WORDS);
        })
        .map_err(|error| format!("the main thread cannot be started: {error}"))?;
    running.thread = Some(thread);
    Ok(running)
}

/// How long a runtime may take for what is left on it when its time is over.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// How many upstream connections a worker keeps open that no request uses: with Pingora's usual 128 and more endpoints than that, every
/// request would open one of its own.
const IDLE_UPSTREAM: usize = 2048;

fn runtime() -> Result<tokio::runtime::Runtime, String> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| format!("a runtime cannot be started: {error}"))
}

/// One worker thread with a runtime, a proxy and upstream connections of its own.
///
/// A connection stays on the thread that accepted it, and the upstream connections it uses are that thread's: nothing a request waits for
/// wakes another thread. Beside one runtime whose threads steal work this takes a sixth off the CPU of a request.
struct Worker {
    gateway: Arc<Gateway>,
    listeners: Vec<Held>,
    h2: Vec<bool>,
    idle: Duration,
    shut: watch::Receiver<bool>,
    finished: watch::Receiver<bool>,
}

impl Worker {
    /// Starts it; `accepting` is dropped when its listeners are closed.
    fn start(self, number: usize, accepting: mpsc::Sender<()>) -> Result<JoinHandle<()>, String> {
        let runtime = runtime()?;
        std::thread::Builder::new()
            .name(format!("frontgate-{number}"))
            .spawn(move || {
                runtime.block_on(self.serve(accepting));
                runtime.shutdown_timeout(LAST_WORDS);
            })
            .map_err(|error| format!("a worker thread cannot be started: {error}"))
    }

    async fn serve(mut self, accepting: mpsc::Sender<()>) {
        // Attempts are ours to count; Pingora's own ceiling only has to be higher.
        let conf = ServerConf { max_retries: 64, upstream_keepalive_pool_size: IDLE_UPSTREAM, ..ServerConf::default() };
        let mut proxy = HttpProxy::new(Proxy(self.gateway.clone()), Arc::new(conf));
        proxy.handle_init_modules();
        let proxy = Arc::new(proxy);
        let mut listening = Vec::new();
        for (index, (held, h2)) in self.listeners.into_iter().zip(self.h2).enumerate() {
            let metrics = self.gateway.listener(index);
            let count = Box::new(move || Box::new(metrics.connection()) as Box<dyn Send + Sync>);
            let door = Door::new(index, proxy.clone(), self.gateway.clone(), self.gateway.watchdog.clone(), h2, self.idle, count);
            listening.push(tokio::spawn(listen(held, door, self.shut.clone())));
        }
        for listener in listening {
            let _ = listener.await;
        }
        drop(accepting);
        // A sender that is gone is an end, too.
        let _ = self.finished.wait_for(|finished| *finished).await;
    }
}

/// What the main thread does: operators' addresses, upstream deadlines, the way out.
struct Operators {
    gateway: Arc<Gateway>,
    reloader: Arc<Reloader>,
    token: Option<String>,
    admin: Option<Held>,
    status: Option<Held>,
}

impl Operators {
    async fn serve(
        self,
        mut stopped: watch::Receiver<Option<Instant>>,
        shutdown: watch::Sender<bool>,
        mut accepting_over: mpsc::Receiver<()>,
    ) {
        // The operators' addresses stay open until the last request has ended.
        let (admin_shutdown, admin_shut) = watch::channel(false);
        for (held, scope) in [(self.admin, Scope::All(self.token)), (self.status, Scope::ReadOnly)] {
            if let Some(held) = held {
                let app = HttpServer::new_app(Admin::new(self.gateway.clone(), self.reloader.clone(), scope));
                tokio::spawn(listen(held, app, admin_shut.clone()));
            }
        }
        tokio::spawn(sweep(self.gateway.clone()));
        tokio::spawn(tick(self.gateway.clone()));
        self.gateway.run_background(tokio::runtime::Handle::current());
        tokio::spawn(self.gateway.documents.clone().run());
        // A sender that is gone stops at once, as does a deadline that has passed.
        let deadline = match stopped.wait_for(Option::is_some).await {
            Ok(deadline) => deadline.unwrap_or_else(Instant::now),
            Err(_) => Instant::now(),
        };
        let _ = shutdown.send(true);
        let ended = async {
            let _ = accepting_over.recv().await;
            while self.gateway.requests() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let _ = tokio::time::timeout_at(deadline.into(), ended).await;
        let _ = admin_shutdown.send(true);
    }
}

async fn listen<A: ServerApp + Send + Sync + 'static>(held: Held, app: A, shut: watch::Receiver<bool>) {
    let mut service = Service::new(held.name.clone(), app);
    // The guard reads straight into the buffer that wants the bytes: 64 KiB a connection are not needed, nor is their copy.
    service.add_listener(ListenerConfig::tcp(&held.name).l4_buffer(L4BufferSettings::default().read(0)));
    let mut fds = Fds::new();
    fds.add(held.name, held.listener.into_raw_fd());
    service.start_service(Some(Arc::new(Mutex::new(fds))), shut, 1).await;
}

/// Looks after the upstream deadlines for as long as the runtime lives.
async fn sweep(gateway: Arc<Gateway>) {
    loop {
        tokio::time::sleep(gateway.watchdog.pace()).await;
        gateway.watchdog.sweep(watchdog::shut_down);
    }
}

/// Brings up to date what follows from time alone.
async fn tick(gateway: Arc<Gateway>) {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        gateway.tick();
    }
}

impl Held {
    /// The same socket for one more thread.
    fn share(&self) -> Result<Self, String> {
        let listener = self.listener.try_clone().map_err(|error| format!("the socket of {} cannot be shared: {error}", self.address))?;
        Ok(Self { name: self.name.clone(), address: self.address, listener })
    }
}

fn bind(address: SocketAddr) -> Result<Held, String> {
    let cannot = |error: std::io::Error| format!("cannot listen on {address}: {error}");
    let listener = TcpListener::bind(address).map_err(cannot)?;
    listener.set_nonblocking(true).map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    Ok(Held { name: address.to_string(), address, listener })
}

impl Running {
    /// Where clients connect, in the configuration's order, with the ports that were taken for 0.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where operators connect.
    pub fn admin(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// Where probes and scrapes connect.
    pub fn status(&self) -> Option<SocketAddr> {
        self.status
    }

    /// Fails readiness, waits for the notice, closes the listeners, and returns when the last request has ended or time is up. Whether
    /// all of them ended.
    pub fn drain(mut self) -> bool {
        let drain = self.gateway.snapshot().loaded.config.server.drain;
        self.gateway.drain();
        std::thread::sleep(drain.notice.0);
        let _ = self.stop.send(Some(Instant::now() + drain.timeout.0));
        self.join();
        self.gateway.requests() == 0
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.stop.send(Some(Instant::now()));
        self.join();
    }
}
