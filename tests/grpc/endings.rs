//! What a call's end says, and who hears of it: the client, the log, the metrics, the circuit, the endpoint's record.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use frontgate_filters::grpc::{GRPC_STATUS, Status, from_timeout};
use http::{HeaderMap, HeaderValue};

use super::{begin, message, told, unary};
use crate::harness::http2::over_http2;
use crate::harness::http2_origin::{Asked, Http2Origin, send_all};
use crate::harness::{Gateway, Log, until, yaml};

const GRPC: (&str, &str) = ("content-type", "application/grpc+proto");

/// Answers a call with a head, so many messages, and trailers with this status.
async fn answer(asked: &mut Asked, messages: usize, status: u16) {
    asked.read().await;
    let mut stream = asked.head(200, &[GRPC], false);
    for _ in 0..messages {
        send_all(&mut stream, message(b"hi"), false).await;
    }
    let _ = stream.send_trailers(HeaderMap::from_iter([(GRPC_STATUS, HeaderValue::from(status))]));
}

/// Answers with a head that is all of it.
async fn head_alone(asked: &mut Asked, status: u16) {
    asked.read().await;
    asked.head(200, &[GRPC, ("grpc-status", &status.to_string()), ("grpc-message", "so")], true);
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
            protocol: h2
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
    let origin = Http2Origin::start(|mut asked| async move {
        match asked.head.uri.path() {
            "/plain/head" => head_alone(&mut asked, 5).await,
            _ => answer(&mut asked, 2, 0).await,
        }
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
        gateway.comes_to(&series, 1.0);
    }
}

#[test]
fn failures_in_trailers_and_in_heads_open_a_circuit_and_refusals_of_the_server_do_not() {
    let mood = Arc::new(AtomicU16::new(5));
    let says = mood.clone();
    let origin = Http2Origin::start(move |mut asked| {
        let status = says.load(Ordering::SeqCst);
        async move {
            match asked.head.uri.path() {
                "/head" => head_alone(&mut asked, status).await,
                _ => answer(&mut asked, 1, status).await,
            }
        }
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
    let origin = Http2Origin::start(|mut asked| async move {
        let told = from_timeout(asked.head.headers["grpc-timeout"].as_bytes()).expect("a timeout");
        let is_begun = asked.head.uri.path() == "/begun";
        let begun = is_begun.then(|| asked.head(200, &[GRPC], false));
        tokio::time::sleep(told).await;
        match (asked.head.uri.path(), begun) {
            ("/says", _) => head_alone(&mut asked, 4).await,
            // As servers do that are written in Go.
            (_, Some(mut stream)) => stream.send_reset(h2::Reason::CANCEL),
            (_, None) => asked.respond.send_reset(h2::Reason::CANCEL),
        }
    });
    let gateway = Gateway::start(&text(&origin.address.to_string(), "outlier: {consecutive: 1}", "timeout: 10s"));

    over_http2(gateway.address, async |mut client| {
        for path in ["/says", "/resets", "/begun", "/says", "/resets", "/begun"] {
            let told = unary(&mut client, path, &[("grpc-timeout", "150m")]).await.unwrap();
            assert_eq!(told.grpc_status(), Some(4), "{path}: {told:?}");
        }
    });

    assert_eq!(gateway.metric(r#"frontgate_circuit_state{filter="guard",upstream="main"}"#), 0.0);
}

#[test]
fn what_is_left_of_a_calls_time_is_sent_on() {
    let origin = Http2Origin::start(|mut asked| async move { head_alone(&mut asked, 0).await });
    let gateway = Gateway::start(&text(&origin.address.to_string(), "slow_start: 0s", "timeout: 10s"));

    over_http2(gateway.address, async |mut client| {
        for timeout in ["60S", "5S", "99999999H"] {
            unary(&mut client, "/plain/A", &[("grpc-timeout", timeout)]).await.unwrap();
        }
        unary(&mut client, "/plain/A", &[]).await.unwrap();
    });

    let told: Vec<Duration> =
        origin.received().iter().filter_map(|(head, _)| from_timeout(head.headers.get("grpc-timeout")?.as_bytes())).collect();
    assert_eq!(told.len(), 3, "none where the client says none: {told:?}");
    for (told, most) in told.into_iter().zip([10, 5, 10].map(Duration::from_secs)) {
        assert!(told <= most && told > most - Duration::from_secs(3), "{told:?} of {most:?}");
    }
    assert!(origin.received().iter().all(|(head, _)| head.headers["te"] == "trailers"));
}

#[test]
fn a_call_that_was_not_begun_upon_is_tried_again() {
    let busy = Http2Origin::start(|mut asked| async move {
        match asked.head.uri.path() {
            "/plain/late" => answer(&mut asked, 0, 14).await,
            _ => head_alone(&mut asked, 14).await,
        }
    });
    let fine = Http2Origin::start(|mut asked| async move { head_alone(&mut asked, 0).await });
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
    let bad = Http2Origin::start(|mut asked| async move { answer(&mut asked, 1, 13).await });
    let good = Http2Origin::start(|mut asked| async move { answer(&mut asked, 1, 0).await });
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

    gateway.comes_to(r#"frontgate_upstream_endpoints{upstream="main",state="ejected"}"#, 1.0);
}

#[test]
fn an_answer_that_breaks_off_between_two_messages_says_so_and_within_one_is_reset() {
    let origin = Http2Origin::start(|mut asked| async move {
        let is_within = asked.head.uri.path() == "/plain/within";
        let part = if is_within { message(b"hi").slice(..6) } else { message(b"hi") };
        asked.read().await;
        let mut stream = asked.head(200, &[GRPC], false);
        send_all(&mut stream, part, false).await;
        // So that the message arrives before the reset, which may overtake it.
        tokio::time::sleep(Duration::from_millis(200)).await;
        stream.send_reset(h2::Reason::INTERNAL_ERROR);
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
fn a_message_that_is_too_large_ends_a_stream_that_has_its_head_already() {
    let origin = Http2Origin::start(|mut asked| async move {
        let mut stream = asked.head(200, &[GRPC], false);
        send_all(&mut stream, message(b"hi"), false).await;
        asked.read().await;
        std::future::pending::<()>().await;
    });
    let gateway = Gateway::start(&text(&origin.address.to_string(), "slow_start: 0s", "timeout: 30s"));

    over_http2(gateway.address, async |mut client| {
        let (answer, mut upload) = begin(&mut client, "/plain/A", &[]);
        upload.send_data(message(b"a"), false).unwrap();
        let answer = answer.await.unwrap();
        upload.send_data(message(&[b'x'; 101]), false).unwrap();

        let mut stream = answer.into_body();
        assert_eq!(stream.data().await.unwrap().unwrap(), message(b"hi"));
        assert!(stream.data().await.is_none());
        assert_eq!(Status::read(&stream.trailers().await.unwrap().unwrap()), Some(Status::RESOURCE_EXHAUSTED));
    });
}

#[test]
fn silence_ends_a_call_where_the_upstream_says_so_and_nowhere_else() {
    let origin = Http2Origin::start(|mut asked| async move {
        let mut stream = asked.head(200, &[GRPC], false);
        send_all(&mut stream, message(b"hi"), false).await;
        if asked.head.uri.path() == "/plain/pause" {
            tokio::time::sleep(Duration::from_millis(700)).await;
            let _ = stream.send_trailers(HeaderMap::from_iter([(GRPC_STATUS, HeaderValue::from(0))]));
        } else {
            asked.read().await;
            std::future::pending::<()>().await;
        }
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
fn a_call_whose_client_leaves_is_reset_upstream_and_nobodys_failure() {
    let (ended, mut is_ended) = tokio::sync::mpsc::unbounded_channel();
    let origin = Http2Origin::start(move |mut asked| {
        let ended = ended.clone();
        async move {
            let mut stream = asked.head(200, &[GRPC], false);
            send_all(&mut stream, message(b"hi"), false).await;
            let reason = std::future::poll_fn(|cx| stream.poll_reset(cx)).await;
            ended.send(reason.map_err(|error| error.to_string())).unwrap();
        }
    });
    let gateway = Gateway::start(&text(&origin.address.to_string(), "outlier: {consecutive: 1}", "timeout: 30s"));

    over_http2(gateway.address, async |mut client| {
        let (answer, mut upload) = begin(&mut client, "/A", &[]);
        let mut stream = answer.await.unwrap().into_body();
        assert_eq!(stream.data().await.unwrap().unwrap(), message(b"hi"));
        upload.send_reset(h2::Reason::CANCEL);
        assert_eq!(is_ended.recv().await, Some(Ok(h2::Reason::CANCEL)));
    });

    until("the call to end", || gateway.running.requests() == 0);
    assert_eq!(gateway.metric(r#"frontgate_circuit_state{filter="guard",upstream="main"}"#), 0.0);
}

#[test]
fn a_filter_of_documents_leaves_messages_alone() {
    let origin = Http2Origin::start(|mut asked| async move {
        let mut stream = asked.head(200, &[("content-type", "application/grpc+json")], false);
        send_all(&mut stream, message(br#"{"debug":1,"a":2}"#), false).await;
        let _ = stream.send_trailers(HeaderMap::from_iter([(GRPC_STATUS, HeaderValue::from(0))]));
    });
    let gateway = Gateway::start(&text(&origin.address.to_string(), "slow_start: 0s", "timeout: 10s"));

    over_http2(gateway.address, async |mut client| {
        let whole = unary(&mut client, "/A", &[("content-type", "application/grpc+json")]).await.unwrap();
        assert_eq!((&whole.body[..], whole.grpc_status()), (&message(br#"{"debug":1,"a":2}"#)[..], Some(0)));
    });
}
