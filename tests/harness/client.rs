//! A client that says exactly what it is told, and reads answers strictly.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
    /// Whether the body was as long as the head said.
    pub whole: bool,
}

impl Reply {
    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
    /// Asserts that this is a refusal of the gateway's own, with all that belongs to one.
    #[track_caller]
    pub fn is_problem(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "{}\n{}", self.head, self.text());
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.head);
        let json = self.json();
        assert_eq!(json["status"], status);
        assert_eq!(json["request_id"].as_str(), self.header("x-request-id"), "{}", self.head);
        self
    }
}

/// Connects, with an end to every wait.
pub fn raw(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the gateway listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    stream.set_nodelay(true).expect("a flag");
    stream
}

/// Sends these bytes on a fresh connection and reads one answer; `None` where the connection closed without one.
pub fn exchange(address: SocketAddr, bytes: &[u8]) -> Option<Reply> {
    let mut stream = raw(address);
    let _ = stream.write_all(bytes);
    read_reply(&mut stream, bytes.starts_with(b"HEAD "))
}

/// A plain GET on a fresh connection.
pub fn get(address: SocketAddr, path: &str) -> Reply {
    exchange(address, format!("GET {path} HTTP/1.1\r\nHost: test.example\r\nConnection: close\r\n\r\n").as_bytes()).expect("an answer")
}

/// Asks an admin address, as an operator on this machine does.
pub fn operate(admin: SocketAddr, method: &str, path: &str) -> Reply {
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {admin}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    exchange(admin, head.as_bytes()).expect("an answer")
}

/// Reads one answer. Interim ones (1xx) are passed over.
pub fn read_reply(stream: &mut impl Read, to_head: bool) -> Option<Reply> {
    let mut held = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = held.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if read_some(stream, &mut held, 1) == 0 {
                return None;
            }
        };
        let head = String::from_utf8_lossy(&held[..end]).into_owned();
        held.drain(..end);
        let status: u16 = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        if (100..200).contains(&status) && status != 101 {
            continue;
        }
        let mut reply = Reply { status, head, body: Vec::new(), whole: true };
        if to_head || matches!(status, 101 | 204 | 304) {
            return Some(reply);
        }
        if reply.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
            (reply.body, reply.whole) = read_chunks(stream, held);
        } else if let Some(length) = reply.header("content-length").map(|value| value.parse::<usize>().expect("a length")) {
            while held.len() < length {
                let left = length - held.len();
                if read_some(stream, &mut held, left) == 0 {
                    break;
                }
            }
            reply.whole = held.len() >= length;
            held.truncate(length);
            reply.body = held;
        } else {
            while read_some(stream, &mut held, usize::MAX) > 0 {}
            reply.body = held;
        }
        return Some(reply);
    }
}

fn read_chunks(stream: &mut impl Read, mut held: Vec<u8>) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let line = loop {
            if let Some(at) = held.windows(2).position(|window| window == b"\r\n") {
                break at;
            }
            if read_some(stream, &mut held, 1) == 0 {
                return (body, false);
            }
        };
        let size = usize::from_str_radix(String::from_utf8_lossy(&held[..line]).trim(), 16).expect("a chunk size");
        while held.len() < line + 2 + size + 2 {
            let left = line + 2 + size + 2 - held.len();
            if read_some(stream, &mut held, left) == 0 {
                body.extend_from_slice(&held[(line + 2).min(held.len())..]);
                return (body, false);
            }
        }
        body.extend_from_slice(&held[line + 2..line + 2 + size]);
        held.drain(..line + 2 + size + 2);
        if size == 0 {
            return (body, true);
        }
    }
}

/// Reads no more than `most`: what follows belongs to the next answer.
fn read_some(stream: &mut impl Read, held: &mut Vec<u8>, most: usize) -> usize {
    let mut space = [0_u8; 65536];
    let most = most.min(space.len());
    let count = stream.read(&mut space[..most]).unwrap_or(0);
    held.extend_from_slice(&space[..count]);
    count
}
