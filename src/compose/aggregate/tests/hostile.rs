//! Whatever services answer: the whole is one right JSON value with exactly the members that the configuration says.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use super::super::Aggregate;
use super::table::{Came, Said, Table, ask, get, of};

/// The names of an object's members, also of those that stand twice.
struct Names(Vec<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Names;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Names, A::Error> {
                let mut names = Vec::new();
                while let Some((name, serde::de::IgnoredAny)) = map.next_entry()? {
                    names.push(name);
                }
                Ok(Names(names))
            }
        }
        deserializer.deserialize_map(All)
    }
}

fn page() -> Aggregate {
    of(
        "/p",
        concat!(
            "calls:\n  first: {upstream: a, get: /first}\n  x: {upstream: a, get: /x, optional: true, rename: {a: b}}\n",
            "  y: {upstream: a, get: \"/y/{each}\", each: x.id, into: x.y, optional: true}\n  last: {upstream: a, get: /last}\n",
            "answer: {first: \"{first}\", x: \"{x}\", in: {x: \"{x.b}\", l: [\"{...x.l}\", \"{x}\", \"t {x.id}\"]}, last: \"{last}\"}",
        ),
    )
}

/// Every service that is hostile answers so, in these chunks.
fn asked(page: &Aggregate, answer: Vec<Bytes>) -> Came {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let table = Table::new(move |made| match made.name.as_str() {
        "first" | "last" => super::table::ok("1"),
        _ => Said::Answer(200, Vec::new(), answer.clone()),
    });
    runtime.block_on(ask(page, &get("/p"), &table))
}

fn assert_whole(came: &Came, answer: &[u8]) -> bool {
    let why = answer.escape_ascii().to_string();
    let names: Names = serde_json::from_str(&came.text).unwrap_or_else(|error| panic!("{error}: {why}: {}", came.text));
    let taken = match came.header("x-bff-missing") {
        Some(missing) => !missing.split(", ").any(|name| name == "x"),
        None => true,
    };
    let expected: &[&str] = if taken { &["first", "x", "in", "last"] } else { &["first", "in", "last"] };
    assert_eq!(names.0, expected, "{why}");
    assert_eq!(came.status, 200);
    taken
}

#[test]
fn the_json_test_suite_as_an_answer_is_refused_or_stays_in_its_place() {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    let Some(folder) = frontgate_test_support::vectors("json-test-suite") else { return };
    let cases = std::fs::read_to_string(folder.join("cases.jsonl")).expect("the suite");
    let page = page();
    let bytes = |text: &serde_json::Value| STANDARD.decode(text.as_str().unwrap_or_default()).expect("base64");
    let mut seen = 0;
    for line in cases.lines() {
        let case: serde_json::Value = serde_json::from_str(line).expect("a case");
        let name = case["name"].as_str().expect("a name");
        let mut text = bytes(&case["b64"]);
        text.extend(bytes(&case["repeat_b64"]).repeat(case["times"].as_u64().unwrap_or(0) as usize));
        text.extend(bytes(&case["suffix_b64"]));

        let came = asked(&page, vec![text.clone().into()]);

        let taken = assert_whole(&came, &text);
        match &name[..2] {
            "y_" => assert!(taken, "{name}"),
            "n_" => assert!(!taken, "{name}"),
            _ => {}
        }
        seen += 1;
    }
    assert!(seen > 300, "{seen}");
}

#[test]
fn brackets_without_end_are_refused() {
    let page = page();
    for bracket in ["[", "{\"a\":"] {
        let text = bracket.repeat(1_000_000);
        assert!(!assert_whole(&asked(&page, vec![text.clone().into()]), &text.as_bytes()[..10]));
    }
}

fn answers() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::sample::select(vec![
        "1",
        "\"x\"",
        "{}",
        "[",
        "]",
        "{",
        "}",
        ",",
        ":",
        "\"admin\":true",
        "\"a\":",
        "\"id\":",
        "\"l\":",
        "\"y\":",
        "{\"a\":1}",
        "{\"id\":[1,2]}",
        "{\"id\":1,\"y\":{",
        "\"\\u0069d\":3",
        "}}",
        "[{\"id\":\"x\"},{\"id\":2}]",
        "null",
        " ",
        "\\",
        "\"",
        "},\"admin\":true,\"b\":{",
        "\u{e9}",
        "{\"id\":\"a/../b\",\"l\":[1,[2]],\"a\":{}}",
        "\"\\ud800\"",
    ]);
    prop_oneof![vec(any::<u8>(), 0..40), vec(pieces, 0..8).prop_map(|pieces| pieces.concat().into_bytes())]
}

fn many() -> u32 {
    if std::env::var_os("FRONTGATE_LONG").is_some() { 1_000_000 } else { 1_500 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: many(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_answered_stays_in_its_place(answer in answers(), cut in any::<prop::sample::Index>()) {
        thread_local! { static PAGE: Aggregate = page(); }
        let whole = Bytes::from(answer.clone());
        let at = cut.index(answer.len() + 1);
        let came = PAGE.with(|page| asked(page, vec![whole.slice(..at), whole.slice(at..)]));
        // Whether it is taken does not depend on how it is cut.
        prop_assert_eq!(assert_whole(&came, &answer), PAGE.with(|page| assert_whole(&asked(page, vec![whole.clone()]), &answer)));
    }
}
