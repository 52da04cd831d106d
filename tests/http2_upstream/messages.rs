use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};

use super::{ask, begin, gateway, gateway_with, request, whole};
use crate::harness::client::read_reply;
use crate::harness::http2::over_http2;
use crate::harness::http2_origin::{Http2Origin, Script, send_all};
use crate::harness::{PATIENCE, exchange, frames, get, raw};

#[test]
fn a_request_of_http1_arrives_as_one_of_http2() {
    let origin = Http2Origin::text("hello");
    let gateway = gateway(origin.address);

    let reply = exchange(
        gateway.address,
        b"GET /a%20b?c=d HTTP/1.1\r\nHost: Shop.Example:81\r\nCookie: a=b; c=d\r\nX-Thing: 1\r\nX-Thing: 2\r\nX-Gone: 3\r\n\
          Connection: X-Gone, TE, keep-alive\r\nTE: trailers, deflate\r\nKeep-Alive: 5\r\nX-Forwarded-For: 9.9.9.9\r\nVia: 1.0 a\r\n\r\n",
    )
    .unwrap();

    assert_eq!((reply.status, reply.text().as_str()), (200, "hello"));
    let head = origin.last();
    assert_eq!(head.uri.to_string(), "http://Shop.Example:81/a%20b?c=d");
    let all =
        |name: &str| head.headers.get_all(name).iter().map(|value| std::str::from_utf8(value.as_bytes()).unwrap()).collect::<Vec<_>>();
    assert_eq!((all("cookie"), all("x-thing")), (vec!["a=b; c=d"], vec!["1", "2"]));
    assert_eq!(all("via"), ["1.0 a, 1.1 frontgate"]);
    assert_eq!((all("x-forwarded-for"), all("x-real-ip")), (vec!["127.0.0.1"], vec!["127.0.0.1"]));
    assert_eq!((all("x-forwarded-host"), all("x-forwarded-proto")), (vec!["Shop.Example:81"], vec!["http"]));
    assert_eq!(all("x-request-id"), [reply.header("x-request-id").unwrap()]);
    for name in ["host", "connection", "keep-alive", "x-gone", "te", "transfer-encoding", "upgrade"] {
        assert!(!head.headers.contains_key(name), "{name}");
    }
}

#[test]
fn crumbs_of_a_cookie_stay_crumbs_and_only_who_takes_trailers_says_so() {
    let origin = Http2Origin::text("");
    let gateway = gateway(origin.address);

    over_http2(gateway.address, async |mut client| {
        let mut asked = request(Method::GET, "/");
        asked.headers_mut().append("cookie", HeaderValue::from_static("a=b"));
        asked.headers_mut().append("cookie", HeaderValue::from_static("c=d"));
        let _ = ask(&mut client, asked).await;
        let mut asked = request(Method::GET, "/");
        asked.headers_mut().append("te", HeaderValue::from_static("trailers"));
        let _ = ask(&mut client, asked).await;
    });

    let received = origin.received();
    let (crumbs, trailers) = (&received[0].0.headers, &received[1].0.headers);
    assert_eq!(crumbs.get_all("cookie").iter().count(), 2);
    assert!(!crumbs.contains_key("te"));
    assert_eq!((&trailers["te"], &trailers["via"]), (&HeaderValue::from_static("trailers"), &HeaderValue::from_static("2.0 frontgate")));
}

#[test]
fn a_configured_host_and_path_are_what_the_upstream_sees() {
    let origin = Http2Origin::text("");
    let gateway = gateway_with(&[origin.address], "threads: 1", "host: inner.example", "rewrite: {path: /other}");

    get(gateway.address, "/this?q=1");

    assert_eq!(origin.last().uri.to_string(), "http://inner.example/other?q=1");
}

