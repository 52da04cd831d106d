//! What a call's end says, and who hears of it: the client, the log, the metrics, the circuit, the endpoint's record.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use super::{begin, message, told, unary};
use crate::harness::http2::over_http2;
use crate::harness::{Gateway, Log, Origin, until, yaml};

/// Answers a call with a head, so many messages, and trailers with this status.
fn answer(stream: &mut TcpStream, messages: usize, status: u16) -> bool {
    let mut text = b"HTTP/1.1 200 OK\r\nContent-Type: application/grpc+proto\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..messages {
        text.extend_from_slice(&[b"7\r\n", &message(b"hi")[..], b"\r\n"].concat());
    }
    text.extend_from_slice(format!("0\r\nGrpc-Status: {status}\r\nGrpc-Message: so\r\n\r\n").as_bytes());
    stream.write_all(&text).is_ok()
}

/// Answers with a head that is all of it.
fn head_alone(stream: &mut TcpStream, status: u16) -> bool {
    let text = format!("HTTP/1.1 200 OK\r\nContent-Type: application/grpc+proto\r\nGrpc-Status: {status}\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(text.as_bytes()).is_ok()
}

/// `main` are more keys of the upstream, `route` of the route.
fn text(origins: &str, main: &str, route: &str) -> String {
    yaml(
        "
        server:
          listeners: [{address: 127.0.0.1:0, protocols: [h2, http1]}]
          limits: {body: 100B}
        upstreams:
          main:
            endpoints: [$ORIGINS]
            $MAIN
        filters:
          guard: {circuit_breaker: {consecutive: 2, open_for: 10m, max_open_for: 10m}}
          slim: {trim: {by: device, profiles: {desktop: {drop: [debug]}}}}
        routes:
          - {name: all, path: /**, upstream: main, filters: [slim, guard]}
          - name: plain
            path: /plain/**
            upstream: main
            $ROUTE
        ",
        &[("$ORIGINS", &origins), ("$MAIN", &main), ("$ROUTE", &route)],
    )
}

#[test]
fn a_status_reaches_the_client_the_log_and_the_metrics() {
    let origin = Origin::start(|request, stream| match request.line().contains("/head") {
        true => head_alone(stream, 5),
        false => answer(stream, 2, 0),
    });
    let log = Log::new("grpc-status");
    let gateway = Gateway::start(&log.of(&text(&origin.address.to_string(), "slow_start: 0s", "timeout: 10s")));

    over_http2(gateway.address, async |mut client| {
        let whole = unary(&mut client, "/plain/A", &[]).await.unwrap();
        assert_eq!((whole.status, whole.grpc_status(), &whole.body[..]), (200, Some(0), &[message(b"hi"), message(b"hi")].concat()[..]));
        assert!(!whole.is_head_alone && whole.trailers.is_some(), "{whole:?}");

        let alone = unary(&mut client, "/plain/head", &[]).await.unwrap();
        assert_eq!((alone.is_head_alone, alone.grpc_status()), (true, Some(5)), "{alone:?}");
    });

    let lines = log.wait_for(2);
    assert_eq!([&lines[0]["grpc_status"], &lines[1]["grpc_status"]], [0, 5]);
    for status in ["0", "5"] {
        let series = format!(r#"frontgate_grpc_requests_total{{route="plain",grpc_status="{status}"}}"#);
        assert_eq!(gateway.metric(&series), 1.0);
    }
}

#[test]
fn failures_in_trailers_and_in_heads_open_a_circuit_and_refusals_of_the_server_do_not() {
    let mood = Arc::new(AtomicU16::new(5));
    let says = mood.clone();
    let origin = Origin::start(move |request, stream| match request.line().contains("/head") {
        true => head_alone(stream, says.load(Ordering::SeqCst)),
        false => answer(stream, 1, says.load(Ordering::SeqCst)),
    });
    for path in ["/A", "/head"] {
        mood.store(5, Ordering::SeqCst);
        let gateway = Gateway::start(&text(&origin.address.to_string(), "slow_start: 0s", "timeout: 10s"));
        let state = || gateway.metric(r#"frontgate_circuit_state{filter="guard",upstream="main"}"#);

        over_http2(gateway.address, async |mut client| {
            for _ in 0..3 {
                assert_eq!(unary(&mut client, path, &[]).await.unwrap().grpc_status(), Some(5));
            }
            assert_eq!(state(), 0.0, "{path}");
            mood.store(13, Ordering::SeqCst);
            for _ in 0..2 {
                assert_eq!(unary(&mut client, path, &[]).await.unwrap().grpc_status(), Some(13));
            }
            until("the circuit to open", || state() == 2.0);
            let asked = origin.received().len();
            unary(&mut client, path, &[]).await.unwrap().is_refusal(14);
            assert_eq!(origin.received().len(), asked);
        });
    }
}

#[test]
fn a_time_that_only_its_client_set_is_nobodys_failure() {
    let origin = Origin::start(|request, stream| {
        let asked = request.header("grpc-timeout").first().and_then(|text| text.trim_end_matches('u').parse::<u64>().ok());
        std::thread::sleep(Duration::from_micros(asked.unwrap_or_default()));
        head_alone(stream, 4)
    });
    let gateway = Gateway::start(&text(&origin.address.to_string(), "outlier: {consecutive: 1}", "timeout: 10s"));

    over_http2(gateway.address, async |mut client| {
        for _ in 0..4 {
            assert_eq!(unary(&mut client, "/A", &[("grpc-timeout", "150m")]).await.unwrap().grpc_status(), Some(4));
        }
    });

    assert_eq!(gateway.metric(r#"frontgate_circuit_state{filter="guard",upstream="main"}"#), 0.0);
}

#[test]
fn what_is_left_of_a_calls_time_is_sent_on() {
    let origin = Origin::start(|_, stream| head_alone(stream, 0));
    let gateway = Gateway::start(&text(&origin.address.to_string(), "slow_start: 0s", "timeout: 10s"));

    over_http2(gateway.address, async |mut client| {
        for timeout in ["60S", "5S", "99999999H"] {
            unary(&mut client, "/plain/A", &[("grpc-timeout", timeout)]).await.unwrap();
        }
        unary(&mut client, "/plain/A", &[]).await.unwrap();
    });

    let told: Vec<u64> = origin
        .received()
        .iter()
        .flat_map(|request| {
            request
                .header("grpc-timeout")
                .iter()
                .map(|text| text.strip_suffix('u').expect("microseconds").parse().unwrap())
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(told.len(), 3, "none where the client says none: {told:?}");
    for (told, most) in told.into_iter().zip([10_000_000, 5_000_000, 10_000_000]) {
        assert!(told <= most && told > most - 3_000_000, "{told} of {most}");
    }
}

#[test]
fn a_call_that_was_not_begun_upon_is_tried_again() {
    let busy = Origin::start(|request, stream| match request.line().contains("/late") {
        true => answer(stream, 0, 14),
        false => head_alone(stream, 14),
    });
    let fine = Origin::start(|_, stream| head_alone(stream, 0));
    let retry = "retry: {attempts: 3, when: [connect_failure, 503]}";
    let endpoints = format!("127.0.0.1:1, {}, {}", busy.address, fine.address);
    let gateway = Gateway::start(&text(&endpoints, retry, "timeout: 10s"));

    over_http2(gateway.address, async |mut client| {
        // In turn: of three endpoints each begins once.
        for _ in 0..3 {
            assert_eq!(unary(&mut client, "/plain/A", &[]).await.unwrap().grpc_status(), Some(0));
        }
        let mut late = Vec::new();
        for _ in 0..3 {
            late.push(unary(&mut client, "/plain/late", &[]).await.unwrap().grpc_status());
        }
        assert!(late.contains(&Some(14)), "what came with trailers was begun upon: {late:?}");
    });
}

#[test]
fn an_endpoint_whose_calls_fail_is_ejected() {
    let bad = Origin::start(|_, stream| answer(stream, 1, 13));
    let good = Origin::start(|_, stream| answer(stream, 1, 0));
    let endpoints = format!("{}, {}", bad.address, good.address);
    let gateway = Gateway::start(&text(&endpoints, "outlier: {consecutive: 2, eject_for: 10m, max_ejected: 50%}", "timeout: 10s"));

    over_http2(gateway.address, async |mut client| {
        for _ in 0..4 {
            unary(&mut client, "/plain/A", &[]).await.unwrap();
        }
        for _ in 0..4 {
            assert_eq!(unary(&mut client, "/plain/A", &[]).await.unwrap().grpc_status(), Some(0));
        }
    });

    assert_eq!(gateway.metric(r#"frontgate_upstream_endpoints{upstream="main",state="ejected"}"#), 1.0);
}

#[test]
fn an_answer_that_breaks_off_between_two_messages_says_so_and_within_one_is_reset() {
    let origin = Origin::start(|request, stream| {
        let head = b"HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nTransfer-Encoding: chunked\r\n\r\n";
        let part: &[u8] = if request.line().contains("/within") { &message(b"hi")[..6] } else { &message(b"hi") };
        let _ = stream.write_all(&[head, format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat());
        false
    });
    let log = Log::new("grpc-broken");
    let gateway = Gateway::start(&log.of(&text(&origin.address.to_string(), "slow_start: 0s", "timeout: 10s")));

    over_http2(gateway.address, async |mut client| {
        let between = unary(&mut client, "/plain/A", &[]).await.unwrap();
        assert_eq!((&between.body[..], between.grpc_status()), (&message(b"hi")[..], Some(14)), "{between:?}");
        assert!(unary(&mut client, "/plain/within", &[]).await.is_err());
    });

    let lines = log.wait_for(2);
    assert_eq!((&lines[0]["grpc_status"], &lines[0]["flags"]), (&14.into(), &"UC".into()), "{lines:?}");
}

#[test]
fn silence_ends_a_call_where_the_upstream_says_so_and_nowhere_else() {
    let origin = Origin::start(|request, stream| {
        let head = b"HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nTransfer-Encoding: chunked\r\n\r\n7\r\n";
        let _ = stream.write_all(&[head, &message(b"hi")[..], b"\r\n"].concat());
        if request.line().contains("/pause") {
            std::thread::sleep(Duration::from_millis(700));
            return stream.write_all(b"0\r\nGrpc-Status: 0\r\n\r\n").is_ok();
        }
        // Until the gateway closes.
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        std::io::Read::read(stream, &mut [0]).is_ok_and(|count| count > 0)
    });
    let start = |timeouts: &str| Gateway::start(&text(&origin.address.to_string(), &format!("timeouts: {{{timeouts}}}"), "timeout: 30s"));

    over_http2(start("between_bytes: 100ms").address, async |mut client| {
        assert_eq!(unary(&mut client, "/plain/pause", &[]).await.unwrap().grpc_status(), Some(0));
    });
    over_http2(start("stream_idle: 100ms").address, async |mut client| {
        let ended = unary(&mut client, "/plain/A", &[]).await.unwrap();
        assert_eq!((&ended.body[..], ended.grpc_status()), (&message(b"hi")[..], Some(4)), "{ended:?}");
        // While the client says something, it is not silent.
        let (answer, mut upload) = begin(&mut client, "/plain/A", &[]);
        let answer = told(answer);
        tokio::pin!(answer);
        for _ in 0..8 {
            upload.send_data(message(b"a"), false).unwrap();
            let pause = tokio::time::timeout(Duration::from_millis(40), &mut answer).await;
            assert!(pause.is_err(), "it ended: {pause:?}");
        }
    });
}

#[test]
fn a_filter_of_documents_leaves_messages_alone() {
    let origin = Origin::start(|_, stream| {
        let body = message(br#"{"debug":1,"a":2}"#);
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Type: application/grpc+json\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n", body.len());
        stream.write_all(&[head.as_bytes(), &body, b"\r\n0\r\nGrpc-Status: 0\r\n\r\n"].concat()).is_ok()
    });
    let gateway = Gateway::start(&text(&origin.address.to_string(), "slow_start: 0s", "timeout: 10s"));

    over_http2(gateway.address, async |mut client| {
        let whole = unary(&mut client, "/A", &[("content-type", "application/grpc+json")]).await.unwrap();
        assert_eq!((&whole.body[..], whole.grpc_status()), (&message(br#"{"debug":1,"a":2}"#)[..], Some(0)));
    });
}
