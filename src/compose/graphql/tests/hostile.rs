//! Documents that are made to harm: each ends soon, and takes no stack with it.

use std::fmt::Write;
use std::time::{Duration, Instant};

use serde_json::json;

use super::super::{Kind, Request};
use super::table::{Table, ask, graph, ok, run};

/// In a build that is not optimised, on a machine that does other things, too. What must not be takes minutes, or for ever.
const SOON: Duration = Duration::from_secs(20);

const SCHEMA: &str = "type Query { a: Query, b: Int, l(x: [Int], o: In): Int, u: [U!] } union U = A | B type A { u: [U!], x: Int } type B { u: [U!], x: Int } input In { i: In }";

fn chained(count: usize) -> String {
    let mut text = "{ ...F0 }".to_owned();
    for index in 0..count {
        let _ = write!(text, " fragment F{index} on Query {{ ...F{} }}", index + 1);
    }
    let _ = write!(text, " fragment F{count} on Query {{ b }}");
    text
}

fn ladder(steps: usize) -> String {
    let mut text = "{ ...F0 }".to_owned();
    for index in 0..steps {
        let _ = write!(text, " fragment F{index} on Query {{ x: a {{ ...F{next} }} y: a {{ ...F{next} }} }}", next = index + 1);
    }
    let _ = write!(text, " fragment F{steps} on Query {{ b }}");
    text
}

fn deep(count: usize, open: &str, within: &str, close: &str) -> String {
    format!("{}{within}{}", open.repeat(count), close.repeat(count))
}

/// What is to be refused, each with the most tokens that a configuration allows.
fn documents() -> Vec<(&'static str, String)> {
    let names = |count: usize, one: &dyn Fn(usize) -> String| (0..count).map(one).collect::<String>();
    vec![
        ("fragments that spread themselves", "{ ...F } fragment F on Query { ...F }".to_owned()),
        ("fragments in a ring", "{ ...F } fragment F on Query { ...G } fragment G on Query { a { ...F } }".to_owned()),
        ("deep selections", deep(100_000, "{a", "", "}")),
        ("open braces", "{a".repeat(100_000)),
        ("deep lists", format!("{{ l(x: {}) }}", deep(100_000, "[", "1", "]"))),
        ("open brackets", format!("{{ l(x: {}", "[".repeat(100_000))),
        ("deep objects", format!("{{ l(o: {}) }}", deep(100_000, "{i:", "null", "}"))),
        ("deep types", format!("query($x: {}) {{ b }}", deep(100_000, "[", "Int", "]"))),
        ("chained fragments", chained(20_000)),
        ("a ladder", ladder(40)),
        ("many variables", format!("query({}) {{ b }}", names(20_000, &|index| format!("$v{index}: Int ")))),
        ("many aliases", format!("{{ {} }}", names(10_000, &|index| format!("a{index}: b ")))),
        ("many directives", format!("{{ b {} }}", "@skip(if: false) ".repeat(10_000))),
        ("many unknown names", format!("{{ {} }}", names(10_000, &|index| format!("z{index} ")))),
        ("many spreads", format!("{{ {} }} fragment F on Query {{ b }}", "...F ".repeat(10_000))),
        ("names that collide", format!("{{ {} }}", names(3_000, &|index| format!("x: l(x: {index}) ")))),
        ("one long name", format!("{{ {} }}", "x".repeat(1_000_000))),
        ("one long text", format!("{{ l(x: \"{}\") }}", "\\u0041".repeat(200_000))),
        ("quotes", "\"\"\"".repeat(100_000)),
        ("comments", "#\n".repeat(300_000)),
        ("nothing but commas", ",".repeat(500_000)),
        ("bytes that mean nothing", "\u{0}\u{7f}\u{202e}é".repeat(50_000)),
        ("fragments within fragments of all types", {
            let inner = "u { ... on A { x ...G } ... on B { x ...G } }";
            format!("{{ ...Q }} fragment Q on Query {{ {inner} }} fragment G on U {{ ... on A {{ {inner} }} ... on B {{ {inner} }} }}")
        }),
    ]
}

#[tokio::test]
async fn documents_that_are_made_to_harm_end_soon() {
    let graph = graph(SCHEMA, json!({}));
    let table = Table::new(|_| ok("{}"));
    for (name, document) in documents() {
        let begun = Instant::now();

        let outcome = run(&graph, ask(&document), &table).await;

        assert!(matches!(outcome.kind, Kind::Refused(_)), "{name}: {}", String::from_utf8_lossy(&outcome.body));
        assert!(outcome.body.len() < 64 << 10, "{name}: {} bytes of errors", outcome.body.len());
        assert!(begun.elapsed() < SOON, "{name}: {:?}", begun.elapsed());
    }
    assert!(table.lines().is_empty());
}

