use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::harness::client::read_reply;
use crate::harness::http2::over_http2;
use crate::harness::origin::response;
use crate::harness::{Gateway, Origin, exchange, raw, until, yaml};

/// An origin that says how much of a body it got, and never asks for one.
fn counting() -> Origin {
    Origin::start(|request, stream| stream.write_all(response("200 OK", "", &request.body.len().to_string()).as_bytes()).is_ok())
}

fn gateway(origin: &Origin) -> Gateway {
    Gateway::start(&yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0}], limits: {body: 1MiB}}
        upstreams: {main: {endpoints: [$ORIGIN]}, away: {endpoints: ['127.0.0.1:1']}}
        filters:
          few: {rate_limit: {key: client_ip, rate: 1/h, burst: 1}}
        routes:
          - {name: all, path: /**, upstream: main}
          - {name: limited, path: /limited, upstream: main, filters: [few]}
          - {name: away, path: /away, upstream: away}
        ",
        &[("$ORIGIN", &origin.address)],
    ))
}

fn ask(gateway: &Gateway, path: &str, fields: &str) -> TcpStream {
    let mut client = raw(gateway.address);
    write!(client, "POST {path} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n{fields}\r\n").unwrap();
    client
}

/// The next head, byte by byte: nothing behind it is read.
fn head(client: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        assert_eq!(client.read(&mut byte).expect("a head"), 1, "the connection ended");
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

const GO_ON: &str = "HTTP/1.1 100 Continue\r\n\r\n";

#[test]
fn who_is_not_refused_is_told_to_go_on_by_the_gateway_and_the_upstream_hears_nothing_of_it() {
    let origin = counting();
    let gateway = gateway(&origin);

    for (fields, body) in [("Content-Length: 5\r\n", "hello"), ("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n")] {
        let mut client = ask(&gateway, "/", fields);
        for _ in 0..2 {
            assert_eq!(head(&mut client), GO_ON);
            client.write_all(body.as_bytes()).unwrap();
            let reply = read_reply(&mut client, false).unwrap();
            assert_eq!((reply.status, reply.text()), (200, "5".to_owned()), "{fields}");
            assert!(origin.last().header("expect").is_empty(), "{}", origin.last().head);
            // The connection is good for another.
            write!(client, "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\n{fields}\r\n").unwrap();
        }
    }
}

#[test]
fn who_is_refused_is_not_told_to_go_on_and_may_skip_its_body() {
    let origin = counting();
    let gateway = gateway(&origin);
    assert_eq!(exchange(gateway.address, b"GET /limited HTTP/1.1\r\nHost: a\r\n\r\n").unwrap().status, 200);

    for (path, fields, status) in [
        ("/limited", "Content-Length: 5\r\n", 429),
        ("/", "Content-Length: 9999999\r\n", 413),
        ("/away", "Transfer-Encoding: chunked\r\n", 502),
    ] {
        let mut client = ask(&gateway, path, fields);
        let said = head(&mut client);
        assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{said}");
        assert!(said.contains("connection: close\r\n"), "{said}");
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).expect("a clean end");
    }
    assert_eq!(origin.received().len(), 1);
}

#[test]
fn over_http2_it_is_the_same() {
    let origin = counting();
    let gateway = Gateway::start(&yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0, protocols: [h2, http1]}]}
        upstreams: {main: {endpoints: [$ORIGIN]}}
        filters: {few: {rate_limit: {key: client_ip, rate: 1/h, burst: 1}}}
        routes:
          - {name: all, path: /**, upstream: main}
          - {name: limited, path: /limited, upstream: main, filters: [few]}
        ",
        &[("$ORIGIN", &origin.address)],
    ));
    let request =
        |path: &str, expected: &str| http::Request::post(format!("http://a.example{path}")).header("expect", expected).body(()).unwrap();

    over_http2(gateway.address, async |client| {
        let open = async |path: &str, expected: &str| {
            let mut client = client.clone().ready().await.unwrap();
            client.send_request(request(path, expected), false).unwrap()
        };
        let (mut answer, mut body) = open("/limited", "100-continue").await;
        let told = std::future::poll_fn(|cx| answer.poll_informational(cx)).await.unwrap().unwrap();
        assert_eq!((told.status().as_u16(), told.headers().len()), (100, 0));
        body.send_data(bytes::Bytes::from_static(b"hello"), true).unwrap();
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.into_body().data().await.unwrap().unwrap(), "5");
        assert!(origin.last().header("expect").is_empty(), "{}", origin.last().head);

        // Who is refused is told nothing before.
        let (mut answer, _body) = open("/limited", "100-continue").await;
        assert!(std::future::poll_fn(|cx| answer.poll_informational(cx)).await.is_none());
        assert_eq!(answer.await.unwrap().status(), 429);
        assert_eq!(open("/", "x").await.0.await.unwrap().status(), 417);
    });
}

#[test]
fn a_slow_body_is_still_waited_for_only_so_long_and_nobody_waits_for_an_upstream_s_word() {
    let origin = counting();
    let gateway = Gateway::over(origin.address, "timeouts: {body: 400ms}", "");
    let mut client = ask(&gateway, "/", "Content-Length: 5\r\n");
    assert_eq!(head(&mut client), GO_ON);
    client.write_all(b"x").unwrap();

    read_reply(&mut client, false).unwrap().is_problem(408);
}

#[test]
fn who_sends_its_body_at_once_or_has_none_or_is_too_old_is_told_nothing() {
    let origin = counting();
    let gateway = gateway(&origin);

    let cases = [
        "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n",
        "POST / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
    ];
    for case in cases {
        let mut client = raw(gateway.address);
        client.write_all(case.as_bytes()).unwrap();
        let said = head(&mut client);
        assert!(said.starts_with("HTTP/1.1 200 "), "{case:?}: {said}");
    }
    // An old client that holds its body back waits for nothing.
    let mut client = raw(gateway.address);
    client.write_all(b"POST / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n").unwrap();
    client.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(client.read(&mut [0]).is_err(), "it is told something");
}

#[test]
fn other_expectations_are_not_met() {
    let origin = counting();
    let gateway = gateway(&origin);

    for expected in ["200-ok", "100-continue, x", "x", "100-continue=1"] {
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\nExpect: {expected}\r\nContent-Length: 2\r\n\r\nhi");
        exchange(gateway.address, request.as_bytes()).unwrap().is_problem(417);
    }
    assert!(origin.received().is_empty());
    let request = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: \r\nContent-Length: 2\r\n\r\nhi";
    assert_eq!(exchange(gateway.address, request).unwrap().status, 200, "nothing is expected");
}

#[test]
fn an_upstream_that_says_go_on_all_the_same_is_not_repeated() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counting = asked.clone();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            head(&mut stream);
            stream.write_all(GO_ON.as_bytes()).unwrap();
            counting.fetch_add(1, Ordering::SeqCst);
            let mut body = [0; 5];
            stream.read_exact(&mut body).unwrap();
            stream.write_all(response("200 OK", "", "done").as_bytes()).unwrap();
        }
    });
    let gateway = Gateway::over(address, "", "");

    let mut client = ask(&gateway, "/", "Content-Length: 5\r\n");
    assert_eq!(head(&mut client), GO_ON);
    until("the upstream's word", || asked.load(Ordering::SeqCst) == 1);
    client.write_all(b"hello").unwrap();
    let said = head(&mut client);

    assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
}
