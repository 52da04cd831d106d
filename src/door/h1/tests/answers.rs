//! Answers on their way out: framing, what can be taken back, and clients that do not read.

use super::*;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const OLD: &str = "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n";

#[tokio::test]
async fn a_body_is_framed_as_the_client_can_read_it() {
    let head = |length| status(StatusCode::OK, length);
    for (request, head, body, end) in [
        (GET, head(Some("4")), Some("body"), "content-length: 4\r\ndate: D\r\n\r\nbody"),
        (GET, head(None), Some("body"), "date: D\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"),
        (GET, head(None), None, "date: D\r\ncontent-length: 0\r\n\r\n"),
        (GET, status(StatusCode::NO_CONTENT, None), None, "date: D\r\n\r\n"),
        (GET, status(StatusCode::NOT_MODIFIED, Some("4")), None, "content-length: 4\r\ndate: D\r\n\r\n"),
        (OLD, head(Some("4")), Some("body"), "content-length: 4\r\ndate: D\r\nconnection: keep-alive\r\n\r\nbody"),
        (OLD, head(None), Some("body"), "date: D\r\nconnection: close\r\n\r\nbody"),
        ("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", head(Some("4")), Some("body"), "content-length: 4\r\ndate: D\r\n\r\n"),
        ("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", head(None), Some("body"), "date: D\r\n\r\n"),
    ] {
        let (mut pair, request) = Pair::asking(request).await;
        let keeps = pair.answer(&request, head, body).await;
        let all = if keeps { pair.seen(end.rsplit_once("D\r\n").expect("a date").1).await } else { pair.all().await };

        let date = all.split("date: ").nth(1).expect("a date").split('\r').next().expect("a line").to_owned();
        assert!(all.replace(&date, "D").ends_with(&format!("\r\n{end}")), "{all:?}");
        assert_eq!(keeps, !all.contains("close"), "{all:?}");
    }
}

#[tokio::test]
async fn trailers_reach_whom_chunks_reach() {
    let mut trailers = http::HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("1"));
    for (asked, end) in [(GET, "\r\n\r\n4\r\nbody\r\n0\r\nx-sum: 1\r\n\r\n"), (OLD, "\r\n\r\nbody")] {
        let (mut pair, request) = Pair::asking(asked).await;
        pair.h1.queue_head(&status(StatusCode::OK, None), &request.method, false);
        pair.h1.queue_body(Bytes::from_static(b"body"), false);
        pair.h1.queue_trailers(&trailers);
        pair.flush().await.expect("it is taken");

        assert_eq!(pair.h1.turn().await, asked == GET);
        let all = if asked == GET { pair.seen(end).await } else { pair.all().await };
        assert!(all.ends_with(end), "{all:?}");
    }
}

#[tokio::test]
async fn an_answer_of_another_length_than_it_said_ends_the_connection() {
    for (length, body, sent) in [("3", "body", ""), ("5", "body", "body")] {
        let (mut pair, request) = Pair::asking(GET).await;

        assert!(!pair.answer(&request, ok(length), Some(body)).await, "{length}");

        assert!(!pair.h1.must_linger());
        let all = pair.all().await;
        assert!(all.ends_with(&format!("\r\n\r\n{sent}")), "{all:?}");
    }
}

#[tokio::test]
async fn large_and_small_parts_leave_in_order() {
    let (mut pair, request) = Pair::asking(GET).await;
    let parts = [10, 20_000, 1, 70_000, 0, 16_384, 3].map(|length| Bytes::from(vec![b'a' + (length % 26) as u8; length]));
    pair.h1.queue_head(&status(StatusCode::OK, None), &request.method, false);
    for part in &parts {
        pair.h1.queue_body(part.clone(), false);
    }
    pair.h1.queue_body(Bytes::new(), true);
    pair.flush().await.expect("it is taken");

    let all = pair.seen("\r\n0\r\n\r\n").await;

    let mut rest = all.split_once("\r\n\r\n").expect("a head").1;
    for part in parts.iter().filter(|part| !part.is_empty()) {
        let (size, after) = rest.split_once("\r\n").expect("a chunk's size");
        assert_eq!(usize::from_str_radix(size, 16).expect("a size"), part.len());
        assert_eq!(after.as_bytes()[..part.len()], part[..]);
        rest = &after[part.len() + 2..];
    }
    assert_eq!(rest, "0\r\n\r\n");
    assert_eq!(pair.h1.moved().1, parts.iter().map(|part| part.len() as u64).sum::<u64>());
}