#[tokio::test]
async fn variables_that_are_made_to_harm_end_soon() {
    let graph = graph(SCHEMA, json!({}));
    let table = Table::new(|_| ok("{}"));
    for (name, document, variables) in [
        ("deep lists", "query($x: [Int]) { l(x: $x) }", format!("{{\"x\": {}}}", deep(100_000, "[", "1", "]"))),
        ("deep objects", "query($o: In) { l(o: $o) }", format!("{{\"o\": {}}}", deep(100_000, "{\"i\":", "null", "}"))),
        ("open brackets", "query($x: [Int]) { l(x: $x) }", format!("{{\"x\": {}", "[".repeat(100_000))),
        ("many unknown names", "query($x: Int!) { l(x: [$x]) }", {
            format!("{{{}}}", (0..50_000).map(|index| format!("\"v{index}\": 1")).collect::<Vec<_>>().join(","))
        }),
    ] {
        let begun = Instant::now();

        let outcome = run(&graph, Request { variables: Some(variables.as_bytes()), ..ask(document) }, &table).await;

        assert!(matches!(outcome.kind, Kind::Refused(_)), "{name}");
        assert!(begun.elapsed() < SOON, "{name}: {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn answers_that_are_made_to_harm_end_soon() {
    let fields = json!({"Query.a": {"upstream": "u", "get": "/a"}, "Query.u": {"upstream": "u", "get": "/u"}});
    let graph = graph(SCHEMA, json!({"fields": fields, "limits": {"cost": 1_000_000}}));
    let document = "{ u { ... on A { u { __typename } x } __typename } a { b l } }";
    let repeated = |text: &str, count: usize| vec![text; count].join(",");
    for (name, answer) in [
        ("deep arrays", deep(500, "[", "", "]")),
        ("too deep arrays", deep(100_000, "[", "", "]")),
        ("deep objects", deep(500, "{\"u\":", "1", "}")),
        ("many elements", format!("[{}]", repeated("1", 400_000))),
        ("many objects", format!("[{}]", repeated("{\"__typename\":\"A\",\"x\":1}", 30_000))),
        ("many members", format!("{{{}}}", repeated("\"b\":1", 100_000))),
        ("a member that says it twice", "{\"__typename\":\"A\",\"__typename\":\"B\"}".to_owned()),
        ("half a pair", "[{\"__typename\":\"\\ud800\"}]".to_owned()),
        ("a name with escapes", "[{\"\\u005f_typename\":\"\\u0041\",\"x\":\"\\u0031\"}]".to_owned()),
    ] {
        let table = Table::new(move |_| ok(&answer));
        let begun = Instant::now();

        let outcome = run(&graph, ask(document), &table).await;

        let read: serde_json::Value = serde_json::from_slice(&outcome.body).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(read.get("data").is_some(), "{name}");
        assert!(begun.elapsed() < SOON, "{name}: {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn lists_whose_elements_all_need_a_call_end_soon_and_make_no_more_than_are_allowed() {
    let fields = json!({"Query.u": {"upstream": "u", "get": "/u"}, "A.x": {"upstream": "u", "get": "/x?k={parent.k}"}});
    let graph = graph(SCHEMA, json!({"fields": fields, "limits": {"calls": 20}}));
    for (count, is_whole) in [(20_000, true), (70_000, false)] {
        let objects: Vec<String> = (0..count).map(|index| format!("{{\"__typename\":\"A\",\"k\":{index}}}")).collect();
        let answer = format!("[{}]", objects.join(","));
        let table = Table::new(move |made| if made.line == "GET u /u" { ok(&answer) } else { ok("7") });
        let begun = Instant::now();

        let outcome = run(&graph, ask("{ u { ... on A { x } } }"), &table).await;

        let read: serde_json::Value = serde_json::from_slice(&outcome.body).expect("JSON");
        assert_eq!(read["data"].is_object(), is_whole, "{count}");
        assert!(!is_whole || (read["data"]["u"][0]["x"] == 7 && read["data"]["u"][count - 1]["x"].is_null()), "{count}");
        assert!(table.lines().len() <= 20 && outcome.errors > 0, "{count}");
        assert!(begun.elapsed() < SOON, "{count}: {:?}", begun.elapsed());
    }
}
