//! An upstream whose endpoints all fail alike, one fault after another, under an open-loop load of 500 requests a second.
//!
//! **What is counted.** Every request sent while a fault is in force has one of these ends:
//!
//! - *served*: a whole 2xx of the upstream itself, of the right content;
//! - *stood in*: a whole 2xx of a fallback, of the right content, marked `X-BFF-Fallback`;
//! - *cut*: a 2xx head of the upstream came, and then the connection closed before the end that `Content-Length` or the last chunk names;
//! - *lost*: anything else: an error status, no answer within five seconds, a broken fallback, no connection.
//!
//! A request whose failure came before the first response byte either was stood in for or is lost; one that a retry saved cannot be told
//! from a served one, and leaving those out makes the claim harder. So the claim reads: lost / (stood in + lost) is at most 0.008 %. Cut
//! ones are bounded apart: up to the circuit's opening, by `consecutive` plus the most that were in flight at once.
//!
//! Normal service is back when the upstream itself answers, and it stays back. How long that takes, from the end of the fault to the
//! sending of the last request that was not served, is said; it is bounded in a long run, which has the machine to itself.
//!
//! A fault lasts 2.5 s, and until the gateway has noticed it; with `FRONTGATE_CHAOS_SECONDS` that many, and with `FRONTGATE_LONG=1` thirty
//! minutes are shared by all of them.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

use crate::harness::{Process, until, yaml};

const RATE: u64 = 500;
const CONSECUTIVE: usize = 5;
/// Within which normal service is back, in a long run.
const BACK: Duration = Duration::from_millis(2300);
/// How long recovery is watched in a long run.
const CALM: Duration = Duration::from_millis(2800);
/// Normal service is back when the upstream itself answered this many requests in a row.
const IN_A_ROW: usize = 250;
const PATIENCE: Duration = Duration::from_secs(5);
/// Idle client connections are not used again after this long.
const IDLE: Duration = Duration::from_secs(30);
const PATHS: u64 = 20;
const STAND_IN: &str = r#"{"degraded":true}"#;

/// What is wrong with the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// Nothing.
    None,
    /// Connections are refused, and those there were are closed.
    Refused,
    /// Bodies break off in the middle, by a reset.
    Reset,
    /// Heads come 400 ms later than the 99th percentile.
    Late,
    /// Every other answer is 503.
    Half,
    /// Connections are accepted and requests never answered.
    Blackhole,
    /// One byte every 40 ms: of the head at two endpoints, of the body at the third.
    Drip,
    /// What comes is not HTTP.
    Garbage,
}

const FAULTS: [Fault; 7] = [Fault::Refused, Fault::Reset, Fault::Late, Fault::Half, Fault::Blackhole, Fault::Drip, Fault::Garbage];

impl Fault {
    /// Whether it breaks answers of which a part was sent on.
    fn cuts(self) -> bool {
        matches!(self, Self::Reset | Self::Drip)
    }
}

/// Three endpoints with one fate.
struct Faulty {
    runtime: Runtime,
    fault: watch::Sender<Fault>,
    late: Arc<AtomicU64>,
    addresses: Vec<std::net::SocketAddr>,
}

impl Faulty {
    fn start() -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (fault, _) = watch::channel(Fault::None);
        let late = Arc::new(AtomicU64::new(0));
        let guard = runtime.enter();
        let addresses = (0..3)
            .map(|index| {
                // Bound and never listening: while the endpoint refuses connections, nobody else takes its port.
                let kept = TcpSocket::new_v4().unwrap();
                kept.set_reuseaddr(true).unwrap();
                kept.bind("127.0.0.1:0".parse().unwrap()).unwrap();
                let endpoint = Endpoint {
                    index,
                    address: kept.local_addr().unwrap(),
                    fault: fault.subscribe(),
                    late: late.clone(),
                    count: Arc::default(),
                };
                let address = endpoint.address;
                runtime.spawn(endpoint.listen(kept));
                address
            })
            .collect();
        drop(guard);
        Self { runtime, fault, late, addresses }
    }

    fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }

    fn list(&self) -> String {
        self.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }
}

