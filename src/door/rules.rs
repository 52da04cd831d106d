//! What a listener asks of the gateway: the rules for its clients, and the answer to what is no request.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use super::conn::Conn;
use super::wire::{HeadLimits, Refusal};

/// What a connection asks of the gateway.
pub(crate) trait Keeper: Send + Sync + 'static {
    /// The rules in force, asked once a request.
    fn rules(&self) -> Rules;
    /// The answer to a request that no hook will see, counted and logged: a whole HTTP/1.1 response that closes the connection.
    fn refuse(&self, refusal: Refusal, conn: &Conn) -> Vec<u8>;
    /// The answer to a request on a connection for which there is no room: a whole HTTP/1.1 response that closes it. Neither counted among the
    /// requests nor logged: it may be one of a flood.
    fn has_no_room(&self, _client: SocketAddr) -> Vec<u8> {
        Vec::new()
    }
    /// Whether the process is on its way out: then answers close their connections.
    fn is_draining(&self) -> bool;
    /// Whether there is more to do than can be done: then answers close their connections, too.
    fn is_overloaded(&self) -> bool {
        false
    }
}

/// What a client may send, and how slowly.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// How large a head may be.
    pub head: HeadLimits,
    /// How long a connection may be idle between two requests.
    pub keepalive: Duration,
    /// How long a connection may take until HTTP begins.
    pub handshake_timeout: Duration,
    /// How long a head may take.
    pub header_timeout: Duration,
    /// How long a body may keep us waiting, and one second more for every 500 bytes.
    pub body_timeout: Duration,
    /// How long a client that does not read may keep us waiting, and one second more for every 500 bytes.
    pub write_timeout: Duration,
    /// Whether a client that closed its half of the connection still gets its answer.
    pub half_close: bool,
    /// How long a tunnel may be idle.
    pub tunnel: Duration,
    /// How many connections there may be on all listeners, and of one client.
    pub connections: Option<NonZeroU32>,
    pub connections_per_client: Option<NonZeroU32>,
    /// How many requests may be open at once on an HTTP/2 connection.
    pub streams: NonZeroU32,
    /// How long an HTTP/2 connection takes requests.
    pub max_age: Duration,
    /// How long a drain may take.
    pub drain: Duration,
}
