//! What the client gets where calls fail: the table of statuses, partial answers, errors that are passed on.

use std::time::Duration;

use super::super::Aggregate;
use super::table::{Came, Said, Table, ask, get, of, ok, status, with};
use crate::compose::Failed;

async fn came(page: &Aggregate, answers: &[(&str, Said)]) -> Came {
    ask(page, &get("/p"), &Table::of(answers)).await
}

fn problem(came: &Came) -> (u16, String, String) {
    let json = came.json();
    let text = |member: &str| json[member].as_str().unwrap_or("none").to_owned();
    (came.status, text("code"), text("call"))
}

#[tokio::test]
async fn a_required_call_s_failure_is_the_answer_s() {
    let page = of("/p", "calls:\n  user: {upstream: a, get: /u}");
    let open = |seconds: Option<u64>| Said::Fails(Failed::CircuitOpen { retry_after: seconds.map(Duration::from_millis) });
    for (said, code, status, retry_after) in [
        (status(400, "secret"), "call_failed", 502, None),
        (status(401, "secret"), "call_refused", 401, None),
        (status(403, "secret"), "call_refused", 403, None),
        (status(404, "secret"), "call_refused", 404, None),
        (status(405, "secret"), "call_failed", 502, None),
        (status(409, "secret"), "call_refused", 409, None),
        (status(410, "secret"), "call_refused", 410, None),
        (status(422, "secret"), "call_refused", 422, None),
        (with(status(429, "secret"), "retry-after", "7"), "call_refused", 429, Some("7")),
        (status(429, "secret"), "call_refused", 429, None),
        (with(status(302, "secret"), "location", "/secret"), "call_failed", 502, None),
        (status(500, "secret"), "call_failed", 502, None),
        (with(status(503, "secret"), "retry-after", "7"), "call_failed", 502, None),
        (ok("secret"), "call_failed", 502, None),
        (Said::Fails(Failed::TooLarge), "call_failed", 502, None),
        (Said::Fails(Failed::Malformed), "call_failed", 502, None),
        (Said::Fails(Failed::Connect), "call_failed", 502, None),
        (Said::Fails(Failed::Broken), "call_failed", 502, None),
        (Said::Fails(Failed::Unavailable), "call_failed", 503, Some("1")),
        (Said::Fails(Failed::NoMemory), "call_failed", 503, Some("1")),
        (open(None), "call_failed", 503, Some("1")),
        (open(Some(2100)), "call_failed", 503, Some("3")),
        (Said::Fails(Failed::Timeout), "call_timeout", 504, None),
    ] {
        let came = came(&page, &[("GET a /u", with(said.clone(), "set-cookie", "secret=1"))]).await;

        assert_eq!(problem(&came), (status, code.to_owned(), "user".to_owned()), "{said:?}");
        assert_eq!(came.header("retry-after"), retry_after, "{said:?}");
        assert_eq!(came.header("content-type"), Some("application/problem+json"));
        assert_eq!(came.header("cache-control"), Some("no-store"));
        assert_eq!(came.headers.contains_key("www-authenticate"), status == 401);
        assert!(!came.text.contains("secret") && !format!("{:?}", came.headers).contains("secret"), "{said:?}");
        assert!(came.header("x-bff-complete").is_none());
        assert_eq!(came.reply.code(), code);
    }
}

