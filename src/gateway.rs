//! What all requests of one running gateway share: the snapshot in force, the metrics, the deadlines, the count of requests in flight.

mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::io::Write as _;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use frontgate_filters::filter::Facts;
use frontgate_filters::reply::Form;
use frontgate_filters::words::fields;
use frontgate_filters::words::spanned::Spanned;
use http::Method;
use parking_lot::Mutex;
use rustls::ServerConfig;
use serde_json::json;
use tokio::sync::watch;

use crate::certificates::Renewed;
use crate::changes::changes;
use crate::config::Loaded;
use crate::config::model::{Listener, Protocol};
use crate::discovery::dns::Places;
use crate::door::tls::Kept;
use crate::door::wire::Refusal;
use crate::door::{Caps, Conn, Introduction, Keeper, Rules, spread};
use crate::refusals::{page, unreadable};
use crate::request_id::new_request_id;
use crate::snapshot::Snapshot;
use crate::status::Reloaded;
use crate::telemetry::{Came, Gauge, Line, ListenerMetrics, Metrics, Recent, Taps};
use crate::upstream::{Documents, timer};

/// The shared state of a running gateway.
pub(crate) struct Gateway {
    snapshot: ArcSwap<Snapshot>,
    /// Its metrics.
    pub metrics: Arc<Metrics>,
    /// What is kept elsewhere and fetched, as the key sets that tokens are verified with.
    pub documents: Arc<Documents>,
    /// How often the workers look for deadlines that are over, in milliseconds.
    pace: AtomicU64,
    listeners: Box<[Arc<ListenerMetrics>]>,
    in_flight: Arc<AtomicUsize>,
    /// Connections that have not asked for anything yet.
    pub fresh: Arc<AtomicUsize>,
    /// How many connections there are, and whose.
    pub caps: Arc<Caps>,
    /// How many of them are of HTTP/2.
    pub http2: Arc<AtomicUsize>,
    /// Who watches the lines of the access log.
    pub taps: Arc<Taps>,
    /// What became of the last requests that were refused or failed.
    pub recent: Recent,
    draining: AtomicBool,
    drain_asked: tokio::sync::Notify,
    /// Whether the tunnels are to come to their end.
    leaving: watch::Sender<bool>,
    /// One reload at a time; no request waits for it.
    reloading: Mutex<()>,
    /// Why the last reload was refused, where it was.
    refused: Mutex<Option<String>>,
    /// Until when operators hold circuits, by filter and upstream.
    held: Mutex<BTreeMap<(String, String), Instant>>,
    /// The filters of which the log has said that they have no keys.
    keyless: Mutex<BTreeSet<String>>,
    /// Where what no request waits for runs: probes.
    background: OnceLock<tokio::runtime::Handle>,
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
        let listeners = snapshot.loaded.config.server.listeners.iter().map(|l| metrics.listener(&l.address.to_string())).collect();
        metrics.reloaded(&snapshot.loaded.hash, SystemTime::now());
        let pace = AtomicU64::new(pace(&snapshot));
        Arc::new(Self {
            snapshot: ArcSwap::from_pointee(snapshot),
            metrics,
            documents,
            pace,
            listeners,
            in_flight: Arc::default(),
            fresh: Arc::default(),
            caps: Arc::default(),
            taps: Arc::default(),
            recent: Recent::default(),
            http2: Arc::default(),
            draining: AtomicBool::new(false),
            drain_asked: tokio::sync::Notify::new(),
            leaving: watch::Sender::new(false),
            reloading: Mutex::new(()),
            refused: Mutex::default(),
            held: Mutex::default(),
            keyless: Mutex::default(),
            background: OnceLock::new(),
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

    /// Waits until somebody asks the gateway to end.
    pub(crate) async fn asked_to_drain(&self) {
        self.drain_asked.notified().await;
    }

    /// Asks the gateway to end once its requests have.
    pub(crate) fn ask_to_drain(&self) {
        self.drain_asked.notify_one();
    }

    /// Counts a request on this listener.
    pub(crate) fn in_flight(&self, listener: usize) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        InFlight { all: self.in_flight.clone(), _listener: self.listeners.get(listener).map(|metrics| metrics.request()) }
    }

    /// The metrics of a listener.
    pub(crate) fn listener(&self, index: usize) -> Arc<ListenerMetrics> {
        self.listeners[index].clone()
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

    /// The page for Prometheus.
    pub(crate) fn scrape(&self) -> String {
        let snapshot = self.snapshot();
        let servers = snapshot.certificates.iter().flatten().map(Kept::server);
        let ends = servers.flat_map(|server| server.ends.clone());
        let ends = ends.chain(snapshot.pools.values().filter_map(|pool| pool.tls()?.end.clone())).collect();
        let renewals = snapshot.renewals().map(|(label, name, why)| (label, name, why.is_some())).collect::<Vec<_>>();
        self.metrics.render(&snapshot.key_ages(), &ends, &renewals)
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

    /// A reload was refused for this reason, and the configuration before it stays.
    pub(crate) fn reload_refused(&self, why: String) {
        self.metrics.reload_failed();
        *self.refused.lock() = Some(why);
    }

    /// Puts a checked configuration in force, all of it or nothing. Requests in flight end under the one they began with.
    pub(crate) fn reload(&self, loaded: Loaded) -> Result<Reloaded, String> {
        let _one = self.reloading.lock();
        let current = self.snapshot();
        let result = fixed_parts(&current.loaded, &loaded)
            .and_then(|()| Snapshot::compile(loaded, Some(&current), &self.metrics, Some(&self.documents)));
        match result {
            Ok(next) => {
                let hash = next.loaded.hash.clone();
                let changed = changes(&current.loaded.config, &next.loaded.config);
                next.warm_up();
                self.pace.store(pace(&next), Ordering::Relaxed);
                let next = Arc::new(next);
                self.snapshot.store(next.clone());
                self.documents.dns().set(Places::of(&next.loaded));
                current.leaves_force(&next);
                next.entered_force();
                if let Some(runtime) = self.background.get() {
                    next.run(runtime);
                }
                self.metrics.retire(&|name| next.loaded.config.routes.iter().any(|route| route.name.value == name), &|name| {
                    next.pools.contains_key(name) || self.documents.ask(name)
                });
                self.metrics.retire_discoveries(&|name| next.keepers.contains_key(name));
                self.metrics.reloaded(&hash, SystemTime::now());
                *self.refused.lock() = None;
                Ok(Reloaded { hash, changed })
            }
            Err(why) => {
                self.reload_refused(why.clone());
                Err(why)
            }
        }
    }
}

/// Listeners, admin address and threads belong to the process: changing them takes a new one.
fn fixed_parts(old: &Loaded, new: &Loaded) -> Result<(), String> {
    let (old, new) = (&old.config.server, &new.config.server);
    let changed = [
        ("server.listeners", !same_listeners(&old.listeners, &new.listeners)),
        ("server.admin", old.admin != new.admin),
        ("server.status", old.status != new.status),
        ("server.threads", old.threads != new.threads),
    ];
    let names: Vec<&str> = changed.iter().filter(|(_, changed)| *changed).map(|(name, _)| *name).collect();
    if names.is_empty() {
        return Ok(());
    }
    Err(format!("{} cannot be changed by a reload: start a new process for it", names.join(" and ")))
}

/// Whether the same addresses speak the same protocols, with TLS or without it; everything else of a listener may change.
fn same_listeners(old: &[Spanned<Listener>], new: &[Spanned<Listener>]) -> bool {
    let fixed = |listener: &Spanned<Listener>| {
        (listener.address, listener.tls.is_some(), [Protocol::Http1, Protocol::H2].map(|protocol| listener.speaks(protocol)))
    };
    old.iter().map(fixed).eq(new.iter().map(fixed))
}

impl Keeper for Gateway {
    fn is_draining(&self) -> bool {
        Self::is_draining(self)
    }

    fn rules(&self) -> Rules {
        self.snapshot.load().rules
    }

    fn introduction(&self, listener: usize, from: IpAddr) -> Introduction {
        let snapshot = self.snapshot.load();
        let listener = snapshot.loaded.config.server.listeners.get(listener);
        match listener.and_then(|listener| listener.proxy_protocol.as_ref()) {
            None => Introduction::None,
            Some(proxies) if proxies.from.iter().any(|network| network.0.contains(&from)) => Introduction::Required,
            Some(_) => Introduction::Refused,
        }
    }

    fn tls(&self, listener: usize) -> Option<Arc<ServerConfig>> {
        self.snapshot.load().certificates.get(listener)?.as_ref().map(Kept::config)
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
        let line = Line {
            request_id: fields::text(&facts.request_id).unwrap_or_default(),
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
