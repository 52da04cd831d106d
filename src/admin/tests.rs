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

pub(super) const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 4711);
const CONFIGURATION: &str = r#"
version: 1
server: {listeners: [{address: "127.0.0.1:0"}]}
upstreams:
  main: {endpoints: [{address: "127.0.0.1:9", version: v1}]}
routes:
  - {name: all, path: "/**", upstream: main}
telemetry: {access_log: "off"}
"#;

pub(super) fn admin(scope: Scope) -> Admin {
    admin_with(scope, "")
}

/// One that asks for a token: the whole text of a file.
pub(super) fn admin_with(scope: Scope, token: &str) -> Admin {
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    let file = std::env::temp_dir().join(format!("frontgate-admin-{}-{test}", std::process::id()));
    let admin = format!("admin: {{address: \"127.0.0.1:1\", token: {{file: \"{}\"}}}}", file.display());
    let text = match token {
        "" => CONFIGURATION.to_owned(),
        _ => CONFIGURATION.replace("server: {", &format!("server: {{{admin}, ")),
    };
    std::fs::write(&file, token).expect("written");
    let load = move || load_text("test.yaml", &text);
    let loaded = load().unwrap_or_else(|problems| panic!("{}", problems.render(false)));
    let metrics = Metrics::new();
    let documents = Documents::new(metrics.clone(), Dns::new(Places::default()));
    let snapshot = Snapshot::compile(loaded, None, &metrics, Some(&documents)).expect("it compiles");
    std::fs::remove_file(&file).expect("removed");
    let gateway = Gateway::new(snapshot, metrics, documents);
    let reloader = Arc::new(Reloader::new(gateway.clone(), Box::new(load)));
    Admin::new(gateway, reloader, scope, Arc::default())
}

/// The scope of an admin address on loopback.
pub(super) const ALL: Scope = Scope::All { local: true };

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
    match pin!(admin.answer(&head, PEER)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("it waits"),
    }
}

/// A path that is this resource's.
fn path_of(resource: &Resource) -> String {
    resource.path.replace("{id}", "0190")
}

#[test]
fn every_resource_refuses_every_other_method_and_says_which_it_takes() {
    let admin = admin(ALL);

    for resource in RESOURCES {
        let (wrong, allow) = match resource.takes {
            Takes::Get => ("POST", "GET, HEAD"),
            Takes::Post => ("GET", "POST"),
        };
        let refusal = ask(&admin, wrong, &path_of(resource), None);
        assert_eq!((refusal.status(), &refusal.headers()["allow"]), (StatusCode::METHOD_NOT_ALLOWED, &allow.parse().expect("a value")));
        assert_eq!(refusal.headers()["content-type"], "application/problem+json");
    }
    assert_eq!(ask(&admin, "GET", "/nowhere", None).status(), StatusCode::NOT_FOUND);
}

#[test]
fn the_status_address_shows_nothing_that_changes_anything() {
    let admin = admin(Scope::ReadOnly);

    for resource in RESOURCES {
        let method = if resource.takes == Takes::Get { "GET" } else { "POST" };
        let status = if resource.open { StatusCode::OK } else { StatusCode::NOT_FOUND };
        assert!(resource.takes == Takes::Get || !resource.open, "{} changes something", resource.path);
        assert_eq!(ask(&admin, method, &path_of(resource), None).status(), status, "{}", resource.path);
    }
    assert_eq!(ask(&admin, "GET", "/healthz?full=1", None).body(), b"ok\n");
}

#[test]
fn a_token_is_asked_for_before_anything_else_is_said() {
    let admin = admin_with(ALL, "secret");

    for path in ["/livez", "/-/drain", "/nowhere"] {
        for token in [None, Some("secreT"), Some("secret2"), Some("")] {
            let refusal = ask(&admin, "GET", path, token);
            assert_eq!((refusal.status(), refusal.headers().contains_key("www-authenticate")), (StatusCode::UNAUTHORIZED, true));
        }
    }
    assert_eq!(ask(&admin, "GET", "/livez", Some("secret")).status(), StatusCode::OK);
}

#[test]
fn a_token_is_given_once_by_a_scheme_in_any_case() {
    let admin = admin_with(ALL, "secret");
    let status = |given: &[&str]| {
        let given: Vec<_> = given.iter().map(|given| ("Authorization", *given)).collect();
        ask_as(&admin, "GET", "/livez", &[&[("Host", "localhost")][..], &given].concat()).status().as_u16()
    };

    for good in ["Bearer secret", "bearer secret", "BEARER secret", "bEARER   secret"] {
        assert_eq!(status(&[good]), 200, "{good}");
    }
    for bad in ["secret", "Bearer", "Bearersecret", "Basic secret", "Bearer secret, Bearer secret", "Bearer\u{a0}secret"] {
        assert_eq!(status(&[bad]), 401, "{bad}");
    }
    for twice in
        [["Bearer secret", "Bearer secret"], ["Bearer secret", "Bearer other"], ["Bearer other", "Bearer secret"], ["Bearer secret", ""]]
    {
        assert_eq!(status(&twice), 401, "{twice:?}");
    }
}

