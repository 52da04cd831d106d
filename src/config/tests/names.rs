//! Names that are defined twice, and names that nothing uses.

use super::*;

#[test]
fn duplicates_of_keys_names_and_routes_are_refused() {
    for (text, words) in [
        (
            r#"
routes: []
routes: []
"#,
            "duplicate key `routes`",
        ),
        (
            r#"
upstreams:
  a: {endpoints: ["1.1.1.1:1"]}
  a: {endpoints: ["1.1.1.1:1"]}
"#,
            "duplicate key `a`",
        ),
        (
            r#"
routes:
  - {name: a, path: "/{x}", respond: {}}
  - {name: b, path: "/{y}", respond: {}}
"#,
            "match the same requests",
        ),
        (
            r#"
routes:
  - {name: a, path: /, methods: [GET], respond: {}}
  - {name: b, path: /, methods: [POST, GET], respond: {}}
"#,
            "match the same requests",
        ),
    ] {
        let found = problems(&format!("{HEAD}{text}"));

        assert!(found.iter().any(|problem| problem.contains(words)), "{text}: {found:?}");
    }
}

#[test]
fn two_routes_of_one_path_may_differ_in_their_methods() {
    let routes = r#"
routes:
  - {name: a, path: /, methods: [GET], respond: {}}
  - {name: b, path: /, methods: [POST], respond: {}}
"#;

    let found = problems(&format!("{HEAD}{routes}"));

    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn an_upstream_that_only_a_fallback_names_is_used() {
    let text = r#"
version: 1
server:
  listeners: [{address: "127.0.0.1:8080"}]
upstreams:
  main: {endpoints: ["10.0.0.1:80"]}
  named: {endpoints: ["10.0.0.2:80"]}
  inline: {endpoints: ["10.0.0.3:80"]}
  idle: {endpoints: ["10.0.0.4:80"]}
filters:
  guard: {circuit_breaker: {fallback: [{upstream: named}]}}
  unused: {circuit_breaker: {}}
routes:
  - {name: a, path: /a, upstream: main, filters: [guard]}
  - {name: b, path: /b, upstream: main, filters: [{circuit_breaker: {fallback: [{upstream: inline}]}}]}
"#;

    let found = problems(text);

    assert_eq!(found, ["warning: the upstream `idle` is not used", "warning: the filter `unused` is not used"]);
}
