//! The requests of the 61 audits of graphql-http 1.23, each judged by what its name says.

use serde_json::Value;

use super::world::World;
use crate::compose::mock::ask;

/// What is wrong with an answer to the request of an audit of this name; nothing where it is as it should be.
fn judge(name: &str, reply: &crate::harness::Reply) -> Option<String> {
    let content_type = reply.header("content-type").unwrap_or_default();
    let is = |wanted: bool, why: &str| (!wanted).then(|| why.to_owned());
    let status = reply.status;
    if name.contains("2xx, 4xx, or 5xx") {
        return None;
    }
    if name.contains("not contain the data entry") {
        return is(reply.json().get("data").is_none() && reply.json()["errors"].is_array(), "it has data, or no errors");
    }
    if name.contains("200 status code") || name.contains("status code of 200") {
        return is(status == 200 && reply.json()["errors"].is_array(), "it is not 200 with errors");
    }
    if name.contains("400 status code") || name.contains("status code of 400") {
        return is(status == 400, "it is not 400");
    }
    if name.contains("4xx") || name.contains("NOT allow") {
        return is((400..500).contains(&status), "it is not 4xx");
    }
    let wanted = match name {
        name if name.contains("accept application/graphql-response+json and match") => "application/graphql-response+json",
        name if name.contains("accepting application/graphql-response+json") => "application/graphql-response+json",
        _ => "application/json",
    };
    is(status == 200, "it is not 200")
        .or_else(|| is(content_type.starts_with(wanted), "it has another content type"))
        .or_else(|| is(content_type.contains("charset=utf-8"), "it does not say utf-8"))
        .or_else(|| is(reply.json().get("errors").is_none(), "it has errors"))
        .or_else(|| is(reply.json().get("data").is_some(), "it has no data"))
}

#[test]
fn every_audit_is_passed_those_too_that_a_server_may_leave_out() {
    let audits: Vec<Value> = serde_json::from_str(include_str!("../data/compose/graphql-http/audits.json")).expect("JSON");
    let world = World::start("graphql-audits", "timeout: 60s", "      introspection: true");
    let mut wrong = Vec::new();

    for audit in &audits {
        let name = audit["name"].as_str().unwrap();
        for request in audit["requests"].as_array().unwrap() {
            let text = |key: &str| request[key].as_str().unwrap();
            let headers: Vec<(&str, &str)> =
                request["headers"].as_object().unwrap().iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect();
            let reply = ask(world.process.address, text("method"), text("url"), &headers, request["body"].as_str());
            if let Some(why) = judge(name, &reply) {
                wrong.push(format!("{} {name}: {why}: {} {}", audit["id"], reply.status, reply.text()));
            }
        }
    }

    assert_eq!(audits.len(), 61);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(world.asked().is_empty(), "none of them needs a service");
}
