use std::io::Write;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use serde_json::{Value, json};

use crate::harness::origin::response;
use crate::harness::{Gateway, Origin, exchange, get, operate, until, yaml};

/// A gateway that is asked what it would do.
struct Live {
    gateway: Gateway,
    admin: SocketAddr,
}

impl Live {
    fn start(text: &str) -> Self {
        let gateway = Gateway::start(text);
        let admin = gateway.running.admin().unwrap();
        Self { gateway, admin }
    }

    /// What `frontgate explain --live` says, and whether it was good.
    fn explain(&self, words: &[&str]) -> (String, Option<i32>) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_frontgate"));
        command.args(["explain", "--live", "--admin", &self.admin.to_string()]).args(words).current_dir("/");
        let output = command.output().unwrap();
        (String::from_utf8([output.stdout, output.stderr].concat()).unwrap(), output.status.code())
    }

    /// The same, which has to be good.
    #[track_caller]
    fn told(&self, words: &[&str]) -> String {
        let (text, code) = self.explain(words);
        assert_eq!(code, Some(0), "{text}");
        text
    }

    /// Sends a body to `/-/explain`.
    fn post(&self, body: &str) -> crate::harness::Reply {
        let head = format!(
            "POST /-/explain HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.admin,
            body.len()
        );
        exchange(self.admin, head.as_bytes()).unwrap()
    }

    /// All that is counted of decisions.
    fn counts(&self) -> Vec<String> {
        let page = self.gateway.running.scrape();
        let counted = |line: &&str| {
            ["decisions_total", "transitions", "fallback", "trim_", "canary", "circuit_state", "requests_total", "attempts"]
                .iter()
                .any(|name| line.contains(name) && line.starts_with("frontgate_"))
        };
        page.lines().filter(counted).map(str::to_owned).collect()
    }
}

fn send(address: SocketAddr, path: &str, key: &str) -> u16 {
    exchange(address, format!("GET {path} HTTP/1.1\r\nHost: a\r\nX-Api-Key: {key}\r\nConnection: close\r\n\r\n").as_bytes()).unwrap().status
}

