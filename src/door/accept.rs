//! Accepting connections: what a listener does when descriptors run out, and how it ends without losing who has connected.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::socket;
use crate::overload::{for_clients, in_use, reserve};
use crate::telemetry::{ListenerMetrics, Sparing, TurnedAway};
use crate::upstream::{h1, timer};

/// How long accepting rests after it failed: mostly for want of descriptors, which only others' ends give back.
const REST: Duration = Duration::from_millis(50);
/// How long those who have begun to connect are let in once nobody else is: about as long as their last word of the handshake travels.
const TRAVELS: Duration = Duration::from_millis(200);
/// From how many fifths of what clients may have on their idle connections make room. That is well below where overload ends, so that they alone
/// neither bring it about nor keep it going.
const IDLE_FIFTHS: u64 = 4;

/// Whom a listener is for. Where descriptors run short, each leaves some to those before it, and to what its own connections need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum For {
    /// Operators, who are let in as long as anybody is.
    Operators,
    /// Probes and scrapes.
    Probes,
    /// Clients.
    Clients,
}

impl For {
    /// How many descriptors are held for it, so that one can be let go at any time: for operators, who are then served, and for clients, who are
    /// told that they are not.
    fn spares(self) -> usize {
        match self {
            Self::Operators => 4,
            Self::Probes => 0,
            Self::Clients => 1,
        }
    }

    /// The first descriptor for which somebody idle should make room, and the first that is too many for a connection here, where there may be
    /// `most` of them.
    fn bounds(self, most: u64) -> (u64, u64) {
        let reserve = reserve(most);
        match self {
            Self::Operators => (most, most),
            Self::Probes => (most.saturating_sub(reserve / 2), most.saturating_sub(reserve / 4)),
            Self::Clients => {
                let all = for_clients(most);
                (all / 5 * IDLE_FIFTHS, all)
            }
        }
    }
}

/// Whether a socket is accepted on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Listening {
    /// It is.
    #[default]
    On,
    /// Nobody begins to connect any more; who has begun is taken.
    Ends,
    /// Somebody else accepts there: who waits is theirs.
    Left,
}

/// Accepts connections for as long as `listening` says so, and then those that have begun by then, unless they are somebody else's. Those for
/// which there is no descriptor to keep are handed to `dismiss` instead.
pub(crate) async fn accept(
    listener: TcpListener,
    whom: For,
    metrics: Arc<ListenerMetrics>,
    mut listening: watch::Receiver<Listening>,
    mut take: impl FnMut(TcpStream, SocketAddr),
    mut dismiss: impl FnMut(TcpStream, SocketAddr),
) {
    let mut accepting = Accepting { whom, metrics, bounds: whom.bounds(descriptors()), is_crowded: false, in_use: 0, spares: Vec::new() };
    let how = loop {
        accepting.hold_spares(&listener);
        let accepted = tokio::select! {
            biased;
            // A sender that is gone is an end, too.
            how = listening.wait_for(|how| *how != Listening::On) => break how.map_or(Listening::Ends, |how| *how),
            accepted = listener.accept() => accepted,
            () = tokio::time::sleep(REST), if accepting.wants_spares() => continue,
        };
        accepting.took(accepted, &mut take, &mut dismiss).await;
    };
    if how == Listening::Left {
        return;
    }
    socket::let_nobody_begin(&listener);
    let last_call = tokio::time::sleep(TRAVELS);
    tokio::pin!(last_call);
    loop {
        let accepted = tokio::select! {
            biased;
            accepted = listener.accept() => accepted,
            () = &mut last_call => return,
        };
        accepting.took(accepted, &mut take, &mut dismiss).await;
    }
}

struct Accepting {
    whom: For,
    metrics: Arc<ListenerMetrics>,
    /// The first descriptors that are many and too many, as of the limit that was last seen.
    bounds: (u64, u64),
    /// Whether descriptors are counted for each connection, because many are in use, and how many were.
    is_crowded: bool,
    in_use: u64,
    /// Descriptors that are let go when there are no others.
    spares: Vec<OwnedFd>,
}

