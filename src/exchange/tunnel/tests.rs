//! Tunnels between real sockets; idleness passes by a sweep of the timer.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;
use crate::upstream::timer;

impl Ahead for TcpStream {}

const IDLE: Duration = Duration::from_secs(60);

/// A tunnel, and the two outside of it.
struct Between {
    client: TcpStream,
    upstream: TcpStream,
    /// Has the gateway leave.
    leave: oneshot::Sender<()>,
    /// The bytes there and back, and why it ended.
    ended: JoinHandle<(u64, u64, Over)>,
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let outside = TcpStream::connect(listener.local_addr().expect("an address")).await.expect("it listens");
    let (inside, _) = listener.accept().await.expect("a connection");
    (outside, inside)
}

async fn tunnel(early: &str, late: &str, websocket: bool) -> Between {
    let ((client, a), (upstream, b)) = (pair().await, pair().await);
    let (client_side, upstream_side) = (Side::new(a, early.as_bytes().into()), Side::new(b, late.as_bytes().into()));
    let (leave, leaving) = oneshot::channel::<()>();
    let ended = tokio::spawn(async move {
        let tunnel = Tunnel { client: client_side, upstream: upstream_side, idle: IDLE, websocket };
        let (mut there, mut back) = (0, 0);
        let leaving = async {
            if leaving.await.is_err() {
                std::future::pending().await
            }
        };
        let over = tunnel.pass(Passed { there: &mut there, back: &mut back }, leaving).await;
        (there, back, over)
    });
    Between { client, upstream, leave, ended }
}

/// A tunnel of whose sides this was read already.
async fn between(early: &str, late: &str) -> Between {
    tunnel(early, late, false).await
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
    assert_eq!(tunnel.ended.await.expect("it ends"), (5, 4, Over::Ended));
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
    assert_eq!(tunnel.ended.await.expect("it ends"), (8, 6, Over::Ended));
}

#[tokio::test]
async fn a_side_that_breaks_ends_the_other() {
    let mut tunnel = between("", "").await;
    tunnel.client.set_zero_linger().expect("a flag");

    drop(tunnel.client);

    assert_eq!(tunnel.upstream.read(&mut [0]).await.unwrap_or(0), 0);
    tunnel.ended.await.expect("it ends");
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
    assert_eq!(tunnel.ended.await.expect("it ends"), (LENGTH as u64, 4, Over::Ended));
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
        assert!(!tunnel.ended.is_finished());
    }

    timer::sweep(Instant::now() + IDLE + Duration::from_secs(1));

    assert_eq!(tunnel.client.read(&mut [0]).await.expect("a clean end"), 0);
    assert_eq!(tunnel.upstream.read(&mut [0]).await.expect("a clean end"), 0);
    assert_eq!(tunnel.ended.await.expect("it ends"), (3, 0, Over::Idle));
}

/// A frame of a WebSocket, as a client sends it with a key of zeros, or as a server does.
fn frame(opcode: u8, payload: &[u8], masked: bool) -> Vec<u8> {
    let mask = if masked { 0x80 } else { 0 };
    [&[0x80 | opcode, mask | payload.len() as u8][..], if masked { &[0; 4] } else { &[] }, payload].concat()
}

const FAREWELL: [u8; 4] = [0x88, 2, 3, 0xe9];

/// Reads the gateway's own masked close frame.
async fn is_told(upstream: &mut TcpStream) {
    let mut frame = [0; 8];
    upstream.read_exact(&mut frame).await.expect("it is told");
    let [first, second, a, b, _, _, c, d] = frame;
    assert_eq!([first, second & 0x7f, c ^ a, d ^ b], FAREWELL);
    assert_eq!(second & 0x80, 0x80, "a client masks");
}

async fn is_over(socket: &mut TcpStream) {
    assert_eq!(socket.read(&mut [0]).await.expect("a clean end"), 0);
}

