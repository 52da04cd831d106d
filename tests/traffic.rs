use std::io::Write;

use crate::harness::client::read_reply;
use crate::harness::origin::response;
use crate::harness::{Gateway, Origin, exchange, get, raw, yaml};

#[test]
fn a_request_reaches_the_origin_and_its_answer_the_client() {
    let origin = Origin::json(r#"{"id":1}"#);
    let gateway = Gateway::over(origin.address, "", "");

    let reply = get(gateway.address, "/a/b?c=d");

    assert_eq!((reply.status, reply.json()["id"].as_i64()), (200, Some(1)));
    assert!(reply.header("x-request-id").is_some());
    let seen = origin.last();
    assert_eq!(seen.line(), "GET /a/b?c=d HTTP/1.1");
    assert_eq!(seen.header("host"), ["test.example"]);
    assert_eq!(seen.header("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(seen.header("x-real-ip"), ["127.0.0.1"]);
    assert_eq!(seen.header("x-forwarded-proto"), ["http"]);
    assert_eq!(seen.header("x-forwarded-host"), ["test.example"]);
    assert_eq!(seen.header("x-request-id"), [reply.header("x-request-id").unwrap()]);
}

#[test]
fn one_connection_serves_many_requests_on_one_origin_connection() {
    let origin = Origin::json("{}");
    let gateway = Gateway::over(origin.address, "", "");
    let mut stream = raw(gateway.address);

    for number in 0..50 {
        stream.write_all(format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
        assert_eq!(read_reply(&mut stream, false).unwrap().status, 200);
    }

    assert_eq!(origin.received().len(), 50);
    assert!(origin.connections() <= 2, "{} connections", origin.connections());
}

#[test]
fn bodies_arrive_whole_counted_or_in_chunks() {
    let origin = Origin::json("{}");
    let gateway = Gateway::over(origin.address, "", "");

    let counted = exchange(gateway.address, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello").unwrap();
    let chunked = exchange(
        gateway.address,
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nT: u\r\n\r\n",
    )
    .unwrap();

    assert_eq!((counted.status, chunked.status), (200, 200));
    for request in origin.received() {
        assert_eq!(request.body, b"hello");
    }
    assert!(!String::from_utf8_lossy(&origin.wire()).contains("x=y"), "chunk extensions are not handed on");
}

#[test]
fn routes_redirects_answers_and_methods() {
    let origin = Origin::json("{}");
    let gateway = Gateway::start(&yaml(
        r#"
        upstreams:
          main: {endpoints: [$ORIGIN]}
        routes:
          - name: api
            host: shop.example
            path: /api/v1/**
            methods: [GET]
            upstream: main
            rewrite: {strip_prefix: /api/v1}
          - name: api-write
            host: shop.example
            path: /api/v1/**
            methods: [POST]
            upstream: main
            rewrite: {path: "/w/{rest}"}
          - {name: old, path: /old/**, redirect: {to: "/new/{rest}", status: 307}}
          - {name: teapot, path: /tea, respond: {status: 418, body: short, headers: {X-Pot: stout}}}
          - {name: wide, path: /**, respond: {json: {wide: true}}}
        "#,
        &[("$ORIGIN", &origin.address)],
    ));
    let send = |method: &str, path: &str, host: &str| {
        exchange(gateway.address, format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes()).unwrap()
    };

    assert_eq!(send("GET", "/api/v1/p/1?q=2", "SHOP.example:80").status, 200);
    assert_eq!(origin.last().line(), "GET /p/1?q=2 HTTP/1.1");
    assert_eq!(send("POST", "/api/v1/p/1?q=2", "shop.example").status, 200);
    assert_eq!(origin.last().line(), "POST /w/p/1?q=2 HTTP/1.1");
    let wrong = send("DELETE", "/api/v1/p", "shop.example");
    wrong.is_problem(405);
    assert_eq!(wrong.header("allow"), Some("GET, HEAD, POST"));
    assert_eq!(send("GET", "/api/v1/p", "other.example").json()["wide"], true);
    let moved = send("GET", "/old/a/b?c=d", "x");
    assert_eq!((moved.status, moved.header("location")), (307, Some("/new/a/b?c=d")));
    let tea = send("GET", "/tea", "x");
    assert_eq!((tea.status, tea.header("x-pot"), tea.text()), (418, Some("stout"), "short".into()));
    assert_eq!(send("HEAD", "/tea", "x").body, b"");
}

#[test]
fn weights_and_versions_of_endpoints() {
    let (one, two) = (Origin::json("1"), Origin::json("2"));
    let gateway = Gateway::start(&yaml(
        "
        server:
          listeners: [{address: 127.0.0.1:0}]
          filters: [stamp]
        upstreams:
          main:
            endpoints:
              - {address: $ONE, weight: 3, version: v9}
              - $TWO
        filters:
          stamp:
            version_header: {value: v1, to: [client, upstream]}
        routes:
          - {name: all, path: /**, upstream: main}
        ",
        &[("$ONE", &one.address), ("$TWO", &two.address)],
    ));

    let versions: Vec<String> = (0..8).map(|_| get(gateway.address, "/").header("x-bff-version").unwrap().to_owned()).collect();

    assert_eq!((one.received().len(), two.received().len()), (6, 2));
    assert_eq!(versions.iter().filter(|version| *version == "v9").count(), 6);
    assert_eq!(one.last().header("x-bff-version"), ["v1"]);
}

#[test]
fn a_servers_filter_marks_every_answer_there_is() {
    let origin = Origin::start(|_, stream| stream.write_all(response("200 OK", "X-BFF-Version: theirs\r\n", "x").as_bytes()).is_ok());
    let gateway = Gateway::start(&yaml(
        "
        server:
          listeners: [{address: 127.0.0.1:0}]
          filters: [stamp]
        upstreams:
          main: {endpoints: [$ORIGIN]}
          dead: {endpoints: [127.0.0.1:9]}
        filters:
          stamp:
            version_header: {value: v1}
        routes:
          - {name: a, path: /a, methods: [GET], upstream: main}
          - {name: d, path: /d, upstream: dead}
        ",
        &[("$ORIGIN", &origin.address)],
    ));
    let send = |bytes: &str| exchange(gateway.address, bytes.as_bytes()).unwrap();

    for (request, status) in [
        ("GET /a HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        ("POST /a HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        ("GET /none HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        ("GET /d HTTP/1.1\r\nHost: a\r\n\r\n", 502),
        ("GET /%2f HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        ("GET  / HTTP/9\r\n\r\n", 400),
    ] {
        let reply = send(request);
        assert_eq!((reply.status, reply.header("x-bff-version")), (status, Some("v1")), "{request}");
    }
}

#[test]
fn an_observing_filter_leaves_no_mark() {
    let origin = Origin::json("{}");
    let gateway = Gateway::over(origin.address, "", "filters: [{version_header: {value: v1, to: [client, upstream], mode: observe}}]");

    let reply = get(gateway.address, "/");

    assert_eq!((reply.status, reply.header("x-bff-version")), (200, None));
    assert!(origin.last().header("x-bff-version").is_empty());
}

#[test]
fn http_1_0_clients_get_no_chunks() {
    let origin = Origin::start(|_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n").is_ok()
    });
    let gateway = Gateway::over(origin.address, "", "");

    let reply = exchange(gateway.address, b"GET / HTTP/1.0\r\nHost: a\r\n\r\n").unwrap();

    assert_eq!((reply.status, reply.header("transfer-encoding"), reply.text()), (200, None, "hello".into()));
}

#[test]
fn early_requests_wait_for_their_turn() {
    let origin = Origin::start(|request, stream| {
        let body = request.line().to_owned();
        stream.write_all(response("200 OK", "", &body).as_bytes()).is_ok()
    });
    let gateway = Gateway::over(origin.address, "", "");
    let mut stream = raw(gateway.address);

    stream
        .write_all(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /3 HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();

    for path in ["GET /1", "POST /2", "GET /3"] {
        let reply = read_reply(&mut stream, false).unwrap();
        assert_eq!((reply.status, reply.text()), (200, format!("{path} HTTP/1.1")));
    }
}

#[test]
fn a_client_that_closed_its_half_gets_the_answer_where_that_is_allowed() {
    let origin = Origin::start(|_, stream| {
        std::thread::sleep(std::time::Duration::from_millis(150));
        stream.write_all(response("200 OK", "", "late").as_bytes()).is_ok()
    });
    let gateway = Gateway::over(origin.address, "half_close: true", "");
    let mut stream = raw(gateway.address);
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();

    assert_eq!(read_reply(&mut stream, false).unwrap().text(), "late");
}

#[test]
fn a_websocket_passes_both_ways() {
    let origin = Origin::start(|request, stream| {
        use std::io::Read;
        assert_eq!(request.header("upgrade"), ["websocket"]);
        stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello").unwrap();
        let mut bytes = [0_u8; 4];
        stream.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
        stream.read_exact(&mut bytes).unwrap();
        stream.write_all(&bytes).unwrap();
        false
    });
    let gateway = Gateway::over(origin.address, "", "");
    let mut stream = raw(gateway.address);
    let key = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n";
    stream.write_all(format!("GET / HTTP/1.1\r\nHost: a\r\n{key}\r\n").as_bytes()).unwrap();

    let mut seen = Vec::new();
    let mut space = [0_u8; 4096];
    crate::harness::until("the greeting", || {
        use std::io::Read;
        let count = stream.read(&mut space).unwrap_or(0);
        seen.extend_from_slice(&space[..count]);
        seen.ends_with(b"\r\n\r\nhello")
    });
    stream.write_all(b"\r\n\x00G").unwrap();
    let mut echo = [0_u8; 4];
    std::io::Read::read_exact(&mut stream, &mut echo).unwrap();

    let head = String::from_utf8_lossy(&seen).to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101"), "{head}");
    // Without both a client has to fail the connection (RFC 6455, section 4.1).
    assert!(head.contains("\r\nupgrade: websocket\r\n") && head.contains("\r\nconnection: upgrade\r\n"), "{head}");
    assert_eq!(&echo, b"\r\n\x00G");
}

#[test]
fn a_change_of_protocol_that_nobody_asked_for_is_no_answer() {
    let origin = Origin::start(|_, stream| {
        stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n").is_ok()
    });
    let gateway = Gateway::over(origin.address, "", "");

    assert_eq!(get(gateway.address, "/").status, 502);
}

#[test]
fn interim_answers_without_end_are_no_answer() {
    let origin = Origin::start(|_, stream| {
        let hint = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";
        // Until the gateway has had enough.
        while stream.write_all(hint).is_ok() {}
        false
    });
    let gateway = Gateway::over(origin.address, "", "");
    let mut client = raw(gateway.address);
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();

    let mut all = Vec::new();
    let mut space = [0_u8; 4096];
    crate::harness::until("the answer after the hints", || {
        use std::io::Read;
        let count = client.read(&mut space).unwrap_or(0);
        all.extend_from_slice(&space[..count]);
        String::from_utf8_lossy(&all).contains("HTTP/1.1 502")
    });
}

#[test]
fn the_last_chunk_arrives_though_it_comes_alone() {
    use std::io::Read;
    use std::sync::{Mutex, mpsc};
    let (go, gone) = mpsc::channel::<()>();
    let gone = Mutex::new(gone);
    let origin = Origin::start(move |_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").unwrap();
        gone.lock().unwrap().recv().unwrap();
        stream.write_all(b"0\r\n\r\n").is_ok()
    });
    let gateway = Gateway::over(origin.address, "", "");
    let mut client = raw(gateway.address);
    client.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();

    for round in 0..3 {
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let mut seen = Vec::new();
        let mut space = [0_u8; 4096];
        while !seen.ends_with(b"hello\r\n") {
            let count = client.read(&mut space).expect("the first chunk");
            assert!(count > 0, "{round}");
            seen.extend_from_slice(&space[..count]);
        }
        go.send(()).unwrap();
        let mut end = [0_u8; 5];
        client.read_exact(&mut end).unwrap_or_else(|error| panic!("round {round}: the last chunk: {error}"));

        assert_eq!(&end, b"0\r\n\r\n", "{round}");
    }
}

#[test]
fn answers_in_chunks_arrive_whole_whatever_their_length_and_end() {
    // The second one's data looks like the last chunk; the others are around what is gathered before it is sent.
    let bodies = |line: &str| match line.split(' ').nth(1) {
        Some("/empty") => String::new(),
        Some("/like") => "x\r\n0\r\n".to_owned(),
        Some("/small") => "s".repeat(2_000),
        Some("/bound") => "b".repeat((64 << 10) - 100),
        _ => "l".repeat(1 << 20),
    };
    let origin = Origin::start(move |request, stream| {
        let body = bodies(request.line());
        let chunk = if body.is_empty() { String::new() } else { format!("{:x}\r\n{body}\r\n", body.len()) };
        stream.write_all(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}0\r\n\r\n").as_bytes()).is_ok()
    });
    let gateway = Gateway::over(origin.address, "", "");
    let mut client = raw(gateway.address);

    for path in ["/empty", "/like", "/small", "/bound", "/large", "/empty", "/small"] {
        client.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
        let reply = read_reply(&mut client, false).unwrap();
        assert!(reply.whole, "{path}");
        assert_eq!(reply.text(), bodies(&format!("GET {path} HTTP/1.1")), "{path}");
    }
    client.write_all(b"HEAD /small HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(read_reply(&mut client, true).unwrap().status, 200);
}
