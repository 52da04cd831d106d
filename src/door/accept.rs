//! Accepting connections: what a listener does when descriptors run out, and how it ends without losing who has connected.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::socket;
use crate::telemetry::{ListenerMetrics, TurnedAway};
use crate::upstream::{h1, timer};

/// How long accepting rests after it failed: mostly for want of descriptors, which only others' ends give back.
const REST: Duration = Duration::from_millis(50);
/// How long those who have begun to connect are let in once nobody else is: about as long as their last word of the handshake travels.
const TRAVELS: Duration = Duration::from_millis(200);
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
        let reserve = (most / 4).clamp(8, 512);
        let (wanted, kept) = match self {
            Self::Operators => (0, 0),
            Self::Probes => (reserve / 2, reserve / 4),
            Self::Clients => (reserve, reserve / 4 * 3),
        };
        (most.saturating_sub(wanted), most.saturating_sub(kept))
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
    let mut accepting = Accepting { whom, metrics, bounds: whom.bounds(descriptors()), short: false, spares: Vec::new() };
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
    /// Whether descriptors run short: said once, not for every connection.
    short: bool,
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
            Ok((socket, peer)) if self.has_room_for(&socket) => {
                self.short = false;
                take(socket, peer);
            }
            // The kernel gives the lowest number that is free: all below this one are in use.
            Ok((socket, peer)) => {
                if self.end_idle() > 0 || number(&socket) < self.bounds.1 {
                    take(socket, peer);
                } else {
                    dismiss(socket, peer);
                }
                // Who is to end must run for it.
                tokio::task::yield_now().await;
            }
            Err(error) if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => {
                self.end_idle();
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
        if number(socket) >= self.bounds.0 {
            // Somebody may have raised the limit since.
            self.bounds = self.whom.bounds(descriptors());
        }
        number(socket) < self.bounds.0
    }

    /// Ends some of this thread's idle connections, those to upstreams before those of clients, or asks for others' where it has none; how many.
    fn end_idle(&mut self) -> usize {
        let shed = h1::shed();
        let ended = if shed == 0 { timer::end_idle(Instant::now()) } else { 0 };
        if shed + ended == 0 {
            timer::end_idle_elsewhere();
        }
        for _ in 0..ended {
            self.metrics.turned_away(TurnedAway::Idle);
        }
        if !std::mem::replace(&mut self.short, true) {
            log::warn!("file descriptors run short: idle connections are closed early, and new ones where that is not enough");
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
    use super::*;

    #[test]
    fn operators_may_have_the_last_descriptors_and_clients_leave_some_to_their_upstreams() {
        for most in [64, 256, 1024, 65_536, u64::MAX] {
            let [operators, probes, clients] = [For::Operators, For::Probes, For::Clients].map(|whom| whom.bounds(most));
            assert_eq!(operators, (most, most));
            assert!(clients.0 < clients.1 && clients.1 <= probes.0 && probes.0 < probes.1 && probes.1 < most, "{most}");
            assert!(clients.0 >= most / 4 * 3 - 8, "{most}: {clients:?}");
        }
    }
}
