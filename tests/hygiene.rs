use std::io::Write;

use crate::harness::client::read_reply;
use crate::harness::http2::over_http2;
use crate::harness::{Gateway, Origin, PATIENCE, exchange, raw, yaml};

fn pair() -> (Origin, Gateway) {
    let origin = Origin::json("{}");
    let gateway = Gateway::over(origin.address, "", "");
    (origin, gateway)
}

#[test]
fn the_path_that_was_checked_is_the_path_that_is_sent() {
    let (origin, gateway) = pair();

    for (sent, got) in [
        ("/a/../b//%2e%2e/c", "/c"),
        ("/%61dmin/%7Euser", "/admin/~user"),
        ("/users//admin", "/users/admin"),
        ("/a%2cb?x=%2F..//", "/a%2Cb?x=%2F..//"),
        ("http://a/x//y?q", "/x/y?q"),
        ("http://a", "/"),
    ] {
        let reply = exchange(gateway.address, format!("GET {sent} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
        assert_eq!(reply.status, 200, "{sent}: {}", reply.text());
        assert_eq!(origin.last().line(), format!("GET {got} HTTP/1.1"), "{sent}");
    }
}

#[test]
fn paths_that_two_servers_could_read_differently_are_refused() {
    let (origin, gateway) = pair();

    for path in ["/a%2fb", "/a%5cb", "/a\\b", "/a%00b", "/a%zzb", "/a%2"] {
        exchange(gateway.address, format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap().is_problem(400);
    }
    assert!(origin.received().is_empty());
}

#[test]
fn hosts_that_are_none_are_refused() {
    let (origin, gateway) = pair();

    for host in ["a b", "a/b", "user@a", "a,b", "a:99999", "a:x", "[::1", "\u{e4}"] {
        exchange(gateway.address, format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).unwrap().is_problem(400);
    }
    exchange(gateway.address, b"GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n").unwrap().is_problem(400);
    assert!(origin.received().is_empty());
    assert_eq!(exchange(gateway.address, b"GET / HTTP/1.0\r\n\r\n").unwrap().status, 200);
}

#[test]
fn an_empty_port_is_the_usual_one() {
    let origin = Origin::json("{}");
    let gateway = Gateway::start(&yaml(
        "
        server:
          listeners: [{address: 127.0.0.1:0}]
        upstreams:
          main: {endpoints: [$ORIGIN]}
        routes:
          - {name: all, host: shop.example, path: /**, upstream: main}
        ",
        &[("$ORIGIN", &origin.address)],
    ));
    let ask = |host: &str| exchange(gateway.address, format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).unwrap();

    for host in ["shop.example", "shop.example:80", "shop.example:", "SHOP.example.:"] {
        assert_eq!(ask(host).status, 200, "{host}");
        assert_eq!(origin.last().header("host"), [host]);
    }
    ask(":").is_problem(400);
    ask("shop.example::").is_problem(400);
}

#[test]
fn a_host_in_the_target_alone_is_told_to_the_upstream() {
    let (origin, gateway) = pair();

    assert_eq!(exchange(gateway.address, b"GET http://shop.example:81/x HTTP/1.0\r\n\r\n").unwrap().status, 200);

    let request = origin.received().pop().unwrap();
    assert_eq!((request.line(), request.header("host")), ("GET /x HTTP/1.1", vec!["shop.example:81"]));
    assert_eq!(request.header("x-forwarded-host"), ["shop.example:81"]);
}

#[test]
fn limits_answer_with_their_own_status() {
    let origin = Origin::json("{}");
    let limits = "limits: {headers: 2KiB, header_count: 10, uri: 100B, body: 10B}";
    let gateway = Gateway::over(origin.address, limits, "");
    let send = |head: String| exchange(gateway.address, head.as_bytes()).unwrap();

    send(format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(100))).is_problem(414);
    send(format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(2048))).is_problem(431);
    send(format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(10))).is_problem(431);
    send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello world".into()).is_problem(413);
    send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nhello world\r\n0\r\n\r\n".into()).is_problem(413);
    assert_eq!(send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello worl".into()).status, 200);
}

#[test]
fn a_route_may_allow_larger_bodies() {
    let origin = Origin::json("{}");
    let gateway = Gateway::over(origin.address, "limits: {body: 1B}", "limits: {body: 1MiB}");

    let body = "x".repeat(100_000);
    let reply =
        exchange(gateway.address, format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n{body}").as_bytes()).unwrap();

    assert_eq!(reply.status, 200);
    assert_eq!(origin.last().body.len(), 100_000);
}

#[test]
fn what_a_client_says_of_itself_counts_only_from_trusted_proxies() {
    let claims = "X-Forwarded-For: 9.9.9.9, 10.0.0.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: h\r\nForwarded: for=1.1.1.1\r\n\
                  X-Request-Id: mine-1\r\nX-BFF-Version: v7\r\nX-Real-IP: 6.6.6.6\r\n";
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{claims}\r\n");
    let (origin, gateway) = pair();
    exchange(gateway.address, request.as_bytes()).unwrap();
    let seen = origin.last();
    assert_eq!(seen.header("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(seen.header("x-forwarded-proto"), ["http"]);
    assert_eq!(seen.header("x-forwarded-host"), ["a"]);
    assert_eq!(seen.header("x-real-ip"), ["127.0.0.1"]);
    assert!(seen.header("forwarded").is_empty() && seen.header("x-bff-version").is_empty());
    assert_ne!(seen.header("x-request-id"), ["mine-1"]);

    let gateway = Gateway::over(origin.address, "trusted_proxies: [127.0.0.0/8, 10.0.0.0/8]", "");
    let reply = exchange(gateway.address, request.as_bytes()).unwrap();
    let seen = origin.last();
    assert_eq!(seen.header("x-forwarded-for"), ["9.9.9.9, 10.0.0.7, 127.0.0.1"]);
    assert_eq!(seen.header("x-forwarded-proto"), ["https"]);
    assert_eq!(seen.header("x-forwarded-host"), ["h"]);
    assert_eq!(seen.header("x-real-ip"), ["9.9.9.9"]);
    assert_eq!(seen.header("x-bff-version"), ["v7"]);
    assert_eq!(reply.header("x-request-id"), Some("mine-1"));
}

/// What only proxies may say, in more spellings than anybody writes lists of.
const FORGED: [&str; 22] = [
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-FORWARDED-PORT",
    "x-forwarded-prefix",
    "X-Forwarded-Server",
    "X-Forwarded-Ssl",
    "X-Forwarded-User",
    "X-Forwarded-Client-Cert",
    "X_Forwarded_For",
    "X-Forwarded_Proto",
    "x_forwarded_email",
    "X-Real-IP",
    "X_Real_IP",
    "X-Request-Id",
    "X_Request_Id",
    "X_BFF_Version",
    "Forwarded",
    "X-Client-Cert",
    "X_CLIENT_CERT_SUBJECT",
    "X-SSL-Client-Verify",
    "X_SSL_CLIENT_S_DN",
];

fn forged(request: &crate::harness::origin::Request) -> Vec<String> {
    request.head.lines().filter(|line| line.contains("forged")).map(str::to_owned).collect()
}

#[test]
fn no_spelling_of_what_only_proxies_may_say_gets_past_from_a_client() {
    let (origin, gateway) = pair();
    let lines: String = FORGED.iter().map(|name| format!("{name}: forged\r\n")).collect();

    let reply = exchange(gateway.address, format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}X-Forward: kept\r\n\r\n").as_bytes()).unwrap();

    let seen = origin.last();
    assert_eq!((reply.status, forged(&seen)), (200, Vec::new()), "{}", seen.head);
    assert_eq!((seen.header("x-forwarded-for"), seen.header("x-forward")), (vec!["127.0.0.1"], vec!["kept"]));
}

#[test]
fn no_spelling_of_what_only_proxies_may_say_gets_past_over_http_2() {
    let origin = Origin::json("{}");
    let gateway = Gateway::start(&http_2(&origin, "", ""));
    let mut request = http::Request::get("http://a/");
    for name in FORGED {
        request = request.header(name, "forged");
    }

    assert_eq!(over_http_2(&gateway, request, b""), 200);
    assert_eq!(forged(&origin.last()), [""; 0]);
}

#[test]
fn a_trusted_proxy_is_believed_whatever_stands_before_its_own_words() {
    let origin = Origin::json("{}");
    let filters = "
        server:
          listeners: [{address: 127.0.0.1:0}]
          trusted_proxies: [127.0.0.0/8, 10.0.0.0/8]
        upstreams:
          main: {endpoints: [$ORIGIN]}
        routes:
          - {name: all, path: /**, upstream: main}
        ";
    let gateway = Gateway::start(&yaml(filters, &[("$ORIGIN", &origin.address)]));
    for list in [
        &b"X-Forwarded-For: \xfc, 9.9.9.9"[..],
        b"X-Forwarded-For: 1.1.1.1,9.9.9.9, ,10.0.0.7,",
        b"X-Forwarded-For: \xfc\r\nX-Forwarded-For: 9.9.9.9\r\nX-Forwarded-For: ,",
        b"X-Forwarded-For: [2001:db8::1]:80, 9.9.9.9:1234",
    ] {
        let request = [b"GET / HTTP/1.1\r\nHost: a\r\n", list, b"\r\nX-Forwarded-Port: 444\r\n\r\n"].concat();

        exchange(gateway.address, &request).unwrap();

        let seen = origin.last();
        assert_eq!((seen.header("x-real-ip"), seen.header("x-forwarded-port")), (vec!["9.9.9.9"], vec!["444"]), "{}", list.escape_ascii());
    }
}

#[test]
fn hop_by_hop_headers_go_no_further() {
    let (origin, gateway) = pair();

    exchange(
        gateway.address,
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\n\r\n",
    )
    .unwrap();

    let seen = origin.last();
    assert!(seen.header("x-hop").is_empty() && seen.header("keep-alive").is_empty() && seen.header("te").is_empty(), "{}", seen.head);
}

#[test]
fn idle_connections_are_closed_in_the_end() {
    let origin = Origin::json("{}");
    let gateway = Gateway::over(origin.address, "timeouts: {keepalive: 1s}", "");
    let mut stream = raw(gateway.address);
    for _ in 0..2 {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert_eq!(read_reply(&mut stream, false).unwrap().status, 200);
    }

    let began = std::time::Instant::now();
    let closed = std::io::Read::read(&mut stream, &mut [0_u8; 1]);

    assert!(matches!(closed, Ok(0)), "the gateway closes: {closed:?}");
    assert!(began.elapsed() > std::time::Duration::from_millis(900), "{:?}", began.elapsed());
}

/// A listener that takes HTTP/2; `server` and `upstream` are more keys of each.
fn http_2(origin: &Origin, server: &str, upstream: &str) -> String {
    yaml(
        "
        server:
          listeners: [{address: 127.0.0.1:0, protocols: [h2, http1]}]
          $SERVER
        upstreams:
          main:
            endpoints: [$ORIGIN]
            $UPSTREAM
        routes:
          - {name: all, path: /**, upstream: main}
        ",
        &[("$ORIGIN", &origin.address), ("$SERVER", &server), ("$UPSTREAM", &upstream)],
    )
}

/// The status of a request over HTTP/2.
fn over_http_2(gateway: &Gateway, request: http::request::Builder, body: &'static [u8]) -> u16 {
    let request = request.body(()).unwrap();
    over_http2(gateway.address, async move |mut client| {
        let (answer, mut upload) = client.send_request(request, body.is_empty()).unwrap();
        if !body.is_empty() {
            upload.send_data(bytes::Bytes::from_static(body), true).unwrap();
        }
        answer.await.expect("an answer").status().as_u16()
    })
}

#[test]
fn http_2_is_read_by_the_rules_of_http_1() {
    let origin = Origin::json("{}");
    let gateway = Gateway::start(&http_2(&origin, "limits: {uri: 100B, header_count: 10}", ""));
    let post = || http::Request::post("http://a/x");
    let bytes = |bytes: &'static [u8]| http::HeaderValue::from_bytes(bytes).unwrap();

    for (what, request, body, status) in [
        ("costume", post().header("transfer_encoding", "chunked"), &b"hello"[..], 400),
        ("length in costume", post().header("content_length", "99"), b"hello", 400),
        ("two lengths", post().header("content-length", "5").header("content-length", "5"), b"hello", 400),
        ("a coding that is none", post().header("content-encoding", "Chunked"), b"hello", 400),
        ("a coding in costume", post().header("content_encoding", "chunked"), b"hello", 400),
        ("a hidden field", post().header("x", "y transfer-encoding: chunked"), b"hello", 400),
        ("white space before", post().header("x", bytes(b" y")), b"hello", 400),
        ("white space behind", post().header("x", bytes(b"y\t")), b"hello", 400),
        ("two hosts", post().header("host", "a").header("host", "a"), b"hello", 400),
        ("another host", post().header("host", "b"), b"hello", 400),
        ("no path", http::Request::post("http://a?/../admin"), b"", 400),
        ("a query beyond ASCII", http::Request::get("http://a/?\u{e9}"), b"", 400),
        ("a path beyond ASCII", http::Request::get("http://a/\u{e9}"), b"", 400),
        ("a long path", http::Request::get(format!("http://a/{}", "x".repeat(100))), b"", 414),
        ("many fields", (0..11).fold(http::Request::get("http://a/"), |request, _| request.header("x", "y")), b"", 431),
        ("bytes beyond ASCII", post().header("x", bytes(b"\xfc")), b"hello", 200),
        ("a host said twice alike", post().header("host", "a"), b"hello", 200),
        ("a query that looks like a path", http::Request::get("http://a/?/../admin"), b"", 200),
    ] {
        let before = origin.received().len();

        assert_eq!(over_http_2(&gateway, request, body), status, "{what}");

        assert_eq!(origin.received().len() - before, usize::from(status == 200), "{what}");
    }
    assert_eq!(origin.last().line(), "GET /?/../admin HTTP/1.1");
}

#[test]
fn an_empty_last_frame_of_http_2_ends_an_upstream_body_once() {
    let origin = Origin::json("{}");
    let gateway = Gateway::start(&http_2(&origin, "", ""));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();

    let status = runtime.block_on(async {
        let tcp = tokio::net::TcpStream::connect(gateway.address).await.unwrap();
        let (mut client, connection) = h2::client::handshake(tcp).await.unwrap();
        tokio::spawn(async move {
            let _ = connection.await;
        });
        let request = http::Request::post("http://a.example/x//y").header("cookie", "a=1").header("cookie", "b=2").body(()).unwrap();
        let (answer, mut body) = client.send_request(request, false).unwrap();
        body.send_data(bytes::Bytes::from_static(b"hello"), false).unwrap();
        body.send_data(bytes::Bytes::new(), true).unwrap();
        let answer = answer.await.unwrap();
        assert!(answer.headers().contains_key("x-request-id"));
        answer.status().as_u16()
    });

    assert_eq!(status, 200);
    let seen = origin.last();
    assert_eq!((seen.line(), seen.body.as_slice()), ("POST /x/y HTTP/1.1", b"hello".as_slice()));
    assert_eq!(seen.header("cookie"), ["a=1; b=2"]);
    assert_eq!(seen.header("host"), ["a.example"]);
    let wire = String::from_utf8_lossy(&origin.wire()).into_owned();
    assert_eq!(wire.matches("0\r\n\r\n").count(), 1, "{wire:?}");
}

#[test]
fn an_upload_that_drips_over_http_2_is_cut_at_its_deadline() {
    let origin = Origin::json("{}");
    // The upstream's own deadline counts from the last byte of the request, which never comes.
    let gateway = Gateway::start(&http_2(&origin, "timeouts: {body: 400ms}", "timeouts: {first_byte: 400ms}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let began = std::time::Instant::now();

    let status = runtime.block_on(async {
        let tcp = tokio::net::TcpStream::connect(gateway.address).await.unwrap();
        let (mut client, connection) = h2::client::handshake(tcp).await.unwrap();
        tokio::spawn(async move {
            let _ = connection.await;
        });
        let request = http::Request::post("http://a.example/").body(()).unwrap();
        let (answer, mut body) = client.send_request(request, false).unwrap();
        tokio::spawn(async move {
            // For as long as somebody takes it.
            while body.send_data(bytes::Bytes::from_static(b"x"), false).is_ok() {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        });
        tokio::time::timeout(PATIENCE, answer).await.expect("an end").map(|answer| answer.status().as_u16())
    });

    assert_eq!(status.unwrap(), 408);
    assert!(began.elapsed() > std::time::Duration::from_millis(350), "{:?}", began.elapsed());
    assert!(origin.received().is_empty(), "what never ended never reached it");
}

#[test]
fn asking_for_a_tunnel_is_refused() {
    let (_origin, gateway) = pair();

    exchange(gateway.address, b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n").unwrap().is_problem(405);
}
