//! The main thread's work: the operators' addresses, what follows from time alone, and the way out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use super::sockets::Held;
use super::worker::keep;
use crate::admin::{Admin, Scope};
use crate::door::LAST_CALL;
use crate::gateway::Gateway;
use crate::overload;
use crate::reload::Reloader;
use crate::upstream::pool::PACE;

/// How often the files of certificates are looked at.
const RENEWAL: Duration = Duration::from_secs(2);

/// How long a connection of HTTP/2 may take to end that was told to, and has nothing to wait for: about as long as its last words travel.
const TRAVELS: Duration = Duration::from_millis(200);

/// What the main thread does: operators' addresses, the way out.
pub(super) struct Operators {
    pub gateway: Arc<Gateway>,
    pub reloader: Arc<Reloader>,
    pub admin: Option<Held>,
    pub status: Option<Held>,
}

impl Operators {
    /// Serves until it is time to end. How many requests were still in flight then.
    pub(super) async fn serve(
        self,
        mut stopped: watch::Receiver<Option<Instant>>,
        shutdown: watch::Sender<bool>,
        mut accepting_over: mpsc::Receiver<()>,
    ) -> usize {
        // The operators' addresses stay open until the last request has ended.
        let (admin_shutdown, admin_shut) = watch::channel(false);
        if self.admin.is_some() || self.status.is_some() {
            // How late this thread is concerns no client.
            tokio::spawn(keep(self.gateway.clone(), Arc::default()));
        }
        let local = self.admin.as_ref().is_some_and(|held| held.address.ip().to_canonical().is_loopback());
        for (held, scope) in [(self.admin, Scope::All { local }), (self.status, Scope::ReadOnly)] {
            let Some(held) = held else { continue };
            let address = held.address;
            match held.into_tokio() {
                Ok(listener) => {
                    let admin = Arc::new(Admin::new(self.gateway.clone(), self.reloader.clone(), scope));
                    let metrics = self.gateway.metrics.operators_listener(&address.to_string());
                    tokio::spawn(admin.listen(listener, metrics, admin_shut.clone()));
                }
                Err(error) => log::error!("{address} cannot be listened on: {error}"),
            }
        }
        tokio::spawn(tick(self.gateway.clone()));
        tokio::spawn(look(self.gateway.clone()));
        tokio::spawn(renew(self.gateway.clone()));
        self.gateway.run_background(tokio::runtime::Handle::current());
        tokio::spawn(self.gateway.documents.clone().run());
        tokio::spawn(self.gateway.documents.dns().clone().watch_files());
        // A sender that is gone stops at once, as does a deadline that has passed.
        let deadline = match stopped.wait_for(Option::is_some).await {
            Ok(deadline) => deadline.unwrap_or_else(Instant::now),
            Err(_) => Instant::now(),
        };
        let _ = shutdown.send(true);
        self.gateway.leave_tunnels();
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
        let ended = tokio::time::timeout_at(deadline.into(), ended).await;
        let cut_off = if ended.is_ok() { 0 } else { self.gateway.requests() };
        let _ = admin_shutdown.send(true);
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
