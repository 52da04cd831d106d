//! The upstream that fails: three endpoints with one fate, and what they answer when nothing is wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

/// What is wrong with the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
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

pub const FAULTS: [Fault; 7] = [Fault::Refused, Fault::Reset, Fault::Late, Fault::Half, Fault::Blackhole, Fault::Drip, Fault::Garbage];

impl Fault {
    /// Whether it breaks answers of which a part was sent on.
    pub fn cuts(self) -> bool {
        matches!(self, Self::Reset | Self::Drip)
    }
}

/// Three endpoints with one fate.
pub struct Faulty {
    pub runtime: Runtime,
    fault: watch::Sender<Fault>,
    pub late: Arc<AtomicU64>,
    addresses: Vec<std::net::SocketAddr>,
}

impl Faulty {
    pub fn start() -> Self {
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

    pub fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }

    pub fn list(&self) -> String {
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

pub fn content(path: &str) -> String {
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
