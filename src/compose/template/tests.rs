//! What becomes of values where they are put, and that no value is ever more than one.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::compose::reference::Scope;
use crate::compose::values::{self, Value, Values};
use crate::router::Pattern;

/// Values by what refers to them.
#[derive(Default)]
struct Known(HashMap<Origin, Value<'static>>);

impl Values<Origin> for Known {
    fn find(&self, source: &Origin) -> Option<Value<'_>> {
        self.0.get(source).cloned()
    }
}

fn resolve(reference: &Reference) -> Result<Origin, Wrong> {
    let path = Pattern::parse("/x/{id}").expect("a path");
    Scope { path: &path, calls: &["a", "b"], each: true, saga: false }.resolve(reference)
}

fn origin(reference: &str) -> Origin {
    resolve(&Reference::bare(reference).expect("a reference")).expect("an origin")
}

fn json_value(text: &str) -> Value<'static> {
    Value::Json(values::read(&Arc::default(), Bytes::copy_from_slice(text.as_bytes())).expect(text).whole())
}

fn known(json: &[(&str, &str)], texts: &[(&str, &[u8])]) -> Known {
    let json = json.iter().map(|(name, text)| (origin(name), json_value(text)));
    Known(json.chain(texts.iter().map(|(name, text)| (origin(name), Value::Text(text.to_vec().into())))).collect())
}

fn target(text: &str, values: &Known) -> Result<String, Missing> {
    Target::compile(text, &mut resolve).expect(text).expand(values)
}

fn filled(value: serde_json::Value, values: &Known, lacking: Lacking) -> Result<String, Missing> {
    let filled = Json::compile(&value, &mut resolve).expect("JSON").expand(values, lacking)?;
    Ok(String::from_utf8(filled.into_bytes().to_vec()).expect("text"))
}

