//! What is written is read with its places and in its order, and is written again as it was.

use serde_json::{Value, json};

use super::{Aggregate, Call, Json, JsonPlace, Verb, Within};

#[test]
fn a_call_is_written_again_as_it_was_read() {
    let text = r#"{"upstream":"carts","get":"/carts/{user.cart_id}?x={query.x:-1}","headers":{"X-T":"{claim.sub}"},"timeout":"400ms",
        "expect":[200,"404-410"],"at":"data.0.items","keep":["items.id","**.x"],"rename":{"b":"z","a":"y"},
        "when":{"user.kind":"seller","device":"desktop"},"otherwise":null,"each":"cart.items.product_id","most":10,
        "concurrency":2,"batch":5,"by":"id","many":true,"into":"cart.items.product","back":["Set-Cookie"]}"#;
    let written: Value = serde_json::from_str(text).expect("JSON");

    let call: Call = serde_json::from_value(written.clone()).expect("a call");

    assert_eq!(call.request().map(|(verb, target)| (verb, target.as_str())), Some((Verb::Get, "/carts/{user.cart_id}?x={query.x:-1}")));
    assert_eq!(call.otherwise.as_ref().map(|value| &value.value), Some(&Value::Null), "null is an answer");
    assert!(call.expect.contains(200) && call.expect.contains(405) && !call.expect.contains(201));
    let mut again = serde_json::to_value(&call).expect("JSON");
    again["expect"][0] = json!(200);
    assert_eq!(again.to_string().len(), written.to_string().len(), "{again}");
    assert_eq!(again, written);
    let renames: Vec<&str> = call.rename.as_ref().expect("names").iter().map(|(name, _)| name).collect();
    assert_eq!(renames, ["b", "a"], "in their order");
}

#[test]
fn calls_and_members_stay_in_their_order() {
    let written = json!({"calls": {"b": {"upstream": "p", "get": "/b"}, "a": {"upstream": "p", "post": "/a", "body": {"z": [1, null], "y": "{b}"}}},
        "answer": {"z": "{b}", "a": 1.5}});

    let aggregate: Aggregate = serde_json::from_value(written).expect("an aggregate");

    assert_eq!(aggregate.calls().map(|(name, _)| name).collect::<Vec<_>>(), ["b", "a"]);
    let answer = aggregate.answer.as_ref().expect("an answer");
    assert_eq!(serde_json::to_string(answer).expect("JSON"), r#"{"z":"{b}","a":1.5}"#);
    let body = aggregate.calls.get("a").and_then(|call| call.body.as_ref()).expect("a body");
    let mut texts = Vec::new();
    Json::texts(body, &mut |text| texts.push(text.value));
    assert_eq!(texts, ["{b}"]);
    assert_eq!((aggregate.limits.answer.value.0, aggregate.limits.total.value.0, aggregate.limits.calls.value), (1 << 20, 8 << 20, 64));
}

#[test]
fn a_place_within_a_call_says_what_is_wrong_with_it() {
    let within: Within = "cart.items.0.\"a.b\"".parse().expect("a place");
    assert_eq!(
        (within.call.as_str(), within.at.to_string().as_str(), within.to_string().as_str()),
        ("cart", "items.0.\"a.b\"", "cart.items.0.\"a.b\"")
    );
    assert_eq!("ids".parse::<Within>().expect("all of it").at.steps(), []);
    for (text, words) in [
        ("", "does not begin with the name of a call"),
        (".x", "does not begin with the name of a call"),
        ("cart.", "at its byte 6"),
        ("cart.a..b", "at its byte 8"),
        ("cart.*.id", "stand for several"),
    ] {
        let why = text.parse::<Within>().expect_err("no place");
        assert!(why.contains(words), "{why}");
    }
    for (text, meant) in
        [("$.items", "items"), ("items[0]", "items.0"), ("$[0].id", "0.id"), ("items[*].id", "items.id"), ("/data/items", "data.items")]
    {
        let why = text.parse::<JsonPlace>().expect_err("another program's");
        assert!(why.contains(&format!("write `{meant}`")), "{why}");
    }
    assert!("\"items[0]\"".parse::<JsonPlace>().is_ok() && "$ref".parse::<JsonPlace>().is_ok());
    assert!("**.id".parse::<JsonPlace>().expect_err("no place").contains("stand for several"));
}
