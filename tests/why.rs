use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;

use serde_json::Value;

use crate::grpc::unary;
use crate::harness::http2::over_http2;
use crate::harness::http2_origin::Http2Origin;
use crate::harness::origin::response;
use crate::harness::{Gateway, Origin, Reply, exchange, get, operate, until, yaml};

/// The command, with its exit code.
fn why(admin: SocketAddr, words: &[&str]) -> (String, Option<i32>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_frontgate"));
    command.args(["why", "--admin", &admin.to_string()]).args(words).current_dir("/");
    let output = command.output().unwrap();
    (String::from_utf8([output.stdout, output.stderr].concat()).unwrap(), output.status.code())
}

/// What it tells of a request that has just been answered: that is kept a moment after the answer.
#[track_caller]
fn told(admin: SocketAddr, reply: &Reply) -> String {
    let id = reply.header("x-request-id").unwrap().to_owned();
    let mut text = String::new();
    until("the request to be known", || {
        let (words, code) = why(admin, &[&id]);
        text = words;
        code == Some(0)
    });
    text
}

fn asked(address: SocketAddr, path: &str, headers: &str) -> Reply {
    exchange(address, format!("GET {path} HTTP/1.1\r\nHost: shop.example\r\n{headers}Connection: close\r\n\r\n").as_bytes()).unwrap()
}

