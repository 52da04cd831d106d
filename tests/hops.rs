use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;

use frontgate_filters::jwt::Algorithm;
use frontgate_filters::jwt::issuer::Issuer;

use crate::harness::http2::over_http2;
use crate::harness::origin::response;
use crate::harness::{Gateway, Log, Origin, Process, exchange, get, load, raw, until, yaml};

/// An address that is free.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// One route for HTTP/1 and HTTP/2 in front of `origin`.
fn gateway(origin: SocketAddr) -> Gateway {
    Gateway::start(&yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0, protocols: [h2, http1]}]}
        upstreams: {main: {endpoints: [$ORIGIN]}}
        routes: [{name: all, path: /**, upstream: main}]
        ",
        &[("$ORIGIN", &origin)],
    ))
}

fn send(gateway: &Gateway, text: &str) -> crate::harness::Reply {
    exchange(gateway.address, text.as_bytes()).expect("an answer")
}

#[test]
fn what_a_client_s_connection_names_takes_nothing_of_what_the_gateway_says() {
    let (origin, issuer) = (Origin::json("{}"), Issuer::fresh("k1", Algorithm::ES256).unwrap());
    let keys = std::env::temp_dir().join(format!("frontgate-hops-{}.json", std::process::id()));
    std::fs::write(&keys, issuer.jwks()).unwrap();
    let gateway = Gateway::start(&yaml(
        "
        upstreams: {main: {endpoints: [$ORIGIN]}}
        filters:
          login:
            jwt: {issuer: any, audience: any, algorithms: [ES256], keys: {jwks: {file: $KEYS}}, claim_headers: {X-User-Id: claim.sub}}
          stamp: {version_header: {name: X-Stamp, value: v1, to: [client, upstream]}}
        routes: [{name: all, path: /**, upstream: main, filters: [login, stamp]}]
        ",
        &[("$ORIGIN", &origin.address), ("$KEYS", &keys.display())],
    ));
    std::fs::remove_file(&keys).unwrap();
    let token = issuer.token(&serde_json::json!({"sub": "u-1", "exp": 9_999_999_999_u64}));
    let names = ["X-User-Id", "x-stamp", "X-Forwarded-For", "X-Real-IP", "X-Request-Id", "Via", "X-Own"];

    for options in [names.join(", "), names.join("\r\nConnection: ")] {
        let request = format!(
            "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nX-User-Id: root\r\nX-Own: 1\r\nVia: 1.1 before\r\n\
             Connection: close, {options}\r\n\r\n"
        );

        assert_eq!(send(&gateway, &request).status, 200);

        let seen = origin.last();
        assert_eq!((seen.header("x-user-id"), seen.header("x-stamp")), (vec!["u-1"], vec!["v1"]), "{}", seen.head);
        assert_eq!((seen.header("x-forwarded-for"), seen.header("x-real-ip")), (vec!["127.0.0.1"], vec!["127.0.0.1"]), "{}", seen.head);
        assert_eq!((seen.header("x-request-id").len(), seen.header("via")), (1, vec!["1.1 frontgate"]), "{}", seen.head);
        assert!(seen.header("x-own").is_empty() && seen.header("connection").is_empty(), "{}", seen.head);
    }
}

const OF_ONE_HOP: [&str; 9] = [
    "connection",
    "x-own",
    "keep-alive",
    "upgrade",
    "te",
    "trailer",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authentication-info",
];

#[test]
fn what_belongs_to_the_upstream_s_hop_reaches_no_client() {
    let fields = "Connection: X-Own\r\nX-Own: 1\r\nKeep-Alive: timeout=5\r\nUpgrade: h2c\r\nTE: x\r\nTrailer: X-Sum\r\n\
                  Proxy-Connection: close\r\nProxy-Authenticate: Basic\r\nProxy-Authentication-Info: x\r\nX-End: 2\r\n";
    let origin = Origin::start(move |request, stream| {
        let answer = match request.line().split(' ').nth(1) {
            Some("/304") => format!("HTTP/1.1 304 Not Modified\r\n{fields}\r\n"),
            _ => response("200 OK", fields, "ok"),
        };
        stream.write_all(answer.as_bytes()).is_ok()
    });
    let gateway = gateway(origin.address);

    for path in ["/", "/304"] {
        for version in ["1.1", "1.0"] {
            let reply = send(&gateway, &format!("GET {path} HTTP/{version}\r\nHost: a\r\nConnection: keep-alive\r\n\r\n"));
            let left: Vec<_> = OF_ONE_HOP.iter().filter(|name| reply.header(name).is_some_and(|value| value != "keep-alive")).collect();
            assert!(left.is_empty() && reply.header("x-end") == Some("2"), "{path} over HTTP/{version}: {}", reply.head);
        }
        let (fields, body) = over_http2(gateway.address, async |mut client| {
            let request = http::Request::get(format!("http://a.example{path}")).body(()).unwrap();
            let (head, mut body) = client.send_request(request, true).unwrap().0.await.expect("a whole answer").into_parts();
            (head.headers, body.data().await.map_or(0, |data| data.unwrap().len()))
        });
        assert!(OF_ONE_HOP.iter().all(|name| !fields.contains_key(*name)) && fields["x-end"] == "2", "{path} over HTTP/2: {fields:?}");
        assert_eq!(body, if path == "/" { 2 } else { 0 });
    }
}

#[test]
fn trailers_are_announced_where_they_follow_and_nowhere_else() {
    let origin = Origin::start(|_, stream| {
        let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n";
        stream.write_all(answer.as_bytes()).is_ok()
    });
    let gateway = gateway(origin.address);
    let all = |version: &str| {
        let mut client = raw(gateway.address);
        let fields = "Trailer: X-Up\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\nX-Up: 1\r\n\r\n";
        let fields = if version == "1.0" { "\r\n" } else { fields };
        write!(client, "PUT / HTTP/{version}\r\nHost: a\r\n{fields}").unwrap();
        let mut all = String::new();
        client.read_to_string(&mut all).unwrap();
        all
    };

    let new = all("1.1");
    assert!(new.contains("\r\ntrailer: X-Sum\r\n") && new.ends_with("0\r\nx-sum: 7\r\n\r\n"), "{new}");
    let old = all("1.0");
    assert!(!old.contains("trailer") && old.ends_with("\r\n\r\nok"), "{old}");
    let seen = origin.received();
    assert!(seen.iter().all(|request| request.header("trailer").is_empty()), "a request's trailers go no further: {seen:?}");
    let (announced, trailers) = over_http2(gateway.address, async |mut client| {
        let request = http::Request::get("http://a.example/").body(()).unwrap();
        let (head, mut body) = client.send_request(request, true).unwrap().0.await.unwrap().into_parts();
        while body.data().await.is_some() {}
        (head.headers["trailer"].clone(), body.trailers().await.unwrap().expect("trailers"))
    });
    assert_eq!((announced, &trailers["x-sum"]), ("X-Sum".parse().unwrap(), &"7".parse::<http::HeaderValue>().unwrap()));
}

#[test]
fn an_answer_without_a_body_has_no_framing_and_its_connection_is_used_again_where_that_is_safe() {
    let origin = Origin::start(|request, stream| {
        let fields = match request.line().split(' ').nth(1) {
            Some("/length") => "Content-Length: 0\r\n",
            Some("/chunks") => "Transfer-Encoding: chunked\r\n",
            Some("/odd") => "Transfer-Encoding: gzip, chunked\r\nContent-Length: x\r\n",
            _ => "",
        };
        write!(stream, "HTTP/1.1 204 No Content\r\n{fields}\r\n").is_ok()
    });
    let gateway = gateway(origin.address);
    let mut client = raw(gateway.address);

    for path in ["/", "/length", "/chunks", "/odd", "/"] {
        write!(client, "GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let reply = crate::harness::client::read_reply(&mut client, false).unwrap();
        assert_eq!((reply.status, reply.header("content-length"), reply.header("transfer-encoding")), (204, None, None), "{path}");
    }

    // Who speaks of chunks may send some after all.
    assert_eq!(origin.connections(), 3);
}

#[test]
fn different_lengths_of_one_answer_are_502() {
    let origin =
        Origin::start(|_, stream| stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!").is_ok());
    let log = Log::new("lengths");
    let text = yaml(
        "
        upstreams: {main: {endpoints: [$ORIGIN]}}
        routes: [{name: all, path: /**, upstream: main}]
        ",
        &[("$ORIGIN", &origin.address)],
    );
    let gateway = Gateway::start(&log.of(&text));

    assert_eq!(get(gateway.address, "/").is_problem(502).json()["code"], "upstream_unreadable");

    let line = log.wait_for(1)[0].clone();
    assert_eq!((&line["flags"], &line["reason"]), (&"UPE".into(), &"upstream_unreadable".into()), "{line}");
}

#[test]
fn an_upstream_is_told_through_whom_a_request_came() {
    let origin = Origin::json("{}");
    let gateway = gateway(origin.address);

    for (version, fields, expected) in [
        ("1.1", "", "1.1 frontgate"),
        ("1.0", "", "1.0 frontgate"),
        (
            "1.1",
            "Via: 1.0 fred, 1.1 p.example:80 (Apache/1.1)\r\nVia: 2 edge\r\n",
            "1.0 fred, 1.1 p.example:80 (Apache/1.1), 2 edge, 1.1 frontgate",
        ),
    ] {
        let reply = send(&gateway, &format!("GET / HTTP/{version}\r\nHost: a\r\n{fields}Connection: close\r\n\r\n"));
        assert_eq!((reply.status, reply.header("via")), (200, None));
        assert_eq!(origin.last().header("via"), [expected]);
    }
    over_http2(gateway.address, async |mut client| {
        let request = http::Request::get("http://a.example/").header("via", "1.1 a").header("via", "1.1 b").body(()).unwrap();
        assert_eq!(client.send_request(request, true).unwrap().0.await.unwrap().status(), 200);
    });
    assert_eq!(origin.last().header("via"), ["1.1 a, 1.1 b, 2.0 frontgate"]);
}

/// A gateway at this address in front of that one.
fn at(address: SocketAddr, next: SocketAddr) -> String {
    yaml(
        "
        server: {listeners: [{address: $ADDRESS}], admin: 127.0.0.1:0}
        upstreams: {main: {endpoints: [$NEXT], timeouts: {first_byte: 20s}}}
        routes: [{name: all, path: /**, upstream: main}]
        ",
        &[("$ADDRESS", &address), ("$NEXT", &next)],
    )
}

#[test]
fn a_request_that_goes_in_circles_ends_after_ten_hops() {
    let address = free();
    let gateway = Gateway::start(&at(address, address));
    let of_code =
        |gateway: &Gateway, code: u16| gateway.metric(&format!("frontgate_requests_total{{route=\"all\",method=\"GET\",code=\"{code}\"}}"));

    let reply = get(gateway.address, "/");

    assert_eq!((reply.status, reply.json()["code"].as_str()), (508, Some("loop_detected")));
    until("all hops to be counted", || of_code(&gateway, 508) == 11.0);

    // Through two of them.
    let (a, b) = (free(), free());
    let (one, other) = (Gateway::start(&at(a, b)), Gateway::start(&at(b, a)));
    assert_eq!(get(one.address, "/").status, 508);
    until("all hops to be counted", || of_code(&one, 508) + of_code(&other, 508) == 11.0);
    // Ten gateways before this one are too many, wherever they stand.
    let origin = Origin::json("{}");
    let gateway = self::gateway(origin.address);
    let hops = |count: usize| {
        format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nVia: {}\r\n\r\n", vec!["1.1 frontgate"; count].join(", "))
    };
    assert_eq!((send(&gateway, &hops(9)).status, send(&gateway, &hops(10)).status), (200, 508));
    assert_eq!(origin.received().len(), 1);
}

#[test]
fn an_endpoint_that_is_the_gateway_itself_is_refused_by_check_and_by_a_reload() {
    let (address, origin) = (free(), Origin::json("{}"));
    let circle = at(address, address);
    let file = std::env::temp_dir().join(format!("frontgate-circle-{}.yaml", std::process::id()));
    std::fs::write(&file, &circle).unwrap();

    let checked = Command::new(env!("CARGO_BIN_EXE_frontgate")).args(["check", "-c"]).arg(&file).output().unwrap();
    std::fs::remove_file(&file).unwrap();

    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert_eq!(checked.status.code(), Some(78), "{said}");
    assert!(said.contains(&format!("error: the endpoint `{address}` of the upstream `main` is this gateway itself")), "{said}");
    assert!(said.contains("it listens here"), "{said}");
    // What runs is not replaced by it; what starts with it serves, and tells.
    let process = Process::start("circle", &at(address, origin.address));
    process.write(&circle);
    assert_eq!(process.ask("POST", "/-/reload").status, 422);
    assert_eq!(get(process.address, "/").status, 200);
    assert!(load(&circle).warnings.refuse());
}

#[test]
fn methods_that_are_for_proxies_are_405_with_what_else_there_is() {
    let origin = Origin::json("{}");
    let gateway = Gateway::start(&yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0, protocols: [h2, http1]}]}
        upstreams: {main: {endpoints: [$ORIGIN]}}
        routes:
          - {name: all, path: /**, upstream: main}
          - {name: few, path: /few, methods: [GET, POST], upstream: main}
        ",
        &[("$ORIGIN", &origin.address)],
    ));
    let all = Some("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");

    for (line, allow) in [
        ("TRACE / HTTP/1.1", all),
        ("TRACE /few HTTP/1.1", Some("GET, HEAD, POST")),
        ("TRACE / HTTP/1.0", all),
        ("CONNECT a:443 HTTP/1.1", all),
    ] {
        let reply = send(&gateway, &format!("{line}\r\nHost: a:443\r\nMax-Forwards: 5\r\nConnection: close\r\n\r\n"));
        assert_eq!(reply.is_problem(405).header("allow"), allow, "{line}");
    }
    for (method, uri) in [("TRACE", "http://a.example/"), ("CONNECT", "a.example:443")] {
        let head = over_http2(gateway.address, async |mut client| {
            let request = http::Request::builder().method(method).uri(uri).body(()).unwrap();
            client.send_request(request, true).unwrap().0.await.unwrap().into_parts().0
        });
        assert_eq!(
            (head.status.as_u16(), frontgate_filters::words::fields::text(&head.headers["allow"])),
            (405, all),
            "{method} over HTTP/2"
        );
        assert!(head.headers.contains_key("x-request-id"));
    }
    assert!(origin.received().is_empty(), "{:?}", origin.received());
}
