//! How connections go on, and how they end.

use tokio::io::AsyncReadExt;

use super::*;

fn post(version: &str, fields: &str, body: &str) -> String {
    format!("POST / HTTP/{version}\r\nHost: a\r\n{fields}\r\n{body}")
}

#[tokio::test]
async fn a_connection_is_kept_where_both_sides_want_it() {
    for (version, options, keeps) in [
        ("1.1", "", true),
        ("1.1", "Connection: keep-alive\r\n", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: x, CLOSE\r\n", false),
        ("1.1", "Connection: close, keep-alive\r\n", false),
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
        ("1.0", "Connection: close\r\nConnection: keep-alive\r\n", false),
    ] {
        let (mut pair, request) = Pair::asking(&post(version, options, "")).await;

        assert_eq!(pair.answer(&request, ok("0"), None).await, keeps, "{version} {options:?}");

        let head = pair.seen("\r\n\r\n").await;
        assert_eq!(head.contains("connection: close"), !keeps, "{version} {options:?}: {head}");
        assert_eq!(head.contains("connection: keep-alive"), keeps && version == "1.0", "{version} {options:?}: {head}");
    }
}

#[tokio::test]
async fn answers_close_their_connections_on_the_way_out() {
    let (mut pair, request) = Pair::asking(&post("1.1", "", "")).await;
    pair.house.draining.store(true, Ordering::SeqCst);

    assert!(!pair.answer(&request, ok("0"), None).await);

    assert!(pair.seen("\r\n\r\n").await.contains("connection: close"));
    assert!(pair.h1.must_linger(), "the client may be sending its next request");
}

#[tokio::test]
async fn what_little_is_left_of_a_body_is_read_and_the_connection_kept() {
    for (length, body) in [(5, "hello"), (60_000, "")] {
        let (mut pair, request) = Pair::asking(&post("1.1", &format!("Content-Length: {length}\r\n"), body)).await;
        pair.h1.queue_head(&ok("0"), &request.method, true);
        pair.flush().await.expect("it is taken");
        assert!(!pair.seen("\r\n\r\n").await.contains("close"));

        let Pair { mut h1, mut client, .. } = pair;
        let rest = format!("{}GET /next HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(length - body.len()));
        let (turned, sent) = tokio::join!(h1.turn(), client.write_all(rest.as_bytes()));

        sent.expect("it is taken");
        assert!(turned);
        let Next::Request(next) = poll_fn(|cx| h1.poll_next(cx, false)).await else { panic!("no request") };
        assert_eq!(next.raw_path(), b"/next");
    }
}

#[tokio::test]
async fn what_much_is_left_of_a_body_ends_the_connection_after_the_answer() {
    for fields in ["Content-Length: 100000\r\n", "Transfer-Encoding: chunked\r\n", "Content-Length: 5\r\nExpect: 100-continue\r\n"] {
        let (mut pair, request) = Pair::asking(&post("1.1", fields, "")).await;

        assert!(!pair.answer(&request, ok("2"), Some("no")).await, "{fields}");

        assert!(pair.h1.must_linger(), "{fields}");
        let Pair { h1, mut client, .. } = pair;
        // The client goes on sending, and still reads why it need not.
        let reading = async {
            let mut all = String::new();
            client.write_all(&[b'x'; 50_000]).await.expect("it is read");
            client.read_to_string(&mut all).await.expect("a clean end");
            client.write_all(&[b'x'; 50_000]).await.expect("it is still read");
            drop(client);
            all
        };
        let (all, ()) = tokio::join!(reading, h1.linger());
        assert!(all.contains("connection: close") && all.ends_with("\r\n\r\nno"), "{fields}: {all}");
    }
}

#[tokio::test]
async fn nobody_is_listened_to_for_ever() {
    for silent in [true, false] {
        let (pair, _) = Pair::asking(&post("1.1", "Content-Length: 100000000\r\n", "")).await;
        let Pair { h1, mut client, .. } = pair;
        let mut lingering = Box::pin(h1.linger());
        let part = vec![b'x'; 1 << 16];
        let mut sent = 0;
        // One that sends on is left after so many bytes, one that is silent after some time.
        poll_fn(|cx| {
            let ended = lingering.as_mut().poll(cx);
            if ended.is_ready() {
                return ended;
            }
            if silent {
                later(3 * SECOND);
            } else if let Poll::Ready(Ok(count)) = Pin::new(&mut client).poll_write(cx, &part) {
                sent += count;
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
        assert!(silent || sent > LINGER.1, "{sent} bytes");
    }
}

#[tokio::test]
async fn a_client_that_leaves_is_noticed_while_its_request_is_served() {
    for half_close in [false, true] {
        let mut pair = Pair::new().await;
        pair.house.rules.lock().half_close = half_close;
        pair.h1.rules.half_close = half_close;
        pair.send(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let request = pair.request().await;
        pair.client.shutdown().await.expect("it closes its half");

        while pair.h1.half_closed.is_none() {
            assert!(pair.poll_gone().is_pending());
            tokio::task::yield_now().await;
        }
        // What needs no wait is answered, be it known by then that the client has no more to say.
        later(FAREWELL / 2);
        assert!(pair.poll_gone().is_pending());
        later(FAREWELL * 2);
        assert_eq!(pair.poll_gone().is_ready(), !half_close);
        if !half_close {
            assert!(!pair.h1.keep);
            continue;
        }
        // It still gets what it asked for, and no more.
        assert!(pair.answer(&request, ok("0"), None).await);
        let second = pair.request().await;
        assert!(!pair.answer(&second, ok("0"), None).await);
        assert_eq!(pair.seen("connection: close\r\n\r\n").await.matches("HTTP/1.1 200").count(), 2);
    }
}

#[tokio::test]
async fn a_client_that_closed_its_half_is_waited_with_anew_for_each_request_that_it_sent() {
    let mut pair = Pair::new().await;
    pair.send(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let request = pair.request().await;
    pair.client.shutdown().await.expect("it closes its half");
    while pair.h1.half_closed.is_none() {
        assert!(pair.poll_gone().is_pending());
        tokio::task::yield_now().await;
    }
    let first = pair.h1.half_closed;

    assert!(pair.answer(&request, ok("0"), None).await);
    let second = pair.request().await;

    assert!(pair.h1.half_closed > first);
    assert!(pair.poll_gone().is_pending());
    assert!(!pair.answer(&second, ok("0"), None).await);
    assert_eq!(pair.seen("connection: close\r\n\r\n").await.matches("HTTP/1.1 200").count(), 2);
}

#[tokio::test]
async fn a_body_that_breaks_off_ends_in_a_reset_where_the_connections_end_may_pass_for_the_bodys() {
    for (version, length) in [("1.0", None), ("1.0", Some("10")), ("1.1", Some("10"))] {
        let (mut pair, request) = Pair::asking(&post(version, "", "")).await;
        pair.h1.queue_head(&status(StatusCode::OK, length), &request.method, false);
        pair.h1.queue_body(Bytes::from_static(b"body"), false);
        pair.flush().await.expect("it is taken");
        pair.seen("body").await;

        pair.h1.break_off();
        drop(pair.h1);

        let end = pair.client.read(&mut [0]).await;
        assert_eq!(end.is_ok(), version == "1.1", "HTTP/{version}, {length:?}: {end:?}");
    }
}

#[tokio::test]
async fn a_reset_is_noticed_and_ends_what_is_written() {
    let (mut pair, _) = Pair::asking(&post("1.1", "", "")).await;
    pair.client.set_zero_linger().expect("a flag");
    drop(pair.client);

    poll_fn(|cx| pair.h1.poll_gone(cx)).await;

    assert!(!pair.h1.keep);
}

#[tokio::test]
async fn a_body_that_ends_with_its_connection_does_so_cleanly_only_when_it_is_whole() {
    for whole in [false, true] {
        let (mut pair, request) = Pair::asking(&post("1.0", "", "")).await;
        pair.h1.queue_head(&status(StatusCode::OK, None), &request.method, false);
        pair.h1.queue_body(Bytes::from_static(b"body"), whole);
        pair.flush().await.expect("it is taken");
        assert_eq!(pair.seen("body").await.matches("connection: close").count(), 1);
        assert!(!pair.h1.turn().await);

        // As it is dropped by a task that is gone, or by a process.
        drop(pair.h1);

        let end = pair.client.read(&mut [0]).await;
        assert_eq!(end.is_ok_and(|count| count == 0), whole);
    }
}
