//! WebSockets as a client and as an origin have them: frames byte by byte, over HTTP/1 and over HTTP/2.

use std::future::poll_fn;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use h2::ext::Protocol;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::harness::origin::Request;
use crate::harness::{Origin, PATIENCE};

/// The protocols that a WebSocket can come over.
pub const BOTH: [Over; 2] = [Over::Http1, Over::Http2];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    Http1,
    Http2,
}

/// Runs this with an end to its waits.
pub fn run<T>(scenario: impl Future<Output = T>) -> T {
    run_within(PATIENCE, scenario)
}

/// The same with another one.
pub fn run_within<T>(time: Duration, scenario: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(time, scenario).await.expect("an end of the scenario") })
}

/// A client that has asked for a WebSocket, and what it was answered.
pub struct Asked {
    pub status: u16,
    pub fields: http::HeaderMap,
    pub socket: Socket,
}

/// A client's end of it.
pub enum Socket {
    Http1(tokio::net::TcpStream),
    Http2(h2::SendStream<Bytes>, h2::RecvStream, Vec<u8>),
}

/// A connection of HTTP/2 whose server has said that it takes WebSockets.
pub async fn http2(address: SocketAddr) -> h2::client::SendRequest<Bytes> {
    http2_on(tokio::net::TcpStream::connect(address).await.expect("the gateway listens")).await
}

/// The same on a connection that is there already.
pub async fn http2_on(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> h2::client::SendRequest<Bytes> {
    let (client, connection) = h2::client::handshake(io).await.expect("HTTP/2 is spoken");
    tokio::spawn(async move {
        let _ = connection.await;
    });
    let client = client.ready().await.expect("a stream may be opened");
    while !client.is_extended_connect_protocol_enabled() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    client
}

/// A CONNECT for this protocol.
pub fn connect(path: &str, protocol: &'static str, fields: &[(&str, &str)]) -> http::Request<()> {
    let mut request = http::Request::connect(format!("http://a.example{path}"));
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let mut request = request.body(()).expect("a request");
    request.extensions_mut().insert(Protocol::from_static(protocol));
    request
}

/// Asks for a WebSocket with these fields.
pub async fn ask(address: SocketAddr, over: Over, path: &str, fields: &[(&str, &str)]) -> Asked {
    match over {
        Over::Http1 => ask_http1(address, path, fields).await,
        Over::Http2 => ask_http2(http2(address).await, path, fields).await,
    }
}

/// Asks for one on a connection of HTTP/2.
pub async fn ask_http2(mut client: h2::client::SendRequest<Bytes>, path: &str, fields: &[(&str, &str)]) -> Asked {
    let fields = [&[("sec-websocket-version", "13")], fields].concat();
    let (answer, send) = client.send_request(connect(path, "websocket", &fields), false).expect("it is sent");
    let (head, stream) = answer.await.expect("an answer").into_parts();
    Asked { status: head.status.as_u16(), fields: head.headers, socket: Socket::Http2(send, stream, Vec::new()) }
}

async fn ask_http1(address: SocketAddr, path: &str, fields: &[(&str, &str)]) -> Asked {
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("the gateway listens");
    let _ = stream.set_nodelay(true);
    let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{fields}\r\n"
    );
    stream.write_all(head.as_bytes()).await.expect("it is taken");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("an answer"));
    }
    let head = String::from_utf8(head).expect("text");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let mut fields = http::HeaderMap::new();
    for (name, value) in head.lines().skip(1).filter_map(|line| line.split_once(':')) {
        fields.append(http::HeaderName::try_from(name).expect("a name"), value.trim().parse().expect("a value"));
    }
    Asked { status, fields, socket: Socket::Http1(stream) }
}

/// An open WebSocket.
pub async fn open(address: SocketAddr, over: Over, path: &str) -> Socket {
    let asked = ask(address, over, path, &[]).await;
    assert_eq!(asked.status, if over == Over::Http1 { 101 } else { 200 }, "{over:?}: {:?}", asked.fields);
    asked.socket
}

impl Socket {
    /// Sends these bytes as fast as they are taken.
    pub async fn send(&mut self, bytes: &[u8]) {
        match self {
            Self::Http1(stream) => stream.write_all(bytes).await.expect("it is taken"),
            Self::Http2(send, ..) => {
                let mut left = Bytes::copy_from_slice(bytes);
                while !left.is_empty() {
                    send.reserve_capacity(left.len());
                    let room = poll_fn(|cx| send.poll_capacity(cx)).await.expect("the stream is open").expect("it is not reset");
                    let part = left.split_to(room.min(left.len()));
                    send.send_data(part, false).expect("it is taken");
                }
            }
        }
    }

