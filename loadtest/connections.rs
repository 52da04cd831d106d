//! A load client whose unit is the connection: TLS handshakes, new and resumed, and WebSockets that open or echo. Closed loop, one thread.
//!
//! `cargo run --release --example connections -- full 127.0.0.1:8443 3 16 ca.pem` makes new handshakes for three seconds, sixteen at a time, and
//! says in a line of JSON what `wrk/report.lua` says of requests. The kinds are `full`, `resumed`, `websocket` and `echo`.
//!
//! A handshake is over once the server has closed after us: only then it has done its part. Every contender is offered TLS 1.3 with X25519 alone,
//! so that nobody pays for a key exchange that others do not have.

use std::io::{self, ErrorKind, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How long one handshake or one message may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The key of RFC 6455's example, whose answer the origin knows by heart.
const OPENING: &[u8] =
    b"GET /socket HTTP/1.1\r\nHost: shop.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
/// What is echoed.
const MESSAGE: [u8; 64] = [b'm'; 64];
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// What came of it.
#[derive(Default)]
struct Tally {
    micros: Vec<u32>,
    wrong: u64,
    broken: u64,
}

#[derive(Clone)]
enum Kind {
    Handshake { resumed: bool, roots: Arc<RootCertStore> },
    Open,
    Echo,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (kind, address, seconds, connections, authority) = match &arguments[..] {
        [kind, address, seconds, connections] => (kind, address, seconds, connections, None),
        [kind, address, seconds, connections, authority] => (kind, address, seconds, connections, Some(authority)),
        _ => panic!("a kind (full, resumed, websocket, echo), an address, seconds, connections and, for TLS, a file with the authority"),
    };
    let address: SocketAddr = address.parse().expect("an address");
    let kind = match &**kind {
        "full" | "resumed" => {
            let mut roots = RootCertStore::empty();
            let file = authority.expect("a file with the authority");
            for certificate in CertificateDer::pem_file_iter(file).expect("a file in PEM") {
                roots.add(certificate.expect("a certificate")).expect("an authority");
            }
            Kind::Handshake { resumed: kind == "resumed", roots: Arc::new(roots) }
        }
        "websocket" => Kind::Open,
        "echo" => Kind::Echo,
        other => panic!("`{other}` is none of full, resumed, websocket and echo"),
    };
    let seconds: u64 = seconds.parse().expect("seconds");
    let connections: usize = connections.parse().expect("a number of connections");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut all = Tally::default();
    runtime.block_on(async {
        let workers: Vec<_> = (0..connections).map(|_| tokio::spawn(work(kind.clone(), address, until))).collect();
        for worker in workers {
            let tally = worker.await.expect("a worker that does not panic");
            all.micros.extend(tally.micros);
            (all.wrong, all.broken) = (all.wrong + tally.wrong, all.broken + tally.broken);
        }
    });
    all.micros.sort_unstable();
    let at = |part: f64| {
        all.micros.get(((all.micros.len() as f64 * part) as usize).min(all.micros.len().saturating_sub(1))).copied().unwrap_or(0)
    };
    let result = serde_json::json!({
        "requests": all.micros.len(), "rps": all.micros.len() as f64 / seconds as f64, "status_errors": all.wrong, "socket_errors": all.broken,
        "p50": at(0.5), "p99": at(0.99),
    });
    writeln!(io::stdout(), "RESULT {result}").expect("standard output");
}

/// One after the other, to the end of the time.
async fn work(kind: Kind, address: SocketAddr, until: Instant) -> Tally {
    let mut tally = Tally::default();
    let connector = match &kind {
        Kind::Handshake { resumed, roots } => Some(connector(*resumed, roots)),
        _ => None,
    };
    let mut socket = None;
    // The first one has nothing to resume.
    let mut fresh = true;
    while Instant::now() < until {
        let began = Instant::now();
        let once = async {
            match (&kind, &connector) {
                (Kind::Handshake { resumed, .. }, Some(connector)) => {
                    let wanted = if *resumed && !fresh { HandshakeKind::Resumed } else { HandshakeKind::Full };
                    Ok(handshake(connector, address).await? == Some(wanted))
                }
                (Kind::Open, _) => echo(&mut open(address).await?).await,
                _ => {
                    let mut open = match socket.take() {
                        Some(socket) => socket,
                        None => open(address).await?,
                    };
                    let same = echo(&mut open).await?;
                    socket = Some(open);
                    Ok::<_, io::Error>(same)
                }
            }
        };
        match tokio::time::timeout(PATIENCE, once).await {
            Ok(Ok(true)) => tally.micros.push(began.elapsed().as_micros() as u32),
            Ok(Ok(false)) => tally.wrong += 1,
            Ok(Err(_)) | Err(_) => {
                tally.broken += 1;
                // What is refused at once must not become a storm.
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        fresh = false;
    }
    tally
}

/// Sessions are each worker's own: a ticket serves once.
fn connector(resumed: bool, roots: &Arc<RootCertStore>) -> TlsConnector {
    let provider = CryptoProvider { kx_groups: vec![aws_lc_rs::kx_group::X25519], ..aws_lc_rs::default_provider() };
    let builder = ClientConfig::builder_with_provider(Arc::new(provider)).with_protocol_versions(&[&rustls::version::TLS13]);
    let mut config = builder.expect("TLS 1.3 with X25519").with_root_certificates(roots.clone()).with_no_client_auth();
    config.resumption = if resumed { Resumption::in_memory_sessions(8) } else { Resumption::disabled() };
    TlsConnector::from(Arc::new(config))
}

/// One handshake, and what it was.
async fn handshake(connector: &TlsConnector, address: SocketAddr) -> io::Result<Option<HandshakeKind>> {
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let mut stream = connector.connect(ServerName::try_from("shop.example").expect("a name"), socket).await?;
    stream.shutdown().await?;
    // To the server's end, with the tickets before it.
    let mut space = [0; 4096];
    loop {
        match stream.read(&mut space).await {
            Ok(1..) => {}
            Ok(0) => break,
            // Not every server says in TLS that it closes.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(error),
        }
    }
    Ok(stream.get_ref().1.handshake_kind())
}

/// A WebSocket that has opened.
async fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let mut socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    socket.write_all(OPENING).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > 8 << 10 {
            return Err(ErrorKind::InvalidData.into());
        }
        // Nothing follows the head before the first message was sent.
        socket.read_buf(&mut head).await.and_then(|count| if count == 0 { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(()) })?;
    }
    if head.starts_with(b"HTTP/1.1 101") { Ok(socket) } else { Err(ErrorKind::InvalidData.into()) }
}

/// One message there and back. Whether it came back as it was.
async fn echo(socket: &mut TcpStream) -> io::Result<bool> {
    let mut frame = vec![0x82, 0x80 | MESSAGE.len() as u8];
    frame.extend_from_slice(&MASK);
    frame.extend(MESSAGE.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    socket.write_all(&frame).await?;
    let mut back = [0; MESSAGE.len() + 2];
    socket.read_exact(&mut back).await?;
    Ok(back[..2] == [0x82, MESSAGE.len() as u8] && back[2..] == MESSAGE)
}
