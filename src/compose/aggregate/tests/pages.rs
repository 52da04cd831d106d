//! The answer: its members, its headers, and what is not asked for since nobody would see it.

use std::sync::Arc;

use bytes::Bytes;
use frontgate_filters::filter::{BoxFuture, Identity};
use frontgate_filters::json::Policy;
use frontgate_filters::reply::Form;
use http::{HeaderValue, Method, StatusCode};
use serde_json::json;

use super::table::{Said, Table, ask, get, of, ok, status, with};
use crate::compose::{Answered, Budget, CallResult, Calls, Composition, Failed, Held, Inquiry, Ready};

#[tokio::test]
async fn what_is_referred_to_is_found_as_it_is_in_the_end() {
    let page = of(
        "/p",
        concat!(
            "calls:\n  a: {upstream: a, get: /a, at: d.0, keep: [u.n, u.date, l.x], rename: {u.date: created, u: who}}\n",
            "answer: {n: \"{a.who.n}\", c: \"{a.who.created}\", x: \"{a.l.x}\", one: \"{a.l.1}\", e: \"{a.l.x.z}\", a: \"{a}\", s: [\"{...a.l}\"]}",
        ),
    );
    let table = Table::of(&[(
        "GET a /a",
        ok(r#"{"d":[{"u":{"n":1.0,"date":"\u00e9","s":1},"l":[{"x":1,"y":1},{"x":{"z":2}}]},{"u":{"n":2}}],"e":1}"#),
    )]);

    let came = ask(&page, &get("/p"), &table).await;

    let a = r#"{"who":{"n":1.0,"created":"\u00e9"},"l":[{"x":1},{"x":{"z":2}}]}"#;
    assert_eq!(
        came.text,
        format!(r#"{{"n":1.0,"c":"\u00e9","x":[1,{{"z":2}}],"one":{{"x":{{"z":2}}}},"e":[2],"a":{a},"s":[{{"x":1}},{{"x":{{"z":2}}}}]}}"#)
    );
}

#[tokio::test]
async fn what_has_a_new_name_already_gives_way_to_what_gets_it() {
    let renames = "{date: created_at, l.x: y, left: right, right: left, same: same}";
    let page = of(
        "/p",
        &format!("calls:\n  a: {{upstream: a, get: /a, at: d, rename: {renames}}}\nanswer: {{a: \"{{a}}\", c: \"{{a.created_at}}\"}}"),
    );
    for (answer, a, c) in [
        (r#"{"created_at":0,"date":1}"#, r#"{"created_at":1}"#, "1"),
        (r#"{"date":1,"cre\u0061ted_at":{"x":[0]}}"#, r#"{"created_at":1}"#, "1"),
        (r#"{"created_at":0}"#, "{}", ""),
        (r#"{"l":[{"y":1,"x":2},{"x":3,"y":4},{"y":5}],"y":6}"#, r#"{"l":[{"y":2},{"y":3},{}],"y":6}"#, ""),
        (r#"{"left":1,"right":2,"same":3}"#, r#"{"right":1,"left":2,"same":3}"#, ""),
    ] {
        let table = Table::of(&[("GET a /a", ok(&format!(r#"{{"d":{answer}}}"#)))]);

        let came = ask(&page, &get("/p"), &table).await;

        let c = if c.is_empty() { String::new() } else { format!(r#","c":{c}"#) };
        assert_eq!(came.text, format!(r#"{{"a":{a}{c}}}"#), "{answer}");
    }
}

#[tokio::test]
async fn a_part_that_is_not_there_is_null_and_one_behind_arrays_is_a_list() {
    let page = of("/p", "calls:\n  a: {upstream: a, get: /a, at: d.x}\n  b: {upstream: a, get: \"/b?y={a.y:-none}\"}");
    for (answer, a, line) in [
        ("{}", "null", "GET a /b?y=none"),
        (r#"{"d":[{"x":{"y":1}},{"x":{"y":2}}]}"#, r#"[{"y":1},{"y":2}]"#, "GET a /b?y=1,2"),
        (r#"{"d":{"x":{"y":1}}}"#, r#"{"y":1}"#, "GET a /b?y=1"),
        (r#"{"d":{"x":3}}"#, "3", "GET a /b?y=none"),
        (r#"{"d":{"x":{"y":null}}}"#, r#"{"y":null}"#, "GET a /b?y=none"),
        (r#"{"d":{"x":[]}}"#, "[]", "GET a /b?y="),
        (r#"{"d":[]}"#, "null", "GET a /b?y=none"),
        (r#"{"d":{"x":{"y":1},"x":{"y":2}}}"#, r#"{"y":2}"#, "GET a /b?y=2"),
    ] {
        let table = Table::new(move |made| ok(if made.name == "a" { answer } else { "0" }));
        let came = ask(&page, &get("/p"), &table).await;
        assert_eq!(came.text, format!(r#"{{"a":{a},"b":0}}"#), "{answer}");
        assert_eq!(table.lines()[1], line, "{answer}");
    }
}

#[tokio::test]
async fn facts_of_the_request_are_strings_and_claims_what_they_are() {
    let page = of(
        "/p/{id}/**",
        concat!(
            "calls:\n  a: {upstream: a, get: \"/a/{id}/{rest}\"}\n",
            "answer: {id: \"{id}\", rest: \"{rest}\", q: \"{query.q}\", all: \"{query}\", m: \"{method}\", ip: \"{client_ip}\", n: \"{claim.n}\", s: \"{claim.sub}\", r: \"{claim.roles}\", h: \"{header.X-A}\", t: \"{claim.roles} of {claim.sub}\", none: \"{cookie.x}\"}",
        ),
    );
    let mut asked = get("/p/a%20b/c/d?q=1&q=2").header("X-A", b"\xff");
    asked.facts.identity = Some(Arc::new(Identity::new(match json!({"n": 9007199254740993_u64, "sub": "S\"", "roles": ["x", 1]}) {
        serde_json::Value::Object(claims) => claims,
        _ => unreachable!("it is an object"),
    })));
    let table = Table::new(|_| ok("0"));

    let came = ask(&page, &asked, &table).await;

    assert_eq!(table.lines(), ["GET a /a/a%20b/c%2Fd"]);
    assert_eq!(
        came.text,
        r#"{"id":"a b","rest":"c/d","q":"1","all":"q=1&q=2","m":"GET","ip":"192.0.2.1","n":9007199254740993,"s":"S\"","r":["x",1],"t":"x,1 of S\""}"#
    );
}

#[tokio::test]
async fn what_is_spread_gives_way_and_may_have_members_put_in() {
    let page = of(
        "/p",
        concat!(
            "calls:\n  a: {upstream: a, get: /a}\n  b: {upstream: a, get: \"/b/{each}\", each: a.id, into: a.b}\n",
            "answer: {\"...\": a, n: 1, in: {\"...\": a, b: 2}}",
        ),
    );
    let table = Table::of(&[("GET a /a", ok(r#"{"id":7,"n":0,"m":2}"#)), ("GET a /b/7", ok("\"B\""))]);

    let came = ask(&page, &get("/p"), &table).await;

    assert_eq!(came.text, r#"{"id":7,"m":2,"b":"B","n":1,"in":{"id":7,"n":0,"m":2,"b":2}}"#);
}

#[tokio::test]
async fn headers_of_calls_stay_behind_but_those_that_are_wanted() {
    let page = of("/p", "calls:\n  a: {upstream: a, get: /a, back: [Set-Cookie, X-A]}\n  b: {upstream: a, get: /b}");
    let a = ["a=1", "b=2"].iter().fold(ok("1"), |said, value| with(said, "set-cookie", value));
    let b = with(with(ok("2"), "set-cookie", "c=3"), "x-a", "1");
    let table = Table::of(&[("GET a /a", with(a, "x-b", "1")), ("GET a /b", b)]);

    let came = ask(&page, &get("/p"), &table).await;

    assert_eq!(came.headers.get_all("set-cookie").iter().collect::<Vec<_>>(), ["a=1", "b=2"]);
    assert!(!came.headers.contains_key("x-a") && !came.headers.contains_key("x-b"));
    assert_eq!(came.header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn how_long_an_answer_is_kept_is_what_the_strictest_says() {
    let page = of("/p", "calls:\n  a: {upstream: a, get: /a}\n  b: {upstream: a, get: \"/b?l={header.Accept-Language}\", optional: true}");
    let kept = |value: &str| with(ok("1"), "cache-control", value);
    for (b, cache_control, vary) in [
        (kept("max-age=5"), Some("max-age=5"), Some("accept-language")),
        (ok("1"), None, None),
        (kept("no-store"), Some("no-store"), Some("accept-language")),
        (status(404, ""), Some("no-store"), None),
    ] {
        let table = Table::new(move |made| if made.name == "a" { kept("public, max-age=60") } else { b.clone() });
        let came = ask(&page, &get("/p"), &table).await;
        assert_eq!((came.header("cache-control"), came.header("vary")), (cache_control, vary));
    }
    let page = of("/p", "calls:\n  a: {upstream: a, get: \"/a?s={claim.sub}\"}");
    let table = Table::new(move |_| kept("public, max-age=60"));
    let came = ask(&page, &get("/p"), &table).await;
    assert_eq!((came.header("cache-control"), came.header("vary")), (Some("private, max-age=60"), Some("Authorization")));
}

#[test]
fn what_nobody_would_see_is_not_asked_for() {
    let page = of(
        "/p",
        concat!(
            "calls:\n  user: {upstream: a, get: /u}\n  cart: {upstream: a, get: \"/c/{user.id}\"}\n  items: {upstream: a, get: \"/i/{each}\", each: cart.i, into: cart.x}\n",
            "  only: {upstream: a, get: /o}\n  ads: {upstream: a, get: \"/ads/{only.x}\"}\n  log: {upstream: a, post: /log, body: {}}\n  unused: {upstream: a, get: /unused}\n",
            "answer: {user: {name: \"{user.name}\"}, cart: \"{cart}\", ads: \"{ads}\", log: \"{log}\", code: 0}",
        ),
    );
    let needed = |policy: Option<Policy>| {
        let needed = page.needed(policy.as_ref());
        let names = page.calls.iter().zip(&needed).filter(|(_, needed)| **needed).map(|(call, _)| call.name.to_string());
        names.collect::<Vec<_>>().join(" ")
    };
    let paths = |texts: &[&str]| texts.iter().map(|text| text.parse().expect("a path")).collect::<Vec<_>>();
    let drop = |texts: &[&str]| needed(Some(Policy::drop(&paths(texts)).expect("a policy")));
    let keep = |texts: &[&str]| needed(Some(Policy::keep(&paths(texts)).expect("a policy")));
    let all = "user cart items only ads log unused";

    assert_eq!(needed(None), all);
    assert_eq!(drop(&[]), all);
    assert_eq!(drop(&["cart.y", "user.other"]), all);
    assert_eq!(drop(&["cart.x"]), "user cart only ads log unused", "nor what would be put where nothing stays");
    assert_eq!(drop(&["cart.*"]), "user cart only ads log unused", "what is left of the cart may be no object");
    assert_eq!(drop(&["user.name"]), all, "the cart needs it");
    assert_eq!(drop(&["user.name", "cart"]), "only ads log unused");
    assert_eq!(drop(&["ads"]), "user cart items log unused");
    assert_eq!(drop(&["cart"]), "user only ads log unused");
    assert_eq!(drop(&["cart", "user"]), "only ads log unused");
    assert_eq!(drop(&["user"]), all, "the cart needs it");
    assert_eq!(keep(&["code"]), "log unused", "what changes something is done in any case");
    assert_eq!(keep(&["ads.x"]), "only ads log unused");
    assert_eq!(keep(&["cart.total"]), "user cart log unused");
    assert_eq!(keep(&["cart.x.n"]), "user cart items log unused");
}

#[test]
fn what_is_put_into_what_is_put_in_is_asked_for_where_it_is_seen() {
    let page = of(
        "/p",
        concat!(
            "calls:\n  l: {upstream: a, get: /l}\n  p: {upstream: a, get: \"/p/{each}\", each: l.i.id, into: l.i.p}\n",
            "  c: {upstream: a, get: \"/c/{each}\", each: p.k, into: p.c}\nanswer: {page: {list: \"{l.i}\"}, ids: \"{l.i.id}\"}",
        ),
    );
    let drop = |text: &str| {
        let policy = Policy::drop(&[text.parse().expect("a path")]).expect("a policy");
        page.needed(Some(&policy)).to_vec()
    };

    assert_eq!(drop("page.list.p.c"), [true, true, false]);
    assert_eq!(drop("page.list.p"), [true, false, false]);
    assert_eq!(drop("page"), [true, false, false], "the list has other members, too");
    assert_eq!(drop("page.list.p.k"), [true, true, true]);
}

#[test]
fn the_body_of_a_request_that_asks_for_something_is_not_read() {
    let page = of("/p", "calls:\n  a: {upstream: a, get: \"/a?x={body.x}\"}");

    for (method, reads) in [(Method::GET, false), (Method::HEAD, false), (Method::POST, true), (Method::DELETE, true)] {
        assert_eq!(page.reads_body(&method), reads, "{method}");
    }
}

#[tokio::test]
async fn each_missing_call_has_its_cause() {
    let page = of(
        "/p",
        concat!(
            "calls:\n  l: {upstream: a, get: /l}\n  s: {upstream: a, get: /s, optional: true}\n  c: {upstream: a, get: /c, otherwise: []}\n",
            "  v: {upstream: a, get: \"/v/{l.x}\", optional: true}\n  m: {upstream: a, get: \"/m/{each}\", each: l.i, most: 1, optional: true}\n",
            "  e: {upstream: a, get: \"/e/{each}\", each: l.i}\n  j: {upstream: a, get: /j, optional: true}",
        ),
    );
    let table = Table::new(|made| match made.line.as_str() {
        "GET a /l" => ok(r#"{"i":[1,2]}"#),
        "GET a /s" => status(503, ""),
        "GET a /c" => Said::Fails(Failed::Timeout),
        "GET a /e/2" => status(404, ""),
        "GET a /j" => ok("{"),
        _ => ok("1"),
    });

    let came = ask(&page, &get("/p"), &table).await;

    assert_eq!(came.header("x-bff-missing"), Some("s, c, v, m, e, j"));
    assert_eq!(came.causes, ["status 503", "timeout", "value_missing: l.x", "more than 1 values", "status 404", "malformed"]);
}

#[tokio::test]
async fn an_answer_keeps_its_place_in_memory_until_it_is_gone() {
    let page = of("/p", "calls:\n  a: {upstream: a, get: /a}\nanswer: [\"{a}\", \"{a}\", \"{a}\"]");
    let budget = Budget::new(1000);
    let calls = Counted(budget.clone());
    let asked = get("/p");
    let inquiry = || Inquiry { head: &asked.head, facts: &asked.facts, body: Bytes::new(), calls: &calls, deadline: None };

    let first = page.compose(inquiry()).await;

    let (head, body) = first.reply.render(Form::default(), &HeaderValue::from_static("r-1"));
    assert_eq!((head.status.as_u16(), body.len(), budget.told().1), (200, 610, 610));
    drop(first);
    assert_eq!(budget.told().1, 610, "bytes that are still to be sent");
    let second = page.compose(inquiry()).await;
    assert_eq!((second.reply.status.as_u16(), budget.told().1), (503, 610), "there is room for the call, and none for the whole");
    drop(body);
    assert_eq!(budget.told().1, 0);
    assert_eq!(page.compose(inquiry()).await.reply.status.as_u16(), 200);
}

/// Answers each call with 202 bytes of this budget.
struct Counted(Arc<Budget>);

impl Calls for Counted {
    fn make<'a>(&'a self, _: Ready<'a>) -> BoxFuture<'a, Result<Answered, Failed>> {
        let mut held = Held::of(&self.0);
        assert!(held.grow(202));
        let body = vec![Bytes::from(format!("\"{}\"", "x".repeat(200)))];
        Box::pin(std::future::ready(Ok(Answered { status: StatusCode::OK, body, held, ..Answered::default() })))
    }

    fn count(&self, _: &str, _: CallResult) {}
}
