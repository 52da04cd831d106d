//! The main thread's work: the operators' addresses, what follows from time alone, and the way out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use super::Stop;
use super::worker::keep;
use crate::admin::{Admin, Scope};
use crate::door::{Bound, Ending, LAST_CALL, Listening};
use crate::gateway::Gateway;
use crate::overload;
use crate::reload::Reloader;
use crate::supervisor::Supervisor;
use crate::upstream::pool::PACE;

/// How often the files of certificates are looked at.
const RENEWAL: Duration = Duration::from_secs(2);

/// How long a connection of HTTP/2 may take to end that was told to, and has nothing to wait for: about as long as its last words travel.
const TRAVELS: Duration = Duration::from_millis(200);

/// What the main thread does: operators' addresses, the way out.
pub(super) struct Operators {
    pub gateway: Arc<Gateway>,
    pub reloader: Arc<Reloader>,
    pub admin: Option<Bound>,
    pub status: Option<Bound>,
}

impl Operators {
    /// Serves until it is time to end. How many requests were still in flight then.
    pub(super) async fn serve(self, mut stopped: watch::Receiver<Option<Stop>>, mut accepting_over: mpsc::Receiver<()>) -> usize {
        // The operators' addresses stay open until the last request has ended, unless another process has them.
        let (admin_listening, admin_listens) = watch::channel(Listening::On);
        let ending = Arc::<Ending>::default();
        if self.admin.is_some() || self.status.is_some() {
            // How late this thread is concerns no client.
            tokio::spawn(keep(self.gateway.clone(), Arc::default()));
        }
        let local = self.admin.as_ref().is_some_and(|bound| bound.address.ip().to_canonical().is_loopback());
        for (bound, scope) in [(self.admin, Scope::All { local }), (self.status, Scope::ReadOnly)] {
            let Some(bound) = bound else { continue };
            let address = bound.address;
            match bound.into_tokio() {
                Ok(listener) => {
                    let admin = Arc::new(Admin::new(self.gateway.clone(), self.reloader.clone(), scope, ending.clone()));
                    let metrics = self.gateway.metrics.operators_listener(&address.to_string());
                    tokio::spawn(admin.listen(listener, metrics, admin_listens.clone()));
                }
                Err(error) => log::error!("{address} cannot be listened on: {error}"),
            }
        }
        tokio::spawn(tick(self.gateway.clone()));
        tokio::spawn(look(self.gateway.clone()));
        tokio::spawn(renew(self.gateway.clone()));
        tokio::spawn(reassure(self.gateway.clone()));
        self.gateway.run_background(tokio::runtime::Handle::current());
        tokio::spawn(self.gateway.documents.clone().run());
        tokio::spawn(self.gateway.documents.dns().clone().watch_files());
        // A sender that is gone stops at once, as does a deadline that has passed.
        let at_once = || Stop { at: Instant::now(), listening: Listening::Ends };
        let stop = match stopped.wait_for(Option::is_some).await {
            Ok(stop) => stop.unwrap_or_else(at_once),
            Err(_) => at_once(),
        };
        self.gateway.entrances.close(stop.listening);
        if stop.listening == Listening::Left {
            let _ = admin_listening.send(Listening::Left);
            ending.end();
        }
        self.gateway.leave_tunnels();
        // At once: another process may wait for what they are kept in.
        #[cfg(feature = "saga")]
        let sagas = {
            let gateway = self.gateway.clone();
            tokio::spawn(async move { gateway.close_sagas(stop.at).await })
        };
        let ended = async {
            let _ = accepting_over.recv().await;
            let now = Instant::now();
            let (last_call, told) = (now + LAST_CALL, now + self.gateway.time_to_tell() + TRAVELS);
            // In this order: a connection counts as fresh until its request counts.
            while self.gateway.has_fresh() && Instant::now() < last_call
                || self.gateway.has_http2() && Instant::now() < told
                || self.gateway.requests() > 0
            {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let ended = tokio::time::timeout_at(stop.at.into(), ended).await;
        let cut_off = if ended.is_ok() { 0 } else { self.gateway.requests() };
        #[cfg(feature = "saga")]
        let _ = sagas.await;
        self.gateway.send_spans(stop.at).await;
        let _ = admin_listening.send(Listening::Ends);
        cut_off
    }
}

/// Looks after the files of certificates: by their contents, so that links and mounted secrets that are exchanged are seen, too.
async fn renew(gateway: Arc<Gateway>) {
    loop {
        tokio::time::sleep(RENEWAL).await;
        let gateway = gateway.clone();
        if gateway.watches() {
            let _ = tokio::task::spawn_blocking(move || gateway.renew_certificates()).await;
        }
    }
}

/// Looks now and then whether there is more to do than can be done.
async fn look(gateway: Arc<Gateway>) {
    loop {
        tokio::time::sleep(overload::TICK).await;
        gateway.look_for_overload();
    }
}

/// Tells the supervisor that the gateway turns, as often as that wants to hear it, for as long as every worker thread has obeyed since the last time.
async fn reassure(gateway: Arc<Gateway>) {
    let Some(period) = gateway.supervisor().and_then(Supervisor::watchdog) else { return };
    let mut asked = gateway.entrances.ask_to_turn();
    let mut silent = false;
    loop {
        tokio::time::sleep(period).await;
        if Arc::strong_count(&asked) > 1 {
            if !std::mem::replace(&mut silent, true) {
                log::error!("a worker thread has stood still for {period:?}: the supervisor is told nothing until it turns");
            }
            continue;
        }
        silent = false;
        if let Some(supervisor) = gateway.supervisor() {
            supervisor.turns();
        }
        asked = gateway.entrances.ask_to_turn();
    }
}

/// Brings up to date what follows from time alone, once a second, and what endpoints are chosen from as often as that may be needed.
async fn tick(gateway: Arc<Gateway>) {
    let mut ticked = Instant::now();
    loop {
        tokio::time::sleep(PACE).await;
        gateway.settle();
        if ticked.elapsed() >= Duration::from_secs(1) {
            ticked = Instant::now();
            gateway.tick();
        }
    }
}
