//! Clients that stop at every byte of everything they can say, on every kind of listener, all at once. For each deadline in turn that one
//! is short and all others are long: who stops in its phase is ended by it, and everybody else is still there.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::both;
use crate::harness::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, INITIAL_WINDOW_SIZE, RST_STREAM, frame, get, greeting, head, types,
    window,
};
use crate::harness::origin::response;
use crate::harness::{Gateway, Origin, PATIENCE, raw};

/// The deadlines, by their names in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Header,
    Body,
    Keepalive,
    Write,
}

impl Phase {
    const ALL: [Self; 4] = [Self::Header, Self::Body, Self::Keepalive, Self::Write];

    fn key(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Body => "body",
            Self::Keepalive => "keepalive",
            Self::Write => "write",
        }
    }
}

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
    stream: TcpStream,
    got: Vec<u8>,
    ended: bool,
}

impl Stop {
    fn new(address: SocketAddr, said: &[u8], what: &str, ended_by: &'static [Phase], end: End) -> Self {
        let mut stream = raw(address);
        stream.write_all(said).unwrap();
        stream.set_nonblocking(true).unwrap();
        Self { what: format!("{what} on {address}, {} bytes", said.len()), ended_by, end, stream, got: Vec::new(), ended: false }
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
fn each(stops: &mut Vec<Stop>, address: SocketAddr, before: &[u8], said: &[u8], what: &str, ended_by: &'static [Phase], end: End) {
    for length in 0..said.len() {
        stops.push(Stop::new(address, &[before, &said[..length]].concat(), what, ended_by, end));
    }
}

/// Who speaks HTTP/1. Where an answer is ready before the body is, no more is said than what is read all the same.
fn http1(stops: &mut Vec<Stop>, address: SocketAddr, is_read: bool) {
    let end = End::Connection;
    let ask = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
    each(stops, address, b"", ask, "a first head", &[Phase::Header], end);
    stops.push(Stop::new(address, ask, "after an answer", &[Phase::Keepalive], end));
    stops.push(Stop::new(address, &[&ask[..], b"\r\n"].concat(), "an empty line after an answer", &[Phase::Keepalive], end));
    for length in [1, 10, ask.len() - 1] {
        let said = [&ask[..], &ask[..length]].concat();
        stops.push(Stop::new(address, &said, "a second head", &[Phase::Header], end));
    }
    let counted = b"POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n";
    each(stops, address, counted, b"hello", "a body", &[Phase::Body], end);
    if !is_read {
        return;
    }
    let chunked = b"POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    each(stops, address, chunked, b"5;a=b\r\nhello\r\n0\r\nA: b\r\n\r\n", "a body in chunks", &[Phase::Body], end);
}

/// Who speaks HTTP/2, or may.
fn http2(stops: &mut Vec<Stop>, address: SocketAddr) {
    let begun = greeting(&[(3, 100)]);
    let closed = End::Connection;
    each(stops, address, b"", &begun, "the preface and its SETTINGS", &[Phase::Header], closed);
    stops.push(Stop::new(address, &begun, "after the preface", &[Phase::Keepalive], closed));
    stops.push(Stop::new(address, &[&begun[..], &get(1, "/livez")].concat(), "after an answer", &[Phase::Keepalive], closed));

    let block = head("POST", "/upload");
    let whole = frame(HEADERS, END_HEADERS, 1, &block);
    let parts =
        [frame(HEADERS, 0, 1, &block[..10]), frame(CONTINUATION, 0, 1, &block[10..20]), frame(CONTINUATION, END_HEADERS, 1, &block[20..])]
            .concat();
    for (what, said) in [("HEADERS", &whole), ("HEADERS and CONTINUATION", &parts)] {
        // What has not begun is idle.
        each(stops, address, &[&begun[..], &said[..1]].concat(), &said[1..], what, &[Phase::Header], closed);
    }

    // A body's end is told to its stream; what there is of a frame's first bytes may be a head's.
    let told = End::Frame(&[HEADERS, RST_STREAM, GOAWAY]);
    let open = [&begun[..], &whole].concat();
    let data = [frame(DATA, 0, 1, b"hello"), frame(DATA, END_STREAM, 1, b"world")].concat();
    each(stops, address, &open, &data, "DATA", &[Phase::Body], told);

    let cut = End::Frame(&[RST_STREAM, GOAWAY]);
    for (size, what) in [(0, "a window that was never open"), (1, "a window of one byte"), (65_535, "a window that is not opened again")] {
        let said = [greeting(&[(INITIAL_WINDOW_SIZE, size)]), get(1, "/large")].concat();
        stops.push(Stop::new(address, &said, what, &[Phase::Write], cut));
    }
    let shut = [greeting(&[(INITIAL_WINDOW_SIZE, 0)]), get(1, "/large")].concat();
    each(stops, address, &shut, &window(1, 10), "WINDOW_UPDATE", &[Phase::Write], cut);
}

/// A gateway for which waits in this phase are short.
fn short(phase: Phase, origin: &Origin) -> Gateway {
    let times: Vec<String> =
        Phase::ALL.iter().map(|other| format!("{}: {}", other.key(), if *other == phase { "400ms" } else { "1h" })).collect();
    both(origin.address, &format!("timeouts: {{{}}}", times.join(", ")))
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
    for phase in Phase::ALL {
        let gateway = short(phase, &origin);
        let [plain, mixed] = [0, 1].map(|index| gateway.running.addresses()[index]);
        let mut stops = Vec::new();
        for address in [plain, mixed, gateway.running.admin().unwrap(), gateway.running.status().unwrap()] {
            http1(&mut stops, address, [plain, mixed].contains(&address));
        }
        http2(&mut stops, mixed);

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
    let gateway = short(Phase::Header, &origin);
    let said = [greeting(&[]), frame(HEADERS, END_STREAM, 1, &[])].concat();
    let mut stop = Stop::new(gateway.running.addresses()[1], &said, "a drip", &[Phase::Header], End::Connection);

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
    let gateway = short(Phase::Write, &origin);
    let address = gateway.running.addresses()[1];
    let said = [greeting(&[(INITIAL_WINDOW_SIZE, 0)]), get(1, "/large")].concat();
    let mut stop = Stop::new(address, &said, "a drip", &[Phase::Write], End::Frame(&[RST_STREAM, GOAWAY]));

    let end = Instant::now() + PATIENCE;
    while !stop.look() {
        assert!(Instant::now() < end, "it drips on");
        std::thread::sleep(Duration::from_millis(100));
        let _ = stop.stream.write_all(&window(1, 1));
    }

    assert!(types(&stop.got).contains(&DATA), "it was given what it asked for");
}
