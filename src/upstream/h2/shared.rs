//! What is known of one connection by all who have to do with it: its driver, the pool, its streams, and those who wait for room.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::uri::Scheme;
use tokio::sync::Notify;

use crate::config::model::UpstreamProtocol;
use crate::upstream::cause::Cause;
use crate::upstream::pool::Endpoint;

/// How long a connection is kept that nobody has used yet.
const UNUSED: Duration = Duration::from_secs(1);

/// Those who wait for room.
#[derive(Default)]
pub(super) struct Queue {
    pub waiting: AtomicUsize,
    pub changed: Notify,
}

impl Queue {
    /// Something has changed for those who wait, if anybody does.
    fn tell(&self) {
        if self.waiting.load(Ordering::Relaxed) > 0 {
            self.changed.notify_waiters();
        }
    }
}

/// What a connection's driver, its pool and its streams know of it. All of them are on one thread: nothing here is ever waited for.
pub(super) struct Shared {
    /// How many streams there are, how many there ever were, and of how many the client takes nothing just now.
    pub streams: AtomicUsize,
    pub opened: AtomicU64,
    pub held_up: AtomicUsize,
    /// How often something has come.
    pub received: AtomicU64,
    /// Whether it takes no new streams.
    pub retired: AtomicBool,
    /// Whether it was found dead.
    pub dead: AtomicBool,
    /// Whether it carries gRPC.
    pub grpc: AtomicBool,
    endpoint: Arc<Endpoint>,
    /// Why nothing more could be read; 0 for no reason.
    broken: AtomicU32,
    /// When it was used last, and for how long it is kept after that, in milliseconds since it began.
    began: Instant,
    used: AtomicU64,
    pub idle: AtomicU64,
    queue: Arc<Queue>,
}

impl Shared {
    /// A connection that begins now.
    pub(super) fn new(endpoint: Arc<Endpoint>, began: Instant, queue: Arc<Queue>) -> Self {
        Self {
            streams: AtomicUsize::new(0),
            opened: AtomicU64::new(0),
            held_up: AtomicUsize::new(0),
            received: AtomicU64::new(0),
            retired: AtomicBool::new(false),
            dead: AtomicBool::new(false),
            grpc: AtomicBool::new(false),
            endpoint,
            broken: AtomicU32::new(0),
            began,
            used: AtomicU64::new(0),
            idle: AtomicU64::new(UNUSED.as_millis() as u64),
            queue,
        }
    }

    /// It is used now.
    pub(super) fn is_used(&self) {
        self.used.store(self.began.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    /// Nothing more can be read, for this reason. What TLS says is said once, and is the reason of all that follows.
    pub(super) fn broke(&self, cause: Cause) {
        if self.broken.load(Ordering::Relaxed) == 0 || cause.is_of_tls() {
            self.broken.store(cause.number(), Ordering::Relaxed);
        }
    }

    /// Whether it is one in clear text.
    pub(super) fn is_clear(&self) -> bool {
        self.endpoint.tls().is_none()
    }

    /// Why it ended before it was greeted.
    pub(super) fn why(&self) -> Cause {
        Cause::numbered(self.broken.load(Ordering::Relaxed)).unwrap_or(Cause::Closed)
    }

    /// Until when it is kept without a stream.
    pub(super) fn kept_until(&self) -> Instant {
        self.began + Duration::from_millis(self.used.load(Ordering::Relaxed) + self.idle.load(Ordering::Relaxed))
    }
}

/// Room for one stream, until it is dropped.
pub(super) struct Place(Arc<Shared>);

impl Place {
    /// On this connection.
    pub(super) fn take(shared: &Arc<Shared>) -> Self {
        shared.streams.fetch_add(1, Ordering::Relaxed);
        shared.opened.fetch_add(1, Ordering::Relaxed);
        Self(shared.clone())
    }

    /// How often something has come on the connection.
    pub(super) fn received(&self) -> u64 {
        self.0.received.load(Ordering::Relaxed)
    }

    /// Whether it was found dead.
    pub(super) fn is_dead(&self) -> bool {
        self.0.dead.load(Ordering::Relaxed)
    }

    /// Whether its endpoint may be spoken to in HTTP/1.1 as well; then it is, for a while.
    pub(super) fn falls_back(&self) -> bool {
        let endpoint = &self.0.endpoint;
        let may = endpoint.protocol == UpstreamProtocol::Auto;
        if may {
            endpoint.note_http1();
        }
        may
    }

    /// It takes no new streams.
    pub(super) fn retire(&self) {
        self.0.retired.store(true, Ordering::Relaxed);
    }

    /// Its peer may be one that takes offence at being asked whether it lives.
    pub(super) fn carries_grpc(&self) {
        self.0.grpc.store(true, Ordering::Relaxed);
    }

    /// One client more takes nothing of its answer, or one less.
    pub(super) fn hold_up(&self, more: bool) {
        match more {
            true => self.0.held_up.fetch_add(1, Ordering::Relaxed),
            false => self.0.held_up.fetch_sub(1, Ordering::Relaxed),
        };
    }

    pub(super) fn scheme(&self) -> Scheme {
        if self.0.endpoint.tls().is_some() { Scheme::HTTPS } else { Scheme::HTTP }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let shared = &self.0;
        shared.is_used();
        shared.streams.fetch_sub(1, Ordering::Relaxed);
        shared.queue.tell();
    }
}
