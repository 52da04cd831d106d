//! Calls of gRPC-Web from pages, over HTTP/1 and HTTP/2, in both of its forms.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use frontgate_filters::grpc::GRPC_STATUS;
use frontgate_filters::words::fields::text;
use http::{HeaderMap, HeaderValue};

use super::{message, unary};
use crate::harness::client::read_reply;
use crate::harness::http2::over_http2;
use crate::harness::http2_origin::{Http2Origin, send_all};
use crate::harness::{Gateway, Reply, exchange, raw, yaml};

fn configuration(origin: &Http2Origin) -> String {
    yaml(
        "
        server:
          listeners: [{address: 127.0.0.1:0, protocols: [h2, http1]}]
        upstreams:
          main: {endpoints: [$ORIGIN], protocol: h2}
        filters:
          web: {cors: {origins: [https://shop.example], expose: [X-Total]}}
          browser: {grpc_web: {}}
          few: {rate_limit: {key: path, rate: 1/h, burst: 1}}
        routes:
          - {name: all, path: /**, upstream: main, filters: [web, browser]}
          - {name: few, path: /few/**, upstream: main, filters: [web, browser, few]}
        ",
        &[("$ORIGIN", &origin.address)],
    )
}

/// A server of gRPC that echoes the messages of a call, and what it was sent.
fn echo() -> (Http2Origin, Arc<Mutex<Vec<Vec<u8>>>>) {
    let bodies = Arc::new(Mutex::new(Vec::new()));
    let seen = bodies.clone();
    let origin = Http2Origin::start(move |mut asked| {
        let seen = seen.clone();
        async move {
            let (body, _) = asked.read().await;
            if asked.head.uri.path() == "/head" {
                asked.head(200, &[("content-type", "application/grpc"), ("grpc-status", "5"), ("grpc-message", "no")], true);
                return;
            }
            let content_type = text_of(&asked.head.headers["content-type"]);
            let mut stream = asked.head(200, &[("content-type", &content_type)], false);
            seen.lock().unwrap().push(body.clone());
            send_all(&mut stream, body.into(), false).await;
            if content_type.starts_with("application/grpc") {
                let _ = stream.send_trailers(HeaderMap::from_iter([(GRPC_STATUS, HeaderValue::from(0))]));
            } else {
                let _ = stream.send_data(Bytes::new(), true);
            }
        }
    });
    (origin, bodies)
}

fn text_of(value: &HeaderValue) -> String {
    text(value).expect("text").to_owned()
}

fn status_frame(fields: &str) -> Vec<u8> {
    [&[0x80, 0, 0, 0, fields.len() as u8], fields.as_bytes()].concat()
}

/// A call over HTTP/1, whose body goes out in parts of this size.
fn ask(gateway: &Gateway, path: &str, content_type: &str, body: &[u8], size: usize) -> Reply {
    let mut stream = raw(gateway.address);
    let length = body.len();
    let origin = "Origin: https://shop.example\r\n";
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: a\r\n{origin}Content-Type: {content_type}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    for part in body.chunks(size) {
        stream.write_all(part).unwrap();
    }
    read_reply(&mut stream, false).unwrap()
}

#[test]
fn a_page_calls_in_bytes_and_in_text() {
    let (origin, bodies) = echo();
    let gateway = Gateway::start(&configuration(&origin));
    let call = [message(b"one"), message(b"three")].concat();
    let told = [&call[..], &status_frame("grpc-status: 0\r\n")].concat();

    let bytes = ask(&gateway, "/A", "application/grpc-web+proto", &call, 1000);
    assert_eq!((bytes.header("content-type"), &bytes.body), (Some("application/grpc-web+proto"), &told));
    assert_eq!(bytes.header("access-control-expose-headers"), Some("X-Total, grpc-status, grpc-message, grpc-status-details-bin"));
    for size in [1, 7, 1000] {
        let text = ask(&gateway, "/A", "application/grpc-web-text+proto", STANDARD.encode(&call).as_bytes(), size);

        assert_eq!(text.header("content-type"), Some("application/grpc-web-text+proto"));
        let decoded: Vec<u8> = text.body.chunks(4).flat_map(|group| STANDARD.decode(group).expect("base64")).collect();
        assert_eq!(decoded, told, "in parts of {size}");
    }
    assert!(bodies.lock().unwrap().iter().all(|body| *body == call), "{bodies:?}");
    for (head, _) in origin.received() {
        let field = |name: &str| head.headers.get(name).map(text_of);
        assert_eq!(
            [field("content-type"), field("te")],
            ["application/grpc+proto", "trailers"].map(|text| Some(text.to_owned())),
            "{head:?}"
        );
    }
}

#[test]
fn a_head_that_is_all_of_an_answer_and_a_refusal_reach_a_page_in_the_body() {
    let (origin, _) = echo();
    let gateway = Gateway::start(&configuration(&origin));

    let alone = ask(&gateway, "/head", "application/grpc-web", &message(b"a"), 1000);
    assert_eq!((alone.status, &alone.body), (200, &status_frame("grpc-status: 5\r\ngrpc-message: no\r\n")));

    ask(&gateway, "/few/A", "application/grpc-web-text", STANDARD.encode(message(b"a")).as_bytes(), 1000);
    let refused = ask(&gateway, "/few/A", "application/grpc-web-text", STANDARD.encode(message(b"a")).as_bytes(), 1000);
    let said = String::from_utf8(STANDARD.decode(&refused.body).unwrap()[5..].to_vec()).unwrap();
    assert_eq!((refused.status, refused.header("content-type")), (200, Some("application/grpc-web-text")));
    assert!(said.contains("grpc-status: 8\r\n") && said.contains("grpc-retry-pushback-ms: "), "{said}");
    assert!(refused.header("access-control-expose-headers").is_some(), "{}", refused.head);

    let no_text = ask(&gateway, "/A", "application/grpc-web-text", b"AA!A", 1000);
    let said = String::from_utf8_lossy(&STANDARD.decode(&no_text.body).unwrap()).into_owned();
    assert!(said.contains("grpc-status: 13\r\n"), "{said}");
}

#[test]
fn it_works_over_http2_and_leaves_other_requests_alone() {
    let (origin, _) = echo();
    let gateway = Gateway::start(&configuration(&origin));

    over_http2(gateway.address, async |mut client| {
        let web = unary(&mut client, "/A", &[("content-type", "application/grpc-web+proto")]).await.unwrap();
        assert_eq!(web.body, [&message(b"hello")[..], &status_frame("grpc-status: 0\r\n")].concat());
        assert!(web.trailers.is_none());

        let plain = unary(&mut client, "/A", &[]).await.unwrap();
        assert_eq!((&plain.body[..], plain.grpc_status()), (&message(b"hello")[..], Some(0)));
    });
    let document = exchange(
        gateway.address,
        b"POST /A HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi",
    )
    .unwrap();
    assert_eq!(document.text(), "hi");
}

#[test]
fn a_message_in_text_does_not_wait_for_the_next_one() {
    let (open, is_open) = tokio::sync::oneshot::channel::<()>();
    let is_open = Mutex::new(Some(is_open));
    let origin = Http2Origin::start(move |mut asked| {
        let is_open = is_open.lock().unwrap().take().expect("one call");
        async move {
            let mut stream = asked.head(200, &[("content-type", "application/grpc")], false);
            send_all(&mut stream, message(b"a"), false).await;
            is_open.await.unwrap();
            let _ = stream.send_trailers(HeaderMap::from_iter([(GRPC_STATUS, HeaderValue::from(0))]));
        }
    });
    let gateway = Gateway::start(&configuration(&origin));
    let mut stream = raw(gateway.address);
    stream.write_all(b"POST /A HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc-web-text\r\nContent-Length: 0\r\n\r\n").unwrap();
    let first = STANDARD.encode(message(b"a"));

    let (mut seen, mut byte) = (Vec::new(), [0_u8]);
    while !seen.ends_with(first.as_bytes()) {
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&seen));
        seen.push(byte[0]);
    }

    open.send(()).unwrap();
    let mut rest = Vec::new();
    while !rest.ends_with(b"0\r\n\r\n") {
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&rest));
        rest.push(byte[0]);
    }
    assert!(String::from_utf8_lossy(&rest).contains(&STANDARD.encode(status_frame("grpc-status: 0\r\n"))));
}

#[test]
fn an_answer_that_breaks_off_between_two_messages_says_so_to_a_page() {
    let origin = Http2Origin::start(|mut asked| async move {
        asked.read().await;
        let mut stream = asked.head(200, &[("content-type", "application/grpc")], false);
        send_all(&mut stream, message(b"a"), false).await;
        // So that the message arrives before the reset, which may overtake it.
        tokio::time::sleep(Duration::from_millis(200)).await;
        stream.send_reset(h2::Reason::INTERNAL_ERROR);
    });
    let gateway = Gateway::start(&configuration(&origin));

    let told = ask(&gateway, "/A", "application/grpc-web", &message(b"a"), 1000);

    let (first, rest) = told.body.split_at(message(b"a").len());
    assert!(told.whole && first == message(b"a") && rest[0] == 0x80, "{told:?}");
    assert!(String::from_utf8_lossy(rest).contains("grpc-status: 14\r\n"), "{told:?}");
}
