//! The demo's gRPC service: `helloworld.Greeter/SayHello`, as every introduction has it, with messages of one text each.

use std::io;
use std::net::{SocketAddr, TcpListener};

use bytes::{BufMut, Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{RecvStream, server};
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::net::TcpStream;

/// The longest name that is greeted, with its frame.
const LONGEST: usize = 4 << 10;
/// Field 1 of a message, a text (Protocol Buffers, "Message Structure").
const TEXT: u8 = 0x0a;
/// Before every message: whether it is compressed, and its length in four bytes.
const FRAME: usize = 5;
const OK: u8 = 0;
const INVALID_ARGUMENT: u8 = 3;
const UNIMPLEMENTED: u8 = 12;

/// Starts it in a thread of its own that lives as long as the process.
pub(super) fn start() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("demo-greeter".into()).spawn(move || {
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            loop {
                let (socket, _) = listener.accept().await?;
                tokio::spawn(serve(socket));
            }
            #[allow(unreachable_code, reason = "it says what `?` gives")]
            Ok::<(), io::Error>(())
        })
    })?;
    Ok(address)
}

async fn serve(socket: TcpStream) -> Result<(), h2::Error> {
    let mut connection = server::handshake(socket).await?;
    while let Some(call) = connection.accept().await {
        let (request, respond) = call?;
        tokio::spawn(answer(request, respond));
    }
    Ok(())
}

async fn answer(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) -> Result<(), h2::Error> {
    let known = request.uri().path() == "/helloworld.Greeter/SayHello";
    let mut body = request.into_body();
    let mut message = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        if message.len() + data.len() <= LONGEST {
            message.extend_from_slice(&data);
        }
    }
    let greeting = name(&message).map(|name| greet(&name));
    let status = match (&greeting, known) {
        (_, false) => UNIMPLEMENTED,
        (None, _) => INVALID_ARGUMENT,
        (Some(_), _) => OK,
    };
    let head = Response::builder().header("content-type", "application/grpc").body(()).expect("a head of constants");
    let mut stream = respond.send_response(head, false)?;
    if let Some(greeting) = greeting.filter(|_| status == OK) {
        stream.send_data(greeting, false)?;
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from(u16::from(status)));
    stream.send_trailers(trailers)
}

/// The text of a message; an empty message has an empty one.
fn name(framed: &[u8]) -> Option<String> {
    let (frame, message) = framed.split_at_checked(FRAME)?;
    let length = usize::try_from(u32::from_be_bytes(frame[1..].try_into().ok()?)).ok()?;
    if frame[0] != 0 || length != message.len() {
        return None;
    }
    match message {
        [] => Some(String::new()),
        // One byte holds lengths up to 127.
        [TEXT, length @ 0..128, text @ ..] if usize::from(*length) == text.len() => String::from_utf8(text.to_vec()).ok(),
        _ => None,
    }
}

fn greet(name: &str) -> Bytes {
    let text = format!("Hello, {name}");
    let mut length = text.len();
    let mut message = vec![TEXT];
    // A number in bytes of seven bits each, the lowest first.
    while length >= 128 {
        message.push(length as u8 & 127 | 128);
        length >>= 7;
    }
    message.push(length as u8);
    message.extend_from_slice(text.as_bytes());
    let mut framed = BytesMut::with_capacity(FRAME + message.len());
    framed.put_u8(0);
    framed.put_u32(message.len() as u32);
    framed.put_slice(&message);
    framed.freeze()
}
