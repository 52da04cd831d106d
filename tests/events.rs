use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::harness::http2::over_http2;
use crate::harness::{Gateway, Log, Origin, PATIENCE, get, raw, until, yaml};

const HEAD: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nX-Accel-Buffering: no\r\nCache-Control: no-cache\r\n";

/// An origin whose next event comes when the test says so: in chunks, or to the end of the connection.
struct Events {
    origin: Origin,
    next: Sender<String>,
    /// Told when the gateway has left.
    left: Receiver<()>,
}

impl Events {
    fn start() -> Self {
        let (next, events) = channel::<String>();
        let (gone, left) = channel();
        let (events, gone) = (Arc::new(Mutex::new(events)), Mutex::new(gone));
        let origin = Origin::start(move |request, stream| {
            let chunked = !request.line().contains("/close");
            let framing = if chunked { "Transfer-Encoding: chunked\r\n\r\n" } else { "\r\n" };
            let _ = stream.write_all(format!("{HEAD}{framing}").as_bytes());
            let _ = stream.set_read_timeout(Some(Duration::from_millis(2)));
            loop {
                let event = events.lock().unwrap().recv_timeout(Duration::from_millis(2));
                match event {
                    Ok(event) if event.is_empty() => {
                        return chunked && stream.write_all(b"0\r\n\r\n").is_ok();
                    }
                    Ok(event) if chunked => {
                        let _ = stream.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes());
                    }
                    Ok(event) => drop(stream.write_all(event.as_bytes())),
                    Err(_) => {}
                }
                if matches!(stream.read(&mut [0]), Ok(0)) {
                    let _ = gone.lock().unwrap().send(());
                    return false;
                }
            }
        });
        Self { origin, next, left }
    }

    fn say(&self, event: &str) {
        self.next.send(event.to_owned()).unwrap();
    }
}

