//! A client's HTTP/2 connection: `h2` speaks the protocol; here its streams are taken, and each wait that none of them has is bounded.
//!
//! It ends when it was idle for too long, when it is old, when the gateway drains, and when its client floods it. What one connection may cost
//! is bounded by its windows, by what is held of each answer, by the streams there may be and by the size of their heads.

mod below;
mod frames;
mod noise;
mod stream;

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::Reason;
use h2::server::Builder;
use pingora_core::apps::HttpServerApp as _;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::server::ShutdownWatch;
use pingora_proxy::ProxyHttp;
use tokio::sync::Notify;

use super::Door;
use super::h1::{H1, Seat};
use super::row::Row;
use super::rules::{Keeper, Rules};
use crate::telemetry::TurnedAway;
use crate::upstream::balance::random;
use crate::upstream::timer::Timer;
use below::Below;
pub(crate) use below::Flow;
pub(crate) use stream::{Stream, take};

/// The most that is held of an answer's body for a client that does not take it, beside what the socket holds.
const BUFFER: usize = 32 << 10;
/// What a client may send of one upload, and of all on its connection, before somebody takes it. The first fills a line of 20 Mbit/s at a
/// distance of 100 ms; the second is what a client can make the gateway hold that sends to upstreams which do not read, and is large enough for
/// some streams to stand still without holding up the others.
const WINDOWS: (u32, u32) = (256 << 10, 2 << 20);
/// How much small frames of uploads may cost a connection beside what they carry, as `h2` counts it, until they are gathered: a stream's window
/// full of messages of sixteen bytes.
const SMALL_FRAMES: usize = 4 << 20;
/// What the size of a field is, beside its name and value, as HTTP/2 counts it (RFC 9113, section 6.5.2).
const FIELD: usize = 32;
/// How long is waited for a client that floods to take the word that it was too much.
const LAST_WORD: Duration = Duration::from_secs(1);
/// When the gateway drains, connections are asked to end one after the other, so that their clients do not all come back elsewhere at once:
/// so far apart, but all within half of the time that the drain has.
const APART: Duration = Duration::from_millis(1);

/// How long it takes to ask this many connections to end, in a drain of this length.
pub(crate) fn spread(connections: usize, drain: Duration) -> Duration {
    APART.saturating_mul(u32::try_from(connections).unwrap_or(u32::MAX)).min(drain / 2)
}

/// A random part of this time.
fn part_of(time: Duration) -> Duration {
    time.mul_f64((random() >> 11) as f64 / (1_u64 << 53) as f64)
}

/// A connection's open streams.
struct Streams {
    seat: Arc<Seat>,
    none: Notify,
}

/// One of them, for as long as it lives.
struct Open(Arc<Streams>);

impl Open {
    fn new(streams: &Arc<Streams>) -> Self {
        streams.seat.flow.open.fetch_add(1, Ordering::AcqRel);
        Self(streams.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.0.seat.flow.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.none.notify_one();
        }
    }
}

impl Streams {
    /// Waits until no stream is open, and then for as long as a connection may be idle.
    async fn idle(&self, keeper: &dyn Keeper) {
        let flow = &self.seat.flow;
        let mut timer = Timer::new();
        loop {
            while flow.open.load(Ordering::Acquire) > 0 {
                self.none.notified().await;
            }
            let since = Instant::now();
            let due = since + keeper.rules().keepalive;
            poll_fn(|cx| timer.poll_idle(cx, since, due)).await;
            // Whoever has begun to ask is not idle.
            if !flow.is_midway() {
                return;
            }
        }
    }
}

fn options(rules: &Rules) -> Builder {
    let mut options = Builder::new();
    // Our own check of a head is the stricter one, and says why.
    let list = rules.head.bytes + FIELD * rules.head.lines;
    options
        .enable_connect_protocol()
        .max_send_buffer_size(BUFFER)
        .initial_window_size(WINDOWS.0)
        .initial_connection_window_size(WINDOWS.1)
        .data_frame_budget(SMALL_FRAMES)
        .max_header_list_size(u32::try_from(list).unwrap_or(u32::MAX))
        // Whoever takes all of its requests back at once may do so; over and over it is noise.
        .max_pending_accept_reset_streams(rules.streams.get() as usize)
        .max_concurrent_streams(rules.streams.get());
    options
}

