//! What a federation router asks of a graph under it.

use serde_json::{Value, json};

use super::super::{At, Kind, Request};
use super::table::{Table, ask, graph, json_of, ok, paths_of, run, status, try_graph};

const SHOP: &str = r#"
extend schema @link(url: "https://specs.apollo.dev/federation/v2.3", import: ["@key", "@shareable"])
type Query { user(id: ID!): User, products(skus: [String!]!): [Product], stock(place: String!, sku: String!): Stock, version: String }
type User @key(fields: "id") { id: ID!, name: String, friend: User }
type Product @key(fields: "upc { x }") @key(fields: "sku") { sku: String!, title: String @shareable }
type Stock @key(fields: "sku place") { sku: String!, place: String!, count: Int }
extend type Review @key(fields: "id") { id: ID!, by: User, text: String }
type Plain { a: Int }
"#;

fn shop() -> super::super::Graph {
    let fields = json!({
        "Query.user": {"upstream": "s", "get": "/users/{args.id}"},
        "Query.products": {"upstream": "s", "get": "/products?skus={each}", "each": "args.skus", "batch": 10, "by": "sku"},
        "Query.stock": {"upstream": "s", "get": "/stock/{args.place}/{args.sku}"},
        "User.friend": {"upstream": "s", "get": "/users/{parent.friend_id}"},
        "Review.by": {"upstream": "s", "get": "/users/{parent.author}"},
    });
    graph(SHOP, json!({"fields": fields, "subgraph": true}))
}

const DOCUMENT: &str = "query($r: [_Any!]!) { e: _entities(representations: $r) { __typename \
    ... on User { id name friend { id } } ... on Product { sku title } ... on Stock { count place } ... on Review { id text by { name } } } }";

async fn entities(representations: Value, table: &Table) -> (Value, usize) {
    let variables = json!({"r": representations}).to_string();
    let outcome = run(&shop(), Request { variables: Some(variables.as_bytes()), ..ask(DOCUMENT) }, table).await;
    assert_eq!(outcome.kind, Kind::Data, "{}", String::from_utf8_lossy(&outcome.body));
    (json_of(&outcome), outcome.errors)
}

#[tokio::test]
async fn a_router_gets_the_schema_as_it_is_written() {
    let outcome = run(&shop(), Request { introspection: false, ..ask("{ s: _service { sdl } }") }, &Table::of(&[])).await;

    assert_eq!(json_of(&outcome), json!({"data": {"s": {"sdl": SHOP}}}));
}

#[tokio::test]
async fn objects_are_found_by_their_keys_many_at_once_where_that_can_be() {
    let table = Table::new(|made| match made.line.as_str() {
        "GET s /users/1" => ok(json!({"id": 1, "name": "Ada", "friend_id": 2})),
        "GET s /users/2" => ok(json!({"id": 2, "name": "Bob", "friend_id": 1})),
        "GET s /products?skus=a,b,zz" => ok(json!([{"sku": "b", "title": "B"}, {"sku": "a", "title": "A"}])),
        "GET s /stock/north/a" => ok(json!({"sku": "a", "place": "north", "count": 3})),
        other => panic!("{other}"),
    });
    let asked = json!([
        {"__typename": "User", "id": "1"},
        {"__typename": "Product", "sku": "a"},
        {"__typename": "Product", "sku": "b"},
        {"__typename": "Product", "sku": "zz"},
        {"__typename": "User", "id": 1},
        {"__typename": "Stock", "sku": "a", "place": "north"},
        {"__typename": "Review", "id": "r1", "author": 2, "text": "good"},
    ]);

    let (answer, errors) = entities(asked, &table).await;

    let user = json!({"__typename": "User", "id": "1", "name": "Ada", "friend": {"id": "2"}});
    let expected = json!([
        user,
        {"__typename": "Product", "sku": "a", "title": "A"},
        {"__typename": "Product", "sku": "b", "title": "B"},
        null,
        user,
        {"__typename": "Stock", "count": 3, "place": "north"},
        {"__typename": "Review", "id": "r1", "text": "good", "by": {"name": "Bob"}},
    ]);
    assert_eq!((&answer["data"]["e"], errors), (&expected, 0), "{answer}");
    assert_eq!(table.lines().len(), 4, "{:?}", table.lines());
}

#[tokio::test]
async fn keys_that_mean_nothing_are_errors_of_their_own_places() {
    let table = Table::new(|made| if made.line == "GET s /users/5" { status(500) } else { status(404) });
    let asked = json!([{"__typename": "Plain"}, {"__typename": "User"}, {"id": 1}, 7, {"__typename": "User", "id": 5}, {"__typename": "User", "id": 6}]);

    let (answer, errors) = entities(asked, &table).await;

    assert_eq!(answer["data"], json!({"e": [null, null, null, null, null, null]}));
    assert_eq!((errors, paths_of(&answer)), (5, [0, 1, 2, 3, 4].map(|index| format!("[\"e\",{index}]")).to_vec()));
}

#[tokio::test]
async fn what_a_router_asks_is_nothing_to_a_graph_that_is_no_subgraph() {
    let graph = graph("type Query { a: Int }", json!({}));
    let outcome = run(&graph, ask("{ _service { sdl } }"), &Table::of(&[])).await;
    assert!(matches!(outcome.kind, Kind::Refused(_)));

    let problems = try_graph("type Query { a: X }\ntype A @key(fields: \"a\") { a: Int }", json!({"subgraph": true})).err().expect("no X");
    assert_eq!(problems[0].at, At::Sdl(16..17), "{problems:?}");
    let own = "directive @key(fields: String!) on OBJECT\nschema { query: Q } type Q { a: A } type A @key(fields: \"a\") { a: Int }";
    let fields = json!({"Q.a": {"upstream": "s", "get": "/a"}});
    let graph = super::table::graph(own, json!({"subgraph": true, "fields": fields}));
    let document = "{ _entities(representations: [{__typename: \"A\", a: 4}]) { ... on A { a } } a { a } }";
    let outcome = run(&graph, ask(document), &Table::of(&[("GET s /a", ok("{\"a\": 5}"))])).await;
    assert_eq!(json_of(&outcome), json!({"data": {"_entities": [{"a": 4}], "a": {"a": 5}}}));
}
