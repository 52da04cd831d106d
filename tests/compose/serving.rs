//! How a request for many services is served: its body, its client, its connection, and what is told of its calls.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Request as HttpRequest;
use serde_json::{Value, json};

use super::mock::{self, ask, target};
use crate::harness::client::{raw, read_reply};
use crate::harness::http2::over_http2;
use crate::harness::http2_origin::Http2Origin;
use crate::harness::origin::Request;
use crate::harness::{Gate, Log, Origin, Process, Reply, exchange, until, yaml};
#[cfg(feature = "otel")]
use crate::tracing::collector::{Collector, Span};

/// A gateway whose upstream `a` is this origin; `server` are more of the server's keys, `more` further sections.
fn gateway(name: &str, origin: SocketAddr, server: &str, more: &str, routes: &str) -> Process {
    Process::start(&format!("serving-{name}"), &configuration(origin, server, "", more, routes))
}

/// The same with further upstreams.
fn configuration(origin: SocketAddr, server: &str, upstreams: &str, more: &str, routes: &str) -> String {
    yaml(
        "
        server:
          listeners: [{address: 127.0.0.1:0, protocols: [h2, http1]}]
          admin: 127.0.0.1:0
          threads: 1
          $SERVER
        upstreams:
          a: {endpoints: [$ORIGIN], timeouts: {connect: 20s, first_byte: 20s, between_bytes: 20s}}
          $UPSTREAMS
        $MORE
        routes:
          $ROUTES
        ",
        &[
            ("$ORIGIN", &origin),
            ("$SERVER", &server),
            ("$UPSTREAMS", &upstreams),
            ("$MORE", &more.trim_matches('\n')),
            ("$ROUTES", &routes.trim_matches('\n')),
        ],
    )
}

/// Answers with what came as the body, or with what was asked for.
fn echo(request: &Request, stream: &mut TcpStream) -> bool {
    let body: Value = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
    let kind = request.header("content-type").first().map(|kind| (*kind).to_owned());
    mock::answer(stream, 200, &json!({"at": target(request).whole, "body": body, "kind": kind}))
}

/// Holds every call, and counts those whose connection is closed by the gateway meanwhile.
fn holding() -> (Origin, Arc<AtomicUsize>) {
    let left = Arc::new(AtomicUsize::new(0));
    let counted = left.clone();
    let origin = Origin::start(move |_, stream| {
        stream.set_read_timeout(Some(crate::harness::PATIENCE)).unwrap();
        let gone = matches!(stream.read(&mut [0; 1]), Ok(0) | Err(_));
        counted.fetch_add(usize::from(gone), Ordering::SeqCst);
        false
    });
    (origin, left)
}

const TWO: &str = "- {name: it, path: /it, aggregate: {calls: {x: {upstream: a, get: /x}, y: {upstream: a, get: /y}}}}";
const BODY: &str =
    "- {name: it, path: /it, limits: {body: 1KiB}, aggregate: {calls: {x: {upstream: a, post: /x, body: {got: '{body.a}'}}}}}";

