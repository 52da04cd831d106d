//! Decisions without a socket: heads in, upstreams and answers out.

use std::future::Future;
use std::net::IpAddr;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use http::{HeaderValue, Version};

use super::*;
use crate::config::load_text;
use crate::telemetry::Metrics;

const CONFIGURATION: &str = r#"
version: 1
server:
  listeners: [{address: "127.0.0.1:0"}]
  trusted_proxies: [10.0.0.0/8]
  limits: {headers: 1KiB, header_count: 4, uri: 50B, body: 10B}
upstreams:
  main: {endpoints: ["127.0.0.1:9"]}
filters:
  few: {rate_limit: {rate: 1/h, burst: 1, key: client_ip}}
routes:
  - {name: limited, path: "/limited/**", upstream: main, filters: [few]}
  - {name: open, path: "/open/**", upstream: main, rewrite: {strip_prefix: /open}, timeout: 3s}
  - {name: fixed, path: /fixed, methods: [GET], respond: {status: 429, body: busy}}
telemetry: {access_log: "off"}
"#;

fn snapshot() -> Snapshot {
    let loaded = load_text("test.yaml", CONFIGURATION).unwrap_or_else(|problems| panic!("{}", problems.render(false)));
    Snapshot::compile(loaded, None, &Metrics::new(), None).expect("it compiles")
}

/// What is known of a request, as a session would keep it.
struct Known {
    head: RequestHeader,
    facts: Facts,
    exchange: Exchange,
    route: Option<usize>,
    trusted: bool,
    overload: Stage,
}

impl Known {
    fn new(line: &str, headers: &[(&'static str, &str)]) -> Self {
        let (method, target) = line.split_once(' ').expect("a method and a target");
        let mut head = RequestHeader::build(method, target.as_bytes(), None).expect("a head");
        for (name, value) in headers {
            head.append_header(*name, *value).expect("a header");
        }
        let facts = Facts::new(IpAddr::from([192, 0, 2, 1]), HeaderValue::from_static("-"));
        Self { head, facts, exchange: Exchange::default(), route: None, trusted: false, overload: Stage::Calm }
    }

    fn from(mut self, peer: [u8; 4]) -> Self {
        self.facts.client_ip = IpAddr::from(peer);
        self
    }

    fn under(mut self, stage: Stage) -> Self {
        self.overload = stage;
        self
    }

    fn http2(mut self) -> Self {
        self.head.set_version(Version::HTTP_2);
        self
    }

    /// `upstream path`, or the answer's status and what made it.
    fn decide(&mut self, snapshot: &Snapshot, trace: Option<&mut Trace>) -> String {
        let asked = Asked {
            head: &mut self.head,
            facts: &mut self.facts,
            exchange: &mut self.exchange,
            route: &mut self.route,
            chosen: &mut None,
            trusted: &mut self.trusted,
            redirect: None,
            overload: self.overload,
            now: Instant::now(),
            trace,
        };
        match now(decide(snapshot, asked)) {
            Decision::Ask(ask) => format!("{} {}", ask.pool.name, ask.path.as_deref().unwrap_or(self.head.uri.path())),
            Decision::Answer(reply, by) => format!("{} {by:?}", reply.status.as_u16()),
            Decision::Compose(_) => "calls are made".to_owned(),
        }
    }
}

fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits"),
    }
}

#[test]
fn under_overload_the_route_s_priority_decides_before_any_filter_is_asked() {
    let text = CONFIGURATION.replace("upstream: main, filters: [few]", "upstream: main, filters: [few], priority: low");
    let loaded = load_text("test.yaml", &text).unwrap_or_else(|problems| panic!("{}", problems.render(false)));
    let snapshot = Snapshot::compile(loaded, None, &Metrics::new(), None).expect("it compiles");
    let decided = |line: &str, stage| Known::new(line, &[HOST]).under(stage).decide(&snapshot, None);

    assert_eq!(decided("GET /limited/a", Stage::First), "503 Overload");
    assert_eq!(decided("GET /limited/a", Stage::Calm), "main /limited/a", "nothing was taken from the limit");
    assert_eq!(decided("GET /limited/a", Stage::Calm), "429 Filter");
    assert_eq!((decided("GET /open/a", Stage::First), decided("GET /open/a", Stage::Second)), ("main /a".into(), "503 Overload".into()));
    assert_eq!(decided("GET /nowhere", Stage::Second), "404 NoRoute");
}

const HOST: (&str, &str) = ("Host", "shop.example");

#[test]
fn a_request_goes_to_its_upstream_with_the_path_that_was_checked() {
    let snapshot = snapshot();

    let mut known = Known::new("GET /limited/..//open/%61?q=1", &[HOST]);

    assert_eq!(known.decide(&snapshot, None), "main /a");
    assert_eq!((known.head.uri.to_string(), known.route), ("/open/a?q=1".to_owned(), Some(1)));
    assert_eq!((&*known.facts.route, known.facts.upstream.as_deref()), ("open", Some("main")));
    assert_eq!(known.facts.request_id.len(), 36);
}