#[derive(Clone)]
struct Endpoint {
    index: usize,
    address: std::net::SocketAddr,
    fault: watch::Receiver<Fault>,
    /// How late heads are, in milliseconds.
    late: Arc<AtomicU64>,
    count: Arc<AtomicUsize>,
}

impl Endpoint {
    fn bind(&self) -> TcpListener {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(self.address).unwrap();
        socket.listen(1024).unwrap()
    }

    async fn listen(mut self, _kept: TcpSocket) {
        loop {
            let listener = self.bind();
            while *self.fault.borrow_and_update() != Fault::Refused {
                tokio::select! {
                    accepted = listener.accept() => {
                        let Ok((stream, _)) = accepted else { continue };
                        tokio::spawn(self.clone().serve(stream));
                    }
                    changed = self.fault.changed() => if changed.is_err() { return },
                }
            }
            drop(listener);
            if self.fault.wait_for(|fault| *fault != Fault::Refused).await.is_err() {
                return;
            }
        }
    }

    async fn serve(mut self, mut stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let mut held = Vec::new();
        loop {
            while !held.windows(4).any(|window| window == b"\r\n\r\n") {
                if *self.fault.borrow_and_update() == Fault::Refused {
                    return;
                }
                tokio::select! {
                    read = stream.read_buf(&mut held) => if !matches!(read, Ok(1..)) { return },
                    changed = self.fault.changed() => if changed.is_err() { return },
                }
            }
            let text = String::from_utf8_lossy(&held).into_owned();
            held.clear();
            let path = text.split(' ').nth(1).unwrap_or_default();
            let fault = *self.fault.borrow_and_update();
            if !self.answer(&mut stream, fault, path).await {
                return;
            }
        }
    }

    /// False closes the connection.
    async fn answer(&mut self, stream: &mut TcpStream, fault: Fault, path: &str) -> bool {
        let whole = answer(path);
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        match fault {
            Fault::None | Fault::Refused => stream.write_all(&whole).await.is_ok(),
            Fault::Half if count.is_multiple_of(2) => {
                stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nfail").await.is_ok()
            }
            Fault::Half => stream.write_all(&whole).await.is_ok(),
            Fault::Reset => {
                let _ = stream.write_all(&whole[..whole.len() - 100]).await;
                tokio::time::sleep(Duration::from_millis(5)).await;
                let _ = stream.set_zero_linger();
                false
            }
            Fault::Late => {
                tokio::time::sleep(Duration::from_millis(self.late.load(Ordering::Relaxed))).await;
                stream.write_all(&whole).await.is_ok()
            }
            Fault::Blackhole => {
                let mut space = [0_u8; 1];
                tokio::select! {
                    _ = stream.read(&mut space) => {}
                    _ = self.fault.changed() => {}
                }
                false
            }
            Fault::Drip => {
                let at_once = if self.index == 2 { whole.len() - 300 } else { 0 };
                let _ = stream.write_all(&whole[..at_once]).await;
                for byte in whole[at_once..].chunks(1) {
                    tokio::time::sleep(Duration::from_millis(40)).await;
                    if stream.write_all(byte).await.is_err() {
                        return false;
                    }
                }
                true
            }
            Fault::Garbage => {
                let _ = stream.write_all(b"\x16\x03\x01\x02\x00 this is not the protocol that was asked for\r\n\r\n").await;
                false
            }
        }
    }
}

fn content(path: &str) -> String {
    format!("{{\"path\":\"{path}\",\"text\":\"{}\"}}", path.repeat(400 / path.len().max(1) + 1))
}

