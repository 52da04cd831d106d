//! What all requests of one running gateway share: the snapshot in force, the metrics, the deadlines, the count of requests in flight.

mod drills;
mod entrances;
#[cfg(feature = "saga")]
mod hosts;
mod lately;
mod reloads;
mod sagas;
mod strain;
mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use frontgate_filters::filter::Facts;
use frontgate_filters::reply::Form;
use frontgate_filters::words::fields;
use http::Method;
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::watch;

use self::lately::Lately;
use self::reloads::Reloads;
use crate::certificates::Renewed;
use crate::changes::changes;
#[cfg(feature = "saga")]
use crate::compose::saga::operated::Operated;
use crate::config::Loaded;
use crate::discovery::dns::Places;
use crate::door::wire::Refusal;
use crate::door::{Caps, Conn, Inherited, Keeper, Rules, spread};
use crate::overload::{Overload, Stage};
use crate::refusals::{self, page, unreadable};
use crate::request_id::new_request_id;
use crate::snapshot::{Snapshot, fixed};
use crate::status::{InForce, Reloaded};
use crate::supervisor::Supervisor;
use crate::telemetry::{Came, Gauge, Line, ListenerMetrics, Metrics, Recent, Taps, own_log, timestamp, trace};
use crate::upstream::balance::random;
use crate::upstream::{Documents, timer};
pub(crate) use entrances::{Entrances, Order, Passed};

/// The shared state of a running gateway.
pub(crate) struct Gateway {
    snapshot: ArcSwap<Snapshot>,
    /// Its metrics.
    pub metrics: Arc<Metrics>,
    /// What is kept elsewhere and fetched, as the key sets that tokens are verified with.
    pub documents: Arc<Documents>,
    /// How often the workers look for deadlines that are over, in milliseconds.
    pace: AtomicU64,
    /// The listeners that are open.
    pub entrances: Entrances,
    in_flight: Arc<AtomicUsize>,
    /// Connections that have not asked for anything yet.
    pub fresh: Arc<AtomicUsize>,
    /// How many connections there are, and whose.
    pub caps: Arc<Caps>,
    /// How many of them are of HTTP/2.
    pub http2: Arc<AtomicUsize>,
    /// Whether it has more to do than it can.
    pub overload: Overload,
    /// Who watches the lines of the access log.
    pub taps: Arc<Taps>,
    /// What became of the last requests that were refused, failed or answered in part.
    pub recent: Recent,
    draining: AtomicBool,
    drain_asked: tokio::sync::Notify,
    /// Whether the tunnels are to come to their end.
    leaving: watch::Sender<bool>,
    /// One reload at a time; no request waits for it.
    reloading: Mutex<()>,
    /// Why the last reload was refused, where it was.
    refused: Mutex<Option<String>>,
    /// How the configuration in force came to be so.
    in_force: Mutex<InForce>,
    /// Whether files are looked at again without anybody asking for it.
    watches: AtomicBool,
    /// The last reloads.
    pub reloads: Reloads,
    /// Until when operators hold circuits, by filter and upstream.
    held: Mutex<BTreeMap<(String, String), Instant>>,
    /// Whether all drills are stopped.
    drills: drills::Drills,
    /// What went wrong within the last minute.
    lately: Lately,
    /// The filters of which the log has said that they have no keys.
    keyless: Mutex<BTreeSet<String>>,
    /// Where what no request waits for runs: probes.
    background: OnceLock<tokio::runtime::Handle>,
    /// Who is told what the gateway is about.
    supervisor: OnceLock<Supervisor>,
    /// Who runs sagas, where there is a place to keep them.
    #[cfg(feature = "saga")]
    sagas: OnceLock<Arc<dyn Operated>>,
    /// This gateway, for what it begins that goes on by itself.
    #[cfg(feature = "saga")]
    me: OnceLock<std::sync::Weak<Self>>,
}