#[test]
fn bodies_pass_both_ways_with_their_lengths_and_without() {
    let origin = Http2Origin::start(|mut asked| async move {
        let length = asked.head.headers.get("content-length").cloned();
        let (body, _) = asked.read().await;
        let fields = length.as_ref().map(|length| ("x-length", std::str::from_utf8(length.as_bytes()).unwrap()));
        let mut stream = asked.head(200, fields.as_slice(), false);
        send_all(&mut stream, Bytes::from(body), true).await;
    });
    let gateway = gateway(origin.address);
    let big = "x".repeat(300_000);

    let counted =
        exchange(gateway.address, format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n{big}").as_bytes()).unwrap();
    let chunked = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\nX-Sum: 1\r\n\r\n";
    let chunked = exchange(gateway.address, chunked).unwrap();
    let empty = exchange(gateway.address, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").unwrap();

    assert_eq!((counted.header("x-length"), counted.text() == big, counted.whole), (Some("300000"), true, true));
    assert_eq!((chunked.header("x-length"), chunked.text().as_str(), chunked.whole), (None, "abcdefg", true));
    assert_eq!((empty.header("x-length"), empty.body.len()), (Some("0"), 0));
}

#[test]
fn an_answer_ends_with_its_head_with_its_data_with_an_empty_frame_or_with_trailers() {
    let origin = Http2Origin::start(|mut asked| async move {
        match asked.head.uri.path() {
            "/head" => drop(asked.head(200, &[("x-thing", "1")], true)),
            "/empty" => {
                let mut stream = asked.head(200, &[], false);
                stream.send_data(Bytes::from_static(b"abc"), false).unwrap();
                tokio::time::sleep(Duration::from_millis(20)).await;
                stream.send_data(Bytes::new(), true).unwrap();
            }
            "/trailers" => {
                let mut stream = asked.head(200, &[("trailer", "grpc-status")], false);
                stream.send_data(Bytes::from_static(b"abc"), false).unwrap();
                let trailers = [("grpc-status", "0"), ("content-length", "9"), ("proxy-authenticate", "no")];
                let trailers = trailers.map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)));
                stream.send_trailers(HeaderMap::from_iter(trailers)).unwrap();
            }
            "/trailers-only" => drop(asked.head(200, &[("content-type", "application/grpc"), ("grpc-status", "5")], true)),
            _ => asked.answer("abc"),
        }
    });
    let gateway = gateway(origin.address);

    over_http2(gateway.address, async |mut client| {
        let (head, body) = ask(&mut client, request(Method::GET, "/head")).await;
        assert_eq!((head.headers()["x-thing"].as_bytes(), body.unwrap()), (&b"1"[..], (Vec::new(), None)));
        for path in ["/data", "/empty"] {
            assert_eq!(ask(&mut client, request(Method::GET, path)).await.1.unwrap(), (b"abc".to_vec(), None), "{path}");
        }
        let (head, body) = ask(&mut client, request(Method::GET, "/trailers")).await;
        assert_eq!(head.headers()["trailer"], "grpc-status");
        assert_eq!(
            body.unwrap(),
            (b"abc".to_vec(), Some(HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static("0"))])))
        );

        let (response, _) = client.send_request(request(Method::POST, "/trailers-only"), true).unwrap();
        let response = response.await.unwrap();
        assert_eq!(response.headers()["grpc-status"], "5");
        assert!(response.body().is_end_stream(), "the head ends the stream");
    });
    assert_eq!(get(gateway.address, "/trailers").text(), "abc", "clients of HTTP/1 get the body");
    let reply = get(gateway.address, "/head");
    assert_eq!((reply.status, reply.whole, reply.body.len()), (200, true, 0));
}

