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
            "12:38 expected the name of an upstream, or a map of `read` and `write`, found a list (write it without the brackets)",
            "13:55 `rewrite` changes the path that is sent to an upstream, but this route has no `upstream`",
        ]
    );
}

#[test]
fn what_a_path_is_rewritten_to_is_checked_as_paths_are() {
    let text = r#"
version: 1
server:
  listeners: [{address: "127.0.0.1:8080"}]
upstreams:
  main: {endpoints: ["10.0.0.1:80"]}
routes:
  - {name: good, path: "/a/{x}/**", upstream: main, rewrite: {path: "/b/{x}.json/%C3%A9;v=1/{rest}"}}
  - {name: dots, path: /b, upstream: main, rewrite: {path: /b/../c}}
  - {name: slashes, path: "/c/{x}", upstream: main, rewrite: {path: "/b//{x}"}}
  - {name: escaped, path: /d, upstream: main, rewrite: {path: /%61dmin}}
  - {name: foreign, path: /e, upstream: main, rewrite: {path: /bücher}}
  - {name: query, path: /f, upstream: main, rewrite: {path: "/b?x=1"}}
  - {name: fragment, path: /g, upstream: main, rewrite: {path: "/b#x"}}
  - {name: space, path: /h, upstream: main, rewrite: {path: "/b c"}}
  - {name: hidden, path: /i, upstream: main, rewrite: {path: /b%2fc}}
  - {name: angle, path: /j, upstream: main, rewrite: {path: "/b<c"}}
  - {name: elsewhere, path: /k, redirect: {to: "/b c"}}
"#;

    let found = problems(text);

    assert_eq!(
        found,
        [
            "9:60 `/b/../c` is not in the one form that paths are sent in (write `/c`)",
            "10:69 `/b//{x}` is not in the one form that paths are sent in (write `/b/{x}`)",
            "11:63 `/%61dmin` is not in the one form that paths are sent in (write `/admin`)",
            "12:63 `/bücher` is not in the one form that paths are sent in (write `/b%C3%BCcher`)",
            "13:61 `/b?x=1` is not a path: it holds a `?` or `#` inside the path (the query of the request is kept as it is)",
            "14:64 `/b#x` is not a path: it holds a `?` or `#` inside the path (the query of the request is kept as it is)",
            "15:61 `/b c` is not a path: it holds a control character or space",
            "16:62 `/b%2fc` is not a path: it holds an encoded slash",
            "17:61 `/b<c` holds a character that must be percent-encoded",
            "18:48 `/b c` holds a character that must be percent-encoded",
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
