use std::io::Read;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;

use super::{begin, gateway, gateway_with, request, whole};
use crate::harness::http2::over_http2;
use crate::harness::http2_origin::{Frames, Http2Origin, Script};
use crate::harness::{Gate, PATIENCE, exchange, frames, get};

const POST: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";

fn rst(stream: u32, code: u32) -> Vec<u8> {
    frames::frame(frames::RST_STREAM, 0, stream, &code.to_be_bytes())
}

fn goaway(last: u32, code: u32) -> Vec<u8> {
    frames::frame(frames::GOAWAY, 0, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat())
}

/// Reads a request to its end. Its stream, and its body.
fn asked(frames: &mut Frames) -> Option<(u32, Vec<u8>)> {
    let mut head = None;
    let mut body = Vec::new();
    loop {
        let frame = frames.next(PATIENCE)?;
        match frame.kind {
            frames::HEADERS => head = Some(frame.stream),
            frames::DATA => body.extend_from_slice(&frame.payload),
            _ => continue,
        }
        if frame.flags & frames::END_STREAM != 0 {
            return Some((head?, body));
        }
    }
}

fn answer(frames: &mut Frames, stream: u32, body: &[u8]) {
    frames.status(stream, 200, 0);
    frames.send(&frames::frame(frames::DATA, frames::END_STREAM, stream, body));
}

/// How many attempts ended so.
fn ended(gateway: &crate::harness::Gateway, result: &str) -> f64 {
    gateway.metric(&format!("frontgate_upstream_attempts_total{{upstream=\"main\",result=\"{result}\"}}"))
}

#[test]
fn a_refused_stream_is_sent_again_whatever_its_method_and_is_nobodys_fault() {
    let origin = Script::start(&[], |frames, number| {
        while let Some((stream, body)) = asked(frames) {
            match number {
                0 => drop(frames.send(&rst(stream, 7))),
                _ => answer(frames, stream, &body),
            }
        }
    });
    let gateway = gateway_with(&[origin.address], "threads: 1", "outlier: {consecutive: 1}", "");

    let reply = exchange(gateway.address, POST).unwrap();

    assert_eq!((reply.status, reply.text().as_str()), (200, "hello"));
    assert_eq!(origin.connections(), 2, "another connection");
    assert_eq!(ended(&gateway, "ok"), 1.0);
    assert_eq!(ended(&gateway, "reset"), 0.0);
}

#[test]
fn an_upstream_that_refuses_every_stream_is_not_asked_for_ever() {
    let origin = Script::start(&[], |frames, _| {
        while let Some((stream, _)) = asked(frames) {
            frames.send(&rst(stream, 7));
        }
    });
    let gateway = gateway(origin.address);

    exchange(gateway.address, POST).unwrap().is_problem(502);

    assert_eq!(origin.connections(), 4);
}

#[test]
fn a_request_whose_body_is_gone_is_not_sent_again() {
    let origin = Script::start(&[(frames::INITIAL_WINDOW_SIZE, 1 << 20)], |frames, _| {
        let mut read = 0;
        while let Some(frame) = frames.next(PATIENCE) {
            if frame.kind == frames::DATA {
                read += frame.payload.len();
                frames.send(&frames::window(0, frame.payload.len().max(1) as u32));
                if read == 100_000 {
                    frames.send(&rst(frame.stream, 7));
                }
            }
        }
    });
    let gateway = gateway(origin.address);
    let mut all = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n".to_vec();
    all.resize(all.len() + 100_000, b'x');

    exchange(gateway.address, &all).unwrap().is_problem(502);

    assert_eq!(origin.connections(), 1);
}

#[test]
fn streams_above_the_last_of_a_goaway_are_sent_again_and_those_below_go_on() {
    let there = Gate::default();
    let arrived = there.clone();
    let origin = Script::start(&[], move |frames, number| {
        if number > 0 {
            while let Some((stream, _)) = asked(frames) {
                answer(frames, stream, b"second connection");
            }
            return;
        }
        let first = asked(frames).expect("a request").0;
        arrived.open();
        let second = asked(frames).expect("another");
        assert!(second.0 > first);
        frames.send(&goaway(first, 0));
        // Long enough for the second to be answered elsewhere.
        std::thread::sleep(Duration::from_millis(300));
        answer(frames, first, b"first connection");
        assert!(frames.next_of(frames::HEADERS, Duration::from_secs(5)).is_none(), "it takes no more");
    });
    let gateway = gateway(origin.address);

    let texts = over_http2(gateway.address, async |mut client| {
        let (first, mut body) = begin(&mut client, request(Method::POST, "/")).await;
        body.send_data(Bytes::from_static(b"x"), true).unwrap();
        tokio::task::spawn_blocking(move || there.pass()).await.unwrap();
        let (second, mut body) = begin(&mut client, request(Method::POST, "/")).await;
        body.send_data(Bytes::from_static(b"x"), true).unwrap();
        let second = whole(second.await.unwrap().into_body()).await.unwrap().0;
        (whole(first.await.unwrap().into_body()).await.unwrap().0, second)
    });

    assert_eq!(texts, (b"first connection".to_vec(), b"second connection".to_vec()));
    assert_eq!(get(gateway.address, "/").text(), "second connection");
    assert_eq!((origin.connections(), ended(&gateway, "reset")), (2, 0.0));
}