    /// The next bytes, so many of them.
    pub async fn hear(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        match self {
            Self::Http1(stream) => drop(stream.read_exact(&mut bytes).await.expect("it comes")),
            Self::Http2(_, stream, held) => {
                while held.len() < length {
                    let data = stream.data().await.expect("the stream goes on").expect("it is not reset");
                    stream.flow_control().release_capacity(data.len()).expect("so much came");
                    held.extend_from_slice(&data);
                }
                bytes = held.drain(..length).collect();
            }
        }
        bytes
    }

    /// The next frame: its opcode, and its payload.
    pub async fn frame(&mut self) -> (u8, Vec<u8>) {
        let [first, second] = self.hear(2).await[..] else { unreachable!() };
        assert_eq!(second & 0x80, 0, "a server does not mask");
        let length = match second {
            126 => u16::from_be_bytes(self.hear(2).await.try_into().expect("two bytes")).into(),
            127 => u64::from_be_bytes(self.hear(8).await.try_into().expect("eight bytes")) as usize,
            short => short.into(),
        };
        (first & 0x0f, self.hear(length).await)
    }

    /// Ends this side's half.
    pub async fn end(&mut self) {
        match self {
            Self::Http1(stream) => stream.shutdown().await.expect("it closes its half"),
            Self::Http2(send, ..) => send.send_data(Bytes::new(), true).expect("it ends"),
        }
    }

    /// Whether the other half ends here, and well.
    pub async fn is_over(&mut self) -> bool {
        match self {
            Self::Http1(stream) => stream.read(&mut [0]).await.is_ok_and(|count| count == 0),
            Self::Http2(_, stream, held) => loop {
                match stream.data().await {
                    // What ends it may be a frame of its own.
                    Some(Ok(data)) if data.is_empty() => {}
                    other => return held.is_empty() && other.is_none(),
                }
            },
        }
    }

    /// Whether the stream, or the connection, was broken off by now.
    pub async fn breaks(&mut self) -> bool {
        match self {
            Self::Http1(stream) => stream.read(&mut [0]).await.is_ok_and(|count| count == 0),
            Self::Http2(_, stream, _) => stream.data().await.is_some_and(|data| data.is_err()),
        }
    }
}

/// A frame as a client sends it, whole or a part of a message.
pub fn frame(opcode: u8, last: bool, payload: &[u8]) -> Vec<u8> {
    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = vec![opcode | if last { 0x80 } else { 0 }];
    match payload.len() {
        length @ 0..126 => frame.push(0x80 | length as u8),
        length @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend((length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend(KEY);
    frame.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// The close frame of a server that goes away.
pub const GOING_AWAY: (u8, [u8; 2]) = (8, 1001_u16.to_be_bytes());

/// A frame that a client sent: its opcode and its payload without the mask.
pub fn read_frame(stream: &mut impl Read) -> Option<(u8, Vec<u8>)> {
    let mut header = [0; 2];
    stream.read_exact(&mut header).ok()?;
    assert_eq!(header[1] & 0x80, 0x80, "a client masks");
    let mut long = [0; 8];
    let length = match header[1] & 0x7f {
        126 => stream.read_exact(&mut long[6..]).map(|()| u64::from_be_bytes(long)),
        127 => stream.read_exact(&mut long).map(|()| u64::from_be_bytes(long)),
        short => Ok(short.into()),
    };
    let mut key = [0; 4];
    stream.read_exact(&mut key).ok()?;
    let mut payload = vec![0; length.ok()? as usize];
    stream.read_exact(&mut payload).ok()?;
    payload.iter_mut().zip(key.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
    Some((header[0] & 0x0f, payload))
}

/// The answer to a request's key.
pub fn accept(request: &Request) -> String {
    accept_of(request.header("sec-websocket-key").first().expect("a key"))
}

/// The answer to a key (RFC 6455, section 4.2.2).
pub fn accept_of(key: &str) -> String {
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
    base64::engine::general_purpose::STANDARD.encode(hash)
}

/// Changes to a WebSocket where it is asked to, and then does this; answers all else with `plain`.
pub fn origin(behave: impl Fn(&Request, &mut TcpStream) + Send + Sync + 'static) -> Origin {
    Origin::start(move |request, stream| {
        if request.header("upgrade").is_empty() {
            return stream.write_all(crate::harness::origin::response("200 OK", "", "plain").as_bytes()).is_ok();
        }
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let chosen =
            request.header("sec-websocket-protocol").first().map_or(String::new(), |_| "Sec-WebSocket-Protocol: chat\r\n".to_owned());
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {}\r\n{chosen}\r\n",
            accept(request)
        );
        if stream.write_all(head.as_bytes()).is_ok() {
            behave(request, stream);
        }
        false
    })
}

/// Sends back what comes, until the end.
pub fn echo(_: &Request, stream: &mut TcpStream) {
    let mut space = [0; 1 << 14];
    while let Ok(count) = stream.read(&mut space)
        && count > 0
        && stream.write_all(&space[..count]).is_ok()
    {}
}
