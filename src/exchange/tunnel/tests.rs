//! Tunnels between real sockets; idleness passes by a sweep of the timer.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::*;
use crate::upstream::timer;

const IDLE: Duration = Duration::from_secs(60);

/// A tunnel, and the two outside of it.
struct Tunnel {
    client: TcpStream,
    upstream: TcpStream,
    passed: JoinHandle<Passed>,
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let outside = TcpStream::connect(listener.local_addr().expect("an address")).await.expect("it listens");
    let (inside, _) = listener.accept().await.expect("a connection");
    (outside, inside)
}

/// A tunnel of whose sides this was read already.
async fn between(early: &str, late: &str) -> Tunnel {
    let ((client, a), (upstream, b)) = (pair().await, pair().await);
    let (a, b) = (Side::new(a, early.as_bytes().into()), Side::new(b, late.as_bytes().into()));
    Tunnel { client, upstream, passed: tokio::spawn(tunnel(a, b, IDLE)) }
}

async fn read(socket: &mut TcpStream, length: usize) -> String {
    let mut bytes = vec![0; length];
    socket.read_exact(&mut bytes).await.expect("it comes");
    String::from_utf8(bytes).expect("text")
}

#[tokio::test]
async fn bytes_pass_both_ways_those_that_were_read_already_first() {
    let mut tunnel = between("ear", "la").await;

    tunnel.client.write_all(b"ly").await.expect("it is taken");
    tunnel.upstream.write_all(b"te").await.expect("it is taken");

    assert_eq!((read(&mut tunnel.upstream, 5).await, read(&mut tunnel.client, 4).await), ("early".to_owned(), "late".to_owned()));
    drop((tunnel.client, tunnel.upstream));
    assert_eq!(tunnel.passed.await.expect("it ends"), Passed { there: 5, back: 4 });
}

#[tokio::test]
async fn one_side_may_end_before_the_other() {
    let mut tunnel = between("", "").await;

    tunnel.client.write_all(b"question").await.expect("it is taken");
    tunnel.client.shutdown().await.expect("it closes its half");
    let mut question = String::new();
    tunnel.upstream.read_to_string(&mut question).await.expect("an end");
    tunnel.upstream.write_all(b"answer").await.expect("it is taken");
    drop(tunnel.upstream);
    let mut answer = String::new();
    tunnel.client.read_to_string(&mut answer).await.expect("an end");

    assert_eq!((&*question, &*answer), ("question", "answer"));
    assert_eq!(tunnel.passed.await.expect("it ends"), Passed { there: 8, back: 6 });
}

#[tokio::test]
async fn a_side_that_breaks_ends_the_other() {
    let mut tunnel = between("", "").await;
    tunnel.client.set_zero_linger().expect("a flag");

    drop(tunnel.client);

    assert_eq!(tunnel.upstream.read(&mut [0]).await.unwrap_or(0), 0);
    tunnel.passed.await.expect("it ends");
}

#[tokio::test]
async fn more_than_the_sockets_hold_waits_for_who_reads() {
    const LENGTH: usize = 32 << 20;
    let tunnel = between("", "").await;
    let (mut client, mut upstream) = (tunnel.client, tunnel.upstream);
    let sending = tokio::spawn(async move {
        let part = vec![b'x'; 1 << 20];
        for _ in 0..LENGTH >> 20 {
            client.write_all(&part).await.expect("it is taken");
        }
        client
    });

    // While one direction waits the other goes on.
    upstream.write_all(b"back").await.expect("it is taken");
    let mut count = 0;
    let mut part = vec![0; 1 << 16];
    while count < LENGTH {
        let read = upstream.read(&mut part).await.expect("it comes");
        assert!(read > 0 && part[..read].iter().all(|byte| *byte == b'x'));
        count += read;
    }

    let mut client = sending.await.expect("all of it was sent");
    assert_eq!(read(&mut client, 4).await, "back");
    drop((client, upstream));
    assert_eq!(tunnel.passed.await.expect("it ends"), Passed { there: LENGTH as u64, back: 4 });
}

#[tokio::test]
async fn a_tunnel_in_which_nothing_moves_ends() {
    let mut tunnel = between("", "").await;
    // What moves begins the wait anew.
    for _ in 0..3 {
        tunnel.client.write_all(b"x").await.expect("it is taken");
        assert_eq!(read(&mut tunnel.upstream, 1).await, "x");
        timer::sweep(Instant::now() + IDLE * 9 / 10);
        tokio::task::yield_now().await;
        assert!(!tunnel.passed.is_finished());
    }

    timer::sweep(Instant::now() + IDLE + Duration::from_secs(1));

    assert_eq!(tunnel.client.read(&mut [0]).await.expect("a clean end"), 0);
    assert_eq!(tunnel.upstream.read(&mut [0]).await.expect("a clean end"), 0);
    assert_eq!(tunnel.passed.await.expect("it ends"), Passed { there: 3, back: 0 });
}
