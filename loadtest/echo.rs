//! The origin of WebSockets: what it is sent, it sends back. One thread.
//!
//! `cargo run --release --example echo -- 127.0.0.1:8082` answers the opening handshake of RFC 6455's example, whose key all clients here send, and
//! then every frame with its like.

use std::io::{self, ErrorKind};

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

const ACCEPTED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
const REFUSED: &[u8] = b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
/// The longest payload that is echoed.
const LONGEST: usize = 1 << 20;

fn main() {
    let address = std::env::args().nth(1).expect("an address to listen on");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind(&address).await.expect("a free port");
        loop {
            match listener.accept().await {
                Ok((socket, _)) => drop(tokio::spawn(serve(socket))),
                // Descriptors may run out for a while.
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
            }
        }
    });
}

async fn serve(socket: TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut socket = BufReader::new(socket);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > 8 << 10 {
            return Err(ErrorKind::InvalidData.into());
        }
        head.push(socket.read_u8().await?);
    }
    if !String::from_utf8_lossy(&head).to_ascii_lowercase().contains("upgrade: websocket") {
        return socket.write_all(REFUSED).await;
    }
    socket.write_all(ACCEPTED).await?;
    while let Some(answer) = answer(&mut socket).await? {
        socket.write_all(&answer).await?;
    }
    socket.shutdown().await
}

/// The next frame as it goes back (RFC 6455, section 5.2); none once one has closed.
async fn answer(socket: &mut BufReader<TcpStream>) -> io::Result<Option<Vec<u8>>> {
    let [first, second] = [socket.read_u8().await?, socket.read_u8().await?];
    let mut answer = vec![first];
    let length = match second & 0x7f {
        126 => usize::from(socket.read_u16().await?),
        127 => usize::try_from(socket.read_u64().await?).unwrap_or(usize::MAX),
        short => usize::from(short),
    };
    if second & 0x80 == 0 || length > LONGEST {
        return Err(ErrorKind::InvalidData.into());
    }
    match length {
        0..126 => answer.push(length as u8),
        126..65_536 => {
            answer.push(126);
            answer.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            answer.push(127);
            answer.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    let mut mask = [0; 4];
    socket.read_exact(&mut mask).await?;
    let begins = answer.len();
    answer.resize(begins + length, 0);
    socket.read_exact(&mut answer[begins..]).await?;
    answer[begins..].iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    match first & 0x0f {
        8 => {
            socket.write_all(&answer).await?;
            Ok(None)
        }
        9 => {
            // A ping is answered with a pong.
            answer[0] = first & 0xf0 | 10;
            Ok(Some(answer))
        }
        _ => Ok(Some(answer)),
    }
}
