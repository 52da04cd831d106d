//! What operators see of pages that fail, or lack something: in the log, by `frontgate why`, in `status`, and in the metrics.

use std::net::TcpStream;
use std::process::Command;

use serde_json::{Value, json};

use super::mock::{self, ask, target};
use super::rules::Scene;
use crate::harness::origin::Request;
use crate::harness::{Log, Reply, until};

/// Answers with the status that is the path's last segment, or with what was asked for.
fn by_path(request: &Request, stream: &mut TcpStream) -> bool {
    let asked = target(request);
    match asked.path.rsplit('/').next().unwrap_or_default().parse() {
        Ok(status) => mock::answer(stream, status, &json!({})),
        Err(_) => mock::answer(stream, 200, &json!({"at": asked.path, "user": {"name": "Ada"}, "items": [{"id": 1}, {"id": 2}]})),
    }
}

/// With these sections beside its routes, and a log.
fn scene(name: &str, more: &str, routes: &str) -> (Scene, Log) {
    let log = Log::new(name);
    let more = log.of(&format!("{more}\ntelemetry: {{access_log: \"off\"}}\n"));
    (Scene::start(name, more.trim_matches('\n'), routes, by_path), log)
}

/// The line of the request that was answered so, once it is there.
fn line(log: &Log, reply: &Reply) -> Value {
    let id = reply.header("x-request-id").expect("an identifier").to_owned();
    let mut found = Value::Null;
    until("the line of a request", || {
        found = log.lines().into_iter().find(|line| line["request_id"] == *id).unwrap_or_default();
        found.is_object()
    });
    found
}

fn command(scene: &Scene, words: &[&str]) -> (String, bool) {
    let admin = scene.process.admin.to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_frontgate")).args(words).args(["--admin", &admin]).current_dir("/").output().unwrap();
    (String::from_utf8([output.stdout, output.stderr].concat()).unwrap(), output.status.success())
}

/// What `frontgate why` tells of the request that was answered so, once it is known.
fn why(scene: &Scene, reply: &Reply) -> String {
    let id = reply.header("x-request-id").expect("an identifier").to_owned();
    let mut told = String::new();
    until("the request to be known", || {
        let (text, known) = command(scene, &["why", &id]);
        told = text;
        known
    });
    told
}

