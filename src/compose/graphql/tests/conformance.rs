//! What the reference implementation takes for valid is taken, and nothing else. Its documents are carried along.

use serde_json::Value;

use super::super::plan::Prepared;
use super::super::schema::schema;
use super::super::{Refused, schema as parsed};
use crate::config::model::GraphLimits;

fn limits() -> GraphLimits {
    let wide = frontgate_filters::words::spanned::Spanned::nowhere(1_000_000);
    GraphLimits { depth: wide, fields: wide, aliases: wide, tokens: wide, ..GraphLimits::default() }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Whether a document is taken, whichever of its operations is meant.
fn is_taken(schema: &str, document: &str) -> Result<bool, Vec<super::super::Problem>> {
    let schema = parsed(schema, false)?;
    match Prepared::new(&schema, &limits(), document, None) {
        Ok(_) | Err((Refused::Operation, _)) => Ok(true),
        Err(_) => Ok(false),
    }
}

/// What is decided otherwise, and why.
fn is_excepted(case: &Value) -> bool {
    let (name, rule) = (text(&case["name"]), text(&case["rule"]));
    // No schema has subscriptions here.
    rule == "SingleFieldSubscriptionsRule"
        // What a scalar of one's own may be is for the service to say.
        || name.ends_with("reports error for custom scalar that returns undefined")
        // It is taken, and is an error of the field where the variable is null.
        || name.ends_with("Int => Int! fails when variable provides null default value")
}

#[test]
fn documents_are_valid_where_the_reference_implementation_says_so() {
    let suite: Value = serde_json::from_str(include_str!("../../../../tests/data/compose/graphql-js/validation.json")).expect("JSON");
    let schemas = suite["schemas"].as_array().expect("schemas");
    let (mut same, mut excepted, mut other) = (0, 0, Vec::new());
    for case in suite["cases"].as_array().expect("cases") {
        let schema = text(&schemas[case["schema"].as_u64().expect("an index") as usize]);
        let is_valid = case["valid_under_all_rules"] == true;
        if is_excepted(case) {
            excepted += 1;
            continue;
        }
        match is_taken(schema, text(&case["query"])) {
            Ok(taken) if taken == is_valid => same += 1,
            Ok(taken) => {
                other.push(format!("{} ({}): taken {taken}, valid {is_valid}: {}", text(&case["name"]), text(&case["rule"]), case["query"]))
            }
            Err(problems) => other.push(format!("{}: schema: {}", text(&case["name"]), problems[0].message)),
        }
    }
    assert!(other.is_empty() && excepted == 16, "{same} same, {excepted} excepted, {} other:\n{}", other.len(), other.join("\n"));
}

#[test]
fn texts_are_documents_where_the_reference_implementation_says_so() {
    let suite: Value = serde_json::from_str(include_str!("../../../../tests/data/compose/graphql-js/parse.json")).expect("JSON");
    let schema = schema("type Query { a: Int }", false).expect("a schema");
    let (mut same, mut other) = (0, Vec::new());
    for case in suite.as_array().expect("cases") {
        // What only some options of its parser take or refuse says nothing of the language.
        if ["maxTokens", "allowLegacyFragmentVariables"].iter().any(|option| case["options"].get(option).is_some()) {
            continue;
        }
        let parsed = Prepared::new(&schema, &limits(), text(&case["text"]), None);
        let is_parsed = !matches!(parsed, Err((Refused::Parse | Refused::Limit, _)));
        match is_parsed == (case["ok"] == true) {
            true => same += 1,
            false => other.push(format!("{}: parsed {is_parsed}: {} {}", text(&case["name"]), case["text"], case["options"])),
        }
    }
    assert!(other.is_empty() && same >= 98, "{same} same, {} other:\n{}", other.len(), other.join("\n"));
}

#[test]
fn schemas_are_wrong_where_the_reference_implementation_says_so() {
    let suite: Value = serde_json::from_str(include_str!("../../../../tests/data/compose/graphql-js/sdl-validation.json")).expect("JSON");
    let (mut refused, mut taken) = (0, Vec::new());
    for case in suite.as_array().expect("cases") {
        // Those that extend another schema say nothing of one file, and those in which one rule finds nothing are mostly half a schema.
        if !case["schema"].is_null() || case["errors"].as_array().is_some_and(Vec::is_empty) {
            continue;
        }
        match schema(text(&case["sdl"]), false) {
            Err(_) => refused += 1,
            Ok(_) => taken.push(format!("{} ({}): {}", text(&case["name"]), text(&case["rule"]), case["sdl"])),
        }
    }
    assert!(taken.is_empty() && refused > 30, "{refused} refused, {} taken:\n{}", taken.len(), taken.join("\n"));
}
