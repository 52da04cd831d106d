//! The cases that are carried along: data by value, errors by path, and never more calls than there are distinct ones.

use std::collections::HashMap;

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::super::Kind;
use super::table::{Made, Said, Table, ask, graph, json_of, nulled, ok, paths_of, run, status};

fn cases() -> Value {
    serde_json::from_str(include_str!("../../../../tests/data/compose/graphql/cases.json")).expect("JSON")
}

/// The small world of services that the cases were made with.
fn world(data: &Value, made: &Made) -> Said {
    let [method, pool, target] = made.line.splitn(3, ' ').collect::<Vec<_>>()[..] else { panic!("{}", made.line) };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let decoded = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let query: HashMap<String, String> =
        query.split('&').filter_map(|pair| pair.split_once('=')).map(|(name, value)| (decoded(name), decoded(value))).collect();
    let segments: Vec<String> = path[1..].split('/').map(decoded).collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let one = |value: &Value| if value.is_null() { status(404) } else { ok(value) };
    let (users, products) = (&data["users"], &data["products"]);
    match (method, pool, &segments[..]) {
        ("GET", "users", ["users", id]) => one(&users[id]),
        ("GET", "users", ["version"]) => ok(json!({"v": "v2.4"})),
        ("GET", "users", ["broken"]) => ok(json!({
            "anInt": "x", "aFloat": "1.5", "aString": 12, "aBool": 1, "anId": 7, "aStatus": "OTHER",
            "list": [1, "a", null, 2_147_483_648_u32], "listNN": [1, null], "obj": [1],
        })),
        ("GET", "users", ["strict"]) => ok(json!({"must": null})),
        ("GET", "catalog", ["products", "15"]) => status(500),
        ("GET", "catalog", ["products", id]) => one(&products[id]),
        ("GET", "catalog", ["products"]) => match query.get("ids") {
            Some(ids) => {
                let found = ids.split(',').map(|id| &products[id]).filter(|product| !product.is_null());
                ok(json!({"items": found.rev().collect::<Vec<_>>()}))
            }
            None => {
                let limit = query["limit"].parse().expect("a number");
                ok(json!({"items": products.as_object().expect("products").values().take(limit).collect::<Vec<_>>()}))
            }
        },
        ("GET", "orders", ["orders"]) if query["user"] == "3" => status(503),
        ("GET", "orders", ["orders"]) => {
            let limit = query["limit"].parse().expect("a number");
            ok(Value::from_iter(data["orders"][&query["user"]].as_array().into_iter().flatten().take(limit).cloned()))
        }
        ("GET", "reviews", ["reviews"]) => {
            let ids: Vec<&str> = query["product"].split(',').collect();
            let found = data["reviews"].as_array().expect("reviews").iter();
            ok(Value::from_iter(found.filter(|review| ids.contains(&review["product"].to_string().as_str())).cloned()))
        }
        ("GET", "search", ["search"]) if query["q"] == "down" => status(502),
        ("GET", "search", ["search"]) => {
            let last = if query["q"] == "odd" { json!({"kind": "z", "id": 5}) } else { products["11"].clone() };
            ok(json!({"hits": [products["10"], users["1"], last]}))
        }
        ("GET", "search", ["node", kind, id]) => one(&if *kind == "USER" { users } else { products }[id]),
        ("GET", "prometheus", _) => ok(json!({"status": "success", "data": {"resultType": "vector", "result": [
            {"metric": {"__name__": "up"}, "value": [1, "0.5"]}, {"metric": {"__name__": "down"}, "value": [2, "1"]},
        ]}})),
        ("POST", "catalog", ["products", id, "ratings"]) => {
            Said::Answer(201, Vec::new(), json!({"product": id, "stars": 4, "average": 4.25}).to_string())
        }
        ("POST", "catalog", ["fail"]) => status(422),
        _ => status(404),
    }
}

#[tokio::test]
async fn the_cases_hold() {
    let cases = cases();
    let schema = cases["schema"].as_str().expect("a schema");
    let graph = graph(
        schema,
        json!({"fields": cases["fields"], "types": cases["types"], "limits": {"depth": 100, "cost": 100_000_000, "errors": 1000}}),
    );
    let (mut wrong, mut told_less) = (Vec::new(), 0);
    for case in cases["cases"].as_array().expect("cases") {
        let (name, query, expect) = (&case["name"], case["query"].as_str().expect("a query"), &case["expect"]);
        let data = cases["data"].clone();
        let table = Table::new(move |made| world(&data, made));
        let variables = case["variables"].to_string();
        let mut request = ask(query);
        request.variables = case.get("variables").map(|_| variables.as_bytes());

        let outcome = run(&graph, request, &table).await;

        let answer = json_of(&outcome);
        if expect.get("refused").is_some() || expect.get("invalid").is_some() {
            assert!(matches!(outcome.kind, Kind::Refused(_)), "{name}: {answer}");
            assert!(answer.get("data").is_none() && table.lines().is_empty(), "{name}: {answer}");
            continue;
        }
        let made = table.lines().len() as u64;
        // The reference stops where all has become null; here other calls are on their way by then.
        let most = if expect["data"].is_null() { u64::MAX } else { case["distinct_calls"].as_u64().expect("a count") };
        // Below a list that has become null the reference may tell of more errors: what is found there is not asked for here.
        let (ours, theirs) = (paths_of(&answer), paths_of(expect));
        let is_same = ours == theirs
            || ours.iter().all(|path| theirs.contains(path))
                && nulled(&answer["data"], &answer["errors"]) == nulled(&expect["data"], &expect["errors"]);
        told_less += usize::from(is_same && ours != theirs);
        if answer["data"] != expect["data"] || !is_same || made > most {
            wrong.push(format!("{name}: {query}\n  got {answer}\n  not {expect}\n  {made} calls, {most} distinct"));
        }
        assert_eq!(outcome.errors, answer["errors"].as_array().map_or(0, Vec::len), "{name}");
    }
    assert_eq!(told_less, 1, "one of them has such errors");
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
