//! What an aggregate promises, rule by rule: whose failure is whose, what is marked, what goes along and what stays behind, what is asked for and how
//! often.

mod asked;
mod failing;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::mock::{self, ask, target};
use super::strict;
use crate::harness::client::raw;
use crate::harness::origin::Request;
use crate::harness::{Gate, Log, Origin, Process, Reply, until, yaml};

/// A gateway before one service that is two upstreams, `a` and `b`, and before one where nobody listens, `dead`.
pub(super) struct Scene {
    pub(super) process: Process,
    pub(super) origin: Origin,
}

impl Scene {
    /// `more` are further sections.
    pub(super) fn start(
        name: &str,
        more: &str,
        routes: &str,
        behave: impl Fn(&Request, &mut TcpStream) -> bool + Send + Sync + 'static,
    ) -> Self {
        let origin = Origin::start(behave);
        let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let text = yaml(
            "
            server:
              listeners: [{address: 127.0.0.1:0}]
              admin: 127.0.0.1:0
            upstreams:
              a: {endpoints: [$ORIGIN], timeouts: {connect: 20s, first_byte: 20s, between_bytes: 20s}}
              b: {endpoints: [$ORIGIN], timeouts: {connect: 20s, first_byte: 20s, between_bytes: 20s}}
              again: {endpoints: [$ORIGIN], retry: {attempts: 2, when: [503], budget: 100%}}
              dead: {endpoints: [$DEAD]}
            $MORE
            routes:
              $ROUTES
            ",
            &[("$ORIGIN", &origin.address), ("$DEAD", &dead), ("$MORE", &more), ("$ROUTES", &routes.trim_matches('\n'))],
        );
        Self { process: Process::start(name, &text), origin }
    }

    pub(super) fn get(&self, path: &str) -> Reply {
        ask(self.process.address, "GET", path, &[], None)
    }

    /// What was asked for, in its order.
    pub(super) fn asked(&self) -> Vec<String> {
        self.origin.received().iter().map(|request| target(request).whole.to_owned()).collect()
    }

    pub(super) fn metric(&self, series: &str) -> f64 {
        let text = self.process.ask("GET", "/metrics").text();
        text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok()).unwrap_or(0.0)
    }
}

