//! Key sets that live behind a URL: fetched before they are needed, kept while they cannot be had, and never asked for by a crowd.
//!
//! A set is fetched on the main thread, one fetch at a time: on a timer, and when a token names a key that it does not hold. Such a
//! request waits for the fetch; when the fetch brings nothing new, the next of its kind has to wait out a cooldown, so that made-up names
//! cost the issuer one request each cooldown and the gateway nothing that lasts.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use frontgate_filters::filter::BoxFuture;
use frontgate_filters::jwt::{KeyStore, Keys, Url};
use http::HeaderValue;
use parking_lot::Mutex;
use pingora_core::connectors::http::v1::Connector;
use tokio::sync::{Notify, mpsc, watch};

use super::fetch::{self, Fetched};

/// How long no token has a set fetched that it did not change.
const COOLDOWN: Duration = Duration::from_secs(10);
/// The longest pause after a failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// All key sets of a gateway, over all its configurations: one that a reload still names goes on as it is, one that none names ends.
pub struct KeyRing {
    sets: Mutex<HashMap<Name, Weak<RemoteKeys>>>,
    begun: mpsc::UnboundedSender<Weak<RemoteKeys>>,
    beginning: Mutex<Option<mpsc::UnboundedReceiver<Weak<RemoteKeys>>>>,
    settled: AtomicBool,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Name {
    url: String,
    refresh: Duration,
    stale_for: Duration,
}

/// One key set.
pub struct RemoteKeys {
    url: Url,
    refresh: Duration,
    stale_for: Duration,
    held: ArcSwapOption<Held>,
    gate: Mutex<Gate>,
    /// How many fetches have ended.
    ended: watch::Sender<u64>,
    wake: Arc<Notify>,
}

struct Held {
    keys: Arc<Keys>,
    /// When it was last known to be the issuer's.
    at: Instant,
    etag: Option<HeaderValue>,
}

#[derive(Default)]
struct Gate {
    /// A fetch is wanted or on its way.
    busy: bool,
    /// A request wanted it.
    asked: bool,
    barred_until: Option<Instant>,
}

impl KeyRing {
    /// A ring without sets.
    pub fn new() -> Arc<Self> {
        let (begun, beginning) = mpsc::unbounded_channel();
        Arc::new(Self { sets: Mutex::default(), begun, beginning: Mutex::new(Some(beginning)), settled: AtomicBool::new(false) })
    }

    /// The set at this URL, which from now on is kept fresh for as long as somebody holds it.
    pub fn get(&self, url: &Url, refresh: Duration, stale_for: Duration) -> Arc<RemoteKeys> {
        let address = format!("{}://{}{}", if url.tls { "https" } else { "http" }, url.authority, url.target);
        let name = Name { url: address, refresh, stale_for };
        let mut sets = self.sets.lock();
        if let Some(known) = sets.get(&name).and_then(Weak::upgrade) {
            return known;
        }
        // The same keys under other timings need no fetch to serve.
        let kin = sets.iter().filter(|(other, _)| other.url == name.url).find_map(|(_, set)| set.upgrade());
        let set = Arc::new(RemoteKeys::new(url.clone(), refresh, stale_for, kin.and_then(|kin| kin.held.load_full())));
        sets.retain(|_, set| set.strong_count() > 0);
        sets.insert(name, Arc::downgrade(&set));
        // Nobody receives in a gateway that has ended.
        let _ = self.begun.send(Arc::downgrade(&set));
        set
    }

    /// Whether every set of the first configuration has been asked for once, with or without success.
    pub fn has_settled(&self) -> bool {
        if self.settled.load(Ordering::Acquire) {
            return true;
        }
        let settled = self.sets.lock().values().filter_map(Weak::upgrade).all(|set| *set.ended.borrow() > 0);
        self.settled.fetch_or(settled, Ordering::AcqRel);
        settled
    }