#[test]
fn the_client_s_body_is_read_whole_however_it_comes() {
    let origin = Origin::start(echo);
    let process = gateway("body", origin.address, "timeouts: {body: 300ms}", "", BODY);
    let sends = |head: &str, body: &str| {
        let request = format!("POST /it HTTP/1.1\r\nHost: a.example\r\nContent-Type: application/json\r\n{head}\r\n{body}");
        exchange(process.address, request.as_bytes()).expect("an answer")
    };

    for (head, body) in
        [("Content-Length: 9\r\n", r#"{"a":[7]}"#), ("Transfer-Encoding: chunked\r\n", "4\r\n{\"a\"\r\n5\r\n:[7]}\r\n0\r\n\r\n")]
    {
        assert_eq!(sends(head, body).json()["x"]["body"], json!({"got": [7]}), "{head}");
    }
    let too_long = format!("{{\"a\":\"{}\"}}", "x".repeat(1100));
    sends(&format!("Content-Length: {}\r\n", too_long.len()), &too_long).is_problem(413);
    sends("Transfer-Encoding: chunked\r\n", &format!("{:x}\r\n{too_long}\r\n0\r\n\r\n", too_long.len())).is_problem(413);
    // Half of it, and then nothing.
    sends("Content-Length: 9\r\n", "{\"a\"").is_problem(408);
    assert_eq!(origin.received().len(), 2, "nobody is asked before all of it is there");
}

#[test]
fn who_waits_to_be_told_to_send_its_body_is_told_so_where_it_is_wanted() {
    let origin = Origin::start(echo);
    let routes = format!("{BODY}\n{}", "- {name: get, path: /get, aggregate: {calls: {x: {upstream: a, get: /x}}}}");
    let process = gateway("expect", origin.address, "", "", &routes);
    let begin = |path: &str| {
        let mut stream = raw(process.address);
        write!(stream, "POST {path} HTTP/1.1\r\nHost: a.example\r\nExpect: 100-continue\r\nContent-Length: 7\r\n\r\n").unwrap();
        stream
    };

    let mut wanted = begin("/it");
    let mut told = [0; 25];
    wanted.read_exact(&mut told).unwrap();
    wanted.write_all(br#"{"a":1}"#).unwrap();
    let mut unwanted = begin("/get");

    assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(read_reply(&mut wanted, false).unwrap().json()["x"]["body"], json!({"got": 1}));
    let answer = read_reply(&mut unwanted, false).unwrap();
    assert_eq!((answer.status, answer.json()["x"]["at"].clone()), (200, json!("/x")));
}

#[test]
fn a_body_that_nobody_refers_to_is_thrown_away_and_the_connection_goes_on() {
    let origin = Origin::start(echo);
    let process = gateway("unwanted", origin.address, "", "", TWO);
    let mut stream = raw(process.address);

    for _ in 0..3 {
        // No more than is thrown away behind an answer that came before all of it.
        let body = "x".repeat(60_000);
        write!(stream, "PUT /it HTTP/1.1\r\nHost: a.example\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        let answer = read_reply(&mut stream, false).expect("an answer");
        assert_eq!((answer.status, answer.json()["y"]["at"].clone()), (200, json!("/y")));
    }
}

#[test]
fn heads_and_old_clients_and_connections_that_are_kept_are_served_as_ever() {
    let origin = Origin::start(echo);
    let process = gateway("heads", origin.address, "", "", TWO);
    let whole = ask(process.address, "GET", "/it", &[], None);
    let length = whole.body.len().to_string();

    let mut stream = raw(process.address);
    stream.write_all(b"HEAD /it HTTP/1.1\r\nHost: a.example\r\n\r\n").unwrap();
    let head = read_reply(&mut stream, true).unwrap();
    stream.write_all(b"GET /it HTTP/1.1\r\nHost: a.example\r\n\r\n").unwrap();
    let after = read_reply(&mut stream, false).unwrap();
    let old = exchange(process.address, b"GET /it HTTP/1.0\r\n\r\n").unwrap();

    assert_eq!((head.status, head.header("content-length"), whole.header("content-length")), (200, Some(&*length), Some(&*length)));
    assert_eq!((&after.body, &old.body), (&whole.body, &whole.body));
    assert_eq!((old.header("content-length"), old.header("transfer-encoding")), (Some(&*length), None));
    let calls = origin.received();
    assert!(calls.iter().all(|call| call.line().starts_with("GET ")), "{calls:?}");
}

#[test]
fn a_client_that_leaves_over_http_1_cancels_all_that_was_begun_for_it() {
    let (origin, left) = holding();
    let log = Log::new("serving-leaves");
    let routes = format!("{TWO}\n{}", BODY.replace("/it", "/post").replace("name: it", "name: post"));
    let text = configuration(origin.address, "", "", "telemetry: {access_log: \"off\"}", &routes);
    let process = Process::start("serving-leaves", &log.of(&text));

    let mut reading = raw(process.address);
    reading.write_all(b"GET /it HTTP/1.1\r\nHost: a.example\r\n\r\n").unwrap();
    let mut posting = raw(process.address);
    posting.write_all(b"POST /post HTTP/1.1\r\nHost: a.example\r\nContent-Length: 7\r\n\r\n{\"a\":1}").unwrap();
    until("all calls", || origin.received().len() == 3);
    // Somebody who goes on sending a body that nobody wants is seen to leave, too.
    let mut uploading = raw(process.address);
    uploading.write_all(b"PUT /it HTTP/1.1\r\nHost: a.example\r\nContent-Length: 9\r\n\r\nhalf").unwrap();
    until("its calls", || origin.received().len() == 5);
    for stream in [reading, posting, uploading] {
        stream.shutdown(Shutdown::Both).unwrap();
    }

    until("the services to see it", || left.load(Ordering::SeqCst) == 5);
    let lines = log.wait_for(3);
    assert!(lines.iter().all(|line| line["flags"] == "DC" && line.get("status").is_none()), "{lines:?}");
    let mut calls: Vec<_> = lines.iter().map(|line| line["calls"].as_u64()).collect();
    calls.sort_unstable();
    assert_eq!(calls, [Some(1), Some(2), Some(2)]);
    until("no request in flight", || process.ask("GET", "/metrics").text().contains("frontgate_call_memory_bytes 0\n"));
}

#[test]
fn a_stream_that_is_reset_cancels_its_calls_and_leaves_its_neighbours_alone() {
    let held = Gate::default();
    let (gate, left) = (held.clone(), Arc::new(AtomicUsize::new(0)));
    let counted = left.clone();
    let origin = Origin::start(move |request, stream| {
        if target(request).whole == "/y" {
            gate.pass();
            return echo(request, stream);
        }
        stream.set_read_timeout(Some(crate::harness::PATIENCE)).unwrap();
        counted.fetch_add(usize::from(matches!(stream.read(&mut [0; 1]), Ok(0) | Err(_))), Ordering::SeqCst);
        false
    });
    let routes = "
- {name: x, path: /x, aggregate: {calls: {x: {upstream: a, get: /x}}}}
- {name: y, path: /y, aggregate: {calls: {y: {upstream: a, get: /y}}}}
";
    let process = gateway("reset", origin.address, "", "", routes);

    over_http2(process.address, async |client| {
        let mut client = client;
        let request = |path: &str| HttpRequest::get(format!("http://a.example{path}")).body(()).unwrap();
        let (gone, mut sent) = client.send_request(request("/x"), true).unwrap();
        let mut client = client.ready().await.unwrap();
        let (stays, _) = client.send_request(request("/y"), true).unwrap();
        while origin.received().len() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }

        sent.send_reset(h2::Reason::CANCEL);
        drop(gone);

        while left.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        held.open();
        let mut answer = stays.await.unwrap();
        assert_eq!(answer.status(), 200);
        let mut body = Vec::new();
        while let Some(part) = answer.body_mut().data().await {
            body.extend_from_slice(&part.unwrap());
        }
        let json: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(json["y"]["at"], "/y");
    });
}

#[test]
fn clients_and_services_of_http_2_take_part_with_bodies() {
    let origin = Http2Origin::start(|mut asked| async move {
        let (body, _) = asked.read().await;
        let told = json!({"at": asked.head.uri.path(), "method": asked.head.method.as_str(), "length": body.len()}).to_string();
        let mut stream = asked.head(200, &[("content-type", "application/json")], false);
        let _ = stream.send_data(Bytes::from(told), true);
    });
    let routes =
        "- {name: it, path: /it, aggregate: {calls: {x: {upstream: two, get: /x}, y: {upstream: two, post: /y, body: {all: '{body}'}}}}}";
    let two = format!("two: {{endpoints: [\"{}\"], protocol: h2}}", origin.address);
    let process = Process::start("serving-http2", &configuration(origin.address, "", &two, "", routes));

    over_http2(process.address, async |client| {
        let mut client = client;
        let request = HttpRequest::post("http://a.example/it").header("content-type", "application/json").body(()).unwrap();
        let (answer, mut upload) = client.send_request(request, false).unwrap();
        upload.send_data(Bytes::from_static(b"[1,"), false).unwrap();
        upload.send_data(Bytes::from_static(b"2]"), true).unwrap();
        let mut answer = answer.await.unwrap();
        let mut body = Vec::new();
        while let Some(part) = answer.body_mut().data().await {
            body.extend_from_slice(&part.unwrap());
        }

        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-length"], body.len().to_string());
        let json: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(json, json!({"x": {"at": "/x", "method": "GET", "length": 0}, "y": {"at": "/y", "method": "POST", "length": 13}}));
    });
    assert_eq!(origin.connections(), 1, "both calls share a connection");
}

#[test]
fn filters_work_once_around_the_whole_and_the_answer_passes_them_as_any_other() {
    let origin = Origin::start(|request, stream| {
        let items: Vec<Value> = (0..200).map(|number| json!({"id": number, "name": "a name", "secret": "x"})).collect();
        mock::answer(stream, 200, &json!({"at": target(request).whole, "items": items}))
    });
    let more = "
filters:
  web: {cors: {origins: [https://shop.example]}}
  small: {compress: {min: 100B}}
  slim: {trim: {by: device, profiles: {mobile: {drop: [x.items.secret, y]}}}}
  marks: {headers: {response: {set: {X-Marked: once}}}}
  few: {rate_limit: {key: client_ip, rate: 1/h, burst: 3}}
";
    let routes = TWO.replace("aggregate:", "filters: [web, small, marks, few, slim], aggregate:");
    let process = gateway("filters", origin.address, "", more, &routes);
    let browser =
        [("Origin", "https://shop.example"), ("User-Agent", "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Mobile/15E148")];

    let plain = ask(process.address, "GET", "/it", &[], None);
    let slim = ask(process.address, "GET", "/it", &browser, None);
    let calls = origin.received().len();
    let packed = ask(process.address, "GET", "/it", &[("Accept-Encoding", "gzip")], None);
    let refused = ask(process.address, "GET", "/it", &browser, None);

    assert_eq!((plain.status, plain.header("x-marked"), plain.json()["x"]["items"][7]["secret"].as_str()), (200, Some("once"), Some("x")));
    let x = &slim.json()["x"];
    assert_eq!((x["items"][7].get("secret"), x["items"][7]["name"].as_str(), slim.json().get("y")), (None, Some("a name"), None));
    assert_eq!(slim.header("access-control-allow-origin"), Some("https://shop.example"));
    assert_eq!(slim.header("content-length"), Some(&*slim.body.len().to_string()));
    assert_eq!(calls, 3, "what goes is not asked for");
    let mut opened = String::new();
    flate2::read::GzDecoder::new(&packed.body[..]).read_to_string(&mut opened).unwrap();
    assert_eq!((packed.header("content-encoding"), opened), (Some("gzip"), plain.text()));
    // One of four requests, however many calls they were.
    refused.is_problem(429);
    assert_eq!(refused.header("x-marked"), Some("once"));
}

#[test]
fn every_call_is_told_of_where_somebody_asks_how_a_request_fared() {
    let origin = Origin::start(|request, stream| match target(request).path {
        "/bad" => mock::send(stream, 500, "text/plain", "", b"the service's own words"),
        "/slow" => {
            std::thread::sleep(Duration::from_millis(400));
            echo(request, stream)
        }
        _ => echo(request, stream),
    });
    let routes = "
- {name: good, path: /good, aggregate: {calls: {x: {upstream: again, get: '/x?token=secret'}, ads: {upstream: dead, get: /ads, optional: true}}}}
- {name: bad, path: /bad, aggregate: {calls: {x: {upstream: a, get: /x}, y: {upstream: a, get: '/bad?of={x.at}'}}}}
- {name: slow, path: /slow, aggregate: {calls: {x: {upstream: a, get: /slow}}}}
";
    let log = Log::new("serving-told");
    let upstreams = format!("dead: {{endpoints: [127.0.0.1:1]}}\nagain: {{endpoints: [\"{}\"]}}", origin.address);
    let text = configuration(origin.address, "trusted_proxies: [127.0.0.1]", &upstreams, "telemetry: {access_log: \"off\"}", routes);
    let process = Process::start("serving-told", &log.of(&text));
    let metric = |series: &str| -> f64 {
        let text = process.ask("GET", "/metrics").text();
        text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok()).unwrap_or(-1.0)
    };
    for call in ["x", "ads"] {
        assert_eq!(
            metric(&format!("frontgate_calls_total{{route=\"good\",call=\"{call}\",result=\"ok\"}}")),
            0.0,
            "there from the beginning"
        );
    }
    assert_eq!(metric("frontgate_incomplete_total{route=\"good\"}"), 0.0);

    let good = ask(process.address, "GET", "/good", &[("X-Frontgate-Explain", "1")], None);
    let bad = ask(process.address, "GET", "/bad", &[], None);
    ask(process.address, "GET", "/slow", &[], None);

    let told = good.header("x-frontgate-explain").unwrap();
    assert!(told.contains(r#"call;desc="x";upstream="again";status=200;result=ok;dur="#), "{told}");
    assert!(told.contains(r#"call;desc="ads";upstream="dead";result=connect;dur="#), "{told}");
    bad.is_problem(502);
    assert!(!bad.text().contains("own words"), "{}", bad.text());
    let lines = log.wait_for(3);
    let of = |route: &str| lines.iter().find(|line| line["route"] == route).unwrap();
    assert_eq!((&of("good")["calls"], &of("good")["missing"]), (&json!(2), &json!("ads (connect)")));
    assert_eq!(
        (&of("bad")["calls"], of("bad").get("missing"), &of("bad")["reason"]),
        (&json!(2), Some(&json!("y (status 500)")), &json!("call_failed"))
    );
    let (took, own) = (of("slow")["duration_ms"].as_f64().unwrap(), of("slow")["overhead_ms"].as_f64().unwrap());
    assert!(took >= 400.0 && own < took - 350.0, "{took} ms, of which {own} its own");
    assert!(metric("frontgate_overhead_seconds_sum{route=\"slow\"}") < 0.3);
    assert!(metric("frontgate_call_duration_seconds_sum{route=\"slow\",call=\"x\"}") >= 0.4);
    for (series, count) in [
        (r#"frontgate_calls_total{route="good",call="x",result="ok"}"#, 1.0),
        (r#"frontgate_calls_total{route="good",call="ads",result="connect"}"#, 1.0),
        (r#"frontgate_calls_total{route="bad",call="y",result="status_5xx"}"#, 1.0),
        (r#"frontgate_incomplete_total{route="good"}"#, 1.0),
        (r#"frontgate_incomplete_total{route="bad"}"#, 0.0),
        ("frontgate_call_memory_bytes", 0.0),
    ] {
        assert_eq!(metric(series), count, "{series}");
    }
    let why = why(&process, &bad);
    assert!(why.contains(&format!("call      x at a {}: 200 ok, after", origin.address)), "{why}");
    assert!(why.contains(&format!("call      y at a {}: 500 status_5xx", origin.address)), "{why}");
    assert!(why.contains("It was the call y.") && !why.contains("secret"), "{why}");
}

/// What `frontgate why` says of a request.
fn why(process: &Process, reply: &Reply) -> String {
    let id = reply.header("x-request-id").unwrap();
    let mut told = String::new();
    until("the request to be known", || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_frontgate"));
        let output = command.args(["why", "--admin", &process.admin.to_string(), id]).current_dir("/").output().unwrap();
        told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        output.status.success()
    });
    told
}

#[cfg(feature = "otel")]
#[test]
fn each_call_has_a_span_of_its_own_that_its_service_is_told() {
    let origin = Origin::start(echo);
    let collector = Collector::start();
    let more = format!("telemetry: {{access_log: \"off\", tracing: {{otlp: \"http://{}\", sample: 100%}}}}", collector.0.address);
    let routes = "- {name: it, path: /it, aggregate: {calls: {x: {upstream: a, get: '/x?token=secret'}, y: {upstream: a, post: '/y/{x.at}'}, z: {upstream: dead, get: /z, optional: true}}}}";
    let text = configuration(origin.address, "trusted_proxies: [127.0.0.1]", "dead: {endpoints: [127.0.0.1:1]}", &more, routes);
    let process = Process::start_in("serving-spans", &text, &[("OTEL_BSP_SCHEDULE_DELAY", "20")]);

    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let answer = ask(process.address, "GET", "/it", &[("traceparent", parent), ("tracestate", "a=b"), ("baggage", "who=me")], None);

    assert_eq!(answer.status, 200, "{}", answer.text());
    let spans = collector.wait_for(4);
    let server = spans.iter().find(|span| span.is_server()).expect("a span of the request");
    assert_eq!((&*server.parent, server.get("frontgate.calls"), server.get("frontgate.missing")), ("b7ad6b7169203331", "3", "z (connect)"));
    let call = |name: &str| -> &Span {
        spans.iter().find(|span| span.get("frontgate.call") == name).unwrap_or_else(|| panic!("no {name} in {spans:?}"))
    };
    assert_eq!((call("x").kind, &*call("x").name, call("x").get("http.response.status_code")), (3, "GET", "200"));
    assert_eq!(call("x").get("url.full"), format!("http://{}/x", origin.address));
    assert_eq!((&*call("y").name, call("z").get("error.type"), call("z").failed.is_some()), ("POST", "connect_failure", true));
    for span in [call("x"), call("y"), call("z")] {
        assert_eq!((&span.parent, &span.trace), (&server.id, &server.trace));
        assert!(span.start >= server.start && span.end <= server.end + 1_000_000, "{span:?}");
    }
    assert!(call("y").start >= call("x").end, "it waited for the other");
    for request in origin.received() {
        let name = &target(&request).path[1..2];
        assert_eq!(request.header("traceparent"), [format!("00-{}-{}-01", server.trace, call(name).id)]);
        assert_eq!((request.header("tracestate"), request.header("baggage").len()), (vec!["a=b"], 0));
    }
}

#[test]
fn where_there_is_no_more_memory_a_request_is_asked_to_come_later_and_all_of_it_is_given_back() {
    let held = Gate::default();
    let gate = held.clone();
    let origin = Origin::start(move |request, stream| {
        if target(request).path == "/last" {
            gate.pass();
            return echo(request, stream);
        }
        mock::send(stream, 200, "application/json", "", format!("{{\"x\":\"{}\"}}", "x".repeat(7 << 20)).as_bytes())
    });
    let routes = "
- name: it
  path: /it
  aggregate:
    calls: {big: {upstream: a, get: /big, keep: [none]}, last: {upstream: a, get: /last}}
    limits: {answer: 8MiB, total: 8MiB}
";
    // A quarter of what the process may have is 64 MiB: room for nine such answers, of which the pages keep next to nothing.
    let text = configuration(origin.address, "", "", "", routes);
    let process = Process::start_after("ulimit -S -d 262144 && ulimit -S -n 1024", "serving-memory", &text);
    let (address, metrics) = (process.address, || process.ask("GET", "/metrics").text());
    let memory = || -> f64 { metrics().lines().find_map(|line| line.strip_prefix("frontgate_call_memory_bytes ")?.parse().ok()).unwrap() };
    assert!(metrics().contains("frontgate_call_memory_max_bytes 67108864\n"), "{}", metrics());

    let asking: Vec<_> = (0..9).map(|_| std::thread::spawn(move || ask(address, "GET", "/it", &[], None))).collect();
    until("nine answers to be held", || memory() >= (9 * (7 << 20)) as f64);
    let refused = ask(address, "GET", "/it", &[], None);
    held.open();
    let kept: Vec<Reply> = asking.into_iter().map(|asking| asking.join().unwrap()).collect();

    refused.is_problem(503);
    assert!(refused.header("retry-after").is_some(), "{}", refused.head);
    assert!(kept.iter().all(|reply| reply.status == 200), "{:?}", kept.iter().map(|reply| reply.status).collect::<Vec<_>>());
    until("all of it to be given back", || memory() == 0.0);
    assert_eq!(ask(address, "GET", "/it", &[], None).status, 200);
}

#[test]
fn what_a_filter_makes_of_an_answer_has_its_place_in_memory_until_its_client_has_it() {
    const LETTERS: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-";
    // Without a pattern, so that a quarter of it can be packed away, and no more.
    let mut number = 7_u64;
    let mut letter = || {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(LETTERS[(number >> 58) as usize])
    };
    let body = format!("{{\"x\":\"{}\"}}", (0..9 << 20).map(|_| letter()).collect::<String>());
    let origin = Origin::start(move |_, stream| mock::send(stream, 200, "application/json", "", body.as_bytes()));
    let routes = "
- name: it
  path: /it
  filters: [{compress: {}}]
  aggregate:
    calls: {big: {upstream: a, get: /big}}
    limits: {answer: 10MiB, total: 10MiB}
";
    let process = gateway("packed", origin.address, "", "", routes);
    let metrics = || process.ask("GET", "/metrics").text();
    let memory = || -> f64 { metrics().lines().find_map(|line| line.strip_prefix("frontgate_call_memory_bytes ")?.parse().ok()).unwrap() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let slow = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.connect(process.address).await.unwrap().into_std().unwrap()
    });
    slow.set_nonblocking(false).unwrap();

    (&slow).write_all(b"GET /it HTTP/1.1\r\nHost: a.example\r\nAccept-Encoding: gzip\r\n\r\n").unwrap();

    let packed = (6 << 20) as f64..(8 << 20) as f64;
    until("what is packed, and nothing else, to be held", || packed.contains(&memory()));
    (&slow).read_exact(&mut [0; 12]).unwrap();
    assert!(packed.contains(&memory()), "its client has next to nothing of it: {}", memory());
    drop(slow);
    until("all of it to be given back", || memory() == 0.0);
}

#[test]
fn a_gateway_that_drains_brings_what_was_begun_to_its_end() {
    let held = Gate::default();
    let gate = held.clone();
    let origin = Origin::start(move |request, stream| {
        gate.pass();
        echo(request, stream)
    });
    let mut process = gateway("drains", origin.address, "drain: {timeout: 30s}", "", TWO);
    let address = process.address;
    let asking = std::thread::spawn(move || ask(address, "GET", "/it", &[], None));
    until("the calls", || origin.received().len() == 2);

    process.signal("TERM");
    until("the drain", || TcpStream::connect(address).is_err());
    held.open();

    let answer = asking.join().unwrap();
    assert_eq!((answer.status, answer.json()["y"]["at"].clone()), (200, json!("/y")));
    assert_eq!(process.end(), Some(0));
}

#[test]
fn the_route_s_time_is_for_all_of_it() {
    let origin = Origin::start(|request, stream| {
        if target(request).path == "/y" {
            std::thread::sleep(Duration::from_secs(30));
        }
        echo(request, stream)
    });
    let routes = "- {name: it, path: /it, timeout: 600ms, aggregate: {calls: {x: {upstream: a, get: /x}, y: {upstream: a, get: '/y?of={x.at}', timeout: 1h}}}}";
    let process = gateway("time", origin.address, "", "", routes);
    let began = std::time::Instant::now();

    let late = ask(process.address, "GET", "/it", &[], None);

    late.is_problem(504);
    assert_eq!((late.json()["code"].clone(), late.json()["call"].clone()), (json!("call_timeout"), json!("y")));
    assert!(began.elapsed() >= Duration::from_millis(600) && began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}