#[test]
fn a_page_that_failed_names_the_call_with_its_cause_in_the_log_and_to_who_asks_why() {
    let routes = "
- {name: status, path: /status, aggregate: {calls: {good: {upstream: a, get: /good}, bad: {upstream: b, get: /x/503}, after: {upstream: b, get: '/{bad.x}'}}}}
- {name: dead, path: /dead, aggregate: {calls: {good: {upstream: a, get: /good}, bad: {upstream: dead, get: /x}}}}
- {name: value, path: /value, aggregate: {calls: {user: {upstream: a, get: /user}, bad: {upstream: b, get: '/carts/{user.user.cart_id}/{user.user.name}'}}}}
- {name: body, path: /body, aggregate: {calls: {good: {upstream: a, get: /good}, bad: {upstream: b, get: '/users/{body.person.id}'}}}}
- {name: text, path: /text, aggregate: {calls: {good: {upstream: a, get: /good}, bad: {upstream: b, post: /x, body: {of: 'the {header.X-Own}'}}}}}
- {name: needed, path: /needed, aggregate: {calls: {soft: {upstream: a, get: /x/500, optional: true}, bad: {upstream: b, get: '/{soft.at}'}}}}
- {name: slow, path: /slow, timeout: 30s, aggregate: {calls: {good: {upstream: a, get: /good}, bad: {upstream: silent, get: /x, timeout: 200ms}}}}
- {name: open, path: /open, filters: [guard], aggregate: {calls: {good: {upstream: a, get: /good}, bad: {upstream: dead, get: /x}}}}
- {name: many, path: /many, aggregate: {calls: {list: {upstream: a, get: /list}, bad: {upstream: b, get: '/{each}', each: list.items.id, most: 1}}}}
";
    // Somebody who takes connections, and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let more = "filters: {guard: {circuit_breaker: {consecutive: 1, open_for: 600s, max_open_for: 600s}}}";
    let more = format!("# One more upstream.\n  silent: {{endpoints: [\"{}\"]}}\n{more}", silent.local_addr().unwrap());
    let (scene, log) = scene("seen-failed", &more, routes);
    let open = |scene: &Scene| scene.metric("frontgate_circuit_state{filter=\"guard\",upstream=\"dead\"}") == 2.0;
    until("the circuit to open", || {
        scene.get("/open");
        open(&scene)
    });

    for (path, status, cause, flags) in [
        ("/status", 502, "bad (status 503)", None),
        ("/dead", 502, "bad (connect)", Some("UF")),
        ("/value", 502, "bad (value_missing: user.user.cart_id)", None),
        ("/body", 502, "bad (value_missing: body.person.id)", None),
        ("/text", 502, "bad (value_missing: header.x-own)", None),
        ("/needed", 502, "bad (value_missing: soft), soft (status 500)", None),
        ("/slow", 504, "bad (timeout)", Some("UT")),
        ("/open", 503, "bad (circuit_open)", Some("UO")),
        ("/many", 502, "bad (more than 1 values)", None),
    ] {
        let reply = ask(scene.process.address, "POST", path, &[("Content-Type", "application/json")], Some("{}"));

        reply.is_problem(status);
        assert_eq!(reply.json()["call"], "bad", "{path}");
        let line = line(&log, &reply);
        assert_eq!((line["missing"].as_str().map(str::to_lowercase).as_deref(), line["flags"].as_str()), (Some(cause), flags), "{line}");
        let told = why(&scene, &reply).to_lowercase();
        assert!(told.contains(&format!("missing   {cause}\n")), "{path}: {told}");
    }
    // What the client is told says what kind of failure it is, and names nobody.
    let detail = |path: &str| {
        let reply = ask(scene.process.address, "POST", path, &[], Some("{}"));
        reply.json()["detail"].as_str().unwrap_or_default().to_owned()
    };
    assert!(detail("/open").contains("is not asked now"), "{}", detail("/open"));
    assert!(detail("/body").contains("A value is missing"), "{}", detail("/body"));
    assert!(detail("/dead").contains("has failed"), "{}", detail("/dead"));
    assert_eq!(scene.metric("frontgate_incomplete_total{route=\"needed\"}"), 0.0, "what failed is no answer that lacks something");
}

#[test]
fn a_page_that_lacks_something_is_known_to_who_asks_why_and_many_of_them_degrade_the_status() {
    let routes = "
- {name: page, path: /page, aggregate: {calls: {good: {upstream: a, get: /good}, reviews: {upstream: b, get: /reviews/503, optional: true}}}}
- {name: whole, path: /whole, aggregate: {calls: {good: {upstream: a, get: /good}}}}
";
    let (scene, log) = scene("seen-part", "", routes);
    assert!(command(&scene, &["status"]).0.contains("ok"), "{}", command(&scene, &["status"]).0);

    let pages: Vec<Reply> = (0..12).map(|_| scene.get("/page")).collect();
    let whole = scene.get("/whole");

    let told = why(&scene, &pages[3]);
    assert!(told.contains("answered  200\n") && told.contains("missing   reviews (status 503)\n"), "{told}");
    assert!(told.contains("call      reviews at b") && told.contains("503 status_5xx"), "{told}");
    assert_eq!(line(&log, &pages[3])["missing"], "reviews (status 503)");
    assert_eq!(line(&log, &whole)["missing"], Value::Null);
    let (unknown, known) = command(&scene, &["why", whole.header("x-request-id").unwrap()]);
    assert!(!known && unknown.contains("all 12 answers in part since the gateway began are kept"), "{unknown}");
    let (status, _) = command(&scene, &["status"]);
    assert!(status.contains("100 % of the answers on route `page` lacked a part in the last minute (12 of 12)"), "{status}");
    assert!(status.contains("degraded") && !status.contains("route `whole`"), "{status}");
}

