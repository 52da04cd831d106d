//! An origin that remembers what it received, byte by byte, and answers as it is told.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::Gate;

type Behaviour = dyn Fn(&Request, &mut TcpStream) -> bool + Send + Sync;

/// A request as the origin read it.
#[derive(Clone, Debug)]
pub struct Request {
    /// The head's bytes as text, with the empty line.
    pub head: String,
    /// The body without its chunks.
    pub body: Vec<u8>,
}

impl Request {
    /// The request line.
    pub fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }
    /// All values of a header.
    pub fn header(&self, name: &str) -> Vec<&str> {
        self.head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .collect()
    }
}

/// A running origin.
pub struct Origin {
    pub address: SocketAddr,
    received: Arc<Mutex<Vec<Request>>>,
    wire: Arc<Mutex<Vec<u8>>>,
    connections: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl Origin {
    /// Answers everything with this JSON.
    pub fn json(body: &str) -> Self {
        let answer = response("200 OK", "Content-Type: application/json\r\n", body);
        Self::start(move |_, stream| stream.write_all(answer.as_bytes()).is_ok())
    }

    /// Answers everything with this text, and requests for `/held` only once the gate is open.
    pub fn held(body: &str) -> (Self, Gate) {
        let gate = Gate::default();
        let (held, answer) = (gate.clone(), response("200 OK", "", body));
        let origin = Self::start(move |request, stream| {
            if request.line().contains("/held") {
                held.pass();
            }
            stream.write_all(answer.as_bytes()).is_ok()
        });
        (origin, gate)
    }

    /// Answers as `behave` writes; false closes the connection.
    pub fn start(behave: impl Fn(&Request, &mut TcpStream) -> bool + Send + Sync + 'static) -> Self {
        Self::on("127.0.0.1:0".parse().expect("an address"), behave)
    }

    /// The same on a fixed address.
    pub fn on(address: SocketAddr, behave: impl Fn(&Request, &mut TcpStream) -> bool + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).expect("a free port");
        let origin = Self {
            address: listener.local_addr().expect("an address"),
            received: Arc::default(),
            wire: Arc::default(),
            connections: Arc::default(),
            stop: Arc::default(),
        };
        let behave: Arc<Behaviour> = Arc::new(behave);
        let (received, wire, connections, stop) =
            (origin.received.clone(), origin.wire.clone(), origin.connections.clone(), origin.stop.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                connections.fetch_add(1, Ordering::SeqCst);
                let (behave, received, wire, stop) = (behave.clone(), received.clone(), wire.clone(), stop.clone());
                std::thread::spawn(move || serve(stream, &*behave, &received, &wire, &stop));
            }
        });
        origin
    }

    /// What it received so far.
    pub fn received(&self) -> Vec<Request> {
        self.received.lock().expect("requests").clone()
    }

    /// The last request.
    pub fn last(&self) -> Request {
        self.received().last().cloned().expect("the origin received no request")
    }

    /// Every byte it received.
    pub fn wire(&self) -> Vec<u8> {
        self.wire.lock().expect("bytes").clone()
    }

    /// How many connections were made to it.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

/// A whole response with its length.
pub fn response(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn serve(mut stream: TcpStream, behave: &Behaviour, received: &Mutex<Vec<Request>>, wire: &Mutex<Vec<u8>>, stop: &AtomicBool) {
    let _ = stream.set_read_timeout(Some(Duration::from_millis(100)));
    let mut held = Vec::new();
    let more = |stream: &mut TcpStream, held: &mut Vec<u8>| -> bool {
        let mut space = [0_u8; 65536];
        loop {
            if stop.load(Ordering::SeqCst) {
                return false;
            }
            match stream.read(&mut space) {
                Ok(0) => return false,
                Ok(count) => {
                    let mut wire = wire.lock().expect("bytes");
                    // Enough for every test that looks; a gigabyte of upload is only counted.
                    if wire.len() < 1 << 22 {
                        wire.extend_from_slice(&space[..count]);
                    }
                    held.extend_from_slice(&space[..count]);
                    return true;
                }
                Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
                Err(_) => return false,
            }
        }
    };
    loop {
        let end = loop {
            if let Some(at) = held.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if !more(&mut stream, &mut held) {
                return;
            }
        };
        let head = String::from_utf8_lossy(&held[..end]).into_owned();
        held.drain(..end);
        let mut request = Request { head, body: Vec::new() };
        if request.header("transfer-encoding").iter().any(|value| value.eq_ignore_ascii_case("chunked")) {
            loop {
                let line = loop {
                    if let Some(at) = held.windows(2).position(|window| window == b"\r\n") {
                        break at;
                    }
                    if !more(&mut stream, &mut held) {
                        return;
                    }
                };
                let size = usize::from_str_radix(String::from_utf8_lossy(&held[..line]).trim(), 16).unwrap_or(0);
                while held.len() < line + 2 + size + 2 {
                    if !more(&mut stream, &mut held) {
                        return;
                    }
                }
                request.body.extend_from_slice(&held[line + 2..line + 2 + size]);
                held.drain(..line + 2 + size + 2);
                if size == 0 {
                    break;
                }
            }
        } else {
            let length: usize = request.header("content-length").first().and_then(|value| value.parse().ok()).unwrap_or(0);
            let mut left = length;
            loop {
                let count = left.min(held.len());
                if request.body.len() < 1 << 22 {
                    request.body.extend_from_slice(&held[..count]);
                }
                held.drain(..count);
                left -= count;
                if left == 0 {
                    break;
                }
                if !more(&mut stream, &mut held) {
                    return;
                }
            }
        }
        received.lock().expect("requests").push(request.clone());
        if !behave(&request, &mut stream) {
            return;
        }
    }
}
