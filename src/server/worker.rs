//! The worker threads: each serves every listener with a proxy and upstream connections of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pingora_core::apps::{HttpServerApp as _, HttpServerOptions};
use pingora_core::server::configuration::ServerConf;
use pingora_proxy::HttpProxy;
use tokio::sync::{mpsc, watch};

use super::sockets::Held;
use super::{LAST_WORDS, runtime};
use crate::door::{Door, Turns};
use crate::gateway::Gateway;
use crate::overload::Beat;
use crate::proxy::Proxy;
use crate::upstream::{h1, timer};

/// One worker thread with a runtime, a proxy and upstream connections of its own.
///
/// A connection stays on the thread that accepted it, and the upstream connections it uses are that thread's: nothing a request waits for
/// wakes another thread. Beside one runtime whose threads steal work this takes a sixth off the CPU of a request.
pub(super) struct Worker {
    pub gateway: Arc<Gateway>,
    pub listeners: Vec<Held>,
    pub spoken: Vec<Spoken>,
    pub shut: watch::Receiver<bool>,
    pub finished: watch::Receiver<bool>,
}

/// What a listener speaks.
#[derive(Clone, Copy)]
pub(super) struct Spoken {
    pub address: SocketAddr,
    pub h2: bool,
    pub tls: bool,
}

impl Worker {
    /// Starts it; `accepting` is dropped when its listeners are closed.
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
        let mut proxy = HttpProxy::new(Proxy(self.gateway.clone()), Arc::new(ServerConf::default()));
        let mut options = HttpServerOptions::default();
        // The hooks refuse it, as they do on HTTP/1.
        options.allow_connect_method_proxying = true;
        proxy.server_options = Some(options);
        proxy.handle_init_modules();
        let proxy = Arc::new(proxy);
        let keeping = tokio::spawn(keep(self.gateway.clone(), self.gateway.overload.beat()));
        let (mut listening, turns) = (Vec::new(), Arc::<Turns>::default());
        for (index, (held, spoken)) in self.listeners.into_iter().zip(self.spoken).enumerate() {
            let door = Arc::new(Door {
                number: index,
                address: spoken.address,
                proxy: proxy.clone(),
                keeper: self.gateway.clone(),
                h2: spoken.h2,
                tls: spoken.tls,
                metrics: self.gateway.listener(index),
                fresh: self.gateway.fresh.clone(),
                caps: self.gateway.caps.clone(),
                http2: self.gateway.http2.clone(),
                turns: turns.clone(),
            });
            match held.into_tokio() {
                Ok(listener) => listening.push(tokio::spawn(door.listen(listener, self.shut.clone()))),
                Err(error) => log::error!("a worker thread cannot listen: {error}"),
            }
        }
        let listened = async {
            for listener in listening {
                let _ = listener.await;
            }
            proxy.http_cleanup().await;
            drop(accepting);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = listened => {}
            // A sender that is gone is an end, too.
            _ = self.finished.wait_for(|finished| *finished) => {}
        }
        keeping.abort();
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