/// Even items come with their length, odd ones in chunks.
fn answer(path: &str) -> Vec<u8> {
    let body = content(path);
    let number: u64 = path.rsplit('/').next().and_then(|number| number.parse().ok()).unwrap_or(0);
    if number.is_multiple_of(2) {
        format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    } else {
        let (a, b) = body.split_at(100);
        let chunks = format!("{:x}\r\n{a}\r\n{:x}\r\n{b}\r\n0\r\n\r\n", a.len(), b.len());
        format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}").into_bytes()
    }
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
enum End {
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
struct Record {
    sent: Duration,
    ended: Duration,
    end: End,
    /// How many were in flight when it was sent, itself among them.
    beside: usize,
}

/// Sends requests at their time, whether or not earlier ones were answered, each on an idle connection or a new one.
struct Load {
    address: std::net::SocketAddr,
    began: Instant,
    /// Since when each is idle; the gateway would close one after 75 s.
    idle: Mutex<Vec<(Instant, TcpStream)>>,
    in_flight: AtomicUsize,
    records: Mutex<Vec<Record>>,
}

impl Load {
    fn new(address: std::net::SocketAddr) -> Arc<Self> {
        let (idle, in_flight, records) = Default::default();
        Arc::new(Self { address, began: Instant::now(), idle, in_flight, records })
    }

