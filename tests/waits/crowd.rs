//! A thousand clients that do not read, in every way there is: each is ended in time, and what they cost is bounded and gone with them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::harness::frames::{self, INITIAL_WINDOW_SIZE, get, greeting, window};
use crate::harness::{PATIENCE, Process, yaml};

const CLIENTS: usize = 1000;
/// The length of an answer that nobody reads.
const LARGE: usize = 4 << 20;
/// The most that one of them may cost, its upstream included: what is held of its answer, and of the upstream's next part of it.
const MOST_EACH: usize = 128;

/// What a client does not read.
#[derive(Clone, Copy, Debug)]
enum Deaf {
    /// An answer of HTTP/1.
    Socket,
    /// An HTTP/2 connection with wide windows.
    WideSocket,
    /// A stream of it, whose window is closed; the socket it reads.
    Window,
}

const KINDS: [Deaf; 3] = [Deaf::Socket, Deaf::WideSocket, Deaf::Window];

async fn serve(mut socket: TcpStream) -> std::io::Result<()> {
    let part = vec![b'x'; 64 << 10];
    loop {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            if socket.read_buf(&mut request).await? == 0 {
                return Ok(());
            }
        }
        socket.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n").as_bytes()).await?;
        for _ in 0..LARGE / part.len() {
            socket.write_all(&part).await?;
        }
    }
}

/// Asks, and reads no more than its kind says. What is given back keeps the connection.
async fn client(kind: Deaf, address: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4096)?;
    let mut socket = socket.connect(address).await?;
    let widest = i32::MAX as u32;
    let said = match kind {
        Deaf::Socket => b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        Deaf::WideSocket => [greeting(&[(INITIAL_WINDOW_SIZE, widest)]), window(0, widest - 65_535), get(1, "/")].concat(),
        Deaf::Window => [greeting(&[(INITIAL_WINDOW_SIZE, 10)]), get(1, "/")].concat(),
    };
    socket.write_all(&said).await?;
    if matches!(kind, Deaf::Window) {
        let mut got = Vec::new();
        while !frames::types(&got).contains(&frames::RST_STREAM) {
            if socket.read_buf(&mut got).await? == 0 {
                break;
            }
        }
    }
    Ok(socket)
}

#[test]
fn clients_that_do_not_read_are_ended_and_their_memory_is_bounded_and_flat() {
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let origin = listener.local_addr().unwrap();
    runtime.spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serve(socket));
        }
    });
    let process = Process::start("deaf", &text(origin));
    let (empty, before) = (process.memory(), process.descriptors());

    let mut peaks = Vec::new();
    for _ in 0..3 {
        let clients: Vec<_> = (0..CLIENTS).map(|index| runtime.spawn(client(KINDS[index % KINDS.len()], process.address))).collect();
        let mut most = 0;
        let deaf: Vec<_> = clients.into_iter().map(|client| runtime.block_on(client).unwrap().unwrap()).collect();
        let end = Instant::now() + PATIENCE * 4;
        while process.descriptors() > before + 20 {
            most = most.max(process.memory());
            assert!(Instant::now() < end, "{} descriptors are left of {CLIENTS} clients", process.descriptors() - before);
            std::thread::sleep(Duration::from_millis(50));
        }
        peaks.push(most);
        drop(deaf);
    }

    let each = peaks[0].saturating_sub(empty) / CLIENTS;
    println!("{CLIENTS} clients that do not read: {empty} KiB before, {peaks:?} KiB at most, {each} KiB each");
    assert!(each < MOST_EACH, "{each} KiB each");
    let usual = peaks[0].max(peaks[1]);
    assert!(peaks[2] < usual + usual / 8 + 8192, "it grows from crowd to crowd: {peaks:?} KiB");
}

fn text(origin: SocketAddr) -> String {
    yaml(
        "
        server:
          listeners: [{address: 127.0.0.1:0, protocols: [h2, http1]}]
          admin: 127.0.0.1:0
          timeouts: {write: 3s, keepalive: 3s}
        upstreams:
          main:
            endpoints: [$ORIGIN]
            timeouts: {connect: 1m, first_byte: 1h, between_bytes: 1h, idle: 1s}
        routes: [{name: all, path: /**, upstream: main}]
        ",
        &[("$ORIGIN", &origin)],
    )
}
