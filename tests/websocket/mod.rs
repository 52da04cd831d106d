//! WebSockets over HTTP/1 and HTTP/2 alike: who gets one, and what passes.

mod farewell;
mod peers;
pub mod socket;

use std::io::{Read, Write};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use frontgate_filters::jwt::Algorithm;
use frontgate_filters::jwt::issuer::Issuer;
use frontgate_test_support::skipped;

use crate::harness::origin::response;
use crate::harness::{Gateway, Log, Origin, get, until, yaml};
use socket::{BOTH, Over, ask, ask_http2, connect, echo, frame, http2, open, origin, run};

/// A gateway for both protocols in front of this origin.
fn gateway(origin: &Origin) -> Gateway {
    Gateway::start(&text(origin, "", ""))
}

fn text(origin: &Origin, server: &str, more: &str) -> String {
    yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0, protocols: [h2, http1]}], $SERVER}
        upstreams: {main: {endpoints: [$ORIGIN], timeouts: {first_byte: 20s}}}
        routes:
          - {name: all, path: /**, upstream: main}
          - {name: fixed, path: /fixed, respond: {status: 200, body: hello}}
        $MORE
        ",
        &[("$ORIGIN", &origin.address), ("$SERVER", &server), ("$MORE", &more)],
    )
}

/// Bytes that look like frames, and are none.
fn payload(length: usize) -> Vec<u8> {
    (0..length).map(|index| [0x88, 0x02, 0xff, 0x7e, index as u8][index % 5]).collect()
}

#[test]
fn every_frame_passes_as_it_is_both_ways() {
    let origin = origin(echo);
    let gateway = gateway(&origin);
    let lengths = [0, 1, 125, 126, 127, 65_535, 65_536, 1 << 20];
    let whole = |opcode| lengths.map(move |length| frame(opcode, true, &payload(length)));
    let mut said: Vec<Vec<u8>> = [1, 2].into_iter().flat_map(whole).collect();
    // A message in parts, with a ping and a pong in between, as they may come.
    said.extend([
        frame(1, false, b"be"),
        frame(9, true, &payload(125)),
        frame(0, false, b""),
        frame(10, true, b""),
        frame(0, true, b"gin"),
    ]);
    // What is no frame that anybody knows is nobody's to judge here.
    said.extend([frame(0x0b, true, b"reserved"), frame(0x73, false, b"bits")]);
    said.extend([1000_u16, 1001, 1011, 3000, 4999].map(|code| frame(8, true, &[&code.to_be_bytes()[..], b"bye"].concat())));

    for over in BOTH {
        run(async {
            let mut socket = open(gateway.address, over, "/socket").await;
            for frame in &said {
                socket.send(frame).await;
                assert!(socket.hear(frame.len()).await == *frame, "{over:?}: another frame than {:?}", &frame[..frame.len().min(14)]);
            }
            // All at once, in parts that end where no frame does.
            let all = said[..6].concat();
            for part in all.chunks(777) {
                socket.send(part).await;
            }
            assert!(socket.hear(all.len()).await == all, "{over:?}: other bytes");
        });
    }
}

#[test]
fn a_burst_of_small_messages_is_no_attack() {
    const COUNT: usize = 20_000;
    let origin = origin(echo);
    let gateway = gateway(&origin);
    let message = frame(1, true, b"x");

    for over in BOTH {
        run(async {
            let mut socket = open(gateway.address, over, "/").await;
            for _ in 0..COUNT {
                socket.send(&message).await;
            }
            assert!(socket.hear(COUNT * message.len()).await == message.repeat(COUNT), "{over:?}");
        });
    }
}

#[test]
fn over_http2_the_upstream_is_asked_as_over_http1_and_the_client_answered_without_what_is_not_its() {
    let origin = origin(echo);
    let gateway = gateway(&origin);
    let fields = [
        ("sec-websocket-protocol", "chat, superchat"),
        ("sec-websocket-extensions", "permessage-deflate"),
        ("origin", "https://shop.example"),
        ("sec-websocket-key", "theirs"),
        ("cookie", "a=1"),
        ("cookie", "b=2"),
    ];

    let asked = run(ask(gateway.address, Over::Http2, "/socket?room=7", &fields));

    assert_eq!(asked.status, 200);
    assert_eq!(asked.fields["sec-websocket-protocol"], "chat");
    for name in ["sec-websocket-accept", "upgrade", "connection", "content-length", "transfer-encoding"] {
        assert!(!asked.fields.contains_key(name), "{name}: {:?}", asked.fields);
    }
    assert!(asked.fields.contains_key("x-request-id"));
    let seen = origin.last();
    assert_eq!(seen.line(), "GET /socket?room=7 HTTP/1.1");
    for (name, value) in [
        ("host", "a.example"),
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-protocol", "chat, superchat"),
        ("sec-websocket-extensions", "permessage-deflate"),
        ("origin", "https://shop.example"),
        ("cookie", "a=1; b=2"),
        ("via", "2.0 frontgate"),
    ] {
        assert_eq!(seen.header(name), [value], "{}", seen.head);
    }
    let keys = seen.header("sec-websocket-key");
    assert!(keys.len() == 1 && keys[0].len() == 24 && keys[0] != "theirs", "{}", seen.head);
}

#[test]
fn only_a_websocket_is_a_tunnel_over_http2_and_what_is_none_is_not_taken_for_one() {
    let answers = |request: &crate::harness::origin::Request, stream: &mut std::net::TcpStream| {
        let forged = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n";
        let answer = match request.line().split(' ').nth(1) {
            Some("/forged") => format!("{forged}Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"),
            Some("/silent") => format!("{forged}\r\n"),
            Some("/plain") => response("200 OK", "Content-Type: application/json\r\n", "{}"),
            Some("/empty") => "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
            Some("/moved") => response("302 Found", "Location: /\r\n", ""),
            _ => response("403 Forbidden", "", "not you"),
        };
        stream.write_all(answer.as_bytes()).is_ok()
    };
    let origin = Origin::start(answers);
    let log = Log::new("no-tunnel");
    let more = "filters: {guard: {circuit_breaker: {consecutive: 3, open_for: 1h, max_open_for: 1h}}}";
    let config = text(&origin, "", more).replace("upstream: main}", "upstream: main, filters: [guard]}");
    let gateway = Gateway::start(&log.of(&config));
    let ask = |path: &'static str| run(async move { ask_http2(http2(gateway.address).await, path, &[]).await.status });

    // However often somebody asks for a WebSocket where there is none: nobody upstream has failed.
    for _ in 0..3 {
        assert_eq!([ask("/plain"), ask("/empty"), ask("/fixed")], [502; 3]);
    }
    assert_eq!([ask("/moved"), ask("/other")], [302, 403], "what says no passes");
    let lines = log.wait_for(11);
    assert_eq!((&lines[0]["reason"], &lines[0]["upstream_status"]), (&"not_a_websocket".into(), &200.into()), "{}", lines[0]);
    assert_eq!(gateway.metric("frontgate_circuit_state{filter=\"guard\",upstream=\"main\"}"), 0.0);
    // Who changes the protocol and has not read the request is no WebSocket server.
    assert_eq!([ask("/forged"), ask("/silent")], [502; 2]);
    let lines = log.wait_for(13);
    assert_eq!((&lines[11]["flags"], &lines[12]["flags"]), (&"UPE".into(), &"UPE".into()));
}

#[test]
fn other_protocols_and_plain_connects_are_refused() {
    let origin = Origin::json("{}");
    let gateway = gateway(&origin);

    run(async {
        let mut client = http2(gateway.address).await;
        let mut ask = async |request: http::Request<()>| {
            client = client.clone().ready().await.expect("a stream may be opened");
            let (head, mut body) = client.send_request(request, true).expect("it is sent").0.await.expect("an answer").into_parts();
            let body = body.data().await.expect("a body").expect("it is whole");
            let json: serde_json::Value = serde_json::from_slice(&body).expect("a problem");
            (head.status.as_u16(), json["code"].as_str().unwrap_or_default().to_owned())
        };
        for protocol in ["connect-udp", "WebSocket", "webtransport", "h2c"] {
            assert_eq!(ask(connect("/socket", protocol, &[])).await, (501, "protocol_not_supported".to_owned()), "{protocol}");
        }
        let plain = http::Request::connect("a.example:443").body(()).unwrap();
        assert_eq!(ask(plain).await, (405, "method_not_allowed".to_owned()));
        assert_eq!(ask(connect("/socket", "websocket", &[("content-length", "0")])).await.0, 400);
    });

    assert!(origin.received().is_empty(), "nobody else has heard of it");
}

#[test]
fn all_filters_decide_upon_it_as_upon_any_request() {
    let origin = origin(echo);
    let issuer = Issuer::fresh("k1", Algorithm::ES256).unwrap();
    let keys = std::env::temp_dir().join(format!("frontgate-websocket-{}.json", std::process::id()));
    std::fs::write(&keys, issuer.jwks()).unwrap();
    let token = |role: &str| {
        let claims = serde_json::json!({"iss": "https://id/", "aud": "shop", "sub": role, "exp": 4_000_000_000_u64, "roles": [role]});
        format!("Bearer {}", issuer.token(&claims))
    };
    let gateway = Gateway::start(&yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0, protocols: [h2, http1]}]}
        upstreams: {main: {endpoints: [$ORIGIN]}}
        filters:
          web: {cors: {origins: [https://shop.example]}}
          login: {jwt: {issuer: https://id/, audience: shop, algorithms: [ES256], keys: {jwks: {file: $KEYS}}, claim_headers: {X-User: claim.sub}}}
          users: {rbac: {claim: roles, any_of: [user, few]}}
          few: {rate_limit: {key: claim.sub, rate: 2/h, burst: 2}}
        routes: [{name: socket, path: /socket, upstream: main, methods: [GET], filters: [web, login, users, few]}]
        ",
        &[("$ORIGIN", &origin.address), ("$KEYS", &keys.display())],
    ));

    for (over, role) in [(Over::Http1, "user"), (Over::Http2, "few")] {
        let [user, guest] = [token(role), token("guest")];
        let ask = |path: &'static str, token: Option<&str>| {
            let mut fields = vec![("origin", "https://shop.example"), ("x-user", "forged")];
            fields.extend(token.map(|token| ("authorization", token)));
            run(ask(gateway.address, over, path, &fields))
        };
        let refused = ask("/socket", None);
        assert_eq!((refused.status, refused.fields["access-control-allow-origin"].as_bytes()), (401, &b"https://shop.example"[..]));
        assert_eq!(ask("/socket", Some(&guest)).status, 403, "{over:?}");
        assert_eq!(ask("/x/%2e%2e/socket", None).status, 401, "{over:?}: the path that is routed is the one that is checked");
        assert_eq!(ask("/elsewhere", Some(&user)).status, 404, "{over:?}");
        assert!(ask("/socket", Some(&user)).fields.contains_key("ratelimit"));
        assert_eq!(origin.last().header("x-user"), [role], "{over:?}");
        assert!(matches!(ask("/socket", Some(&user)).status, 101 | 200), "{over:?}");
        assert_eq!(ask("/socket", Some(&user)).status, 429, "{over:?}");
    }
    let _ = std::fs::remove_file(&keys);
}

#[test]
fn each_side_may_end_its_half_first() {
    let answers = Arc::new(Mutex::new(0));
    let heard_last = answers.clone();
    let origin = origin(move |request, stream| {
        let first = request.line().contains("/first");
        if first {
            let _ = stream.write_all(b"bye").and_then(|()| stream.shutdown(std::net::Shutdown::Write));
        }
        let mut heard = Vec::new();
        let _ = stream.read_to_end(&mut heard);
        if first {
            *heard_last.lock().unwrap() += usize::from(heard == b"and you");
        } else {
            let _ = stream.write_all(&heard);
        }
    });
    let log = Log::new("halves");
    let gateway = Gateway::start(&log.of(&text(&origin, "", "")));

    for over in BOTH {
        run(async {
            let mut socket = open(gateway.address, over, "/last").await;
            socket.send(b"that is all").await;
            socket.end().await;
            assert_eq!(socket.hear(11).await, b"that is all", "{over:?}");
            assert!(socket.is_over().await, "{over:?}");

            let mut socket = open(gateway.address, over, "/first").await;
            assert_eq!(socket.hear(3).await, b"bye", "{over:?}");
            assert!(socket.is_over().await, "{over:?}");
            let before = *answers.lock().unwrap();
            socket.send(b"and you").await;
            socket.end().await;
            while *answers.lock().unwrap() == before {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
    }

    for line in log.wait_for(4) {
        let status = if line["status"] == 101 { 101 } else { 200 };
        let (there, back) = if line["path"] == "/first" { (7, 3) } else { (11, 11) };
        assert_eq!((&line["status"], &line["bytes_in"], &line["bytes_out"]), (&status.into(), &there.into(), &back.into()), "{line}");
        assert_eq!((&line["protocol"], line.get("flags"), line.get("reason")), (&"websocket".into(), None, None), "{line}");
    }
    until("the tunnels to end", || gateway.running.requests() == 0);
}

#[test]
fn a_side_that_breaks_breaks_the_other() {
    let (sender, gone) = std::sync::mpsc::channel();
    let sender = Mutex::new(sender);
    let origin = origin(move |request, stream| {
        if request.line().contains("/origin") {
            return crate::exchange::origin::reset(stream);
        }
        let _ = stream.read_to_end(&mut Vec::new());
        sender.lock().unwrap().send(()).unwrap();
    });
    let gateway = gateway(&origin);

    for over in BOTH {
        run(async {
            assert!(open(gateway.address, over, "/origin").await.breaks().await, "{over:?}");
            drop(open(gateway.address, over, "/client").await);
        });
        gone.recv_timeout(crate::harness::PATIENCE).expect("the origin sees the end");
    }

    until("the tunnels to end", || gateway.running.requests() == 0);
}

#[test]
fn no_more_is_taken_from_one_side_than_the_other_has_room_for() {
    const MOST: u64 = 64 << 20;
    let written = Arc::new(AtomicU64::new(0));
    let counting = written.clone();
    let origin = origin(move |_, stream| {
        let part = [b'x'; 1 << 16];
        while counting.load(Ordering::SeqCst) < MOST && stream.write_all(&part).is_ok() {
            counting.fetch_add(part.len() as u64, Ordering::SeqCst);
        }
    });
    let gateway = gateway(&origin);

    for over in BOTH {
        written.store(0, Ordering::SeqCst);
        run(async {
            let mut socket = open(gateway.address, over, "/").await;
            // Until nothing moves any more.
            let (mut before, mut still) = (0, Instant::now());
            while still.elapsed() < Duration::from_millis(500) {
                tokio::time::sleep(Duration::from_millis(20)).await;
                let now = written.load(Ordering::SeqCst);
                if now != before {
                    (before, still) = (now, Instant::now());
                }
            }
            assert!(before < MOST / 2, "{over:?}: {before} bytes are somewhere");
            // And it goes on where it stopped.
            assert!(socket.hear(before as usize + 1).await.iter().all(|byte| *byte == b'x'));
        });
    }
}

#[test]
fn an_idle_one_is_closed_and_the_log_says_so() {
    let origin = origin(echo);
    let log = Log::new("idle-websocket");
    let gateway = Gateway::start(&log.of(&text(&origin, "timeouts: {tunnel: 900ms}", "")));

    for (index, over) in BOTH.into_iter().enumerate() {
        run(async {
            let mut socket = open(gateway.address, over, "/").await;
            for _ in 0..3 {
                tokio::time::sleep(Duration::from_millis(400)).await;
                socket.send(b"x").await;
                assert_eq!(socket.hear(1).await, b"x");
            }
            assert!(socket.breaks().await, "{over:?}");
        });
        let line = log.wait_for(index + 1)[index].clone();
        assert_eq!((&line["reason"], &line["bytes_in"], &line["bytes_out"]), (&"tunnel_idle".into(), &3.into(), &3.into()), "{line}");
        assert!(line["duration_ms"].as_f64().unwrap() > 2_000.0, "{line}");
    }
}

#[test]
fn what_filters_hold_is_given_back_at_its_head_and_its_place_at_the_upstream_at_its_end() {
    let origin = origin(echo);
    let gateway = Gateway::start(&yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0, protocols: [h2, http1]}]}
        upstreams: {main: {endpoints: [$ORIGIN], max_connections: 3}}
        filters: {few: {rate_limit: {key: client_ip, concurrency: 1}}}
        routes: [{name: all, path: /**, upstream: main, filters: [few]}]
        ",
        &[("$ORIGIN", &origin.address)],
    ));

    run(async {
        let mut sockets = vec![open(gateway.address, Over::Http1, "/").await, open(gateway.address, Over::Http2, "/").await];
        sockets.push(open(gateway.address, Over::Http1, "/").await);
        assert_eq!(ask(gateway.address, Over::Http1, "/", &[]).await.status, 503, "the upstream has as many as it may");
    });

    until("room at the upstream", || get(gateway.address, "/").status == 200);
}

#[test]
fn a_reload_leaves_it_alone() {
    let origin = origin(echo);
    let config = text(&origin, "", "");
    let gateway = Gateway::start(&config);

    run(async {
        let mut sockets = Vec::new();
        for over in BOTH {
            sockets.push(open(gateway.address, over, "/").await);
        }
        let other = config.replace("name: all, path: /**", "name: other, path: /other/**");
        gateway.running.reload(crate::harness::load(&other)).expect("it is taken");
        assert_eq!(get(gateway.address, "/").status, 404, "it is in force");
        for socket in &mut sockets {
            socket.send(b"still there").await;
            assert_eq!(socket.hear(11).await, b"still there");
        }
    });
}

/// How many handshakes are made: some always, as many as an edge sees in an hour where somebody asks for a long run.
fn handshakes() -> usize {
    match std::env::var_os("FRONTGATE_LONG") {
        Some(_) => 20_000,
        None => {
            skipped("400 handshakes instead of 20,000: FRONTGATE_LONG is not set");
            400
        }
    }
}

#[test]
fn no_handshake_is_lost_under_load() {
    const AT_ONCE: usize = 20;
    // It speaks first, in the same write as its head: what comes at once must not get lost either.
    let origin = Origin::start(|request, stream| {
        if request.header("upgrade").is_empty() {
            return stream.write_all(response("200 OK", "", &"x".repeat(20_000)).as_bytes()).is_ok();
        }
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {}\r\n\r\n",
            socket::accept(request)
        );
        let _ = stream.write_all(&[head.as_bytes(), b"\x81\x05hello"].concat());
        let _ = stream.set_read_timeout(Some(crate::harness::PATIENCE));
        if let Some((opcode, said)) = socket::read_frame(stream) {
            let _ = stream.write_all(&[&[0x80 | opcode, said.len() as u8], &said[..]].concat());
        }
        false
    });
    let gateway = gateway(&origin);
    let (total, next) = (handshakes(), AtomicUsize::new(0));

    let round = |index: usize| {
        let over = BOTH[index % 2];
        run(async {
            let mut socket = open(gateway.address, over, "/socket").await;
            assert_eq!(socket.frame().await, (1, b"hello".to_vec()), "{over:?}: {index}");
            let said = format!("I am {index}").into_bytes();
            socket.send(&frame(2, true, &said)).await;
            assert_eq!(socket.frame().await, (2, said), "{over:?}: {index}");
            assert!(socket.is_over().await, "{over:?}: {index}");
        });
    };

    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..AT_ONCE)
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        let index = next.fetch_add(1, Ordering::SeqCst);
                        if index >= total {
                            return;
                        }
                        round(index);
                    }
                })
            })
            .collect();
        // Others are busy meanwhile.
        while clients.iter().any(|client| !client.is_finished()) {
            assert_eq!(get(gateway.address, "/plain").body.len(), 20_000);
        }
    });

    until("the tunnels to end", || gateway.running.requests() == 0);
}