#[tokio::test]
async fn an_answer_can_be_taken_back_while_none_of_it_was_written() {
    let (mut pair, request) = Pair::asking(GET).await;
    let mut held = Held { h1: pair.h1, request: &request, hold: None };
    held.inform(status(StatusCode::from_u16(103).expect("a status"), None));
    held.flush().await.expect("it is taken");
    held.inform(status(StatusCode::from_u16(102).expect("a status"), None));
    held.head(ok("4"), false);
    held.body(Bytes::from_static(b"body"), true);

    assert!(held.take_back(), "only interim answers were written");
    assert!(held.h1.status().is_none());
    held.head(status(StatusCode::BAD_GATEWAY, Some("3")), false);
    held.body(Bytes::from_static(b"bad"), true);
    held.flush().await.expect("it is taken");
    assert!(!held.take_back(), "it is out");

    pair.h1 = held.h1;
    assert!(pair.h1.turn().await);
    let all = pair.seen("bad").await;
    let lines: Vec<&str> = all.lines().filter(|line| line.starts_with("HTTP/")).collect();
    assert_eq!(lines, ["HTTP/1.1 103 Early Hints", "HTTP/1.1 102 Processing", "HTTP/1.1 502 Bad Gateway"]);
    assert!(!all.contains("body"));
}

#[tokio::test]
async fn a_changed_protocol_names_its_hop() {
    let (mut pair, request) = Pair::asking("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\nearly").await;
    let held = Held { h1: pair.h1, request: &request, hold: None };
    assert_eq!(held.upgrade().expect("it asks for it"), "chat");
    let mut head = status(StatusCode::SWITCHING_PROTOCOLS, None);
    head.insert_header("upgrade", "chat").expect("a field");
    pair.h1 = held.h1;

    pair.h1.queue_informational(&head);
    pair.flush().await.expect("it is taken");

    let all = pair.seen("\r\n\r\n").await;
    assert!(all.contains("\r\nupgrade: chat\r\nconnection: upgrade\r\n"), "{all}");
    assert_eq!(pair.h1.into_parts().1, "early");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_given_up_in_time() {
    let (mut pair, request) = Pair::asking(GET).await;
    pair.h1.queue_head(&status(StatusCode::OK, None), &request.method, false);
    let part = Bytes::from(vec![b'x'; 1 << 20]);
    // As much as the kernel takes.
    while pair.poll_out().is_ready() {
        pair.h1.queue_body(part.clone(), false);
        tokio::task::yield_now().await;
    }

    later(29 * SECOND);
    assert!(pair.poll_out().is_pending());

    // It is looked a few times whether something was taken, and what has arrived since begins the wait anew.
    let mut waits = 0;
    while pair.poll_out().is_pending() {
        waits += 1;
        assert!(waits < 30, "it takes nothing");
        later(31 * SECOND);
    }
    assert!(!pair.h1.turn().await && !pair.h1.must_linger());
    // What the kernel held is gone with the connection.
    drop(pair.h1);
    let mut all = Vec::new();
    assert!(pair.client.read_to_end(&mut all).await.is_err(), "{} bytes and a clean end", all.len());
}

#[tokio::test]
async fn a_client_that_reads_slowly_is_waited_for() {
    let (mut pair, request) = Pair::asking(GET).await;
    pair.h1.queue_head(&status(StatusCode::OK, None), &request.method, false);
    let part = Bytes::from(vec![b'x'; 1 << 20]);
    let mut waits = 0;
    while waits < 10 {
        match pair.poll_out() {
            Poll::Ready(Ok(())) => pair.h1.queue_body(part.clone(), false),
            Poll::Ready(Err(lost)) => panic!("{lost:?} after {waits} waits"),
            Poll::Pending => {
                waits += 1;
                pair.client.read_exact(&mut [0; 100_000]).await.expect("it is there");
                later(31 * SECOND);
            }
        }
        tokio::task::yield_now().await;
    }
}
