//! The table, asked without a socket.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::*;
use crate::config::load_text;
use crate::discovery::dns::{Dns, Places};
use crate::snapshot::Snapshot;
use crate::status::{Health, Status};
use crate::telemetry::Metrics;
use crate::upstream::Documents;

const CONFIGURATION: &str = r#"
version: 1
server: {listeners: [{address: "127.0.0.1:0"}]}
upstreams:
  main: {endpoints: [{address: "127.0.0.1:9", version: v1}]}
routes:
  - {name: all, path: "/**", upstream: main}
telemetry: {access_log: "off"}
"#;

fn admin(scope: Scope) -> Admin {
    let load = || load_text("test.yaml", CONFIGURATION);
    let loaded = load().unwrap_or_else(|problems| panic!("{}", problems.render(false)));
    let metrics = Metrics::new();
    let documents = Documents::new(metrics.clone(), Dns::new(Places::default()));
    let snapshot = Snapshot::compile(loaded, None, &metrics, Some(&documents)).expect("it compiles");
    let gateway = Gateway::new(snapshot, metrics, documents);
    let reloader = Arc::new(Reloader::new(gateway.clone(), Box::new(load)));
    Admin::new(gateway, reloader, scope, Arc::default())
}

/// The scope of an admin address on loopback.
fn all(token: Option<&str>) -> Scope {
    Scope::All { token: token.map(str::to_owned), local: true }
}

fn ask(admin: &Admin, method: &str, target: &str, token: Option<&str>) -> Answer {
    let token = token.map(|token| format!("Bearer {token}"));
    let token = token.as_deref().map(|token| ("Authorization", token));
    ask_as(admin, method, target, &[&[("Host", "127.0.0.1:9901")][..], token.as_slice()].concat())
}