#[tokio::test]
async fn what_stands_in_for_a_call_is_marked() {
    let page = of(
        "/p",
        concat!(
            "calls:\n  a: {upstream: a, get: /a, at: data.0, rename: {x: y}, otherwise: {y: {l: [{n: 1}, {n: 2}]}}}\n  b: {upstream: a, get: /b, optional: true}\n",
            "  c: {upstream: a, get: \"/c?n={a.y.l.n}\"}\nanswer: {a: \"{a}\", n: \"{a.y.l.n}\", y: \"{a.y.l.1}\", b: \"{b}\", list: [\"{b}\"], c: \"{c}\", text: \"b is {b}\"}",
        ),
    );

    let partial = came(&page, &[("GET a /c?n=1,2", ok("3"))]).await;
    let whole =
        came(&page, &[("GET a /a", ok(r#"{"data":[{"x":{"l":[{"n":5}]}}]}"#)), ("GET a /b", ok("\"B\"")), ("GET a /c?n=5", ok("4"))]).await;

    assert_eq!(partial.text, r#"{"a":{"y":{"l":[{"n":1},{"n":2}]}},"n":[1,2],"y":{"n":2},"list":[null],"c":3}"#);
    let header = |came: &Came, name: &str| came.header(name).map(str::to_owned);
    assert_eq!(header(&partial, "x-bff-complete").as_deref(), Some("false"));
    assert_eq!(header(&partial, "x-bff-missing").as_deref(), Some("a, b"));
    assert_eq!(header(&partial, "cache-control").as_deref(), Some("no-store"));
    assert_eq!(whole.text, r#"{"a":{"y":{"l":[{"n":5}]}},"n":[5],"b":"B","list":["B"],"c":4,"text":"b is B"}"#);
    assert_eq!(header(&whole, "x-bff-complete").as_deref(), Some("true"));
}

#[tokio::test]
async fn where_nothing_succeeds_it_is_an_error_unless_all_has_something_in_its_place() {
    let optional = of("/p", "calls:\n  a: {upstream: a, get: /a, optional: true}\n  b: {upstream: a, get: /b, otherwise: 1}");
    let all = [("GET a /a", Said::Fails(Failed::Timeout)), ("GET a /b", status(500, ""))];
    assert_eq!(problem(&came(&optional, &all).await), (504, "call_timeout".to_owned(), "a".to_owned()));
    assert_eq!(came(&optional, &[("GET a /b", ok("2"))]).await.text, r#"{"b":2}"#);

    let defaults = of("/p", "calls:\n  a: {upstream: a, get: /a, otherwise: null}");
    let came = came(&defaults, &[]).await;
    assert_eq!((came.status, came.text.as_str(), came.header("x-bff-missing")), (200, r#"{"a":null}"#, Some("a")));
}

#[tokio::test]
async fn an_error_is_passed_on_where_that_is_wanted() {
    let page = of("/p", "calls:\n  a: {upstream: a, get: /a}\nerrors: pass");
    let said = with(with(status(418, "short and stout"), "content-type", "text/x"), "set-cookie", "a=b");

    let passed = came(&page, &[("GET a /a", said)]).await;
    assert_eq!((passed.status, passed.text.as_str(), passed.header("content-type")), (418, "short and stout", Some("text/x")));
    assert!(!passed.headers.contains_key("set-cookie"));
    assert_eq!(passed.header("cache-control"), Some("no-store"));

    let moved = came(&page, &[("GET a /a", with(status(301, "x"), "location", "/x"))]).await;
    assert_eq!(problem(&moved), (502, "call_failed".to_owned(), "a".to_owned()));
    let slow = came(&page, &[("GET a /a", Said::Fails(Failed::Timeout))]).await;
    assert_eq!(slow.status, 504);
}

#[tokio::test]
async fn which_statuses_are_success_is_the_configuration_s_to_say() {
    let page = of("/p", "calls:\n  a: {upstream: a, get: /a, expect: [200, 404]}\n  b: {upstream: a, get: /b, expect: 200-299}");
    let answers = [("GET a /a", status(404, "{\"none\":true}")), ("GET a /b", status(204, ""))];
    assert_eq!(came(&page, &answers).await.text, r#"{"a":{"none":true},"b":null}"#);
    let answers = [("GET a /a", status(204, "")), ("GET a /b", ok("1"))];
    assert_eq!(problem(&came(&page, &answers).await), (502, "call_failed".to_owned(), "a".to_owned()));
}