#[test]
fn a_connection_that_closes_while_idle_costs_no_request() {
    let origin = Script::start(&[], |frames, _| {
        if let Some((stream, _)) = asked(frames) {
            answer(frames, stream, b"once");
        }
    });
    let gateway = gateway(origin.address);

    for _ in 0..5 {
        assert_eq!(get(gateway.address, "/").text(), "once");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(ended(&gateway, "ok"), 5.0);
}

#[test]
fn what_is_cut_never_looks_whole() {
    // A reset, an end of the connection, and an end before the length that was said.
    let origin = Script::start(&[], |frames, number| {
        let Some((stream, _)) = asked(frames) else { return };
        // `content-length: 10`, as a literal with the name of HPACK's table.
        frames.send(&frames::frame(frames::HEADERS, frames::END_HEADERS, stream, b"\x88\x0f\x0d\x0210"));
        frames.send(&frames::frame(frames::DATA, 0, stream, b"begun"));
        std::thread::sleep(Duration::from_millis(100));
        match number {
            0 => drop(frames.send(&rst(stream, 2))),
            1 => return,
            2 => drop(frames.send(&frames::frame(frames::DATA, frames::END_STREAM, stream, b""))),
            _ => drop(frames.send(&frames::frame(frames::DATA, frames::END_STREAM, stream, b"and too much"))),
        }
        while frames.next(PATIENCE).is_some() {}
    });
    for number in 0..4 {
        let gateway = gateway(origin.address);
        let reply = get(gateway.address, "/");
        assert_eq!((reply.status, reply.whole), (200, false), "{number}");
        assert_eq!(ended(&gateway, "ok"), 0.0, "{number}");
    }
    // The same without a length, where only the stream's end says what is whole.
    let origin = Script::start(&[], |frames, number| {
        while let Some((stream, _)) = asked(frames) {
            frames.status(stream, 200, 0);
            frames.send(&frames::frame(frames::DATA, 0, stream, b"begun"));
            std::thread::sleep(Duration::from_millis(100));
            if number > 0 {
                return;
            }
            frames.send(&rst(stream, 0));
        }
    });
    for number in 0..2 {
        let gateway = gateway(origin.address);
        let reply = get(gateway.address, "/");
        assert_eq!((reply.text().as_str(), reply.whole), ("begun", false), "{number}");
        let broke = over_http2(gateway.address, async |client| {
            let (response, _) = client.clone().ready().await.unwrap().send_request(request(Method::GET, "/"), true).unwrap();
            whole(response.await.unwrap().into_body()).await.is_err()
        });
        assert!(broke, "{number}");
    }
}

#[test]
fn resets_before_a_head_are_failures_with_their_reasons() {
    for (code, result, status) in [(2, "reset", 502), (8, "reset", 502), (13, "error", 502), (1, "reset", 502)] {
        let origin = Script::start(&[], move |frames, _| {
            while let Some((stream, _)) = asked(frames) {
                frames.send(&rst(stream, code));
            }
        });
        let gateway = gateway(origin.address);

        get(gateway.address, "/").is_problem(status);

        assert_eq!((ended(&gateway, result), origin.connections()), (1.0, 1), "{code}");
    }
}

#[test]
fn answers_that_break_the_rules_are_none() {
    for (name, head) in [
        ("a field in upper case", &b"\x88\x00\x01A\x01b"[..]),
        ("a field of connections", b"\x88\x00\x0aconnection\x05close"),
        ("a coding of transfer", b"\x88\x00\x11transfer-encoding\x07chunked"),
        ("no status", b"\x00\x01a\x01b"),
        ("two lengths", b"\x88\x0f\x0d\x011\x0f\x0d\x012"),
        ("a change of protocol", b"\x08\x03101"),
    ] {
        let origin = Script::start(&[], move |frames, _| {
            while let Some((stream, _)) = asked(frames) {
                frames.send(&frames::frame(frames::HEADERS, frames::END_HEADERS, stream, head));
                frames.send(&frames::frame(frames::DATA, frames::END_STREAM, stream, b"x"));
            }
        });
        let gateway = gateway(origin.address);

        get(gateway.address, "/").is_problem(502);

        assert_eq!(ended(&gateway, "error"), 1.0, "{name}");
    }
}

#[test]
fn a_head_without_end_is_not_taken() {
    let origin = Http2Origin::start(|mut asked| async move {
        let value = "x".repeat(60_000);
        let names: Vec<String> = (0..6).map(|number| format!("x-{number}")).collect();
        let fields: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), value.as_str())).collect();
        asked.head(200, &fields, true);
        tokio::time::sleep(PATIENCE).await;
    });
    let gateway = gateway(origin.address);

    get(gateway.address, "/").is_problem(502);
}

