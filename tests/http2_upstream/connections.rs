use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::server::Builder;
use http::Method;

use super::{ask, gateway, gateway_with, request, whole};
use crate::harness::http2::over_http2;
use crate::harness::http2_origin::{Http2Origin, Script, send_all};
use crate::harness::{Gate, Origin, PATIENCE, frames, get, load, raw, until};

/// An origin that answers once so many requests are there at the same time.
fn together(settings: &Builder, number: usize) -> Http2Origin {
    let there = Arc::new(tokio::sync::Semaphore::new(0));
    let arrived = Arc::new(AtomicUsize::new(0));
    Http2Origin::with(settings, move |mut asked| {
        let (there, arrived) = (there.clone(), arrived.clone());
        async move {
            if arrived.fetch_add(1, Ordering::SeqCst) + 1 == number {
                there.add_permits(1 << 20);
            }
            let _all = there.acquire().await.unwrap();
            asked.answer("ok");
        }
    })
}

/// So many requests at once, each on a connection of its own.
fn crowd(address: std::net::SocketAddr, number: usize) -> usize {
    let mut streams: Vec<_> = (0..number).map(|_| raw(address)).collect();
    streams.iter_mut().for_each(|stream| stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap());
    let answered = streams.iter_mut().filter_map(|stream| {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).ok()?;
        all.starts_with(b"HTTP/1.1 200").then_some(())
    });
    answered.count()
}

#[test]
fn a_crowd_at_a_cold_endpoint_shares_one_connection_a_thread() {
    for threads in [1, 2] {
        let origin = together(&Builder::new(), 80);
        let gateway = gateway_with(&[origin.address], &format!("threads: {threads}"), "", "");

        assert_eq!(crowd(gateway.address, 80), 80);

        // All were there at once, so none of them can have waited for another one's end.
        let made = origin.connections();
        assert!((1..=threads).contains(&made), "{made} connections of {threads} threads");
    }
}

#[test]
fn another_connection_is_made_when_the_first_is_full() {
    let origin = together(Builder::new().max_concurrent_streams(10), 25);
    let gateway = gateway(origin.address);

    assert_eq!(crowd(gateway.address, 25), 25);

    assert_eq!(origin.connections(), 3);
    assert_eq!(crowd(gateway.address, 10), 10);
    assert_eq!(origin.connections(), 3, "what there is is used");
}

#[test]
fn an_upstream_of_one_stream_a_connection_serves_a_crowd() {
    let origin = together(Builder::new().max_concurrent_streams(1), 30);
    let gateway = gateway(origin.address);

    assert_eq!(crowd(gateway.address, 30), 30);

    assert_eq!(origin.connections(), 30);
}

#[test]
fn one_client_multiplexes_a_hundred_streams_over_one_connection() {
    let origin = together(&Builder::new(), 100);
    let gateway = gateway(origin.address);

    over_http2(gateway.address, async |client| {
        let mut waiting = Vec::new();
        for _ in 0..100 {
            let (response, _) = client.clone().ready().await.unwrap().send_request(request(Method::GET, "/"), true).unwrap();
            waiting.push(response);
        }
        for response in waiting {
            let (head, body) = response.await.unwrap().into_parts();
            assert_eq!((head.status, whole(body).await.unwrap().0), (http::StatusCode::OK, b"ok".to_vec()));
        }
    });

    assert_eq!(origin.connections(), 1);
}

#[test]
fn nobody_waits_for_a_connection_longer_than_it_may_take() {
    // It accepts, and does not greet.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let gateway = gateway_with(&[listener.local_addr().unwrap()], "threads: 1", "timeouts: {connect: 300ms}", "");

    let began = Instant::now();
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..8).map(|_| scope.spawn(|| get(gateway.address, "/").status)).collect();
        asking.into_iter().map(|asking| asking.join().unwrap()).collect()
    });

    assert_eq!(statuses, [504; 8]);
    assert!(began.elapsed() >= Duration::from_millis(300));
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_ok());
    assert!(listener.accept().is_err(), "they waited for one and the same");
}

