//! Clients that ask all the time and count what fails: over HTTP/1, HTTP/2 and TLS with connections that stay, and over WebSockets.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use crate::harness::client::read_reply;
use crate::harness::{Reply, raw};
use crate::tls::authority::Authority;
use crate::websocket::socket::{GOING_AWAY, Over, Socket, frame, open, run_within};

/// A client's connection over TLS.
pub(super) type Secure = StreamOwned<ClientConnection, TcpStream>;

/// A new one to `shop.example`.
pub(super) fn secure(authority: &Authority, address: SocketAddr) -> Secure {
    let name = ServerName::try_from("shop.example").unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(authority.client(None, &["http/1.1"])), name).unwrap(), raw(address))
}

/// Asks for this on a connection that stays.
pub(super) fn ask(stream: &mut (impl Read + Write), path: &str) -> Option<Reply> {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: shop.example\r\n\r\n").as_bytes()).ok()?;
    read_reply(stream, false)
}

/// How many requests all of them ask a second.
const RATE: f64 = 500.0;

/// What came of all of them.
pub(super) struct Tally {
    /// How long each waits from one request to the next.
    pace: Duration,
    began: Instant,
    /// They stop.
    pub stop: AtomicBool,
    /// Answers.
    pub answered: AtomicUsize,
    /// Connections that were made.
    pub connections: AtomicUsize,
}

impl Tally {
    /// Of so many clients.
    pub(super) fn of(clients: usize) -> Self {
        Self {
            pace: Duration::from_secs_f64(clients as f64 / RATE),
            began: Instant::now(),
            stop: AtomicBool::new(false),
            answered: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
        }
    }

    /// Whether there were as many requests as there were to be.
    pub(super) fn kept_its_rate(&self) -> bool {
        self.answered.load(Ordering::SeqCst) as f64 >= 0.9 * RATE * self.began.elapsed().as_secs_f64()
    }

    /// How long the client waits whose next request is due then; who is late asks at once, and makes up for it.
    fn pause(&self, due: &mut Instant) -> Duration {
        *due += self.pace;
        due.saturating_duration_since(Instant::now())
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::SeqCst)
    }

    fn answered(&self) {
        self.answered.fetch_add(1, Ordering::SeqCst);
    }

    fn connected(&self) {
        self.connections.fetch_add(1, Ordering::SeqCst);
    }
}

/// The end of a client that hangs.
const END: Duration = Duration::from_secs(300);

/// Asks on one connection after the other; the next one where the server says that it closes this one. No answer fails the test.
pub(super) fn over_http1<S: Read + Write>(tally: &Tally, connect: impl Fn() -> S) {
    let mut due = Instant::now();
    while tally.goes_on() {
        let mut stream = connect();
        tally.connected();
        while tally.goes_on() {
            let reply = ask(&mut stream, "/").expect("an answer");
            assert_eq!((reply.status, reply.whole), (200, true), "{}", reply.head);
            tally.answered();
            if reply.header("connection") == Some("close") {
                break;
            }
            std::thread::sleep(tally.pause(&mut due));
        }
    }
}

/// The same over HTTP/2, where the server says by GOAWAY that it takes no more.
pub(super) fn over_http2(tally: &Tally, address: SocketAddr) {
    run_within(END, async {
        let mut due = Instant::now();
        while tally.goes_on() {
            let socket = tokio::net::TcpStream::connect(address).await.expect("the gateway listens");
            let (mut client, connection) = h2::client::handshake(socket).await.expect("HTTP/2 is spoken");
            tokio::spawn(async move {
                let _ = connection.await;
            });
            tally.connected();
            while tally.goes_on() {
                // What it has not begun with it may ask of another one.
                let Ok(ready) = client.ready().await else { break };
                client = ready;
                let request = http::Request::get("http://shop.example/").body(()).unwrap();
                let Ok((answer, _)) = client.send_request(request, true) else { break };
                let answer = match answer.await {
                    Ok(answer) => answer,
                    // Sent while the server said that it takes no more: it says that it has not looked at it.
                    Err(error) if error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM) => break,
                    Err(error) => panic!("a request failed: {error}"),
                };
                assert_eq!(answer.status(), 200);
                let mut body = answer.into_body();
                while let Some(data) = body.data().await {
                    let length = data.expect("all of the body").len();
                    let _ = body.flow_control().release_capacity(length);
                }
                tally.answered();
                tokio::time::sleep(tally.pause(&mut due)).await;
            }
        }
    });
}

/// Sends messages and waits for each of them to come back; opens another WebSocket where the server goes away, and sends again what was not
/// answered by then.
pub(super) fn over_websockets(tally: &Tally, address: SocketAddr) {
    run_within(END, async {
        let mut due = Instant::now();
        while tally.goes_on() {
            let mut socket = open(address, Over::Http1, "/").await;
            tally.connected();
            while tally.goes_on() {
                if !message(&mut socket).await {
                    break;
                }
                tally.answered();
                tokio::time::sleep(tally.pause(&mut due)).await;
            }
        }
    });
}

/// Whether a message came back, and not the server's goodbye, which is answered.
async fn message(socket: &mut Socket) -> bool {
    socket.send(&frame(1, true, b"hello")).await;
    match socket.frame().await {
        (1, said) if said == b"hello" => true,
        (8, said) => {
            assert_eq!((8, &said[..]), (GOING_AWAY.0, &GOING_AWAY.1[..]));
            socket.send(&frame(8, true, &GOING_AWAY.1)).await;
            false
        }
        other => panic!("{other:?}"),
    }
}
