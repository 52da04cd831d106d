//! What spans say.

use std::time::{SystemTime, UNIX_EPOCH};

use http::Request;

use super::*;
use crate::harness::http2::over_http2;
use crate::websocket::socket::{self, BOTH, Over};

fn server(spans: &[Span]) -> &Span {
    spans.iter().find(|span| span.is_server()).expect("the request's own span")
}

#[test]
fn a_request_and_its_attempt_have_a_span_each() {
    let (origin, collector) = (origin(), Collector::start());
    let gateway = gateway("told", origin.address, &collector.0.address, "", &[SOON]);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;

    let reply = ask(
        gateway.address,
        "/shop/7?token=s3cr3t",
        "Authorization: Bearer s3cr3t\r\nCookie: sid=s3cr3t\r\nX-Forwarded-For: 192.0.2.7\r\n",
    );
    let spans = collector.wait_for(2);

    assert_eq!((reply.status, spans.len()), (200, 2));
    let (server, client) = (server(&spans), spans.iter().find(|span| span.kind == 3).unwrap());
    assert_eq!((server.name.as_str(), client.name.as_str()), ("GET /shop/{id}", "GET"));
    assert_eq!((server.trace.len(), server.id.len(), server.parent.as_str()), (32, 16, ""));
    assert_eq!((&client.trace, &client.parent), (&server.trace, &server.id));
    assert_eq!(reply.header("x-request-id").unwrap().replace('-', ""), server.trace, "one is found by the other");
    assert_eq!(origin.last().header("traceparent"), [format!("00-{}-{}-01", client.trace, client.id)]);
    assert!(since <= server.start && server.start <= client.start && client.end <= server.end, "{since}: {spans:#?}");
    let told = |span: &Span, expected: &[(&str, &str)]| {
        for (name, value) in expected {
            assert_eq!(span.get(name), *value, "{name}: {span:#?}");
        }
    };
    told(
        server,
        &[
            ("http.request.method", "GET"),
            ("http.route", "/shop/{id}"),
            ("http.response.status_code", "200"),
            ("url.path", "/shop/7"),
            ("url.scheme", "http"),
            ("server.address", "shop.example"),
            ("server.port", "8080"),
            ("client.address", "192.0.2.7"),
            ("user_agent.original", "tests/1"),
            ("network.protocol.version", "1.1"),
            ("frontgate.route", "shop"),
            ("frontgate.upstream", "main"),
            ("frontgate.request_id", reply.header("x-request-id").unwrap()),
            ("error.type", ""),
            ("rpc.system.name", ""),
        ],
    );
    let port = origin.address.port().to_string();
    told(
        client,
        &[
            ("http.request.method", "GET"),
            ("http.response.status_code", "200"),
            ("server.address", "127.0.0.1"),
            ("server.port", &port),
            ("network.peer.address", "127.0.0.1"),
            ("network.peer.port", &port),
            ("network.protocol.version", "1.1"),
            ("url.full", &format!("http://127.0.0.1:{port}/shop/7")),
            ("frontgate.upstream", "main"),
            ("http.request.resend_count", ""),
            ("error.type", ""),
        ],
    );
    assert_eq!((&server.failed, &client.failed), (&None, &None));
    assert_eq!(server.resource["service.name"], "frontgate");
    assert_eq!(server.resource["service.version"], env!("CARGO_PKG_VERSION"));
    let head = collector.0.last().head;
    assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n") && head.contains("content-type: application/x-protobuf\r\n"), "{head}");
    for request in collector.0.received() {
        assert!(!String::from_utf8_lossy(&request.body).contains("s3cr3t"));
    }
}

