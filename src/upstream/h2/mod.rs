//! HTTP/2 to an upstream: a request is a stream on a connection that it shares with others.
//!
//! The `h2` crate speaks the protocol. Here connections are made, shared, watched and left: each worker thread has its own, so that none
//! is waited for across threads. Deadlines are none of a connection's concern: whoever has waited long enough drops its [`Stream`], which
//! is reset, and its neighbours never know. That a connection is dead is found by its own silence ([`pulse`]).

mod answer;
mod drive;
mod pool;
mod pulse;
mod shared;
mod stream;
#[cfg(test)]
mod tests;

use std::time::Duration;

use ::h2::client::Builder;

pub(crate) use pool::{alone, open, pooled};
pub(crate) use stream::Stream;

/// HTTP/2, as protocols are named in a handshake (RFC 7301).
const H2: &[u8] = b"h2";
/// How much an upstream may send on one stream ahead of who reads it.
const STREAM_WINDOW: u32 = 512 << 10;
/// The same for all streams of a connection together.
const CONNECTION_WINDOW: u32 = 16 << 20;
/// A connection with so many streams whose clients do not read takes no new one: what is held for them must not become its whole window.
const MOST_HELD_UP: usize = (CONNECTION_WINDOW / STREAM_WINDOW / 2) as usize;
/// The most streams on one connection, however many its peer allows.
const MOST_STREAMS: usize = 100;
/// The most bytes of an upload that a stream holds for the peer's window.
const SEND_BUFFER: usize = 128 << 10;
/// The largest head, as HTTP/2 counts it (RFC 9113, section 6.5.2), and the most fields.
const HEAD: (u32, usize) = (256 << 10, 256);
/// How many streams that were reset here, and for how long, are remembered: what still comes for them is passed over in silence.
const RESET: (usize, Duration) = (512, Duration::from_secs(10));
/// How many streams a peer allows that has not said so yet. No peer says this number.
const UNTOLD: usize = usize::MAX / 2;

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .max_header_list_size(HEAD.0)
        .max_concurrent_reset_streams(RESET.0)
        .reset_stream_duration(RESET.1)
        // What arrives for streams that are forgotten is no attack: this side has ended them.
        .max_local_error_reset_streams(None)
        .initial_max_send_streams(UNTOLD)
        .max_concurrent_streams(0)
        .enable_push(false);
    builder
}
