//! Clients that stop at every byte of everything they can say, on every kind of listener, all at once. For each deadline in turn that one
//! is short and all others are long: who stops in its phase is ended by it, and everybody else is still there.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::harness::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, INITIAL_WINDOW_SIZE, RST_STREAM, frame, get, greeting, head, types,
    window,
};
use crate::harness::origin::response;
use crate::harness::{Gateway, Origin, PATIENCE, raw, yaml};
use crate::tls::authority::{Authority, Directory};

/// The deadlines, by their names in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Handshake,
    Header,
    Body,
    Keepalive,
    Write,
}

impl Phase {
    const ALL: [Self; 5] = [Self::Handshake, Self::Header, Self::Body, Self::Keepalive, Self::Write];

    fn key(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::Header => "header",
            Self::Body => "body",
            Self::Keepalive => "keepalive",
            Self::Write => "write",
        }
    }
}

/// Where a client speaks.
#[derive(Clone)]
struct To {
    address: SocketAddr,
    /// As whom it makes its handshake, on a listener with TLS.
    tls: Option<Arc<ClientConfig>>,
}

impl To {
    fn clear(address: SocketAddr) -> Self {
        Self { address, tls: None }
    }

    /// A session whose handshake is still to be made.
    fn session(&self) -> Option<ClientConnection> {
        let name = ServerName::try_from("shop.example").unwrap();
        Some(ClientConnection::new(self.tls.clone()?, name).unwrap())
    }

    /// A connection on which this was said.
    fn say(&self, said: &[u8]) -> Box<dyn Wire> {
        let mut socket = raw(self.address);
        let Some(session) = self.session() else {
            socket.write_all(said).unwrap();
            socket.set_nonblocking(true).unwrap();
            return Box::new(socket);
        };
        let mut stream = StreamOwned::new(session, socket);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).unwrap();
        }
        stream.write_all(said).unwrap();
        stream.sock.set_nonblocking(true).unwrap();
        Box::new(stream)
    }

    /// How far one stop is from the next: what bytes mean is the same below TLS, where each stop takes a handshake.
    fn step(&self) -> usize {
        if self.tls.is_some() { 7 } else { 1 }
    }
}

trait Wire: Read + Write {}

impl<T: Read + Write> Wire for T {}

/// How a client sees that it was ended.
#[derive(Clone, Copy, Debug)]
enum End {
    /// Its connection is.
    Connection,
    /// A frame of one of these types comes, or its connection is ended.
    Frame(&'static [u8]),
}

/// A client that has said so much and says no more.
struct Stop {
    what: String,
    /// Whose deadlines may end it.
    ended_by: &'static [Phase],
    end: End,
    stream: Box<dyn Wire>,
    got: Vec<u8>,
    ended: bool,
}

impl Stop {
    fn new(to: &To, said: &[u8], what: &str, ended_by: &'static [Phase], end: End) -> Self {
        Self::on(to.say(said), to, said, what, ended_by, end)
    }

    fn on(stream: Box<dyn Wire>, to: &To, said: &[u8], what: &str, ended_by: &'static [Phase], end: End) -> Self {
        let what = format!("{what} on {}, {} bytes", to.address, said.len());
        Self { what, ended_by, end, stream, got: Vec::new(), ended: false }
    }

