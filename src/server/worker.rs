//! The worker threads: each serves every listener with a proxy and upstream connections of its own.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pingora_core::apps::{HttpServerApp as _, HttpServerOptions};
use pingora_core::server::configuration::ServerConf;
use pingora_proxy::HttpProxy;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::{LAST_WORDS, runtime};
use crate::door::{Bound, Door, Entrance, Turns};
use crate::gateway::{Gateway, Order};
use crate::overload::Beat;
use crate::proxy::Proxy;
use crate::upstream::{h1, timer};

/// One worker thread with a runtime, a proxy and upstream connections of its own.
///
/// A connection stays on the thread that accepted it, and the upstream connections it uses are that thread's: nothing a request waits for
/// wakes another thread. Beside one runtime whose threads steal work this takes a sixth off the CPU of a request.
pub(super) struct Worker {
    pub gateway: Arc<Gateway>,
    pub orders: UnboundedReceiver<Order>,
    pub finished: watch::Receiver<bool>,
}

impl Worker {
    /// Starts it; `accepting` is dropped when its listeners are closed for good.
    pub(super) fn start(self, number: usize, accepting: mpsc::Sender<()>) -> Result<JoinHandle<()>, String> {
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
        let keeping = tokio::spawn(keep(self.gateway.clone(), self.gateway.overload.beat()));
        tokio::select! {
            () = obey(self.gateway, self.orders, accepting) => {}
            // A sender that is gone is an end, too.
            _ = self.finished.wait_for(|finished| *finished) => {}
        }
        keeping.abort();
    }
}

/// Accepts where it is told to, until no other listener comes and those that there are have closed.
async fn obey(gateway: Arc<Gateway>, mut orders: UnboundedReceiver<Order>, accepting: mpsc::Sender<()>) {
    let mut proxy = HttpProxy::new(Proxy(gateway.clone()), Arc::new(ServerConf::default()));
    let mut options = HttpServerOptions::default();
    // The hooks refuse it, as they do on HTTP/1.
    options.allow_connect_method_proxying = true;
    proxy.server_options = Some(options);
    proxy.handle_init_modules();
    let (proxy, turns) = (Arc::new(proxy), Arc::<Turns>::default());
    let (mut listening, mut accepting) = (JoinSet::new(), Some(accepting));
    let mut is_last = false;
    loop {
        if is_last && listening.is_empty() && accepting.is_some() {
            proxy.http_cleanup().await;
            accepting = None;
        }
        let order = tokio::select! {
            order = orders.recv() => order,
            Some(_) = listening.join_next() => continue,
        };
        match order {
            Some(Order::Accept(entrance, bound)) => open(&gateway, &proxy, &turns, entrance, bound, &mut listening),
            // Whoever holds the other one sees that this one is gone.
            Some(Order::Turn(token)) => drop(token),
            Some(Order::Last) => is_last = true,
            None => std::future::pending().await,
        }
    }
}

fn open(
    gateway: &Arc<Gateway>,
    proxy: &Arc<HttpProxy<Proxy>>,
    turns: &Arc<Turns>,
    entrance: Arc<Entrance>,
    bound: Bound,
    listening: &mut JoinSet<()>,
) {
    let door = Door {
        entrance,
        proxy: proxy.clone(),
        keeper: gateway.clone(),
        fresh: gateway.fresh.clone(),
        caps: gateway.caps.clone(),
        http2: gateway.http2.clone(),
        turns: turns.clone(),
    };
    match bound.into_tokio() {
        Ok(listener) => drop(listening.spawn(Arc::new(door).listen(listener))),
        Err(error) => log::error!("a worker thread cannot listen: {error}"),
    }
}

/// Looks after what follows from time alone on this thread: deadlines, and upstream connections that nobody uses. How late it comes to that
/// says how long everything waits here.
pub(super) async fn keep(gateway: Arc<Gateway>, beat: Arc<Beat>) {
    let mut swept = Instant::now();
    loop {
        let due = Instant::now() + gateway.pace();
        beat.expect(due);
        tokio::time::sleep_until(due.into()).await;
        let now = Instant::now();
        beat.came(now);
        timer::sweep(now);
        if now.duration_since(swept) >= Duration::from_secs(1) {
            swept = now;
            h1::sweep(now);
        }
    }
}
