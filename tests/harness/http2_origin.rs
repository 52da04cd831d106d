//! An origin of HTTP/2 with prior knowledge: one that answers streams as it is told, and one whose frames are a script.

use std::future::Future;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Builder, SendResponse};
use h2::{RecvStream, SendStream};
use http::request::Parts;
use http::{HeaderMap, Response};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

use super::frames::{self, frame};

/// A request that wants an answer.
pub struct Asked {
    /// Its head.
    pub head: Parts,
    /// Its body.
    pub body: RecvStream,
    /// Where the answer goes.
    pub respond: SendResponse<Bytes>,
}

impl Asked {
    /// Its whole body and its trailers.
    pub async fn read(&mut self) -> (Vec<u8>, Option<HeaderMap>) {
        let mut body = Vec::new();
        while let Some(Ok(data)) = self.body.data().await {
            let _ = self.body.flow_control().release_capacity(data.len());
            body.extend_from_slice(&data);
        }
        (body, self.body.trailers().await.unwrap_or_default())
    }

    /// Sends a head; with `end` there is no body.
    pub fn head(&mut self, status: u16, fields: &[(&str, &str)], end: bool) -> SendStream<Bytes> {
        let mut head = Response::builder().status(status);
        for (name, value) in fields {
            head = head.header(*name, *value);
        }
        self.respond.send_response(head.body(()).expect("a head"), end).expect("an open stream")
    }

    /// Answers with this.
    pub fn answer(&mut self, body: &str) {
        let mut stream = self.head(200, &[], false);
        let _ = stream.send_data(Bytes::copy_from_slice(body.as_bytes()), true);
    }
}

/// Sends as the windows allow; whether all of it went out.
pub async fn send_all(stream: &mut SendStream<Bytes>, mut data: Bytes, end: bool) -> bool {
    if data.is_empty() && end {
        return stream.send_data(data, true).is_ok();
    }
    while !data.is_empty() {
        stream.reserve_capacity(data.len().min(64 << 10));
        while stream.capacity() == 0 {
            match std::future::poll_fn(|cx| stream.poll_capacity(cx)).await {
                Some(Ok(_)) => {}
                _ => return false,
            }
        }
        let part = data.split_to(stream.capacity().min(data.len()));
        let last = end && data.is_empty();
        if stream.send_data(part, last).is_err() {
            return false;
        }
    }
    true
}

type Behaviour = dyn Fn(Asked) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync;

/// A running origin that speaks HTTP/2 and nothing else.
pub struct Http2Origin {
    pub address: SocketAddr,
    received: Arc<Mutex<Vec<(Parts, usize)>>>,
    connections: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

/// After how many requests a connection is left with a GOAWAY; 0 for never.
const NEVER: usize = 0;

impl Http2Origin {
    /// Answers everything with this text.
    pub fn text(body: &'static str) -> Self {
        Self::start(move |mut asked| async move {
            asked.read().await;
            asked.answer(body);
        })
    }

    /// Answers as `behave` does.
    pub fn start<F: Future<Output = ()> + Send + 'static>(behave: impl Fn(Asked) -> F + Send + Sync + 'static) -> Self {
        Self::with(&Builder::new(), behave)
    }

    /// The same with settings of its own.
    pub fn with<F: Future<Output = ()> + Send + 'static>(settings: &Builder, behave: impl Fn(Asked) -> F + Send + Sync + 'static) -> Self {
        Self::run(settings, None, NEVER, behave)
    }

    /// Leaves each of its connections after so many requests, which it answers.
    pub fn leaving<F: Future<Output = ()> + Send + 'static>(after: usize, behave: impl Fn(Asked) -> F + Send + Sync + 'static) -> Self {
        Self::run(&Builder::new(), None, after, behave)
    }

    /// The same over TLS: whoever does not agree on HTTP/2 there is answered `http1` in HTTP/1.1.
    pub fn secure<F: Future<Output = ()> + Send + 'static>(
        config: rustls::ServerConfig,
        behave: impl Fn(Asked) -> F + Send + Sync + 'static,
    ) -> Self {
        Self::run(&Builder::new(), Some(TlsAcceptor::from(Arc::new(config))), NEVER, behave)
    }

    fn run<F: Future<Output = ()> + Send + 'static>(
        settings: &Builder,
        tls: Option<TlsAcceptor>,
        leaves: usize,
        behave: impl Fn(Asked) -> F + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        listener.set_nonblocking(true).expect("a flag");
        let origin = Self { address, received: Arc::default(), connections: Arc::default(), open: Arc::default(), stop: Arc::default() };
        let behave: Arc<Behaviour> = Arc::new(move |asked| Box::pin(behave(asked)));
        let settings = settings.clone();
        let (received, connections, open, stop) =
            (origin.received.clone(), origin.connections.clone(), origin.open.clone(), origin.stop.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                while let Ok((socket, _)) = listener.accept().await {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    let connection = connections.fetch_add(1, Ordering::SeqCst);
                    let (settings, behave, received, open) = (settings.clone(), behave.clone(), received.clone(), open.clone());
                    let tls = tls.clone();
                    tokio::spawn(async move {
                        open.fetch_add(1, Ordering::SeqCst);
                        let _ = socket.set_nodelay(true);
                        match tls {
                            None => drop(serve(socket, &settings, (connection, leaves), &behave, &received).await),
                            Some(tls) => match tls.accept(socket).into_fallible().await {
                                Ok(stream) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
                                    drop(serve(stream, &settings, (connection, leaves), &behave, &received).await);
                                }
                                Ok(stream) => drop(serve_http1(stream).await),
                                // A reset would overtake the alert that says why.
                                Err((_, mut socket)) => {
                                    let _ = socket.shutdown().await;
                                    let _ = tokio::io::copy(&mut socket, &mut tokio::io::sink()).await;
                                }
                            },
                        }
                        open.fetch_sub(1, Ordering::SeqCst);
                    });
                }
            });
        });
        origin
    }

    /// The heads that it received so far, each with the number of its connection.
    pub fn received(&self) -> Vec<(Parts, usize)> {
        self.received.lock().expect("requests").clone()
    }

    /// The head of the last request.
    pub fn last(&self) -> Parts {
        self.received().pop().expect("the origin received no request").0
    }

    /// How many connections were made to it.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// How many of them are open.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

