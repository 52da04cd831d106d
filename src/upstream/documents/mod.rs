//! Documents that live behind a URL, such as key sets: fetched before they are needed, kept while they cannot be had, and never asked for
//! by a crowd.

pub(crate) mod fetch;
mod remote;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use frontgate_filters::filter::document::Wanted;
use frontgate_filters::words::url::Url;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::discovery::dns::Dns;
use crate::telemetry::Metrics;

pub(crate) use self::remote::Remote;

/// The longest pause after a failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// All documents of a gateway, over all its configurations: one that a reload still names goes on as it is, one that none names ends.
pub(crate) struct Documents {
    metrics: Arc<Metrics>,
    dns: Arc<Dns>,
    known: Mutex<HashMap<Name, Weak<Remote>>>,
    begun: mpsc::UnboundedSender<Weak<Remote>>,
    beginning: Mutex<Option<mpsc::UnboundedReceiver<Weak<Remote>>>>,
    settled: AtomicBool,
}

/// What makes two documents one.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Name {
    what: &'static str,
    url: String,
    refresh: Duration,
    stale_for: Duration,
}

impl Documents {
    /// None yet; the names of their hosts are resolved by `dns`.
    pub(crate) fn new(metrics: Arc<Metrics>, dns: Arc<Dns>) -> Arc<Self> {
        let (begun, beginning) = mpsc::unbounded_channel();
        Arc::new(Self {
            metrics,
            dns,
            known: Mutex::default(),
            begun,
            beginning: Mutex::new(Some(beginning)),
            settled: AtomicBool::new(false),
        })
    }

    /// The document at this URL, which from now on is kept fresh for as long as somebody holds it.
    pub(crate) fn get(&self, url: &Url, wanted: Wanted) -> Arc<Remote> {
        let address = format!("{}://{}{}", if url.tls { "https" } else { "http" }, url.authority, url.target);
        let name = Name { what: wanted.what, url: address, refresh: wanted.refresh, stale_for: wanted.stale_for };
        let mut known = self.known.lock();
        if let Some(same) = known.get(&name).and_then(Weak::upgrade) {
            return same;
        }
        // The same document under other timings need not be fetched before it serves.
        let mut kin = known.iter().filter(|(other, _)| other.url == name.url && other.what == name.what);
        let held = kin.find_map(|(_, document)| document.upgrade()).and_then(|kin| kin.held());
        let document = Arc::new(Remote::new(url.clone(), wanted, held, &self.metrics, self.dns.clone()));
        known.retain(|_, document| document.strong_count() > 0);
        known.insert(name, Arc::downgrade(&document));
        // Nobody receives in a gateway that has ended.
        let _ = self.begun.send(Arc::downgrade(&document));
        document
    }

    /// What resolves the names of their hosts.
    pub(crate) fn dns(&self) -> &Arc<Dns> {
        &self.dns
    }

    /// Whether one of them is fetched from the pool of this name.
    pub(crate) fn ask(&self, pool: &str) -> bool {
        self.known.lock().values().filter_map(Weak::upgrade).any(|document| document.pool_name() == pool)
    }

    /// Whether every document of the first configuration has been asked for once, with or without success.
    pub(crate) fn has_settled(&self) -> bool {
        if self.settled.load(Ordering::Acquire) {
            return true;
        }
        let settled = self.known.lock().values().filter_map(Weak::upgrade).all(|document| document.was_asked_for());
        self.settled.fetch_or(settled, Ordering::AcqRel);
        settled
    }

    /// Looks after the documents for as long as the runtime lives.
    pub(crate) async fn run(self: Arc<Self>) {
        let Some(mut beginning) = self.beginning.lock().take() else { return };
        while let Some(document) = beginning.recv().await {
            tokio::spawn(keep(document));
        }
    }
}

/// Keeps one document fresh until nobody holds it.
async fn keep(document: Weak<Remote>) {
    let mut failures = 0_u32;
    loop {
        let Some(this) = document.upgrade() else { return };
        let good = this.fetch().await;
        failures = if good { 0 } else { failures.saturating_add(1) };
        let refresh = this.refresh_every();
        let pause = match failures {
            0 => refresh,
            failures => refresh.min(PATIENCE).min(Duration::from_secs(1 << failures.min(6))),
        };
        let wake = this.wake();
        drop(this);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = wake.notified() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use frontgate_filters::filter::document::RemoteDocument;

    use super::*;
    use crate::discovery::dns::Places;

    fn wanted(what: &'static str, refresh: u64) -> Wanted {
        Wanted { what, accept: "text/plain", refresh: Duration::from_secs(refresh), stale_for: Duration::from_secs(1), check: |_| Ok(()) }
    }

    #[test]
    fn a_document_is_shared_by_those_who_want_the_same_and_ends_with_the_last_of_them() {
        let documents = Documents::new(Metrics::new(), Dns::new(Places::default()));
        let url = Url::parse("http://127.0.0.1:1/keys").expect("a URL");

        let one = documents.get(&url, wanted("key set", 5));
        let again = documents.get(&url, wanted("key set", 5));
        let slower = documents.get(&url, wanted("key set", 6));
        let other = documents.get(&url, wanted("list", 5));

        assert!(Arc::ptr_eq(&one, &again));
        assert!(!Arc::ptr_eq(&one, &slower) && !Arc::ptr_eq(&one, &other));
        assert!(!documents.has_settled(), "nothing was fetched yet");
        drop((one, again, slower, other));
        assert!(documents.has_settled(), "none is left to wait for");
    }

    #[test]
    fn other_timings_begin_with_what_is_there() {
        let documents = Documents::new(Metrics::new(), Dns::new(Places::default()));
        let url = Url::parse("http://127.0.0.1:1/keys").expect("a URL");
        let one = documents.get(&url, wanted("key set", 5));
        one.accept_new(b"keys".to_vec(), None);

        let slower = documents.get(&url, wanted("key set", 6));
        let other = documents.get(&url, wanted("list", 5));

        assert!(one.generation() > 0);
        assert_eq!((slower.generation(), other.generation()), (one.generation(), 0));
    }
}
