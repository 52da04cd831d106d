//! What somebody tries who wants to see more than he should: hidden fields by other ways, the schema where it is not told, names by mistakes.

use serde_json::json;

use super::super::{Graph, Kind, Refused, Request};
use super::table::{Table, ask, graph, json_of, ok, run, try_graph};

const SCHEMA: &str = r#"
type Query { open(by: Secretive, of: Hushed): Open, any: [Any], node: Node, opens(ids: [ID!]!): [Open] }
type Mutation { change: Int }
union Any = Open | Closed
interface Node { id: ID, price: Int }
type Open implements Node @key(fields: "id") { id: ID price: Int name: String next: Open bids: [Int] }
type Closed implements Node { id: ID price: Int unspoken: String }
input Secretive { unsaid: Int }
enum Hushed { WHISPERED }
"#;

fn guarded() -> Graph {
    let fields = json!({
        "Query.open": {"upstream": "u", "get": "/open"},
        "Query.any": {"upstream": "u", "get": "/any"},
        "Query.node": {"upstream": "u", "get": "/node"},
        "Query.opens": {"upstream": "u", "get": "/opens?ids={each}", "each": "args.ids", "batch": 50, "by": "id"},
        "Open.bids": {"upstream": "u", "get": "/bids?of={parent.id}"},
    });
    graph(SCHEMA, json!({"fields": fields, "subgraph": true, "hide": {"profiles": {"tv": ["Node.price", "Open.bids"]}}}))
}

fn table() -> Table {
    Table::new(|made| match made.line.as_str() {
        "GET u /open" | "GET u /node" => {
            ok(json!({"__typename": "Open", "id": 1, "price": 777, "next": {"id": 2, "price": 778, "next": {"price": 779}}}))
        }
        "GET u /any" => ok(json!([{"__typename": "Open", "id": 1, "price": 777}, {"__typename": "Closed", "price": 777}])),
        "GET u /opens?ids=1" => ok(json!([{"id": 1, "price": 777}])),
        _ => ok("[777]"),
    })
}

#[tokio::test]
async fn what_is_hidden_is_found_by_no_other_way() {
    let graph = guarded();
    for document in [
        "{ open { price bids } }",
        "{ open { x: price y: bids price } }",
        "{ open { ...F next { ...F next { ...F } } } } fragment F on Node { price ... on Open { b: bids } }",
        "{ node { price ... on Node { p: price } ... on Open { q: price bids } } }",
        "{ any { ... on Node { price } ... on Open { z: price bids } ... on Closed { price } } }",
        "{ _entities(representations: [{__typename: \"Open\", id: 1, price: 777}]) { ... on Open { price p: price bids } } }",
        "query($v: Boolean! = true) { open @include(if: $v) { price @skip(if: false) bids @include(if: $v) } }",
    ] {
        let table = table();
        let shown = run(&graph, ask(document), &table).await;
        assert!(json_of(&shown).to_string().contains("77"), "{document}: {}", json_of(&shown));
        let table = self::table();

        let outcome = run(&graph, Request { profile: Some("tv"), ..ask(document) }, &table).await;

        let answer = json_of(&outcome);
        assert!(outcome.kind == Kind::Data && outcome.errors == 0, "{document}: {answer}");
        assert!(!answer.to_string().contains("77"), "{document}: {answer}");
        assert!(!table.lines().iter().any(|line| line.contains("/bids")), "{document}: {:?}", table.lines());
    }
    // What cannot be null cannot be hidden, whatever an interface promises.
    let schema = "type Query { n: N } interface N { a: Int } type A implements N { a: Int! }";
    let hide = json!({"hide": {"profiles": {"tv": ["N.a"]}}});
    let problems = try_graph(schema, hide).err().expect("it is refused");
    assert_eq!(problems[0].message, "`A.a` is never null, so that it cannot be hidden");
}

