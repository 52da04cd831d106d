use std::io::Write;
use std::time::Duration;

use serde_json::Value;

use crate::harness::client::read_reply;
use crate::harness::origin::response;
use crate::harness::{Gate, Gateway, Log, Origin, exchange, get, raw, until, yaml};

/// Serves these requests and gives back their lines of the access log. `$ORIGIN` and `$LOG` in the text are filled in.
fn lines_of(name: &str, configuration: &str, origin: &Origin, requests: &[&str]) -> Vec<Value> {
    let log = std::env::temp_dir().join(format!("frontgate-test-{}-{name}.log", std::process::id()));
    let text = configuration.replace("$ORIGIN", &origin.address.to_string()).replace("$LOG", &log.display().to_string());
    let gateway = Gateway::start(&text);
    let read = || std::fs::read_to_string(&log).unwrap_or_default();

    for (number, request) in requests.iter().enumerate() {
        exchange(gateway.address, request.as_bytes()).unwrap();
        until("a line in the log", || read().lines().count() > number);
    }

    let lines = read().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    std::fs::remove_file(&log).unwrap();
    lines
}

const PLAIN: &str = r#"
version: 1
server:
  listeners: [{address: "127.0.0.1:0"}]
upstreams:
  main: {endpoints: ["$ORIGIN"]}
routes:
  - {name: all, path: "/**", upstream: main}
telemetry:
  access_log: {to: {file: "$LOG"}}
"#;