/// A request in flight, until it is dropped.
pub(crate) struct InFlight {
    all: Arc<AtomicUsize>,
    _listener: Option<Gauge>,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.all.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Tells the log what reading the certificates of somebody again has brought.
fn tell(whose: &dyn Display, renewed: Renewed) {
    match renewed {
        Renewed::Same => {}
        Renewed::Changed => log::info!("{whose}: the certificates were read again and are in use"),
        Renewed::Refused(problems) => {
            for problem in problems {
                log::error!("{whose}: the former certificates stay in use: {}", problem.message);
            }
        }
    }
}

/// In milliseconds.
fn pace(snapshot: &Snapshot) -> u64 {
    timer::pace_for(snapshot.shortest_wait()).as_millis() as u64
}

impl Gateway {
    /// The state of a gateway that begins with this snapshot.
    pub(crate) fn new(snapshot: Snapshot, metrics: Arc<Metrics>, documents: Arc<Documents>) -> Arc<Self> {
        metrics.reloaded(&snapshot.loaded.hash, SystemTime::now());
        let pace = AtomicU64::new(pace(&snapshot));
        let reloads = Reloads::begin(&snapshot.loaded.hash);
        Arc::new(Self {
            snapshot: ArcSwap::from_pointee(snapshot),
            metrics,
            documents,
            pace,
            entrances: Entrances::default(),
            in_flight: Arc::default(),
            fresh: Arc::default(),
            caps: Arc::default(),
            taps: Arc::default(),
            recent: Recent::default(),
            http2: Arc::default(),
            overload: Overload::default(),
            draining: AtomicBool::new(false),
            drain_asked: tokio::sync::Notify::new(),
            leaving: watch::Sender::new(false),
            reloading: Mutex::new(()),
            refused: Mutex::default(),
            in_force: Mutex::new(InForce { how: "start".to_owned(), who: None, since: timestamp(SystemTime::now()), ..InForce::default() }),
            watches: AtomicBool::new(true),
            reloads,
            held: Mutex::default(),
            drills: drills::Drills::default(),
            lately: Lately::default(),
            keyless: Mutex::default(),
            background: OnceLock::new(),
            supervisor: OnceLock::new(),
            #[cfg(feature = "saga")]
            sagas: OnceLock::new(),
            #[cfg(feature = "saga")]
            me: OnceLock::new(),
        })
    }

    /// How often the workers look for deadlines that are over.
    pub(crate) fn pace(&self) -> Duration {
        Duration::from_millis(self.pace.load(Ordering::Relaxed))
    }

    /// The configuration in force.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Begins what runs in the background, on this runtime.
    pub(crate) fn run_background(&self, runtime: tokio::runtime::Handle) {
        let runtime = self.background.get_or_init(|| runtime);
        let snapshot = self.snapshot();
        snapshot.entered_force();
        snapshot.run(runtime);
        #[cfg(feature = "saga")]
        self.run_sagas();
    }

    /// Makes what endpoints are chosen from again where that is due.
    pub(crate) fn settle(&self) {
        let now = Instant::now();
        self.snapshot.load().pools.values().for_each(|pool| pool.settle(now));
    }

    /// Brings up to date what follows from time alone.
    pub(crate) fn tick(&self) {
        let now = Instant::now();
        let snapshot = self.snapshot();
        snapshot.pools.values().for_each(|pool| pool.tick(now));
        self.watch_keys(&snapshot);
        self.let_go(&snapshot, now);
        self.lately.read(&self.metrics, now);
        // How long circuits are open is told from when they are first seen so.
        let _ = self.lately.open(&self.circuits(&snapshot, now), now);
        own_log::tick(now);
    }

    /// Reads the files of certificates again, and uses those that are there now.
    pub(crate) fn renew_certificates(&self) {
        let snapshot = self.snapshot();
        let (config, files) = (&snapshot.loaded.config, |path: &_| snapshot.loaded.file(path));
        for (listener, kept) in config.server.listeners.iter().zip(&snapshot.certificates) {
            if let Some(kept) = kept {
                tell(&listener.address, kept.renew(listener, &files));
            }
        }
        for (name, upstream) in &config.upstreams {
            if let Some(pool) = snapshot.pools.get(name) {
                tell(&format_args!("upstream `{name}`"), pool.renew(upstream, &files));
            }
        }
    }