#[tokio::test]
async fn the_schema_is_told_by_no_other_way_to_who_may_not_ask_for_it() {
    let graph = guarded();
    for (document, why) in [
        ("{ __schema { queryType { name } } }", Refused::Introspection),
        ("{ s: __schema { queryType { name } } __typename }", Refused::Introspection),
        ("{ ... on Query { t: __type(name: \"Closed\") { name } } }", Refused::Introspection),
        ("{ ...F } fragment F on Query { ...G } fragment G on Query { __type(name: \"Closed\") { name } }", Refused::Introspection),
        ("query($n: String!) { __type(name: $n) @include(if: true) { name } }", Refused::Introspection),
        ("query A { __typename } query B { __schema { queryType { name } } }", Refused::Operation),
        ("mutation { __schema { queryType { name } } }", Refused::Validation),
        ("mutation { change __type(name: \"Closed\") { name } }", Refused::Validation),
        ("{ open { __schema { queryType { name } } } }", Refused::Validation),
    ] {
        let table = table();
        let request = Request { introspection: false, variables: Some(br#"{"n": "Closed"}"#), ..ask(document) };

        let outcome = run(&graph, request, &table).await;

        assert_eq!(outcome.kind, Kind::Refused(why), "{document}: {}", json_of(&outcome));
        assert_eq!(table.lines().len(), 0, "{document}");
    }
    for document in [
        "{ opne { id } }",
        "{ open { unspokn } }",
        "{ open { ... on Clsed { id } } }",
        "{ any { ... on Opn { id } } }",
        "{ open(by: {unsid: 1}) { id } }",
        "{ open(of: WHISPERD) { id } }",
        "{ open(of: 1) { id } }",
        "{ open(byy: 1) { id } }",
        "query($x: Secretve) { open(by: $x) { id } }",
        "query($x: Int) { open(of: $x) { id } }",
        "{ open @incude(if: true) { id } }",
        "subscription { x }",
    ] {
        let outcome = run(&graph, Request { introspection: false, ..ask(document) }, &table()).await;
        let text = json_of(&outcome).to_string();
        for name in ["unspoken", "Closed", "unsaid", "WHISPERED", "change", "did you mean", "Did you mean"] {
            assert!(!text.contains(name), "{document}: {text}");
        }
    }
    for (variables, of_type) in [(r#"{"x": {"unsid": 1}}"#, "by: $x"), (r#"{"x": "WHISPERD"}"#, "of: $x")] {
        let name = if of_type.starts_with("by") { "Secretive" } else { "Hushed" };
        let document = format!("query($x: {name}) {{ open({of_type}) {{ id }} }}");
        let request = Request { introspection: false, variables: Some(variables.as_bytes()), ..ask(&document) };
        let answer = json_of(&run(&graph, request, &table()).await);
        let text = answer["errors"][0]["message"].as_str().unwrap_or_default();
        assert!(text.starts_with("Variable `$x`") && !text.contains("unsaid") && !text.contains("WHISPERED"), "{answer}");
    }
}

#[tokio::test]
async fn what_services_say_wrongly_reaches_nobody() {
    let graph = guarded();
    let words = "password 10.1.2.3";
    for said in [
        format!("\"{words}\""),
        format!("{{\"id\": {{\"a\": \"{words}\"}}, \"price\": \"{words}\", \"name\": [\"{words}\"], \"{words}\": 1}}"),
        format!("<html>{words}</html>"),
        format!("{{\"id\": 1, \"id\": \"\\ud800\", \"price\": 1e99, \"__typename\": \"{words}\"}}"),
        format!("{{\"next\": \"{words}\", \"price\": true, \"name\": {{\"{words}\": []}}}} {{}}"),
        format!("[[{{\"name\": \"ok\"}}], \"{words}\"]"),
    ] {
        let table = Table::new(move |_| ok(&said));

        let outcome = run(&graph, ask("{ open { id price name next { price } } node { id } any { ... on Open { id } } }"), &table).await;

        let answer = json_of(&outcome);
        assert!(outcome.errors > 0, "{answer}");
        assert!(!answer["errors"].to_string().contains("10.1.2.3") && !answer.to_string().contains("html"), "{answer}");
        assert!(!answer["data"].to_string().contains("password"), "{answer}");
    }
}
