//! One document behind a URL.
//!
//! It is fetched on the main thread, one fetch at a time: on a timer, and when a request finds that it lacks something, as a key that a
//! token names. Such a request waits for the fetch; when the fetch brings nothing new, the next of its kind has to wait out a cooldown, so
//! that made-up names cost the other side one request each cooldown and the gateway nothing that lasts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use frontgate_filters::filter::BoxFuture;
use frontgate_filters::filter::document::{Document, RemoteDocument, Wanted};
use frontgate_filters::words::url::Url;
use http::HeaderValue;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::fetch::{self, Fetched};
use crate::discovery::dns::Dns;
use crate::telemetry::Metrics;
use crate::upstream::Pool;

/// For how long no request has a document fetched that such a fetch did not change.
const COOLDOWN: Duration = Duration::from_secs(10);

/// One document.
pub(crate) struct Remote {
    url: Url,
    pool: Arc<Pool>,
    wanted: Wanted,
    dns: Arc<Dns>,
    held: ArcSwapOption<Held>,
    gate: Mutex<Gate>,
    /// How many fetches have ended.
    ended: watch::Sender<u64>,
    wake: Arc<Notify>,
}

/// What was had.
pub(super) struct Held {
    document: Arc<Document>,
    /// When it was last known to be what is there.
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

/// What a fetch came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    Changed,
    Same,
    Nothing,
}

impl Remote {
    pub(super) fn new(url: Url, wanted: Wanted, held: Option<Arc<Held>>, metrics: &Metrics, dns: Arc<Dns>) -> Self {
        // No upstream of a configuration has a colon in its name.
        let name = format!("{}:{}", wanted.what.replace(' ', "_"), url.authority);
        Self {
            pool: fetch::pool(&name, &url, metrics, fetch::LONGEST),
            url,
            wanted,
            dns,
            held: ArcSwapOption::new(held),
            // The first fetch is on its way from the beginning.
            gate: Mutex::new(Gate { busy: true, ..Gate::default() }),
            ended: watch::channel(0).0,
            wake: Arc::default(),
        }
    }

    pub(super) fn held(&self) -> Option<Arc<Held>> {
        self.held.load_full()
    }

    pub(super) fn pool_name(&self) -> &str {
        &self.pool.name
    }

    pub(super) fn was_asked_for(&self) -> bool {
        *self.ended.borrow() > 0
    }

    pub(super) fn refresh_every(&self) -> Duration {
        self.wanted.refresh
    }

    pub(super) fn wake(&self) -> Arc<Notify> {
        self.wake.clone()
    }

    fn is_fresh(&self, held: &Held) -> bool {
        held.at.elapsed() <= self.wanted.refresh + self.wanted.stale_for
    }

    /// Whether it went well.
    pub(super) async fn fetch(&self) -> bool {
        self.gate.lock().busy = true;
        let held = self.held();
        let etag = held.as_ref().and_then(|held| held.etag.as_ref());
        let came = match fetch::get(&self.pool, &self.dns, &self.url, self.wanted.accept, etag).await {
            Ok(Fetched::Same) => match held {
                Some(held) => self.keep(held.document.clone(), held.etag.clone(), Came::Same),
                None => Came::Nothing,
            },
            Ok(Fetched::New { body, etag }) => self.accept_new(body, etag),
            Err(why) => self.failed(&why),
        };
        self.over(came)
    }

    /// Takes what was fetched. The same bytes are the same document: what was read from it stays good.
    pub(super) fn accept_new(&self, body: Vec<u8>, etag: Option<HeaderValue>) -> Came {
        if let Err(why) = (self.wanted.check)(&body) {
            return self.failed(&why);
        }
        match self.held().filter(|held| **held.document.bytes() == *body) {
            Some(held) => self.keep(held.document.clone(), etag, Came::Same),
            None => {
                log::info!("a new {} was fetched from {}", self.wanted.what, self.url.authority);
                self.keep(Arc::new(Document::new(body)), etag, Came::Changed)
            }
        }
    }