#[test]
fn a_fallback_that_answered_is_counted_and_logged_and_one_that_did_not_is_not() {
    let more = "
filters:
  spared: {circuit_breaker: {consecutive: 100, fallback: [{upstream: dead}, {respond: {json: {from: respond}}}]}}
  other: {circuit_breaker: {consecutive: 100, fallback: [{upstream: a}]}}
";
    let routes = "
- {name: composed, path: /composed, filters: [spared], aggregate: {calls: {x: {upstream: b, get: /x/503}}}}
- {name: plain, path: /plain/503, filters: [spared], upstream: b}
- {name: other, path: /other, filters: [other], aggregate: {calls: {x: {upstream: dead, get: /x}}}}
- {name: none, path: /none, filters: [other], aggregate: {calls: {x: {upstream: b, get: /x}}}}
";
    let (scene, log) = scene("seen-fallback", more, routes);
    let count = |filter: &str, kind: &str| scene.metric(&format!("frontgate_fallback_total{{filter=\"{filter}\",kind=\"{kind}\"}}"));

    for _ in 0..4 {
        assert_eq!(scene.get("/composed").json(), json!({"x": {"from": "respond"}}));
        assert_eq!(scene.get("/plain/503").json(), json!({"from": "respond"}));
    }
    let (other, none) = (scene.get("/other"), scene.get("/none"));

    assert_eq!((count("spared", "upstream"), count("spared", "respond")), (0.0, 8.0));
    assert_eq!((other.json()["x"]["at"].as_str(), count("other", "upstream")), (Some("/x"), 1.0));
    assert_eq!(line(&log, &other)["reason"], "fallback_upstream");
    assert_eq!(line(&log, &scene.get("/composed"))["reason"], "fallback_respond");
    assert_eq!((line(&log, &none)["reason"].as_str(), none.status), (Some("aggregate"), 200));
}

#[test]
fn explain_says_that_a_call_for_values_fails_nothing_and_what_answers_where_a_circuit_is_open() {
    let more = "
filters:
  guard: {circuit_breaker: {consecutive: 1, open_for: 600s, max_open_for: 600s, fallback: [{cached: {max_age: 1h}}, {upstream: b}, {respond: {json: {}}}]}}
";
    let routes = "
- name: page
  path: /page
  filters: [guard]
  aggregate:
    calls:
      list: {upstream: a, get: /list}
      goods: {upstream: b, get: '/goods?ids={each}', each: list.items.id, batch: 9, by: id, into: list.items.goods}
      soft: {upstream: b, get: '/{each}', each: list.items.id, optional: true}
      down: {upstream: dead, get: /x}
      sent: {upstream: dead, post: /x, body: {}}
";
    let (scene, _log) = scene("seen-explain", more, routes);
    scene.get("/page");
    until("the circuit to open", || scene.metric("frontgate_circuit_state{filter=\"guard\",upstream=\"dead\"}") == 2.0);

    let (told, _) = command(&scene, &["explain", "--live", "GET", "/page"]);

    let of = |call: &str| told.lines().find(|line| line.contains(&format!(" {call} "))).unwrap_or_else(|| panic!("{told}")).to_owned();
    assert!(of("list").contains("required") && !of("list").contains("in its place"), "{told}");
    assert!(of("goods").contains("what fails is left out") && !of("goods").contains("required"), "{told}");
    assert!(of("soft").contains("optional"), "{told}");
    assert!(of("down").contains("circuit guard open (in its place: what is cached, else upstream b, else respond)"), "{told}");
    assert!(of("sent").contains("circuit guard open") && !of("sent").contains("in its place"), "{told}");
    assert!(told.contains("each is guarded by the circuit of its upstream"), "{told}");
}

#[test]
fn who_asks_a_gateway_without_an_admin_address_is_told_that_the_configuration_has_none() {
    let folder = std::env::temp_dir().join(format!("frontgate-no-admin-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("frontgate.yaml"), "version: 1\nserver: {listeners: [{address: 127.0.0.1:8080}]}\n").unwrap();
    std::fs::write(folder.join("broken.yaml"), "version: 1\nserver: {admin: [\n").unwrap();
    let status = |file: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_frontgate"));
        let output = command.args(["status", "-c", file]).env_remove("FRONTGATE_ADMIN").current_dir(&folder).output().unwrap();
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };

    let (none, broken) = (status("frontgate.yaml"), status("broken.yaml"));

    assert!(none.contains("since the configuration here has no `server.admin`"), "{none}");
    assert!(broken.contains("since no `server.admin` could be read"), "{broken}");
    let _ = std::fs::remove_dir_all(folder);
}