fn gateway(origin: SocketAddr, upstream: &str, route: &str) -> String {
    yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0, protocols: [h2, http1]}]}
        upstreams: {main: {endpoints: [$ORIGIN], $UPSTREAM}}
        filters:
          slim: {trim: {profiles: {desktop: {keep: [a]}}, otherwise: {keep: [a]}}}
          guard: {circuit_breaker: {consecutive: 1, open_for: 1h, max_open_for: 1h, fallback: [{cached: {max_age: 1h}}]}}
        routes: [{name: all, path: /**, upstream: main, filters: [slim, guard], $ROUTE}]
        ",
        &[("$ORIGIN", &origin), ("$UPSTREAM", &upstream), ("$ROUTE", &route)],
    )
}

/// Everything up to this, which has to come without anything else being said.
fn read_to(stream: &mut impl Read, end: &str) -> String {
    let mut heard = Vec::new();
    while !heard.ends_with(end.as_bytes()) {
        let mut byte = [0];
        assert_eq!(stream.read(&mut byte).expect("it comes"), 1, "it ended: {}", String::from_utf8_lossy(&heard));
        heard.push(byte[0]);
    }
    String::from_utf8(heard).unwrap()
}

fn event(number: usize) -> String {
    format!("id: {number}\ndata: {{\"a\": 1, \"b\": \"not trimmed\"}}\n\n")
}

#[test]
fn each_event_is_passed_on_when_it_comes_however_it_is_framed() {
    let events = Events::start();
    let gateway = Gateway::start(&gateway(events.origin.address, "", ""));

    for path in ["/chunks", "/close"] {
        for version in ["1.1", "1.0"] {
            let mut client = raw(gateway.address);
            write!(client, "GET {path} HTTP/{version}\r\nHost: a\r\n\r\n").unwrap();
            let head = read_to(&mut client, "\r\n\r\n");
            assert!(head.contains("x-accel-buffering: no\r\n") && !head.contains("content-length"), "{head}");
            for number in 0..10 {
                events.say(&event(number));
                read_to(&mut client, &event(number));
            }
            events.say("");
            let end = if version == "1.1" { "0\r\n\r\n" } else { "" };
            read_to(&mut client, end);
            if version == "1.0" {
                assert_eq!(client.read(&mut [0]).unwrap(), 0);
            }
        }
        over_http2(gateway.address, async |mut client| {
            let request = http::Request::get(format!("http://a.example{path}")).body(()).unwrap();
            let answer = client.send_request(request, true).unwrap().0.await.unwrap();
            assert_eq!(answer.headers()["x-accel-buffering"], "no");
            let mut stream = answer.into_body();
            for number in 0..10 {
                events.say(&event(number));
                let mut heard = Vec::new();
                while heard.len() < event(number).len() {
                    heard.extend_from_slice(&stream.data().await.unwrap().unwrap());
                }
                assert_eq!(heard, event(number).as_bytes());
            }
            events.say("");
            assert!(stream.data().await.is_none_or(|last| last.is_ok_and(|last| last.is_empty())));
        });
    }
}

#[test]
fn no_pause_between_events_ends_them_and_nothing_of_them_is_kept() {
    let events = Events::start();
    let gateway = Gateway::start(&gateway(events.origin.address, "timeouts: {between_bytes: 200ms}", ""));
    let mut client = raw(gateway.address);
    client.write_all(b"GET /chunks HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    read_to(&mut client, "\r\n\r\n");

    for number in 0..3 {
        std::thread::sleep(Duration::from_millis(600));
        events.say(&event(number));
        read_to(&mut client, &event(number));
    }
    events.say("");
    read_to(&mut client, "0\r\n\r\n");

    // With the circuit open an answer that was kept would be served.
    let address = events.origin.address;
    drop(events);
    until("the circuit to open", || get(gateway.address, "/chunks").text().contains("circuit_open"));
    assert!(std::net::TcpStream::connect(address).is_ok() || get(gateway.address, "/chunks").status == 503);
}

#[test]
fn other_answers_still_may_not_pause() {
    let origin = Origin::start(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n");
        std::thread::sleep(Duration::from_secs(2));
        false
    });
    let log = Log::new("pauses");
    let gateway = Gateway::start(&log.of(&gateway(origin.address, "timeouts: {between_bytes: 200ms}", "")));

    assert!(!get(gateway.address, "/").whole);

    let line = log.wait_for(1)[0].clone();
    assert_eq!((&line["flags"], &line["reason"]), (&"UT".into(), &"between_bytes".into()), "{line}");
}

#[test]
fn a_bound_that_was_asked_for_ends_events_and_the_log_says_which() {
    let events = Events::start();
    let cases = [("timeouts: {total: 700ms}", "", "total"), ("", "timeout: 700ms", "timeout")];
    for (number, (upstream, route, which)) in cases.into_iter().enumerate() {
        let log = Log::new(&format!("bounds-{number}"));
        let gateway = Gateway::start(&log.of(&gateway(events.origin.address, upstream, route)));
        let mut client = raw(gateway.address);
        client.write_all(b"GET /chunks HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        events.say(&event(1));
        read_to(&mut client, &event(1));

        let mut rest = Vec::new();
        let _ = client.read_to_end(&mut rest);

        assert!(!rest.ends_with(b"0\r\n\r\n"), "a clean end");
        let line = log.wait_for(1)[0].clone();
        assert_eq!((&line["flags"], &line["reason"], &line["protocol"]), (&"UT".into(), &which.into(), &"HTTP/1.1".into()), "{line}");
        events.left.recv_timeout(PATIENCE).expect("the upstream is left, too");
    }
}

#[test]
fn a_client_that_leaves_leaves_the_upstream() {
    let events = Events::start();
    let gateway = Gateway::start(&gateway(events.origin.address, "", ""));
    let mut client = raw(gateway.address);
    client.write_all(b"GET /chunks HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    read_to(&mut client, "\r\n\r\n");
    drop(client);
    events.left.recv_timeout(PATIENCE).expect("it is left");

    over_http2(gateway.address, async |mut client| {
        let request = http::Request::get("http://a.example/chunks").body(()).unwrap();
        let (answer, mut send) = client.send_request(request, true).unwrap();
        let _answer = answer.await.unwrap();
        send.send_reset(h2::Reason::CANCEL);
        tokio::time::sleep(Duration::from_millis(20)).await;
    });

    events.left.recv_timeout(PATIENCE).expect("it is left over HTTP/2, too");
    until("the requests to end", || gateway.running.requests() == 0);
}
