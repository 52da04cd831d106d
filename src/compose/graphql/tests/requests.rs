//! What is refused before anything is executed, what is told of the schema, and plans that are kept.

use frontgate_filters::words::selector::Selector;
use serde_json::json;

use super::super::{At, Kind, Operation, Refused, Request};
use super::table::{Table, ask, graph, json_of, ok, run, try_graph};

const SMALL: &str = "
\"What there is.\"
type Query { a(first: Int, ids: [ID]): [A], b: Int, c(n: Int!): Int }
type Mutation { m: Int }
type A { a: [A], b: Int, c(x: Int): Int }
";

fn small(limits: serde_json::Value) -> super::super::Graph {
    let fields = json!({"Query.a": {"upstream": "u", "get": "/a"}, "A.c": {"upstream": "u", "get": "/c?x={args.x}"}, "Mutation.m": {"upstream": "u", "post": "/m"}});
    graph(SMALL, json!({"fields": fields, "limits": limits}))
}

async fn refused(graph: &super::super::Graph, request: Request<'_>) -> (Refused, serde_json::Value) {
    let table = Table::new(|_| ok("{}"));
    let outcome = run(graph, request, &table).await;
    assert_eq!(table.lines().len(), 0, "no call is made");
    let answer = json_of(&outcome);
    assert!(answer.get("data").is_none(), "{answer}");
    match outcome.kind {
        Kind::Refused(why) => (why, answer),
        Kind::Data => panic!("{answer}"),
    }
}

