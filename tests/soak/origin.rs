//! The origins behind the mixed load: one that is always there, and one that fails in every way and comes back.

use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::exchange::origin::reset;
use crate::exchange::wire::{Broken, Head, Wire};
use crate::websocket::socket::accept_of;

/// What a phone gets of [`WHOLE`].
pub const TRIMMED: &str = r#"{"items": [{"id": 1, "title": "Lamp"}]}"#;
pub const WHOLE: &str = r#"{"items": [{"id": 1, "title": "Lamp", "debug": {"sql": "x"}}], "secret": 7}"#;
/// The length of a long answer.
pub const LONG: usize = 200_000;

/// How an origin fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nobody is there, and all connections break.
    Gone,
    /// Each answer is reset in the middle.
    Reset,
    /// Each answer is late.
    Late,
    /// Each answer ends in the middle.
    Half,
    /// There is no answer.
    Silent,
    /// Each answer comes byte by byte.
    Drip,
    /// What comes is no answer.
    Garbage,
}

/// All of them, one after the other.
pub const FAULTS: [Fault; 7] = [Fault::Gone, Fault::Reset, Fault::Late, Fault::Half, Fault::Silent, Fault::Drip, Fault::Garbage];
/// How long an answer is late, or does not come, or comes byte by byte, unless its gateway leaves first.
const SLOW: Duration = Duration::from_secs(3);

/// An origin, until it is dropped.
pub struct Origin {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    over: AtomicBool,
    /// How it fails just now, as a number from 1, and the connections that it has.
    fault: AtomicUsize,
    open: Mutex<Vec<TcpStream>>,
}

impl Origin {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let origin = Self { address: listener.local_addr().expect("an address"), shared: Arc::default() };
        let shared = origin.shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.over.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let mut open = shared.open.lock().unwrap();
                if shared.fault() == Some(Fault::Gone) {
                    continue;
                }
                open.retain(|stream| stream.peer_addr().is_ok());
                open.push(stream.try_clone().expect("a second handle"));
                let shared = shared.clone();
                std::thread::spawn(move || serve(stream, shared));
            }
        });
        origin
    }

    /// Fails in this way until it lives again.
    pub fn fail(&self, fault: Fault) {
        let mut open = self.shared.open.lock().unwrap();
        self.shared.fault.store(1 + fault as usize, Ordering::SeqCst);
        if fault == Fault::Gone {
            for stream in open.drain(..) {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }

    pub fn live(&self) {
        self.shared.fault.store(0, Ordering::SeqCst);
    }
}

impl Shared {
    fn fault(&self) -> Option<Fault> {
        FAULTS.get(self.fault.load(Ordering::SeqCst).checked_sub(1)?).copied()
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        self.fail(Fault::Gone);
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let ends = shared.clone();
    let mut wire = Wire::new(stream, move || ends.over.load(Ordering::SeqCst));
    while let Ok(Some(head)) = wire.head() {
        let goes_on = match shared.fault() {
            None | Some(Fault::Gone) => answer(&mut wire, &head).is_ok(),
            Some(Fault::Late) => {
                std::thread::sleep(SLOW / 2);
                answer(&mut wire, &head).is_ok()
            }
            Some(fault) => {
                fail(wire.stream(), fault);
                false
            }
        };
        if !goes_on {
            break;
        }
    }
    let _ = wire.stream().shutdown(Shutdown::Both);
}

/// Answers as this fault has it; the connection is no use any more.
fn fail(mut stream: &TcpStream, fault: Fault) {
    let half = format!("HTTP/1.1 200 OK\r\nContent-Length: {LONG}\r\n\r\n{}", "x".repeat(LONG / 2));
    match fault {
        Fault::Reset => {
            let _ = stream.write_all(half.as_bytes());
            reset(stream);
        }
        Fault::Half => drop(stream.write_all(half.as_bytes())),
        Fault::Garbage => drop(stream.write_all(b"\0no answer\r\n\r\n")),
        Fault::Drip => {
            let began = Instant::now();
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
            while began.elapsed() < SLOW && stream.write_all(b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        Fault::Silent | Fault::Gone | Fault::Late => std::thread::sleep(SLOW),
    }
}

fn answer(wire: &mut Wire, head: &Head) -> Result<(), Broken> {
    let mut body = Vec::new();
    match head.is_chunked()? {
        true => drop(wire.chunks(&mut body, |_| false)?),
        false => drop(wire.counted(head.length()?.unwrap_or(0), &mut body, |_| false)?),
    }
    let path = head.line.split(' ').nth(1).unwrap_or_default();
    let mut stream = wire.stream();
    let fields = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    let written = match path.split('?').next().unwrap_or_default() {
        "/json" => write!(stream, "{fields}Content-Length: {}\r\n\r\n{WHOLE}", WHOLE.len()),
        "/upload" => {
            let sum: u64 = body.iter().map(|byte| u64::from(*byte)).sum();
            let told = format!("{} {sum}", body.len());
            write!(stream, "HTTP/1.1 201 Created\r\nContent-Length: {}\r\n\r\n{told}", told.len())
        }
        "/long" => {
            let half = "x".repeat(LONG / 2);
            let size = half.len();
            write!(stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{size:x}\r\n{half}\r\n{size:x}\r\n{half}\r\n0\r\n\r\n")
        }
        "/socket" => {
            let accept = head
                .all("sec-websocket-key")
                .first()
                .map_or(String::new(), |key| format!("Sec-WebSocket-Accept: {}\r\n", accept_of(&String::from_utf8_lossy(key))));
            let changed = write!(stream, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{accept}\r\n");
            if changed.is_ok() {
                echo(wire);
            }
            return Err(Broken::Closed);
        }
        _ => {
            std::thread::sleep(Duration::from_millis(20));
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow")
        }
    };
    written.map_err(|_| Broken::Closed)
}

/// Sends back what comes.
fn echo(wire: &mut Wire) {
    let mut part = Vec::new();
    while wire.some(&mut part).is_ok() {
        if wire.stream().write_all(&part).is_err() {
            return;
        }
        part.clear();
    }
}
