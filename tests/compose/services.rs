//! Calls to a GraphQL service: what it is sent, what of its answer counts, and that what it may not answer is a failure.

mod faults;
pub mod shop;

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use self::shop::{answer, sent};
use super::mock::ask;
use super::rules::Scene;
use crate::harness::{Gateway, Origin, Process};

/// Documents of the shop, as a configuration has them.
const CART: &str = "'query Cart($id: ID!, $first: Int, $deep: Boolean = false) { cart(id: $id) { items(first: $first) { product_id } extra @include(if: $deep) { deep } } }'";
const PRODUCTS: &str = "'query Products($ids: [ID!]!) { products(ids: $ids) { id title } }'";

/// `ROUTES` with the documents in their places.
fn documents(routes: &str) -> String {
    routes.replace("$CART", CART).replace("$PRODUCTS", PRODUCTS)
}

const PAGE: &str = "
- name: page
  path: '/page/{id}'
  aggregate:
    calls:
      cart: {upstream: a, post: /graphql, query: $CART, variables: {id: '{id}', first: '{query.first}'}, at: cart, drop: [extra]}
      products: {upstream: b, post: /graphql, query: $PRODUCTS, variables: {ids: '{each}'}, each: cart.items.product_id, batch: 2, at: products, by: id, into: cart.items.product}
";

#[test]
fn the_data_of_a_service_is_what_references_see_and_values_are_its_variables() {
    let scene = Scene::start("services", "", &documents(PAGE), answer);

    let page = scene.get("/page/7?first=3");

    let item = |id: u32| json!({"product_id": id, "product": {"id": id.to_string(), "title": format!("P{id}")}});
    assert_eq!((page.status, page.json()), (200, json!({"cart": {"items": [item(1), item(2), item(3)]}})), "{}", page.text());
    assert_eq!(page.header("x-bff-complete"), Some("true"));
    let asked = sent(&scene.origin);
    assert_eq!(asked.len(), 3, "{asked:?}");
    assert_eq!(asked[0]["variables"], json!({"id": "7", "first": 3}), "a text that an Int stands for is a number");
    let mut batches: Vec<&Value> = asked[1..].iter().map(|body| &body["variables"]["ids"]).collect();
    batches.sort_by_key(|ids| ids.to_string());
    assert_eq!(batches, [&json!([1, 2]), &json!([3])]);
    for request in scene.origin.received() {
        assert_eq!(request.line(), "POST /graphql HTTP/1.1");
        assert_eq!(request.header("content-type"), ["application/json"]);
        assert_eq!(request.header("accept"), ["application/graphql-response+json, application/json;q=0.9"]);
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(body.as_object().unwrap().keys().collect::<Vec<_>>(), ["query", "variables"]);
    }
    assert_eq!(asked[0]["query"], CART.trim_matches('\''), "the document is the configuration's, byte by byte");
}

#[test]
fn nothing_that_a_client_sends_gets_into_a_document() {
    let scene = Scene::start("services-injection", "", &documents(PAGE), answer);
    let hostile = "%22%29%7Bsecret%7D%23%7B%22query%22%3A1%7D";

    let page = scene.get(&format!("/page/{hostile}"));

    assert_eq!(page.status, 200, "{}", page.text());
    let asked = sent(&scene.origin);
    assert_eq!(asked[0], json!({"query": CART.trim_matches('\''), "variables": {"id": "\"){secret}#{\"query\":1}"}}));
    // What cannot be meant as a number is no number, and nobody is asked.
    let before = asked.len();
    for first in ["ten", "1e3", "7,%22x%22:1", "null", "99999999999"] {
        let refused = scene.get(&format!("/page/7?first={first}"));
        refused.is_problem(502);
        assert_eq!((&refused.json()["code"], &refused.json()["call"]), (&json!("call_failed"), &json!("cart")), "{first}");
    }
    assert_eq!(sent(&scene.origin).len(), before);
    assert_eq!(scene.metric("frontgate_calls_total{route=\"page\",call=\"cart\",result=\"value_missing\"}"), 5.0);
}

