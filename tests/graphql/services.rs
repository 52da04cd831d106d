//! Fields that a GraphQL service answers.

use std::path::Path;

use serde_json::json;

use crate::compose::mock::ask;
use crate::compose::services::shop::{answer, sent};
use crate::harness::{Gateway, Origin, Process, Reply, yaml};

/// A graph before the shop.
fn start(name: &str) -> (Process, Origin) {
    let origin = Origin::start(answer);
    let text = yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0}], admin: 127.0.0.1:0}
        upstreams:
          shop: {endpoints: [$ORIGIN]}
        routes:
          - name: graph
            path: /graphql
            graphql:
              schema: |
                type Query { cart(id: ID!, first: Int): Cart odd(how: String!): Odd soft(how: String!): Odd }
                type Mutation { rate: Rating }
                type Cart { id: ID! items: [Item!]! }
                type Item { product_id: ID! product: Product }
                type Product { id: ID! title: String }
                type Odd { a: String }
                type Rating { stars: Int }
              fields:
                Query.cart:
                  upstream: shop
                  post: /graphql
                  query: |
                    query Cart($id: ID!, $first: Int) {
                      cart(id: $id) { id items(first: $first) { product_id } }
                    }
                  variables: {id: \"{args.id}\", first: \"{args.first}\"}
                  at: cart
                Item.product:
                  upstream: shop
                  post: /graphql
                  query: \"query Products($ids: [ID!]!) { products(ids: $ids) { id title } }\"
                  variables: {ids: \"{each}\"}
                  each: parent.product_id
                  batch: 50
                  at: products
                  by: id
                Query.odd: {upstream: shop, post: /graphql, query: \"query Odd($how: String!) { odd(how: $how) { a } }\", variables: {how: \"{args.how}\"}}
                Query.soft: {upstream: shop, post: /graphql, query: \"query Odd($how: String!) { odd(how: $how) { a } }\", variables: {how: \"{args.how}\"}, otherwise: {a: none}}
                Mutation.rate: {upstream: shop, post: /graphql, query: \"mutation Rate { rate(stars: 2) { stars } }\", at: rate}
        ",
        &[("$ORIGIN", &origin.address)],
    );
    (Process::start(name, &text), origin)
}

fn query(process: &Process, query: &str) -> Reply {
    let headers = [("Content-Type", "application/json"), ("Accept", "application/graphql-response+json")];
    ask(process.address, "POST", "/graphql", &headers, Some(&json!({"query": query}).to_string()))
}

#[test]
fn fields_get_the_data_of_a_service_and_one_batch_answers_all_objects_of_a_level() {
    let (process, origin) = start("graph-services");

    let told = query(&process, "{ x: cart(id: 7, first: 2) { id items { product { title } } } y: cart(id: 7, first: 2) { id } }");

    let item = |id: u32| json!({"product": {"title": format!("P{id}")}});
    assert_eq!(told.json(), json!({"data": {"x": {"id": "7", "items": [item(1), item(2)]}, "y": {"id": "7"}}}), "{}", told.text());
    let asked: Vec<_> = sent(&origin).into_iter().map(|body| body["variables"].clone()).collect();
    assert_eq!(asked, [json!({"id": 7, "first": 2}), json!({"ids": [1, 2]})], "both fields are one request");
    let changed = query(&process, "mutation { rate { stars } again: rate { stars } }");
    assert_eq!(changed.json(), json!({"data": {"rate": {"stars": 2}, "again": {"stars": 2}}}), "{}", changed.text());
    assert_eq!(sent(&origin).len(), 4, "a mutation is made as often as it is wanted");
}

#[test]
fn a_service_that_answers_with_errors_has_failed_and_nothing_that_it_says_goes_on() {
    let (process, _origin) = start("graph-services-odd");

    for how in ["partial", "errors", "text", "null", "list", "none", "twice", "cut", "html", "lies", "nothing", "deep", "huge", "broken"] {
        let told = query(&process, &format!("{{ odd(how: \"{how}\") {{ a }} soft(how: \"{how}\") {{ a }} }}"));

        let json = told.json();
        assert_eq!((told.status, &json["data"]), (200, &json!({"odd": null, "soft": {"a": "none"}})), "{how}: {json}");
        let error = &json["errors"][0];
        assert_eq!((&error["path"], &error["extensions"]["code"]), (&json!(["odd"]), &json!("CALL_FAILED")), "{how}: {json}");
        assert_eq!(json["errors"].as_array().map(Vec::len), Some(1), "{how}: {json}");
        assert!(!told.text().contains("secret"), "{how}: {json}");
        assert_eq!(told.header("x-bff-missing"), Some("Query.odd, Query.soft"), "{how}");
    }
    let text = process.ask("GET", "/metrics").text();
    for (result, count) in [("errors", 2), ("malformed", 10), ("too_large", 1), ("status_5xx", 1)] {
        let series = format!("frontgate_calls_total{{route=\"graph\",call=\"Query.odd\",result=\"{result}\"}} {count}");
        assert!(text.lines().any(|line| line == series), "{series}");
    }
}

#[test]
fn the_page_for_graphs_shows_how_another_graph_answers_fields() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/compose/graphql/README.md")).unwrap();
    let block = page.split("Another graph answers").nth(1).and_then(|rest| rest.split("```yaml\n").nth(1)?.split("```").next()).unwrap();
    let origin = Origin::start(answer);
    let text = block.replace("127.0.0.1:8080", "127.0.0.1:0").replace("127.0.0.1:7002", &origin.address.to_string());
    let gateway = Gateway::start(&text);
    let headers = [("Content-Type", "application/json"), ("Connection", "close")];
    let body = json!({"query": "{ cart(id: 1, first: 1) { items { product { title } } } }"}).to_string();

    let told = ask(gateway.address, "POST", "/graphql", &headers, Some(&body));

    assert_eq!(told.json(), json!({"data": {"cart": {"items": [{"product": {"title": "P1"}}]}}}), "{}", told.text());
}
