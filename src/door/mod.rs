//! The listeners' side: each connection is accepted, read and answered here, in front of the one proxy they share.
//!
//! HTTP/1 is read by [`h1`]; a connection that begins with HTTP/2's preface is [`h2`]'s from then on. What is known of a connection reaches
//! the request hooks through its digest.
//!
//! Before that, in this order and under one deadline: the bound on all connections, the PROXY header, the bound on one client's, TLS. There is
//! room for HTTP/3 beside them: its connections begin elsewhere, with datagrams and in a task that is not one of a socket, and then pass the
//! same bounds ([`Caps`]), give a [`Conn`] to their requests, and bring those to the proxy as sessions of ours, as HTTP/1 does.

mod accept;
mod bound;
mod caps;
mod conn;
mod entrance;
mod farewell;
pub(crate) mod h1;
pub(crate) mod h2;
mod patience;
mod proxy_line;
mod row;
mod rules;
mod socket;
pub(crate) mod tls;
mod turns;
pub(crate) mod wire;

use std::future::{Future, poll_fn};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::task::Poll;
use std::time::{Duration, Instant};

use pingora_core::apps::HttpServerApp as _;
use pingora_core::protocols::Digest;
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_http::ResponseHeader;
use pingora_proxy::{HttpProxy, ProxyHttp};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};

use crate::telemetry::{NoHandshake, Sparing, TurnedAway};
use crate::upstream::h1::Io;
pub(crate) use accept::{For, Listening, accept};
pub(crate) use bound::{Bound, Handed, Inherited, Role, cannot};
pub(crate) use caps::{Caps, Place};
pub(crate) use conn::{Conn, Fresh};
pub(crate) use entrance::{Ending, Entrance, Terms, lasting};
use h1::Down;
pub(crate) use h1::{H1, Held, Next, Seat};
pub(crate) use h2::spread;
pub(crate) use patience::Patience;
use proxy_line::Introduction;
pub(crate) use row::Row;
pub(crate) use rules::{Keeper, Rules};
pub(crate) use socket::keep_alive;
pub(crate) use turns::Turns;
use wire::Refusal;

/// One listener on one worker thread.
pub(crate) struct Door<P: ProxyHttp> {
    /// The listener, on all threads.
    pub entrance: Arc<Entrance>,
    /// What every listener of the thread leads to.
    pub proxy: Arc<HttpProxy<P>>,
    /// Who knows the rules for clients.
    pub keeper: Arc<dyn Keeper>,
    /// How many connections there are, on all listeners, that have not asked for anything yet.
    pub fresh: Arc<AtomicUsize>,
    /// How many connections there may be, on all listeners.
    pub caps: Arc<Caps>,
    /// How many of them are of HTTP/2.
    pub http2: Arc<AtomicUsize>,
    /// The turns of this thread's handshakes.
    pub turns: Arc<Turns>,
}

/// How long a connection may still ask for something once its listener is closed: it may have been opened, or answered, a moment ago.
pub(crate) const LAST_CALL: Duration = Duration::from_millis(500);

