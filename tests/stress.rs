//! Thousands of slow clients in front of slow upstreams, at once: what they cost is bounded, the same for every crowd, and gone with them.
//!
//! Some hundreds by default; with `FRONTGATE_LONG` ten thousand, or two thousand where the machine does not have the descriptors for more.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;

use crate::harness::{PATIENCE, Process, get, yaml};

/// How often something moves where it drips.
const DRIP: Duration = Duration::from_millis(500);
/// The length of an answer that nobody reads.
const LARGE: usize = 128 << 10;
/// The most that one slow client and its upstream may cost: buffers of 16 KiB for each direction of both.
const MOST_EACH: usize = 64;

/// What is slow about a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slow {
    /// Its head comes byte by byte.
    Head,
    /// Its upload does.
    Upload,
    /// It does not read its answer.
    Reading,
    /// Its upstream answers byte by byte.
    Upstream,
}

const KINDS: [Slow; 4] = [Slow::Head, Slow::Upload, Slow::Reading, Slow::Upstream];

/// Whether the crowd still drips, or may end.
type Hurry = watch::Receiver<bool>;

/// Waits for the next drip; false once there is to be no more of them.
async fn drips(hurry: &mut Hurry) -> bool {
    if *hurry.borrow() {
        return false;
    }
    tokio::select! {
        _ = hurry.wait_for(|hurry| *hurry) => false,
        () = tokio::time::sleep(DRIP) => true,
    }
}

/// Sends byte by byte until it is told to hurry.
async fn drip(socket: &mut TcpStream, mut bytes: &[u8], hurry: &mut Hurry) -> std::io::Result<()> {
    while bytes.len() > 1 && drips(hurry).await {
        socket.write_all(&bytes[..1]).await?;
        bytes = &bytes[1..];
    }
    let _ = hurry.wait_for(|hurry| *hurry).await;
    socket.write_all(bytes).await
}

/// An origin as slow as it is asked to be; `asked` counts the requests that it has.
async fn serve(mut socket: TcpStream, asked: Arc<AtomicUsize>, mut hurry: Hurry) -> std::io::Result<()> {
    loop {
        let mut request = Vec::new();
        let head = loop {
            if let Some(at) = request.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if socket.read_buf(&mut request).await? == 0 {
                return Ok(());
            }
        };
        asked.fetch_add(1, Ordering::SeqCst);
        let uploaded = if request.starts_with(b"POST") { 64 } else { 0 };
        while request.len() < head + uploaded {
            if socket.read_buf(&mut request).await? == 0 {
                return Ok(());
            }
        }
        let length = if request.starts_with(b"GET /large") { LARGE } else { 64 };
        let body = vec![b'x'; length];
        socket.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").as_bytes()).await?;
        match request.starts_with(b"GET /drip") {
            true => drip(&mut socket, &body, &mut hurry).await?,
            false => socket.write_all(&body).await?,
        }
    }
}

/// A client that is slow until it is told to hurry; then it must get its whole answer. `begun` counts those that have sent something.
async fn client(kind: Slow, address: SocketAddr, begun: Arc<AtomicUsize>, mut hurry: Hurry) -> Result<(), String> {
    let said = |error: std::io::Error| format!("{kind:?}: {error}");
    let socket = TcpSocket::new_v4().map_err(said)?;
    if kind == Slow::Reading {
        // What is not read waits in the gateway, not in the kernel.
        socket.set_recv_buffer_size(4096).map_err(said)?;
    }
    let mut socket = socket.connect(address).await.map_err(said)?;
    socket.set_nodelay(true).map_err(said)?;
    let head = match kind {
        Slow::Head => "GET / HTTP/1.1\r\nHost: a\r\n",
        Slow::Upload => "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 64\r\n\r\n",
        Slow::Reading => "GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        Slow::Upstream => "GET /drip HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    };
    socket.write_all(head.as_bytes()).await.map_err(said)?;
    begun.fetch_add(1, Ordering::SeqCst);
    match kind {
        Slow::Head => drip(&mut socket, b"X-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nConnection: close\r\n\r\n", &mut hurry)
            .await
            .map_err(said)?,
        Slow::Upload => drip(&mut socket, &[b'u'; 64], &mut hurry).await.map_err(said)?,
        Slow::Reading | Slow::Upstream => {
            let _ = hurry.wait_for(|hurry| *hurry).await;
        }
    }
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.map_err(said)?;
    let length = if kind == Slow::Reading { LARGE } else { 64 };
    let body = answer.windows(4).position(|window| window == b"\r\n\r\n").map_or(0, |at| answer.len() - at - 4);
    if answer.starts_with(b"HTTP/1.1 200 ") && body == length { Ok(()) } else { Err(format!("{kind:?}: {body} of {length} bytes")) }
}

