//! The load, and what became of each of its requests.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::faulty::content;

pub const RATE: u64 = 500;
const PATHS: u64 = 20;
const PATIENCE: Duration = Duration::from_secs(5);
/// Idle client connections are not used again after this long.
const IDLE: Duration = Duration::from_secs(30);
pub const STAND_IN: &str = r#"{"degraded":true}"#;

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    Served,
    /// By a fallback; whether because the circuit let nothing through.
    StoodIn {
        open: bool,
    },
    Cut,
    /// Whole by its framing, and not what it should be.
    Mistaken,
    Lost(String),
}

/// One request. Times are since the load began.
#[derive(Clone, Debug)]
pub struct Record {
    pub sent: Duration,
    pub ended: Duration,
    pub end: End,
    /// How many were in flight when it was sent, itself among them.
    pub beside: usize,
}

/// Sends requests at their time, whether or not earlier ones were answered, each on an idle connection or a new one.
pub struct Load {
    address: std::net::SocketAddr,
    pub began: Instant,
    /// Since when each is idle; the gateway would close one after 75 s.
    idle: Mutex<Vec<(Instant, TcpStream)>>,
    pub in_flight: AtomicUsize,
    pub records: Mutex<Vec<Record>>,
}

impl Load {
    pub fn new(address: std::net::SocketAddr) -> Arc<Self> {
        let (idle, in_flight, records) = Default::default();
        Arc::new(Self { address, began: Instant::now(), idle, in_flight, records })
    }

    pub async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut ticks = tokio::time::interval(Duration::from_micros(1_000_000 / RATE));
        for number in 0.. {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = stop.changed() => return,
            }
            tokio::spawn(self.clone().one(number));
        }
    }

    pub async fn one(self: Arc<Self>, number: u64) {
        let sent = self.began.elapsed();
        let beside = self.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        let path = format!("/items/{}", number % PATHS);
        let end = match tokio::time::timeout(PATIENCE, self.exchange(&path)).await {
            Ok(end) => end,
            Err(_) => End::Lost("no answer in time".into()),
        };
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
        self.records.lock().unwrap().push(Record { sent, ended: self.began.elapsed(), end, beside });
    }

    async fn exchange(&self, path: &str) -> End {
        let idle = self.idle.lock().unwrap().pop();
        let mut stream = match idle.filter(|(since, _)| since.elapsed() < IDLE) {
            Some((_, stream)) => stream,
            None => match TcpStream::connect(self.address).await {
                Ok(stream) => stream,
                Err(error) => return End::Lost(format!("no connection: {error}")),
            },
        };
        let _ = stream.set_nodelay(true);
        if let Err(error) = stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: chaos.example\r\n\r\n").as_bytes()).await {
            return End::Lost(format!("not sent: {error}"));
        }
        let Some(reply) = read(&mut stream).await else { return End::Lost("closed without an answer".into()) };
        let fallback = reply.header("x-bff-fallback");
        let end = match (reply.status, reply.whole, fallback) {
            (200, true, Some(kind)) => {
                let expected = if kind == "respond" { STAND_IN.to_owned() } else { content(path) };
                let open = reply.header("cache-status").is_some_and(|status| status.contains("circuit-open"));
                if reply.body == expected.as_bytes() { End::StoodIn { open } } else { End::Mistaken }
            }
            (200, true, None) if reply.body == content(path).as_bytes() => End::Served,
            (200, true, None) => End::Mistaken,
            (200, false, None) => End::Cut,
            (status, whole, _) => End::Lost(format!("{status}, whole: {whole}: {}", String::from_utf8_lossy(&reply.body))),
        };
        if reply.whole && reply.header("connection").is_none_or(|value| !value.eq_ignore_ascii_case("close")) {
            self.idle.lock().unwrap().push((Instant::now(), stream));
        }
        end
    }

    /// What was sent in this span of time. Waits until all of it has ended.
    pub fn sent(&self, from: Duration, to: Duration) -> Vec<Record> {
        let mut records: Vec<Record> =
            self.records.lock().unwrap().iter().filter(|record| (from..to).contains(&record.sent)).cloned().collect();
        records.sort_by_key(|record| record.sent);
        records
    }
}

struct Reply {
    status: u16,
    head: String,
    body: Vec<u8>,
    whole: bool,
}

impl Reply {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

/// Reads one answer by its framing, and is satisfied with nothing less than its end.
async fn read(stream: &mut TcpStream) -> Option<Reply> {
    let mut held = Vec::with_capacity(2048);
    let end = loop {
        if let Some(at) = held.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if !matches!(stream.read_buf(&mut held).await, Ok(1..)) {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&held[..end]).into_owned();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let mut rest = held.split_off(end);
    let mut reply = Reply { status, head, body: Vec::new(), whole: false };
    let length: Option<usize> = reply.header("content-length").and_then(|length| length.parse().ok());
    let chunked = reply.header("transfer-encoding").is_some();
    loop {
        let body = match length {
            Some(length) => rest.get(..length).map(<[u8]>::to_vec),
            None if chunked => unchunked(&rest),
            None => None,
        };
        if let Some(body) = body {
            (reply.body, reply.whole) = (body, true);
            return Some(reply);
        }
        if !matches!(stream.read_buf(&mut rest).await, Ok(1..)) {
            reply.body = rest;
            return Some(reply);
        }
    }
}

/// The body behind chunks, if their end is there.
fn unchunked(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let at = bytes.windows(2).position(|window| window == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..at]).ok()?, 16).ok()?;
        let chunk = bytes.get(at + 2..at + 2 + size + 2)?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(&chunk[..size]);
        bytes = &bytes[at + 2 + size + 2..];
    }
}
