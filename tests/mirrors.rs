//! Copies of requests for another upstream: what they have of their originals, which are made, and that nothing waits for them.

use std::io::Write;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::harness::client::read_reply;
use crate::harness::http2::over_http2;
use crate::harness::http2_origin::Http2Origin;
use crate::harness::{Gate, Gateway, Origin, Reply, exchange, get, origin::response, raw, until, yaml};

fn says(status: &'static str) -> Origin {
    Origin::start(move |_, stream| stream.write_all(response(status, "Content-Type: text/plain\r\n", "ok").as_bytes()).is_ok())
}

/// One that takes requests and answers none until the gate is open.
fn held(gate: &Gate) -> Origin {
    let gate = gate.clone();
    Origin::start(move |_, stream| {
        gate.pass();
        stream.write_all(response("200 OK", "", "late").as_bytes()).is_ok()
    })
}

/// A route to `main` whose requests are copied to `shadow`; these are more keys of the mirror and of both upstreams.
fn mirrored(main: &Origin, shadow: &Origin, mirror: &str, upstreams: [&str; 2]) -> Gateway {
    Gateway::start(&yaml(
        "
        server:
          listeners: [{address: 127.0.0.1:0}]
          trusted_proxies: [127.0.0.0/8]
        upstreams:
          main: {endpoints: [$MAIN]$OFMAIN}
          shadow: {endpoints: [$SHADOW]$OFSHADOW}
        filters:
          tidy: {headers: {request: {set: {X-Env: prod}}}}
          near: {ip_access: {deny: [192.0.2.0/24]}}
        routes:
          - name: all
            path: /api/**
            upstream: main
            rewrite: {strip_prefix: /api}
            filters: [near, tidy]
            mirror: {upstream: shadow$MIRROR}
        telemetry: {access_log: \"off\"}
        ",
        &[
            ("$OFMAIN", &upstreams[0]),
            ("$OFSHADOW", &upstreams[1]),
            ("$MAIN", &main.address),
            ("$SHADOW", &shadow.address),
            ("$MIRROR", &mirror),
        ],
    ))
}

fn same(gateway: &Gateway, same: &str) -> f64 {
    gateway.metric(&format!("frontgate_mirror_status_total{{route=\"all\",same=\"{same}\"}}"))
}

fn skipped(gateway: &Gateway, reason: &str) -> f64 {
    gateway.metric(&format!("frontgate_mirror_skipped_total{{route=\"all\",reason=\"{reason}\"}}"))
}

fn send(gateway: &Gateway, text: &str) -> Reply {
    exchange(gateway.address, text.as_bytes()).expect("an answer")
}

#[test]
fn a_copy_is_what_the_upstream_was_sent_without_secrets_and_marked() {
    let (main, shadow) = (says("200 OK"), says("200 OK"));
    let gateway = mirrored(&main, &shadow, "", ["", ""]);
    let trace = "0af7651916cd43dd8448eb211c80319c";

    let reply = send(
        &gateway,
        &format!(
            "GET /api/a?b=c HTTP/1.1\r\nHost: Shop.example:80\r\nAuthorization: Bearer t\r\nCookie: a=b\r\nX-Forwarded-For: 9.9.9.9\r\n\
             traceparent: 00-{trace}-b7ad6b7169203331-01\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\n\r\n"
        ),
    );
    until("the copy", || same(&gateway, "true") == 1.0);

    let (original, copy) = (main.last(), shadow.last());
    assert_eq!((reply.status, original.line(), copy.line()), (200, "GET /a?b=c HTTP/1.1", "GET /a?b=c HTTP/1.1"));
    for name in ["host", "x-request-id", "x-env", "x-forwarded-for", "x-real-ip", "x-forwarded-proto", "x-forwarded-host", "via", "x-hop"] {
        assert_eq!(original.header(name), copy.header(name), "{name}");
    }
    assert_eq!((copy.header("host"), copy.header("x-real-ip")), (vec!["Shop.example:80"], vec!["9.9.9.9"]));
    assert_eq!((original.header("authorization").len(), original.header("cookie").len(), original.header("x-bff-mirror").len()), (1, 1, 0));
    assert_eq!((copy.header("authorization").len(), copy.header("cookie").len(), copy.header("x-bff-mirror")), (0, 0, vec!["1"]));
    let own = copy.header("traceparent")[0];
    assert!(original.header("traceparent")[0].contains(trace) && !own.contains(trace) && own.ends_with("-01"), "{own}");
    assert_eq!((main.received().len(), shadow.received().len()), (1, 1));
}

#[test]
fn an_upstream_with_a_host_of_its_own_is_sent_that_one_and_else_the_originals() {
    let (main, shadow) = (says("200 OK"), says("200 OK"));
    for (upstreams, host) in [([", host: main.internal", ""], "main.internal"), (["", ", host: shadow.internal"], "shadow.internal")] {
        let gateway = mirrored(&main, &shadow, "", upstreams);

        get(gateway.address, "/api/a");
        until("the copy", || same(&gateway, "true") == 1.0);

        assert_eq!(shadow.last().header("host"), [host]);
    }
}

#[test]
fn bodies_are_copied_up_to_their_bound_and_unsafe_methods_where_they_are_listed() {
    let (main, shadow) = (says("200 OK"), says("200 OK"));
    let gateway = mirrored(&main, &shadow, ", methods: [POST], body: 100KiB", ["", ""]);
    let post = |body: usize| {
        let body = "x".repeat(body);
        let head = format!("POST /api/p HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
        send(&gateway, &(head + &body)).status
    };
    let chunked = |size: usize| {
        let body = format!("{:x}\r\n{}\r\n0\r\n\r\n", size, "y".repeat(size));
        send(&gateway, &("POST /api/c HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned() + &body))
            .status
    };

    assert_eq!([post(3), post(100 << 10), chunked(90_000), post(0)], [200; 4]);
    until("four copies", || same(&gateway, "true") == 4.0);
    let mut lengths: Vec<usize> = shadow.received().iter().map(|copy| copy.body.len()).collect();
    lengths.sort_unstable();
    assert_eq!(lengths, [0, 3, 90_000, 100 << 10]);

    assert_eq!([post((100 << 10) + 1), chunked((100 << 10) + 1)], [200; 2]);
    assert_eq!(get(gateway.address, "/api/g").status, 200);
    until("what is too large to be counted", || skipped(&gateway, "body") == 2.0);
    assert_eq!((main.received().len(), shadow.received().len()), (7, 4));
    assert_eq!(main.received()[5].body.len(), (100 << 10) + 1);
}

#[test]
fn a_bound_of_nothing_copies_heads_alone_and_does_not_wait_for_a_body() {
    let (main, shadow) = (says("200 OK"), says("200 OK"));
    let gateway = mirrored(&main, &shadow, ", methods: [POST], body: 0B", ["", ""]);
    let mut client = raw(gateway.address);
    client.write_all(b"POST /api/p HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nContent-Type: text/plain\r\n\r\nabc").unwrap();

    until("the copy, before the original's body is whole", || shadow.received().len() == 1);
    client.write_all(b"def").unwrap();

    assert_eq!(read_reply(&mut client, false).expect("an answer").status, 200);
    assert_eq!(
        (shadow.last().body.len(), shadow.last().header("content-type"), main.last().body),
        (0, vec!["text/plain"], b"abcdef".to_vec())
    );
}

#[test]
fn a_copy_waits_for_its_body_and_the_original_does_not_wait_for_the_copy() {
    let (main, shadow) = (says("200 OK"), says("200 OK"));
    let gateway = mirrored(&main, &shadow, ", methods: [POST]", ["", ""]);
    let mut client = raw(gateway.address);
    client.write_all(b"POST /api/p HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc").unwrap();

    until("the original to be on its way", || main.wire().ends_with(b"abc"));
    assert_eq!(shadow.connections(), 0);
    client.write_all(b"def").unwrap();

    until("the copy", || shadow.received().len() == 1);
    assert_eq!(shadow.last().body, b"abcdef");
}

#[test]
fn a_mirror_that_hangs_keeps_nobody_waiting_and_takes_no_more_than_its_share() {
    let gate = Gate::default();
    let (main, shadow) = (says("200 OK"), held(&gate));
    let gateway = mirrored(&main, &shadow, ", max_in_flight: 3, timeout: 1m", ["", ""]);

    let mut client = raw(gateway.address);
    for number in 0..200 {
        client.write_all(format!("GET /api/{number} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
        assert_eq!(read_reply(&mut client, false).expect("an answer").status, 200);
    }

    assert_eq!((main.received().len(), skipped(&gateway, "in_flight")), (200, 197.0));
    until("three copies", || shadow.received().len() == 3);
    assert_eq!(same(&gateway, "true"), 0.0);
    gate.open();
    until("the statuses of those three", || same(&gateway, "true") == 3.0);
    assert_eq!(get(gateway.address, "/api/more").status, 200);
    until("one more, since there is room again", || same(&gateway, "true") == 4.0);
}

#[test]
fn a_copy_that_takes_too_long_is_given_up() {
    let gate = Gate::default();
    let (main, shadow) = (says("200 OK"), held(&gate));
    let gateway = mirrored(&main, &shadow, ", timeout: 100ms", ["", ""]);

    assert_eq!(get(gateway.address, "/api/a").status, 200);

    until("it to be given up", || same(&gateway, "no_answer") == 1.0);
    gate.open();
}

#[test]
fn copies_do_not_hold_up_the_end_of_the_gateway() {
    let gate = Gate::default();
    let (main, shadow) = (says("200 OK"), held(&gate));
    let gateway = mirrored(&main, &shadow, ", timeout: 10m", ["", ""]);
    assert_eq!(get(gateway.address, "/api/a").status, 200);
    until("the copy", || shadow.received().len() == 1);

    let began = Instant::now();
    let cut_off = gateway.running.drain();

    assert_eq!(cut_off, 0);
    assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
    gate.open();
}

#[test]
fn a_request_that_is_tried_again_is_copied_once_and_its_last_status_counts() {
    let asked = Arc::new(AtomicUsize::new(0));
    let number = asked.clone();
    let main = Origin::start(move |_, stream| {
        let status = if number.fetch_add(1, Ordering::SeqCst) == 0 { "503 Busy" } else { "200 OK" };
        stream.write_all(response(status, "", "").as_bytes()).is_ok()
    });
    let shadow = says("200 OK");
    let gateway = mirrored(&main, &shadow, "", [", retry: {attempts: 2, when: [503], budget: 100%}", ""]);

    assert_eq!(get(gateway.address, "/api/a").status, 200);

    until("the comparison", || same(&gateway, "true") == 1.0);
    assert_eq!((main.received().len(), shadow.received().len()), (2, 1));
}

#[test]
fn a_copy_is_not_tried_again_and_its_status_is_told_from_the_originals() {
    let (main, shadow) = (says("200 OK"), says("503 Busy"));
    let gateway = mirrored(&main, &shadow, "", ["", ", retry: {attempts: 3, when: [503, connect_failure], budget: 100%}"]);

    assert_eq!(get(gateway.address, "/api/a").status, 200);

    until("the comparison", || same(&gateway, "false") == 1.0);
    assert_eq!(shadow.received().len(), 1);
}

#[test]
fn an_answer_is_read_up_to_a_bound_and_counts_by_its_status() {
    let large = "x".repeat(3 << 20);
    let shadow = Origin::start(move |_, stream| stream.write_all(response("200 OK", "", &large).as_bytes()).is_ok());
    let main = says("200 OK");
    let gateway = mirrored(&main, &shadow, "", ["", ""]);

    for number in 1..3 {
        assert_eq!(get(gateway.address, "/api/a").status, 200);
        until("the comparison", || same(&gateway, "true") == f64::from(number));
    }

    assert_eq!(shadow.connections(), 2, "none of them served another one");
}

#[test]
fn copies_that_have_nowhere_to_go_are_counted_and_nobody_is_refused_for_them() {
    let gate = Gate::default();
    let (main, shadow) = (says("200 OK"), held(&gate));
    let gateway = mirrored(&main, &shadow, "", ["", ", max_connections: 1"]);
    assert_eq!([0; 2].map(|_| get(gateway.address, "/api/a").status), [200; 2]);
    until("the second", || skipped(&gateway, "limit") == 1.0);
    gate.open();

    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let text = crate::harness::gateway::simple(main.address, "", "mirror: {upstream: gone}");
    let gateway = Gateway::start(&text.replace("routes:", &format!("  gone: {{endpoints: [\"{nobody}\"]}}\nroutes:")));
    assert_eq!(get(gateway.address, "/a").status, 200);
    until("the failure", || same(&gateway, "no_answer") == 1.0);
}

#[test]
fn what_never_reaches_its_upstream_is_not_copied() {
    let (main, shadow) = (says("200 OK"), says("200 OK"));
    let gateway = mirrored(&main, &shadow, ", methods: [GET, POST]", ["", ""]);
    let refused = send(&gateway, "GET /api/a HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.7\r\nConnection: close\r\n\r\n");
    assert_eq!(refused.status, 403);
    let upgrade = "GET /api/ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    assert_eq!(send(&gateway, upgrade).status, 200);
    assert_eq!(skipped(&gateway, "protocol"), 1.0);

    // A client that leaves in the middle of its body.
    let mut client = raw(gateway.address);
    client.write_all(b"POST /api/p HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc").unwrap();
    until("the original to be on its way", || main.wire().ends_with(b"abc"));
    drop(client);

    until("it to be given up", || skipped(&gateway, "original") == 1.0);
    assert_eq!(shadow.connections(), 0);
}

#[test]
fn copies_of_requests_over_http2_are_whole_in_both_protocols() {
    let (main, plain, streams) = (says("200 OK"), says("200 OK"), Http2Origin::text("ok"));
    let gateway = Gateway::start(&yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0, protocols: [h2, http1]}]}
        upstreams:
          main: {endpoints: [$MAIN]}
          plain: {endpoints: [$PLAIN]}
          streams: {endpoints: [$STREAMS], protocol: h2}
        routes:
          - {name: plain, path: /plain, upstream: main, mirror: {upstream: plain, headers: {remove: []}}}
          - {name: streams, path: /streams, upstream: main, mirror: {upstream: streams, methods: [POST]}}
        ",
        &[("$MAIN", &main.address), ("$PLAIN", &plain.address), ("$STREAMS", &streams.address)],
    ));

    over_http2(gateway.address, async |mut client| {
        for (method, path) in [("GET", "/plain"), ("POST", "/streams")] {
            let request = http::Request::builder().method(method).uri(format!("http://shop.example{path}"));
            let request = request.header("cookie", "a=1").header("cookie", "b=2").body(()).unwrap();
            let (answer, mut body) = client.send_request(request, method == "GET").unwrap();
            if method == "POST" {
                body.send_data("abc".into(), true).unwrap();
            }
            assert_eq!(answer.await.unwrap().status(), 200);
        }
    });

    let same = |route: &str| gateway.metric(&format!("frontgate_mirror_status_total{{route=\"{route}\",same=\"true\"}}"));
    until("both copies", || same("plain") == 1.0 && same("streams") == 1.0);
    assert_eq!((plain.last().header("cookie"), plain.last().header("host")), (vec!["a=1; b=2"], vec!["shop.example"]));
    let copy = streams.last();
    assert_eq!((copy.uri.to_string(), copy.headers["content-length"].as_bytes()), ("http://shop.example/streams".to_owned(), &b"3"[..]));
    assert!(copy.headers.contains_key("x-bff-mirror") && !copy.headers.contains_key("cookie"), "{:?}", copy.headers);
}
