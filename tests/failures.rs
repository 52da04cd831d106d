use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::time::{Duration, Instant};

use crate::harness::client::read_reply;
use crate::harness::gateway::simple;
use crate::harness::origin::response;
use crate::harness::{Gate, Gateway, Origin, Process, exchange, frames, get, operate, raw, until, yaml};

/// One upstream at `origin` with these timeouts.
fn with_timeouts(origin: std::net::SocketAddr, timeouts: &str) -> Gateway {
    Gateway::start(&yaml(
        "
        upstreams:
          main:
            endpoints: [$ORIGIN]
            timeouts: {$TIMEOUTS}
        routes:
          - {name: all, path: /**, upstream: main}
          - {name: short, path: /short, upstream: main, timeout: 300ms}
        ",
        &[("$ORIGIN", &origin), ("$TIMEOUTS", &timeouts)],
    ))
}

/// Whether a deadline was neither early nor another one's: `other` is when, in milliseconds, something else would have ended the wait.
#[track_caller]
fn took(began: Instant, deadline: u64, other: u64) {
    let millis = began.elapsed().as_millis() as u64;
    assert!((deadline..other).contains(&millis), "{millis} ms");
}

#[test]
fn an_origin_that_refuses_is_502_and_recovers_by_itself() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gateway = Gateway::over(address, "", "");
    get(gateway.address, "/").is_problem(502);

    let origin = Origin::on(address, |_, stream| stream.write_all(response("200 OK", "", "back").as_bytes()).is_ok());

    assert_eq!(get(gateway.address, "/").text(), "back");
    drop(origin);
    until("502 again", || get(gateway.address, "/").status == 502);
    until("upstream attempts total", || {
        gateway.metric("frontgate_upstream_attempts_total{upstream=\"main\",result=\"connect_failure\"}") >= 1.0
    });
}

#[test]
fn an_endpoint_that_is_spoken_to_otherwise_than_it_speaks_is_told_as_what_it_is() {
    let (alert, settings) = (b"\x15\x03\x03\x00\x02\x02\x46".to_vec(), frames::frame(frames::SETTINGS, 0, 0, &[]));
    for (protocol, says, why) in [
        ("http1", alert.clone(), "it answers in TLS: is `tls` missing?"),
        ("h2", alert, "it answers in TLS: is `tls` missing?"),
        ("http1", settings, "it speaks HTTP/2: is `protocol: h2` missing?"),
        ("h2", b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n".to_vec(), "it does not speak HTTP/2"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for mut socket in listener.incoming().take(2).flatten() {
                let _ = socket.read(&mut [0; 4096]);
                let _ = socket.write_all(&says);
                let _ = socket.shutdown(Shutdown::Write);
                let _ = socket.read_to_end(&mut Vec::new());
            }
        });
        let gateway = Gateway::start(&yaml(
            "
            server: {listeners: [{address: 127.0.0.1:0}], admin: 127.0.0.1:0}
            upstreams:
              main: {endpoints: [$ORIGIN], protocol: $PROTOCOL}
            routes:
              - {name: all, path: /**, upstream: main}
            ",
            &[("$ORIGIN", &address), ("$PROTOCOL", &protocol)],
        ));

        get(gateway.address, "/").is_problem(502);

        let status = operate(gateway.running.admin().unwrap(), "GET", "/healthz?full=1").json();
        let endpoint = &status["upstreams"]["main"]["endpoints"][0];
        assert_eq!(endpoint["last_error"], why, "{protocol}");
        let ago = endpoint["last_error_ms_ago"].as_u64().unwrap();
        assert!(ago < 20_000, "{ago} ms");
    }
}

#[test]
fn an_origin_that_breaks_off_before_its_head_is_502() {
    let origin = Origin::start(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Le");
        false
    });
    let gateway = Gateway::over(origin.address, "", "");

    get(gateway.address, "/").is_problem(502);
}

#[test]
fn an_origin_that_speaks_no_http_is_502() {
    let origin = Origin::start(|_, stream| {
        let _ = stream.write_all(b"SSH-2.0-OpenSSH\r\n\r\n");
        false
    });
    let gateway = Gateway::over(origin.address, "", "");

    get(gateway.address, "/").is_problem(502);
}

#[test]
fn a_body_that_breaks_off_never_looks_whole() {
    for head in ["Content-Length: 10", "Transfer-Encoding: chunked"] {
        let origin = Origin::start(move |_, stream| {
            let _ = write!(stream, "HTTP/1.1 200 OK\r\n{head}\r\n\r\n5\r\nhello\r\n");
            false
        });
        let gateway = Gateway::over(origin.address, "", "");

        let reply = get(gateway.address, "/");

        assert_eq!((reply.status, reply.whole), (200, head.contains("10")), "{head}");
        if head.contains("10") {
            // Ten of the bytes came: the body is whole as counted, the rest is the origin's rubbish.
            assert_eq!(reply.body.len(), 10);
        }
    }
}

#[test]
fn a_stale_pooled_connection_is_tried_once_more() {
    let origin = Origin::start(|request, stream| {
        let close = request.line().contains("/last");
        stream.write_all(response("200 OK", "", "x").as_bytes()).is_ok() && !close
    });
    let gateway = Gateway::over(origin.address, "", "");

    for _ in 0..20 {
        // The origin closes without having said so; the next request may meet the dead connection.
        assert_eq!(get(gateway.address, "/last").status, 200);
    }
}

#[test]
fn however_many_pooled_connections_are_closed_a_request_gets_a_fresh_one_in_the_end() {
    let held = Gate::default();
    let (gate, arrived) = (held.clone(), std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0)));
    let waiting = arrived.clone();
    // One request on each connection; the next one closes it without an answer.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, gate, waiting) = (stream.unwrap(), gate.clone(), waiting.clone());
            std::thread::spawn(move || {
                let mut space = [0; 4096];
                let count = stream.read(&mut space).unwrap_or(0);
                if space[..count].starts_with(b"GET /fill") {
                    waiting.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    gate.pass();
                }
                let _ = stream.write_all(response("200 OK", "", "x").as_bytes());
                let _ = stream.read(&mut space);
            });
        }
    });
    let gateway = Gateway::start(&yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0}], threads: 1}
        upstreams: {main: {endpoints: [$ORIGIN]}}
        routes: [{name: all, path: /**, upstream: main}]
        ",
        &[("$ORIGIN", &address)],
    ));
    let here = gateway.address;
    let filling: Vec<_> = (0..8).map(|_| std::thread::spawn(move || get(here, "/fill").status)).collect();
    until("eight connections", || arrived.load(std::sync::atomic::Ordering::SeqCst) == 8);
    held.open();
    assert!(filling.into_iter().all(|one| one.join().unwrap() == 200));

    assert_eq!(get(gateway.address, "/").status, 200);
}

#[test]
fn an_answer_after_a_failed_attempt_keeps_the_client_s_connection() {
    let held = Gate::default();
    let gate = held.clone();
    let origin = Origin::start(move |request, stream| match request.line().split(' ').nth(1).unwrap() {
        "/cached" if request.header("x-well").is_empty() => false,
        "/malformed" => stream.write_all(b"ICY 200 OK\r\n\r\n").is_ok(),
        "/hints" => {
            let _ = stream.write_all(b"HTTP/1.1 103 Early Hints\r\n\r\n");
            false
        }
        "/silent" => {
            gate.pass();
            false
        }
        "/breaks" => false,
        _ => stream.write_all(response("200 OK", "", "kept").as_bytes()).is_ok(),
    });
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gateway = Gateway::start(&yaml(
        "
        upstreams:
          main: {endpoints: [$ORIGIN], timeouts: {first_byte: 1s}}
          dead: {endpoints: [$DEAD]}
        filters: {guard: {circuit_breaker: {fallback: [{cached: {max_age: 1h}}]}}}
        routes:
          - {name: all, path: /**, upstream: main}
          - {name: cached, path: /cached, upstream: main, filters: [guard]}
          - {name: dead, path: /dead, upstream: dead}
        ",
        &[("$ORIGIN", &origin.address), ("$DEAD", &dead)],
    ));
    let mut client = raw(gateway.address);
    let mut ask = |path: &str, fields: &str| {
        write!(client, "GET {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n").unwrap();
        let reply = read_reply(&mut client, false).unwrap_or_else(|| panic!("{path}: the connection is closed"));
        assert_eq!(reply.header("connection"), None, "{path}");
        reply
    };

    assert_eq!(ask("/cached", "X-Well: 1\r\n").status, 200);
    for (path, status) in
        [("/breaks", 502), ("/malformed", 502), ("/hints", 502), ("/dead", 502), ("/silent", 504), ("/cached", 200), ("/", 200)]
    {
        assert_eq!(ask(path, "").status, status, "{path}");
    }
    assert_eq!(ask("/cached", "").header("x-bff-fallback"), Some("cached"));
    held.open();
}

#[test]
fn every_timeout_of_an_upstream_is_kept() {
    // Answers what the path asks: waits before the head, or between two parts of the body.
    let held = Gate::default();
    let gate = held.clone();
    let origin = Origin::start(move |request, stream| {
        let path = request.line().split(' ').nth(1).unwrap_or_default().to_owned();
        if path == "/silent" || path == "/short" {
            gate.pass();
        }
        if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n").is_err() {
            return false;
        }
        for _ in 0..10 {
            match path.as_str() {
                "/stall" => gate.pass(),
                _ => std::thread::sleep(Duration::from_millis(250)),
            }
            if stream.write_all(b"data").is_err() {
                return false;
            }
        }
        true
    });

    let gateway = with_timeouts(origin.address, "first_byte: 400ms");
    let began = Instant::now();
    get(gateway.address, "/silent").is_problem(504);
    took(began, 380, 15_000);
    let gateway = with_timeouts(origin.address, "between_bytes: 2s");
    let began = Instant::now();
    let stalled = get(gateway.address, "/stall");
    assert_eq!((stalled.status, stalled.whole), (200, false));
    took(began, 1_900, 30_000);
    let slow = get(gateway.address, "/slow");
    assert!(slow.whole, "two seconds and a half in all, and a quarter of a second between parts");
    let began = Instant::now();
    get(gateway.address, "/short").is_problem(504);
    took(began, 280, 15_000);
    until("upstream attempts total", || gateway.metric("frontgate_upstream_attempts_total{upstream=\"main\",result=\"timeout\"}") >= 2.0);

    let gateway = with_timeouts(origin.address, "total: 600ms");
    let began = Instant::now();
    let stalled = get(gateway.address, "/stall");
    assert!(!stalled.whole && stalled.status == 200, "the body is not over after 600 ms");
    took(began, 580, 30_000);
    held.open();
}

#[test]
fn a_blackhole_is_504_after_the_connect_timeout() {
    // A listener whose queue is full takes no more connections: the kernel drops what comes.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    socket_backlog_of_zero(&listener);
    let mut fill = Vec::new();
    for _ in 0..8 {
        if let Ok(stream) = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(100)) {
            fill.push(stream);
        }
    }
    let gateway = with_timeouts(address, "connect: 300ms");

    let began = Instant::now();
    get(gateway.address, "/").is_problem(504);

    // The connection would have been given up by default after a second, and by the kernel after minutes.
    took(began, 280, 20_000);
}

fn socket_backlog_of_zero(listener: &TcpListener) {
    use std::os::fd::AsRawFd;
    #[allow(unsafe_code, reason = "listen(2) touches no memory")]
    // SAFETY: the descriptor is open for as long as the listener is.
    let result = unsafe { libc::listen(listener.as_raw_fd(), 0) };
    assert_eq!(result, 0);
}

#[test]
fn a_client_that_pauses_an_upload_does_not_run_into_the_origins_timeout() {
    let origin = Origin::json("{}");
    let gateway = with_timeouts(origin.address, "first_byte: 1s, between_bytes: 1s");
    let mut stream = raw(gateway.address);
    stream.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello").unwrap();
    std::thread::sleep(Duration::from_millis(2_500));
    stream.write_all(b"world").unwrap();

    assert_eq!(read_reply(&mut stream, false).unwrap().status, 200);
}

#[test]
fn a_head_that_drips_is_cut_at_its_deadline_on_fresh_and_reused_connections() {
    let origin = Origin::json("{}");
    let gateway = Gateway::over(origin.address, "timeouts: {header: 700ms}", "");
    let mut reused = raw(gateway.address);
    reused.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(read_reply(&mut reused, false).unwrap().status, 200);
    // An idle connection is not a drip.
    std::thread::sleep(Duration::from_millis(900));

    for reused in [Some(reused), None] {
        let mut stream = reused.unwrap_or_else(|| raw(gateway.address));
        let mut writer = stream.try_clone().unwrap();
        let began = Instant::now();
        // For as long as somebody takes it.
        let dripping = std::thread::spawn(move || {
            for byte in b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ".iter().chain([b'a'].iter().cycle()) {
                if writer.write_all(&[*byte]).is_err() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(40));
            }
        });
        if let Some(reply) = read_reply(&mut stream, false) {
            reply.is_problem(408);
        }
        took(began, 680, 10_000);
        let _ = stream.shutdown(Shutdown::Both);
        dripping.join().unwrap();
    }
    assert_eq!(origin.received().len(), 1);
}

#[test]
fn a_body_that_drips_is_cut_at_its_deadline() {
    let origin = Origin::json("{}");
    let gateway = Gateway::over(origin.address, "timeouts: {body: 600ms}", "");
    let mut stream = raw(gateway.address);
    stream.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n").unwrap();
    let mut writer = stream.try_clone().unwrap();
    let began = Instant::now();
    let dripping = std::thread::spawn(move || {
        while writer.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
    });

    read_reply(&mut stream, false).unwrap().is_problem(408);

    took(began, 550, 30_000);
    let _ = stream.shutdown(Shutdown::Both);
    dripping.join().unwrap();
}

#[test]
fn a_client_that_does_not_read_is_cut_off() {
    let body = "x".repeat(32 << 20);
    let origin = Origin::start(move |_, stream| stream.write_all(response("200 OK", "", &body).as_bytes()).is_ok());
    let gateway = Gateway::over(origin.address, "timeouts: {write: 500ms}", "");
    let mut stream = raw(gateway.address);
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut first = [0_u8; 100];
    stream.read_exact(&mut first).unwrap();

    // A second more for every 500 bytes that it took would be long; the buffers of the kernel take a few megabytes at once.
    assert!(gateway.running.requests() <= 1);
    drop(stream);
    until("the request to end", || gateway.running.requests() == 0);
}

#[test]
fn five_hundred_slow_clients_do_not_disturb_a_fast_one() {
    let origin = Origin::json("{}");
    let gateway = Gateway::over(origin.address, "timeouts: {header: 1h}", "");
    let mut slow: Vec<_> = (0..500).map(|_| raw(gateway.address)).collect();
    for stream in &mut slow {
        stream.write_all(b"GET / HTTP/1.1\r\nHo").unwrap();
    }

    for round in 0..50 {
        for stream in slow.iter_mut().skip(round * 10).take(10) {
            stream.write_all(b"s").unwrap();
        }
        assert_eq!(get(gateway.address, "/").status, 200);
    }

    // The fast one was answered while every slow one was still waiting for its own end.
    for stream in &mut slow {
        stream.write_all(b"t: a\r\nConnection: close\r\n\r\n").unwrap();
        assert_eq!(read_reply(stream, false).unwrap().status, 200);
    }
}

#[test]
fn a_large_body_passes_in_constant_memory_both_ways() {
    let megabytes: usize = if std::env::var_os("FRONTGATE_LONG").is_some() { 1024 } else { 64 };
    let origin = Origin::start(move |_, stream| {
        if write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", megabytes << 20).is_err() {
            return false;
        }
        let part = vec![b'x'; 1 << 20];
        (0..megabytes).all(|_| stream.write_all(&part).is_ok())
    });
    let process = Process::start("large", &simple(origin.address, "admin: 127.0.0.1:0", "limits: {body: 2GiB}"));
    let before = process.memory();
    let mut stream = raw(process.address);
    let mut writer = stream.try_clone().unwrap();
    let sending = std::thread::spawn(move || {
        write!(writer, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", megabytes << 20).unwrap();
        let part = vec![b'y'; 1 << 20];
        for _ in 0..megabytes {
            writer.write_all(&part).unwrap();
        }
    });

    let mut space = vec![0_u8; 1 << 16];
    let mut count = 0;
    while count < megabytes << 20 {
        match stream.read(&mut space).unwrap() {
            0 => break,
            read => count += read,
        }
    }
    sending.join().unwrap();

    let grown = process.peak().saturating_sub(before) >> 10;
    println!("{megabytes} MiB each way: resident {before} KiB before, {grown} MiB more at most");
    assert!(count >= megabytes << 20, "{count} bytes");
    assert!(grown < 12, "{before} KiB before, {grown} MiB more at most");
}

#[test]
fn a_client_that_leaves_frees_what_it_held() {
    let origin = Origin::start(|_, stream| {
        std::thread::sleep(Duration::from_millis(300));
        stream.write_all(response("200 OK", "", "late").as_bytes()).is_ok()
    });
    let gateway = Gateway::over(origin.address, "", "");
    for _ in 0..20 {
        let mut stream = raw(gateway.address);
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    }

    until("all requests to end", || gateway.running.requests() == 0);
    assert_eq!(exchange(gateway.address, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap().status, 200);
}
