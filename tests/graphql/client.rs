//! A client as applications have it, urql in a browser, against the real gateway.

use serde_json::{Value, json};

use super::bundles;
use super::world::World;
use crate::compose::mock::target;
use crate::dashboard::browser::Browser;

/// A page of this origin that holds the client.
fn client(origin: &str) -> Option<Browser> {
    let script = bundles::for_browser("client.mjs")?;
    let mut browser = Browser::start(800, 600)?;
    browser.open(&format!("{origin}/graphql?query=%7B__typename%7D"));
    browser.value(&format!("(0, eval)({}), true", Value::from(script)));
    Some(browser)
}

fn ask(browser: &mut Browser, asked: Value) -> Value {
    browser.value(&format!("peer.ask({asked})"))
}

const USER: &str = "query Page($id: ID!, $n: Int = 1) { user(id: $id) { id name orders(limit: $n) { id } } }";

#[test]
fn a_client_in_a_browser_gets_data_variables_mutations_and_parts_with_errors() {
    let world = World::start("graphql-client", "timeout: 60s", "");
    let Some(mut browser) = client(&format!("http://{}", world.process.address)) else { return };
    let post = json!([["POST", "text"]]);

    let told = ask(&mut browser, json!({"text": USER, "variables": {"id": 1, "n": 2}}));
    assert_eq!((&told["sent"], &told["errors"], &told["network"]), (&post, &json!([]), &Value::Null), "{told}");
    let user = &told["data"]["user"];
    assert_eq!(
        (&user["name"], &user["__typename"]),
        (&json!("User 1 \"q\" \u{e9}"), &json!("User")),
        "the client asks for types by itself"
    );
    assert_eq!(user["orders"].as_array().map(Vec::len), Some(2), "{told}");

    let rate = "mutation Rate($stars: Int!) { rate(product: 10, stars: $stars) { average } }";
    let told = ask(&mut browser, json!({"kind": "mutation", "text": rate, "variables": {"stars": 4}}));
    assert_eq!((&told["data"]["rate"]["average"], &told["errors"]), (&json!(4.25), &json!([])), "{told}");

    let told = ask(&mut browser, json!({"text": USER, "variables": {"id": 3}}));
    assert_eq!((&told["data"]["user"]["id"], &told["data"]["user"]["orders"]), (&json!("3"), &Value::Null), "{told}");
    let error = &told["errors"][0];
    assert_eq!((&error["path"], &error["extensions"]["code"]), (&json!(["user", "orders"]), &json!("CALL_FAILED")), "{told}");

    for (asked, code) in [
        (json!({"text": "{ nobody }"}), "GRAPHQL_VALIDATION_FAILED"),
        (json!({"text": USER, "variables": {}}), "BAD_USER_INPUT"),
        (json!({"text": "{ __schema { types { name } } }"}), "GRAPHQL_VALIDATION_FAILED"),
    ] {
        let told = ask(&mut browser, asked.clone());
        assert_eq!((&told["data"], &told["errors"][0]["extensions"]["code"]), (&Value::Null, &json!(code)), "{asked}: {told}");
    }
    let rated = world.origin.received().iter().filter(|request| target(request).whole.contains("/ratings")).count();
    assert_eq!(rated, 1);
}

#[test]
fn a_client_makes_its_queries_known_by_itself_and_asks_by_their_hash_from_then_on() {
    let world = World::start("graphql-client-apq", "timeout: 60s", "      persisted: {automatic: 100}");
    let Some(mut browser) = client(&format!("http://{}", world.process.address)) else { return };
    let name = |told: &Value| told["data"]["user"]["name"].clone();

    for (by, first, then) in [
        ("POST", json!([["POST", "hash"], ["POST", "text"]]), json!([["POST", "hash"]])),
        // The other query is not known yet; and it has the same answer by either method.
        ("GET", json!([["GET", "hash"], ["GET", "text"]]), json!([["GET", "hash"]])),
    ] {
        let text = USER.replace("Page", by);
        let asked = json!({"text": text, "variables": {"id": 1}, "persisted": by});

        let told = ask(&mut browser, asked);
        assert_eq!((&told["sent"], &told["errors"]), (&first, &json!([])), "{by}: {told}");
        assert_eq!(name(&told), "User 1 \"q\" \u{e9}", "{by}: {told}");
        let told = ask(&mut browser, json!({"text": text, "variables": {"id": 2}, "persisted": by}));
        assert_eq!((&told["sent"], &told["errors"]), (&then, &json!([])), "{by}: {told}");
        assert_eq!(name(&told), "User 2 \"q\" \u{e9}", "{by}: {told}");
    }
    let rate = json!({"kind": "mutation", "text": "mutation { rate(product: 10, stars: 4) { average } }", "persisted": "GET"});
    for _ in 0..2 {
        let told = ask(&mut browser, rate.clone());
        assert_eq!(told["data"]["rate"]["average"], json!(4.25), "{told}");
        assert!(told["sent"].as_array().unwrap().iter().all(|sent| sent[0] == "POST"), "{told}");
    }
}

#[cfg(feature = "saga")]
#[test]
fn a_client_shows_the_pages_of_the_demo() {
    let demo = crate::harness::Process::demo("demo-client");
    let Some(mut browser) = client(&format!("http://{}", demo.address)) else { return };
    let page = "query Home($first: Int!) { products(first: $first) { title hd stock { count } reviews { stars author { name } } } user(id: 1) { name } }";

    let told = ask(&mut browser, json!({"text": page, "variables": {"first": 2}}));

    assert_eq!(told["errors"], json!([]), "{told}");
    let first = &told["data"]["products"][0];
    assert_eq!((&first["title"], &first["stock"]["count"]), (&json!("Lamp No. 1"), &json!(7)), "{told}");
    assert_eq!(first["reviews"][0]["author"]["name"], "User 1", "{told}");
    assert_eq!(told["data"]["user"], Value::Null, "without a token");
}
