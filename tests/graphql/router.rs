//! A federation router over a graph with `subgraph: true` and a second one that is none of ours.

use serde_json::{Value, json};

use super::bundles;
use crate::compose::mock::{parameters, target};
use crate::harness::origin::response;
use crate::harness::{Gateway, Origin, yaml};

/// Products and users, as a service of REST has them.
fn services() -> Origin {
    use std::io::Write;
    Origin::start(|request, stream| {
        let asked = target(request);
        let body = match asked.path.split('/').collect::<Vec<_>>()[..] {
            ["", "products"] => {
                let known = [("a", "Lamp", 9.5), ("b", "Chair", 119.5)];
                let skus = parameters(asked.query)["skus"][0].as_str().unwrap_or_default().to_owned();
                let found = known.iter().filter(|(sku, ..)| skus.split(',').any(|asked| asked == *sku));
                found.map(|(sku, title, price)| json!({"sku": sku, "title": title, "price": price})).collect()
            }
            ["", "users", id] if id != "9" => json!({"id": id, "name": format!("User {id}")}),
            _ => Value::Null,
        };
        let status = if body.is_null() { "404 Not Found" } else { "200 OK" };
        stream.write_all(response(status, "Content-Type: application/json\r\n", &body.to_string()).as_bytes()).is_ok()
    })
}

fn subgraph(origin: &Origin) -> Gateway {
    Gateway::start(&yaml(
        "
        upstreams: {main: {endpoints: [$ORIGIN]}}
        routes:
          - name: graph
            path: /graphql
            timeout: 60s
            graphql:
              schema: |
                extend schema @link(url: \"https://specs.apollo.dev/federation/v2.3\", import: [\"@key\"])
                type Query { products(skus: [String!]!): [Product] user(id: ID!): User }
                type Product @key(fields: \"sku\") { sku: String! title: String price: Float }
                type User @key(fields: \"id\") { id: ID! name: String }
              fields:
                Query.products: {upstream: main, get: \"/products?skus={each}\", each: args.skus, batch: 50, by: sku}
                Query.user: {upstream: main, get: \"/users/{args.id}\"}
              subgraph: true
        ",
        &[("$ORIGIN", &origin.address)],
    ))
}

/// To which subgraphs a query went, in order, and which of those requests were for objects by their keys.
fn asked(told: &Value) -> Vec<(&str, bool)> {
    let one = |asked: &'static str, value: &Value| (asked, value["entities"] == true);
    let all = told["asked"].as_array().unwrap().iter();
    all.map(|value| if value["name"] == "shop" { one("shop", value) } else { one("notes", value) }).collect()
}

#[test]
fn a_router_finds_objects_of_another_subgraph_here_all_of_a_kind_at_once_and_the_other_way_round() {
    let origin = services();
    let gateway = subgraph(&origin);
    let url = format!("http://{}/graphql", gateway.address);
    let queries = [
        "{ latest { text of { title price } } }",
        "{ products(skus: [\"b\", \"a\"]) { title notes } }",
        "{ latest { by { name wrote } of { sku title } } }",
        "{ user(id: \"2\") { name wrote } }",
    ];
    let arguments = [&[&*url], &queries[..]].concat();
    let Some(told) = bundles::with_node("graphql-router", "federation.mjs", &arguments) else { return };
    let told: Vec<Value> = serde_json::from_slice(&told).unwrap();

    let (lamp, chair) = (json!({"title": "Lamp", "price": 9.5}), json!({"title": "Chair", "price": 119.5}));
    let latest = json!([
        {"text": "bright", "of": lamp}, {"text": "heavy", "of": chair}, {"text": "again", "of": lamp}, {"text": "lost", "of": {"title": null, "price": null}},
    ]);
    assert_eq!(told[0]["answer"], json!({"data": {"latest": latest}}), "{}", told[0]);
    assert_eq!(asked(&told[0]), [("notes", false), ("shop", true)], "{}", told[0]);
    let here = json!([{"title": "Chair", "notes": ["heavy"]}, {"title": "Lamp", "notes": ["bright", "again"]}]);
    assert_eq!(told[1]["answer"], json!({"data": {"products": here}}), "{}", told[1]);
    assert_eq!(asked(&told[1]), [("shop", false), ("notes", true)], "{}", told[1]);
    let names: Vec<&Value> = told[2]["answer"]["data"]["latest"].as_array().unwrap().iter().map(|note| &note["by"]["name"]).collect();
    assert_eq!(names, [&json!("User 1"), &json!("User 2"), &json!("User 1"), &Value::Null], "{}", told[2]);
    assert_eq!(asked(&told[2]), [("notes", false), ("shop", true)], "both kinds in one request: {}", told[2]);
    assert_eq!(told[3]["answer"], json!({"data": {"user": {"name": "User 2", "wrote": 1}}}), "{}", told[3]);

    // What the services were asked for: the products of a request in one call, each user once.
    let mut lines: Vec<String> = origin.received().iter().map(|request| target(request).whole.to_owned()).collect();
    lines.sort();
    let wanted = ["/products?skus=a,b,zz", "/products?skus=a,b,zz", "/products?skus=b,a", "/users/1", "/users/2", "/users/2", "/users/9"]
        .map(str::to_owned);
    assert_eq!(lines, wanted);
}
