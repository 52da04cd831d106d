use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::harness::client::read_reply;
use crate::harness::http2::over_http2;
use crate::harness::origin::response;
use crate::harness::{Gateway, Log, Origin, PATIENCE, get, raw, until, yaml};

/// An origin that reads the head of a request, says this, and then does what `behave` does with it.
fn saying(interim: &'static str, behave: impl Fn(&str, &mut TcpStream) + Send + Sync + Clone + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, behave) = (stream.unwrap(), behave.clone());
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            std::thread::spawn(move || {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    if stream.read(&mut byte).unwrap_or(0) == 0 {
                        return;
                    }
                    head.push(byte[0]);
                }
                if stream.write_all(interim.as_bytes()).is_ok() {
                    behave(&String::from_utf8_lossy(&head), &mut stream);
                }
            });
        }
    });
    address
}

/// Everything up to the gateway's end of the connection.
fn to_the_end(stream: &mut TcpStream) {
    while stream.read(&mut [0; 1 << 16]).unwrap_or(0) > 0 {}
}

/// The next head on the connection, and nothing behind it.
fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        assert_eq!(stream.read(&mut byte).expect("a head"), 1, "the connection ended");
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap().to_lowercase()
}

const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";

#[test]
fn whatever_fails_after_an_interim_answer_is_told_and_logged_with_its_own_status() {
    let origin = saying("HTTP/1.1 100 Continue\r\n\r\n", |head, stream| match head.split(' ').nth(1) {
        Some("/breaks") => drop(stream.read(&mut [0; 100])),
        Some("/rubbish") => {
            let _ = stream.write_all(b"SSH-2.0-x\r\n\r\n");
            to_the_end(stream);
        }
        _ => to_the_end(stream),
    });
    let log = Log::new("interim-failures");
    let gateway = Gateway::start(&log.of(&yaml(
        "
        server:
          listeners: [{address: 127.0.0.1:0}]
          limits: {body: 64KiB}
          timeouts: {body: 600ms}
        upstreams: {main: {endpoints: [$ORIGIN], timeouts: {first_byte: 600ms}}}
        routes: [{name: all, path: /**, upstream: main}]
        ",
        &[("$ORIGIN", &origin)],
    )));
    let cases = [("/breaks", 502), ("/rubbish", 502), ("/silent", 504), ("/slow", 408), ("/large", 413)];

    for (number, (path, status)) in cases.into_iter().enumerate() {
        let mut client = raw(gateway.address);
        let framing = if path == "/large" { "Transfer-Encoding: chunked" } else { "Content-Length: 10" };
        write!(client, "POST {path} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n{framing}\r\n\r\n").unwrap();
        assert!(head(&mut client).starts_with("http/1.1 100 "), "{path}");
        let body = match path {
            "/large" => format!("14000\r\n{}\r\n", "x".repeat(0x14000)),
            "/slow" => "x".to_owned(),
            _ => "0123456789".to_owned(),
        };
        let _ = client.write_all(body.as_bytes());

        let reply = read_reply(&mut client, false).unwrap_or_else(|| panic!("{path}: no answer"));

        reply.is_problem(status);
        let line = log.wait_for(number + 1)[number].clone();
        assert_eq!((line["path"].as_str(), line["status"].as_u64()), (Some(path), Some(u64::from(status))), "{line}");
    }
}

#[test]
fn an_upstream_that_breaks_off_after_hints_is_a_failure_for_circuit_fallback_and_retry() {
    let origin = saying(HINTS, |_, _| {});
    let well = Origin::json(r#"{"well":true}"#);
    let gateway = Gateway::start(&yaml(
        "
        upstreams:
          main: {endpoints: [$ORIGIN]}
          two: {endpoints: [$ORIGIN, $WELL], retry: {attempts: 2, when: [connect_failure], budget: 100%}}
        filters:
          guard: {circuit_breaker: {consecutive: 3, min_requests: 1000, open_for: 10m, max_open_for: 10m, fallback: [{respond: {status: 203}}]}}
        routes:
          - {name: all, path: /**, upstream: main, filters: [guard]}
          - {name: again, path: /again, upstream: two}
        ",
        &[("$ORIGIN", &origin), ("$WELL", &well.address)],
    ));

    for _ in 0..3 {
        assert_eq!(get(gateway.address, "/").status, 203);
    }
    gateway.comes_to("frontgate_circuit_state{filter=\"guard\",upstream=\"main\"}", 2.0);
    gateway.comes_to("frontgate_upstream_attempts_total{upstream=\"main\",result=\"reset\"}", 3.0);
    // Hints of an attempt that failed have been seen, and another attempt answers.
    for _ in 0..4 {
        assert_eq!(get(gateway.address, "/again").json()["well"], true);
    }
}

#[test]
fn interim_answers_go_to_whoever_can_take_them_without_framing_and_hop_fields() {
    let interim = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nConnection: X-Own\r\n\
                   X-Own: 1\r\nKeep-Alive: timeout=5\r\nTrailer: X-Sum\r\n\r\n";
    let origin = saying(interim, |_, stream| drop(stream.write_all(response("200 OK", "", "done").as_bytes())));
    let gateway = Gateway::start(&yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0, protocols: [h2, http1]}]}
        upstreams: {main: {endpoints: [$ORIGIN]}}
        routes: [{name: all, path: /**, upstream: main}]
        ",
        &[("$ORIGIN", &origin)],
    ));

    let mut client = raw(gateway.address);
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let hints = head(&mut client);
    assert_eq!(hints, "http/1.1 103 early hints\r\nlink: </a>\r\n\r\n");
    assert_eq!(read_reply(&mut client, false).unwrap().text(), "done");

    let mut old = raw(gateway.address);
    old.write_all(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n").unwrap();
    assert!(head(&mut old).starts_with("http/1.1 200 "), "nobody of HTTP/1.0 knows interim answers");

    let (hints, status) = over_http2(gateway.address, async |mut client| {
        let request = http::Request::get("http://a.example/").body(()).unwrap();
        let mut answer = client.send_request(request, true).unwrap().0;
        let hints = std::future::poll_fn(|cx| answer.poll_informational(cx)).await.unwrap().unwrap();
        let fields: Vec<_> =
            hints.headers().iter().map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))).collect();
        ((hints.status().as_u16(), fields), answer.await.unwrap().status().as_u16())
    });
    assert_eq!((hints, status), ((103, vec!["link: </a>".to_owned()]), 200));
}

#[test]
fn a_probe_passes_over_interim_answers() {
    let asked = std::sync::Arc::new(AtomicUsize::new(0));
    let counting = asked.clone();
    let origin = saying(HINTS, move |head, stream| {
        assert!(head.starts_with("GET /healthz HTTP/1.1\r\n"), "{head}");
        counting.fetch_add(1, Ordering::SeqCst);
        let _ = stream.write_all(response("200 OK", "", "").as_bytes());
    });
    let gateway = Gateway::start(&yaml(
        "
        upstreams:
          main:
            endpoints: [$ORIGIN]
            health: {path: /healthz, interval: 20ms, timeout: 10s, unhealthy_after: 1, healthy_after: 1, start: unhealthy}
        routes: [{name: all, path: /**, upstream: main}]
        ",
        &[("$ORIGIN", &origin)],
    ));

    let healthy = || gateway.metric("frontgate_upstream_endpoints{upstream=\"main\",state=\"healthy\"}") == 1.0;
    until("it to be found healthy", healthy);
    let before = asked.load(Ordering::SeqCst);
    until("more probes", || asked.load(Ordering::SeqCst) > before + 3);

    assert!(healthy());
}

#[test]
fn interim_answers_without_end_keep_no_probe_and_no_request() {
    let origin = saying("", |_, stream| while stream.write_all(HINTS.as_bytes()).is_ok() {});
    let gateway = Gateway::start(&yaml(
        "
        upstreams:
          main:
            endpoints: [$ORIGIN]
            health: {path: /, interval: 20ms, timeout: 1h, unhealthy_after: 1}
        routes: [{name: all, path: /**, upstream: main}]
        ",
        &[("$ORIGIN", &origin)],
    ));

    // Its own deadline would end a probe after an hour.
    until("it to be found unhealthy", || gateway.metric("frontgate_upstream_endpoints{upstream=\"main\",state=\"unhealthy\"}") == 1.0);

    let mut client = raw(gateway.address);
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    read_reply(&mut client, false).unwrap().is_problem(502);
}
