//! Calls for each of several values, and what becomes of their results.

use super::table::{Said, Table, after, ask, get, of, ok, status};
use crate::compose::Failed;

#[tokio::test]
async fn values_are_asked_for_once_in_the_order_in_which_they_come() {
    let page = of(
        "/p",
        "calls:\n  l: {upstream: a, get: /l}\n  e: {upstream: a, get: \"/e/{each}\", each: l.x.id, concurrency: 1}\nanswer: \"{e}\"",
    );
    let table = Table::new(|made| match made.line.as_str() {
        "GET a /l" => ok(
            r#"[{"x":[{"id":3},{"id":[1,[2,null]]}]},{"x":{"id":3}},{"x":{"id":"3"}},{"x":{"id":"\u0033"}},{"y":{"id":9}},{"x":{"id":true}}]"#,
        ),
        line => ok(&format!("\"{line}\"")),
    });

    let came = ask(&page, &get("/p"), &table).await;

    assert_eq!(table.lines()[1..], ["GET a /e/3", "GET a /e/1", "GET a /e/2", "GET a /e/true"], "what is asked alike is asked once");
    assert_eq!(came.text, r#"["GET a /e/3","GET a /e/1","GET a /e/2","GET a /e/3","GET a /e/true"]"#);
    assert_eq!(came.header("x-bff-complete"), Some("true"));
}

#[tokio::test]
async fn only_so_many_calls_are_made_at_once() {
    let page =
        of("/p", "calls:\n  l: {upstream: a, get: /l}\n  e: {upstream: a, get: \"/e/{each}\", each: l, concurrency: 3}\nanswer: \"{e}\"");
    let table = Table::new(|made| match made.line.as_str() {
        "GET a /l" => ok("[1,2,3,4,5,6,7,8,9]"),
        // The first group stays until the third call was made, so that three are seen at once.
        "GET a /e/1" | "GET a /e/2" => after("GET a /e/3", ok("0")),
        _ => ok("0"),
    });

    let came = ask(&page, &get("/p"), &table).await;

    assert_eq!(came.text, "[0,0,0,0,0,0,0,0,0]");
    assert_eq!(table.on_their_way.lock().expect("a count").1, 3);
}

#[tokio::test]
async fn too_many_values_fail_the_call() {
    let page = of("/p", "calls:\n  l: {upstream: a, get: /l}\n  e: {upstream: a, get: \"/e/{each}\", each: l, most: 2, optional: true}");
    for (list, missing) in [("[1,1,2,null]", None), ("[1,2,3]", Some("e"))] {
        let table = Table::new(move |made| ok(if made.name == "l" { list } else { "0" }));
        let came = ask(&page, &get("/p"), &table).await;
        assert_eq!(came.header("x-bff-missing"), missing, "{list}");
        assert_eq!(table.lines().len(), if missing.is_some() { 1 } else { 3 });
    }
}

#[tokio::test]
async fn results_become_members_of_what_each_went_through() {
    let page = of(
        "/p",
        concat!(
            "calls:\n  cart: {upstream: a, get: /cart, at: data}\n",
            "  p: {upstream: a, get: \"/p?ids={each}\", each: cart.items.ref.id, batch: 2, at: list, by: of.id, into: cart.items.product, otherwise: {none: true}}\n",
            "  r: {upstream: a, get: \"/r/{each}\", each: cart.items.ref.id, into: cart.items.rating}\n",
            "  o: {upstream: a, get: \"/o/{each}\", each: cart.owner, into: cart.owner}\n",
            "answer: {cart: \"{cart}\", first: \"{cart.items.0}\", refs: \"{cart.items.ref}\", all: \"{p.of.id}\"}",
        ),
    );
    let table = Table::of(&[
        (
            "GET a /cart",
            ok(
                r#"{"x":1,"data":{"owner":7,"items":[{"ref":{"id":1}},{"product":"old","ref":{"id":"2"}},{"ref":{"id":3}},{ },4,{"ref":{"id":[1]}}]}}"#,
            ),
        ),
        (
            "GET a /p?ids=1,2",
            ok(r#"{"list":[{"of":{"id":2}},{"of":{"id":"9"}},{"of":{"id":1},"second":false},{"of":{"id":1},"second":true},{}]}"#),
        ),
        ("GET a /p?ids=3", status(500, "")),
        ("GET a /r/1", ok("5")),
        ("GET a /r/2", status(404, "")),
        ("GET a /r/3", ok("[3]")),
        ("GET a /o/7", ok(r#"{"name":"Ann"}"#)),
    ]);

    let came = ask(&page, &get("/p"), &table).await;

    let (one, two) = (r#"{"of":{"id":1},"second":false}"#, r#"{"of":{"id":2}}"#);
    let none = r#"{"none":true}"#;
    let first = format!(r#"{{"ref":{{"id":1}},"product":{one},"rating":5}}"#);
    let items = format!(
        concat!(
            r#"[{first},{{"product":{two},"ref":{{"id":"2"}}}},{{"ref":{{"id":3}},"product":{none},"rating":[3]}},"#,
            r#"{{ "product":{none}}},4,{{"ref":{{"id":[1]}},"product":[{one}],"rating":[5]}}]"#
        ),
        first = first,
        two = two,
        one = one,
        none = none
    );
    assert_eq!(
        came.text,
        format!(
            r#"{{"cart":{{"owner":{{"name":"Ann"}},"items":{items}}},"first":{first},"refs":[{{"id":1}},{{"id":"2"}},{{"id":3}},{{"id":[1]}}],"all":[1,2]}}"#
        )
    );
    assert_eq!(came.header("x-bff-missing"), Some("p, r"));
}

#[tokio::test]
async fn results_may_get_members_themselves() {
    let page = of(
        "/p",
        concat!(
            "calls:\n  cart: {upstream: a, get: /cart}\n  p: {upstream: a, get: \"/p?ids={each}\", each: cart.id, batch: 9, by: id, many: true, into: cart.products}\n",
            "  c: {upstream: a, get: \"/c/{each}\", each: p.kind, into: p.category}\nanswer: {cart: \"{cart}\", kinds: \"{p.kind}\", p: \"{p}\"}",
        ),
    );
    let table = Table::of(&[
        ("GET a /cart", ok(r#"[{"id":1},{"id":2},{"id":3}]"#)),
        ("GET a /p?ids=1,2,3", ok(r#"[{"id":1,"kind":"x"},{"id":2,"kind":"y"},{"id":1,"kind":"y"}]"#)),
        ("GET a /c/x", ok("\"X\"")),
        ("GET a /c/y", ok("\"Y\"")),
    ]);

    let came = ask(&page, &get("/p"), &table).await;

    let of_one = r#"[{"id":1,"kind":"x","category":"X"},{"id":1,"kind":"y","category":"Y"}]"#;
    let of_two = r#"[{"id":2,"kind":"y","category":"Y"}]"#;
    assert_eq!(
        came.text,
        format!(
            r#"{{"cart":[{{"id":1,"products":{of_one}}},{{"id":2,"products":{of_two}}},{{"id":3,"products":[]}}],"kinds":["x","y","y"],"p":[{of_one},{of_two}]}}"#
        )
    );
}

#[tokio::test]
async fn a_call_for_values_that_fails_as_a_whole_is_like_any_other() {
    let page = |more: &str| {
        of(
            "/p",
            &format!(
                "calls:\n  l: {{upstream: a, get: /l{more}}}\n  e: {{upstream: a, get: \"/e/{{each}}\", each: l.i.id, most: 1, into: l.i.x, otherwise: 0}}\n  k: {{upstream: a, get: /k}}"
            ),
        )
    };
    let table = || Table::of(&[("GET a /l", ok(r#"{"i":[{"id":1},{"id":2}]}"#)), ("GET a /k", ok("1"))]);

    let came = ask(&page(""), &get("/p"), &table()).await;
    assert_eq!(came.text, r#"{"l":{"i":[{"id":1,"x":0},{"id":2,"x":0}]},"k":1}"#);

    let table = Table::new(|made| if made.name == "k" { ok("1") } else { Said::Fails(Failed::Connect) });
    let came = ask(&page(", optional: true"), &get("/p"), &table).await;
    assert_eq!((came.text.as_str(), came.header("x-bff-missing")), (r#"{"k":1}"#, Some("l, e")));
}

#[tokio::test]
async fn what_is_put_into_many_places_is_bounded() {
    let page = of(
        "/p",
        "calls:\n  l: {upstream: a, get: /l}\n  e: {upstream: a, get: \"/e/{each}\", each: l.id, into: l.x}\nlimits: {total: 1MiB}",
    );
    let list = format!("[{}{{}}]", "{\"id\":1},".repeat(20_000));
    let big = format!("\"{}\"", "x".repeat(10_000));
    let table = Table::new(move |made| ok(if made.name == "l" { &list } else { &big }));

    let came = ask(&page, &get("/p"), &table).await;

    assert_eq!((came.status, came.json()["call"].as_str()), (502, Some("e")));
}

#[tokio::test]
async fn a_list_of_values_gets_a_list_of_results_in_its_order() {
    let page = of(
        "/p",
        concat!(
            "calls:\n  l: {upstream: a, get: /l}\n",
            "  p: {upstream: a, get: \"/p?ids={each}\", each: l.carts.items.id, batch: 9, by: id, into: l.carts.products}\n",
            "  f: {upstream: a, get: \"/f/{each}\", each: l.friends, into: l.friends, otherwise: {gone: true}}\n",
            "  m: {upstream: a, get: \"/m?ids={each}\", each: l.carts.items.id, batch: 9, by: id, many: true, into: l.carts.all}",
        ),
    );
    let table = Table::of(&[
        (
            "GET a /l",
            ok(concat!(
                r#"{"friends":["x","y",null,"x"],"carts":[{"items":[{"id":2},{"id":1},{"id":2},{"id":3}]},"#,
                r#"{"items":[{"id":1}],"products":"old"},{"items":[]},{"items":[{}]},{"items":{"id":1}},{}]}"#
            )),
        ),
        ("GET a /p?ids=2,1,3", ok(r#"[{"id":1},{"id":2}]"#)),
        ("GET a /m?ids=2,1,3", ok(r#"[{"id":1,"n":1},{"id":1,"n":2}]"#)),
        ("GET a /f/x", ok(r#"{"name":"X"}"#)),
        ("GET a /f/y", status(500, "")),
    ]);

    let came = ask(&page, &get("/p"), &table).await;

    let (one, two, all) = (r#"{"id":1}"#, r#"{"id":2}"#, r#"[{"id":1,"n":1},{"id":1,"n":2}]"#);
    let carts = [
        format!(r#"{{"items":[{{"id":2}},{{"id":1}},{{"id":2}},{{"id":3}}],"products":[{two},{one},{two},null],"all":[[],{all},[],[]]}}"#),
        format!(r#"{{"items":[{{"id":1}}],"products":[{one}],"all":[{all}]}}"#),
        r#"{"items":[],"products":[],"all":[]}"#.to_owned(),
        r#"{"items":[{}],"products":[],"all":[]}"#.to_owned(),
        format!(r#"{{"items":{{"id":1}},"products":{one},"all":{all}}}"#),
        r#"{"all":[]}"#.to_owned(),
    ];
    let friends = r#"[{"name":"X"},{"gone":true},{"gone":true},{"name":"X"}]"#;
    assert_eq!(came.text, format!(r#"{{"l":{{"friends":{friends},"carts":[{}]}}}}"#, carts.join(",")));
    assert_eq!(came.header("x-bff-missing"), Some("f"));
}

#[tokio::test]
async fn lists_of_results_are_bounded() {
    let page = of(
        "/p",
        "calls:\n  l: {upstream: a, get: /l}\n  e: {upstream: a, get: \"/e/{each}\", each: l.ids, into: l.x}\nlimits: {total: 1MiB}",
    );
    let list = format!("{{\"ids\":[{}1]}}", "1,".repeat(20_000));
    let big = format!("\"{}\"", "x".repeat(10_000));
    let table = Table::new(move |made| ok(if made.name == "l" { &list } else { &big }));

    let came = ask(&page, &get("/p"), &table).await;

    assert_eq!((came.status, came.json()["call"].as_str()), (502, Some("e")));
}
