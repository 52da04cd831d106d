use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;

use crate::harness::client::read_reply;
use crate::harness::gateway::simple;
use crate::harness::origin::response;
use crate::harness::{Gate, Gateway, Origin, Process, exchange, raw, yaml};

/// An origin that answers everything with these bytes.
fn saying(answer: &'static str) -> Origin {
    Origin::start(move |_, stream| stream.write_all(answer.as_bytes()).is_ok())
}

#[test]
fn a_length_that_an_upstream_says_twice_is_said_once() {
    for lengths in ["Content-Length: 5\r\nContent-Length: 5", "Content-Length: 5, 5", "Content-Length: 005"] {
        for method in ["GET", "HEAD"] {
            let body = if method == "GET" { "hello" } else { "" };
            let origin = Origin::start(move |_, stream| write!(stream, "HTTP/1.1 200 OK\r\n{lengths}\r\n\r\n{body}").is_ok());
            let gateway = Gateway::over(origin.address, "", "");

            let reply = exchange(gateway.address, format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();

            assert_eq!(reply.head.to_lowercase().matches("content-length: 5\r\n").count(), 1, "{lengths:?}: {}", reply.head);
            assert_eq!((reply.header("transfer-encoding"), reply.text()), (None, body.to_owned()), "{lengths:?}");
        }
    }
}

#[test]
fn who_says_close_means_it_whatever_else_is_said() {
    let origin = Origin::json("{}");
    let gateway = Gateway::over(origin.address, "", "");
    for version in ["1.0", "1.1"] {
        for options in ["close, keep-alive", "keep-alive, close", "Keep-Alive\r\nConnection: Close"] {
            let mut stream = raw(gateway.address);
            write!(stream, "GET / HTTP/{version}\r\nHost: a\r\nConnection: {options}\r\n\r\n").unwrap();

            let reply = read_reply(&mut stream, false).unwrap();

            assert_eq!(reply.header("connection"), Some("close"), "{version} {options:?}");
            assert_eq!(stream.read(&mut [0]).unwrap(), 0, "{version} {options:?}");
        }
    }
}

#[test]
fn an_upstream_of_http_1_0_that_says_close_is_not_used_again() {
    let origin = saying("HTTP/1.0 200 OK\r\nConnection: close, keep-alive\r\nContent-Length: 2\r\n\r\nok");
    let gateway = Gateway::over(origin.address, "", "");
    let mut stream = raw(gateway.address);

    for round in 1..=3 {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert_eq!(read_reply(&mut stream, false).unwrap().text(), "ok");
        assert_eq!(origin.connections(), round);
    }
}

#[test]
fn requests_that_a_client_sent_before_it_closed_its_half_are_all_answered() {
    let gate = Gate::default();
    let pass = gate.clone();
    let origin = Origin::start(move |request, stream| {
        pass.pass();
        stream.write_all(response("200 OK", "", request.line().split(' ').nth(1).unwrap()).as_bytes()).is_ok()
    });
    let gateway = Gateway::over(origin.address, "half_close: true", "");
    let mut stream = raw(gateway.address);
    for number in 1..=3 {
        write!(stream, "GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    }
    stream.shutdown(Shutdown::Write).unwrap();
    gate.open();

    for number in 1..=3 {
        assert_eq!(read_reply(&mut stream, false).expect("an answer").text(), format!("/{number}"));
    }
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "nothing more can come");
}

#[test]
fn a_body_without_length_that_a_stopped_process_breaks_off_does_not_look_whole() {
    let gate = Gate::default();
    let pass = gate.clone();
    let origin = Origin::start(move |_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n").unwrap();
        pass.pass();
        false
    });
    let process = Process::start("half", &simple(origin.address, "admin: 127.0.0.1:0", ""));
    let mut stream = raw(process.address);
    stream.write_all(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n").unwrap();
    let mut seen = Vec::new();
    while !seen.ends_with(b"half") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        seen.push(byte[0]);
    }

    process.signal("INT");

    // Where the end of the connection is the body's end, only a reset says that there was more.
    let end = stream.read(&mut [0]);
    assert_eq!(end.expect_err("no clean end").kind(), ErrorKind::ConnectionReset);
    gate.open();
}

#[test]
fn whole_bodies_without_length_end_without_a_reset() {
    let origin = saying("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwhole\r\n0\r\n\r\n");
    let gateway = Gateway::over(origin.address, "", "");
    for _ in 0..20 {
        let mut stream = raw(gateway.address);
        // More than was asked for, which nobody reads.
        stream.write_all(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n\r\n").unwrap();
        let mut all = Vec::new();

        stream.read_to_end(&mut all).expect("a clean end");

        assert!(all.ends_with(b"\r\n\r\nwhole"));
    }
}

#[test]
fn a_filter_that_gives_up_after_an_interim_answer_still_answers() {
    let gate = Gate::default();
    let pass = gate.clone();
    let origin = Origin::start(move |_, stream| {
        stream.write_all(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n").unwrap();
        pass.pass();
        let fields = "Content-Type: application/json\r\nContent-Encoding: gzip\r\n";
        stream.write_all(response("200 OK", fields, "not zipped!!").as_bytes()).is_ok()
    });
    let gateway = Gateway::start(&yaml(
        "
        upstreams:
          main: {endpoints: [$ORIGIN]}
        filters:
          slim: {trim: {profiles: {desktop: {drop: [a]}}}}
        routes:
          - {name: all, path: /**, upstream: main, filters: [slim]}
        ",
        &[("$ORIGIN", &origin.address)],
    ));
    let agent = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";

    let mut stream = raw(gateway.address);
    write!(stream, "GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: {agent}\r\nAccept-Encoding: gzip\r\n\r\n").unwrap();
    let mut interim = Vec::new();
    while !interim.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        interim.push(byte[0]);
    }
    gate.open();

    assert!(interim.starts_with(b"HTTP/1.1 103"));
    read_reply(&mut stream, false).expect("an answer").is_problem(502);
}

#[test]
fn trailers_pass_without_what_belongs_to_the_hop_or_to_the_head() {
    let origin = saying(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\nConnection: close\r\nContent-Length: 9\r\n\
         Transfer-Encoding: gzip\r\nKeep-Alive: timeout=5\r\nX-Sum: 2\r\n\r\n",
    );
    let gateway = Gateway::over(origin.address, "", "");
    let mut stream = raw(gateway.address);
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();

    let mut all = String::new();
    stream.read_to_string(&mut all).unwrap();

    assert!(all.ends_with("\r\n0\r\nx-sum: 1\r\nx-sum: 2\r\n\r\n"), "{all}");
}

#[test]
fn a_large_head_and_a_body_are_sent_once_more() {
    let origin = Origin::start(|request, stream| {
        let status = if request.line().starts_with("PUT /once") { "503 Busy" } else { "200 OK" };
        stream.write_all(response(status, "", "x").as_bytes()).is_ok()
    });
    let gateway = Gateway::start(&yaml(
        "
        upstreams:
          main:
            endpoints: [$ORIGIN]
            retry: {attempts: 3, when: [503]}
        routes:
          - {name: all, path: /**, upstream: main}
        ",
        &[("$ORIGIN", &origin.address)],
    ));
    let large = "x".repeat(40_000);

    for framing in ["Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"] {
        let before = origin.received().len();
        let reply =
            exchange(gateway.address, format!("PUT /once HTTP/1.1\r\nHost: a\r\nX-Large: {large}\r\n{framing}").as_bytes()).unwrap();

        assert_eq!(reply.status, 503);
        let received = origin.received();
        assert_eq!(received.len(), before + 3);
        assert!(received[before..].iter().all(|request| request.body == b"hello" && request.header("x-large") == [&*large]));
    }
}
