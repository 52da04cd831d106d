//! The demo's WebSocket: what it is told, it says again.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::websocket;

/// The longest head, and the longest payload of a frame.
const LONGEST: usize = 64 << 10;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// Starts it in a thread of its own that lives as long as the process.
pub(super) fn start() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("demo-echo".into()).spawn(move || {
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            loop {
                let (socket, _) = listener.accept().await?;
                tokio::spawn(serve(BufReader::new(socket)));
            }
            #[allow(unreachable_code, reason = "it says what `?` gives")]
            Ok::<(), io::Error>(())
        })
    })?;
    Ok(address)
}

async fn serve(mut socket: BufReader<TcpStream>) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > LONGEST {
            return Err(ErrorKind::InvalidData.into());
        }
        head.push(socket.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let key = head.lines().filter_map(|line| line.split_once(':')).find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"));
    let Some((_, key)) = key else {
        let text = "Ask for a WebSocket.\n";
        let answer = format!(
            "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{text}",
            text.len()
        );
        return socket.write_all(answer.as_bytes()).await;
    };
    let accept = websocket::answer_to(key.trim().as_bytes());
    let answer =
        format!("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n");
    socket.write_all(answer.as_bytes()).await?;
    loop {
        let (first, payload) = frame(&mut socket).await?;
        let first = if first & 0x0f == PING { first & 0xf0 | PONG } else { first };
        socket.write_all(&framed(first, &payload)).await?;
        if first & 0x0f == CLOSE {
            return socket.shutdown().await;
        }
    }
}

/// The next frame of a client (RFC 6455, section 5.2): its first byte, and its payload without the mask.
async fn frame(socket: &mut BufReader<TcpStream>) -> io::Result<(u8, Vec<u8>)> {
    let [first, second] = [socket.read_u8().await?, socket.read_u8().await?];
    let length = match second & 0x7f {
        126 => usize::from(socket.read_u16().await?),
        127 => usize::try_from(socket.read_u64().await?).unwrap_or(usize::MAX),
        short => usize::from(short),
    };
    if second & 0x80 == 0 || length > LONGEST {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut mask = [0; 4];
    socket.read_exact(&mut mask).await?;
    let mut payload = vec![0; length];
    socket.read_exact(&mut payload).await?;
    payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    Ok((first, payload))
}

/// A frame as a server sends it.
fn framed(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match u16::try_from(payload.len()) {
        Ok(short @ 0..126) => frame.push(short as u8),
        Ok(length) => {
            frame.push(126);
            frame.extend_from_slice(&length.to_be_bytes());
        }
        Err(_) => {
            frame.push(127);
            frame.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    frame
}