    fn keep(&self, document: Arc<Document>, etag: Option<HeaderValue>, came: Came) -> Came {
        self.held.store(Some(Arc::new(Held { document, at: Instant::now(), etag })));
        came
    }

    fn failed(&self, why: &str) -> Came {
        log::warn!("the {} at {} was not fetched: {why}", self.wanted.what, self.url.authority);
        Came::Nothing
    }

    /// A fetch is over: those who waited go on.
    fn over(&self, came: Came) -> bool {
        let mut gate = self.gate.lock();
        if gate.asked && came != Came::Changed {
            gate.barred_until = Some(Instant::now() + COOLDOWN);
        }
        gate.busy = false;
        gate.asked = false;
        // Under the lock, so that whoever found it busy is waiting for this.
        self.ended.send_modify(|ended| *ended += 1);
        came != Came::Nothing
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.wake.notify_one();
    }
}

impl RemoteDocument for Remote {
    fn current(&self) -> Option<Arc<Document>> {
        self.held.load().as_ref().filter(|held| self.is_fresh(held)).map(|held| held.document.clone())
    }

    fn generation(&self) -> u64 {
        self.held.load().as_ref().filter(|held| self.is_fresh(held)).map_or(0, |held| held.document.generation())
    }

    fn refresh(&self, seen: u64) -> BoxFuture<'static, ()> {
        let mut gate = self.gate.lock();
        // Another one came between the caller's look and its question: fetching once more would bring nothing new and bar those who need it.
        if self.generation() != seen {
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

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Waker};

    use super::*;
    use crate::discovery::dns::Places;

    fn remote() -> Remote {
        let wanted = Wanted {
            what: "list",
            accept: "text/plain",
            refresh: Duration::from_secs(60),
            stale_for: Duration::from_secs(60),
            check: |bytes| if bytes.starts_with(b"good") { Ok(()) } else { Err("it is not good".to_owned()) },
        };
        Remote::new(Url::parse("http://127.0.0.1:1/").expect("a URL"), wanted, None, &Metrics::new(), Dns::new(Places::default()))
    }

    fn is_ready(future: &mut Pin<Box<dyn Future<Output = ()> + Send>>) -> bool {
        future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn the_same_bytes_stay_the_same_document_and_bad_ones_replace_nothing() {
        let remote = remote();

        assert_eq!(remote.accept_new(b"bad".to_vec(), None), Came::Nothing);
        assert_eq!(remote.generation(), 0);
        assert_eq!(remote.accept_new(b"good 1".to_vec(), None), Came::Changed);
        let first = remote.generation();
        assert_eq!(remote.accept_new(b"good 1".to_vec(), None), Came::Same);
        assert_eq!(remote.accept_new(b"bad".to_vec(), None), Came::Nothing);
        assert_eq!(remote.generation(), first);
        assert_eq!(remote.accept_new(b"good 2".to_vec(), None), Came::Changed);
        assert!(remote.generation() > first);
    }

    #[tokio::test]
    async fn whoever_lacks_something_waits_for_one_fetch_and_then_for_the_cooldown() {
        let remote = remote();
        let mut first = remote.refresh(0);
        assert!(!is_ready(&mut first), "the first fetch is on its way");
        remote.accept_new(b"good 1".to_vec(), None);
        remote.over(Came::Changed);
        first.await;
        let seen = remote.generation();

        assert!(is_ready(&mut remote.refresh(0)), "another one is there already");
        let (mut one, mut other) = (remote.refresh(seen), remote.refresh(seen));
        assert!(!is_ready(&mut one) && !is_ready(&mut other));
        remote.over(Came::Same);
        one.await;
        other.await;

        assert!(is_ready(&mut remote.refresh(seen)), "barred for a while: the last fetch of this kind brought nothing new");
    }
}
