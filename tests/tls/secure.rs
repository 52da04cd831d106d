//! An origin that speaks TLS, says what it met in each handshake, and answers as it is told.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::{HandshakeKind, ServerConfig, ServerConnection, StreamOwned};

use crate::harness::PATIENCE;

pub type Stream = StreamOwned<ServerConnection, TcpStream>;

type Behaviour = dyn Fn(&str, &mut Stream) -> bool + Send + Sync;

/// What a handshake was.
#[derive(Clone, Debug)]
pub struct Met {
    pub resumed: bool,
    pub sni: Option<String>,
    pub alpn: Option<String>,
    pub group: String,
    pub shown: bool,
}

/// A running origin.
pub struct Secure {
    pub address: SocketAddr,
    config: Arc<Mutex<Arc<ServerConfig>>>,
    met: Arc<Mutex<Vec<Met>>>,
    received: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
}

impl Secure {
    /// Answers as `behave` writes when it has read a head; false closes the connection without a word.
    pub fn start(config: ServerConfig, behave: impl Fn(&str, &mut Stream) -> bool + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = Self {
            address: listener.local_addr().unwrap(),
            config: Arc::new(Mutex::new(Arc::new(config))),
            met: Arc::default(),
            received: Arc::default(),
            stop: Arc::default(),
        };
        let behave: Arc<Behaviour> = Arc::new(behave);
        let (config, met, received, stop) = (origin.config.clone(), origin.met.clone(), origin.received.clone(), origin.stop.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let config = config.lock().unwrap().clone();
                let (behave, met, received) = (behave.clone(), met.clone(), received.clone());
                std::thread::spawn(move || serve(stream, config, &*behave, &met, &received));
            }
        });
        origin
    }

    /// Answers everything, and keeps connections.
    pub fn plain(config: ServerConfig) -> Self {
        Self::start(config, |_, stream| stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_ok())
    }

    /// From the next connection on it is this one.
    pub fn becomes(&self, config: ServerConfig) {
        *self.config.lock().unwrap() = Arc::new(config);
    }

    /// The handshakes so far.
    pub fn met(&self) -> Vec<Met> {
        self.met.lock().unwrap().clone()
    }

    /// The heads so far.
    pub fn received(&self) -> Vec<String> {
        self.received.lock().unwrap().clone()
    }
}

impl Drop for Secure {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(socket: TcpStream, config: Arc<ServerConfig>, behave: &Behaviour, met: &Mutex<Vec<Met>>, received: &Mutex<Vec<String>>) {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), socket);
    while stream.conn.is_handshaking() {
        if stream.conn.complete_io(&mut stream.sock).is_err() {
            return;
        }
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    met.lock().unwrap().push(Met {
        resumed: stream.conn.handshake_kind() == Some(HandshakeKind::Resumed),
        sni: stream.conn.server_name().map(str::to_owned),
        alpn: stream.conn.alpn_protocol().map(text),
        group: stream.conn.negotiated_key_exchange_group().map(|group| format!("{:?}", group.name())).unwrap_or_default(),
        shown: stream.conn.peer_certificates().is_some(),
    });
    let mut held = Vec::new();
    let mut space = [0_u8; 4096];
    loop {
        let end = loop {
            if let Some(at) = held.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            match stream.read(&mut space) {
                Ok(count) if count > 0 => held.extend_from_slice(&space[..count]),
                _ => return,
            }
        };
        let head = text(&held[..end]);
        held.drain(..end);
        let length: usize = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
        // As slowly as somebody who is busy: what is sent does not all fit into buffers.
        let (mut slow, mut left) = (length > 1 << 20, length - length.min(held.len()));
        held.drain(..length.min(held.len()));
        while left > 0 {
            if std::mem::take(&mut slow) {
                std::thread::sleep(Duration::from_millis(300));
            }
            let room = left.min(space.len());
            match stream.read(&mut space[..room]) {
                Ok(count) if count > 0 => left -= count,
                _ => return,
            }
        }
        received.lock().unwrap().push(head.clone());
        if !behave(&head, &mut stream) {
            return;
        }
    }
}