#[test]
fn answers_that_have_no_body_are_not_waited_for() {
    // The stream stays open: it has no end of its own.
    let origin = Http2Origin::start(|mut asked| async move {
        let status = if asked.head.method == Method::HEAD { 200 } else { asked.head.uri.path()[1..].parse().unwrap() };
        let fields: &[_] = if status == 204 { &[] } else { &[("content-length", "12")] };
        let _open = asked.head(status, fields, false);
        tokio::time::sleep(PATIENCE).await;
    });
    let gateway = gateway(origin.address);

    let mut stream = raw(gateway.address);
    for (request, status, length) in [("HEAD /", 200, Some("12")), ("GET /204", 204, None), ("GET /304", 304, Some("12"))] {
        stream.write_all(format!("{request} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
        let reply = read_reply(&mut stream, request.starts_with("HEAD")).unwrap();
        assert_eq!((reply.status, reply.header("content-length")), (status, length), "{request}");
    }
}

#[test]
fn interim_answers_are_passed_on_and_are_never_the_answer() {
    let origin = Http2Origin::start(|mut asked| async move {
        let hints = http::Response::builder().status(103).header("link", "</a>").body(()).unwrap();
        asked.respond.send_informational(hints).unwrap();
        asked.answer("done");
    });
    let gateway = gateway(origin.address);

    let mut stream = raw(gateway.address);
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut all = Vec::new();
    std::io::Read::read_to_end(&mut stream, &mut all).unwrap();

    let all = String::from_utf8(all).unwrap();
    assert!(all.starts_with("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n"), "{all}");
    assert!(all.contains("\r\n\r\nHTTP/1.1 200 OK\r\n") && all.ends_with("4\r\ndone\r\n0\r\n\r\n"), "{all}");
}

#[test]
fn an_early_answer_ends_the_upload_quietly() {
    // RFC 9113, section 8.1: a whole answer, and then a reset that is no error.
    let origin = Script::start(&[(frames::INITIAL_WINDOW_SIZE, 10_000)], |frames, _| {
        while let Some(head) = frames.next_of(frames::HEADERS, PATIENCE) {
            frames.next_of(frames::DATA, PATIENCE);
            frames.status(head.stream, 400, 0);
            frames.send(&frames::frame(frames::DATA, frames::END_STREAM, head.stream, b"too much"));
            frames.send(&frames::frame(frames::RST_STREAM, 0, head.stream, &0_u32.to_be_bytes()));
        }
    });
    let gateway = gateway(origin.address);
    let mut all = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\n\r\n".to_vec();
    all.resize(all.len() + 50_000, b'x');

    for _ in 0..3 {
        let reply = exchange(gateway.address, &all).unwrap();
        assert_eq!((reply.status, reply.text().as_str(), reply.whole), (400, "too much", true));
    }
    assert_eq!(origin.connections(), 1, "its neighbours' connection is none the worse");
    gateway.comes_to("frontgate_upstream_attempts_total{upstream=\"main\",result=\"ok\"}", 3.0);
}

#[test]
fn an_upload_and_its_answer_flow_at_the_same_time() {
    let origin = Http2Origin::start(|mut asked| async move {
        let mut stream = asked.head(200, &[], false);
        while let Some(Ok(data)) = asked.body.data().await {
            asked.body.flow_control().release_capacity(data.len()).unwrap();
            stream.send_data(data, false).unwrap();
        }
        stream.send_data(Bytes::new(), true).unwrap();
    });
    let gateway = gateway(origin.address);

    over_http2(gateway.address, async |mut client| {
        let (response, mut sending) = begin(&mut client, request(Method::POST, "/")).await;
        sending.send_data(Bytes::from_static(b"0"), false).unwrap();
        let mut body = response.await.unwrap().into_body();
        for number in 1..20_u8 {
            assert_eq!(body.data().await.unwrap().unwrap().len(), 1, "{number}");
            sending.send_data(Bytes::from(vec![number]), false).unwrap();
        }
        sending.send_data(Bytes::new(), true).unwrap();
        assert_eq!(whole(body).await.unwrap(), (vec![19], None));
    });
}

#[test]
fn a_websocket_is_refused_with_words() {
    let origin = Http2Origin::text("");
    let gateway = gateway(origin.address);

    let upgrade = |protocol: &str| {
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n");
        exchange(gateway.address, head.as_bytes()).unwrap()
    };

    assert_eq!(upgrade("websocket").is_problem(501).json()["code"], "no_websocket");
    assert_eq!(origin.received().len(), 0);
    assert_eq!(upgrade("other").status, 200, "whoever asks for something else can do without");
}

#[test]
fn big_bodies_pass_in_little_memory() {
    const SIZE: usize = 48 << 20;
    let origin = Http2Origin::start(|mut asked| async move {
        let mut read = 0;
        while let Some(Ok(data)) = asked.body.data().await {
            read += data.len();
            let _ = asked.body.flow_control().release_capacity(data.len());
        }
        let mut stream = asked.head(200, &[("x-read", &read.to_string())], false);
        let part = Bytes::from(vec![b'x'; 1 << 20]);
        for index in 0..SIZE >> 20 {
            if !send_all(&mut stream, part.clone(), index + 1 == SIZE >> 20).await {
                return;
            }
        }
    });
    let text = crate::harness::yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0}], threads: 1, admin: {address: 127.0.0.1:0}, limits: {body: 1GiB}}
        upstreams: {main: {endpoints: [$ORIGIN], protocol: h2}}
        routes: [{name: all, path: /**, upstream: main}]
        ",
        &[("$ORIGIN", &origin.address)],
    );
    let process = crate::harness::Process::start("h2-big", &text);
    get(process.address, "/small-first");
    let before = process.peak();

    let mut stream = raw(process.address);
    let mut sending = stream.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        sending.write_all(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {SIZE}\r\n\r\n").as_bytes()).unwrap();
        (0..SIZE >> 20).try_for_each(|_| sending.write_all(&[b'x'; 1 << 20])).unwrap();
    });
    let reply = read_reply(&mut stream, false).unwrap();
    sender.join().unwrap();

    assert_eq!((reply.header("x-read"), reply.body.len(), reply.whole), (Some(&*SIZE.to_string()), SIZE, true));
    let grown = process.peak() - before;
    assert!(grown < 12 << 10, "{grown} KiB more at the most");
}
