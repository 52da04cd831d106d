//! Connections of HTTP/2 that are asked to end: when they are old, and when the gateway drains.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::harness::frames::{GOAWAY, SETTINGS, frame, get, greeting, types};
use crate::harness::http2::over_http2;
use crate::harness::{Gateway, Origin, PATIENCE, Process, raw, until, yaml};

/// HTTP/2 and HTTP/1 on one listener in front of `origin`; `server` is more of its section.
fn text(origin: SocketAddr, server: &str) -> String {
    yaml(
        "
        server:
          listeners: [{address: 127.0.0.1:0, protocols: [h2, http1]}]
          $SERVER
        upstreams: {main: {endpoints: [$ORIGIN]}}
        routes: [{name: all, path: /**, upstream: main}]
        ",
        &[("$ORIGIN", &origin), ("$SERVER", &server)],
    )
}

/// A connection that has greeted, and was.
fn greeted(address: SocketAddr) -> std::net::TcpStream {
    let mut stream = raw(address);
    stream.write_all(&[greeting(&[]), frame(SETTINGS, 1, 0, b"")].concat()).unwrap();
    let mut start = [0; 9];
    stream.read_exact(&mut start).unwrap();
    assert_eq!(start[3], SETTINGS);
    let length = u32::from_be_bytes([0, start[0], start[1], start[2]]);
    stream.read_exact(&mut vec![0; length as usize]).unwrap();
    stream
}

/// When a connection was told to end, if it was at all.
fn told(mut stream: std::net::TcpStream) -> Option<Instant> {
    let (mut all, mut space) = (Vec::new(), [0; 4096]);
    while !types(&all).contains(&GOAWAY) {
        match stream.read(&mut space) {
            Ok(0) | Err(_) => return None,
            Ok(count) => all.extend_from_slice(&space[..count]),
        }
    }
    Some(Instant::now())
}

#[test]
fn an_old_connection_is_asked_to_end_and_what_it_asked_for_is_answered() {
    let (origin, gate) = Origin::held("whole");
    let gateway = Gateway::start(&text(origin.address, "timeouts: {max_age: 1s}"));
    let began = Instant::now();

    over_http2(gateway.address, async |mut client| {
        let request = |path: &str| http::Request::get(format!("http://a.example{path}")).body(()).unwrap();
        let (answer, _) = client.send_request(request("/held"), true).unwrap();
        // It takes requests until it is told.
        let mut served = 0;
        loop {
            let Ok(ready) = client.clone().ready().await else { break };
            client = ready;
            let Ok((other, _)) = client.send_request(request("/"), true) else { break };
            let Ok(other) = other.await else { break };
            assert_eq!(other.status(), 200);
            served += 1;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(served > 3, "{served} requests");
        assert!(began.elapsed() > Duration::from_millis(800), "{:?}", began.elapsed());
        gate.open();

        let mut body = answer.await.expect("what was asked for is answered").into_body();
        assert_eq!(body.data().await.unwrap().unwrap(), "whole");
        assert!(body.data().await.is_none());
    });

    until("the connection to be gone", || gateway.metric("frontgate_connections{listener=\"127.0.0.1:0\"}") == 0.0);
    over_http2(gateway.address, async |mut client| {
        let request = http::Request::get("http://a.example/").body(()).unwrap();
        assert_eq!(client.send_request(request, true).unwrap().0.await.unwrap().status(), 200, "another one is taken");
    });
}

#[test]
fn connections_of_one_age_do_not_end_at_one_time() {
    let origin = Origin::json("{}");
    let gateway = Gateway::start(&text(origin.address, "timeouts: {max_age: 5s}"));
    let streams: Vec<_> = (0..40).map(|_| greeted(gateway.address)).collect();

    let mut times: Vec<Instant> = std::thread::scope(|scope| {
        streams
            .into_iter()
            .map(|stream| scope.spawn(|| told(stream)))
            .collect::<Vec<_>>()
            .into_iter()
            .map(|thread| thread.join().unwrap().expect("each is told"))
            .collect()
    });

    times.sort();
    let spread = times[times.len() - 1] - times[0];
    assert!(spread > Duration::from_millis(150), "all within {spread:?}");
}

#[test]
fn a_drain_asks_connections_to_end_one_after_the_other_and_waits_for_what_they_asked() {
    let (origin, gate) = Origin::held("whole");
    let mut process = Process::start("goodbyes", &text(origin.address, "admin: 127.0.0.1:0\ndrain: {timeout: 1m}"));
    let mut asking = greeted(process.address);
    asking.write_all(&get(1, "/held")).unwrap();
    until("the request to be under way", || !origin.received().is_empty());
    let idle: Vec<_> = (0..400).map(|_| greeted(process.address)).collect();

    process.signal("TERM");
    let mut times: Vec<Instant> = std::thread::scope(|scope| {
        let threads: Vec<_> = idle.into_iter().map(|stream| scope.spawn(|| told(stream))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap().expect("each is told")).collect()
    });
    assert!(!process.ended_within(Duration::from_millis(100)), "a request is waited for");
    gate.open();
    let mut all = Vec::new();
    let _ = asking.read_to_end(&mut all);

    times.sort();
    let middle = times[times.len() * 9 / 10] - times[times.len() / 10];
    // A millisecond each.
    assert!(middle > Duration::from_millis(150), "nearly all within {middle:?}");
    assert!(types(&all).contains(&GOAWAY));
    assert!(all.windows(5).any(|window| window == b"whole"), "what was asked for is answered");
    assert_eq!(process.end(), Some(0));
}

#[test]
fn few_idle_connections_do_not_keep_a_drain_waiting() {
    let origin = Origin::json("{}");
    let mut process = Process::start("goodbye", &text(origin.address, "admin: 127.0.0.1:0\ndrain: {timeout: 1h}"));
    // They never answer to anything.
    let idle: Vec<_> = (0..3).map(|_| greeted(process.address)).collect();
    let began = Instant::now();

    process.signal("TERM");

    assert!(process.ended_within(PATIENCE));
    assert_eq!(process.end(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    assert!(idle.into_iter().all(|idle| told(idle).is_some()), "each was told");
}

#[test]
fn a_connection_has_as_many_requests_at_once_as_the_limit_says() {
    let (origin, gate) = Origin::held("whole");
    let gateway = Gateway::start(&text(origin.address, "limits: {streams: 3}"));
    let mut stream = raw(gateway.address);
    stream.write_all(&[greeting(&[]), frame(SETTINGS, 1, 0, b"")].concat()).unwrap();
    let asked: Vec<u8> = (0..10).flat_map(|index| get(index * 2 + 1, "/held")).collect();

    stream.write_all(&asked).unwrap();

    // Seven are refused (RFC 9113, section 5.1.2) while three wait.
    let refused = 7;
    let mut all = Vec::new();
    until("the refusals", || {
        let mut space = [0; 4096];
        let count = stream.read(&mut space).unwrap();
        all.extend_from_slice(&space[..count]);
        types(&all).iter().filter(|kind| **kind == crate::harness::frames::RST_STREAM).count() == refused
    });
    let settings = &all[9..9 + usize::from(all[2])];
    assert!(settings.chunks(6).any(|setting| setting == [0, 3, 0, 0, 0, 3]), "it was said: {settings:?}");
    until("the others to be under way", || origin.received().len() == 3);
    gate.open();
}
