//! Clients of HTTP/2 that attack, over raw frames: each comes to its end, and while all of them go on at once memory is bounded and who means
//! well is served as before.

mod attacks;
mod handshakes;

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use self::attacks::{ATTACKS, Attack};
use crate::harness::frames::{GOAWAY, types};
use crate::harness::http2::over_http2;
use crate::harness::{Gateway, PATIENCE, Process, get, raw, until, yaml};

/// The length of an answer that nobody takes.
const LARGE: usize = 256 << 10;

/// Tells the attackers to stop once it is dropped, be it by a test that fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// An origin that answers at once, with a large body, after a while, or only when an upload is there: by the path.
struct Origin {
    address: SocketAddr,
    _runtime: tokio::runtime::Runtime,
}

impl Origin {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket));
            }
        });
        Self { address, _runtime: runtime }
    }
}

async fn serve(mut socket: tokio::net::TcpStream) -> std::io::Result<()> {
    let _ = socket.set_nodelay(true);
    loop {
        let mut request = Vec::new();
        while !request.windows(4).any(|window| window == b"\r\n\r\n") {
            if socket.read_buf(&mut request).await? == 0 {
                return Ok(());
            }
        }
        if request.starts_with(b"POST") {
            // Whoever uploads never comes to an end here.
            while socket.read(&mut [0; 4096]).await? > 0 {}
            return Ok(());
        }
        let length = if request.starts_with(b"GET /large") { LARGE } else { 64 };
        if request.starts_with(b"GET /slow") {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        socket.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").as_bytes()).await?;
        socket.write_all(&vec![b'x'; length]).await?;
    }
}

fn text(origin: SocketAddr) -> String {
    yaml(
        "
        server:
          listeners: [{address: 127.0.0.1:0, protocols: [h2, http1]}]
          admin: 127.0.0.1:0
          timeouts: {header: 2s, body: 1s, write: 1s, keepalive: 2s}
        upstreams: {main: {endpoints: [$ORIGIN]}}
        routes: [{name: all, path: /**, upstream: main}]
        ",
        &[("$ORIGIN", &origin)],
    )
}

/// How an attack ended.
#[derive(Debug)]
struct Ended {
    /// How much it had sent.
    sent: usize,
    /// Whether it was told that it was to end, as far as it read that.
    was_told: bool,
    took: Duration,
}

/// Attacks until the connection has ended, or `stop`, or patience does; none where it has not ended.
fn attack(address: SocketAddr, attack: Attack, stop: &AtomicBool) -> Option<Ended> {
    let began = Instant::now();
    let mut stream = raw(address);
    stream.set_write_timeout(Some(Duration::from_millis(50))).unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let reader = attack.reads.then(|| {
        let (mut stream, over) = (stream.try_clone().unwrap(), over.clone());
        stream.set_read_timeout(Some(PATIENCE * 2)).unwrap();
        std::thread::spawn(move || {
            let (mut all, mut space) = (Vec::new(), vec![0; 1 << 16]);
            let ended = loop {
                match stream.read(&mut space) {
                    Ok(0) => break true,
                    Ok(count) if all.len() < 8 << 20 => all.extend_from_slice(&space[..count]),
                    Ok(_) => {}
                    Err(error) => break error.kind() == std::io::ErrorKind::ConnectionReset,
                }
            };
            over.store(ended, Ordering::SeqCst);
            types(&all).contains(&GOAWAY)
        })
    });
    let (mut sent, mut round) = (0, 0);
    let mut rest = (attack.begin)();
    let ended = loop {
        if over.load(Ordering::SeqCst) {
            break true;
        }
        if stop.load(Ordering::SeqCst) || began.elapsed() > PATIENCE {
            break false;
        }
        if rest.is_empty() {
            rest = (attack.then)(round);
            round += 1;
        }
        if rest.is_empty() {
            // It waits. Who does not read either finds out by writing what asks for nothing.
            std::thread::sleep(Duration::from_millis(20));
            if !attack.reads && round % 20 == 0 {
                rest = crate::harness::frames::window(0, 1);
            }
            continue;
        }
        match stream.write(&rest) {
            Ok(count) => {
                sent += count;
                rest.drain(..count);
            }
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Err(_) => break true,
        }
    };
    let _ = stream.shutdown(std::net::Shutdown::Both);
    let was_told = reader.is_some_and(|reader| reader.join().unwrap());
    ended.then(|| Ended { sent, was_told, took: began.elapsed() })
}

#[test]
fn every_attack_comes_to_its_end() {
    let origin = Origin::start();
    let gateway = Gateway::start(&text(origin.address));
    let never = AtomicBool::new(false);

    let ends: Vec<(Attack, Option<Ended>)> = std::thread::scope(|scope| {
        let attacks: Vec<_> = ATTACKS.iter().map(|one| (*one, scope.spawn(|| attack(gateway.address, *one, &never)))).collect();
        attacks.into_iter().map(|(one, thread)| (one, thread.join().unwrap())).collect()
    });

    for (attack, end) in &ends {
        if let Some(Ended { sent, was_told, took }) = end {
            println!("{}: {sent} bytes in {took:?}, told so: {was_told}", attack.name);
        }
    }
    let endless: Vec<&str> = ends.iter().filter(|(_, end)| end.is_none()).map(|(attack, _)| attack.name).collect();
    assert!(endless.is_empty(), "they go on: {endless:?}");
    // What floods is ended by how much it is, whatever the machine's speed: none got this far.
    for (attack, end) in &ends {
        let sent = end.as_ref().map_or(0, |end| end.sent);
        assert!(sent < 8 << 20, "{}: {sent} bytes", attack.name);
    }
    until("the requests to end", || gateway.running.requests() == 0);
    until("the connections to be gone", || gateway.metric("frontgate_connections{listener=\"127.0.0.1:0\"}") == 0.0);
    until("connections refused total", || {
        gateway.metric("frontgate_connections_refused_total{listener=\"127.0.0.1:0\",reason=\"flood\"}") >= 8.0
    });
    assert_eq!(get(gateway.address, "/").status, 200);
}

#[test]
fn a_client_that_asks_and_takes_much_is_no_flood() {
    let origin = Origin::start();
    let gateway = Gateway::start(&text(origin.address));

    over_http2(gateway.address, async |client| {
        // Two thousand requests, and 16 MiB in answers, of which every frame is given back at once, and every fifth request is left halfway.
        for round in 0..100_u32 {
            let asked = (0..20_u32).map(|index| {
                let mut client = client.clone();
                async move {
                    let path = if index == 0 && round < 64 { "large" } else { "small" };
                    let request = http::Request::get(format!("http://a.example/{path}")).body(()).unwrap();
                    let (answer, _) = client.send_request(request, true).unwrap();
                    if index % 5 == 4 {
                        return;
                    }
                    let mut body = answer.await.unwrap().into_body();
                    while let Some(data) = body.data().await {
                        body.flow_control().release_capacity(data.unwrap().len()).unwrap();
                    }
                }
            });
            let tasks: Vec<_> = asked.map(tokio::spawn).collect();
            for task in tasks {
                task.await.unwrap();
            }
        }
    });

    assert_eq!(gateway.metric("frontgate_connections_refused_total{listener=\"127.0.0.1:0\",reason=\"flood\"}"), 0.0);
}

/// The middle of the waits of a client who asks now and then, on one connection, until `stop`; at least `least` of them.
fn waits(address: SocketAddr, least: usize, stop: &AtomicBool) -> Duration {
    let mut waits = over_http2(address, async |mut client| {
        let mut waits = Vec::new();
        while waits.len() < least || !stop.load(Ordering::SeqCst) {
            let began = Instant::now();
            let request = http::Request::get("http://a.example/good").body(()).unwrap();
            let (answer, _) = client.send_request(request, true).expect("a good client's connection goes on");
            let answer = answer.await.expect("a good client is answered");
            assert_eq!(answer.status(), 200);
            let mut body = answer.into_body();
            while let Some(data) = body.data().await {
                let length = data.expect("all of the answer").len();
                body.flow_control().release_capacity(length).unwrap();
            }
            waits.push(began.elapsed());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        waits
    });
    waits.sort();
    waits[waits.len() / 2]
}

/// How often each attack goes on at once, and for how long.
const AT_ONCE: usize = 2;
const LASTS: Duration = Duration::from_secs(8);
/// The most that all of them may cost, in KiB: two megabytes for every connection that there is at any time.
const MOST: usize = ATTACKS.len() * AT_ONCE * 2048;

#[test]
fn under_all_attacks_at_once_memory_is_bounded_and_a_good_client_is_served() {
    let origin = Origin::start();
    let process = Process::start("floods", &text(origin.address));
    let (address, stop, attacks) = (process.address, AtomicBool::new(true), AtomicUsize::new(0));
    let before = waits(address, 100, &stop);
    let empty = process.memory();
    stop.store(false, Ordering::SeqCst);

    let (under, peak) = std::thread::scope(|scope| {
        let over = Stop(&stop);
        for one in ATTACKS.iter().cycle().take(ATTACKS.len() * AT_ONCE) {
            scope.spawn(|| {
                // Whoever was thrown out comes again.
                while !stop.load(Ordering::SeqCst) {
                    attack(address, *one, &stop);
                    attacks.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let good = scope.spawn(|| waits(address, 20, &stop));
        let (began, mut peak) = (Instant::now(), 0);
        while began.elapsed() < LASTS {
            peak = peak.max(process.memory());
            std::thread::sleep(Duration::from_millis(50));
        }
        drop(over);
        (good.join().unwrap(), peak)
    });

    let grown = peak.saturating_sub(empty);
    println!(
        "{} attacks; {empty} KiB before, {peak} KiB at most; a good client waited {before:?} before and {under:?} meanwhile",
        attacks.load(Ordering::SeqCst)
    );
    assert!(grown < MOST, "{grown} KiB more");
    assert!(under < before * 10 + Duration::from_millis(100), "{before:?} before, {under:?} meanwhile");
    until("what the attackers had to be given back", || {
        let metrics = process.ask("GET", "/metrics").text();
        metrics.lines().any(|line| line == "frontgate_connections{listener=\"127.0.0.1:0\"} 0")
    });
    assert_eq!(get(address, "/").status, 200);
}