#[test]
fn a_route_that_may_not_take_so_long_does_not_wait_and_takes_nobody_the_connection() {
    let (gate, greeted) = (Gate::default(), Gate::default());
    let (held, greeting) = (gate.clone(), greeted.clone());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        greeting.open();
        held.pass();
        let mut preface = [0; 24];
        stream.read_exact(&mut preface).unwrap();
        stream.write_all(&[frames::frame(frames::SETTINGS, 0, 0, &[]), frames::frame(frames::SETTINGS, 1, 0, &[])].concat()).unwrap();
        let mut frames = crate::harness::http2_origin::Frames(stream);
        while let Some(head) = frames.next_of(frames::HEADERS, PATIENCE) {
            frames.status(head.stream, 204, frames::END_STREAM);
        }
    });
    let gateway = Gateway2::start(address);

    let slow = std::thread::spawn({
        let address = gateway.0.address;
        move || get(address, "/slow").status
    });
    greeted.pass();
    assert_eq!(get(gateway.0.address, "/quick").status, 504);
    gate.open();

    assert_eq!(slow.join().unwrap(), 204);
}

/// A gateway with a patient route and one that is not.
struct Gateway2(crate::harness::Gateway);

impl Gateway2 {
    fn start(origin: std::net::SocketAddr) -> Self {
        Self(crate::harness::Gateway::start(&crate::harness::yaml(
            "
            server: {listeners: [{address: 127.0.0.1:0}], threads: 1}
            upstreams: {main: {endpoints: [$ORIGIN], protocol: h2, timeouts: {connect: 20s}}}
            routes:
              - {name: slow, path: /slow, upstream: main}
              - {name: quick, path: /quick, upstream: main, timeout: 100ms}
            ",
            &[("$ORIGIN", &origin)],
        )))
    }
}

#[test]
fn an_endpoint_that_does_not_speak_http2_is_one_that_cannot_be_connected_to() {
    let origin = Origin::json("{}");
    let gateway = gateway(origin.address);

    get(gateway.address, "/").is_problem(502);

    gateway.comes_to("frontgate_upstream_attempts_total{upstream=\"main\",result=\"connect_failure\"}", 1.0);
}

