//! What the gateway refuses reaches a client of gRPC as a status in one head that ends the stream.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{begin, message, told, unary};
use crate::harness::frames::{DATA, END_HEADERS, END_STREAM, HEADERS, RST_STREAM, frame, greeting, head_of};
use crate::harness::http2::over_http2;
use crate::harness::http2_origin::Http2Origin;
use crate::harness::{Gateway, Log, Origin, exchange, raw, until, yaml};

/// Routes of which each refuses in its own way.
fn text(origin: SocketAddr) -> String {
    yaml(
        "
        server:
          listeners: [{address: 127.0.0.1:0, protocols: [h2, http1]}]
          limits: {body: 100B}
        upstreams:
          main: {endpoints: [$ORIGIN], protocol: h2}
          gone: {endpoints: [127.0.0.1:1], protocol: h2}
          slow: {endpoints: [$ORIGIN], protocol: h2, timeouts: {first_byte: 100ms}}
        filters:
          login:
            jwt: {issuer: any, audience: any, algorithms: [HS256], keys: {secret: {env: PATH}}}
          few: {rate_limit: {key: path, rate: 1/h, burst: 1}}
          office: {ip_access: {allow: [192.0.2.1]}}
          guard: {circuit_breaker: {consecutive: 1, open_for: 10m, max_open_for: 10m}}
        routes:
          - {name: open, path: /open/**, upstream: main}
          - {name: read, path: /read/**, methods: [GET], upstream: main}
          - {name: closed, path: /closed/**, upstream: main, filters: [login]}
          - {name: few, path: /few/**, upstream: main, filters: [few]}
          - {name: office, path: /office/**, upstream: main, filters: [office]}
          - {name: gone, path: /gone/**, upstream: gone}
          - {name: guarded, path: /guarded/**, upstream: gone, filters: [guard]}
          - {name: slow, path: /slow/**, upstream: slow}
          - {name: late, path: /late/**, upstream: main, timeout: 100ms}
        ",
        &[("$ORIGIN", &origin)],
    )
}

/// A server where every call goes well, and says how long it was.
fn fine() -> Http2Origin {
    Http2Origin::start(|mut asked| async move {
        let (body, _) = asked.read().await;
        asked.head(200, &[("content-type", "application/grpc"), ("grpc-status", "0"), ("x-length", &body.len().to_string())], true);
    })
}

#[test]
fn every_refusal_is_a_status_in_one_head_that_ends_the_stream() {
    let origin = Http2Origin::start(|asked| async move {
        let _asked = asked;
        std::future::pending::<()>().await;
    });
    let log = Log::new("grpc-refusals");
    let gateway = Gateway::start(&log.of(&text(origin.address)));
    let many = [("x-a", "1"); 101];

    over_http2(gateway.address, async |mut client| {
        for (path, fields, status) in [
            ("/nothing/here", &[][..], 12),
            ("/read/A", &[], 12),
            ("/closed/A", &[], 16),
            ("/closed/A", &[("authorization", "Bearer x.y.z")], 16),
            ("/office/A", &[], 7),
            ("/gone/A", &[], 14),
            ("/guarded/A", &[], 14),
            ("/guarded/A", &[], 14),
            ("/slow/A", &[], 4),
            ("/late/A", &[], 4),
            ("/open/A", &[("grpc-timeout", "100m")], 4),
            ("/open/A", &[("grpc-timeout", "soon")], 13),
            ("/open/A", &[("grpc-timeout", "1S"), ("grpc-timeout", "2S")], 13),
            ("/open/%zz", &[], 13),
            ("/open/A", &many, 8),
        ] {
            unary(&mut client, path, fields).await.unwrap_or_else(|error| panic!("{path} {fields:?}: {error}")).is_refusal(status);
        }
    });

    let lines = log.wait_for(15);
    let of = |route: &str| lines.iter().filter(|line| line["route"] == route).map(|line| line["grpc_status"].clone()).collect::<Vec<_>>();
    assert_eq!((of("closed"), of("guarded")), (vec![16.into(), 16.into()], vec![14.into(), 14.into()]));
    assert!(lines.iter().all(|line| line["status"] == 200 && line["reason"].is_string()), "{lines:?}");
    let series = r#"frontgate_grpc_requests_total{route="closed",grpc_status="16"}"#;
    gateway.comes_to(series, 2.0);
    gateway.comes_to(r#"frontgate_requests_total{route="closed",method="POST",code="200"}"#, 2.0);
}

#[test]
fn who_asks_for_too_much_is_told_when_to_come_again() {
    let origin = fine();
    let gateway = Gateway::start(&text(origin.address));

    over_http2(gateway.address, async |mut client| {
        assert_eq!(unary(&mut client, "/few/A", &[]).await.unwrap().grpc_status(), Some(0));
        let refused = unary(&mut client, "/few/A", &[]).await.unwrap();

        refused.is_refusal(8);
        let after: u64 = refused.says("retry-after").unwrap().parse().unwrap();
        let pushback: u64 = refused.says("grpc-retry-pushback-ms").unwrap().parse().unwrap();
        assert_eq!(pushback, after * 1000);
        assert!(refused.says("ratelimit").is_some());
    });
}

/// The frames of one stream in an answer, as type and flags, up to its end.
fn frames_of(stream: &mut impl Read, wanted: u32) -> Vec<(u8, u8)> {
    let (mut frames, mut prefix) = (Vec::new(), [0_u8; 9]);
    while frames.last().is_none_or(|(kind, flags)| *kind != RST_STREAM && flags & END_STREAM == 0) {
        stream.read_exact(&mut prefix).unwrap();
        let [a, b, c, kind, flags, id @ ..] = prefix;
        let mut payload = vec![0; usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c)];
        stream.read_exact(&mut payload).unwrap();
        if u32::from_be_bytes(id) == wanted {
            frames.push((kind, flags));
        }
    }
    frames
}

#[test]
fn no_empty_frame_of_data_follows_a_refusal() {
    let origin = fine();
    let gateway = Gateway::start(&text(origin.address));
    let mut client = raw(gateway.address);
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/nothing"),
        (":authority", "a.example"),
        ("content-type", "application/grpc"),
    ];

    client
        .write_all(&[greeting(&[]), frame(HEADERS, END_HEADERS, 1, &head_of(&fields)), frame(DATA, END_STREAM, 1, &message(b"a"))].concat())
        .unwrap();

    assert_eq!(frames_of(&mut client, 1), [(HEADERS, END_HEADERS | END_STREAM)]);
}

#[test]
fn a_message_over_the_limit_is_refused_by_its_length_and_a_long_stream_is_not() {
    let origin = fine();
    let gateway = Gateway::start(&text(origin.address));

    over_http2(gateway.address, async |mut client| {
        let (answer, mut upload) = begin(&mut client, "/open/A", &[]);
        for last in (0..50).map(|count| count == 49) {
            upload.send_data(message(&[b'x'; 100]), last).unwrap();
        }
        assert_eq!(told(answer).await.unwrap().says("x-length"), Some("5250"), "fifty messages of the most that one may have");

        let (answer, mut upload) = begin(&mut client, "/open/A", &[("content-length", "106")]);
        // What is sent of it is its length alone.
        upload.send_data(message(&[b'x'; 101]).slice(..5), false).unwrap();
        told(answer).await.unwrap().is_refusal(8);
    });
}

#[test]
fn a_media_type_alone_lifts_no_limit() {
    let (fine, old) = (fine(), Origin::start(|_, _| false));
    let gateway = Gateway::start(&yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0, protocols: [h2, http1]}], limits: {body: 100B}}
        upstreams: {main: {endpoints: [$FINE], protocol: h2}, old: {endpoints: [$OLD]}}
        routes: [{name: open, path: /open/**, upstream: main}, {name: old, path: /old/**, upstream: old}]
        ",
        &[("$FINE", &fine.address), ("$OLD", &old.address)],
    ));
    let post = |path: &str, content_type: &str| {
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: {content_type}\r\nContent-Length: 120\r\nConnection: close\r\n\r\n");
        exchange(gateway.address, &[head.as_bytes(), &[b'A'; 120]].concat()).unwrap()
    };

    // Nobody here reads what lies in text, and an upstream of HTTP/1 serves no calls.
    for (path, content_type) in [("/open/A", "application/grpc-web-text"), ("/old/A", "application/grpc-web")] {
        let refused = post(path, content_type);
        let said = STANDARD.decode(&refused.body).unwrap_or(refused.body.clone());
        assert!(String::from_utf8_lossy(&said).contains("grpc-status: 8\r\n"), "{path}: {refused:?}");
    }
    over_http2(gateway.address, async |mut client| {
        let (answer, mut upload) = begin(&mut client, "/old/A", &[]);
        upload.send_data([message(&[b'x'; 60]), message(&[b'x'; 60])].concat().into(), false).unwrap();
        told(answer).await.unwrap().is_refusal(8);
    });
    assert!(old.received().is_empty(), "{:?}", old.received());
}

#[test]
fn over_http1_a_call_is_told_what_it_needs() {
    let origin = fine();
    let gateway = Gateway::start(&text(origin.address));
    let ask = |content_type: &str, path: &str| {
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: {content_type}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        exchange(gateway.address, head.as_bytes()).unwrap()
    };

    let refused = ask("application/grpc+proto", "/open/A");

    refused.is_problem(505);
    assert_eq!(refused.json()["code"], "grpc_needs_http2");
    let page = ask("application/grpc-web+proto", "/closed/A");
    assert_eq!((page.status, page.header("content-type")), (200, Some("application/grpc-web+proto")));
    assert!(page.body.starts_with(&[0x80]) && page.text().contains("grpc-status: 16\r\n"), "{page:?}");
    until("the requests to end", || gateway.running.requests() == 0);
}

#[test]
fn a_pause_in_an_upload_does_not_end_a_call() {
    let origin = fine();
    let gateway = Gateway::start(&yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0, protocols: [h2, http1]}], timeouts: {body: 50ms}}
        upstreams: {main: {endpoints: [$ORIGIN], protocol: h2, timeouts: {between_bytes: 50ms}}}
        routes: [{name: all, path: /**, upstream: main}]
        ",
        &[("$ORIGIN", &origin.address)],
    ));

    over_http2(gateway.address, async |mut client| {
        let (mut document, mut slow) = client
            .send_request(http::Request::post("http://a.example/").header("content-type", "text/plain").body(()).unwrap(), false)
            .unwrap();
        slow.send_data(message(b"a"), false).unwrap();
        let (answer, mut upload) = begin(&mut client, "/A", &[]);
        upload.send_data(message(b"a"), false).unwrap();
        let began = Instant::now();

        assert_eq!((&mut document).await.unwrap().status(), 408, "a document is not waited for");
        tokio::time::sleep_until((began + Duration::from_millis(600)).into()).await;
        upload.send_data(message(b"b"), true).unwrap();

        assert_eq!(told(answer).await.unwrap().grpc_status(), Some(0));
    });
}