#[test]
fn a_value_in_a_path_is_a_segment_or_part_of_one() {
    let values = known(
        &[
            ("a.s", r#""x y/\u00e9;?#&=%""#),
            ("a.n", "1.50"),
            ("a.l", r#"["a,b", 2, null, [true]]"#),
            ("a.e", "[]"),
            ("a.o", "{}"),
            ("a.null", "null"),
        ],
        &[("id", b"\xff~.-_")],
    );
    for (text, expected) in [
        ("/", Ok("/")),
        ("/a//b/", Ok("/a//b/")),
        ("/a b/{{x}/%2F", Ok("/a%20b/%7Bx%7D/%2F")),
        ("/{a.s}", Ok("/x%20y%2F%C3%A9%3B%3F%23%26%3D%25")),
        ("/n-{a.n}/{id}/", Ok("/n-1.50/%FF~.-_/")),
        ("/{a.l}", Ok("/a%2Cb,2,true")),
        ("/{a.none:-x/y}", Ok("/x%2Fy")),
        ("/{a.null:-x}/z", Ok("/x/z")),
        ("/{a.none}", Err(Missing)),
        ("/{a.null}", Err(Missing)),
        ("/{a.o}", Err(Missing)),
        ("/{a.o:-x}", Err(Missing)),
        ("/{a.e}", Err(Missing)),
        ("/{a.none:-}/x", Err(Missing)),
        ("/{a.none:-}x", Ok("/x")),
    ] {
        assert_eq!(target(text, &values), expected.map(str::to_owned), "{text}");
    }
}

#[test]
fn a_segment_is_never_dots_by_a_value() {
    for value in [".", "..", ""] {
        let values = known(&[], &[("id", value.as_bytes())]);
        for text in ["/f/{id}/x", "/f/{id};v=1", "/f/{id}", "/{id}?a=1"] {
            assert_eq!(target(text, &values), Err(Missing), "{text} {value}");
        }
    }
    let dot = known(&[], &[("id", b".")]);
    for text in ["/{id}{id}", "/.{id}", "/{id}.", "/%2e{id}", "/{id}%2E", "/.{a.none:-.}"] {
        assert_eq!(target(text, &dot), Err(Missing), "{text}");
    }
    assert_eq!(target("/{id}..", &dot).as_deref(), Ok("/..."));
    assert_eq!(target("/a{id}", &dot).as_deref(), Ok("/a."));
}

#[test]
fn no_part_of_a_value_is_dots_to_whoever_decodes_its_slashes() {
    for value in ["../x", "x/..", "a/../b", "a/./b", "..\\x", "x\\.", "a/..;v=1/b", "./", "/.", "a\0", "a\nb", "\x7f"] {
        let values = known(&[], &[("id", value.as_bytes())]);
        for text in ["/f/{id}/x", "/{id}", "/v1/{id};v=1?a=1"] {
            assert_eq!(target(text, &values), Err(Missing), "{text} {value:?}");
        }
        // What is no path leads nowhere.
        assert!(target("/f?of={id}", &values).is_ok(), "{value:?}");
    }
    for (value, there) in
        [("a/b", "/f/a%2Fb"), ("a//b", "/f/a%2F%2Fb"), ("a/...", "/f/a%2F..."), (".a/b.", "/f/.a%2Fb."), ("a\\b", "/f/a%5Cb")]
    {
        assert_eq!(target("/f/{id}", &known(&[], &[("id", value.as_bytes())])).as_deref(), Ok(there), "{value}");
    }
}

#[test]
fn a_value_in_a_query_cannot_begin_a_parameter() {
    let values = known(&[("a.s", r#""x y&b=1#f+""#), ("a.l", "[1, 2]"), ("a.e", "[]"), ("a.o", "{}")], &[("query", b"a=1&b=%20&b=3")]);
    for (text, expected) in [
        ("/e?q={a.s}", Ok("/e?q=x+y%26b%3D1%23f%2B")),
        ("/e?{a.s}={a.l}&z", Ok("/e?x+y%26b%3D1%23f%2B=1,2&z")),
        ("/e?a={a.none}&limit={a.none:-5 }", Ok("/e?limit=5+")),
        ("/e?a={a.none}", Ok("/e")),
        ("/e?a={a.none}&b=1&c={a.none}&d={a.e}", Ok("/e?b=1&d=")),
        ("/e?{query}&x=1", Ok("/e?a=1&b=%20&b=3&x=1")),
        ("/e?q={query}", Ok("/e?q=a%3D1%26b%3D%2520%26b%3D3")),
        ("/e?q={a.o}", Err(Missing)),
        ("/e?", Ok("/e")),
        ("/e?a=?/ b", Ok("/e?a=?/%20b")),
    ] {
        assert_eq!(target(text, &values), expected.map(str::to_owned), "{text}");
    }
    assert_eq!(target("/e?{query}&x=1", &Known::default()).as_deref(), Ok("/e?x=1"));
    assert_eq!(target("/e?{query}", &known(&[], &[("query", b"")])).as_deref(), Ok("/e"));
}

#[test]
fn targets_that_lead_elsewhere_are_refused_when_they_are_read() {
    for text in [
        "",
        "x",
        "//x",
        "http://x/",
        "/a/../b",
        "/a/%2e%2E/b",
        "/a/.",
        "/a/..%2f",
        "/a/%2e%2e%2fb",
        "/a/b%5C..",
        "/a/%00",
        "/a%0a",
        "/a#b",
        "/a?b#c",
        "/100%",
        "/%{id}",
        "/%4{id}",
        "/{...a.l}",
    ] {
        assert!(Target::compile(text, &mut resolve).is_err(), "{text}");
    }
}

#[test]
fn targets_that_can_never_be_the_same_are_told() {
    let may = |one: &str, other: &str| {
        let target = |text: &str| Target::compile(text, &mut resolve).expect(text);
        let (one, other) = (target(one), target(other));
        assert_eq!(one.may_be_like(&other), other.may_be_like(&one));
        one.may_be_like(&other)
    };
    for (one, other) in
        [("/a", "/a"), ("/a", "/{id}"), ("/a/{id}", "/{id}/b"), ("/a?x=1", "/a?x={id}"), ("/a?x={a.none}", "/a"), ("/a/x{id}", "/a/{id}")]
    {
        assert!(may(one, other), "{one} {other}");
    }
    for (one, other) in [("/a", "/b"), ("/a", "/a/{id}"), ("/a/{id}", "/b/{id}"), ("/users", "/user"), ("/a", "/b?x={id}")] {
        assert!(!may(one, other), "{one} {other}");
    }
}

#[test]
fn what_is_too_long_is_not_sent() {
    let long = "x".repeat(70_000);
    assert_eq!(target("/{id}", &known(&[], &[("id", long.as_bytes())])), Err(Missing));
    let list = format!("[{}1]", "1234567,".repeat(20_000));
    assert_eq!(target("/e?q={a.l}", &known(&[("a.l", &list)], &[])), Err(Missing));
}

#[test]
fn a_text_is_what_stands_there_or_nothing() {
    let values = known(&[("a.l", "[1, 2]"), ("a.o", "{}")], &[("header.x", b"B\xe4r")]);
    let text = |text: &str| Words::compile(text, &mut resolve).expect(text).expand(&values);

    assert_eq!(text("{header.X}"), Ok(Some(b"B\xe4r".to_vec())));
    assert_eq!(text("a {a.l} {{b}"), Ok(Some(b"a 1,2 {b}".to_vec())));
    assert_eq!(text("a {a.none}"), Ok(None));
    assert_eq!(text("a {a.none:-}"), Ok(Some(b"a ".to_vec())));
    assert_eq!(text("a {a.o}"), Err(Missing));
}

#[test]
fn values_in_json_are_raw_and_text_is_escaped() {
    let values = known(
        &[("a.n", "1.0"), ("a.s", r#""A \"B\"\u00e9""#), ("a.o", r#"{ "x" : 1 }"#), ("a.l", "[1, {}]"), ("a.null", "null")],
        &[("id", b"7"), ("header.x", b"\xff")],
    );
    let page = json!({"id": "{id}", "n": "{a.n}", "o": "{a.o}", "note": "{{n {a.n} of {a.s}", "none": "{a.none}", "null": "{a.null}",
        "d": "{a.null:-x\"y}", "list": ["{a.none}", "{...a.l}", "{a.l}", "{...a.none}", "{{"], "odd": "{header.x}", "c": ["x", {"y": "{{}"}]});

    assert_eq!(
        filled(page.clone(), &values, Lacking::Fails).as_deref(),
        Ok(concat!(
            r#"{"id":"7","n":1.0,"o":{ "x" : 1 },"note":"{n 1.0 of A \"B\"é","null":null,"d":"x\"y","#,
            r#""list":[null,1, {},[1, {}],"{"],"c":["x",{"y":"{}"}]}"#
        ))
    );
    let text = json!({"a": "n {a.none}", "l": ["n {a.o}"], "x": 1});
    assert_eq!(filled(text.clone(), &values, Lacking::Fails), Err(Missing));
    assert_eq!(filled(text, &values, Lacking::LeftOut).as_deref(), Ok(r#"{"l":[null],"x":1}"#));
    assert_eq!(filled(json!("{a.none}"), &values, Lacking::Fails).as_deref(), Ok("null"));
    assert_eq!(filled(json!("{a}"), &known(&[("a", "3")], &[]), Lacking::Fails).as_deref(), Ok("3"));
}

#[test]
fn what_is_spread_gives_way_to_what_is_named() {
    let page = json!({"...": ["a", "b.c"], "foo": 42, "x\"y": "{id}"});
    let spread = |a: &str, c: &str| filled(page.clone(), &known(&[("a", a), ("b.c", c)], &[("id", b"1")]), Lacking::LeftOut).expect("JSON");

    assert_eq!(spread(r#"{"z": 0}"#, r#"{ "k":1 }"#), r#"{"z": 0,"k":1,"foo":42,"x\"y":"1"}"#);
    assert_eq!(spread(r#"{"foo": 1, "z": 0}"#, r#"{"k":{"foo":1},"\u0066oo":7}"#), r#"{"z": 0,"k":{"foo":1},"foo":42,"x\"y":"1"}"#);
    assert_eq!(spread(r#"{"x\"y":1,"x\u0022y":2}"#, "[1]"), r#"{"foo":42,"x\"y":"1"}"#);
    assert_eq!(spread("3", "null"), r#"{"foo":42,"x\"y":"1"}"#);
    for wrong in [json!({"...": 1}), json!({"...": []}), json!({"...": "{a}"}), json!({"x": "{...a}"}), json!(["a {...a}"])] {
        assert!(Json::compile(&wrong, &mut resolve).is_err(), "{wrong}");
    }
}

#[test]
fn places_of_values_are_told_by_the_names_that_lead_there() {
    let page = json!({"code": 0, "x": {"u": "{a.u}", "l": ["{b} and {id}", [{"y": "{b}"}]]}, "...": ["a", "b"], "in": {"...": "a"}});
    let page = Json::compile(&page, &mut resolve).expect("JSON");
    let mut found = Vec::new();

    page.places(&mut |path, stands, source| found.push((path.join("."), stands, source.clone())));

    let expected = [
        ("x.u", Stands::Whole, "a.u"),
        ("x.l", Stands::InText, "b"),
        ("x.l", Stands::InText, "id"),
        ("x.l.y", Stands::Whole, "b"),
        ("", Stands::Whole, "a"),
        ("", Stands::Whole, "b"),
        ("in", Stands::Whole, "a"),
    ];
    let expected: Vec<_> = expected.iter().map(|(path, stands, text)| ((*path).to_owned(), *stands, origin(text))).collect();
    assert_eq!(found, expected);
    let mut all = 0;
    page.sources(&mut |_| all += 1);
    assert_eq!(all, expected.len());
}

/// Bytes of which many mean something to somebody.
fn nasty() -> impl Strategy<Value = Vec<u8>> {
    let bytes = prop::sample::select(b"/.%2e;?&=#+ \\\"{}[]:,\r\n\0\xff\xc3\xa9ax@".to_vec());
    prop_oneof![vec(any::<u8>(), 0..12), vec(bytes, 0..12), Just(b"..".to_vec()), Just(b"../x".to_vec())]
}

fn many() -> u32 {
    if std::env::var_os("FRONTGATE_LONG").is_some() { 1_000_000 } else { 4_000 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: many(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_value_adds_a_segment_or_a_parameter(one in nasty(), other in nasty(), list in vec("[ -~]{0,6}", 0..4)) {
        let list = json!(list).to_string();
        let values = known(&[("a.l", &list)], &[("id", &one), ("query.q", &other)]);
        let text = "/a/{id}-{query.q}/{id}/{a.l}/z?p={id}&{query.q}={a.l}&x={query.q}";

        let Ok(target) = target(text, &values) else { return Ok(()) };

        let (path, query) = target.split_once('?').expect("a query");
        prop_assert_eq!(path.split('/').count(), 6, "{}", target);
        prop_assert_eq!(query.split('&').count(), 3, "{}", target);
        prop_assert_eq!(query.matches('=').count(), 3, "{}", target);
        prop_assert!(path.split('/').skip(1).all(|segment| !matches!(segment, "" | "." | "..")), "{}", target);
        let decoded: Vec<u8> = percent_encoding::percent_decode_str(path).collect();
        prop_assert!(decoded.split(|byte| matches!(byte, b'/' | b'\\')).all(|part| part != b"." && part != b".."), "{}", target);
        prop_assert!(target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#' && byte != b'\\'), "{}", target);
        let segments: Vec<Vec<u8>> = path.split('/').map(|segment| percent_encoding::percent_decode_str(segment).collect()).collect();
        prop_assert_eq!(&segments[3], &one, "what is decoded is what was there");
        prop_assert!(target.parse::<http::Uri>().is_ok(), "{}", target);
    }

    #[test]
    fn no_value_adds_a_member(one in nasty(), other in nasty(), text in any::<String>()) {
        let quoted = json!(text).to_string();
        let values = known(&[("a.s", &quoted), ("a", &json!({"k": text, "first": text}).to_string())], &[("id", &one), ("query.q", &other)]);
        let page = json!({"first": "x {id} {a.s}", "list": ["{query.q}", "{a.s}"], "...": "a", "in": {"q": "{a.s}"}});

        let filled = filled(page, &values, Lacking::LeftOut).expect("JSON");

        let read: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&filled).expect("JSON");
        let names: Vec<&str> = read.keys().map(String::as_str).collect();
        match std::str::from_utf8(&one) {
            Ok(_) => prop_assert_eq!(names, ["first", "list", "k", "in"]),
            Err(_) => prop_assert_eq!(names, ["list", "k", "in"]),
        }
        prop_assert_eq!(&read["in"], &json!({"q": text}));
        prop_assert_eq!(read["list"].as_array().map(Vec::len), Some(2));
        prop_assert_eq!(serde_json::to_string(&read).expect("JSON"), filled, "no name stands twice");
    }
}
