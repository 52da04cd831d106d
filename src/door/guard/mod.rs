//! The guard around each client connection: deadlines for the head, the body and the writes, one strict reading of the framing, and
//! refusals in this gateway's own words.
//!
//! Pingora reads from the guard as from a socket. It is given a request's bytes only when the whole head has been checked, and never a
//! byte beyond the request's end: what a client sends early waits here for its turn.

mod read;
mod refusal;
mod stream;
mod write;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use pingora_core::protocols::Stream;
use pingora_core::protocols::raw_connect::ProxyDigest;
use tokio::time::Sleep;

use self::refusal::Refusing;
use super::conn::Conn;
use super::outgoing::Outgoing;
use super::patience::Patience;
use super::wire::{BodyScan, HeadLimits, HeadScan, Refusal};
use crate::upstream::deadline::socket::Watchdog;

/// What the guard asks of the gateway.
pub trait Keeper: Send + Sync + 'static {
    /// The rules in force, asked once a request.
    fn rules(&self) -> Rules;
    /// The answer to a request that no hook will see, counted and logged: a whole HTTP/1.1 response that closes the connection.
    fn refuse(&self, refusal: Refusal, conn: &Conn) -> Vec<u8>;
}

/// What a client may send, and how slowly.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// How large a head may be.
    pub head: HeadLimits,
    /// How long a connection may be idle between two requests.
    pub keepalive: Duration,
    /// How long a head may take.
    pub header_timeout: Duration,
    /// How long a body may keep us waiting, and one second more for every 500 bytes.
    pub body_timeout: Duration,
    /// How long a client that does not read may keep us waiting, and one second more for every 500 bytes.
    pub write_timeout: Duration,
}

/// A client's stream with the guard in front.
pub struct Guard {
    io: Stream,
    conn: Arc<Conn>,
    keeper: Arc<dyn Keeper>,
    watchdog: Arc<Watchdog>,
    digest: Arc<ProxyDigest>,
    rules: Rules,
    /// The request being read, as `Conn::begun` counts.
    request: u32,
    in_head: bool,
    head: HeadScan,
    body: BodyScan,
    /// Bytes that were read and not handed on; the first `ready` of them may be.
    held: BytesMut,
    ready: usize,
    /// When the head began; for a connection's first one, when it was accepted.
    head_began: Option<Instant>,
    /// Since when the connection has been idle, and the timer that looks at it: it is not set anew for every request, but looks again
    /// when it fires.
    idle_since: Instant,
    idle: Option<Pin<Box<Sleep>>>,
    reading: Patience,
    writing: Patience,
    outgoing: Outgoing,
    refusing: Option<Refusing>,
    _count: Box<dyn Send + Sync>,
}

impl Guard {
    /// Guards `io`; `count` is dropped with it.
    pub fn new(io: Stream, conn: Arc<Conn>, keeper: Arc<dyn Keeper>, watchdog: Arc<Watchdog>, count: Box<dyn Send + Sync>) -> Self {
        let head = pingora_http::ResponseHeader::build_no_case(200, Some(0)).expect("200 is a status");
        Self {
            digest: Arc::new(ProxyDigest::new(Box::new(head), Some(Box::new(conn.clone())))),
            rules: keeper.rules(),
            io,
            conn,
            keeper,
            watchdog,
            request: 0,
            in_head: false,
            head: HeadScan::default(),
            body: BodyScan::Done,
            held: BytesMut::new(),
            ready: 0,
            head_began: Some(Instant::now()),
            idle_since: Instant::now(),
            idle: None,
            reading: Patience::default(),
            writing: Patience::default(),
            outgoing: Outgoing::default(),
            refusing: None,
            _count: count,
        }
    }

    /// Whether bytes go through as they are.
    fn is_open(&self) -> bool {
        self.conn.begun.load(Ordering::Acquire) == 0 || self.conn.upgraded.load(Ordering::Acquire)
    }

    /// Notices that the next request's turn has come.
    fn turn(&mut self) {
        let begun = self.conn.begun.load(Ordering::Acquire);
        if self.request != begun {
            if self.request > 0 {
                self.rules = self.keeper.rules();
                self.head_began = None;
                self.idle_since = Instant::now();
            }
            self.request = begun;
            self.in_head = true;
            self.head = HeadScan::default();
            self.reading.reset();
            self.writing.reset();
        }
    }

    /// The state that is shared with the hooks.
    pub fn conn(&self) -> &Conn {
        &self.conn
    }
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard").field("io", &self.io).field("conn", &self.conn).finish_non_exhaustive()
    }
}
