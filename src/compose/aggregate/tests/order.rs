//! When calls are made, and when not.

use std::time::Duration;

use super::table::{Said, Table, after, ask, get, of, ok, status};
use crate::compose::{Composition, Failed, Inquiry};

#[tokio::test]
async fn a_call_waits_only_for_what_it_refers_to() {
    let page = of(
        "/p",
        "calls:\n  slow: {upstream: a, get: /slow}\n  quick: {upstream: a, get: /quick}\n  next: {upstream: a, get: \"/n/{quick.id}\"}",
    );
    let table = Table::of(&[
        // Comes only when the call of the next stage was made.
        ("GET a /slow", after("GET a /n/1", ok("1"))),
        ("GET a /quick", ok(r#"{"id":1}"#)),
        ("GET a /n/1", ok("3")),
    ]);

    let came = ask(&page, &get("/p"), &table).await;

    assert_eq!(came.text, r#"{"slow":1,"quick":{"id":1},"next":3}"#, "in the order of the configuration");
}

#[tokio::test]
async fn identical_requests_are_sent_once_and_read_by_each_as_it_wants() {
    let page = of(
        "/p",
        concat!(
            "calls:\n  a: {upstream: a, get: /x, keep: [n]}\n  b: {upstream: a, get: /x, headers: {}}\n  c: {upstream: b, get: /x}\n",
            "  d: {upstream: a, get: /x, headers: {X-A: \"1\"}}\n  e: {upstream: a, get: \"/{a.n}\", drop: [m]}\n",
            "  f: {upstream: a, post: /x, body: {}}\n  g: {upstream: a, post: /x, body: {}}",
        ),
    );
    let table = Table::new(|made| match made.line.as_str() {
        "GET b /x" => ok("2"),
        _ => ok(r#"{"n":"x","m":1}"#),
    });

    let came = ask(&page, &get("/p"), &table).await;

    let whole = r#"{"n":"x","m":1}"#;
    assert_eq!(came.text, format!(r#"{{"a":{{"n":"x"}},"b":{whole},"c":2,"d":{whole},"e":{{"n":"x"}},"f":{whole},"g":{whole}}}"#));
    let mut lines = table.lines();
    lines.sort();
    assert_eq!(lines, ["GET a /x", "GET a /x", "GET b /x", "POST a /x", "POST a /x"]);
    assert_eq!(table.counts().len(), 7);
}

#[tokio::test]
async fn the_first_required_call_that_fails_ends_the_request_and_cancels_the_others() {
    let page = of(
        "/p",
        "calls:\n  never: {upstream: a, get: /never}\n  bad: {upstream: a, get: /bad}\n  later: {upstream: a, get: \"/l/{never.x}\"}",
    );
    let table = Table::of(&[("GET a /never", Said::Never), ("GET a /bad", status(500, "secret"))]);

    let came = ask(&page, &get("/p"), &table).await;

    assert_eq!((came.status, came.json()["call"].as_str(), came.json()["code"].as_str()), (502, Some("bad"), Some("call_failed")));
    assert!(!came.text.contains("secret"));
    assert_eq!(table.lines().len(), 2);
}

#[tokio::test]
async fn who_leaves_cancels_every_call() {
    let page = of("/p", "calls:\n  a: {upstream: a, get: /a}\n  b: {upstream: a, get: /b}");
    let table = Table::of(&[("GET a /a", Said::Never), ("GET a /b", Said::Never)]);
    let asked = get("/p");
    let inquiry = Inquiry { head: &asked.head, facts: &asked.facts, body: asked.body.clone(), calls: &*table, deadline: None };
    let mut composing = page.compose(inquiry);

    while table.lines().len() < 2 {
        assert!(tokio::time::timeout(Duration::from_millis(5), &mut composing).await.is_err());
    }
    assert_eq!(table.on_their_way.lock().expect("a count").0, 2);
    drop(composing);

    assert_eq!(table.on_their_way.lock().expect("a count").0, 0);
}

#[tokio::test]
async fn a_condition_that_is_not_met_leaves_a_call_out_and_fails_nothing() {
    let page = of(
        "/p/{kind}",
        concat!(
            "calls:\n  user: {upstream: a, get: /user}\n",
            "  a: {upstream: a, get: /a, when: {kind: [x, y], header.X-A: \"1\", user.n: 7, user.tags: red}}\n",
            "  b: {upstream: a, get: /b, when: {user.none: \"*\"}}\n  c: {upstream: a, get: /c, when: {user.o: \"*\"}}\n",
            "  d: {upstream: a, get: \"/d?x={b.x}\"}\n  e: {upstream: a, get: \"/e\", when: {a.n: \"1\"}}",
        ),
    );
    let answers = [
        ("GET a /user", ok(r#"{"n":7,"tags":["blue","red"],"o":{}}"#)),
        ("GET a /a", ok("{\"n\":1}")),
        ("GET a /b", ok("\"b\"")),
        ("GET a /c", ok("\"c\"")),
        ("GET a /d", ok("\"d\"")),
        ("GET a /e", ok("\"e\"")),
    ];
    let user = r#""user":{"n":7,"tags":["blue","red"],"o":{}}"#;

    let table = Table::of(&answers);
    let met = ask(&page, &get("/p/y").header("X-A", b"1"), &table).await;
    assert_eq!(met.text, format!(r#"{{{user},"a":{{"n":1}},"c":"c","d":"d","e":"e"}}"#));
    assert_eq!(met.header("x-bff-complete"), Some("true"));
    assert!(table.counts().contains(&"b skipped".to_owned()));

    for asked in [get("/p/z").header("X-A", b"1"), get("/p/x")] {
        let table = Table::of(&answers);
        let unmet = ask(&page, &asked, &table).await;
        assert_eq!(unmet.text, format!(r#"{{{user},"c":"c","d":"d"}}"#), "what refers to a call that was not made finds nothing");
        assert!(unmet.missing.is_empty());
        assert!(!table.lines().contains(&"GET a /a".to_owned()));
    }
}

#[tokio::test]
async fn there_is_a_limit_to_calls_to_answers_and_to_all_of_them() {
    let page = of(
        "/p",
        "calls:\n  l: {upstream: a, get: /l}\n  e: {upstream: a, get: \"/e/{each}\", each: l, otherwise: null}\nlimits: {calls: 3, answer: 2KiB, total: 4KiB}",
    );
    let table = Table::new(|made| ok(if made.name == "l" { "[1,2,3,4]" } else { "0" }));
    let came = ask(&page, &get("/p"), &table).await;
    assert_eq!(came.text, r#"{"l":[1,2,3,4],"e":[0,0,null,null]}"#);
    assert_eq!(came.header("x-bff-missing"), Some("e"));
    assert_eq!(table.lines().len(), 3);
    assert_eq!(table.made.lock().expect("calls")[0].most, 2048);
    assert_eq!(page.most(), 4096);

    let long = format!("\"{}\"", "x".repeat(1500));
    let table = Table::new(move |made| ok(if made.name == "l" { "[1,2]" } else { &long }));
    let came = ask(&page, &get("/p"), &table).await;
    assert_eq!(came.header("x-bff-complete"), Some("true"));
    let long = format!("\"{}\"", "x".repeat(3000));
    let table = Table::new(move |made| ok(if made.name == "l" { "[1,2]" } else { &long }));
    let came = ask(&page, &get("/p"), &table).await;
    let nulls = came.json()["e"].as_array().expect("a list").iter().filter(|one| one.is_null()).count();
    assert_eq!(nulls, 1, "together they are too long");
    assert!(table.counts().contains(&"e too_large".to_owned()), "{:?}", table.counts());
}

#[tokio::test]
async fn what_a_call_sends_is_what_is_written() {
    let page = of(
        "/p/{id}",
        concat!(
            "calls:\n  a: {upstream: a, get: \"/a/{id}?q={query.q}\", timeout: 400ms, headers: {X-T: \"t {header.X-T}\", X-N: \"{header.X-N}\"}}\n",
            "  b: {upstream: a, post: /b}\n  c: {upstream: a, put: /c, body: {id: \"{id}\", all: \"{body}\"}, headers: {Content-Type: application/x}}\n",
            "  d: {upstream: a, delete: \"/d\"}\n  e: {upstream: a, patch: /e, body: [\"{body.tags}\"]}",
        ),
    );
    assert!(page.reads_body(&http::Method::POST));
    let table = Table::new(|_| ok("1"));

    let asked = get("/p/a%20b?q=x+y&r=1").header("X-T", b"\xfc").header("Content-Type", b"text/x").post(r#"{"tags":[1]}"#);
    let came = ask(&page, &asked, &table).await;

    assert_eq!(came.status, 200);
    let made = table.made.lock().expect("calls");
    let of = |name: &str| made.iter().find(|made| made.name == name).expect("a call").clone();
    let (a, b, c, d, e) = (of("a"), of("b"), of("c"), of("d"), of("e"));
    assert_eq!(
        (a.line.as_str(), a.timeout, a.again, a.body.is_none()),
        ("GET a /a/a%20b?q=x+y", Some(Duration::from_millis(400)), true, true)
    );
    assert_eq!(a.fields["x-t"].as_bytes(), b"t \xfc");
    assert!(!a.fields.contains_key("x-n"));
    assert_eq!((b.body.as_deref(), b.again, b.fields["content-type"].as_bytes()), (Some(&br#"{"tags":[1]}"#[..]), false, &b"text/x"[..]));
    assert_eq!((c.body.as_deref(), c.again), (Some(&br#"{"id":"a b","all":{"tags":[1]}}"#[..]), true));
    assert_eq!(c.fields["content-type"], "application/x");
    assert_eq!((d.body, d.again), (None, true));
    assert_eq!((e.body.as_deref(), e.fields["content-type"].as_bytes()), (Some(&b"[[1]]"[..]), &b"application/json"[..]));
}

#[tokio::test]
async fn a_header_that_would_be_more_than_a_value_fails_the_call() {
    let page = of("/p", "calls:\n  a: {upstream: a, get: /a}\n  b: {upstream: a, get: /b, headers: {X-A: \"{a.x}\"}, optional: true}");
    for value in ["\"a\\r\\nX-Admin: 1\"", "\"a\\n\"", "\"\\u0000\"", "{}"] {
        let answer = format!("{{\"x\":{value}}}");
        let table = Table::new(move |_| ok(&answer));
        let came = ask(&page, &get("/p"), &table).await;
        assert_eq!((came.header("x-bff-missing"), table.lines().len()), (Some("b"), 1), "{value}");
        assert_eq!(table.counts(), ["a ok", "b value_missing"]);
    }
}

#[tokio::test]
async fn a_body_of_which_something_is_wanted_is_json_or_none() {
    let page = of("/p", "calls:\n  a: {upstream: a, post: \"/a?x={body.x:-none}\", optional: true}\n  b: {upstream: a, get: /b}");
    for (body, line) in [("{\"x\":1}", "POST a /a?x=1"), ("", "POST a /a?x=none"), ("[]", "POST a /a?x="), ("7", "POST a /a?x=none")] {
        let table = Table::new(|_| ok("1"));
        ask(&page, &get("/p").post(body), &table).await;
        assert!(table.lines().contains(&line.to_owned()), "{body}: {:?}", table.lines());
    }
    let table = Table::new(|_| ok("1"));
    let refused = ask(&page, &get("/p").post("{\"x\":1}}"), &table).await;
    assert_eq!((refused.status, refused.json()["code"].as_str(), table.lines().len()), (400, Some("bad_request"), 0));

    let page = of("/p", "calls:\n  a: {upstream: a, post: /a}");
    let table = Table::new(|_| ok("1"));
    assert_eq!(ask(&page, &get("/p").post("{\"x\":1}}"), &table).await.status, 200, "what goes along as it came may be anything");
}

#[tokio::test]
async fn calls_that_nobody_can_take_say_so() {
    let page = of(
        "/p",
        "calls:\n  a: {upstream: a, get: /a, optional: true}\n  b: {upstream: a, get: \"/b?x={a.x}\", otherwise: 1}\n  c: {upstream: a, get: /c}",
    );
    let table = Table::new(|made| if made.name == "a" { Said::Fails(Failed::Connect) } else { ok("2") });

    let came = ask(&page, &get("/p"), &table).await;

    assert_eq!(came.text, r#"{"b":1,"c":2}"#, "a call fails with the one that it refers to");
    assert_eq!(came.header("x-bff-missing"), Some("a, b"));
    let mut counts = table.counts();
    counts.sort();
    assert_eq!(counts, ["a connect", "b value_missing", "c ok"]);
}
