//! Requests on their way in: wherever they are cut, however slowly they come.

use super::*;

const TWO: &str = "POST /a/b?c=d HTTP/1.1\r\nHost: a\r\nX-One: 1\r\nTransfer-Encoding: chunked\r\n\r\n\
                   5;x=y\r\nhello\r\n00006\r\n world\r\n0\r\nX-Sum: 1\r\n\r\nGET /next HTTP/1.1\r\nHost: b\r\n\r\n";

#[tokio::test]
async fn requests_are_the_same_wherever_they_are_cut() {
    for cut in 1..TWO.len() {
        let mut pair = Pair::new().await;
        let (first, second) = TWO.as_bytes().split_at(cut);
        let mut rest = Some(second);

        pair.send(first).await;
        let request = match pair.poll_next() {
            Some(Next::Request(request)) => request,
            Some(_) => panic!("cut at {cut}: no request"),
            None => {
                pair.send(rest.take().expect("it is sent once")).await;
                pair.request().await
            }
        };
        let mut body = Vec::new();
        loop {
            match pair.h1.poll_part(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Ok(Some(part))) => body.extend_from_slice(&part),
                Poll::Ready(Ok(None)) => break,
                Poll::Ready(Err(lost)) => panic!("cut at {cut}: {lost:?}"),
                Poll::Pending => pair.send(rest.take().expect("it is sent once")).await,
            }
        }
        assert!(pair.answer(&request, ok("0"), None).await, "cut at {cut}");
        if let Some(rest) = rest {
            pair.send(rest).await;
        }
        let next = pair.request().await;

        assert_eq!((request.method.as_str(), request.raw_path()), ("POST", &b"/a/b?c=d"[..]), "cut at {cut}");
        assert_eq!(request.headers["x-one"], "1", "cut at {cut}");
        assert_eq!(body, b"hello world", "cut at {cut}");
        assert_eq!((next.method.as_str(), next.raw_path()), ("GET", &b"/next"[..]), "cut at {cut}");
    }
}

#[tokio::test]
async fn what_is_no_request_is_refused_and_the_client_can_read_why() {
    for (raw, status) in [
        ("GET / HTTP/3.0\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", 400),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        ("GET / HTTP/1.1\nHost: a\n\n", 400),
    ] {
        let mut pair = Pair::new().await;
        pair.send(raw.as_bytes()).await;
        let Next::Refused(refusal) = poll_fn(|cx| pair.h1.poll_next(cx, false)).await else { panic!("{raw:?} is taken") };
        assert_eq!(refusal.status, status, "{raw:?}");

        let Pair { h1, mut client, .. } = pair;
        let (seen, ()) = tokio::join!(
            async {
                let mut seen = String::new();
                client.read_to_string(&mut seen).await.expect("a clean end");
                drop(client);
                seen
            },
            h1.refuse(refusal)
        );
        assert!(seen.starts_with(&format!("HTTP/1.1 {status} ")) && seen.ends_with("\r\n\r\nno"), "{seen}");
    }
}

#[tokio::test]
async fn a_head_has_its_time_from_its_first_byte_however_it_drips() {
    let mut pair = Pair::new().await;
    pair.send(b"GET / HT").await;
    assert!(pair.poll_next().is_none());
    later(9 * SECOND);
    assert!(pair.poll_next().is_none(), "its time is not over");

    pair.send(b"TP/1.1\r\n").await;
    assert!(pair.poll_next().is_none());
    later(11 * SECOND);

    assert!(matches!(pair.poll_next(), Some(Next::Refused(Refusal::SLOW_HEAD))));
}

#[tokio::test]
async fn a_silent_connection_ends_without_a_word() {
    for said in ["", "\r\n"] {
        let mut pair = Pair::new().await;
        if !said.is_empty() {
            pair.send(said.as_bytes()).await;
        }
        assert!(pair.poll_next().is_none());
        later(11 * SECOND);

        assert!(matches!(pair.poll_next(), Some(Next::End)), "{said:?}");
    }
}

#[tokio::test]
async fn an_idle_connection_has_longer_than_a_head_and_holds_no_buffer() {
    let (mut pair, request) = Pair::asking("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(pair.answer(&request, ok("0"), None).await);
    assert!(pair.poll_next().is_none());
    assert_eq!(pair.h1.input.capacity(), 0);

    // An empty line that some clients send behind a body is no begin of a head.
    pair.send(b"\r\n").await;
    assert!(pair.poll_next().is_none() && pair.h1.is_between());
    later(60 * SECOND);
    assert!(pair.poll_next().is_none());
    later(71 * SECOND);

    assert!(matches!(pair.poll_next(), Some(Next::End)));
}

#[tokio::test]
async fn rules_hold_from_the_next_request_on() {
    let (mut pair, request) = Pair::asking("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    pair.house.rules.lock().keepalive = 5 * SECOND;
    assert!(pair.answer(&request, ok("0"), None).await);
    assert!(pair.poll_next().is_none());
    later(6 * SECOND);

    assert!(matches!(pair.poll_next(), Some(Next::End)));
}

#[tokio::test]
async fn a_body_that_stalls_is_refused_and_what_has_come_is_worth_time() {
    let (mut pair, _) = Pair::asking("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\n").await;
    let poll = |pair: &mut Pair| pair.h1.poll_part(&mut Context::from_waker(Waker::noop())).map_ok(|part| part.map(|part| part.len()));
    assert!(poll(&mut pair).is_pending());
    pair.send(&[b'x'; 5000]).await;
    assert_eq!(poll(&mut pair), Poll::Ready(Ok(Some(5000))));

    // Thirty seconds, and ten for five thousand bytes.
    assert!(poll(&mut pair).is_pending());
    later(39 * SECOND);
    assert!(poll(&mut pair).is_pending());
    later(41 * SECOND);

    assert_eq!(poll(&mut pair), Poll::Ready(Err(Lost::Refused(Refusal::SLOW_BODY))));
    assert!(!pair.h1.keep);
}

#[tokio::test]
async fn a_body_that_is_malformed_or_ends_early_is_no_body() {
    for (body, status) in [("5\r\nhello", None), ("5\r\nhelloX", Some(400)), ("zz\r\n", Some(400)), ("0\r\nbad trailer\r\n\r\n", Some(400))]
    {
        let (mut pair, _) = Pair::asking(&format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}")).await;
        pair.client.shutdown().await.expect("it closes");

        let met = match pair.body().await {
            Err(Lost::Refused(refusal)) => Some(refusal.status),
            Err(Lost::Left) => None,
            Ok(body) => panic!("{body:?}"),
        };

        assert_eq!(met, status, "{body:?}");
        assert!(!pair.h1.keep, "{body:?}");
    }
}

#[tokio::test]
async fn what_is_sent_ahead_waits_and_no_more_of_it_than_a_buffer_holds() {
    let (mut pair, request) = Pair::asking("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let ahead = "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1000);
    pair.send(ahead.as_bytes()).await;

    // Nobody asks for them yet: the kernel has to hold what is more than early.
    for _ in 0..100 {
        assert!(pair.h1.poll_gone(&mut Context::from_waker(Waker::noop())).is_pending());
        tokio::task::yield_now().await;
    }
    let held = pair.h1.input.len();
    assert!((EARLY..2 * EARLY).contains(&held), "{held} bytes");

    assert!(pair.answer(&request, ok("0"), None).await);
    for _ in 0..1000 {
        let request = pair.request().await;
        assert_eq!(request.raw_path(), b"/2");
        assert!(pair.answer(&request, ok("0"), None).await);
    }
}