    /// Looks after the sets for as long as the runtime lives.
    pub async fn run(self: Arc<Self>) {
        let Some(mut beginning) = self.beginning.lock().take() else { return };
        let mut connector = None;
        while let Some(set) = beginning.recv().await {
            // Made for the first set: it reads the system's certificates.
            let connector = connector.get_or_insert_with(|| Arc::new(Connector::new(None))).clone();
            tokio::spawn(keep(set, connector));
        }
    }
}

/// Keeps one set fresh until nobody holds it.
async fn keep(set: Weak<RemoteKeys>, connector: Arc<Connector>) {
    let mut failures = 0_u32;
    loop {
        let Some(this) = set.upgrade() else { return };
        let good = this.fetch(&connector).await;
        failures = if good { 0 } else { failures.saturating_add(1) };
        let pause = match failures {
            0 => this.refresh,
            failures => this.refresh.min(PATIENCE).min(Duration::from_secs(1 << failures.min(6))),
        };
        let wake = this.wake.clone();
        drop(this);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = wake.notified() => {}
        }
    }
}

impl RemoteKeys {
    fn new(url: Url, refresh: Duration, stale_for: Duration, held: Option<Arc<Held>>) -> Self {
        Self {
            url,
            refresh,
            stale_for,
            held: ArcSwapOption::new(held),
            // The first fetch is on its way from the beginning.
            gate: Mutex::new(Gate { busy: true, ..Gate::default() }),
            ended: watch::channel(0).0,
            wake: Arc::default(),
        }
    }

    /// Whether it went well.
    async fn fetch(&self, connector: &Connector) -> bool {
        self.gate.lock().busy = true;
        let held = self.held.load_full();
        let etag = held.as_ref().and_then(|held| held.etag.as_ref());
        let result = match fetch::get(connector, &self.url, etag).await {
            Ok(Fetched::Same) => Ok(None),
            Ok(Fetched::New { body, etag }) => Keys::from_jwks(&body).map(|keys| Some((keys, etag))),
            Err(why) => Err(why),
        };
        let now = Instant::now();
        let mut changed = false;
        let good = match (result, held) {
            (Ok(Some((keys, etag))), held) => {
                let same = held.filter(|held| held.keys.same_as(&keys));
                changed = same.is_none();
                if changed {
                    log::info!("the key set at {} has {} keys", self.url.authority, keys.len());
                }
                // What was verified under the same keys stays verified.
                let keys = same.map_or_else(|| Arc::new(keys), |held| held.keys.clone());
                self.held.store(Some(Arc::new(Held { keys, at: now, etag })));
                true
            }
            (Ok(None), Some(held)) => {
                self.held.store(Some(Arc::new(Held { keys: held.keys.clone(), at: now, etag: held.etag.clone() })));
                true
            }
            (Ok(None), None) => false,
            (Err(why), _) => {
                log::warn!("the key set at {} was not fetched: {why}", self.url.authority);
                false
            }
        };
        let mut gate = self.gate.lock();
        if gate.asked && !changed {
            gate.barred_until = Some(now + COOLDOWN);
        }
        gate.busy = false;
        gate.asked = false;
        // Under the lock, so that whoever found it busy is waiting for this.
        self.ended.send_modify(|ended| *ended += 1);
        good
    }
}

impl Drop for RemoteKeys {
    fn drop(&mut self) {
        self.wake.notify_one();
    }
}

impl KeyStore for RemoteKeys {
    fn keys(&self) -> Option<Arc<Keys>> {
        let held = self.held.load();
        let held = held.as_ref()?;
        (held.at.elapsed() <= self.refresh + self.stale_for).then(|| held.keys.clone())
    }

    fn refresh(&self, seen: u64) -> BoxFuture<'static, ()> {
        let mut gate = self.gate.lock();
        // Another set came between the caller's look and its question: fetching once more would bring nothing new and bar those who need it.
        if self.keys().map_or(0, |keys| keys.generation()) != seen {
            return Box::pin(std::future::ready(()));
        }
        if !gate.busy {
            if gate.barred_until.is_some_and(|until| Instant::now() < until) {
                return Box::pin(std::future::ready(()));
            }
            gate.busy = true;
            gate.asked = true;
            self.wake.notify_one();
        }
        let mut ended = self.ended.subscribe();
        drop(gate);
        Box::pin(async move {
            // A fetch is bounded itself; this is for a runtime that is gone.
            let _ = tokio::time::timeout(fetch::LONGEST + Duration::from_secs(1), ended.changed()).await;
        })
    }

    fn age(&self) -> Option<Duration> {
        self.held.load().as_ref().map(|held| held.at.elapsed())
    }
}
