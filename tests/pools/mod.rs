//! Upstreams with many endpoints, and endpoints that operators take out, put back and give other weights.

mod by_hand;
mod churn;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// As many endpoints as one likes behind one socket: it listens on every address of this machine, and knows which one was meant.
pub struct Farm {
    port: u16,
    told: Arc<Told>,
    _runtime: tokio::runtime::Runtime,
}

#[derive(Default)]
struct Told {
    requests: Mutex<BTreeMap<SocketAddr, usize>>,
    connections: AtomicUsize,
    held: AtomicUsize,
    open: tokio::sync::watch::Sender<bool>,
}

impl Farm {
    /// Answers every request with the address that it came to. `/held` waits until [`Farm::open`].
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(async {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind("0.0.0.0:0".parse().unwrap()).unwrap();
            // It stands for thousands of listeners.
            socket.listen(16_384).unwrap()
        });
        let (port, told) = (listener.local_addr().unwrap().port(), Arc::<Told>::default());
        let telling = told.clone();
        runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                telling.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(socket, telling.clone()));
            }
        });
        Self { port, told, _runtime: runtime }
    }

    /// Its endpoint of this number.
    pub fn endpoint(&self, number: usize) -> SocketAddr {
        SocketAddr::from(([127, 1 + (number >> 16) as u8, (number >> 8) as u8, number as u8], self.port))
    }

    /// How many requests came to each address so far.
    pub fn requests(&self) -> BTreeMap<SocketAddr, usize> {
        self.told.requests.lock().unwrap().clone()
    }

    /// How many connections were made to it so far.
    pub fn connections(&self) -> usize {
        self.told.connections.load(Ordering::SeqCst)
    }

    /// How many requests are held.
    pub fn held(&self) -> usize {
        self.told.held.load(Ordering::SeqCst)
    }

    /// Answers all that is held.
    pub fn open(&self) {
        self.told.open.send_replace(true);
    }
}

async fn serve(mut socket: TcpStream, told: Arc<Told>) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    let own = socket.local_addr()?;
    let mut read = Vec::new();
    loop {
        let head = loop {
            if let Some(at) = read.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if socket.read_buf(&mut read).await? == 0 {
                return Ok(());
            }
        };
        *told.requests.lock().unwrap().entry(own).or_default() += 1;
        if read.starts_with(b"GET /held ") {
            told.held.fetch_add(1, Ordering::SeqCst);
            let _ = told.open.subscribe().wait_for(|open| *open).await;
        }
        read.drain(..head);
        let body = own.to_string();
        socket.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes()).await?;
    }
}
