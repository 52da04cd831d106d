//! What a GraphQL service may not answer, and what becomes of the page.

use serde_json::json;

use super::shop::answer;
use crate::compose::mock::ask;
use crate::compose::rules::Scene;
use crate::harness::{Log, until};

const ODD: &str = "
- name: odd
  path: '/odd/{how}'
  aggregate: {calls: {good: {upstream: a, post: /graphql, query: 'query Cart { cart { id } }', variables: {}, optional: true}, bad: {upstream: b, post: /graphql, query: 'query Odd($how: String!) { a(how: $how) }', variables: {how: '{how}'}}}}
- name: soft
  path: '/soft/{how}'
  aggregate: {calls: {bad: {upstream: b, post: /graphql, query: 'query Odd($how: String!) { a(how: $how) }', variables: {how: '{how}'}, otherwise: {a: none}}}}
";

#[test]
fn what_no_service_should_answer_is_a_failure_of_its_call_with_its_cause_in_the_log() {
    let log = Log::new("services-odd");
    let scene = Scene::start("services-odd", log.of("telemetry: {access_log: \"off\"}\n").trim_matches('\n'), ODD, answer);

    for (how, status, cause) in [
        ("partial", 502, "2 errors"),
        ("errors", 502, "1 error"),
        ("text", 502, "malformed"),
        ("null", 502, "malformed"),
        ("list", 502, "malformed"),
        ("none", 502, "malformed"),
        ("twice", 502, "malformed"),
        ("cut", 502, "malformed"),
        ("html", 502, "malformed"),
        ("lies", 502, "malformed"),
        ("nothing", 502, "malformed"),
        ("deep", 502, "malformed"),
        ("huge", 502, "too_large"),
        ("stranger", 401, "status 401"),
        ("wrong", 502, "status 400"),
        ("broken", 502, "status 500"),
    ] {
        let failed = scene.get(&format!("/odd/{how}"));

        failed.is_problem(status);
        assert_eq!(failed.json()["call"], "bad", "{how}");
        assert!(!failed.text().contains("secret"), "{how}: {}", failed.text());
        let id = failed.header("x-request-id").expect("an identifier").to_owned();
        until("the line of the request", || {
            log.lines().iter().any(|line| {
                line["request_id"] == *id && line["missing"].as_str().is_some_and(|missing| missing.starts_with(&format!("bad ({cause})")))
            })
        });
    }
    assert_eq!(scene.metric("frontgate_calls_total{route=\"odd\",call=\"bad\",result=\"errors\"}"), 2.0);
    assert_eq!(scene.metric("frontgate_calls_total{route=\"odd\",call=\"bad\",result=\"malformed\"}"), 10.0);
}

#[test]
fn data_beside_errors_is_no_data_and_something_else_stands_in() {
    let scene = Scene::start("services-soft", "", ODD, answer);

    let page = ask(scene.process.address, "GET", "/soft/partial", &[], None);

    assert_eq!((page.status, page.json()), (200, json!({"bad": {"a": "none"}})), "{}", page.text());
    assert_eq!((page.header("x-bff-complete"), page.header("x-bff-missing")), (Some("false"), Some("bad")));
    assert_eq!(page.header("cache-control"), Some("no-store"));
}