#[tokio::test]
async fn a_websocket_between_two_frames_is_told_on_both_sides_and_ends_once_both_have_answered() {
    let mut tunnel = tunnel("", "", true).await;
    tunnel.client.write_all(&frame(1, b"hi", true)).await.expect("it is taken");
    let mut heard = [0; 8];
    tunnel.upstream.read_exact(&mut heard).await.expect("it passes");
    assert_eq!(heard[6..], *b"hi");

    tunnel.leave.send(()).expect("it is there");
    let mut told = [0; 4];
    tunnel.client.read_exact(&mut told).await.expect("it is told");
    assert_eq!(told, FAREWELL);
    is_told(&mut tunnel.upstream).await;
    // What was on its way comes too late, and the answers are nobody's but the gateway's.
    tunnel.client.write_all(&[frame(1, b"late", true), frame(8, &[3, 0xe9], true)].concat()).await.expect("it is taken");
    assert!(!tunnel.ended.is_finished());
    tunnel.upstream.write_all(&frame(8, &[3, 0xe9], false)).await.expect("it is taken");

    is_over(&mut tunnel.client).await;
    is_over(&mut tunnel.upstream).await;
    assert_eq!(tunnel.ended.await.expect("it ends"), (8, 0, Over::GoneAway));
}

#[tokio::test]
async fn in_the_middle_of_a_frame_its_rest_passes_before_the_last_word() {
    let mut tunnel = tunnel("", "", true).await;
    let (question, answer) = (frame(2, &[b'q'; 100], true), frame(2, &[b'a'; 100], false));
    tunnel.client.write_all(&question[..50]).await.expect("it is taken");
    tunnel.upstream.write_all(&answer[..1]).await.expect("it is taken");
    let mut heard = vec![0; 50];
    tunnel.upstream.read_exact(&mut heard).await.expect("it passes");
    let mut back = vec![0; 1];
    tunnel.client.read_exact(&mut back).await.expect("it passes");

    tunnel.leave.send(()).expect("it is there");
    // Behind the rest of each frame comes another, which does not pass.
    tunnel.client.write_all(&[&question[50..], &question].concat()).await.expect("it is taken");
    tunnel.upstream.write_all(&[&answer[1..], &answer].concat()).await.expect("it is taken");

    let mut rest = vec![0; question.len() - 50];
    tunnel.upstream.read_exact(&mut rest).await.expect("it passes");
    assert_eq!([heard, rest].concat(), question);
    is_told(&mut tunnel.upstream).await;
    let mut rest = vec![0; answer.len() - 1 + FAREWELL.len()];
    tunnel.client.read_exact(&mut rest).await.expect("it passes");
    assert_eq!([back, rest].concat(), [&answer[..], &FAREWELL].concat());
    tunnel.client.write_all(&frame(8, b"", true)).await.expect("it is taken");
    tunnel.upstream.write_all(&frame(8, b"", false)).await.expect("it is taken");
    assert_eq!(tunnel.ended.await.expect("it ends"), (question.len() as u64, answer.len() as u64, Over::GoneAway));
}

#[tokio::test]
async fn who_has_closed_already_is_answered_by_the_gateway_and_the_other_side_is_told_once() {
    let mut tunnel = tunnel("", "", true).await;
    let close = frame(8, &[3, 0xe8], true);
    tunnel.client.write_all(&close).await.expect("it is taken");
    let mut heard = vec![0; close.len()];
    tunnel.upstream.read_exact(&mut heard).await.expect("it passes");
    assert_eq!(heard, close);

    tunnel.leave.send(()).expect("it is there");
    let mut told = [0; 4];
    tunnel.client.read_exact(&mut told).await.expect("it is told");
    assert_eq!(told, FAREWELL);
    tunnel.upstream.write_all(&frame(8, &[3, 0xe8], false)).await.expect("it is taken");

    is_over(&mut tunnel.upstream).await;
    assert_eq!(tunnel.ended.await.expect("it ends").2, Over::GoneAway);
}

#[tokio::test]
async fn what_is_no_websocket_is_told_nothing() {
    let mut tunnel = between("", "").await;
    tunnel.leave.send(()).expect("it is there");

    tunnel.client.write_all(b"\x01").await.expect("it is taken");
    assert_eq!(read(&mut tunnel.upstream, 1).await.len(), 1);
    tunnel.upstream.write_all(b"x").await.expect("it is taken");

    assert_eq!(read(&mut tunnel.client, 1).await, "x");
    assert!(!tunnel.ended.is_finished());
}
