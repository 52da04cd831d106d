use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::harness::client::{Reply, read_reply};
use crate::harness::http2::over_http2;
use crate::harness::origin::response;
use crate::harness::{Gateway, Log, Origin, PATIENCE, exchange, get, raw, until, yaml};

const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

/// Sends back what comes, until the end.
fn echo(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut space = [0; 1 << 14];
    while let Ok(count) = stream.read(&mut space)
        && count > 0
        && stream.write_all(&space[..count]).is_ok()
    {}
}

/// Changes to a WebSocket where it is asked to, and echoes; answers all else.
fn echoing() -> Origin {
    Origin::start(|request, stream| {
        if request.header("upgrade").is_empty() {
            return stream.write_all(response("200 OK", "", "plain").as_bytes()).is_ok();
        }
        if stream.write_all(SWITCH.as_bytes()).is_ok() {
            echo(stream);
        }
        false
    })
}

/// Asks for a WebSocket with these fields.
fn ask(gateway: &Gateway, fields: &str) -> (TcpStream, Reply) {
    let mut client = raw(gateway.address);
    write!(client, "GET /socket HTTP/1.1\r\nHost: a\r\n{fields}\r\n").unwrap();
    let reply = read_reply(&mut client, false).expect("an answer");
    (client, reply)
}

fn open(gateway: &Gateway) -> TcpStream {
    let (client, reply) = ask(gateway, "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n");
    assert_eq!((reply.status, reply.header("upgrade")), (101, Some("websocket")), "{}", reply.head);
    client
}

/// These bytes there and back.
fn round(client: &mut TcpStream, bytes: &[u8]) {
    client.write_all(bytes).unwrap();
    let mut back = vec![0; bytes.len()];
    client.read_exact(&mut back).unwrap();
    assert_eq!(back, bytes);
}

