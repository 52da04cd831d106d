//! Connections that are made while the gateway is on its way out, and descriptors that run out.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::harness::client::read_reply;
use crate::harness::gateway::simple;
use crate::harness::origin::response;
use crate::harness::{Gate, Origin, PATIENCE, Process, exchange, get, raw, until};

#[test]
fn who_has_connected_at_a_drain_is_answered() {
    let origin = Origin::json("{}");
    for round in 0..3 {
        let text = simple(origin.address, "admin: 127.0.0.1:0\ndrain: {notice: 100ms, timeout: 1m}", "");
        let mut process = Process::start(&format!("last-{round}"), &text);
        let answered = AtomicUsize::new(0);

        std::thread::scope(|scope| {
            let clients: Vec<_> = (0..6)
                .map(|_| {
                    scope.spawn(|| {
                        // Until nobody listens any more.
                        while let Ok(mut stream) = TcpStream::connect(process.address) {
                            stream.set_read_timeout(Some(PATIENCE)).unwrap();
                            let asked = stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
                            let mut all = Vec::new();
                            let read = asked.and_then(|()| stream.read_to_end(&mut all));
                            assert!(read.is_ok() && all.starts_with(b"HTTP/1.1 200 "), "connected, asked, and lost: {read:?}, {all:?}");
                            answered.fetch_add(1, Ordering::SeqCst);
                        }
                    })
                })
                .collect();
            until("traffic", || answered.load(Ordering::SeqCst) > 50);
            process.signal("TERM");
            clients.into_iter().for_each(|client| client.join().unwrap());
        });

        assert!(process.ended_within(PATIENCE));
    }
}

#[test]
fn a_connection_that_has_not_asked_yet_may_do_so_after_the_listener_is_closed() {
    let held = Gate::default();
    let gate = held.clone();
    let origin = Origin::start(move |request, stream| {
        if request.line().contains("/held") {
            gate.pass();
        }
        stream.write_all(response("200 OK", "", "x").as_bytes()).is_ok()
    });
    let mut process = Process::start("fresh", &simple(origin.address, "admin: 127.0.0.1:0\ndrain: {timeout: 1h}", ""));
    let mut fresh = raw(process.address);
    let mut silent = raw(process.address);
    // Of whoever was answered, all that came before were accepted.
    assert_eq!(get(process.address, "/").status, 200);

    process.signal("TERM");
    fresh.write_all(b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    until("the request to be under way", || origin.received().len() == 2);

    // The other one is not waited for, and ends cleanly.
    assert!(read_reply(&mut silent, false).is_none());
    held.open();
    assert_eq!(read_reply(&mut fresh, false).unwrap().header("connection"), Some("close"));
    assert!(process.ended_within(PATIENCE));
}

#[test]
fn where_descriptors_run_out_idle_clients_make_room_and_operators_are_let_in() {
    let origin = Origin::json("{}");
    let text = simple(origin.address, "admin: 127.0.0.1:0\ntimeouts: {header: 1h, keepalive: 1h}\nthreads: 2", "");
    let process = Process::start_with_descriptors(256, "idle", &text);
    let idle: Vec<TcpStream> = (0..600).map(|_| raw(process.address)).collect();

    assert_eq!(process.ask("GET", "/readyz").status, 200);
    let ask = || exchange(process.address, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    // As soon as all that wait are let in or turned away.
    let is_served = || ask().is_some_and(|reply| reply.status == 200);
    until("the next clients to be served", || (0..20).all(|_| is_served()));
    for _ in 0..20 {
        assert_eq!(ask().expect("an answer").status, 200, "and those after them");
    }
    assert!(process.descriptors() <= 256);
    let metrics = process.ask("GET", "/metrics").text();
    let refused = |line: &&str| line.starts_with("frontgate_connections_refused_total{") && line.contains("\"idle\"");
    assert!(metrics.lines().filter(refused).any(|line| !line.ends_with(" 0")), "{metrics}");

    drop(idle);
    assert_eq!(get(process.address, "/").status, 200);
}

#[test]
fn where_nobody_is_idle_operators_are_let_in_all_the_same() {
    let held = Gate::default();
    let gate = held.clone();
    let origin = Origin::start(move |_, stream| {
        gate.pass();
        stream.write_all(response("200 OK", "", "x").as_bytes()).is_ok()
    });
    let text = simple(origin.address, "admin: 127.0.0.1:0\ntimeouts: {header: 1h}\nthreads: 2", "");
    let process = Process::start_with_descriptors(160, "busy", &text);
    // Each takes a descriptor, and, once it has asked, one more for its upstream.
    let mut busy = Vec::new();
    while process.descriptors() < 110 {
        let (few, end) = (process.descriptors(), Instant::now() + Duration::from_secs(1));
        // Who has begun to ask is not idle.
        let mut stream = raw(process.address);
        stream.write_all(b"GET / HTTP/1.1\r\n").unwrap();
        busy.push(stream);
        // One after the other, so that there are not too many of them.
        while process.descriptors() <= few && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    for stream in &mut busy {
        stream.write_all(b"Host: a\r\n\r\n").unwrap();
    }
    until("descriptors to run out", || process.descriptors() >= 158);

    for _ in 0..5 {
        assert_eq!(process.ask("GET", "/livez").status, 200);
    }
    let more: Vec<TcpStream> = (0..50).map(|_| raw(process.address)).collect();
    until("those who were turned away to be counted", || {
        let metrics = process.ask("GET", "/metrics").text();
        metrics.lines().any(|line| line.starts_with("frontgate_connections_refused_total{") && !line.ends_with(" 0"))
    });

    drop((busy, more));
    held.open();
    until("room again", || exchange(process.address, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").is_some_and(|reply| reply.status == 200));
}

#[test]
fn a_client_that_was_just_answered_may_ask_once_more_after_the_listener_is_closed() {
    let origin = Origin::json("{}");
    let mut process = Process::start("again", &simple(origin.address, "admin: 127.0.0.1:0\ndrain: {timeout: 1h}", ""));
    let ask = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut busy: Vec<TcpStream> = (0..4).map(|_| raw(process.address)).collect();
    let mut draining = false;

    // Each asks again as soon as it is answered, until it is told not to: none is lost in between.
    while !busy.is_empty() {
        busy.retain_mut(|stream| {
            stream.write_all(ask).expect("it is open");
            let reply = read_reply(stream, false).expect("an answer");
            reply.header("connection") != Some("close")
        });
        if !std::mem::replace(&mut draining, true) {
            process.signal("TERM");
        }
    }

    assert!(process.ended_within(PATIENCE));
}