/// An address where nothing listens.
fn dead() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn configuration(origin: SocketAddr) -> String {
    yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0}], admin: 127.0.0.1:0, trusted_proxies: [127.0.0.1]}
        upstreams:
          main: {endpoints: [$ORIGIN]}
          gone: {endpoints: [$DEAD, $NONE], retry: {attempts: 2, when: [connect_failure], budget: 100%}}
        filters:
          web: {cors: {origins: [https://shop.example]}}
          watched: {rate_limit: {key: client_ip, rate: 1/h, burst: 1, mode: observe}}
          per_key: {rate_limit: {key: header.X-Api-Key, rate: 1/h, burst: 1}}
          guard: {circuit_breaker: {consecutive: 1, open_for: 60s}}
        routes:
          - {name: limited, path: /limited/**, upstream: main, filters: [web, watched, per_key]}
          - {name: gone, path: /gone/**, upstream: gone}
          - {name: guarded, path: /guarded/**, upstream: main, filters: [guard]}
          - {name: all, path: /all/**, upstream: main}
        ",
        &[("$ORIGIN", &origin), ("$DEAD", &dead()), ("$NONE", &dead())],
    )
}

fn failing() -> Origin {
    Origin::start(|request, stream| {
        let status = if request.line().contains("/bad") { "503 Service Unavailable" } else { "200 OK" };
        stream.write_all(response(status, "", "{}").as_bytes()).is_ok()
    })
}

#[test]
fn who_was_refused_by_a_limit_is_told_which_and_how_it_stood_without_any_key() {
    let origin = failing();
    let gateway = Gateway::start(&configuration(origin.address));
    let admin = gateway.running.admin().unwrap();
    let key = "X-Api-Key: s3cr3t-key\r\n";
    assert_eq!(asked(gateway.address, "/limited/a?token=s3cr3t", key).status, 200);

    let reply = asked(gateway.address, "/limited/a?token=s3cr3t", key);
    reply.is_problem(429);
    let text = told(admin, &reply);

    for line in [
        "asked     GET shop.example/limited/a (HTTP/1.1)",
        "route     limited",
        "filter    web (cors): let it pass",
        "filter    watched (rate_limit): would have answered, but only observes",
        "filter    per_key (rate_limit): answered",
        "it was \"per_key\";r=0;t=3600 of \"per_key\";q=1;w=3600",
        "answered  429 rate_limited:",
        "It may be asked again in 3600 s.",
    ] {
        assert!(text.contains(line), "{line}:\n{text}");
    }
    assert!(!text.contains("s3cr3t"), "{text}");
    let id = reply.json()["request_id"].as_str().unwrap().to_owned();
    let (json, code) = why(admin, &[&id, "--json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((code, &json["found"][0]["line"]["request_id"]), (Some(0), &id.into()));
    assert!(!json.to_string().contains("s3cr3t"));
}

#[test]
fn attempts_that_failed_are_told_each_with_its_endpoint_and_cause() {
    let origin = failing();
    let text = configuration(origin.address);
    let gateway = Gateway::start(&text);
    let admin = gateway.running.admin().unwrap();

    let reply = get(gateway.address, "/gone/x");
    reply.is_problem(502);
    let told = told(admin, &reply);

    let attempts: Vec<&str> = told.lines().filter(|line| line.starts_with("attempt   gone 127.0.0.1:")).collect();
    assert_eq!(attempts.len(), 2, "{told}");
    assert!(attempts.iter().all(|line| line.contains(" failed: ") && line.contains(" refused") && line.ends_with(" ms")), "{told}");
    assert_ne!(attempts[0].split(' ').nth(4), attempts[1].split(' ').nth(4), "each was another one: {told}");
    assert!(told.contains("flags     UF\n"), "{told}");
}

#[test]
fn an_upstream_s_own_failure_an_open_circuit_and_what_is_no_request_are_found_too() {
    let origin = failing();
    let gateway = Gateway::start(&configuration(origin.address));
    let admin = gateway.running.admin().unwrap();

    let failed = asked(gateway.address, "/guarded/bad", "");
    let refused = asked(gateway.address, "/guarded/bad", "");
    let unread = exchange(gateway.address, b"GET / HTTP/1.1\r\nHost: a\r\nBad Name: 1\r\n\r\n").unwrap();
    let nowhere = asked(gateway.address, "/nowhere", "");

    let text = told(admin, &failed);
    assert!(text.contains("filter    guard (circuit_breaker): let it pass") && text.contains(": 503, after"), "{text}");
    assert!(text.contains("\nanswered  503\n"), "{text}");
    let text = told(admin, &refused);
    assert!(text.contains("filter    guard (circuit_breaker): answered") && text.contains("circuit   open"), "{text}");
    assert!(text.contains("answered  503 circuit_open:") && !text.contains("attempt"), "{text}");
    assert!(told(admin, &unread).contains("answered  400 "));
    assert!(told(admin, &nowhere).contains("answered  404 no_route"));
}

#[test]
fn what_is_not_known_is_answered_with_how_far_back_one_can_ask() {
    let origin = failing();
    let gateway = Gateway::start(&configuration(origin.address));
    let admin = gateway.running.admin().unwrap();
    let good = asked(gateway.address, "/all/x", "");
    assert_eq!(good.status, 200);

    let (words, code) = why(admin, &[good.header("x-request-id").unwrap()]);
    assert_eq!(code, Some(1));
    assert!(
        words.contains("answered in part of late: all 0 refusals since the gateway began are kept, all 0 failures since the gateway began are kept, all 0 answers in part"),
        "{words}"
    );

    // More refusals than are kept, by an identifier each; a failure before them is not driven out.
    let failure = asked(gateway.address, "/all/bad", "X-Request-Id: first-failure\r\n");
    assert_eq!(failure.status, 503);
    let mut client = crate::harness::raw(gateway.address);
    for number in 0..1030 {
        client.write_all(format!("GET /nowhere HTTP/1.1\r\nHost: a\r\nX-Request-Id: n-{number}\r\n\r\n").as_bytes()).unwrap();
        assert_eq!(crate::harness::client::read_reply(&mut client, false).unwrap().status, 404);
    }
    until("the last one to be known", || why(admin, &["n-1029"]).1 == Some(0));
    assert_eq!(why(admin, &["first-failure"]).1, Some(0));
    assert_eq!(why(admin, &["n-6"]).1, Some(0));
    let (words, code) = why(admin, &["n-5"]);
    assert!(code == Some(1) && words.contains("the last 1024 refusals, since 20") && words.contains("Z, are kept"), "{words}");
    let (_, code) = why("127.0.0.1:1".parse().unwrap(), &["n-5"]);
    assert_eq!(code, Some(69));
}

/// The members of an answer's `X-Frontgate-Explain`, each as its name and its parameters. RFC 9110's grammar of tokens and quoted strings.
fn members(value: &str) -> Vec<(String, Vec<(String, String)>)> {
    let is_token =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
    let (mut members, mut letters) = (Vec::new(), value.chars().peekable());
    loop {
        let mut name = String::new();
        while let Some(c) = letters.next_if(|c| !matches!(c, ';' | ',')) {
            name.push(c);
        }
        assert!(is_token(name.trim()), "{name:?} in {value}");
        let mut parameters = Vec::new();
        while letters.next_if_eq(&';').is_some() {
            let (mut key, mut text) = (String::new(), String::new());
            while let Some(c) = letters.next_if(|c| *c != '=') {
                key.push(c);
            }
            letters.next();
            if letters.next_if_eq(&'"').is_some() {
                loop {
                    match letters.next().unwrap() {
                        '"' => break,
                        '\\' => text.push(letters.next().unwrap()),
                        c => text.push(c),
                    }
                }
            } else {
                while let Some(c) = letters.next_if(|c| !matches!(c, ';' | ',')) {
                    text.push(c);
                }
                assert!(is_token(&text), "{text:?} in {value}");
            }
            assert!(is_token(&key), "{key:?} in {value}");
            parameters.push((key, text));
        }
        members.push((name.trim().to_owned(), parameters));
        match letters.next() {
            None => return members,
            Some(c) => assert_eq!(c, ',', "{value}"),
        }
    }
}

fn parameter<'m>(member: &'m (String, Vec<(String, String)>), name: &str) -> Option<&'m str> {
    member.1.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

#[test]
fn a_trusted_proxy_that_asks_is_told_what_was_decided_about_its_request() {
    let origin = failing();
    let gateway = Gateway::start(&configuration(origin.address));
    let ask = "X-Frontgate-Explain: 1\r\nX-Api-Key: s3cr3t\r\n";

    let good = asked(gateway.address, "/limited/a", ask);
    let limited = asked(gateway.address, "/limited/a", ask);
    let gone = asked(gateway.address, "/gone/a", ask);
    let nowhere = asked(gateway.address, "/nowhere", ask);
    let unasked = asked(gateway.address, "/limited/a", "X-Frontgate-Explain: 0\r\n");

    let told = |reply: &Reply| members(reply.header("x-frontgate-explain").unwrap_or_else(|| panic!("{}", reply.head)));
    let members = told(&good);
    let names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["route", "filter", "filter", "filter", "attempt"]);
    assert_eq!(parameter(&members[0], "desc"), Some("limited"));
    assert!(members[1..].iter().all(|member| parameter(member, "dur").unwrap().parse::<f64>().is_ok()), "{members:?}");
    assert_eq!(parameter(&members[4], "desc"), Some(&*origin.address.to_string()));
    assert_eq!((parameter(&members[4], "upstream"), parameter(&members[4], "status")), (Some("main"), Some("200")));
    let members = told(&limited);
    assert_eq!((limited.status, parameter(&members[2], "did")), (429, Some("would_answer")));
    assert_eq!((parameter(&members[3], "did"), parameter(&members[3], "status")), (Some("answered"), Some("429")));
    assert_eq!(parameter(&members[4], "desc"), Some("rate_limited"));
    let members = told(&gone);
    let causes: Vec<_> = members.iter().filter(|(name, _)| name == "attempt").map(|member| parameter(member, "cause")).collect();
    assert!(causes.len() == 2 && causes.iter().all(|cause| cause.unwrap().contains("refused")), "{members:?}");
    assert_eq!(parameter(&told(&nowhere)[0], "desc"), Some("_none"));
    assert_eq!(unasked.header("x-frontgate-explain"), None);
    assert!(!format!("{}{}", good.head, limited.head).contains("s3cr3t"));
    assert!(origin.received().iter().all(|request| request.header("x-frontgate-explain").is_empty()), "no upstream is sent it");
}

#[test]
fn who_is_no_trusted_proxy_is_told_nothing_and_the_upstream_never_hears_that_he_asked() {
    let origin = failing();
    let gateway = Gateway::start(&configuration(origin.address).replace(", trusted_proxies: [127.0.0.1]", ""));

    for name in ["X-Frontgate-Explain", "x_frontgate_explain", "X-FRONTGATE_EXPLAIN"] {
        let reply = asked(gateway.address, "/all/a", &format!("{name}: 1\r\n"));
        assert_eq!((reply.status, reply.header("x-frontgate-explain")), (200, None));
    }

    for request in origin.received() {
        assert!(!request.head.to_ascii_lowercase().replace('_', "-").contains("frontgate-explain"), "{}", request.head);
    }
    assert_eq!(operate(gateway.running.admin().unwrap(), "GET", "/livez").status, 200);
}

#[test]
fn what_an_upstream_says_of_decisions_is_never_taken_for_the_gateway_s() {
    let origin = Origin::start(|request, stream| {
        let head = "X-Frontgate-Explain: forged\r\nx-frontgate-EXPLAIN: forged again\r\n";
        let answer = match request.line().split(' ').nth(1).unwrap() {
            "/all/interim" => format!("HTTP/1.1 103 Early Hints\r\n{head}Link: </a>\r\n\r\n{}", response("200 OK", head, "{}")),
            "/all/trailers" => {
                let head = "Trailer: X-Frontgate-Explain, X-Kept\r\nTransfer-Encoding: chunked\r\n";
                format!("HTTP/1.1 200 OK\r\n{head}\r\n2\r\n{{}}\r\n0\r\nX-Frontgate-Explain: forged\r\nX-Kept: 1\r\n\r\n")
            }
            _ => response("503 Service Unavailable", head, "{}"),
        };
        stream.write_all(answer.as_bytes()).is_ok()
    });
    let gateway = Gateway::start(&configuration(origin.address));
    let wire = |path: &str, headers: &str| {
        let mut client = crate::harness::raw(gateway.address);
        let head = format!("GET {path} HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n{headers}Connection: close, TE\r\n\r\n");
        client.write_all(head.as_bytes()).unwrap();
        let mut all = Vec::new();
        client.read_to_end(&mut all).unwrap();
        String::from_utf8(all).unwrap().to_ascii_lowercase()
    };

    for path in ["/all/interim", "/all/trailers", "/all/bad", "/guarded/bad"] {
        let unasked = wire(path, "");
        assert!(unasked.contains("{}") && !unasked.contains("forged") && !unasked.contains("x-frontgate-explain:"), "{unasked}");
        let asked = wire(path, "X-Frontgate-Explain: 1\r\n");
        assert!(!asked.contains("forged") && asked.matches("x-frontgate-explain: route;").count() == 1, "{asked}");
    }
    assert!(wire("/all/interim", "").contains("103 early hints") && wire("/all/trailers", "").contains("x-kept: 1"));
}

#[test]
fn an_upstream_s_calls_and_answers_in_http2_bring_none_either() {
    let origin = Http2Origin::start(|mut asked| async move {
        asked.read().await;
        let mut stream = asked.head(200, &[("content-type", "application/grpc"), ("x-frontgate-explain", "forged")], false);
        let trailers = [("grpc-status", "0"), ("x-frontgate-explain", "forged"), ("x-kept", "1")];
        let trailers = trailers.map(|(name, value)| (http::HeaderName::from_static(name), http::HeaderValue::from_static(value)));
        let _ = stream.send_trailers(http::HeaderMap::from_iter(trailers));
    });
    let gateway = Gateway::start(&yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0, protocols: [h2, http1]}]}
        upstreams: {main: {endpoints: [$ORIGIN], protocol: h2}}
        routes: [{name: all, path: /**, upstream: main, filters: [{grpc_web: {}}]}]
        ",
        &[("$ORIGIN", &origin.address)],
    ));

    let told = over_http2(gateway.address, async |mut client| unary(&mut client, "/a.B/c", &[]).await.unwrap());
    assert_eq!((told.grpc_status(), told.says("x-kept"), told.says("x-frontgate-explain")), (Some(0), Some("1"), None));
    let web = "POST /a.B/c HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc-web\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let web = exchange(gateway.address, web.as_bytes()).unwrap();
    let said = format!("{}{}", web.head, String::from_utf8_lossy(&web.body)).to_ascii_lowercase();
    assert!(said.contains("x-kept") && !said.contains("forged"), "{said}");
}

#[test]
fn who_asks_twice_is_told_nothing() {
    let origin = failing();
    let gateway = Gateway::start(&configuration(origin.address));

    for asked_for in ["X-Frontgate-Explain: 1\r\nX-Frontgate-Explain: 0\r\n", "X-Frontgate-Explain: 1\r\nX-Frontgate-Explain: 1\r\n"] {
        let reply = asked(gateway.address, "/all/a", asked_for);
        assert_eq!(reply.header("x-frontgate-explain"), None, "{}", reply.head);
        reply.is_problem(400);
    }
    assert!(origin.received().is_empty());
}
