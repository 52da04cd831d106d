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
            "8:12 the route `nowhere` leads nowhere: write `upstream`, `redirect`, `respond`, `aggregate` or `saga`",
            "9:37 there is no upstream `mian` (did you mean `main`?)",
            "9:43 the route `two` leads to one thing, and `upstream` and `respond` are two (remove one of them, or write another route for it)",
            "9:61 99 is not a final status: 200 to 599",
            "10:43 the route `all` leads to one thing, and `upstream` and `redirect` are two (remove one of them, or write another route for it)",
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
  - {name: d, path: /d, when: {header.X-V: 2.10, device: [mobile, tablet], cookie.a: "*"}, respond: {}}
"#;

    let shown = serde_json::to_string(&loaded(text).config.routes).expect("JSON");

    let expected = concat!(
        r#"[{"name":"a","path":"/a","upstream":"main"},"#,
        r#"{"name":"b","path":"/b","redirect":{"to":"/c","status":308}},"#,
        r#"{"name":"c","path":"/c","respond":{"status":200}},"#,
        r#"{"name":"d","path":"/d","when":{"header.x-v":"2.10","device":["mobile","tablet"],"cookie.a":"*"},"respond":{"status":200}}]"#,
    );
    assert_eq!(shown, expected);
}

/// What is wrong with routes of one path that differ by what is written here.
fn problems_of_routes(routes: &[&str]) -> Vec<String> {
    let text = r#"
version: 1
server:
  listeners: [{address: "127.0.0.1:8080"}]
filters:
  web: {cors: {origins: [https://shop.example]}}
  login: {jwt: {issuer: any, audience: any, algorithms: [ES256], keys: {jwks: {file: keys.json}}, claim_headers: {X-User-Id: claim.sub}}}
routes:
  - {name: used, path: /used, respond: {}, filters: [web, login]}
"#;
    let routes = routes.iter().enumerate().map(|(index, route)| format!("  - {{name: r{index}, path: /a, respond: {{}}, {route}}}\n"));
    problems(&(text.to_owned() + &routes.collect::<String>()))
}

#[test]
fn routes_of_one_path_may_differ_by_facts() {
    for routes in [
        &[r#"when: {header.X-V: "2"}"#, ""][..],
        &[r#"when: {header.X-V: "2"}"#, r#"when: {header.X-V: ["2", "3"]}"#, ""],
        &[r#"when: {header.X-V: 2.10}"#, r#"when: {header.X-V: "2.1"}"#],
        &[r#"when: {header.X-V: "2"}"#],
        &[r#"methods: [GET], when: {header.X-V: "2"}"#, "methods: [GET]", "methods: [POST]"],
        &[r#"methods: [GET, POST], when: {header.X-V: "2"}"#, "methods: [GET]"],
        &[r#"methods: [GET], when: {header.X-V: "2"}"#, r#"methods: [HEAD], when: {header.X-V: "2"}"#, ""],
        &[r#"when: {header.X-V: "*"}, filters: [web]"#, "filters: [{cors: {origins: [https://shop.example]}}]"],
        &[r#"when: {client_ip: 10.0.0.0/8, query.a: "1"}, filters: [web]"#, ""],
        &["when: {client_ip: 10.0.0.0/8, cookie.a: b}, filters: [web]", "when: {client_ip: 192.0.2.0/24, cookie.a: b}"],
        &["when: {device: [mobile, tablet], scheme: http}", ""],
    ] {
        assert_eq!(problems_of_routes(routes), Vec::<String>::new(), "{routes:?}");
    }
}

#[test]
fn routes_that_are_never_reached_are_found() {
    let same = "match the same requests";
    for (routes, words) in [
        (&["", ""][..], same),
        (&["", "methods: [GET]"], same),
        (&["", r#"when: {header.X-V: "2"}"#], "the route `r1` is never reached: `r0` comes before it and has no `when`"),
        (&["methods: [GET]", r#"methods: [HEAD], when: {header.X-V: "2"}"#], "`r0` comes before it and has no `when`"),
        // The other methods get there.
        (&["methods: [GET]", r#"when: {header.X-V: "2"}"#], "warning: the route `r1` is never reached by `GET`"),
        (
            &["methods: [GET]", "methods: [POST]", r#"methods: [GET, POST], when: {header.X-V: "2"}"#],
            "the route `r2` is never reached: `r0` comes before it and has no `when`",
        ),
        (&[r#"when: {header.X-V: "2", device: mobile}"#, r#"when: {device: [mobile], header.x-v: "2"}"#, ""], same),
        (
            &[r#"when: {header.X-V: "*"}"#, r#"when: {header.X-V: "2"}"#, ""],
            "the route `r1` is never reached: `r0` comes before it and takes all that its `when` lets pass",
        ),
        (&[r#"when: {header.X-V: "2"}"#, r#"when: {header.X-V: "2", device: mobile}"#, ""], "takes all that its `when` lets pass"),
        (&["when: {client_ip: 10.0.0.0/8}", "when: {client_ip: 10.1.0.0/16}", ""], "takes all that its `when` lets pass"),
        (
            &[r#"when: {header.X-V: "1"}"#, r#"when: {header.X-V: "2"}"#, r#"when: {header.X-V: ["1", "2"]}"#, ""],
            "the route `r2` is never reached: those before it take all that its `when` lets pass",
        ),
        (
            &[r#"methods: [GET], when: {header.X-V: "*"}"#, r#"methods: [GET, POST], when: {header.X-V: "2"}"#],
            "warning: the route `r1` is never reached by `GET`",
        ),
        (
            &[r#"methods: [GET], when: {header.X-V: "*"}"#, r#"when: {header.X-V: "2"}"#],
            "warning: the route `r1` is never reached by `GET`",
        ),
        (&[r#"when: {header.X-V: "2"}, filters: [web]"#, ""], "need the same `cors`"),
        (&["when: {cookie.beta: yes}", "filters: [web]"], "a preflight does not say what `cookie.beta` will be: the routes `r0` and `r1`"),
        (
            &["when: {client_ip: 10.0.0.1, device: mobile}, filters: [web]", "filters: [{cors: {origins: [https://a.example]}}]"],
            "need the same `cors`",
        ),
        (
            &["methods: [GET], when: {cookie.beta: yes}, filters: [web]", "methods: [GET]", "methods: [POST], filters: [web]"],
            "`r0` and `r1` need the same",
        ),
    ] {
        let found = problems_of_routes(routes);

        assert!(found.len() == 1 && found[0].contains(words), "{routes:?}: {words}: {found:#?}");
    }
}

#[test]
fn a_route_is_chosen_by_what_is_known_before_it() {
    for (route, words) in [
        ("when: {}", "`when` is empty"),
        ("when: {claim.sub: a}", "`claim.sub` cannot choose a route: a token is verified by a filter of the route"),
        ("when: {route: a}", "it is known only once one is chosen"),
        ("when: {method: GET}", "(write it as `methods`)"),
        ("when: {header.x-user-id: \"*\"}", "what clients send under this name is removed, and a filter sets it"),
        ("when: {header.X_User_Id: \"*\"}", "what clients send under this name is removed, and a filter sets it"),
        ("when: {header.X-BFF-Version: v2}", "warning: `header.x-bff-version` never holds: only trusted proxies may send this header"),
        ("when: {device: mobil}", "there is no device class `mobil` (did you mean `mobile`?)"),
        ("when: {headers.X-V: \"2\"}", "did you mean `header.X-V`?"),
        ("when: {version: v2}", "`version` cannot choose a route"),
        ("when: {header.X-V: []}", "has no value"),
        ("when: {header.X-V: {a: b}}", "expected a value, a list of values, or \"*\" for any"),
        ("when: [a]", "expected a map from facts of the request to their values"),
        ("when: {client_ip: 10.0.0.0/33}", "neither a network"),
        ("when: {client_ip: [10.0.0.1, 10.0.0.1]}", "listed twice"),
    ] {
        let found = problems_of_routes(&[route]);

        assert!(found.len() == 1 && found[0].contains(words), "{route}: {words}: {found:#?}");
    }
}