impl Drop for Http2Origin {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

async fn serve_http1(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> std::io::Result<()> {
    let mut held = Vec::new();
    while stream.read_buf(&mut held).await? > 0 {
        while let Some(at) = held.windows(4).position(|window| window == b"\r\n\r\n") {
            held.drain(..at + 4);
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhttp1").await?;
        }
    }
    Ok(())
}

async fn serve(
    socket: impl AsyncRead + AsyncWrite + Unpin,
    settings: &Builder,
    (number, leaves): (usize, usize),
    behave: &Arc<Behaviour>,
    received: &Mutex<Vec<(Parts, usize)>>,
) -> Result<(), h2::Error> {
    let mut connection = settings.handshake::<_, Bytes>(socket).await?;
    let mut count = 0;
    while let Some(request) = connection.accept().await {
        let (request, respond) = request?;
        let (head, body) = request.into_parts();
        received.lock().expect("requests").push((head.clone(), number));
        count += 1;
        if count == leaves {
            connection.graceful_shutdown();
        }
        tokio::spawn(behave(Asked { head, body, respond }));
    }
    Ok(())
}

/// One frame as it came: its type, its flags, its stream and its payload.
#[derive(Clone, Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// A connection whose frames are said one by one.
pub struct Frames(pub TcpStream);

impl Frames {
    /// The next frame; none at the connection's end, or where nothing comes for so long.
    pub fn next(&mut self, patience: Duration) -> Option<Frame> {
        self.0.set_read_timeout(Some(patience)).expect("a timeout");
        let mut head = [0; 9];
        self.0.read_exact(&mut head).ok()?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload).ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// The next frame of this type; others are passed over, and settings and pings are not answered.
    pub fn next_of(&mut self, kind: u8, patience: Duration) -> Option<Frame> {
        for _ in 0..10_000 {
            let frame = self.next(patience)?;
            if frame.kind == kind {
                return Some(frame);
            }
        }
        None
    }

    /// Sends these bytes. Whether the peer is still there.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).is_ok()
    }

    /// Sends a head of this status, which has to be one of HPACK's own table: 200, 204, 304, 400, 404 or 500.
    pub fn status(&mut self, stream: u32, status: u16, flags: u8) -> bool {
        let indexed = match status {
            200 => 0x88,
            204 => 0x89,
            304 => 0x8b,
            400 => 0x8c,
            404 => 0x8d,
            _ => 0x8e,
        };
        self.send(&frame(frames::HEADERS, flags | frames::END_HEADERS, stream, &[indexed]))
    }
}

/// An origin that greets each connection with these settings, and leaves it to `script` from there, with the connection's number.
pub struct Script {
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl Script {
    /// Starts it.
    pub fn start(settings: &[(u16, u32)], script: impl Fn(&mut Frames, usize) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let origin = Self { address: listener.local_addr().expect("an address"), connections: Arc::default(), stop: Arc::default() };
        let payload: Vec<u8> = settings.iter().flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
        let (script, connections, stop) = (Arc::new(script), origin.connections.clone(), origin.stop.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let number = connections.fetch_add(1, Ordering::SeqCst);
                let (script, payload) = (script.clone(), payload.clone());
                std::thread::spawn(move || {
                    let mut frames = Frames(stream);
                    let mut preface = [0; 24];
                    let _ = frames.0.set_read_timeout(Some(super::PATIENCE));
                    if frames.0.read_exact(&mut preface).is_ok() {
                        frames.send(&[frame(frames::SETTINGS, 0, 0, &payload), frame(frames::SETTINGS, 1, 0, &[])].concat());
                        script(&mut frames, number);
                    }
                });
            }
        });
        origin
    }

    /// How many connections were made to it.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}
