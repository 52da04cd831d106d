//! Sends spans to a collector, a batch at a time (OTLP over HTTP, <https://opentelemetry.io/docs/specs/otlp/>).
//!
//! A batch that the collector cannot take just now is sent again, ever later, until its patience is over; meanwhile others wait in the queue
//! as far as there is room. A collector that is away costs counts and a line in the log now and then.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use frontgate_filters::words::url::Url;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tokio::sync::watch;

use super::otlp::{Came, came, request};
use super::queue::{Queue, Spans};
use crate::discovery::dns::Dns;
use crate::telemetry::{Metrics, SpanLoss, SpanMetrics, Sparing};
use crate::upstream::Pool;
use crate::upstream::balance::random;
use crate::upstream::documents::fetch::{self, ADDRESSES, Wish};

/// How a collector is sent to. Where a reload changes none of it, the same queue goes on.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Terms {
    /// Where to.
    pub url: Url,
    /// With these fields.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// What the gateway says of itself: a `Resource`.
    pub resource: Vec<u8>,
    /// How long one try may take.
    pub timeout: Duration,
    /// How long all tries of a batch may take.
    pub patience: Duration,
    /// How long spans wait for others at most.
    pub delay: Duration,
    /// How many may wait.
    pub most: usize,
    /// How many are sent at once.
    pub batch: usize,
}

/// The first pause after a try that failed, and the longest one.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// The most of an answer that is read.
const ANSWER: usize = 64 * 1024;

/// Sends what it is given, in the background. Dropped, it sends what is left, and ends.
pub(super) struct Exporter {
    sender: Arc<Sender>,
    started: AtomicBool,
}

struct Sender {
    terms: Terms,
    pool: Arc<Pool>,
    dns: Arc<Dns>,
    queue: Queue,
    metrics: Arc<SpanMetrics>,
    told: Sparing,
    /// Until when all of it has to be over, once it is to end; and whether it has ended.
    leaving: watch::Sender<Option<Instant>>,
    ended: watch::Sender<bool>,
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let until = Instant::now() + self.sender.terms.timeout;
        self.sender.leaving.send_if_modified(|leaving| leaving.is_none().then(|| *leaving = Some(until)).is_some());
    }
}

impl Exporter {
    /// One that has nothing to send yet.
    pub(super) fn new(terms: Terms, metrics: &Metrics, dns: Arc<Dns>) -> Self {
        // No upstream of a configuration has a colon in its name.
        let name = format!("spans:{}", terms.url.authority);
        let counts = metrics.spans();
        let sender = Sender {
            pool: fetch::pool(&name, &terms.url, metrics, terms.timeout),
            dns,
            queue: Queue::new(terms.most, terms.batch, counts.clone()),
            metrics: counts,
            told: Sparing::default(),
            leaving: watch::Sender::new(None),
            ended: watch::Sender::new(false),
            terms,
        };
        Self { sender: Arc::new(sender), started: AtomicBool::new(false) }
    }

    /// Whether this is how it sends.
    pub(super) fn has(&self, terms: &Terms) -> bool {
        self.sender.terms == *terms
    }

    /// The name that its connections are counted under.
    pub(super) fn pool_name(&self) -> &str {
        &self.sender.pool.name
    }

    /// Begins to send, on this runtime.
    pub(super) fn start(&self, runtime: &tokio::runtime::Handle) {
        if !self.started.swap(true, Ordering::AcqRel) {
            runtime.spawn(self.sender.clone().run());
        }
    }

    /// Spans that are to be sent.
    pub(super) fn put(&self, spans: Spans) {
        self.sender.queue.put(spans);
    }

    /// Sends all that is left, each batch once, until then at the latest.
    pub(super) async fn flush(&self, until: Instant) {
        if !self.started.load(Ordering::Acquire) {
            return;
        }
        self.sender.leaving.send_replace(Some(until));
        let mut ended = self.sender.ended.subscribe();
        let _ = tokio::time::timeout_at(until.into(), ended.wait_for(|ended| *ended)).await;
    }
}