#[test]
fn each_attempt_of_a_request_has_a_span_of_its_own() {
    let (origin, collector) = (origin(), Collector::start());
    let gateway = gateway("attempts", origin.address, &collector.0.address, "", &[SOON]);

    assert_eq!(ask(gateway.address, "/again/503", "").status, 503);
    let spans = collector.wait_for(4);

    let mut clients: Vec<&Span> = spans.iter().filter(|span| span.kind == 3).collect();
    clients.sort_by_key(|span| span.start);
    let told: Vec<_> =
        clients.iter().map(|span| (span.get("http.request.resend_count"), span.get("error.type"), span.failed.clone())).collect();
    let failed = Some(String::new());
    assert_eq!(told, [("", "503", failed.clone()), ("1", "503", failed.clone()), ("2", "503", failed)]);
    let callers: Vec<String> = clients.iter().map(|span| format!("00-{}-{}-01", span.trace, span.id)).collect();
    let seen: Vec<String> = origin.received().iter().map(|request| request.header("traceparent")[0].to_owned()).collect();
    assert_eq!(seen, callers);
    let server = server(&spans);
    assert!(clients.iter().all(|span| span.parent == server.id));
    assert_eq!((server.get("error.type"), server.get("frontgate.attempts"), server.failed.is_some()), ("503", "3", true));
}

#[test]
fn an_upstream_that_is_away_and_a_fallback_are_told_of() {
    let (origin, collector) = (origin(), Collector::start());
    let gateway = gateway("away", origin.address, &collector.0.address, "", &[SOON]);

    assert_eq!(ask(gateway.address, "/gone/x", "").status, 502);
    let spans = collector.wait_for(2);
    assert_eq!(ask(gateway.address, "/rescued/x", "").status, 200);
    let all = collector.wait_for(5);

    let client = spans.iter().find(|span| span.kind == 3).unwrap();
    assert_eq!((client.get("error.type"), client.failed.as_deref()), ("connect_failure", Some("connection refused")));
    let own = server(&spans);
    assert_eq!(
        (own.get("http.response.status_code"), own.get("frontgate.reason"), own.get("frontgate.flags")),
        ("502", "upstream_unreachable", "UF")
    );
    let rescued = &all[2..];
    let upstreams: Vec<&str> = rescued.iter().filter(|span| span.kind == 3).map(|span| span.get("frontgate.upstream")).collect();
    assert_eq!(upstreams, ["gone", "main"]);
    let own = server(rescued);
    assert_eq!((own.get("frontgate.reason"), own.failed.is_none()), ("fallback_upstream", true), "{own:#?}");
}

