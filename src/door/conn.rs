//! What is known of one connection on both sides of the proxy.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use bytes::Bytes;
use http::HeaderValue;

use super::wire::Refusal;
use crate::upstream::deadline::socket::Lease;

/// What guard and request hooks tell each other about one connection.
#[derive(Debug)]
pub struct Conn {
    /// Which listener took it.
    pub listener: usize,
    /// The client's address.
    pub peer: Option<std::net::SocketAddr>,
    /// How many requests it has begun; 0 while the bytes are none of the guard's business (HTTP/2).
    pub(super) begun: AtomicU32,
    /// How many requests have reached the hooks.
    pub(super) seen: AtomicU32,
    pub(super) upgraded: AtomicBool,
    /// Whether the rest of a chunked answer is at hand.
    pub(super) ending: AtomicBool,
    pub(super) refusal: OnceLock<Refusal>,
    peer_value: OnceLock<HeaderValue>,
    /// The lease of the upstream connection that the current request waits on, or `NOBODY`: not read while the client is slow.
    upstream: AtomicU64,
}

impl Conn {
    /// A connection of this listener.
    pub fn new(listener: usize, peer: Option<std::net::SocketAddr>) -> Self {
        Self {
            listener,
            peer,
            begun: AtomicU32::new(0),
            seen: AtomicU32::new(0),
            upgraded: AtomicBool::new(false),
            ending: AtomicBool::new(false),
            refusal: OnceLock::new(),
            peer_value: OnceLock::new(),
            upstream: AtomicU64::new(NOBODY),
        }
    }
    /// The client's address as a header value, made once a connection.
    pub fn peer_value(&self) -> Option<&HeaderValue> {
        let peer = self.peer?;
        Some(self.peer_value.get_or_init(|| {
            // An owned value is shared without another allocation.
            let text = Bytes::from_owner(peer.ip().to_canonical().to_string());
            HeaderValue::from_maybe_shared(text).expect("an address is plain ASCII")
        }))
    }
    /// A request's head is about to be read.
    pub fn begin(&self) {
        self.begun.fetch_add(1, Ordering::Release);
    }
    /// The request has reached the hooks: what is written from here on is its answer.
    pub fn reached(&self) {
        self.seen.store(self.begun.load(Ordering::Relaxed), Ordering::Release);
    }
    /// The protocol changed: every byte goes through as it is.
    pub fn upgrade(&self) {
        self.upgraded.store(true, Ordering::Release);
    }
    /// The rest of a chunked answer is at hand, and Pingora is about to write it to its last chunk without waiting for anything.
    pub fn ending(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }
    /// Why the guard broke the request off, if it did.
    pub fn refusal(&self) -> Option<Refusal> {
        self.refusal.get().copied()
    }
    /// The upstream connection that the current request waits on.
    pub fn wait_on(&self, upstream: Option<Lease>) {
        self.upstream.store(upstream.map_or(NOBODY, Lease::to_bits), Ordering::Release);
    }

    pub(super) fn upstream(&self) -> Option<Lease> {
        let bits = self.upstream.load(Ordering::Relaxed);
        (bits != NOBODY).then(|| Lease::from_bits(bits))
    }
}

/// No lease has these bits.
const NOBODY: u64 = u64::MAX;