impl Sender {
    async fn run(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.terms.delay) => {}
                () = self.queue.full.notified() => {}
                () = self.leaves() => {}
            }
            let is_last = self.leaving.borrow().is_some();
            let mut taken = true;
            while let Some(batch) = self.queue.take() {
                if taken || self.leaving.borrow().is_none() {
                    taken = self.send(batch).await;
                } else {
                    // Whoever takes none of them in the last moments is not asked about the others.
                    self.metrics.lost(SpanLoss::Unreachable, count_of(&batch));
                }
            }
            if is_last {
                self.ended.send_replace(true);
                return;
            }
        }
    }

    /// Waits until it is to end.
    async fn leaves(&self) {
        // The sender is here: it is not gone while this waits.
        let _ = self.leaving.subscribe().wait_for(Option::is_some).await;
    }

    /// Sends a batch until it is taken or given up. Whether the collector has answered for it.
    async fn send(&self, batch: Vec<Spans>) -> bool {
        let count = count_of(&batch);
        let body = Bytes::from(request(&self.terms.resource, &batch));
        drop(batch);
        let end = Instant::now() + self.terms.patience;
        let mut pause = PAUSES.0;
        loop {
            let leaving = *self.leaving.borrow();
            let end = leaving.map_or(end, |leaving| leaving.min(end));
            let (why, after) = match self.post(body.clone(), end.min(Instant::now() + self.terms.timeout)).await {
                Came::Taken(rejected) => {
                    let rejected = rejected.min(count);
                    self.metrics.sent(count - rejected);
                    if rejected > 0 {
                        self.lost(SpanLoss::Rejected, rejected, "it rejected some of them");
                    }
                    return true;
                }
                Came::Refused(why) => {
                    self.lost(SpanLoss::Rejected, count, &why);
                    return true;
                }
                Came::NotNow(why, after) => (why, after),
            };
            // All of them at once would come back at once, too.
            let jitter = pause.mul_f64((random() >> 11) as f64 / (1_u64 << 53) as f64);
            let pausing = after.unwrap_or(pause / 2 + jitter);
            // In its last moments it does not wait.
            if self.leaving.borrow().is_some() || Instant::now() + pausing >= end {
                self.lost(SpanLoss::Unreachable, count, &why);
                return false;
            }
            tokio::select! {
                () = tokio::time::sleep(pausing) => {}
                () = self.leaves() => {}
            }
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    fn lost(&self, loss: SpanLoss, count: u64, why: &str) {
        self.metrics.lost(loss, count);
        if let Some(untold) = self.told.happened(Instant::now()) {
            let others = Sparing::words(untold, "frontgate_spans_dropped_total");
            log::warn!("the collector at {} has not taken {count} spans: {why}. {others}", self.terms.url.authority);
        }
    }

    /// Sends them once.
    async fn post(&self, body: Bytes, deadline: Instant) -> Came {
        let mut wanted = HeaderMap::new();
        wanted.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        wanted.extend(self.terms.headers.iter().cloned());
        let mut why = String::new();
        // Each of a name's addresses, one after the other: where one is dead, the next one may live.
        for _ in 0..ADDRESSES {
            let wish = Wish { method: Method::POST, fields: wanted.clone(), body: body.clone(), most: ANSWER, deadline };
            match fetch::ask(&self.pool, &self.dns, &self.terms.url, wish).await {
                Ok(answer) => return came(answer.head.status.as_u16(), &answer.head.headers, &answer.body),
                Err(failed) => why = failed,
            }
            if self.pool.endpoints().len() < 2 || Instant::now() >= deadline {
                break;
            }
        }
        Came::NotNow(why, None)
    }
}

fn count_of(batch: &[Spans]) -> u64 {
    batch.iter().map(|spans| u64::from(spans.count)).sum()
}