impl Accepting {
    async fn took(
        &mut self,
        accepted: io::Result<(TcpStream, SocketAddr)>,
        take: &mut impl FnMut(TcpStream, SocketAddr),
        dismiss: &mut impl FnMut(TcpStream, SocketAddr),
    ) {
        match accepted {
            Ok((socket, peer)) if self.has_room_for(&socket) => take(socket, peer),
            Ok((socket, peer)) => {
                if self.end_idle(self.in_use - self.bounds.0) > 0 || self.in_use <= self.bounds.1 {
                    take(socket, peer);
                } else {
                    dismiss(socket, peer);
                }
                // Who is to end must run for it.
                tokio::task::yield_now().await;
            }
            Err(error) if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => {
                self.end_idle(1);
                // With one more it is accepted after all, if only to be turned away.
                if self.spares.pop().is_none() {
                    self.metrics.turned_away(TurnedAway::Descriptors);
                    tokio::time::sleep(REST).await;
                }
            }
            Err(error) => {
                self.metrics.turned_away(TurnedAway::Failed);
                if error.kind() != io::ErrorKind::ConnectionAborted {
                    log::warn!("a connection could not be accepted: {error}");
                    tokio::time::sleep(REST).await;
                }
            }
        }
    }

    fn has_room_for(&mut self, socket: &TcpStream) -> bool {
        // The kernel gives the lowest number that is free: all below this one are in use. What else is in use cannot be seen by it: whoever left
        // may have had a low one, which is this one's now.
        if !self.is_crowded && number(socket) < self.bounds.0 {
            return true;
        }
        // Somebody may have raised the limit since.
        self.bounds = self.whom.bounds(descriptors());
        self.in_use = in_use().unwrap_or(0).max(number(socket) + 1);
        self.is_crowded = self.in_use > self.bounds.0 / 2;
        self.in_use <= self.bounds.0
    }

    /// Ends some of this thread's idle connections, at best as many as this, those to upstreams before those of clients, or asks for others'
    /// where it has none; how many.
    fn end_idle(&mut self, wanted: u64) -> usize {
        let shed = h1::shed();
        let ended = if (shed as u64) < wanted { timer::end_idle(Instant::now()) } else { 0 };
        if shed + ended == 0 {
            timer::end_idle_elsewhere();
        }
        for _ in 0..ended {
            if let Some(untold) = self.metrics.turned_away(TurnedAway::Idle) {
                let counted = Sparing::words(untold, "frontgate_connections_refused_total");
                log::warn!("file descriptors run short: a connection was closed early that was idle. {counted}");
            }
        }
        shed + ended
    }

    fn wants_spares(&self) -> bool {
        self.spares.len() < self.whom.spares()
    }

    /// Takes descriptors for bad times, as many as are to be had.
    fn hold_spares(&mut self, listener: &TcpListener) {
        while self.wants_spares() {
            let Ok(spare) = listener.as_fd().try_clone_to_owned() else { return };
            self.spares.push(spare);
        }
    }
}

/// A socket's descriptor, as a number.
fn number(socket: &TcpStream) -> u64 {
    u64::try_from(socket.as_raw_fd()).unwrap_or(0)
}

/// How many descriptors the process may have.
fn descriptors() -> u64 {
    rlimit::Resource::NOFILE.get_soft().unwrap_or(1024)
}

#[cfg(test)]
mod tests {
    use frontgate_filters::words::units::Share;

    use super::*;
    use crate::config::model;

    #[test]
    fn operators_may_have_the_last_descriptors_and_clients_leave_some_to_their_upstreams() {
        for most in [64, 256, 1024, 65_536, u64::MAX] {
            let [operators, probes, clients] = [For::Operators, For::Probes, For::Clients].map(|whom| whom.bounds(most));
            assert_eq!(operators, (most, most));
            assert!(clients.0 < clients.1 && clients.1 <= probes.0 && probes.0 < probes.1 && probes.1 < most, "{most}");
        }
        let clients = |most| For::Clients.bounds(most);
        assert_eq!([64, 256, 1024, 4096].map(clients), [(40, 52), (164, 208), (664, 832), (2968, 3712)]);
    }

    #[test]
    fn idle_connections_make_room_before_they_count_as_overload() {
        let model::Overload { descriptors: Share(first), .. } = model::Overload::default();
        for most in [64, 256, 1024, 4096, 65_536] {
            let (wanted, all) = For::Clients.bounds(most);
            // It ends five percent below where it begins.
            assert!(wanted as f64 <= (first - 0.05) * all as f64 - 2.0, "{most}");
        }
    }
}
