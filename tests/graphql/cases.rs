//! 232 queries whose answers are those of graphql-js: data by value, errors by path, and no more requests than there are different ones.

use std::collections::BTreeSet;

use serde_json::Value;

use super::world::{CASES, World};

/// The paths of errors, in no order.
fn paths(answer: &Value) -> BTreeSet<String> {
    answer["errors"].as_array().into_iter().flatten().map(|error| error["path"].to_string()).collect()
}

#[test]
fn every_case_has_the_answer_that_it_should_have() {
    let limits = "      introspection: true\n      limits: {depth: 100, fields: 100000, cost: 4000000000, calls: 10000, errors: 1000}";
    let world = World::start("graphql-cases", "timeout: 60s", limits);
    let mut wrong = Vec::new();

    for case in CASES["cases"].as_array().unwrap() {
        let mut body = serde_json::json!({"query": case["query"]});
        if !case["variables"].is_null() {
            body["variables"] = case["variables"].clone();
        }
        let before = world.origin.received().len();
        let reply = world.post(&body);
        let (told, expected) = (reply.json(), &case["expect"]);
        let calls = (world.origin.received().len() - before) as u64;
        let is_right = if expected.get("data").is_none() {
            // It is refused, by whichever words.
            reply.status == 400 && told.get("data").is_none() && !paths(&told).is_empty() && calls == 0
        } else {
            let (ours, theirs) = (paths(&told), paths(expected));
            // Where all has become null the reference leaves off there: it asks for less, and whoever has errors beside that by then tells them, too.
            let is_all = expected["data"].is_null();
            let most = if is_all { u64::MAX } else { case["distinct_calls"].as_u64().unwrap() };
            // Below a list that has become null it tells of more errors.
            let same_errors =
                if is_all { !ours.is_disjoint(&theirs) } else { ours.is_subset(&theirs) && ours.is_empty() == theirs.is_empty() };
            reply.status == 200 && told["data"] == expected["data"] && same_errors && calls <= most
        };
        if !is_right {
            wrong.push(format!(
                "{}: {} with {calls} calls\n  {}\n  told {told}\n  not  {expected}",
                case["name"], reply.status, case["query"]
            ));
        }
    }

    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
