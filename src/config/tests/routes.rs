//! What a route leads to.

use super::*;

#[test]
fn a_route_leads_to_one_thing_and_other_mistakes_in_it_are_reported_too() {
    let text = r#"
version: 1
server:
  listeners: [{address: "127.0.0.1:8080"}]
upstreams:
  main: {endpoints: ["10.0.0.1:80"]}
routes:
  - {name: nowhere, path: /a}
  - {name: two, path: /b, upstream: mian, respond: {status: 99}}
  - {name: all, path: /c, upstream: main, redirect: {to: x, status: 200}, respond: {}}
  - {name: wrong, path: /d, upstrem: main}
  - {name: list, path: /e, upstream: [main]}
  - {name: rewritten, path: /f, respond: {}, rewrite: {path: /g}}
"#;

    let found = problems(text);

    assert_eq!(
        found,
        [
            "8:12 the route `nowhere` leads nowhere: write `upstream`, `redirect` or `respond`",
            "9:12 the route `two` has more than one of `upstream`, `redirect` and `respond`",
            "9:37 there is no upstream `mian` (did you mean `main`?)",
            "9:61 99 is not a final status: 200 to 599",
            "10:12 the route `all` has more than one of `upstream`, `redirect` and `respond`",
            "10:58 `x` is neither a path nor an http URL",
            "10:69 200 is not a redirect: 301, 302, 303, 307 or 308",
            "11:29 there is no key `upstrem` here (did you mean `upstream`?)",
            "12:38 expected text, found a list (write it without the brackets)",
            "13:55 `rewrite` changes the path that is sent to an upstream, but this route has no `upstream`",
        ]
    );
}

#[test]
fn a_route_is_shown_as_it_is_written() {
    let text = r#"
version: 1
server:
  listeners: [{address: "127.0.0.1:8080"}]
upstreams:
  main: {endpoints: ["10.0.0.1:80"]}
routes:
  - {name: a, path: /a, upstream: main}
  - {name: b, path: /b, redirect: {to: /c}}
  - {name: c, path: /c, respond: {}}
"#;

    let shown = serde_json::to_string(&loaded(text).config.routes).expect("JSON");

    let expected = concat!(
        r#"[{"name":"a","path":"/a","upstream":"main"},"#,
        r#"{"name":"b","path":"/b","redirect":{"to":"/c","status":308}},"#,
        r#"{"name":"c","path":"/c","respond":{"status":200}}]"#,
    );
    assert_eq!(shown, expected);
}