/// Answers with the status that is the path's last segment, or with what was asked for.
fn by_path(request: &Request, stream: &mut TcpStream) -> bool {
    let asked = target(request);
    let last = asked.path.rsplit('/').next().unwrap_or_default();
    match last.parse() {
        Ok(200) | Err(_) => mock::answer(stream, 200, &json!({"at": asked.whole})),
        Ok(204) => stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").is_ok(),
        Ok(status) => mock::send(stream, status, "application/json", "Retry-After: 7\r\nX-Own: 1\r\n", br#"{"secret":"of the service"}"#),
    }
}

#[test]
fn members_come_in_the_configuration_s_order_whoever_answers_first() {
    let first = Gate::default();
    let held = first.clone();
    let routes = "- {name: it, path: /it, aggregate: {calls: {z: {upstream: a, get: /late}, a: {upstream: b, get: /early}}}}";
    let scene = Scene::start("order", "", routes, move |request, stream| {
        if target(request).path == "/late" {
            held.pass();
        }
        by_path(request, stream)
    });
    let address = scene.process.address;

    let asking = std::thread::spawn(move || ask(address, "GET", "/it", &[], None));
    // Both are asked at once: the one that is held back keeps nobody.
    until("both calls", || scene.asked().len() == 2);
    first.open();

    assert_eq!(asking.join().unwrap().text(), r#"{"z":{"at":"/late"},"a":{"at":"/early"}}"#);
}

#[test]
fn caches_are_told_the_strictest_of_all_calls_and_nothing_where_one_says_nothing() {
    let routes = "
- name: it
  path: '/it/{one}/{other}'
  aggregate: {calls: {x: {upstream: a, get: '/{one}', back: [Set-Cookie]}, y: {upstream: b, get: '/{other}'}}}
";
    let said = |path: &str| match path {
        "/minute" => "Cache-Control: public, max-age=60\r\n",
        "/second" => "Cache-Control: max-age=1\r\n",
        "/private" => "Cache-Control: private, max-age=30\r\n",
        "/no-store" => "Cache-Control: no-store\r\n",
        "/no-cache" => "Cache-Control: no-cache\r\n",
        "/cookie" => "Set-Cookie: x=1\r\nSet-Cookie: y=2\r\nCache-Control: max-age=60\r\n",
        _ => "",
    };
    let scene = Scene::start("caches", "", routes, move |request, stream| {
        mock::send(stream, 200, "application/json", said(target(request).path), b"1")
    });
    let cached = |path: &str| {
        let reply = scene.get(path);
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        reply
            .header("cache-control")
            .unwrap_or_default()
            .split(',')
            .map(|word| word.trim().to_owned())
            .filter(|word| !word.is_empty())
            .collect::<Vec<_>>()
    };
    let has = |path: &str, word: &str| cached(path).iter().any(|found| found == word);

    assert!(has("/it/minute/second", "max-age=1"), "{:?}", cached("/it/minute/second"));
    assert!(has("/it/second/minute", "max-age=1") && !has("/it/second/minute", "max-age=60"));
    assert!(has("/it/private/minute", "private") && has("/it/private/minute", "max-age=30") && !has("/it/private/minute", "public"));
    assert!(has("/it/minute/no-store", "no-store") && !cached("/it/minute/no-store").iter().any(|word| word.starts_with("max-age=60")));
    assert!(has("/it/no-cache/minute", "no-cache"));
    assert_eq!(cached("/it/minute/nothing"), Vec::<String>::new());
    // Both of one name, and in the order in which they came.
    let reply = scene.get("/it/cookie/minute");
    let cookies: Vec<_> =
        reply.head.lines().filter(|line| line.to_ascii_lowercase().starts_with("set-cookie:")).map(|line| line[11..].trim()).collect();
    assert_eq!(cookies, ["x=1", "y=2"], "{}", reply.head);
    assert!(scene.get("/it/minute/cookie").header("set-cookie").is_none(), "the other call gives none back");
}

#[test]
fn a_head_is_a_get_without_its_body() {
    let scene =
        Scene::start("head", "", "- {name: it, path: /it, methods: [GET, HEAD], aggregate: {calls: {x: {upstream: a, get: /x}}}}", by_path);
    let whole = scene.get("/it");

    let reply = ask(scene.process.address, "HEAD", "/it", &[], None);

    assert_eq!((reply.status, reply.body.len()), (200, 0));
    assert_eq!(reply.header("content-length"), Some(&*whole.body.len().to_string()), "{}", reply.head);
    assert_eq!(scene.origin.last().line(), "GET /x HTTP/1.1");
}

#[test]
fn what_became_of_calls_is_counted_and_logged() {
    let log = Log::new("compose-seen");
    let routes = "
- name: it
  path: /it
  aggregate:
    calls:
      good: {upstream: a, get: /good}
      bad: {upstream: b, get: /500, optional: true}
      refused: {upstream: b, get: /404, optional: true}
      dead: {upstream: dead, get: /x, optional: true}
      text: {upstream: b, get: '/{good.nothing}', optional: true}
      unmet: {upstream: b, get: /unmet, when: {good.at: never}}
- {name: alone, path: /alone, upstream: a}
";
    let origin = Origin::start(by_path);
    let scene = Scene::start("seen", &format!("telemetry: {{access_log: {{to: {{file: \"{}\"}}}}}}", log_path(&log)), routes, by_path);
    drop(origin);

    let reply = scene.get("/it");

    assert_eq!(reply.header("x-bff-missing"), Some("bad, refused, dead, text"), "{}{}", reply.head, reply.text());
    for (call, result) in [
        ("good", "ok"),
        ("bad", "status_5xx"),
        ("refused", "status_4xx"),
        ("dead", "connect"),
        ("text", "value_missing"),
        ("unmet", "skipped"),
    ] {
        let series = format!("frontgate_calls_total{{route=\"it\",call=\"{call}\",result=\"{result}\"}}");
        until(&series, || scene.metric(&series) == 1.0);
    }
    until("the partial answer to be counted", || scene.metric("frontgate_incomplete_total{route=\"it\"}") == 1.0);
    let line = log.wait_for(1).remove(0);
    assert_eq!(line["route"], "it", "{line}");
    assert_eq!(line["calls"], 4, "{line}");
    let missing = line["missing"].as_str().unwrap();
    assert!(missing.starts_with("bad (status 5") && missing.ends_with("dead (connect), text (value_missing: good.nothing)"), "{line}");
    assert!(missing.contains("refused (status 4") && !missing.contains("unmet"), "{line}");
    scene.get("/alone");
    let line = log.wait_for(2).remove(1);
    assert!(line.get("calls").is_none_or(Value::is_null) && line.get("missing").is_none_or(Value::is_null), "{line}");
}

fn log_path(log: &Log) -> String {
    let text = log.of("telemetry: {access_log: \"off\"}\n");
    text.split('"').nth(1).unwrap().to_owned()
}

#[test]
fn a_thousand_requests_of_several_clients_keep_connections_and_leave_none_behind() {
    let routes = "- {name: it, path: '/it/{id}', aggregate: {calls: {x: {upstream: a, get: '/x/{id}x'}, y: {upstream: b, get: '/y/{id}y'}, z: {upstream: a, get: '/z{x.at}'}}}}";
    let scene = Scene::start("many", "", routes, by_path);
    let address: SocketAddr = scene.process.address;

    std::thread::scope(|scope| {
        for client in 0..8 {
            scope.spawn(move || {
                let mut stream = raw(address);
                for number in 0..125 {
                    let id = client * 1000 + number;
                    stream.write_all(format!("GET /it/{id} HTTP/1.1\r\nHost: test.example\r\n\r\n").as_bytes()).unwrap();
                    let reply = crate::harness::client::read_reply(&mut stream, false).expect("an answer");
                    assert_eq!(
                        reply.text(),
                        format!(r#"{{"x":{{"at":"/x/{id}x"}},"y":{{"at":"/y/{id}y"}},"z":{{"at":"/z%2Fx%2F{id}x"}}}}"#)
                    );
                }
            });
        }
    });

    assert_eq!(scene.asked().len(), 3000);
    // Eight clients with at most two calls at once each, and some that were made while another was on its way back.
    assert!(scene.origin.connections() < 200, "{} connections for 3000 calls", scene.origin.connections());
    until("nothing to be in flight", || {
        let full = scene.process.ask("GET", "/healthz?full=1").json();
        ["a", "b"].iter().all(|pool| full["upstreams"][pool]["in_flight"] == 0)
    });
}