/// Counts an HTTP/2 connection for as long as it lives.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(all: &Arc<AtomicUsize>) -> Self {
        all.fetch_add(1, Ordering::AcqRel);
        Self(all.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Waits until the connection should take no more requests: it is old, or the gateway drains and its turn has come.
async fn leave(since: Instant, rules: Rules, all: &AtomicUsize, mut shut: ShutdownWatch) {
    let mut timer = Timer::new();
    // Those that were opened together do not end together.
    let old = since + rules.max_age - part_of(rules.max_age / 10);
    tokio::select! {
        biased;
        // A sender that is gone is an end, too.
        _ = shut.wait_for(|shut| *shut) => {}
        () = poll_fn(|cx| timer.poll(cx, Some(old))) => return,
    }
    tokio::time::sleep(part_of(spread(all.load(Ordering::Acquire).saturating_sub(1), rules.drain))).await;
}

/// Whether a connection ended because its client was too much for it.
fn is_flood(error: &h2::Error) -> bool {
    error.reason() == Some(Reason::ENHANCE_YOUR_CALM)
}

/// Serves a connection that began with HTTP/2's preface, until it ends.
pub(super) async fn serve<P>(door: &Door<P>, h1: H1, seat: Arc<Seat>, digest: Arc<ProxyDigest>, shut: &ShutdownWatch)
where
    P: ProxyHttp + Send + Sync + 'static,
    P::CTX: Send + Sync,
{
    let Door { proxy, keeper, .. } = door;
    let (rules, _counted) = (keeper.rules(), Counted::new(&door.http2));
    seat.flow.streams.store(rules.streams.get(), Ordering::Relaxed);
    let accepted = h1.idle_since();
    let (io, read, count) = h1.into_parts();
    let below = Below::new(io, read, accepted, keeper.clone(), seat.clone(), count);
    let Ok(mut connection) = options(&rules).handshake::<_, Bytes>(below).await else { return };
    let streams = Arc::new(Streams { seat: seat.clone(), none: Notify::new() });
    let leave = leave(accepted, rules, &door.http2, shut.clone());
    tokio::pin!(leave);
    let (mut is_leaving, mut row) = (false, Row::default());
    let flooded = || door.turn_away(TurnedAway::Flood, seat.conn.peer);
    loop {
        let accepted = tokio::select! {
            biased;
            () = poll_fn(|_| seat.flow.poll_flooded()) => {
                connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                let _ = tokio::time::timeout(LAST_WORD, poll_fn(|cx| connection.poll_closed(cx))).await;
                return flooded();
            }
            () = &mut leave, if !is_leaving => {
                // Whoever has asked by then is answered.
                connection.graceful_shutdown();
                is_leaving = true;
                continue;
            }
            accepted = poll_fn(|cx| row.follow(connection.poll_accept(cx))) => accepted,
            () = streams.idle(&**keeper) => return,
        };
        match accepted {
            Some(Ok((request, answer))) => {
                if !is_leaving && keeper.is_overloaded() {
                    connection.graceful_shutdown();
                    is_leaving = true;
                }
                let session = stream::session(request, answer, digest.clone());
                let (proxy, shut, open) = (proxy.clone(), shut.clone(), Open::new(&streams));
                tokio::spawn(async move {
                    let _open = open;
                    proxy.process_new_http(session, &shut).await;
                });
                row.one_more().await;
            }
            Some(Err(error)) if is_flood(&error) => return flooded(),
            None | Some(Err(_)) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_asked_to_end_apart_from_each_other_within_half_of_a_drain() {
        let drain = Duration::from_secs(30);

        assert_eq!(spread(0, drain), Duration::ZERO);
        assert_eq!(spread(500, drain), Duration::from_millis(500));
        assert_eq!(spread(50_000, drain), drain / 2);
        assert_eq!(spread(usize::MAX, Duration::ZERO), Duration::ZERO);
    }

    #[test]
    fn a_part_of_a_time_is_anywhere_in_it() {
        let time = Duration::from_secs(100);
        let parts: Vec<Duration> = (0..1000).map(|_| part_of(time)).collect();

        assert!(parts.iter().all(|part| *part < time));
        for tenth in 0..10 {
            let count = parts.iter().filter(|part| part.as_secs() / 10 == tenth).count();
            assert!((50..200).contains(&count), "{count} of 1000 in one tenth");
        }
    }
}