#[test]
fn what_the_gateway_answers_itself_is_one_span_with_its_reason() {
    let (origin, collector) = (origin(), Collector::start());
    let gateway = gateway("refused", origin.address, &collector.0.address, "", &[SOON]);
    let one = |target: &str, fields: &str, status: u16| {
        let before = collector.spans().len();
        assert_eq!(ask(gateway.address, target, fields).status, status);
        let spans = collector.wait_for(before + 1);
        assert_eq!(spans.len(), before + 1, "{target}: {spans:#?}");
        spans[before].clone()
    };

    let nothing = one("/nothing?x=1", "", 404);
    assert_eq!((nothing.name.as_str(), nothing.get("http.route"), nothing.get("frontgate.flags")), ("GET", "", "NR"));
    assert_eq!((nothing.get("frontgate.route"), nothing.get("url.path")), ("_none", "/nothing"));
    let refused = one("/few", "", 403);
    assert_eq!((refused.name.as_str(), refused.failed.is_none()), ("GET /few", true));
    assert!(!refused.get("frontgate.reason").is_empty() && refused.get("http.response.status_code") == "403", "{refused:#?}");
    let fixed = one("/fixed", "", 204);
    assert_eq!((fixed.get("http.route"), fixed.get("http.response.status_code")), ("/fixed", "204"));
    let odd = exchange(gateway.address, b"BREW /fixed HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let spans = collector.wait_for(4);
    let odd_span = &spans[3];
    assert!(odd.status == 204 && odd_span.name == "HTTP /fixed", "{odd_span:#?}");
    assert_eq!((odd_span.get("http.request.method"), odd_span.get("http.request.method_original")), ("_OTHER", "BREW"));
}

#[test]
fn a_rewritten_path_is_what_the_attempt_says() {
    let (origin, collector) = (origin(), Collector::start());
    let gateway = gateway("rewritten", origin.address, &collector.0.address, "", &[SOON]);

    assert_eq!(ask(gateway.address, "/old/a/b?c=d", "").status, 200);
    let spans = collector.wait_for(2);

    let client = spans.iter().find(|span| span.kind == 3).unwrap();
    assert_eq!(client.get("url.full"), format!("http://{}/new/a/b", origin.address));
    assert_eq!((server(&spans).get("url.path"), server(&spans).get("http.route")), ("/old/a/b", "/old/**"));
}

#[test]
fn a_call_of_grpc_says_so() {
    let (origin, collector) = (origin(), Collector::start());
    let gateway = gateway("calls", origin.address, &collector.0.address, "", &[SOON]);

    over_http2(gateway.address, async |mut client| {
        let call =
            Request::post("http://shop.example/nowhere.v1.Shop/Get").header("content-type", "application/grpc").header("te", "trailers");
        let (answer, _) = client.send_request(call.body(()).unwrap(), true).unwrap();
        assert_eq!(answer.await.unwrap().headers()["grpc-status"], "12");
    });
    let spans = collector.wait_for(1);

    let span = server(&spans);
    assert_eq!((span.get("rpc.system.name"), span.get("rpc.method")), ("grpc", "nowhere.v1.Shop/Get"));
    assert_eq!((span.get("rpc.response.status_code"), span.get("error.type")), ("UNIMPLEMENTED", "UNIMPLEMENTED"));
    assert_eq!((span.get("network.protocol.version"), span.failed.is_some()), ("2", true));
}

#[test]
fn a_websocket_has_its_spans_once_it_is_over() {
    let (origin, collector) = (socket::origin(socket::echo), Collector::start());
    let gateway = gateway("websocket", origin.address, &collector.0.address, "keep: {over: 1ms}", &[SOON]);

    for (number, over) in BOTH.into_iter().enumerate() {
        socket::run(async {
            let mut socket = socket::open(gateway.address, over, "/shop/socket").await;
            let hello = socket::frame(1, true, b"hello");
            socket.send(&hello).await;
            assert_eq!(socket.hear(hello.len()).await, hello);
            drop(socket);
        });
        let spans = &collector.wait_for(2 * (number + 1))[2 * number..];

        let own = server(spans);
        let status = if over == Over::Http1 { "101" } else { "200" };
        assert_eq!(
            (own.get("http.response.status_code"), own.name.as_str(), own.failed.is_none()),
            (status, "GET /shop/{id}", true),
            "{over:?}"
        );
        let client = spans.iter().find(|span| span.kind == 3).unwrap();
        assert_eq!((client.get("http.response.status_code"), client.failed.is_none()), ("101", true), "{over:?}");
        assert!(client.end <= own.end, "{over:?}");
    }
}

#[test]
fn copies_for_a_mirror_have_no_span_and_a_trace_of_their_own() {
    let (origin, shadow, collector) = (origin(), Origin::json("{}"), Collector::start());
    let text = configuration(origin.address, &collector.0.address, "")
        .replace("upstreams:\n", &format!("upstreams:\n  shadow: {{endpoints: [{}]}}\n", shadow.address))
        .replace("'/shop/{id}', upstream: main", "'/shop/{id}', upstream: main, mirror: {upstream: shadow}");
    let gateway = Process::start_in("tracing-mirror", &text, &[SOON]);

    assert_eq!(ask(gateway.address, "/shop/1", "").status, 200);
    crate::harness::until("the copy", || !shadow.received().is_empty());
    assert_eq!(ask(gateway.address, "/shop/2", "").status, 200);
    let spans = collector.wait_for(4);

    assert_eq!(spans.len(), 4);
    let (original, copy) =
        (origin.received()[0].header("traceparent")[0].to_owned(), shadow.received()[0].header("traceparent")[0].to_owned());
    assert!(original[..35] != copy[..35] && original.ends_with("-01") && copy.ends_with("-01"), "{original} {copy}");
}