    async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut ticks = tokio::time::interval(Duration::from_micros(1_000_000 / RATE));
        for number in 0.. {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = stop.changed() => return,
            }
            tokio::spawn(self.clone().one(number));
        }
    }

    async fn one(self: Arc<Self>, number: u64) {
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
    fn sent(&self, from: Duration, to: Duration) -> Vec<Record> {
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

/// `upstream` and `breaker` are further keys of the upstream and of its breaker.
fn configuration(endpoints: &str, upstream: &str, breaker: &str) -> String {
    yaml(
        "
        server:
          listeners: [{address: 127.0.0.1:0}]
          admin: 127.0.0.1:0
        upstreams:
          main:
            endpoints: [$ENDPOINTS]
            $UPSTREAM
        filters:
          guard:
            circuit_breaker:
              consecutive: $CONSECUTIVE
              fallback: [{cached: {max_age: 1h}}, {respond: {json: $STAND_IN}}]
              $BREAKER
        routes:
          - {name: all, path: /**, upstream: main, filters: [guard]}
        ",
        &[
            ("$ENDPOINTS", &endpoints),
            ("$UPSTREAM", &upstream),
            ("$CONSECUTIVE", &CONSECUTIVE),
            ("$STAND_IN", &STAND_IN),
            ("$BREAKER", &breaker),
        ],
    )
}

fn first_byte(process: &Process) -> u64 {
    process.ask("GET", "/healthz?full=1").json()["upstreams"]["main"]["first_byte_ms"].as_u64().unwrap()
}

fn metric(process: &Process, series: &str) -> u64 {
    let text = process.ask("GET", "/metrics").text();
    text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse::<f64>().ok()).unwrap_or(0.0) as u64
}

fn is_long() -> bool {
    std::env::var_os("FRONTGATE_LONG").is_some()
}

fn fault_length() -> Duration {
    let seconds = std::env::var("FRONTGATE_CHAOS_SECONDS").ok().map(|text| text.parse().expect("FRONTGATE_CHAOS_SECONDS is a number"));
    let long = is_long().then(|| 1800.0 / FAULTS.len() as f64 - CALM.as_secs_f64());
    Duration::from_secs_f64(seconds.or(long).unwrap_or(2.5))
}

/// Whether the last requests, in the order in which they were sent, were all served.
fn is_back(after: &[Record]) -> bool {
    after.len() >= IN_A_ROW && after.iter().rev().take(IN_A_ROW).all(|record| record.end == End::Served)
}

#[test]
fn every_fault_is_answered_for_and_passes() {
    let faulty = Faulty::start();
    let upstream = "
health: {path: /healthz, interval: 500ms, timeout: 400ms, unhealthy_after: 2, healthy_after: 1}
timeouts: {connect: 200ms, first_byte: {adaptive: {min: 100ms, max: 1s}}, between_bytes: 500ms, total: 1500ms}
retry: {attempts: 2, when: [connect_failure, timeout, 503], budget: 20%}";
    let breaker = "
window: 5s
open_for: 500ms
max_open_for: 1s";
    let process = Process::start("chaos", &configuration(&faulty.list(), upstream, breaker));
    let load = Load::new(process.address);
    let (stop, stopped) = watch::channel(false);
    let clients = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    clients.spawn(load.clone().run(stopped));
    until("every item to be kept and the timeout to follow", || {
        load.records.lock().unwrap().len() > 3 * RATE as usize / 2 && first_byte(&process) < 1000
    });

    for fault in FAULTS {
        let timeout = first_byte(&process);
        faulty.late.store(timeout + 200, Ordering::Relaxed);
        let opened = "frontgate_circuit_transitions_total{filter=\"guard\",to=\"open\",upstream=\"main\"}";
        let openings = metric(&process, opened);
        let from = load.began.elapsed();
        faulty.set(fault);
        std::thread::sleep(fault_length());
        until("the fault to be noticed", || {
            let during = load.sent(from, Duration::MAX);
            count(&during, |end| matches!(end, End::StoodIn { .. })) > 0 && (!fault.cuts() || opening(&during).is_some())
        });
        let to = load.began.elapsed();
        faulty.set(Fault::None);
        until("normal service to be back", || is_back(&load.sent(to, Duration::MAX)));
        if is_long() {
            std::thread::sleep(CALM.saturating_sub(load.began.elapsed() - to));
        }
        let calm = load.began.elapsed();
        until("what was sent under the fault to end", || load.in_flight.load(Ordering::SeqCst) < 50);
        let openings = metric(&process, opened) - openings;

        let (during, after) = (load.sent(from, to), load.sent(to, calm));
        report(fault, &during, &after, to, openings, timeout);
        judge(fault, &during, openings);
        assert!(!after.iter().any(|record| matches!(record.end, End::Mistaken | End::Lost(_))), "{fault:?}: {after:?}");
        if is_long() {
            let failing = after.iter().filter(|record| record.end != End::Served && record.sent >= to + BACK).collect::<Vec<_>>();
            assert!(failing.is_empty(), "{fault:?}: after {BACK:?} of health still {failing:?}");
            assert!(after.iter().any(|record| record.sent >= to + BACK), "{fault:?}: nothing was sent in the end");
        }
        load.records.lock().unwrap().retain(|record| record.sent >= calm);
    }
    stop.send_replace(true);
    drop(faulty.runtime);
}

fn count(records: &[Record], is: impl Fn(&End) -> bool) -> usize {
    records.iter().filter(|record| is(&record.end)).count()
}

/// The first opening, as clients see it: the end of the first answer that an open circuit gave.
fn opening(during: &[Record]) -> Option<Duration> {
    during.iter().filter(|record| record.end == End::StoodIn { open: true }).map(|record| record.ended).min()
}

/// Those cut before the first opening, and the most in flight until then.
fn cut_before_opening(during: &[Record]) -> (usize, usize) {
    let open = opening(during).unwrap_or(Duration::MAX);
    let before: Vec<Record> = during.iter().filter(|record| record.sent < open).cloned().collect();
    (count(&before, |end| *end == End::Cut), before.iter().map(|record| record.beside).max().unwrap_or(0))
}

fn report(fault: Fault, during: &[Record], after: &[Record], to: Duration, openings: u64, timeout: u64) {
    let back =
        after.iter().filter(|record| record.end != End::Served).map(|record| record.sent).max().map_or(Duration::ZERO, |last| last - to);
    let (early, beside) = cut_before_opening(during);
    eprintln!(
        "{fault:?}: {} sent, {} served, {} stood in, {} lost, {} cut ({early} before the circuit opened, at most {beside} in flight), {openings} openings, back after {back:?}, first_byte was {timeout} ms",
        during.len(),
        count(during, |end| *end == End::Served),
        count(during, |end| matches!(end, End::StoodIn { .. })),
        count(during, |end| matches!(end, End::Lost(_))),
        count(during, |end| *end == End::Cut),
    );
    for record in during.iter().filter(|record| matches!(record.end, End::Lost(_))) {
        eprintln!("  {record:?}");
    }
}

fn judge(fault: Fault, during: &[Record], openings: u64) {
    let lost: Vec<&Record> = during.iter().filter(|record| matches!(record.end, End::Lost(_))).collect();
    let stood_in = count(during, |end| matches!(end, End::StoodIn { .. }));
    assert!(stood_in > 0, "{fault:?}: nobody noticed the fault");
    assert!(lost.len() as f64 <= 0.00008 * (stood_in + lost.len()) as f64, "{fault:?}: {lost:?}");
    assert_eq!(count(during, |end| *end == End::Mistaken), 0, "{fault:?}: a cut body was taken for a whole one");
    let cut = count(during, |end| *end == End::Cut);
    if !fault.cuts() {
        assert_eq!(cut, 0, "{fault:?}");
        return;
    }
    assert!(openings > 0 && opening(during).is_some(), "{fault:?}: the circuit never opened");
    let (early, beside) = cut_before_opening(during);
    assert!(cut > 0 && early <= CONSECUTIVE + beside, "{fault:?}: {early} cut with at most {beside} in flight");
}

#[test]
fn a_hundred_faults_leave_nothing_behind() {
    let faulty = Faulty::start();
    let upstream = "
health: {path: /healthz, interval: 500ms, timeout: 100ms, unhealthy_after: 2, healthy_after: 1}
timeouts: {connect: 100ms, first_byte: 100ms, between_bytes: 100ms, total: 200ms, idle: 300ms}
retry: {attempts: 2, when: [connect_failure, timeout, 503], budget: 20%}";
    let breaker = "
open_for: 20ms
max_open_for: 40ms";
    let process = Process::start("leaks", &configuration(&faulty.list(), upstream, breaker));
    let clients = Builder::new_current_thread().enable_all().build().unwrap();
    // Retries save most of what every other answer fails.
    let opening: Vec<Fault> = FAULTS.into_iter().filter(|fault| *fault != Fault::Half).collect();
    let cycles = |from: usize, to: usize| {
        faulty.late.store(150, Ordering::Relaxed);
        for cycle in from..to {
            let load = Load::new(process.address);
            let fault = opening[cycle % opening.len()];
            faulty.set(fault);
            clients.block_on(rounds(&load, &format!("{fault:?} to open the circuit"), |end| *end == End::StoodIn { open: true }));
            faulty.set(Fault::None);
            clients.block_on(rounds(&load, &format!("the end of {fault:?}"), |end| *end == End::Served));
        }
        until("nothing to be in flight", || is_quiet(&process));
    };
    // Kept answers tell an open circuit from a failed try.
    clients.block_on(rounds(&Load::new(process.address), "every item to be kept", |end| *end == End::Served));
    cycles(0, 21);
    let mut descriptors = usize::MAX;
    until("idle connections to be let go", || {
        let before = std::mem::replace(&mut descriptors, process.descriptors());
        std::thread::sleep(Duration::from_millis(400));
        before == descriptors
    });
    let memory = process.memory();

    cycles(21, 121);

    until("every connection to be let go", || process.descriptors() <= descriptors);
    let grown = process.memory().saturating_sub(memory);
    eprintln!("{descriptors} descriptors, {memory} KiB, and {grown} KiB more after a hundred faults");
    assert!(grown < 8 * 1024, "{memory} KiB have grown by {grown} KiB");
}

/// Eight requests at once, again and again, until one ends this way and, where it is to be served, all do.
async fn rounds(load: &Arc<Load>, what: &str, is: impl Fn(&End) -> bool) {
    for _ in 0..400 {
        load.records.lock().unwrap().clear();
        let one: Vec<_> = (0..8).map(|number| tokio::spawn(load.clone().one(number))).collect();
        for one in one {
            one.await.unwrap();
        }
        let records = load.records.lock().unwrap().clone();
        assert_eq!(count(&records, |end| matches!(end, End::Mistaken | End::Lost(_))), 0, "{what}: {records:?}");
        let wanted = count(&records, &is);
        if wanted == records.len() || wanted > 0 && !is(&End::Served) {
            return;
        }
    }
    panic!("{what} did not come about");
}

/// Whether every permit, place and count is given back.
fn is_quiet(process: &Process) -> bool {
    let full = process.ask("GET", "/healthz?full=1").json();
    let (circuit, upstream) = (&full["circuits"][0], &full["upstreams"]["main"]);
    let endpoints = upstream["endpoints"].as_array().unwrap();
    circuit["state"] == "closed"
        && circuit["probes"] == 0
        && upstream["in_flight"] == 0
        && upstream["retrying"] == 0
        && endpoints.iter().all(|endpoint| endpoint["in_flight"] == 0 && endpoint["state"] == "healthy")
}
