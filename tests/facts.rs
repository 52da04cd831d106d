//! Routes of one host and path that differ by facts of the request: who gets which, and who gets none.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use frontgate_filters::jwt::Algorithm;
use frontgate_filters::jwt::issuer::Issuer;

use crate::harness::{Gateway, Origin, Reply, exchange, origin::response, yaml};

/// An origin that says its name.
fn named(name: &'static str) -> Origin {
    Origin::start(move |_, stream| stream.write_all(response("200 OK", "Cache-Control: max-age=60\r\n", name).as_bytes()).is_ok())
}

fn ask(gateway: &Gateway, line: &str, headers: &[&str]) -> Reply {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let text = format!("{line} HTTP/1.1\r\nHost: shop.example\r\n{headers}Connection: close\r\n\r\n");
    exchange(gateway.address, text.as_bytes()).expect("an answer")
}

/// `status body`; of a refusal its code in place of the body.
fn told(reply: &Reply) -> String {
    match reply.status {
        200 => format!("200 {}", reply.text()),
        204 => "204".to_owned(),
        status => format!("{status} {}", reply.json()["code"].as_str().unwrap_or_default()),
    }
}

const ROUTES: &str = "
    server:
      listeners: [{address: 127.0.0.1:0}]
      trusted_proxies: [10.0.0.0/8]
    upstreams:
      one: {endpoints: [$ONE]}
      two: {endpoints: [$TWO]}
      wide: {endpoints: [$WIDE]}
    filters:
      web: {cors: {origins: [https://shop.example], headers: [X-Api-Version]}}
      guard: {circuit_breaker: {consecutive: 1, open_for: 10m, max_open_for: 10m, fallback: [{cached: {max_age: 10m}}]}}
      admins: {rbac: {claim: roles, any_of: [admin]}}
      login: {jwt: {issuer: any, audience: any, algorithms: [ES256], keys: {jwks: {file: $KEYS}}, claim_headers: {X-User-Id: claim.sub}}}
    routes:
      - {name: v2, path: /orders/**, when: {header.X-Api-Version: \"2\"}, upstream: two, filters: [web, guard]}
      - {name: v1, path: /orders/**, upstream: one, filters: [web, guard]}
      - {name: beta, path: \"/beta/{id}\", methods: [GET], when: {cookie.beta: [a, b], query.x: \"*\"}, upstream: two}
      - {name: canaried, path: \"/beta/{name}\", methods: [GET, POST], when: {header.X-BFF-Version: v9}, upstream: one}
      - {name: tv, path: /screen, when: {device: smart_tv}, upstream: two}
      - {name: screen, path: /screen, upstream: one}
      - {name: admin, path: /admin/**, when: {header.X-Admin: \"*\"}, upstream: two, filters: [login, admins]}
      - {name: rest, path: /**, upstream: wide}
    telemetry: {access_log: \"off\"}
    ";

struct Shop {
    gateway: Gateway,
    _origins: [Origin; 2],
    wide: Origin,
}

fn shop(name: &str) -> Shop {
    let keys = std::env::temp_dir().join(format!("frontgate-facts-{}-{name}.json", std::process::id()));
    std::fs::write(&keys, Issuer::fresh("k1", Algorithm::ES256).unwrap().jwks()).unwrap();
    let (one, two, wide) = (named("one"), named("two"), named("wide"));
    let places: [(&str, &dyn std::fmt::Display); 4] =
        [("$ONE", &one.address), ("$TWO", &two.address), ("$WIDE", &wide.address), ("$KEYS", &keys.display())];
    let gateway = Gateway::start(&yaml(ROUTES, &places));
    let _ = std::fs::remove_file(&keys);
    Shop { gateway, _origins: [one, two], wide }
}

#[test]
fn the_first_route_whose_facts_the_request_has_takes_it() {
    let shop = shop("first");
    let told = |line: &str, headers: &[&str]| told(&ask(&shop.gateway, line, headers));

    assert_eq!(told("GET /orders/7", &["X-Api-Version: 2"]), "200 two");
    assert_eq!(told("GET /orders/7", &["x-api-version:  2 "]), "200 two");
    assert_eq!(told("GET /orders/7", &["X-Api-Version: 2.0"]), "200 one");
    assert_eq!(told("POST /orders", &["Content-Length: 0"]), "200 one");
    assert_eq!(told("GET /beta/7?x", &["Cookie: a=1; beta=b"]), "200 two");
    assert_eq!(told("GET /screen", &["User-Agent: Mozilla/5.0 (SMART-TV; Linux; Tizen 6.0)"]), "200 two");
    assert_eq!(told("GET /screen", &["User-Agent: curl"]), "200 one");
    assert_eq!(shop.wide.received().len(), 0);
}

#[test]
fn who_has_the_facts_of_none_is_served_by_no_wider_path() {
    let shop = shop("none");
    let told = |line: &str, headers: &[&str]| told(&ask(&shop.gateway, line, headers));

    assert_eq!(told("GET /elsewhere", &[]), "200 wide");
    assert_eq!(told("GET /beta/7", &["Cookie: beta=b"]), "404 no_route");
    assert_eq!(ask(&shop.gateway, "HEAD /beta/7", &[]).status, 404);
    assert_eq!(told("POST /beta/7?x", &["Cookie: beta=b", "Content-Length: 0"]), "404 no_route");
    assert_eq!(told("GET /admin/users", &[]), "404 no_route");
    assert_eq!(told("GET /admin/users", &["X-Admin: 1"]), "401 unauthenticated");
    // What no route of the path takes is no method of it, whatever the facts.
    let refused = ask(&shop.gateway, "DELETE /beta/7?x", &["Cookie: beta=b"]);
    assert_eq!((refused.is_problem(405).status, refused.header("allow")), (405, Some("GET, HEAD, POST")));
    assert_eq!(shop.wide.received().len(), 1);
}

#[test]
fn what_only_proxies_may_say_chooses_no_route_for_anybody_else() {
    let shop = shop("proxies");

    let forged = ask(&shop.gateway, "GET /beta/7", &["X-BFF-Version: v9"]);
    let underscored = ask(&shop.gateway, "GET /beta/7", &["X_BFF_Version: v9"]);

    assert_eq!((forged.status, underscored.status), (404, 404));
}

#[test]
fn answers_say_by_what_their_route_was_chosen() {
    let shop = shop("vary");
    let vary = |line: &str, headers: &[&str]| {
        let reply = ask(&shop.gateway, line, headers);
        let all = reply.head.lines().filter_map(|line| line.split_once(": ")).filter(|(name, _)| name.eq_ignore_ascii_case("vary"));
        all.map(|(_, value)| value.to_ascii_lowercase()).collect::<Vec<_>>().join(", ")
    };

    assert_eq!(vary("GET /orders/7", &["X-Api-Version: 2"]), "origin, x-api-version");
    assert_eq!(vary("GET /orders/7", &[]), "origin, x-api-version");
    assert_eq!(vary("GET /screen", &[]), "user-agent, sec-ch-ua-mobile, sec-ch-ua-platform");
    assert_eq!(vary("GET /beta/7", &[]), "cookie, x-bff-version");
    assert_eq!(vary("GET /elsewhere", &[]), "");
}

#[test]
fn a_preflight_is_answered_though_it_carries_none_of_the_facts() {
    let shop = shop("preflight");
    let asking = ["Origin: https://shop.example", "Access-Control-Request-Method: PUT", "Access-Control-Request-Headers: x-api-version"];

    let reply = ask(&shop.gateway, "OPTIONS /orders/7", &asking);

    assert_eq!((reply.status, reply.header("access-control-allow-headers")), (204, Some("X-Api-Version")));
    assert_eq!(reply.header("access-control-allow-origin"), Some("https://shop.example"));
}

#[test]
fn a_preflight_about_routes_that_all_ask_for_facts_is_answered_by_the_first_that_may_be_meant() {
    let origin = Origin::json("{}");
    let gateway = Gateway::start(&yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0}]}
        upstreams: {main: {endpoints: [$ORIGIN]}}
        filters:
          near: {cors: {origins: [https://near.example]}}
          far: {cors: {origins: [https://far.example]}}
        routes:
          - {name: far, path: /a, when: {client_ip: 192.0.2.0/24, cookie.a: \"1\"}, upstream: main, filters: [far]}
          - {name: near, path: /a, when: {client_ip: 127.0.0.0/8, header.X-V: \"1\"}, upstream: main, filters: [near]}
          - {name: third, path: /a, when: {client_ip: 198.51.100.0/24}, upstream: main, filters: [far]}
        ",
        &[("$ORIGIN", &origin.address)],
    ));
    let ask = |page: &str| ask(&gateway, "OPTIONS /a", &[&format!("Origin: https://{page}.example"), "Access-Control-Request-Method: GET"]);

    assert_eq!((ask("near").status, ask("far").status), (204, 403));
    assert_eq!(origin.received().len(), 0);
}

#[test]
fn what_a_circuit_breaker_keeps_of_one_route_is_not_the_others() {
    let broken = Arc::new(AtomicBool::new(false));
    let fails = |name: &'static str| {
        let broken = broken.clone();
        Origin::start(move |_, stream| {
            let status = if broken.load(Ordering::SeqCst) { "500 Broken" } else { "200 OK" };
            stream.write_all(response(status, "", name).as_bytes()).is_ok()
        })
    };
    let (one, two) = (fails("one"), fails("two"));
    let gateway = Gateway::start(&yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0}]}
        upstreams: {one: {endpoints: [$ONE]}, two: {endpoints: [$TWO]}}
        filters: {guard: {circuit_breaker: {consecutive: 1, open_for: 10m, max_open_for: 10m, fallback: [{cached: {max_age: 10m}}]}}}
        routes:
          - {name: v2, path: /a, when: {header.X-V: 2}, upstream: two, filters: [guard]}
          - {name: v1, path: /a, upstream: one, filters: [guard]}
        ",
        &[("$ONE", &one.address), ("$TWO", &two.address)],
    ));
    let both = || [ask(&gateway, "GET /a", &["X-V: 2"]), ask(&gateway, "GET /a", &[])];
    assert_eq!(both().map(|reply| reply.text()), ["two", "one"]);

    broken.store(true, Ordering::SeqCst);
    let kept = both();

    assert_eq!(
        kept.each_ref().map(|reply| (reply.text(), reply.header("x-bff-fallback").map(str::to_owned))),
        ["two", "one"].map(|name| (name.to_owned(), Some("cached".to_owned())))
    );
    assert_eq!(kept[0].header("vary"), Some("x-v"));
}