#[test]
fn a_trace_goes_on_from_trusted_proxies_alone() {
    let origin = Origin::json("{}");
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let request =
        format!("GET / HTTP/1.1\r\nHost: a\r\nTraceparent: {parent}\r\nTracestate: vendor=1\r\nBaggage: a=b\r\nConnection: close\r\n\r\n");
    let trusting = PLAIN.replace("server:\n", "server:\n  trusted_proxies: [127.0.0.1]\n");

    let strange = lines_of("trace-strange", PLAIN, &origin, &[&request]);
    let seen_from_a_stranger = origin.last();
    let known = lines_of("trace-known", &trusting, &origin, &[&request]);
    let seen_from_a_proxy = origin.last();

    assert_eq!(strange[0]["trace_id"], of_its_own(&strange[0]));
    assert_eq!(seen_from_a_stranger.header("traceparent"), [""; 0]);
    assert_eq!(seen_from_a_stranger.header("tracestate"), [""; 0]);
    assert_eq!(seen_from_a_stranger.header("baggage"), [""; 0]);
    assert_eq!(known[0]["trace_id"], "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(seen_from_a_proxy.header("traceparent"), [parent]);
    assert_eq!(seen_from_a_proxy.header("tracestate"), ["vendor=1"]);
    assert_eq!(seen_from_a_proxy.header("baggage"), ["a=b"]);
}

/// The trace that a request begins which belongs to none: its identifier without the hyphens.
fn of_its_own(line: &Value) -> String {
    let id = line["request_id"].as_str().unwrap().replace('-', "");
    assert!(id.len() == 32 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{line}");
    id
}

#[test]
fn every_line_has_a_trace_whatever_became_of_its_request() {
    let origin = Origin::json("{}");
    let trusting = PLAIN.replace("server:\n", "server:\n  trusted_proxies: [127.0.0.1]\n").replace("\"/**\"", "/a");
    let plain = "GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let named = |id: &str| plain.replace("Host: a\r\n", &format!("Host: a\r\nX-Request-Id: {id}\r\n"));
    let id = "ffffffff-ffff-7fff-bfff-ffffffffffff";

    let lines = lines_of(
        "trace-always",
        &trusting,
        &origin,
        &[
            plain,
            &plain.replace("/a", "/nothing"),
            &plain.replace("Host: a", "Host: /"),
            "GET /a HTTP/1.1\r\nHost : a\r\n\r\n",
            &named("chosen-by-a-proxy"),
            &named(id),
        ],
    );

    for line in &lines[..4] {
        assert_eq!(line["trace_id"], of_its_own(line), "{line}");
    }
    let chosen: Vec<&str> = lines[4..].iter().map(|line| line["trace_id"].as_str().unwrap()).collect();
    assert!(chosen.iter().all(|trace| trace.len() == 32 && *trace != id.replace('-', "")), "{chosen:?}");
    assert_eq!(lines[5]["request_id"], id);
}

#[test]
fn a_trace_that_is_malformed_or_told_twice_is_none() {
    let origin = Origin::json("{}");
    let trusting = PLAIN.replace("server:\n", "server:\n  trusted_proxies: [127.0.0.1]\n");
    let request = |traceparent: &str| format!("GET / HTTP/1.1\r\nHost: a\r\n{traceparent}Connection: close\r\n\r\n");
    let parent = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n";

    let lines = lines_of(
        "trace-malformed",
        &trusting,
        &origin,
        &[
            &request(""),
            &request("traceparent: 00-00000000000000000000000000000000-b7ad6b7169203331-01\r\n"),
            &request("traceparent: 00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01\r\n"),
            &request(&parent.repeat(2)),
        ],
    );

    assert_eq!(lines.len(), 4);
    assert!(lines.iter().all(|line| line["trace_id"] == of_its_own(line)), "{lines:?}");
}

/// An address where nothing listens.
fn dead() -> std::net::SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn a_request_that_another_attempt_saved_has_no_flag_and_one_that_none_saved_has_the_last_one_s() {
    let breaking = Origin::start(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 103 Early Hints\r\n\r\n");
        false
    });
    let malformed = Origin::start(|_, stream| stream.write_all(b"ICY 200 OK\r\n\r\n").is_ok());
    let well = Origin::json("{}");
    let log = Log::new("flags");
    let gateway = Gateway::start(&log.of(&yaml(
        "
        upstreams:
          refused: {endpoints: [$DEAD, $WELL], retry: {attempts: 2, when: [connect_failure], budget: 100%}}
          broken: {endpoints: [$BREAKING, $WELL], retry: {attempts: 2, when: [connect_failure], budget: 100%}}
          odd: {endpoints: [$MALFORMED, $WELL], retry: {attempts: 2, when: [connect_failure], budget: 100%}}
          lost: {endpoints: [$DEAD, $MALFORMED], retry: {attempts: 2, when: [connect_failure], budget: 100%}}
          never: {endpoints: [$DEAD]}
        filters:
          guard: {circuit_breaker: {fallback: [{upstream: odd}]}}
        routes:
          - {name: refused, path: /refused, upstream: refused}
          - {name: broken, path: /broken, upstream: broken}
          - {name: odd, path: /odd, upstream: odd}
          - {name: lost, path: /lost, upstream: lost}
          - {name: elsewhere, path: /elsewhere, upstream: never, filters: [guard]}
        ",
        &[("$DEAD", &dead()), ("$BREAKING", &breaking.address), ("$MALFORMED", &malformed.address), ("$WELL", &well.address)],
    )));

    let mut count = 0;
    let mut lines = |path: &str, times: usize| {
        (0..times).for_each(|_| drop(get(gateway.address, path)));
        count += times;
        log.wait_for(count).split_off(count - times)
    };

    for path in ["/refused", "/broken", "/odd", "/elsewhere"] {
        let lines = lines(path, 6);
        assert!(lines.iter().any(|line| line["attempts"].as_u64() > Some(1)), "{path}: nobody needed another attempt");
        for line in lines {
            assert_eq!((&line["status"], line.get("flags")), (&200.into(), None), "{line}");
        }
    }
    // The flag is that of the endpoint that was asked last.
    for line in lines("/lost", 6) {
        let flag = if line["endpoint"] == malformed.address.to_string() { "UPE" } else { "UF" };
        assert_eq!((&line["status"], &line["flags"], &line["attempts"]), (&502.into(), &flag.into(), &2.into()), "{line}");
    }
}

#[test]
fn a_malformed_answer_is_told_from_one_that_broke_off_before_and_after_its_head() {
    let origin = Origin::start(|request, stream| {
        let answer: &[u8] = match request.line().split(' ').nth(1).unwrap() {
            "/head" => b"HTTP/1.1 200 OK\r\nA B: c\r\n\r\n",
            "/coding" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
            "/chunk" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\nx\r\n",
            "/closed" => b"HTTP/1.1 200 OK\r\nContent-Le",
            _ => b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok",
        };
        let _ = stream.write_all(answer);
        // What is malformed is so however long the connection lasts.
        request.line().contains("/c") && !request.line().contains("/closed") || request.line().contains("/head")
    });
    let log = Log::new("malformed");
    let gateway = Gateway::start(&log.of(&yaml(
        "
        upstreams: {main: {endpoints: [$ORIGIN]}}
        routes: [{name: all, path: /**, upstream: main}]
        ",
        &[("$ORIGIN", &origin.address)],
    )));

    let cases = [("/head", 502, "UPE"), ("/coding", 502, "UPE"), ("/chunk", 200, "UPE"), ("/closed", 502, "UC"), ("/short", 200, "UC")];
    for (number, (path, status, flag)) in cases.into_iter().enumerate() {
        let reply = get(gateway.address, path);
        assert!(reply.status == status && (status == 502 || !reply.whole), "{path}: {}", reply.head);
        let line = log.wait_for(number + 1)[number].clone();
        assert_eq!((&line["status"], &line["flags"]), (&status.into(), &flag.into()), "{path}: {line}");
    }
}

#[test]
fn time_that_an_upstream_or_a_client_took_is_not_the_gateway_s_own() {
    let gate = Gate::default();
    let pass = gate.clone();
    let origin = Origin::start(move |request, stream| match request.line().split(' ').nth(1).unwrap() {
        "/stream" => {
            let begun = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            begun.is_ok()
                && (0..5).all(|_| {
                    std::thread::sleep(Duration::from_millis(200));
                    stream.write_all(b"2\r\nx\n\r\n").is_ok()
                })
                && stream.write_all(b"0\r\n\r\n").is_ok()
        }
        "/large" => stream.write_all(response("200 OK", "", &"x".repeat(24 << 20)).as_bytes()).is_ok(),
        "/slow" => {
            pass.pass();
            stream.write_all(response("200 OK", "", "late").as_bytes()).is_ok()
        }
        _ => stream.write_all(response("200 OK", "", "ok").as_bytes()).is_ok(),
    });
    let log = Log::new("overhead");
    let gateway = Gateway::start(&log.of(&yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0}], limits: {body: 1MiB}}
        upstreams: {main: {endpoints: [$ORIGIN]}}
        routes: [{name: all, path: /**, upstream: main}]
        ",
        &[("$ORIGIN", &origin.address)],
    )));
    let pause = Duration::from_secs(1);

    assert!(get(gateway.address, "/stream").whole);
    // A client that does not read its answer for a while.
    let mut client = raw(gateway.address);
    client.write_all(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    std::thread::sleep(pause);
    assert!(read_reply(&mut client, false).unwrap().whole);
    // One that pauses its upload, before and after the upstream has it.
    let mut client = raw(gateway.address);
    client.write_all(b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello").unwrap();
    std::thread::sleep(pause);
    client.write_all(b"world").unwrap();
    assert_eq!(read_reply(&mut client, false).unwrap().text(), "ok");
    // An upstream that is slow, and a client that has left before it answers.
    let mut client = raw(gateway.address);
    client.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    std::thread::sleep(pause);
    drop(client);

    let lines = log.wait_for(4);
    gate.open();
    for line in lines {
        let (duration, overhead) = (line["duration_ms"].as_f64().unwrap(), line["overhead_ms"].as_f64().unwrap());
        assert!(duration > 900.0 && overhead < duration / 2.0, "{line}");
    }
}

#[test]
fn only_the_requests_that_are_asked_for_have_a_line_and_the_others_are_not_counted_as_lost() {
    let origin = Origin::start(|request, stream| {
        let status = if request.line().contains("/bad") { "500 Internal Server Error" } else { "200 OK" };
        stream.write_all(response(status, "", "{}").as_bytes()).is_ok()
    });
    let log = Log::new("when");
    let text = log.of(&yaml(
        "
        upstreams: {main: {endpoints: [$ORIGIN]}}
        routes: [{name: all, path: /**, upstream: main}, {name: beta, path: /beta/**, upstream: main}]
        ",
        &[("$ORIGIN", &origin.address)],
    ));
    let text = text.replace("access_log: {to", "access_log: {when: \"status>=500 or route=beta and path~*/x or share 0%\", to");
    let gateway = Gateway::start(&text);

    for path in ["/good", "/bad", "/beta/y", "/beta/x", "/good", "/bad?x"] {
        get(gateway.address, path);
    }

    let lines = log.wait_for(3);
    let told: Vec<_> = lines.iter().map(|line| (line["path"].as_str().unwrap(), line["status"].as_u64().unwrap())).collect();
    assert_eq!(told, [("/bad", 500), ("/beta/x", 200), ("/bad", 500)]);
    assert_eq!(gateway.metric("frontgate_log_dropped_total"), 0.0);
    gateway.comes_to("frontgate_requests_total{route=\"all\",method=\"GET\",code=\"200\"}", 2.0);
}

#[test]
fn a_request_that_cannot_be_read_is_asked_for_like_any_other() {
    let origin = Origin::json("{}");
    let log = Log::new("when-unread");
    let text = log.of(&yaml(
        "
        upstreams: {main: {endpoints: [$ORIGIN]}}
        routes: [{name: all, path: /**, upstream: main}]
        ",
        &[("$ORIGIN", &origin.address)],
    ));
    let gateway = Gateway::start(&text.replace("access_log: {to", "access_log: {when: \"reason=uri_too_long\", to"));

    exchange(gateway.address, b"GET / HTTP/1.1\r\nHost: a\r\nBad Name: 1\r\n\r\n").unwrap().is_problem(400);
    exchange(gateway.address, format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(9000)).as_bytes()).unwrap().is_problem(414);

    let lines = log.wait_for(1);
    assert_eq!(lines.iter().map(|line| &line["status"]).collect::<Vec<_>>(), [414]);
}

#[test]
fn a_share_logs_the_same_requests_on_two_gateways_in_a_row() {
    let origin = Origin::json("{}");
    let (outer, inner) = (Log::new("when-outer"), Log::new("when-inner"));
    let start = |log: &Log, upstream: std::net::SocketAddr| {
        let text = log.of(&yaml(
            "
            server: {listeners: [{address: 127.0.0.1:0}], trusted_proxies: [127.0.0.1]}
            upstreams: {main: {endpoints: [$ORIGIN]}}
            routes: [{name: all, path: /**, upstream: main}]
            ",
            &[("$ORIGIN", &upstream)],
        ));
        Gateway::start(&text.replace("access_log: {to", "access_log: {when: \"share 30% or path=/last\", to"))
    };
    let behind = start(&inner, origin.address);
    let before = start(&outer, behind.address);

    for number in 0..60 {
        let id = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: request-{number}\r\nConnection: close\r\n\r\n");
        assert_eq!(exchange(before.address, id.as_bytes()).unwrap().status, 200);
    }
    get(before.address, "/last");

    // A line may come a moment after its answer, and after that of the next request.
    let ids = |log: &Log| -> Vec<String> {
        let mut ids: Vec<_> = log.lines().iter().map(|line| line["request_id"].as_str().unwrap().to_owned()).collect();
        ids.sort();
        ids.retain(|id| id.starts_with("request-"));
        ids
    };
    let is_over = |log: &Log| log.lines().iter().any(|line| line["path"] == "/last");
    until("the same lines in both", || is_over(&outer) && is_over(&inner) && ids(&outer) == ids(&inner));
    let first = ids(&outer);
    // Which of sixty are taken is known: they are the same wherever they are drawn.
    assert!((8..=28).contains(&first.len()), "{first:?}");
}