#[test]
fn what_answers_is_told_apart() {
    let snapshot = snapshot();
    let decided = |line: &str, headers: &[(&'static str, &str)]| Known::new(line, headers).decide(&snapshot, None);

    assert_eq!(decided("GET /limited/x", &[HOST]), "main /limited/x");
    assert_eq!(decided("GET /limited/x", &[HOST]), "429 Filter");
    assert_eq!(decided("GET /fixed", &[HOST]), "429 Action");
    assert_eq!(decided("POST /fixed", &[HOST]), "405 WrongMethod");
    assert_eq!(decided("GET /nowhere", &[HOST]), "404 NoRoute");
    assert_eq!(decided("OPTIONS *", &[HOST]), "204 Request");
    assert_eq!(decided("GET /open/%2f", &[HOST]), "400 Request");
    assert_eq!(decided("GET /open/x", &[]), "400 Request");
    assert_eq!(decided("GET http://a/open/x", &[HOST]), "400 Request");
    assert_eq!(decided("POST /open/x", &[HOST, ("Content-Length", "11")]), "413 Request");
}

#[test]
fn a_route_is_known_of_a_request_that_is_refused_after_it_was_found() {
    let snapshot = snapshot();

    let mut known = Known::new("POST /open/x", &[HOST, ("Content-Length", "11")]);
    known.decide(&snapshot, None);

    assert_eq!((known.route, &*known.facts.route), (Some(1), "open"));
}

#[test]
fn the_limits_that_the_guard_keeps_for_http_1_are_kept_here_for_http_2() {
    let snapshot = snapshot();
    let decided = |line: &str, headers: &[(&'static str, &str)]| Known::new(line, headers).http2().decide(&snapshot, None);
    let (long, large) = (format!("GET /open/{}", "x".repeat(50)), "x".repeat(1024));

    assert_eq!(decided("GET /open/x", &[HOST]), "main /x");
    assert_eq!(decided(&long, &[HOST]), "414 Request");
    assert_eq!(decided("GET /open/x", &[HOST, ("X-A", &large)]), "431 Request");
    assert_eq!(decided("GET /open/x", &[HOST, ("X-A", "1"), ("X-B", "1"), ("X-C", "1"), ("X-D", "1")]), "431 Request");
}

#[test]
fn a_trusted_proxy_says_who_its_client_is() {
    let snapshot = snapshot();
    let headers = [HOST, ("X-Forwarded-For", "9.9.9.9, 10.0.0.7"), ("X-Request-Id", "mine-1"), ("X-BFF-Version", "v2")];

    let mut near = Known::new("GET /open/x", &headers).from([10, 0, 0, 1]);
    let mut far = Known::new("GET /open/x", &headers);
    near.decide(&snapshot, None);
    far.decide(&snapshot, None);

    assert_eq!((near.trusted, near.facts.client_ip, near.facts.request_id.as_bytes()), (true, [9, 9, 9, 9].into(), &b"mine-1"[..]));
    assert!(near.head.headers.contains_key("x-bff-version"));
    assert_eq!((far.trusted, far.facts.client_ip), (false, [192, 0, 2, 1].into()));
    assert!(far.facts.request_id != "mine-1" && !far.head.headers.contains_key("x-bff-version"));
}

#[test]
fn an_explanation_is_what_becomes_of_the_next_request_and_changes_nothing_of_it() {
    for (line, headers) in [
        ("GET /open/x", &[HOST][..]),
        ("GET /limited/x", &[HOST]),
        ("GET /fixed", &[HOST]),
        ("GET /nowhere", &[HOST]),
        ("GET /open/%2f", &[HOST]),
        ("POST /limited/x", &[HOST, ("Content-Length", "11")]),
    ] {
        let (served, explained) = (snapshot(), snapshot());
        let mut trace = Trace::default();

        // Twice, so that the limit is met.
        let plain = [(); 2].map(|()| Known::new(line, headers).decide(&served, None));
        let both = [(); 2].map(|()| {
            let told = Known::new(line, headers).decide(&explained, Some(&mut trace));
            assert_eq!(Known::new(line, headers).decide(&explained, Some(&mut trace)), told, "{line}");
            (told, Known::new(line, headers).decide(&explained, None))
        });

        assert_eq!(both.clone().map(|(_, done)| done), plain, "{line}");
        assert_eq!(both.map(|(told, _)| told), plain, "{line}");
        assert_eq!(trace.filters.len(), if plain[0].starts_with("main /limited") { 4 } else { 0 }, "{line}: {trace:?}");
    }
}