#[test]
fn only_who_is_there_operates_a_gateway_on_loopback() {
    let admin = admin(ALL);
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
    assert_eq!(status("http://localhost/healthz?full=1", &[("Host", "localhost")]), 200);
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
    let remote = admin_with(Scope::All { local: false }, "secret");
    let ask = |headers: &[(&'static str, &str)]| ask_as(&remote, "GET", "/livez", headers).status().as_u16();
    let token = ("Authorization", "Bearer secret");

    assert_eq!(ask(&[("Host", "gateway.example:9901"), token]), 200);
    assert_eq!(ask(&[("Host", "gateway.example:9901"), token, ("Sec-Fetch-Site", "cross-site")]), 403);
    assert_eq!(ask(&[("Host", "gateway.example:9901")]), 401);
    let status = admin(Scope::ReadOnly);
    assert_eq!(ask_as(&status, "GET", "/livez", &[("Host", "10.0.0.1"), ("Origin", "https://evil.example")]).status(), 200);
}

#[test]
fn the_page_of_the_dashboard_is_shown_without_the_token_and_its_numbers_are_not() {
    let admin = admin_with(ALL, "secret");

    let page = ask(&admin, "GET", "/", None);

    assert_eq!((page.status(), page.headers()["content-type"].as_bytes()), (StatusCode::OK, &b"text/html; charset=utf-8"[..]));
    for (name, value) in [
        ("x-frame-options", "DENY"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(page.headers()[name], value);
    }
    let policy = String::from_utf8_lossy(page.headers()["content-security-policy"].as_bytes());
    assert!(policy.starts_with("default-src 'none'; script-src 'sha256-") && !policy.contains("unsafe"), "{policy}");
    for (method, path) in [("GET", "/-/dashboard"), ("GET", "//"), ("POST", "/-/drain")] {
        assert_eq!(ask(&admin, method, path, None).status(), StatusCode::UNAUTHORIZED, "{path}");
    }
    assert_eq!(ask(&admin, "POST", "/", None).status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(ask(&admin, "GET", "/-/dashboard", Some("secret")).status(), StatusCode::OK);
}

#[test]
fn a_link_opens_the_page_and_nothing_else_that_a_page_does() {
    let admin = admin(ALL);
    let status = |method: &str, target: &str, host: &'static str, site: &'static str, mode: &'static str, dest: &'static str| {
        let headers = [("Host", host), ("Sec-Fetch-Site", site), ("Sec-Fetch-Mode", mode), ("Sec-Fetch-Dest", dest)];
        ask_as(&admin, method, target, &headers).status().as_u16()
    };

    assert_eq!(status("GET", "/", "localhost:9901", "cross-site", "navigate", "document"), 200);
    for (method, target, host, mode, dest) in [
        ("GET", "/", "rebound.example", "navigate", "document"),
        ("GET", "/", "localhost", "navigate", "iframe"),
        ("GET", "/", "localhost", "no-cors", "script"),
        ("GET", "/", "localhost", "cors", "empty"),
        ("GET", "/?x", "localhost", "navigate", "document"),
        ("POST", "/", "localhost", "navigate", "document"),
        ("GET", "/-/dashboard", "localhost", "navigate", "document"),
        ("GET", "/metrics", "localhost", "navigate", "document"),
    ] {
        assert_eq!(status(method, target, host, "cross-site", mode, dest), 403, "{method} {target} {host} {mode} {dest}");
    }
}

#[test]
fn the_numbers_of_the_dashboard_are_those_of_the_gateway() {
    let admin = admin(ALL);
    for (name, requests) in [("all", 3), (crate::router::UNMATCHED, 1)] {
        let route = admin.gateway.metrics.route(name);
        (0..requests).for_each(|_| route.record(&Method::GET, 200, std::time::Duration::ZERO, std::time::Duration::ZERO));
    }

    let numbers = |target: &str| -> serde_json::Value { serde_json::from_slice(ask(&admin, "GET", target, None).body()).expect("JSON") };
    let all = numbers("/-/dashboard");

    assert_eq!(all["counters"]["routes"][1]["answers"], serde_json::json!([0, 3, 0, 0, 0, 0]));
    assert_eq!(all["written"]["all"], serde_json::json!({"host": null, "path": "/**", "to": ["main"]}));
    assert_eq!((&all["quiet_routes"], &all["status"]["upstreams"]["main"]["alive"]), (&0.into(), &true.into()));
    assert_eq!(all["reloads"][0]["config"], all["status"]["config"]);
    assert!(all["started_ms"].as_u64() > Some(1_600_000_000_000) && all["uptime_ms"].is_u64(), "{all}");
    let some = numbers("/-/dashboard?match=_N");
    assert_eq!((some["counters"]["routes"].as_array().map(Vec::len), &some["counters"]["routes"][0]["name"]), (Some(1), &"_none".into()));
}

#[test]
fn a_value_is_shown_as_the_log_shows_it() {
    let admin = admin(ALL);

    let shown = ask(&admin, "POST", "/-/hash?value=user%2F1", None);

    assert_eq!(shown.body(), format!("{}\n", admin.gateway.snapshot().pseudonyms.of("user/1")).as_bytes());
    assert_eq!(ask(&admin, "POST", "/-/hash", None).status(), StatusCode::BAD_REQUEST);
    assert_eq!(ask(&admin, "GET", "/-/limits", None).body(), br#"{"keys":[]}"#);
    let none = ask(&admin, "GET", "/-/limits?filter=none", None);
    let told = String::from_utf8_lossy(none.body());
    assert!(none.status() == StatusCode::NOT_FOUND && told.contains("There is no rate limit `none`: there is none."), "{told}");
}

#[test]
fn the_full_state_of_health_is_what_the_command_line_reads() {
    let admin = admin(ALL);

    let full = ask(&admin, "GET", "/healthz?x&full=1", None);
    let status: Status = serde_json::from_slice(full.body()).expect("a status");
    admin.gateway.drain();
    let draining: Status = serde_json::from_slice(ask(&admin, "GET", "/healthz?full=1", None).body()).expect("a status");

    assert_eq!((status.status, draining.status), (Health::Ok, Health::Draining));
    assert_eq!(status.upstreams["main"].endpoints[0].version.as_deref(), Some("v1"));
    assert_eq!(ask(&admin, "GET", "/readyz", None).status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(ask(&admin, "GET", "/livez", None).status(), StatusCode::OK);
}

#[test]
fn parameters_that_are_not_there_several_times_or_empty_are_refused_before_anything_is_done() {
    let admin = admin(ALL);
    let told = |method: &str, target: &str| {
        let answer = ask(&admin, method, target, None);
        (answer.status().as_u16(), String::from_utf8_lossy(answer.body()).into_owned())
    };

    for (method, target, words) in [
        ("POST", "/-/rollback?hsh=abc", "There is no parameter `hsh`: did you mean `hash`?"),
        ("POST", "/-/circuit?filter=a&upstream=b&force=open&fro=10m", "There is no parameter `fro`: did you mean `for`?"),
        ("POST", "/-/drain?now=1", "There is no parameter `now`: there is none."),
        ("GET", "/-/limits?%66ilter=a", "There is no parameter `%66ilter`: there is `filter`."),
        ("GET", "/-/limits?filter", "The parameter `filter` has no value."),
        ("GET", "/-/limits?filter=a&filter=b", "The parameter `filter` is there several times."),
        ("GET", "/-/why?who=1", "There is no parameter `who`: there is `id`."),
    ] {
        let (status, body) = told(method, target);
        assert!(status == 400 && body.contains(words), "{target} {status} {body}");
    }
    assert!(!admin.gateway.is_draining());
    for target in ["/-/limits?", "/-/limits?&", "/livez?probe=1&probe=2&x", "/metrics?name=a&name=b"] {
        assert_eq!(told("GET", target).0, 200, "{target}");
    }
    let form = [("Host", "localhost"), ("Content-Type", "application/x-www-form-urlencoded")];
    let refused = ask_as(&admin, "POST", "/-/rollback", &[&form[..], &[("Content-Length", "8")]].concat());
    assert!(refused.status() == StatusCode::BAD_REQUEST && String::from_utf8_lossy(refused.body()).contains("in the query"));
    assert_eq!(ask_as(&admin, "POST", "/-/drain", &[&form[..], &[("Content-Length", "0")]].concat()).status(), StatusCode::ACCEPTED);
    let typed = ask_as(&admin, "POST", "/-/explain", &[&form[..], &[("Content-Length", "8")]].concat());
    assert!(String::from_utf8_lossy(typed.body()).contains("cannot be read"), "as `curl -d` sends it");
}
