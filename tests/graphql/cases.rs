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
    let world = World::start("graphql-cases", "timeout: 60s", "      introspection: true\n      limits: {depth: 20, calls: 1000}");
    let mut wrong = Vec::new();

    for case in CASES["cases"].as_array().unwrap() {
        let mut body = serde_json::json!({"query": case["query"]});
        for key in ["variables", "operationName"] {
            if !case[key].is_null() {
                body[key] = case[key].clone();
            }
        }
        let before = world.origin.received().len();
        let reply = world.post(&body);
        let (told, expected) = (reply.json(), &case["expect"]);
        let calls = world.origin.received().len() - before;
        let most = case["distinct_calls"].as_u64().unwrap_or(u64::MAX);
        if told["data"] != expected["data"] || paths(&told) != paths(expected) || calls as u64 > most {
            wrong.push(format!("{}: {calls} calls of {most}\n  {}\n  told {told}\n  not  {expected}", case["name"], case["query"]));
        }
    }

    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