    /// A required upstream that has no healthy endpoint.
    pub(crate) fn down(&self) -> Option<Arc<str>> {
        let now = Instant::now();
        self.snapshot().pools.values().find(|pool| pool.is_required() && !pool.is_alive(now)).map(|pool| pool.name.clone())
    }

    /// From now on this one is told what the gateway is about.
    pub(crate) fn is_told_to(&self, supervisor: Supervisor) {
        let _ = self.supervisor.set(supervisor);
    }

    /// Who is told what the gateway is about, where somebody is.
    pub(crate) fn supervisor(&self) -> Option<&Supervisor> {
        self.supervisor.get()
    }

    /// Waits until somebody asks the gateway to end.
    pub(crate) async fn asked_to_drain(&self) {
        self.drain_asked.notified().await;
    }

    /// Asks the gateway to end once its requests have.
    pub(crate) fn ask_to_drain(&self) {
        self.drain_asked.notify_one();
    }

    /// Counts a request on this listener.
    pub(crate) fn in_flight(&self, listener: Option<&Arc<ListenerMetrics>>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        InFlight { all: self.in_flight.clone(), _listener: listener.map(ListenerMetrics::request) }
    }

    /// Opens the listeners of the configuration in force, with the inherited sockets where there are some. All or nothing.
    pub(crate) fn open(&self, inherited: &mut Inherited) -> Result<(), String> {
        let snapshot = self.snapshot();
        let listeners = &snapshot.loaded.config.server.listeners;
        let plan = self.entrances.plan(listeners, inherited)?;
        self.entrances.open(plan, listeners, &snapshot.certificates, &self.metrics);
        Ok(())
    }

    /// Whether some connection has not asked for anything yet.
    pub(crate) fn has_fresh(&self) -> bool {
        self.fresh.load(Ordering::Acquire) > 0
    }

    /// Whether there are connections of HTTP/2.
    pub(crate) fn has_http2(&self) -> bool {
        self.http2.load(Ordering::Acquire) > 0
    }

    /// How long it takes in a drain to tell all connections of HTTP/2 that they are to end.
    pub(crate) fn time_to_tell(&self) -> Duration {
        spread(self.http2.load(Ordering::Acquire), self.snapshot.load().rules.drain)
    }

    /// How many requests are in flight.
    pub(crate) fn requests(&self) -> usize {
        self.in_flight.load(Ordering::Acquire)
    }

    /// Whether the process is on its way out.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Whether there is more to do than can be done.
    pub(crate) fn is_overloaded(&self) -> bool {
        self.overload.stage() > Stage::Calm
    }

    /// The page for Prometheus.
    pub(crate) fn scrape(&self) -> String {
        let snapshot = self.snapshot();
        let renewals = snapshot.renewals().map(|(label, name, why)| (label, name, why.is_some())).collect::<Vec<_>>();
        self.metrics.render(&snapshot.key_ages(), &self.certificate_ends(), &renewals)
    }

    /// When the certificates that clients and upstreams are shown end, in seconds since 1970, by their files.
    pub(crate) fn certificate_ends(&self) -> BTreeMap<String, i64> {
        let snapshot = self.snapshot();
        let servers = snapshot.certificates.iter().flatten().map(|kept| kept.server());
        let ends = servers.flat_map(|server| server.ends.clone());
        ends.chain(snapshot.pools.values().filter_map(|pool| pool.tls()?.end.clone())).collect()
    }

    /// Sends the spans that are left, until then at the latest.
    pub(crate) async fn send_spans(&self, until: Instant) {
        let snapshot = self.snapshot();
        if let Some(tracing) = &snapshot.tracing {
            tracing.flush(until).await;
        }
    }

    /// From now on readiness fails and answers close their connections.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// From now on tunnels that can be told so are ended.
    pub(crate) fn leave_tunnels(&self) {
        self.leaving.send_replace(true);
    }