fn ask_as(admin: &Admin, method: &str, target: &str, headers: &[(&'static str, &str)]) -> Answer {
    let mut head = RequestHeader::build(method, b"/", None).expect("a head");
    head.set_uri(target.parse().expect("a target"));
    for (name, value) in headers {
        head.append_header(*name, *value).expect("a header");
    }
    match pin!(admin.answer(&head)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("it waits"),
    }
}

#[test]
fn every_resource_refuses_every_other_method_and_says_which_it_takes() {
    let admin = admin(all(None));

    for resource in RESOURCES {
        let (wrong, allow) = match resource.takes {
            Takes::Get => ("POST", "GET, HEAD"),
            Takes::Post => ("GET", "POST"),
        };
        let refusal = ask(&admin, wrong, resource.path, None);
        assert_eq!((refusal.status(), &refusal.headers()["allow"]), (StatusCode::METHOD_NOT_ALLOWED, &allow.parse().expect("a value")));
        assert_eq!(refusal.headers()["content-type"], "application/problem+json");
    }
    assert_eq!(ask(&admin, "GET", "/", None).status(), StatusCode::NOT_FOUND);
}

#[test]
fn the_status_address_shows_nothing_that_changes_anything() {
    let admin = admin(Scope::ReadOnly);

    for resource in RESOURCES {
        let method = if resource.takes == Takes::Get { "GET" } else { "POST" };
        let status = if resource.open { StatusCode::OK } else { StatusCode::NOT_FOUND };
        assert!(resource.takes == Takes::Get || !resource.open, "{} changes something", resource.path);
        assert_eq!(ask(&admin, method, resource.path, None).status(), status, "{}", resource.path);
    }
    assert_eq!(ask(&admin, "GET", "/healthz?full=1", None).body(), b"ok\n");
}

#[test]
fn a_token_is_asked_for_before_anything_else_is_said() {
    let admin = admin(all(Some("secret")));

    for path in ["/livez", "/-/drain", "/nowhere"] {
        for token in [None, Some("secreT"), Some("secret2"), Some("")] {
            let refusal = ask(&admin, "GET", path, token);
            assert_eq!((refusal.status(), refusal.headers().contains_key("www-authenticate")), (StatusCode::UNAUTHORIZED, true));
        }
    }
    assert_eq!(ask(&admin, "GET", "/livez", Some("secret")).status(), StatusCode::OK);
}

#[test]
fn only_who_is_there_operates_a_gateway_on_loopback() {
    let admin = admin(all(None));
    let status = |target: &str, headers: &[(&'static str, &str)]| ask_as(&admin, "GET", target, headers).status().as_u16();

    for host in ["127.0.0.1", "127.0.0.1:9901", "127.9.8.7:1", "localhost", "LocalHost:9901", "[::1]", "[::1]:9901", "[::ffff:127.0.0.1]:1"]
    {
        assert_eq!(status("/healthz?full=1", &[("Host", host)]), 200, "{host}");
    }
    for host in [
        "rebound.example",
        "rebound.example:9901",
        "localhost.example",
        "127.0.0.1.example",
        "example@127.0.0.1",
        "127.0.0.1@example",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0.0.0.0:9901",
        "10.0.0.1:9901",
        "[::]:9901",
        "::1",
        "localhost:x",
        "localhost:",
        "",
    ] {
        assert_eq!(status("/healthz?full=1", &[("Host", host)]), 403, "{host}");
    }
    assert_eq!(status("/healthz?full=1", &[]), 403, "no host at all");
    assert_eq!(status("/healthz?full=1", &[("Host", "localhost"), ("Host", "localhost")]), 403, "two of them");
    assert_eq!(status("http://rebound.example/healthz?full=1", &[("Host", "localhost")]), 403);
    assert_eq!(status("http://localhost/healthz?full=1", &[("Host", "rebound.example")]), 403);
    for (target, answer) in
        [("/livez", 200), ("/readyz", 200), ("/healthz", 200), ("/metrics", 200), ("/livez?x", 403), ("/-/limits", 403), ("/none", 403)]
    {
        assert_eq!(status(target, &[("Host", "node-7.example:9901")]), answer, "{target}");
    }
    for (name, value, answer) in [
        ("Origin", "https://evil.example", 403),
        ("Origin", "null", 403),
        ("Origin", "http://127.0.0.1:9901", 403),
        ("Sec-Fetch-Site", "cross-site", 403),
        ("Sec-Fetch-Site", "same-site", 403),
        ("Sec-Fetch-Site", "", 403),
        ("Sec-Fetch-Site", "same-origin", 200),
        ("Sec-Fetch-Site", "none", 200),
    ] {
        assert_eq!(status("/livez", &[("Host", "localhost"), (name, value)]), answer, "{name}: {value}");
    }
    let refused = ask_as(&admin, "POST", "/-/drain", &[("Host", "localhost"), ("Origin", "https://evil.example")]);
    assert_eq!((refused.status(), admin.gateway.is_draining()), (StatusCode::FORBIDDEN, false));
}

#[test]
fn elsewhere_the_token_says_who_operates_and_pages_are_refused_all_the_same() {
    let remote = admin(Scope::All { token: Some("secret".to_owned()), local: false });
    let ask = |headers: &[(&'static str, &str)]| ask_as(&remote, "GET", "/livez", headers).status().as_u16();
    let token = ("Authorization", "Bearer secret");

    assert_eq!(ask(&[("Host", "gateway.example:9901"), token]), 200);
    assert_eq!(ask(&[("Host", "gateway.example:9901"), token, ("Sec-Fetch-Site", "cross-site")]), 403);
    assert_eq!(ask(&[("Host", "gateway.example:9901")]), 401);
    let status = admin(Scope::ReadOnly);
    assert_eq!(ask_as(&status, "GET", "/livez", &[("Host", "10.0.0.1"), ("Origin", "https://evil.example")]).status(), 200);
}

#[test]
fn a_value_is_shown_as_the_log_shows_it() {
    let admin = admin(all(None));

    let shown = ask(&admin, "POST", "/-/hash?value=user%2F1", None);

    assert_eq!(shown.body(), format!("{}\n", admin.gateway.snapshot().pseudonyms.of("user/1")).as_bytes());
    assert_eq!(ask(&admin, "POST", "/-/hash", None).status(), StatusCode::BAD_REQUEST);
    assert_eq!(ask(&admin, "GET", "/-/limits", None).body(), br#"{"keys":[]}"#);
    assert_eq!(ask(&admin, "GET", "/-/limits?filter=none", None).status(), StatusCode::NOT_FOUND);
}

#[test]
fn the_full_state_of_health_is_what_the_command_line_reads() {
    let admin = admin(all(None));

    let full = ask(&admin, "GET", "/healthz?x&full=1", None);
    let status: Status = serde_json::from_slice(full.body()).expect("a status");
    admin.gateway.drain();
    let draining: Status = serde_json::from_slice(ask(&admin, "GET", "/healthz?full=1", None).body()).expect("a status");

    assert_eq!((status.status, draining.status), (Health::Ok, Health::Draining));
    assert_eq!(status.upstreams["main"].endpoints[0].version.as_deref(), Some("v1"));
    assert_eq!(ask(&admin, "GET", "/readyz", None).status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(ask(&admin, "GET", "/livez", None).status(), StatusCode::OK);
}