impl<P> Door<P>
where
    P: ProxyHttp + Send + Sync + 'static,
    P::CTX: Send + Sync,
{
    /// Accepts connections for as long as the listener is open.
    pub(crate) async fn listen(self: Arc<Self>, listener: TcpListener) {
        let (door, metrics, listening) = (self.clone(), self.entrance.metrics.clone(), self.entrance.listening());
        let take = move |socket, peer| {
            let Some(place) = door.caps.enter(door.keeper.rules().connections) else {
                return door.dismiss(socket, peer, TurnedAway::Connections);
            };
            // Counted before anything else runs.
            let fresh = Fresh::new(&door.fresh);
            tokio::spawn(door.clone().serve(socket, peer, place, fresh, door.entrance.terms()));
        };
        let door = self.clone();
        let dismiss = move |socket, peer| door.dismiss(socket, peer, TurnedAway::Descriptors);
        accept(listener, For::Clients, metrics, listening, take, dismiss).await;
    }

    /// One connection, one request after the other.
    async fn serve(self: Arc<Self>, mut socket: TcpStream, peer: SocketAddr, mut place: Place, fresh: Fresh, terms: Arc<Terms>) {
        // Heads and bodies leave in one piece each: nothing is gained by waiting for more.
        let _ = socket.set_nodelay(true);
        let connected = self.entrance.metrics.connection();
        let rules = self.keeper.rules();
        let until = Instant::now() + rules.handshake_timeout;
        // On the heap, as all that is rare: what stands in this future is there for as long as the connection.
        let (client, balancer) = match terms.introduction(peer.ip().to_canonical()) {
            Introduction::None => (peer, None),
            Introduction::Required => match Box::pin(introduced(&mut socket, until)).await {
                Some(Some(client)) => (client, Some(peer)),
                Some(None) => (peer, None),
                None => return self.turn_away(TurnedAway::ProxyHeader, Some(peer)),
            },
            Introduction::Refused => return self.turn_away(TurnedAway::ProxyPeer, Some(peer)),
        };
        if !place.of(client.ip(), rules.connections_per_client) {
            return self.dismiss(socket, client, TurnedAway::ConnectionsPerClient);
        }
        let conn = |tls| Arc::new(Conn::new(self.entrance.clone(), terms.ending.clone(), Some(client), balancer, tls));
        let config = terms.tls();
        let is_secure = config.is_some();
        let (io, tls, h2) = if let Some(config) = config {
            match Box::pin(self.handshake(socket, config, client, until)).await {
                Shaken::Tls(accepted) => (Io::Tls(accepted.stream), Some(accepted.facts), accepted.h2),
                Shaken::Clear(socket) => {
                    let h1 = Box::new(H1::new(Io::Tcp(socket), conn(None), self.keeper.clone(), Box::new((connected, place))));
                    return Box::pin(h1.refuse(Refusal::PLAIN_HTTP)).await;
                }
                Shaken::Not => return,
            }
        } else {
            (Io::Tcp(socket), None, terms.h2())
        };
        let conn = conn(tls);
        let seat = Arc::new(Seat::new(conn.clone(), fresh));
        let nothing = ResponseHeader::build_no_case(200, Some(0)).expect("200 is a status");
        let proxy_digest = Arc::new(ProxyDigest::new(Box::new(nothing), Some(Box::new(seat.clone()))));
        let mut h1 = Box::new(H1::new(io, conn, self.keeper.clone(), Box::new((connected, place))));
        let (mut first, mut row) = (true, Row::default());
        let shut = terms.ending.watch();
        let mut closing = shut.clone();
        let closed = closing.wait_for(|shut| *shut);
        tokio::pin!(closed);
        let mut is_closed = false;
        loop {
            let next = poll_fn(|cx| {
                loop {
                    if let Poll::Ready(next) = h1.poll_next(cx, h2 && first) {
                        return Poll::Ready(next);
                    }
                    if !h1.is_between() || !is_closed && closed.as_mut().poll(cx).is_pending() {
                        return row.wait();
                    }
                    if std::mem::replace(&mut is_closed, true) {
                        return row.wait();
                    }
                    if !h1.call_last(LAST_CALL) {
                        // Between two requests nothing is lost by an end.
                        return Poll::Ready(Next::End);
                    }
                    seat.fresh.again();
                }
            })
            .await;
            let request = match next {
                // HTTP/2 was agreed upon, and is not what came: no answer of HTTP/1 would be understood.
                Next::Request(_) | Next::Refused(_) if first && h2 && is_secure => return,
                Next::Request(request) => request,
                Next::End => return h1.part(),
                Next::Refused(refusal) => return Box::pin(h1.refuse(refusal)).await,
                Next::Http2 => return Box::pin(h2::serve(&self, *h1, seat, proxy_digest, &shut)).await,
            };
            first = false;
            *seat.h1.lock() = Some(h1);
            let digest = Digest { proxy_digest: Some(proxy_digest.clone()), ..Digest::default() };
            let session = ServerSession::new_custom(Box::new(Down::new(request, digest)));
            let mut answering = self.proxy.process_new_http(session, &shut);
            poll_fn(|cx| row.follow(answering.as_mut().poll(cx))).await;
            drop(answering);
            let Some(mut again) = seat.h1.lock().take() else { return };
            if !again.turn().await {
                if again.must_linger() {
                    Box::pin(again.linger()).await;
                } else {
                    again.part();
                }
                return;
            }
            h1 = again;
            row.one_more().await;
        }
    }
}

/// What comes of a handshake.
enum Shaken {
    /// A connection over TLS.
    Tls(tls::Accepted),
    /// Nothing: the client speaks HTTP in clear text, and can be told so.
    Clear(TcpStream),
    /// Nothing.
    Not,
}

impl<P: ProxyHttp> Door<P> {
    /// Counts a connection that is closed without a word; the log says so now and then.
    fn turn_away(&self, why: TurnedAway, who: Option<SocketAddr>) {
        if let Some(untold) = self.entrance.metrics.turned_away(why) {
            let (who, why) = (who.map_or(Ipv4Addr::UNSPECIFIED.into(), |who| who.ip().to_canonical()), why.words());
            let counted = Sparing::words(untold, "frontgate_connections_refused_total");
            log::warn!("{}: a connection of {who} was closed: {why}. {counted}", self.entrance.address);
        }
    }

    /// Counts a connection for which there is no room, and closes it: with a word where its client has asked already.
    fn dismiss(&self, socket: TcpStream, client: SocketAddr, why: TurnedAway) {
        self.turn_away(why, Some(client));
        // With what it is registered for goes the descriptor that this takes, too.
        if let Ok(socket) = socket.into_std() {
            farewell::part(socket, self.entrance.terms().tls().is_none().then_some(|| self.keeper.has_no_room(client)));
        }
    }

    /// The handshake of a connection over TLS.
    async fn handshake(&self, socket: TcpStream, config: Arc<ServerConfig>, client: SocketAddr, until: Instant) -> Shaken {
        let began = Instant::now();
        let (shaken, result) = match tls::greeted(&socket, until).await {
            Err(why) => (if why == NoHandshake::PlainHttp { Shaken::Clear(socket) } else { Shaken::Not }, Err(why)),
            Ok(()) => match tls::accept(socket, config, &self.turns, until).await {
                Ok(accepted) => {
                    let version = accepted.facts.version;
                    (Shaken::Tls(accepted), Ok(version))
                }
                Err(why) => (Shaken::Not, Err(why)),
            },
        };
        if let (Some((words, untold)), Err(why)) = (self.entrance.metrics.handshake(result, began.elapsed()), result) {
            tls::tell(self.entrance.address, client, why, words, untold);
        }
        shaken
    }
}

/// For whom the connection is made, where its PROXY header says so; none where no header comes in time.
async fn introduced(socket: &mut TcpStream, until: Instant) -> Option<Option<SocketAddr>> {
    tokio::time::timeout_at(until.into(), proxy_line::read(socket)).await.ok()?.ok()
}

/// The connection that a request came on, and what is known of it.
pub(crate) fn seat_of(session: &ServerSession) -> Option<Arc<Seat>> {
    session.digest()?.proxy_digest.as_ref()?.user_data.as_ref()?.downcast_ref::<Arc<Seat>>().cloned()
}