    /// Waits until the tunnels are to come to their end.
    pub(crate) async fn leaves_tunnels(&self) {
        // The sender is here: it is not gone while this waits.
        let _ = self.leaving.subscribe().wait_for(|leaving| *leaving).await;
    }

    /// How the configuration in force came to be so, for whoever asks.
    pub(crate) fn came_into_force(&self, how: InForce) {
        self.reloads.came(&how);
        *self.in_force.lock() = how;
    }

    /// What the files hold while something else is in force, and when they were read.
    pub(crate) fn files_hold(&self, on_disk: &str, at: String) {
        let mut in_force = self.in_force.lock();
        (in_force.on_disk, in_force.on_disk_at) = (Some(on_disk.to_owned()), Some(at));
    }

    /// Whether the last reload was refused.
    pub(crate) fn has_refused(&self) -> bool {
        self.refused.lock().is_some()
    }

    /// How the configuration in force came to be so.
    pub(crate) fn in_force(&self) -> InForce {
        self.in_force.lock().clone()
    }

    /// From now on files are read when somebody asks for it, and never because they changed.
    pub(crate) fn watch_nothing(&self) {
        self.watches.store(false, Ordering::Relaxed);
    }

    /// Whether files are read because they changed.
    pub(crate) fn watches(&self) -> bool {
        self.watches.load(Ordering::Relaxed)
    }

    /// A reload was refused for this reason, and the configuration before it stays.
    pub(crate) fn reload_refused(&self, why: String) {
        self.metrics.reload_failed();
        self.reloads.refused(&why);
        *self.refused.lock() = Some(why);
    }

    /// Puts a checked configuration in force, all of it or nothing. Requests in flight end under the one they began with.
    pub(crate) fn reload(&self, loaded: Loaded) -> Result<Reloaded, String> {
        let _one = self.reloading.lock();
        let current = self.snapshot();
        let fixed = fixed_parts(&current.loaded, &loaded);
        #[cfg(feature = "saga")]
        let fixed = fixed.and_then(|()| self.keeps_sagas_elsewhere(&loaded));
        let result =
            fixed.and_then(|()| Snapshot::compile(loaded, Some(&current), &self.metrics, Some(&self.documents))).and_then(|next| {
                // The last thing that can fail: whoever connects to a socket that was bound here is served.
                let plan = self.entrances.plan(&next.loaded.config.server.listeners, &mut Inherited::default())?;
                #[cfg(feature = "saga")]
                self.host_sagas_of(&next)?;
                Ok((plan, next))
            });
        match result {
            Ok((plan, next)) => {
                let hash = next.loaded.hash.clone();
                next.warm_up();
                self.drills.enter(&next);
                self.pace.store(pace(&next), Ordering::Relaxed);
                let next = Arc::new(next);
                self.snapshot.store(next.clone());
                self.entrances.open(plan, &next.loaded.config.server.listeners, &next.certificates, &self.metrics);
                self.documents.dns().set(Places::of(&next.loaded));
                current.leaves_force(&next);
                next.entered_force();
                if let Some(runtime) = self.background.get() {
                    next.run(runtime);
                }
                self.retire(&next);
                self.metrics.reloaded(&hash, SystemTime::now());
                *self.refused.lock() = None;
                // In words when it is in force already: for a large one they take their time.
                let reloaded =
                    Reloaded { hash, changed: changes(&current.loaded, &next.loaded), warnings: self.keys_forgotten(&current, &next) };
                self.reloads.accepted(&reloaded);
                self.warn_of_sagas(&current, &next);
                Ok(reloaded)
            }
            Err(why) => {
                // What was made for what is not in force.
                self.retire(&current);
                self.reload_refused(why.clone());
                Err(why)
            }
        }
    }

