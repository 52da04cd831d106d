//! What becomes of WebSockets when the gateway goes away.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::socket::{self, BOTH, GOING_AWAY, Over, Socket, echo, frame, open, read_frame, run};
use super::text;
use crate::harness::{Log, Origin, PATIENCE, Process, until};

/// What an origin was told with each close.
type Told = Arc<Mutex<Vec<Vec<u8>>>>;

/// An origin that echoes messages and answers a close, and what it was told.
fn polite(told: &Told, bytes: &Arc<AtomicUsize>) -> Origin {
    let (told, bytes) = (told.clone(), bytes.clone());
    socket::origin(move |_, stream| {
        let mut counted = Counted(stream.try_clone().unwrap(), bytes.clone());
        while let Some((opcode, said)) = read_frame(&mut counted) {
            let _ = stream.write_all(&[&[0x80 | opcode, said.len() as u8], &said[..]].concat());
            if opcode == 8 {
                told.lock().unwrap().push(said);
                return;
            }
        }
    })
}

/// Counts what is read.
struct Counted(std::net::TcpStream, Arc<AtomicUsize>);

impl std::io::Read for Counted {
    fn read(&mut self, space: &mut [u8]) -> std::io::Result<usize> {
        let count = self.0.read(space)?;
        self.1.fetch_add(count, Ordering::SeqCst);
        Ok(count)
    }
}

/// Answers the gateway's goodbye, and sees the end.
async fn says_goodbye(socket: &mut Socket, over: Over) {
    assert_eq!(socket.frame().await, (GOING_AWAY.0, GOING_AWAY.1.to_vec()), "{over:?}");
    socket.send(&frame(8, true, &GOING_AWAY.1)).await;
    assert!(socket.is_over().await, "{over:?}");
}

#[test]
fn a_drain_says_goodbye_to_both_sides_between_frames_and_then_ends() {
    let (told, bytes) = (Told::default(), Arc::default());
    let origin = polite(&told, &bytes);
    let log = Log::new("goodbye");
    let mut process = Process::start("goodbye", &log.of(&text(&origin, "admin: 127.0.0.1:0, drain: {timeout: 1h}", "")));

    run(async {
        let (mut idle, mut midway) = (Vec::new(), Vec::new());
        let message = frame(2, true, &[b'm'; 100]);
        for over in BOTH {
            idle.push((over, open(process.address, over, "/").await));
            let mut socket = open(process.address, over, "/").await;
            let before = bytes.load(Ordering::SeqCst);
            socket.send(&message[..50]).await;
            while bytes.load(Ordering::SeqCst) < before + 50 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            midway.push((over, socket));
        }

        process.signal("TERM");

        for (over, socket) in &mut idle {
            says_goodbye(socket, *over).await;
        }
        // The others are told at once as well, and what they are in the middle of reaches the upstream before it is told.
        for (over, socket) in &mut midway {
            socket.send(&message[50..]).await;
            says_goodbye(socket, *over).await;
        }
    });

    assert_eq!(process.end(), Some(0), "nobody was cut off");
    assert_eq!(*told.lock().unwrap(), vec![GOING_AWAY.1.to_vec(); 4]);
    for line in log.wait_for(4) {
        assert_eq!((&line["reason"], line.get("flags")), (&"tunnel_drained".into(), None), "{line}");
        assert!(matches!(line["bytes_in"].as_u64(), Some(0 | 106)), "{line}");
    }
}

#[test]
fn who_does_not_answer_is_cut_at_the_end_of_the_drain_and_its_bytes_are_in_the_log() {
    let origin = socket::origin(echo);
    let log = Log::new("cut-tunnels");
    let mut process = Process::start("cut-tunnels", &log.of(&text(&origin, "admin: 127.0.0.1:0, drain: {timeout: 1s}", "")));

    let began = Instant::now();
    let sockets = run(async {
        let mut sockets = Vec::new();
        for over in BOTH {
            let mut socket = open(process.address, over, "/").await;
            socket.send(&frame(1, true, b"hello")).await;
            socket.hear(11).await;
            sockets.push(socket);
        }
        process.signal("TERM");

        // They are there, and say nothing.
        assert_eq!(process.end(), Some(1), "some were cut off");
        sockets
    });
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!(sockets.len(), 2);
    for line in log.wait_for(2) {
        assert_eq!((&line["reason"], &line["bytes_in"], &line["bytes_out"]), (&"cut_off".into(), &11.into(), &11.into()), "{line}");
    }
}

#[test]
fn what_is_no_websocket_goes_on_for_as_long_as_it_may() {
    let origin = Origin::start(|_, stream| {
        let _ = stream.set_read_timeout(Some(PATIENCE));
        let head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: chat/1\r\n\r\n";
        if stream.write_all(head.as_bytes()).is_ok() {
            let mut heard = [0; 5];
            while std::io::Read::read_exact(stream, &mut heard).is_ok() && stream.write_all(&heard).is_ok() {}
        }
        false
    });
    let mut process = Process::start("other-tunnel", &text(&origin, "admin: 127.0.0.1:0, drain: {timeout: 1h}", ""));
    let mut client = crate::harness::raw(process.address);
    write!(client, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: chat/1\r\n\r\n").unwrap();
    assert_eq!(crate::harness::client::read_reply(&mut client, false).unwrap().status, 101);

    process.signal("TERM");
    until("the listener to be closed", || std::net::TcpStream::connect(process.address).is_err());

    // Not a word that is not the upstream's.
    for _ in 0..3 {
        client.write_all(b"hello").unwrap();
        let mut heard = [0; 5];
        std::io::Read::read_exact(&mut client, &mut heard).unwrap();
        assert_eq!(heard, *b"hello");
    }
    assert!(!process.ended_within(Duration::from_millis(100)));
    drop(client);
    assert_eq!(process.end(), Some(0));
}

#[test]
fn who_asks_during_the_notice_is_served_and_told_at_its_end() {
    let (told, bytes) = (Told::default(), Arc::default());
    let origin = polite(&told, &bytes);
    let mut process = Process::start("notice", &text(&origin, "admin: 127.0.0.1:0, drain: {notice: 2s, timeout: 1h}", ""));
    process.signal("TERM");
    until("readiness to fail", || process.ask("GET", "/readyz").status == 503);

    run(async {
        let mut socket = open(process.address, Over::Http1, "/").await;
        socket.send(&frame(1, true, b"hello")).await;
        assert_eq!(socket.frame().await, (1, b"hello".to_vec()));
        says_goodbye(&mut socket, Over::Http1).await;
    });

    assert_eq!(process.end(), Some(0));
    assert_eq!(told.lock().unwrap().len(), 1);
    assert!(std::net::TcpStream::connect(process.address).is_err(), "nobody listens");
}