#[test]
fn one_slow_reader_holds_nobody_up() {
    let part = Bytes::from(vec![b'x'; 1 << 20]);
    let origin = Http2Origin::start(move |mut asked| {
        let part = part.clone();
        async move {
            let mut stream = asked.head(200, &[], false);
            for index in 0..40 {
                if !send_all(&mut stream, part.clone(), index == 39).await {
                    return;
                }
            }
        }
    });
    let gateway = gateway(origin.address);
    let mut slow = raw(gateway.address);
    slow.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut some = [0; 1024];
    slow.read_exact(&mut some).unwrap();

    for _ in 0..3 {
        let reply = get(gateway.address, "/fast");
        assert_eq!((reply.body.len(), reply.whole), (40 << 20, true));
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn many_slow_readers_do_not_take_the_whole_window_of_whoever_comes_next() {
    let part = Bytes::from(vec![b'x'; 1 << 20]);
    let origin = Http2Origin::start(move |mut asked| {
        let part = part.clone();
        async move {
            let mut stream = asked.head(200, &[], false);
            let parts = if asked.head.uri.path() == "/slow" { 100 } else { 4 };
            for index in 0..parts {
                if !send_all(&mut stream, part.clone(), index + 1 == parts).await {
                    return;
                }
            }
        }
    });
    let gateway = gateway(origin.address);
    let mut slow = Vec::new();
    // One after the other, each until its client is known not to read.
    for number in 0..40 {
        let mut stream = raw(gateway.address);
        stream.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let mut some = [0; 1024];
        stream.read_exact(&mut some).unwrap();
        slow.push(stream);
        until("the request is there", || origin.received().len() > number);
    }
    std::thread::sleep(Duration::from_millis(500));

    let reply = get(gateway.address, "/fast");

    assert_eq!((reply.body.len(), reply.whole), (4 << 20, true));
    assert!((2..=5).contains(&origin.connections()), "{}", origin.connections());
}

#[test]
fn a_client_that_leaves_resets_its_stream_and_no_other() {
    let origin = Script::start(&[], |frames, _| {
        let (mut first, mut reset) = (None, None);
        while let Some(frame) = frames.next(PATIENCE) {
            match frame.kind {
                frames::HEADERS if first.is_none() => {
                    first = Some(frame.stream);
                    frames.status(frame.stream, 200, 0);
                    frames.send(&frames::frame(frames::DATA, 0, frame.stream, b"begun"));
                }
                frames::HEADERS => {
                    // Answered once the other one is known to be over.
                    while reset.is_none() {
                        let Some(next) = frames.next(PATIENCE) else { return };
                        if next.kind == frames::RST_STREAM {
                            reset = Some((next.stream, next.payload));
                        }
                    }
                    let (stream, code) = reset.clone().unwrap();
                    let status = if (Some(stream), &code[..]) == (first, &8_u32.to_be_bytes()[..]) { 204 } else { 500 };
                    frames.status(frame.stream, status, frames::END_STREAM);
                }
                _ => {}
            }
        }
    });
    let gateway = gateway(origin.address);
    let mut leaving = raw(gateway.address);
    leaving.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut some = [0; 512];
    assert!(leaving.read(&mut some).unwrap() > 0);

    let address = gateway.address;
    let staying = std::thread::spawn(move || get(address, "/").status);
    std::thread::sleep(Duration::from_millis(50));
    drop(leaving);

    assert_eq!(staying.join().unwrap(), 204, "the first was reset with CANCEL, and the second lives");
    assert_eq!(origin.connections(), 1);
}

#[test]
fn a_deadline_ends_a_stream_and_not_its_connection() {
    let origin = Http2Origin::start(|mut asked| async move {
        match asked.head.uri.path() {
            "/head" => tokio::time::sleep(PATIENCE).await,
            "/body" => {
                let mut stream = asked.head(200, &[], false);
                let _ = stream.send_data(Bytes::from_static(b"begun"), false);
                tokio::time::sleep(PATIENCE).await;
            }
            "/long" => {
                tokio::time::sleep(Duration::from_millis(600)).await;
                asked.answer("long");
            }
            _ => asked.answer("quick"),
        }
    });
    let timeouts = "timeouts: {first_byte: 1s, between_bytes: 300ms, total: 5s}";
    let gateway = gateway_with(&[origin.address], "threads: 1", timeouts, "");
    let address = gateway.address;

    let long = std::thread::spawn(move || get(address, "/long").text());
    let head = std::thread::spawn(move || get(address, "/head").status);
    let body = get(address, "/body");

    assert_eq!((body.status, body.text().as_str(), body.whole), (200, "begun", false));
    assert_eq!((head.join().unwrap(), long.join().unwrap().as_str()), (504, "long"));
    assert_eq!(get(address, "/").text(), "quick");
    assert_eq!(origin.connections(), 1);
    gateway.comes_to("frontgate_upstream_attempts_total{upstream=\"main\",result=\"timeout\"}", 2.0);
}

#[test]
fn an_idle_connection_ends_after_its_time_and_says_goodbye() {
    let origin = Script::start(&[], |frames, number| {
        let head = frames.next_of(frames::HEADERS, PATIENCE).expect("a request");
        let goodbye = number > 0;
        frames.status(head.stream, 204, frames::END_STREAM);
        if !goodbye {
            assert!(frames.next_of(frames::GOAWAY, PATIENCE).is_some(), "it leaves without a word");
        }
    });
    let gateway = gateway_with(&[origin.address], "threads: 1", "timeouts: {idle: 300ms}", "");

    assert_eq!(get(gateway.address, "/").status, 204);
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(get(gateway.address, "/").status, 204);

    assert_eq!(origin.connections(), 2);
}

#[test]
fn connections_of_endpoints_that_have_left_end_and_those_that_stay_keep_theirs() {
    let (stays, leaves) = (Http2Origin::text("stays"), Http2Origin::text("leaves"));
    let text = |origins: &str| {
        let text = "
        server: {listeners: [{address: 127.0.0.1:0}], threads: 1}
        upstreams: {main: {endpoints: [$ORIGINS], protocol: h2, timeouts: {idle: 1s}}}
        routes: [{name: all, path: /**, upstream: main}]
        ";
        crate::harness::yaml(text, &[("$ORIGINS", &origins)])
    };
    let both = format!("{}, {}", stays.address, leaves.address);
    let gateway = crate::harness::Gateway::start(&text(&both));
    for _ in 0..4 {
        get(gateway.address, "/");
    }
    assert_eq!((stays.connections(), leaves.connections()), (1, 1));

    gateway.running.reload(load(&text(&stays.address.to_string()))).unwrap();
    until("the connection ends", || {
        assert_eq!(get(gateway.address, "/").text(), "stays");
        leaves.open() == 0
    });

    assert_eq!((stays.connections(), leaves.connections()), (1, 1));
}

#[test]
fn a_retry_goes_to_another_endpoint() {
    let (fails, other) = (Http2Origin::start(|mut asked| async move { drop(asked.head(500, &[], true)) }), Http2Origin::text("other"));
    let rules = "retry: {attempts: 2, when: [500-599]}";
    let gateway = gateway_with(&[fails.address, other.address], "threads: 1", rules, "");

    for _ in 0..4 {
        assert_eq!(get(gateway.address, "/").text(), "other");
    }

    assert!(fails.received().len() >= 2 && other.received().len() == 4);
    assert_eq!((fails.connections(), other.connections()), (1, 1));
}

#[test]
fn probes_are_made_over_http2_each_on_a_connection_of_its_own() {
    let origin = Http2Origin::start(|mut asked| async move {
        let status = if asked.head.headers["user-agent"] == "frontgate-health" { 204 } else { 200 };
        asked.head(status, &[], true);
    });
    let failing = Http2Origin::start(|mut asked| async move { drop(asked.head(200, &[], true)) });
    let mute = Origin::json("{}");
    let rules = "\nhealth: {path: /healthz, interval: 100ms, timeout: 5s, expect: 204, start: unhealthy}\npanic: false";
    let gateway = gateway_with(&[origin.address, failing.address, mute.address], "threads: 1", rules, "");

    let state = |state: &str| gateway.metric(&format!("frontgate_upstream_endpoints{{upstream=\"main\",state=\"{state}\"}}"));
    until("one of them is healthy", || (state("healthy"), state("unhealthy")) == (1.0, 2.0) && failing.received().len() > 3);

    let (head, _) = &origin.received()[0];
    assert_eq!((head.uri.path(), &head.uri.authority().unwrap().to_string()), ("/healthz", &origin.address.to_string()));
    until("each probe's connection ends with it", || origin.received().len() > 5 && origin.open() <= 1);
    // The last one may not have sent its request yet.
    let (connections, requests) = (origin.connections(), origin.received().len());
    assert!(connections.abs_diff(requests) <= 1, "{connections} connections for {requests} requests");
}

#[test]
fn requests_are_counted_against_max_connections_and_not_connections() {
    let origin = Http2Origin::start(|mut asked| async move {
        tokio::time::sleep(Duration::from_millis(400)).await;
        asked.answer("");
    });
    let gateway = gateway_with(&[origin.address], "threads: 1", "max_connections: 2", "");

    let statuses = over_http2(gateway.address, async |mut client| {
        let mut statuses = Vec::new();
        let asking: Vec<_> = (0..3)
            .map(|_| {
                let mut client = client.clone();
                tokio::spawn(async move { ask(&mut client, request(Method::GET, "/")).await.0.status().as_u16() })
            })
            .collect();
        for asking in asking {
            statuses.push(asking.await.unwrap());
        }
        let _ = ask(&mut client, request(Method::GET, "/")).await;
        statuses.sort_unstable();
        statuses
    });

    assert_eq!(statuses, [200, 200, 503]);
    assert_eq!(origin.connections(), 1);
}