#[test]
fn no_limit_and_no_filter_made_for_bodies_touches_what_passes_through_a_tunnel() {
    let origin = echoing();
    let gateway = Gateway::start(&yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0}], limits: {body: 1KiB}}
        upstreams: {main: {endpoints: [$ORIGIN], timeouts: {first_byte: 1s, between_bytes: 1s, total: 1s}}}
        filters:
          slim: {trim: {profiles: {desktop: {keep: [a]}}, otherwise: {keep: [a]}}}
          limit: {rate_limit: {key: client_ip, rate: 100/s}}
          guard: {circuit_breaker: {fallback: [{cached: {max_age: 1m}}]}}
        routes: [{name: all, path: /**, upstream: main, timeout: 1s, filters: [limit, slim, guard]}]
        ",
        &[("$ORIGIN", &origin.address)],
    ));
    let mut client = open(&gateway);

    for part in 0..64 {
        round(&mut client, format!("{{\"a\":{part},\"b\":\"{}\"}}", "x".repeat(1000)).as_bytes());
    }
    // Longer than anything that an answer may take.
    std::thread::sleep(Duration::from_millis(1_500));
    round(&mut client, b"\r\n\0still there");

    let (_, reply) = ask(&gateway, "Connection: upgrade\r\nUpgrade: websocket\r\n");
    assert!(reply.header("ratelimit").is_some(), "an answer as any other: {}", reply.head);
}

#[test]
fn a_protocol_is_changed_only_where_the_connection_says_that_it_is_asked_for() {
    let origin = echoing();
    let gateway = Gateway::over(origin.address, "", "");

    for fields in ["Upgrade: websocket\r\n", "Connection: keep-alive\r\nUpgrade: websocket\r\n", "Connection: upgrade\r\n"] {
        let (_, reply) = ask(&gateway, fields);
        assert_eq!((reply.status, reply.text()), (200, "plain".to_owned()), "{fields:?}");
        assert!(origin.last().header("upgrade").is_empty() && origin.last().header("connection").is_empty(), "{}", origin.last().head);
    }
    let old = exchange(gateway.address, b"GET / HTTP/1.0\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n").unwrap();
    assert_eq!(old.text(), "plain", "HTTP/1.0 has no upgrades");
    round(&mut open(&gateway), b"hello");
}

#[test]
fn no_tunnel_is_made_for_requests_that_nobody_would_check() {
    let origin = echoing();
    let gateway = Gateway::over(origin.address, "", "");

    for protocols in ["h2c", "H2C", "websocket, h2c", "TLS/1.0", "HTTP/2.0"] {
        let (_, reply) =
            ask(&gateway, &format!("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: {protocols}\r\nHTTP2-Settings: AAMAAABk\r\n"));
        assert_eq!((reply.status, reply.text()), (200, "plain".to_owned()), "{protocols}");
        let seen = origin.last();
        assert!(["connection", "upgrade", "http2-settings"].iter().all(|name| seen.header(name).is_empty()), "{}", seen.head);
    }
    // Some servers need no more of them than this.
    let (_, reply) = ask(&gateway, "Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n");
    assert_eq!(reply.text(), "plain");
    assert!(origin.last().header("http2-settings").is_empty(), "{}", origin.last().head);
}

#[test]
fn a_change_to_what_nobody_asked_for_is_502() {
    for (answer, asked) in [
        ("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", "websocket"),
        ("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket, h2c\r\n\r\n", "websocket"),
        ("HTTP/1.1 101 Switching Protocols\r\n\r\n", "websocket"),
        (SWITCH, ""),
    ] {
        let origin = Origin::start(move |_, stream| stream.write_all(answer.as_bytes()).is_ok());
        let log = Log::new("unasked");
        let gateway = Gateway::start(&log.of(&yaml(
            "
            server: {listeners: [{address: 127.0.0.1:0, protocols: [h2, http1]}]}
            upstreams: {main: {endpoints: [$ORIGIN]}}
            routes: [{name: all, path: /**, upstream: main}]
            ",
            &[("$ORIGIN", &origin.address)],
        )));
        let fields = if asked.is_empty() { String::new() } else { format!("Connection: upgrade\r\nUpgrade: {asked}\r\n") };

        let (_, reply) = ask(&gateway, &fields);

        reply.is_problem(502);
        assert_eq!(log.wait_for(1)[0]["flags"], "UPE", "{answer:?}");
        let status = over_http2(gateway.address, async |mut client| {
            let request = http::Request::get("http://a.example/").body(()).unwrap();
            client.send_request(request, true).unwrap().0.await.unwrap().status().as_u16()
        });
        assert_eq!(status, 502, "over HTTP/2");
    }
}

#[test]
fn a_websocket_that_probes_a_circuit_settles_it_with_its_head() {
    let well = Arc::new(AtomicBool::new(false));
    let is_well = well.clone();
    let origin = Origin::start(move |request, stream| {
        if !is_well.load(Ordering::SeqCst) {
            return stream.write_all(response("503 Down", "", "").as_bytes()).is_ok();
        }
        if request.header("upgrade").is_empty() {
            return stream.write_all(response("200 OK", "", "plain").as_bytes()).is_ok();
        }
        if stream.write_all(SWITCH.as_bytes()).is_ok() {
            echo(stream);
        }
        false
    });
    let gateway = Gateway::start(&yaml(
        "
        upstreams: {main: {endpoints: [$ORIGIN]}}
        filters:
          guard: {circuit_breaker: {consecutive: 3, open_for: 200ms, max_open_for: 200ms, half_open: {max_concurrent: 1, successes: 2}}}
        routes: [{name: all, path: /**, upstream: main, filters: [guard]}]
        ",
        &[("$ORIGIN", &origin.address)],
    ));
    let state = || gateway.metric("frontgate_circuit_state{filter=\"guard\",upstream=\"main\"}");
    (0..3).for_each(|_| assert_eq!(get(gateway.address, "/").status, 503));
    assert_eq!(state(), 2.0);
    well.store(true, Ordering::SeqCst);

    let mut sockets = Vec::new();
    until("two probes", || {
        let (client, reply) = ask(&gateway, "Connection: upgrade\r\nUpgrade: websocket\r\n");
        if reply.status == 101 {
            sockets.push(client);
        }
        sockets.len() == 2
    });

    assert_eq!(state(), 0.0);
    assert!((0..10).all(|_| get(gateway.address, "/").status == 200));
    sockets.iter_mut().for_each(|socket| round(socket, b"open"));
}

#[test]
fn a_tunnel_that_nobody_uses_is_closed_and_its_time_is_nobody_s_overhead() {
    let origin = echoing();
    let log = Log::new("idle-tunnel");
    let gateway = Gateway::start(&log.of(&yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0}], timeouts: {tunnel: 900ms}}
        upstreams: {main: {endpoints: [$ORIGIN]}}
        routes: [{name: all, path: /**, upstream: main}]
        ",
        &[("$ORIGIN", &origin.address)],
    )));
    let mut client = open(&gateway);
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(400));
        round(&mut client, b"x");
    }

    assert_eq!(client.read(&mut [0]).unwrap(), 0, "the gateway closes");

    let line = log.wait_for(1)[0].clone();
    assert_eq!((&line["status"], &line["bytes_in"], &line["bytes_out"]), (&101.into(), &3.into(), &3.into()), "{line}");
    assert_eq!(line.get("flags"), None, "{line}");
    let (duration, overhead) = (line["duration_ms"].as_f64().unwrap(), line["overhead_ms"].as_f64().unwrap());
    assert!(duration > 2_000.0 && overhead < duration / 4.0, "{line}");
}