/// How many clients the descriptors of this machine allow: three of four have an upstream each, and other tests have some, too.
fn crowd() -> usize {
    let wanted = if std::env::var_os("FRONTGATE_LONG").is_some() { 10_000 } else { 300 };
    let allowed = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(0) as usize;
    if wanted * 7 / 4 + 1000 <= allowed { wanted } else { wanted.min(2000) }
}

#[test]
fn slow_clients_and_upstreams_cost_what_they_may_and_nothing_when_they_are_gone() {
    let number = crowd();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (hasten, hurry) = watch::channel(false);
    let asked = Arc::new(AtomicUsize::new(0));
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let origin = listener.local_addr().unwrap();
    let (counting, hurrying) = (asked.clone(), hurry.clone());
    runtime.spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let _ = socket.set_nodelay(true);
            tokio::spawn(serve(socket, counting.clone(), hurrying.clone()));
        }
    });
    let process = Process::start("stress", &text(origin));
    get(process.address, "/");
    let (empty, before) = (process.memory(), process.descriptors());

    let mut peaks = Vec::new();
    for wave in 0..3 {
        hasten.send_replace(false);
        let (begun, already) = (Arc::new(AtomicUsize::new(0)), asked.load(Ordering::SeqCst));
        let clients: Vec<_> = (0..number)
            .map(|index| runtime.spawn(client(KINDS[index % KINDS.len()], process.address, begun.clone(), hurry.clone())))
            .collect();
        let with_upstream = number - number.div_ceil(KINDS.len());
        let all_here = || begun.load(Ordering::SeqCst) == number && asked.load(Ordering::SeqCst) == already + with_upstream;
        wait("everybody to be there", all_here);

        // While all of them are slow a good client is served.
        for _ in 0..50 {
            assert_eq!(get(process.address, "/good").status, 200);
        }
        peaks.push(process.memory());
        // Idle connections of the crowd before belong to the thread that made them, and this crowd may have come to others.
        let most = before + number + 2 * with_upstream + 100;
        assert!(process.descriptors() <= most, "{} descriptors", process.descriptors());

        hasten.send_replace(true);
        let wrong: Vec<String> = clients.into_iter().filter_map(|client| runtime.block_on(client).unwrap().err()).collect();
        assert!(wrong.is_empty(), "wave {wave}: {} of {number}: {:?}", wrong.len(), &wrong[..wrong.len().min(5)]);
        // What is idle towards the upstream may stay.
        wait("their descriptors to be given back", || process.descriptors() <= before + with_upstream + 100);
    }

    let each = peaks[0].saturating_sub(empty) / number;
    println!("{number} slow clients: {empty} KiB before, {peaks:?} KiB at most, {each} KiB each");
    assert!(each < MOST_EACH, "{each} KiB each");
    assert!(peaks[2] < peaks[0] + peaks[0] / 8 + 8192, "it grows from crowd to crowd: {peaks:?} KiB");
    wait("idle connections to be closed", || process.descriptors() <= before + 100);
}

/// Waits for longer than usual: a crowd of thousands takes its time to come and to go.
fn wait(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE * 10;
    while !condition() {
        assert!(Instant::now() < end, "{what} did not come about");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn text(origin: SocketAddr) -> String {
    yaml(
        "
        server:
          listeners: [{address: 127.0.0.1:0}]
          admin: 127.0.0.1:0
          timeouts: {header: 1h, body: 1h, write: 1h}
        upstreams:
          main:
            endpoints: [$ORIGIN]
            timeouts: {connect: 1m, first_byte: 1h, between_bytes: 1h, idle: 2s}
        routes:
          - {name: all, path: /**, upstream: main}
        ",
        &[("$ORIGIN", &origin)],
    )
}
