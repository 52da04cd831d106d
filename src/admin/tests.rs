//! The table, asked without a socket.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::*;
use crate::config::load_text;
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
    let documents = Documents::new(metrics.clone());
    let snapshot = Snapshot::compile(loaded, None, &metrics, Some(&documents)).expect("it compiles");
    let gateway = Gateway::new(snapshot, metrics, documents);
    let reloader = Arc::new(Reloader::new(gateway.clone(), Box::new(load)));
    Admin::new(gateway, reloader, scope)
}

fn ask(admin: &Admin, method: &str, target: &str, token: Option<&str>) -> Answer {
    let mut head = RequestHeader::build(method, target.as_bytes(), None).expect("a head");
    if let Some(token) = token {
        head.insert_header("Authorization", format!("Bearer {token}")).expect("a header");
    }
    match pin!(admin.answer(&head)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("it waits"),
    }
}

#[test]
fn every_resource_refuses_every_other_method_and_says_which_it_takes() {
    let admin = admin(Scope::All(None));

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
        let (method, status) = match resource.takes {
            Takes::Get => ("GET", StatusCode::OK),
            Takes::Post => ("POST", StatusCode::NOT_FOUND),
        };
        assert_eq!(ask(&admin, method, resource.path, None).status(), status, "{}", resource.path);
    }
    assert_eq!(ask(&admin, "GET", "/healthz?full=1", None).body(), b"ok\n");
}

#[test]
fn a_token_is_asked_for_before_anything_else_is_said() {
    let admin = admin(Scope::All(Some("secret".to_owned())));

    for path in ["/livez", "/-/drain", "/nowhere"] {
        for token in [None, Some("secreT"), Some("secret2"), Some("")] {
            let refusal = ask(&admin, "GET", path, token);
            assert_eq!((refusal.status(), refusal.headers().contains_key("www-authenticate")), (StatusCode::UNAUTHORIZED, true));
        }
    }
    assert_eq!(ask(&admin, "GET", "/livez", Some("secret")).status(), StatusCode::OK);
}

#[test]
fn the_full_state_of_health_is_what_the_command_line_reads() {
    let admin = admin(Scope::All(None));

    let full = ask(&admin, "GET", "/healthz?x&full=1", None);
    let status: Status = serde_json::from_slice(full.body()).expect("a status");
    admin.gateway.drain();
    let draining: Status = serde_json::from_slice(ask(&admin, "GET", "/healthz?full=1", None).body()).expect("a status");

    assert_eq!((status.status, draining.status), (Health::Ok, Health::Draining));
    assert_eq!(status.upstreams["main"].endpoints[0].version.as_deref(), Some("v1"));
    assert_eq!(ask(&admin, "GET", "/readyz", None).status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(ask(&admin, "GET", "/livez", None).status(), StatusCode::OK);
}