    /// Takes the metrics of what this configuration has not off their page.
    fn retire(&self, snapshot: &Snapshot) {
        let config = &snapshot.loaded.config;
        self.metrics.retire(&|name| config.routes.iter().any(|route| route.name.value == name), &|name| {
            let is_collector = snapshot.tracing.as_ref().is_some_and(|tracing| tracing.asks(name));
            snapshot.pools.contains_key(name) || self.documents.ask(name) || is_collector
        });
        self.metrics.retire_discoveries(&|name| snapshot.keepers.contains_key(name));
        self.metrics.retire_listeners(&|address| config.server.listeners.iter().any(|listener| listener.address.to_string() == address));
    }
}

/// The operators' addresses and threads belong to the process: changing them takes a new one.
fn fixed_parts(old: &Loaded, new: &Loaded) -> Result<(), String> {
    let (old, new) = (fixed(&old.config), fixed(&new.config));
    let names: Vec<&str> = old.iter().zip(&new).filter(|(old, new)| old != new).map(|((name, _), _)| *name).collect();
    if names.is_empty() {
        return Ok(());
    }
    Err(format!("{} cannot be changed by a reload: start a new process for it", names.join(" and ")))
}

impl Keeper for Gateway {
    fn is_draining(&self) -> bool {
        Self::is_draining(self)
    }

    fn is_overloaded(&self) -> bool {
        Self::is_overloaded(self)
    }

    fn has_no_room(&self, client: SocketAddr) -> Vec<u8> {
        let facts = Facts::new(client.ip().to_canonical(), new_request_id());
        let (mut head, body) = refusals::overloaded().render(Form::default(), &facts.request_id);
        self.snapshot().unmatched.chain.mark(&mut head, &facts);
        head.insert_header("Connection", "close").expect("a valid header");
        head.insert_header("Date", httpdate::fmt_http_date(SystemTime::now())).expect("a valid header");
        page(&head, &body)
    }

    fn rules(&self) -> Rules {
        self.snapshot.load().rules
    }

    fn refuse(&self, refusal: Refusal, conn: &Conn) -> Vec<u8> {
        let began = Instant::now();
        let snapshot = self.snapshot();
        let peer = conn.peer.map_or(std::net::Ipv4Addr::UNSPECIFIED.into(), |peer| peer.ip().to_canonical());
        let facts = Facts::new(peer, new_request_id());
        let (mut head, body) = unreadable(refusal).render(Form::default(), &facts.request_id);
        snapshot.unmatched.chain.mark(&mut head, &facts);
        head.insert_header("Connection", "close").expect("a valid header");
        head.insert_header("Date", httpdate::fmt_http_date(SystemTime::now())).expect("a valid header");
        // The method was not read; it counts as an odd one.
        let odd = Method::from_bytes(b"UNREAD").unwrap_or(Method::GET);
        snapshot.unmatched.metrics.record(&odd, refusal.status, began.elapsed(), began.elapsed());
        let trace = trace::id(trace::begun_by(Some(&facts.request_id), random));
        let line = Line {
            request_id: fields::text(&facts.request_id).unwrap_or_default(),
            trace_id: std::str::from_utf8(&trace).ok(),
            client_ip: Some(facts.client_ip),
            proxy_ip: conn.balancer.map(|balancer| balancer.ip().to_canonical()),
            method: "-",
            path: b"-",
            route: &snapshot.unmatched.name,
            status: Some(refusal.status),
            reason: Some(refusal.code),
            bytes_out: body.len() as u64,
            ..Line::at(SystemTime::now())
        };
        if snapshot.logs(&line, true) == Some(true) {
            snapshot.access_log.log(&line);
        }
        if self.taps.is_any() {
            self.taps.offer(&line);
        }
        self.recent.keep(Came::Refused, line.request_id, line.ts, |out| {
            // A Vec takes whatever is written to it.
            let told = json!({"status": refusal.status, "code": refusal.code, "detail": refusal.detail});
            out.extend_from_slice(b"{\"line\":");
            line.write(out);
            let _ = write!(out, ",\"refusal\":{told},\"circuit\":null,\"filters\":[],\"attempts\":[]}}");
        });
        page(&head, &body)
    }
}