#[tokio::test]
async fn what_cannot_be_executed_is_refused_with_its_place_and_code() {
    let graph = small(json!({}));
    for (document, operation, variables, why, code) in [
        ("{", None, "{}", Refused::Parse, "GRAPHQL_PARSE_FAILED"),
        ("", None, "{}", Refused::Parse, "GRAPHQL_PARSE_FAILED"),
        ("type X { a: Int }", None, "{}", Refused::Validation, "GRAPHQL_VALIDATION_FAILED"),
        ("{ x }", None, "{}", Refused::Validation, "GRAPHQL_VALIDATION_FAILED"),
        ("{ c }", None, "{}", Refused::Validation, "GRAPHQL_VALIDATION_FAILED"),
        ("query A { b } query B { b }", None, "{}", Refused::Operation, "OPERATION_RESOLUTION_FAILURE"),
        ("query A { b } query B { b }", Some("C"), "{}", Refused::Operation, "OPERATION_RESOLUTION_FAILURE"),
        ("query($n: Int!) { c(n: $n) }", None, "{}", Refused::Variables, "BAD_USER_INPUT"),
        ("query($n: Int!) { c(n: $n) }", None, r#"{"n": null}"#, Refused::Variables, "BAD_USER_INPUT"),
        ("query($n: Int!) { c(n: $n) }", None, r#"{"n": "1"}"#, Refused::Variables, "BAD_USER_INPUT"),
        ("query($n: Int!) { c(n: $n) }", None, "[1]", Refused::Variables, "BAD_USER_INPUT"),
    ] {
        let request = Request { operation, variables: Some(variables.as_bytes()), ..ask(document) };
        let (refused, answer) = refused(&graph, request).await;
        assert_eq!(refused, why, "{document}: {answer}");
        assert_eq!(answer["errors"][0]["extensions"]["code"], code, "{document}");
    }
    let (_, answer) = refused(&graph, ask("{\n  b\n  é: x\n}")).await;
    assert_eq!(answer["errors"][0]["locations"].as_array().map(Vec::len), Some(1), "{answer}");
    let (_, answer) = refused(&graph, ask("{\n  b\n  y: x\n}")).await;
    assert_eq!(answer["errors"][0]["locations"], json!([{"line": 3, "column": 6}]), "{answer}");
}

#[tokio::test]
async fn one_operation_of_several_is_meant_by_its_name() {
    let graph = small(json!({}));
    let table = Table::new(|_| ok("5"));
    let document = "query A { b } mutation B { m }";

    let outcome = run(&graph, Request { operation: Some("B"), ..ask(document) }, &table).await;

    assert_eq!(json_of(&outcome), json!({"data": {"m": 5}}));
    assert_eq!((outcome.operation, outcome.name.as_deref()), (Some(Operation::Mutation), Some("B")));
}

#[tokio::test]
async fn limits_hold_before_a_call_is_made() {
    let graph = small(json!({"depth": 3, "fields": 12, "aliases": 2, "tokens": 100, "cost": 200}));
    let table = Table::new(|_| ok("[]"));
    for document in [
        "{ a { a { b } } }",
        "{ x: a { x: b y: b } y: a { x: b y: b } }",
        "{ a(first: 15) { c } }",
        "{ ...F } fragment F on Query { a { ...G } } fragment G on A { a { b } }",
    ] {
        let outcome = run(&graph, ask(document), &table).await;
        assert_eq!(outcome.kind, Kind::Data, "{document}: {}", json_of(&outcome));
    }
    for (document, words) in [
        ("{ a { a { a { b } } } }", "depth of 4"),
        ("{ ...F } fragment F on Query { a { ...G } } fragment G on A { a { a { b } } }", "depth of 4"),
        (
            "{ x: a { ...F } y: a { ...F } } fragment F on A { a { ...H } } fragment H on A { b x: c(x: 1) y: c(x: 2) e: __typename }",
            "costs",
        ),
        (
            "{ x: a { ...F } y: a { ...F } a { ...F } } fragment F on A { a { ...H } } fragment H on A { b x: c(x: 1) e: __typename }",
            "fields, with those of fragments: 15",
        ),
        ("{ x: b y: b z: b }", "under more than 2 names"),
        ("{ a { x: b ...F } } fragment F on A { y: b z: b }", "under more than 2 names"),
        ("{ a(first: 21) { c } }", "costs 220, more than 200"),
        ("{ a(first: 2, ids: [1,2,3]) { a { c } } }", "costs"),
    ] {
        let (why, answer) = refused(&graph, ask(document)).await;
        assert_eq!(why, Refused::Limit, "{document}: {answer}");
        assert!(answer["errors"][0]["message"].as_str().is_some_and(|text| text.contains(words)), "{document}: {answer}");
        assert_eq!(answer["errors"][0]["extensions"]["code"], "LIMIT_EXCEEDED");
    }
    let (why, _) = refused(&graph, ask(&format!("{{ {} }}", "b ".repeat(200)))).await;
    assert_eq!(why, Refused::Limit);
    let document = "query($n: Int) { a(first: $n) { c } }";
    let (why, _) = refused(&graph, Request { variables: Some(br#"{"n": 100}"#), ..ask(document) }).await;
    assert_eq!(why, Refused::Limit);
    let outcome = run(&graph, Request { variables: Some(br#"{"n": 5}"#), ..ask(document) }, &table).await;
    assert_eq!(outcome.kind, Kind::Data);
    let document = "query($i: [ID]) { a(ids: $i) { c } }";
    let ids = json!({"i": vec![1; 50]}).to_string();
    let (why, _) = refused(&graph, Request { variables: Some(ids.as_bytes()), ..ask(document) }).await;
    assert_eq!(why, Refused::Limit);
}

#[tokio::test]
async fn the_schema_is_told_to_who_may_ask_for_it() {
    let graph = small(json!({}));
    let document =
        "query($n: String!) { b t: __type(name: $n) { name fields { name } } __schema { queryType { name description } } __typename }";
    let variables = br#"{"n": "A"}"#;

    let (why, _) = refused(&graph, Request { introspection: false, variables: Some(variables), ..ask(document) }).await;
    assert_eq!(why, Refused::Introspection);

    let table = Table::of(&[]);
    let outcome = run(&graph, Request { variables: Some(variables), ..ask(document) }, &table).await;
    let expected = json!({"data": {
        "b": null,
        "t": {"name": "A", "fields": [{"name": "a"}, {"name": "b"}, {"name": "c"}]},
        "__schema": {"queryType": {"name": "Query", "description": "What there is."}},
        "__typename": "Query",
    }});
    assert_eq!(json_of(&outcome), expected);

    let outcome = run(&graph, Request { introspection: false, ..ask("{ __typename }") }, &table).await;
    assert_eq!(json_of(&outcome), json!({"data": {"__typename": "Query"}}), "which everybody knows");

    let nested = "{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }";
    let (why, _) = refused(&graph, ask(nested)).await;
    assert_eq!(why, Refused::Limit);
}

#[tokio::test]
async fn plans_are_kept_and_go_on_with_a_graph_that_is_the_same() {
    let mut graph = small(json!({}));
    let table = Table::new(|_| ok("[]"));
    let first = run(&graph, ask("{ b }"), &table).await;
    let second = run(&graph, ask("{ b }"), &table).await;
    let other = run(&graph, ask("{ b b }"), &table).await;
    assert_eq!([first.was_planned, second.was_planned, other.was_planned], [false, true, false]);

    let mut same = small(json!({}));
    same.keep_plans(&graph);
    assert!(run(&same, ask("{ b }"), &table).await.was_planned);
    let mut changed = small(json!({"depth": 9}));
    changed.keep_plans(&graph);
    assert!(!run(&changed, ask("{ b }"), &table).await.was_planned);

    // Whatever is asked, only so many are kept.
    for number in 0..1_200 {
        run(&graph, ask(&format!("{{ a{number}: b }}")), &table).await;
    }
    let (count, bytes) = graph.planned();
    assert!(count <= 1_000 && count > 900 && bytes <= 20 << 20, "{count} {bytes}");
    graph.keep_plans(&changed);
    assert_eq!(graph.planned().0, count);
    assert!(!run(&graph, ask("{ b }"), &table).await.was_planned, "the oldest are gone");
    assert!(run(&graph, ask("{ a1199: b }"), &table).await.was_planned);
}

#[tokio::test]
async fn a_document_that_is_kept_gets_the_plans_that_other_variables_need() {
    let graph = small(json!({}));
    let table = Table::new(|_| ok("[]"));
    let document = "query($x: Boolean!) { b @include(if: $x) c: b ...F } fragment F on Query { d: b @skip(if: $x) }";
    for (value, was_planned, expected) in
        [("true", false, r#"{"b":null,"c":null}"#), ("false", true, r#"{"c":null,"d":null}"#), ("true", true, r#"{"b":null,"c":null}"#)]
    {
        let variables = format!("{{\"x\": {value}}}");

        let outcome = run(&graph, Request { variables: Some(variables.as_bytes()), ..ask(document) }, &table).await;

        assert_eq!(String::from_utf8_lossy(&outcome.body), format!("{{\"data\":{expected}}}"));
        assert_eq!(outcome.was_planned, was_planned);
    }
    assert_eq!(graph.planned().0, 1);
}

#[test]
fn a_graph_depends_on_the_facts_that_it_names_and_on_no_others() {
    let graph = |beside: serde_json::Value| try_graph("type Query { a: Int }", beside).unwrap_or_else(|_| panic!("a graph"));
    let call = |more: serde_json::Value| {
        let mut call = json!({"upstream": "u", "get": "/a"});
        call.as_object_mut().expect("a call").extend(more.as_object().expect("more").clone());
        graph(json!({"fields": {"Query.a": call}}))
    };
    let device = Selector::Device;

    assert!(!call(json!({})).refers_to(&device));
    assert!(call(json!({"headers": {"X-Device": "{device}"}})).refers_to(&device));
    assert!(call(json!({"when": {"device": "desktop"}})).refers_to(&device));
    assert!(graph(json!({"hide": {"profiles": {"tv": ["Query.a"]}}})).refers_to(&device));
}

#[tokio::test]
async fn a_document_is_explained_without_a_call() {
    let graph = small(json!({}));
    assert_eq!(graph.names().iter().map(|name| &**name).collect::<Vec<_>>(), ["A.c", "Mutation.m", "Query.a"]);
    assert_eq!(graph.sdl(), SMALL);

    let planned = graph.plan("query Q { a { c a { d: c(x: 1) } } }", None, None, None).expect("a plan");
    let calls: Vec<_> = planned.calls.iter().map(|call| (call.stage, &*call.name, call.asks.as_str(), call.keys.join(" "))).collect();
    assert_eq!(calls, [(1, "Query.a", "GET u /a", "a".to_owned()), (2, "A.c", "GET u /c?x={args.x}", "c d".to_owned())]);
    assert_eq!((planned.name.as_deref(), planned.cost), (Some("Q"), Some(10 + 10 * (10 + 1 + 10 * 10))));
    assert!(graph.plan("{ x }", None, None, None).expect_err("no field")[0].starts_with("1:3: "));
}

#[test]
fn what_cannot_work_is_told() {
    let told = |schema: &str, beside: serde_json::Value| match try_graph(schema, beside) {
        Ok(_) => panic!("taken: {schema}"),
        Err(problems) => problems,
    };
    let call = |get: &str| json!({"fields": {"Query.a": {"upstream": "u", "get": get}}});
    for (schema, beside, words) in [
        ("type Query { a: X }", json!({}), "X"),
        ("type Query { a: Int } type Subscription { b: Int }", json!({}), "subscriptions"),
        ("type Query { b: Int }", call("/a"), "no such field"),
        ("type Query { a: Int }", call("/a/{args.x}"), "no argument `x`"),
        ("type Query { a: Int }", call("/a/{parent.x}"), "no parent"),
        ("type Query { a: Int }", call("/a/{body.x}"), "{args}"),
        ("type Query { a: Int }", call("/a/{other.x}"), "other"),
        ("type Query { a: Int! }", json!({"hide": {"profiles": {"tv": ["Query.a"]}}}), "never null"),
        ("type Query { a: Int }", json!({"hide": {"profiles": {"tv": ["Query.b"]}}}), "no such field"),
        (
            "type Query { a: U } union U = A type A { b: Int } type B { b: Int }",
            json!({"types": {"U": {"by": "k", "values": {"b": "B"}}}}),
            "none of its types",
        ),
    ] {
        let problems = told(schema, beside);
        assert!(problems.iter().any(|problem| problem.message.contains(words)), "{schema}: {problems:?}");
    }
    let problems = told("type Query {\n  a: X\n}", json!({}));
    assert_eq!(problems[0].at, At::Sdl(18..19), "{problems:?}");
}