#[test]
fn a_window_that_stays_closed_ends_an_upload_at_its_deadline() {
    let origin = Script::start(&[(frames::INITIAL_WINDOW_SIZE, 10)], |frames, _| while frames.next(PATIENCE).is_some() {});
    let gateway = gateway_with(&[origin.address], "threads: 1", "timeouts: {between_bytes: 300ms, first_byte: 20s}", "");
    let mut all = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 400000\r\n\r\n".to_vec();
    all.resize(all.len() + 400_000, b'x');

    let began = Instant::now();
    exchange(gateway.address, &all).unwrap().is_problem(504);

    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}

#[test]
fn a_connection_that_is_dead_is_found_and_left() {
    // The first one falls silent with its second request: it reads nothing, and answers no PING. Those after it live.
    let origin = Script::start(&[], |frames, number| {
        let mut count = 0;
        while let Some((stream, _)) = asked(frames) {
            count += 1;
            if number == 0 && count > 1 {
                std::thread::sleep(PATIENCE);
                return;
            }
            answer(frames, stream, b"lives");
        }
    });
    let gateway = gateway_with(&[origin.address], "threads: 1", "timeouts: {first_byte: 60s}", "");
    let address = gateway.address;
    assert_eq!(get(address, "/").text(), "lives");

    let began = Instant::now();
    let waiting: Vec<_> = (0..3).map(|_| std::thread::spawn(move || get(address, "/").status)).collect();
    let statuses: Vec<u16> = waiting.into_iter().map(|waiting| waiting.join().unwrap()).collect();
    let took = began.elapsed();

    assert_eq!(statuses, [502; 3], "they fail as on a connection that broke");
    assert!((Duration::from_secs(5)..Duration::from_secs(15)).contains(&took), "{took:?}");
    assert_eq!((get(address, "/").text().as_str(), origin.connections()), ("lives", 2));
}

#[test]
fn a_peer_that_answers_pings_may_be_as_slow_as_the_deadlines_allow() {
    let origin = Http2Origin::start(|mut asked| async move {
        tokio::time::sleep(Duration::from_secs(11)).await;
        asked.answer("slow");
    });
    let gateway = gateway(origin.address);

    assert_eq!(get(gateway.address, "/").text(), "slow");
    assert_eq!(origin.connections(), 1);
}

#[test]
fn a_peer_that_asks_for_calm_is_asked_seldom_from_then_on() {
    // As servers of gRPC do: too many PINGs, and the connection is over.
    let origin = Script::start(&[], |frames, number| {
        let (stream, _) = asked(frames).expect("a request");
        let ping = frames.next_of(6, Duration::from_secs(7)).expect("a PING");
        frames.send(&frames::frame(6, 1, 0, &ping.payload));
        if number == 0 {
            answer(frames, stream, b"annoyed");
            frames.send(&goaway(stream, 11));
            return;
        }
        assert!(frames.next_of(6, Duration::from_secs(6)).is_none(), "once is enough");
        answer(frames, stream, b"calm");
        while frames.next(PATIENCE).is_some() {}
    });
    let gateway = gateway(origin.address);

    assert_eq!(get(gateway.address, "/").text(), "annoyed");
    assert_eq!(get(gateway.address, "/").text(), "calm");
}

#[test]
fn an_origin_that_ends_its_process_is_not_waited_for() {
    let origin = Script::start(&[], |frames, _| {
        asked(frames);
        let _ = frames.0.shutdown(std::net::Shutdown::Both);
        let _ = frames.0.read(&mut [0; 1]);
    });
    let gateway = gateway(origin.address);

    get(gateway.address, "/").is_problem(502);

    assert_eq!(ended(&gateway, "reset"), 1.0);
}