#[test]
fn what_a_limit_has_left_is_told_and_nothing_of_it_taken() {
    let origin = Origin::json("{}");
    let live = Live::start(&yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0}], admin: 127.0.0.1:0}
        upstreams: {main: {endpoints: [$ORIGIN]}}
        filters:
          per_key: {rate_limit: {key: header.X-Api-Key, rate: 1/h, burst: 3}}
          per_client: {rate_limit: {key: client_ip, rate: 100/s, burst: 200, concurrency: 5}}
          office: {ip_access: {deny: [192.0.2.0/24]}}
          slim: {trim: {by: query.lang, profiles: {en: {drop: [a]}}}}
        routes: [{name: all, path: /**, upstream: main, filters: [office, per_client, per_key, slim]}]
        ",
        &[("$ORIGIN", &origin.address)],
    ));
    let address = live.gateway.address;
    assert_eq!(send(address, "/", "k-1"), 200);
    until("the request to be counted", || live.counts().iter().any(|line| line.starts_with("frontgate_requests_total{")));
    let before = live.counts();

    for _ in 0..5 {
        let told = live.told(&["GET", "/x?lang=en", "-H", "Host: a", "-H", "X-Api-Key: k-1"]);
        assert!(told.contains("by header.x-api-key=k-1; 2 of 3 are left"), "{told}");
        assert!(told.contains("requests of this key are on their way") && told.contains(" of 200 are left\n"), "{told}");
        assert!(told.contains("filter    per_key (rate_limit): goes on, in ") && told.contains(" µs\n"), "{told}");
    }
    let denied = live.told(&["GET", "/x", "-H", "Host: a", "--from", "192.0.2.7"]);
    assert!(denied.contains("filter    office (ip_access): answers 403"), "{denied}");

    assert_eq!(live.counts(), before);
    assert_eq!((0..3).map(|_| send(address, "/", "k-1")).collect::<Vec<_>>(), [200, 200, 429]);
    let told = live.told(&["GET", "/x", "-H", "Host: a", "-H", "X-Api-Key: k-1"]);
    assert!(told.contains("over the limit: 1/h with a burst of 3") && told.contains("; 0 of 3 are left, the next one in 3"), "{told}");
    assert!(told.contains("answers   429 Too Many Requests: the filter `per_key` answers"), "{told}");
    let refused = operate(live.admin, "GET", "/-/limits").json();
    assert_eq!(refused["keys"][0]["refused"], 1, "only the request that was refused is noted");
}

#[test]
fn an_open_circuit_says_since_when_and_a_half_open_one_keeps_its_probes() {
    let status = Arc::new(AtomicU16::new(503));
    let said = status.clone();
    let origin = Origin::start(move |_, stream| {
        let line = if said.load(Ordering::SeqCst) == 200 { "200 OK" } else { "503 Service Unavailable" };
        stream.write_all(response(line, "", "{}").as_bytes()).is_ok()
    });
    let live = Live::start(&yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0}], admin: 127.0.0.1:0}
        upstreams: {main: {endpoints: [$ORIGIN]}}
        filters:
          guard: {circuit_breaker: {consecutive: 2, open_for: 1s, max_open_for: 1s, half_open: {max_concurrent: 1, successes: 1}}}
        routes: [{name: all, path: /**, upstream: main, filters: [guard]}]
        ",
        &[("$ORIGIN", &origin.address)],
    ));
    let address = live.gateway.address;
    let closed = live.told(&["GET", "/", "-H", "Host: a"]);
    assert!(closed.contains("the circuit of `main` is closed, with 0 failures among 0 requests lately; it opens at"), "{closed}");
    assert!(operate(live.admin, "GET", "/healthz?full=1").json()["circuits"].as_array().unwrap().is_empty(), "nobody has asked for it");
    assert_eq!([get(address, "/").status, get(address, "/").status], [503, 503]);

    // It may be half-open already where the machine is busy: then it is opened again.
    let mut told = String::new();
    until("the open circuit", || {
        told = live.told(&["GET", "/", "-H", "Host: a"]);
        told.contains("is open") || get(address, "/").status == 0
    });
    assert!(told.contains("the circuit of `main` is open since 0.") || told.contains("the circuit of `main` is open since 1."), "{told}");
    let left = [" s for 0.", " s for 1.0 s"].iter().any(|left| told.contains(left));
    assert!(left && told.contains(" s more: no fallback serves"), "{told}");
    assert!(told.contains("answers   503 Service Unavailable: the filter `guard` answers"), "{told}");

    until("the time to probe", || live.told(&["GET", "/", "-H", "Host: a"]).contains("is half_open, with 0 probes under way"));
    status.store(200, Ordering::SeqCst);
    let asked = origin.received().len();
    for _ in 0..5 {
        assert!(live.told(&["GET", "/", "-H", "Host: a"]).contains("is half_open, with 0 probes under way"));
    }
    assert_eq!(origin.received().len(), asked, "to explain asks nobody");
    let circuits = operate(live.admin, "GET", "/healthz?full=1").json()["circuits"].clone();
    assert_eq!(circuits[0]["state"], "open", "nothing has changed: {circuits}");
    assert_eq!(get(address, "/").status, 200, "the probe is there for who asks");
    let told = live.told(&["GET", "/", "-H", "Host: a"]);
    assert!(told.contains("the circuit of `main` is closed since "), "{told}");
}

#[test]
fn the_endpoint_whose_turn_it_is_and_those_that_take_none_are_told_and_no_turn_is_taken() {
    let origins: Vec<Origin> = (0..3).map(|_| Origin::json("{}")).collect();
    let live = Live::start(&yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0}], admin: 127.0.0.1:0}
        upstreams:
          main: {endpoints: [$A, $B, $C]}
          hashed: {endpoints: [$A, $B, $C], balance: {consistent_hash: header.X-Api-Key}}
        routes:
          - {name: hashed, path: /hashed/**, upstream: hashed}
          - {name: all, path: /**, upstream: main}
        ",
        &[("$A", &origins[0].address), ("$B", &origins[1].address), ("$C", &origins[2].address)],
    ));
    let drained = origins[0].address;
    assert_eq!(operate(live.admin, "POST", &format!("/-/upstreams/drain?upstream=main&endpoint={drained}&for=1h")).status, 200);
    let next = |told: &str| -> SocketAddr {
        told.lines().find_map(|line| line.strip_prefix("endpoint  ")).unwrap().split([',', ' ']).next().unwrap().parse().unwrap()
    };
    let count = |address: SocketAddr| origins.iter().find(|origin| origin.address == address).unwrap().received().len();

    for _ in 0..4 {
        let first = live.told(&["GET", "/", "-H", "Host: a"]);
        let again = live.told(&["GET", "/", "-H", "Host: a"]);
        let (turn, before) = (next(&first), count(next(&first)));
        assert_eq!(next(&again), turn, "no turn is taken: {again}");
        assert!(first.contains(", whose turn it is") && turn != drained, "{first}");
        assert!(first.contains(&format!("  known   {drained} is drained for 3")), "{first}");
        assert_eq!(get(live.gateway.address, "/").status, 200);
        assert_eq!(count(turn), before + 1, "it is asked indeed");
    }
    let told = live.told(&["GET", "/hashed/x", "-H", "Host: a", "-H", "X-Api-Key: k-9"]);
    let (leads, before) = (next(&told), count(next(&told)));
    assert!(told.contains(", where its hash leads"), "{told}");
    assert_eq!(send(live.gateway.address, "/hashed/x", "k-9"), 200);
    assert_eq!(count(leads), before + 1);
}

#[test]
fn a_write_that_is_only_explained_is_none() {
    let (replica, primary) = (Origin::json("{}"), Origin::json("{}"));
    let live = Live::start(&yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0}], admin: 127.0.0.1:0}
        upstreams: {replica: {endpoints: [$A]}, primary: {endpoints: [$B]}}
        routes: [{name: all, path: /**, upstream: {read: replica, write: primary, after_write: {for: 1h, by: header.X-Api-Key}}}]
        ",
        &[("$A", &replica.address), ("$B", &primary.address)],
    ));

    let told = live.told(&["POST", "/", "-H", "Host: a", "-H", "X-Api-Key: k-1"]);
    assert!(told.contains("chooses   `primary`: it is a write"), "{told}");
    assert_eq!(send(live.gateway.address, "/", "k-1"), 200);

    assert_eq!((replica.received().len(), primary.received().len()), (1, 0), "whoever has written nothing reads where reads go");
}

#[test]
fn programs_ask_over_the_admin_address_and_hear_what_is_wrong_with_what_they_ask() {
    let origin = Origin::json("{}");
    let live = Live::start(&yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0}], admin: 127.0.0.1:0}
        upstreams: {main: {endpoints: [$ORIGIN]}}
        filters:
          login: {jwt: {issuer: any, audience: any, algorithms: [HS256], keys: {secret: {env: PATH}}}}
          admins: {rbac: {claim: roles, any_of: [admin]}}
        routes: [{name: all, path: /**, upstream: main, filters: [login, admins]}]
        ",
        &[("$ORIGIN", &origin.address)],
    ));
    let question = json!({"method": "GET", "url": "http://shop.example/a", "claims": {"roles": ["user"]}, "client_ip": "192.0.2.1"});

    let told: Value = live.post(&question.to_string()).json();

    assert_eq!((&told["live"], &told["client"], &told["route"]["name"]), (&json!(true), &json!("192.0.2.1"), &json!("all")));
    let filters = told["filters"].as_array().unwrap();
    assert_eq!((&filters[1]["name"], &filters[1]["replies"]), (&json!("admins"), &json!(403)));
    assert!(filters.iter().all(|filter| filter["took_us"].is_u64()), "{filters:?}");
    let good = live.post(&question.to_string().replace("user", "admin")).json();
    assert!(good["outcome"]["serving"]["next"].as_str().unwrap().contains("whose turn it is"), "{good}");
    for (body, words) in [
        ("", "cannot be read"),
        ("{\"url\": \"/\", \"metod\": \"GET\"}", "unknown field `metod`"),
        ("{\"url\": \"nowhere\"}", "neither an http URL nor a path"),
        ("{\"url\": \"/\", \"headers\": [\"x\"]}", "is not a header"),
        ("{\"url\": \"/\", \"claims\": [1]}", "not a JSON object"),
    ] {
        let reply = live.post(body);
        assert_eq!((reply.status, reply.header("content-type")), (400, Some("application/problem+json")), "{body}");
        assert!(reply.json()["detail"].as_str().unwrap().contains(words), "{}", reply.text());
    }
    assert_eq!(live.post(&format!("{{\"url\": \"/{}\"}}", "x".repeat(300 << 10))).status, 413);
    assert_eq!(operate(live.admin, "GET", "/-/explain").status, 405);
}

#[test]
fn the_command_says_when_nobody_answers_or_nobody_was_to_be_asked() {
    let run = |words: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_frontgate")).arg("explain").args(words).current_dir("/").output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };

    let (code, words) = run(&["--live", "--admin", "127.0.0.1:1", "GET", "/"]);
    assert!(code == Some(69) && words.contains("nothing answers on 127.0.0.1:1"), "{words}");
    let (code, words) = run(&["--admin", "127.0.0.1:1", "GET", "/"]);
    assert!(code == Some(2) && words.contains("`--live`"), "{words}");
}

#[test]
fn what_is_too_large_to_be_a_request_is_answered_soon_and_shortly() {
    let origin = Origin::json("{}");
    let live = Live::start(&yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0}], admin: 127.0.0.1:0}
        upstreams: {main: {endpoints: [$ORIGIN]}}
        routes: [{name: all, path: /**, upstream: main}]
        ",
        &[("$ORIGIN", &origin.address)],
    ));
    let many: Vec<String> = (0..25_000).map(|number| format!("{number:x}:")).collect();
    let long = "a/../".repeat(50_000);

    let many = live.post(&json!({"url": "/a", "headers": many}).to_string());
    assert_eq!((many.status, &many.json()["outcome"]["status"]), (200, &431.into()), "{}", many.text());
    for refused in [
        json!({"url": format!("/{long}")}),
        json!({"url": format!("nowhere{long}")}),
        json!({"url": "/a", "headers": [format!("no header {long}")]}),
        json!({"url": "/a", "method": format!("G T{long}")}),
        json!({"url": "https://a/", "client_cert": long}),
    ] {
        let reply = live.post(&refused.to_string());
        reply.is_problem(400);
        assert!(reply.body.len() < 1024, "{}", reply.body.len());
    }
    let chunked = |body: &str| {
        let head = format!("POST /-/explain HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n", live.admin);
        exchange(live.admin, (head + body).as_bytes()).unwrap()
    };
    assert_eq!(chunked("b\r\n{\"url\":\"/\"}\r\n0\r\n\r\n").status, 200);
    chunked("b\n{\"url\":\"/\"}\n0\n\n").is_problem(400);
    for header in ["X: a\r\nY: b", "X: a\0", ": a", "a b: c"] {
        live.post(&json!({"url": "/a", "headers": [header]}).to_string()).is_problem(400);
    }
    assert_eq!(operate(live.admin, "GET", "/livez").status, 200);
}