#[test]
fn a_variable_that_the_document_needs_fails_the_call_without_a_value_and_any_other_is_left_out() {
    let routes = documents(
        "
- name: it
  path: /it
  aggregate: {calls: {cart: {upstream: a, post: /graphql, query: $CART, variables: {id: '{query.id}', first: '{query.first:-4}', deep: '{query.deep}'}}}}
",
    );
    let scene = Scene::start("services-needed", "", &routes, answer);

    let (without, with, all) = (scene.get("/it"), scene.get("/it?id=1"), scene.get("/it?id=2&first=1&deep=true"));

    without.is_problem(502);
    assert_eq!((with.status, all.status), (200, 200), "{} {}", with.text(), all.text());
    let variables: Vec<Value> = sent(&scene.origin).into_iter().map(|body| body["variables"].clone()).collect();
    assert_eq!(variables, [json!({"id": "1", "first": 4}), json!({"id": "2", "first": 1, "deep": true})]);
}

#[test]
fn the_same_query_is_sent_once_and_only_where_it_is_needed_and_a_mutation_always() {
    let routes = documents(
        "
- name: twice
  path: /twice
  aggregate:
    calls:
      x: {upstream: a, post: /graphql, query: $CART, variables: {id: '1'}}
      y: {upstream: a, post: /graphql, query: $CART, variables: {id: '1'}}
      z: {upstream: a, post: /graphql, query: $CART, variables: {id: '2'}}
      m: {upstream: a, post: /graphql, query: 'mutation Rate { rate(stars: 2) { stars } }'}
      n: {upstream: a, post: /graphql, query: 'mutation Rate { rate(stars: 2) { stars } }'}
- {name: busy, path: /busy, aggregate: {calls: {x: {upstream: again, post: /busy, query: $CART, variables: {id: '1'}}}}}
- name: hidden
  path: /hidden
  filters: [{trim: {profiles: {smart_tv: {drop: [x, m]}}}}]
  aggregate:
    calls:
      x: {upstream: a, post: /hidden, query: $CART, variables: {id: '1'}}
      m: {upstream: a, post: /hidden, query: 'mutation Rate { rate(stars: 2) { stars } }'}
      z: {upstream: a, post: /hidden, query: $CART, variables: {id: '2'}}
",
    );
    let scene = Scene::start("services-again", "", &routes, answer);
    let count = |path: &str| scene.asked().iter().filter(|asked| *asked == path).count();

    assert_eq!(scene.get("/twice").status, 200);
    assert_eq!(count("/graphql"), 4, "x and y are one request, and each mutation is one");
    scene.get("/busy").is_problem(502);
    assert_eq!(count("/busy"), 1, "a POST is not made again");
    let television = ask(scene.process.address, "GET", "/hidden", &[("User-Agent", "Tizen")], None);
    assert_eq!((television.status, television.json().as_object().map(serde_json::Map::len)), (200, Some(1)), "{}", television.text());
    assert_eq!(count("/hidden"), 2, "what is trimmed away of a query is not asked for");
}

/// What the command says, run in this folder.
fn frontgate(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_frontgate")).args(arguments).current_dir(folder).output().unwrap();
    (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

/// The blocks of a language that the page for aggregates shows of services.
fn shown(language: &str) -> String {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/compose/README.md")).unwrap();
    let section = page.split("## A GraphQL service as a call").nth(1).expect("the section").split("\n## ").next().unwrap();
    let block = section.split(&format!("```{language}\n")).nth(1).expect("a block");
    block.split("```").next().unwrap().to_owned()
}

#[test]
fn the_page_shows_what_happens_what_explain_says_and_what_cases_are_answered() {
    let origin = Origin::start(answer);
    let text = shown("yaml").replace("127.0.0.1:8080", "127.0.0.1:0").replace("127.0.0.1:7002", &origin.address.to_string());
    let gateway = Gateway::start(&text);
    let folder = Process::folder("services-page");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("frontgate.yaml"), shown("yaml")).unwrap();
    std::fs::write(folder.join("cases.yaml"), shown("yml")).unwrap();

    let basket = ask(gateway.address, "GET", "/basket/7?first=2", &[("Connection", "close")], None);
    let explained = frontgate(&folder, &["explain", "-c", "frontgate.yaml", "GET", "http://localhost/basket/7"]);
    let tested = frontgate(&folder, &["test", "cases.yaml"]);

    assert_eq!((basket.status, basket.json()), (200, serde_json::from_str(&shown("json")).unwrap()), "{}", basket.text());
    assert!(explained.1.contains(&shown("text")), "{}", explained.1);
    assert!(tested.0 && tested.1.contains("2 passed, 0 failed"), "{}", tested.1);
    std::fs::remove_dir_all(&folder).unwrap();
}
