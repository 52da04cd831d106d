//! Connections over real sockets. Deadlines pass by a sweep of the timer with a later time: nothing here sleeps.

mod answers;
mod ends;
mod requests;

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use http::StatusCode;
use parking_lot::Mutex;
use pingora_http::ResponseHeader;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::door::wire::HeadLimits;
use crate::exchange::client::Client;
use crate::upstream::timer;

/// The rules, which a test may change at any time.
struct House {
    rules: Mutex<Rules>,
    draining: AtomicBool,
}

impl Keeper for House {
    fn rules(&self) -> Rules {
        *self.rules.lock()
    }
    fn refuse(&self, refusal: Refusal, _: &Conn) -> Vec<u8> {
        format!("HTTP/1.1 {} No\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno", refusal.status).into_bytes()
    }
    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }
}

/// Both ends of a connection.
struct Pair {
    h1: Box<H1>,
    client: TcpStream,
    house: Arc<House>,
}

const SECOND: Duration = Duration::from_secs(1);

fn rules() -> Rules {
    Rules {
        handshake_timeout: 5 * SECOND,
        head: HeadLimits { bytes: 4096, lines: 20, target: 1024 },
        keepalive: 70 * SECOND,
        header_timeout: 10 * SECOND,
        body_timeout: 30 * SECOND,
        write_timeout: 30 * SECOND,
        half_close: false,
        tunnel: 600 * SECOND,
        connections: None,
        connections_per_client: None,
        streams: std::num::NonZeroU32::MIN,
        max_age: 600 * SECOND,
        drain: 30 * SECOND,
    }
}

impl Pair {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let client = TcpStream::connect(listener.local_addr().expect("an address")).await.expect("it listens");
        let (server, peer) = listener.accept().await.expect("a connection");
        client.set_nodelay(true).expect("a flag");
        let house = Arc::new(House { rules: Mutex::new(rules()), draining: AtomicBool::new(false) });
        let conn = Arc::new(Conn::elsewhere(Arc::default(), peer));
        Self { h1: Box::new(H1::new(Io::Tcp(server), conn, house.clone(), Box::new(()))), client, house }
    }

    /// A connection with its first request.
    async fn asking(request: &str) -> (Self, RequestHeader) {
        let mut pair = Self::new().await;
        pair.send(request.as_bytes()).await;
        let request = pair.request().await;
        (pair, request)
    }

    /// Sends, and waits until it is there to be read.
    async fn send(&mut self, bytes: &[u8]) {
        self.client.write_all(bytes).await.expect("it is taken");
        let Io::Tcp(socket) = &self.h1.io else { panic!("a socket") };
        socket.readable().await.expect("it arrives");
    }

    /// What comes next, or nothing yet.
    fn poll_next(&mut self) -> Option<Next> {
        match self.h1.poll_next(&mut Context::from_waker(Waker::noop()), false) {
            Poll::Ready(next) => Some(next),
            Poll::Pending => None,
        }
    }

    async fn request(&mut self) -> RequestHeader {
        match poll_fn(|cx| self.h1.poll_next(cx, false)).await {
            Next::Request(request) => request,
            Next::Refused(refusal) => panic!("{refusal:?}"),
            Next::End | Next::Http2 => panic!("no request"),
        }
    }

    /// Answers, with the whole body where there is one; whether another request may follow.
    async fn answer(&mut self, request: &RequestHeader, head: ResponseHeader, body: Option<&'static str>) -> bool {
        self.h1.queue_head(&head, &request.method, body.is_none());
        if let Some(body) = body {
            self.h1.queue_body(Bytes::from_static(body.as_bytes()), true);
        }
        self.flush().await.expect("it is taken");
        self.h1.turn().await
    }

    async fn flush(&mut self) -> Result<(), Lost> {
        poll_fn(|cx| self.h1.poll_out(cx)).await
    }

    /// The rest of the request's body.
    async fn body(&mut self) -> Result<Vec<u8>, Lost> {
        let mut body = Vec::new();
        while let Some(part) = poll_fn(|cx| self.h1.poll_part(cx)).await? {
            body.extend_from_slice(&part);
        }
        Ok(body)
    }

    fn poll_gone(&mut self) -> Poll<()> {
        self.h1.poll_gone(&mut Context::from_waker(Waker::noop()))
    }

    fn poll_out(&mut self) -> Poll<Result<(), Lost>> {
        self.h1.poll_out(&mut Context::from_waker(Waker::noop()))
    }

    /// All that the client gets, to the end of its connection.
    async fn all(self) -> String {
        let Self { h1, mut client, .. } = self;
        drop(h1);
        let mut all = String::new();
        client.read_to_string(&mut all).await.expect("a clean end");
        all
    }

    /// What the client has got, up to these bytes.
    async fn seen(&mut self, end: &str) -> String {
        let mut seen = Vec::new();
        while !seen.ends_with(end.as_bytes()) {
            let count = self.client.read_buf(&mut seen).await.expect("it is open");
            assert!(count > 0, "{:?} does not end in {end:?}", String::from_utf8_lossy(&seen));
        }
        String::from_utf8(seen).expect("text")
    }
}

fn status(status: StatusCode, length: Option<&str>) -> ResponseHeader {
    let mut head = ResponseHeader::build_no_case(status, Some(2)).expect("a status");
    if let Some(length) = length {
        head.insert_header("content-length", length).expect("a field");
    }
    head
}

fn ok(length: &str) -> ResponseHeader {
    status(StatusCode::OK, Some(length))
}

/// Lets so much time pass for all deadlines.
fn later(time: Duration) {
    timer::sweep(Instant::now() + time);
}