    /// Reads what has come; whether it was ended.
    fn look(&mut self) -> bool {
        let mut space = [0; 4096];
        while !self.ended {
            match self.stream.read(&mut space) {
                Ok(0) => self.ended = true,
                Ok(count) => self.got.extend_from_slice(&space[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => self.ended = true,
            }
        }
        if let End::Frame(of) = self.end {
            self.ended |= types(&self.got).iter().any(|kind| of.contains(kind));
        }
        self.ended
    }
}

/// A stop behind each byte of `said`, after what was said `before`: none of them is the whole.
fn each(stops: &mut Vec<Stop>, to: &To, before: &[u8], said: &[u8], what: &str, ended_by: &'static [Phase], end: End) {
    for length in (0..said.len()).step_by(to.step()) {
        stops.push(Stop::new(to, &[before, &said[..length]].concat(), what, ended_by, end));
    }
}

/// Who speaks HTTP/1. Where an answer is ready before the body is, no more is said than what is read all the same.
fn http1(stops: &mut Vec<Stop>, to: &To, is_read: bool) {
    let end = End::Connection;
    let ask = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
    each(stops, to, b"", ask, "a first head", &[Phase::Header], end);
    stops.push(Stop::new(to, ask, "after an answer", &[Phase::Keepalive], end));
    stops.push(Stop::new(to, &[&ask[..], b"\r\n"].concat(), "an empty line after an answer", &[Phase::Keepalive], end));
    for length in [1, 10, ask.len() - 1] {
        let said = [&ask[..], &ask[..length]].concat();
        stops.push(Stop::new(to, &said, "a second head", &[Phase::Header], end));
    }
    let counted = b"POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n";
    each(stops, to, counted, b"hello", "a body", &[Phase::Body], end);
    if !is_read {
        return;
    }
    let chunked = b"POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    each(stops, to, chunked, b"5;a=b\r\nhello\r\n0\r\nA: b\r\n\r\n", "a body in chunks", &[Phase::Body], end);
}

/// Who speaks HTTP/2, or may.
fn http2(stops: &mut Vec<Stop>, to: &To) {
    let begun = greeting(&[(3, 100)]);
    let closed = End::Connection;
    each(stops, to, b"", &begun, "the preface and its SETTINGS", &[Phase::Header], closed);
    stops.push(Stop::new(to, &begun, "after the preface", &[Phase::Keepalive], closed));
    stops.push(Stop::new(to, &[&begun[..], &get(1, "/livez")].concat(), "after an answer", &[Phase::Keepalive], closed));

    let block = head("POST", "/upload");
    let whole = frame(HEADERS, END_HEADERS, 1, &block);
    let parts =
        [frame(HEADERS, 0, 1, &block[..10]), frame(CONTINUATION, 0, 1, &block[10..20]), frame(CONTINUATION, END_HEADERS, 1, &block[20..])]
            .concat();
    for (what, said) in [("HEADERS", &whole), ("HEADERS and CONTINUATION", &parts)] {
        // What has not begun is idle.
        each(stops, to, &[&begun[..], &said[..1]].concat(), &said[1..], what, &[Phase::Header], closed);
    }

    // A body's end is told to its stream; what there is of a frame's first bytes may be a head's.
    let told = End::Frame(&[HEADERS, RST_STREAM, GOAWAY]);
    let open = [&begun[..], &whole].concat();
    let data = [frame(DATA, 0, 1, b"hello"), frame(DATA, END_STREAM, 1, b"world")].concat();
    each(stops, to, &open, &data, "DATA", &[Phase::Body], told);

    let cut = End::Frame(&[RST_STREAM, GOAWAY]);
    for (size, what) in [(0, "a window that was never open"), (1, "a window of one byte"), (65_535, "a window that is not opened again")] {
        let said = [greeting(&[(INITIAL_WINDOW_SIZE, size)]), get(1, "/large")].concat();
        stops.push(Stop::new(to, &said, what, &[Phase::Write], cut));
    }
    let shut = [greeting(&[(INITIAL_WINDOW_SIZE, 0)]), get(1, "/large")].concat();
    each(stops, to, &shut, &window(1, 10), "WINDOW_UPDATE", &[Phase::Write], cut);
}

/// Who stops in the middle of what TLS is made of.
fn records(stops: &mut Vec<Stop>, to: &To) {
    let Some(mut session) = to.session() else { return };
    let mut hello = Vec::new();
    session.write_tls(&mut hello).unwrap();
    let clear = To::clear(to.address);
    for length in (0..hello.len()).step_by(41).chain([1, 2, 3, 4, 5, 6, hello.len() - 1, hello.len()]) {
        stops.push(Stop::new(&clear, &hello[..length], "a ClientHello", &[Phase::Handshake], End::Connection));
    }

    let mut stream = StreamOwned::new(to.session().unwrap(), raw(to.address));
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock).unwrap();
    }
    stream.conn.writer().write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut record = Vec::new();
    stream.conn.write_tls(&mut record).unwrap();
    let half = &record[..record.len() / 2];
    stream.sock.write_all(half).unwrap();
    stream.sock.set_nonblocking(true).unwrap();
    stops.push(Stop::on(Box::new(stream), to, half, "a record", &[Phase::Header], End::Connection));
}

/// A gateway for which waits in this phase are short, with listeners that speak HTTP/1 alone, HTTP/2 beside it, and both over TLS.
fn short(phase: Phase, origin: &Origin, directory: &Directory) -> Gateway {
    // A handshake takes its time on a busy machine.
    let short = if phase == Phase::Handshake { "2s" } else { "400ms" };
    let times: Vec<String> =
        Phase::ALL.iter().map(|other| format!("{}: {}", other.key(), if *other == phase { short } else { "1h" })).collect();
    Gateway::start(&yaml(
        "
        server:
          listeners:
            - {address: 127.0.0.1:0}
            - {address: 127.0.0.1:0, protocols: [h2, http1]}
            - {address: 127.0.0.1:0, tls: {cert: $@/shop.pem, key: $@/shop.key}}
          admin: 127.0.0.1:0
          status: 127.0.0.1:0
          timeouts: {$TIMES}
        upstreams: {main: {endpoints: [$ORIGIN]}}
        routes:
          - {name: all, path: /**, upstream: main}
        ",
        &[("$ORIGIN", &origin.address), ("$TIMES", &times.join(", ")), ("$@", &directory.display())],
    ))
}

/// An authority, and what it has issued for the listener with TLS.
fn certified() -> (Authority, Directory) {
    let (authority, directory) = (Authority::new(), Directory::new());
    let issued = authority.issue(&["shop.example"]);
    directory.put("shop.pem", &issued.cert);
    directory.put("shop.key", &issued.key);
    (authority, directory)
}

fn origin() -> Origin {
    let large = "x".repeat(4 << 20);
    Origin::start(move |request, stream| {
        let body = if request.line().contains("/large") { &large } else { "{}" };
        stream.write_all(response("200 OK", "", body).as_bytes()).is_ok()
    })
}

#[test]
fn every_stop_is_ended_by_its_own_deadline_and_by_no_other() {
    let origin = origin();
    let (authority, directory) = certified();
    for phase in Phase::ALL {
        let gateway = short(phase, &origin, &directory);
        let [plain, mixed, secure] = [0, 1, 2].map(|index| gateway.running.addresses()[index]);
        let over_tls = |protocol| To { address: secure, tls: Some(Arc::new(authority.client(None, &[protocol]))) };
        let mut stops = Vec::new();
        for address in [plain, mixed, gateway.running.admin().unwrap(), gateway.running.status().unwrap()] {
            http1(&mut stops, &To::clear(address), [plain, mixed].contains(&address));
        }
        http2(&mut stops, &To::clear(mixed));
        http1(&mut stops, &over_tls("http/1.1"), true);
        http2(&mut stops, &over_tls("h2"));
        records(&mut stops, &over_tls("http/1.1"));

        let end = Instant::now() + PATIENCE;
        loop {
            let open = those(&mut stops, |stop| stop.ended_by.contains(&phase) && !stop.look());
            if open.is_empty() {
                break;
            }
            assert!(Instant::now() < end, "{phase:?}: {} of {} are still open: {open:#?}", open.len(), stops.len());
            std::thread::sleep(Duration::from_millis(10));
        }

        let wrong = those(&mut stops, |stop| !stop.ended_by.contains(&phase) && stop.look());
        assert!(wrong.is_empty(), "{phase:?}: {} of {} were ended by another's deadline: {wrong:#?}", wrong.len(), stops.len());
    }
}

/// What those stops are of whom this holds.
fn those(stops: &mut [Stop], mut holds: impl FnMut(&mut Stop) -> bool) -> Vec<String> {
    stops.iter_mut().filter_map(|stop| holds(stop).then(|| stop.what.clone())).collect()
}

#[test]
fn a_head_that_comes_frame_by_frame_has_the_time_of_one_head() {
    let origin = origin();
    let gateway = short(Phase::Header, &origin, &certified().1);
    let said = [greeting(&[]), frame(HEADERS, END_STREAM, 1, &[])].concat();
    let mut stop = Stop::new(&To::clear(gateway.running.addresses()[1]), &said, "a drip", &[Phase::Header], End::Connection);

    let end = Instant::now() + PATIENCE;
    for byte in head("GET", "/livez").iter().cycle() {
        if stop.look() {
            break;
        }
        assert!(Instant::now() < end, "it drips on");
        std::thread::sleep(Duration::from_millis(100));
        let _ = stop.stream.write_all(&frame(CONTINUATION, 0, 1, &[*byte]));
    }

    assert!(origin.received().is_empty());
}

#[test]
fn a_window_that_is_opened_byte_by_byte_is_a_drip() {
    let origin = origin();
    let gateway = short(Phase::Write, &origin, &certified().1);
    let address = gateway.running.addresses()[1];
    let said = [greeting(&[(INITIAL_WINDOW_SIZE, 0)]), get(1, "/large")].concat();
    let mut stop = Stop::new(&To::clear(address), &said, "a drip", &[Phase::Write], End::Frame(&[RST_STREAM, GOAWAY]));

    let end = Instant::now() + PATIENCE;
    while !stop.look() {
        assert!(Instant::now() < end, "it drips on");
        std::thread::sleep(Duration::from_millis(100));
        let _ = stop.stream.write_all(&window(1, 1));
    }

    assert!(types(&stop.got).contains(&DATA), "it was given what it asked for");
}
