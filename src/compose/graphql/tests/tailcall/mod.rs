//! The specifications that Tailcall, another gateway from GraphQL to REST, is tested by: converted into this gateway's words, as far as they are
//! in reach, and held against its engine. Those that are not are counted by the reason.

mod convert;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use frontgate_filters::filter::Facts;
use http::HeaderValue;
use pingora_http::RequestHeader;
use serde_json::{Value, json};

use self::convert::{Converted, convert, upstream};
use super::super::{Graph, Kind, Outcome, Request};
use super::table::{Made, Said, Table, ask, json_of, try_graph};
use crate::compose::Inquiry;

/// How many requests are answered as they should be.
const HELD: usize = 74;

/// Requests that are answered otherwise here: the specification, the number of the request in it, and why.
const OTHERWISE: &[(&str, &[usize], &str)] = &[
    ("async-cache-enable-multiple-resolvers", &[0], NO_SELECTION),
    ("caching", &[1, 2], NOBODY),
    ("federation-subgraph-no-entities", &[0, 1], "a field that the schema has not is refused"),
    ("graphql-conformance-http-001", &[1, 2], ID),
    ("graphql-conformance-http-002", &[0], ID),
    ("graphql-conformance-http-003", &[0, 1], ID),
    ("graphql-conformance-http-004", &[0], ID),
    ("graphql-conformance-http-005", &[0], ID),
    ("graphql-conformance-http-014", &[1], ID),
    ("n-plus-one", &[0], "an Int that a service writes as a text is a number"),
    ("nullable-arg-query", &[0, 1], ID),
    ("ref-other", &[0], NOBODY),
    ("ref-other-nested", &[0], NOBODY),
    ("test-null-in-array", &[0], NO_BODY),
    ("test-null-in-object", &[0], NO_BODY),
    ("test-required-fields", &[4, 12, 13, 16, 20], NEAREST),
    ("upstream-batching", &[0], "fields with other arguments are calls of their own, and these mocks know the one for both alone"),
    ("upstream-fail-request", &[0], NEAREST),
    ("upstream-fail-request-with-body", &[0], NEAREST),
];

const ID: &str = "an ID is a text in an answer, as the specification has it";
const NEAREST: &str =
    "null and errors go up to the nearest field that may be null, as the specification has it, and nothing of what a service said is told";
const NOBODY: &str = "an object that nothing answers is null: `check` refuses such a root";
const NO_BODY: &str = "an answer without a body is no JSON: the call has failed";
const NO_SELECTION: &str = "of an object something has to be selected";

/// How many specifications are out of reach, by the reason.
const OUT_OF_REACH: &[(&str, usize)] = &[
    ("a schema that is refused here: `location` field must be of an input type", 1),
    ("a schema that is refused here: `user` field must be of an input type", 2),
    ("another GraphQL service behind: `@graphQL`", 21),
    ("batches in bodies", 2),
    ("fields that are added at a distance: `@addField`", 10),
    ("further files: scripts, descriptors, operations", 6),
    ("introspection, which tells of directives of theirs", 3),
    ("no request by GraphQL over HTTP", 8),
    ("other names of an enum's values", 2),
    ("scripts and selections on the way of an answer", 1),
    ("types that are told by the shape of a value", 7),
    ("values that the configuration makes up: `@expr`", 22),
    ("variables of the environment or of the configuration", 2),
    ("what finds an object of a type for a federation: our `subgraph` derives it", 2),
];

#[tokio::test]
async fn specifications_of_another_gateway_hold() {
    let specs: Value = serde_json::from_str(include_str!("../../../../../tests/data/tailcall/specs.json")).expect("JSON");
    let (mut reasons, mut held, mut other) = (BTreeMap::<String, Vec<String>>::new(), 0, Vec::new());
    let mut found = Vec::new();
    for spec in specs.as_array().expect("specifications") {
        let name = spec["name"].as_str().expect("a name");
        match judged(spec).await {
            Err(reason) => reasons.entry(reason).or_default().push(name.to_owned()),
            Ok(told) => {
                for (index, wrong) in told.into_iter().enumerate() {
                    let excepted = OTHERWISE.iter().any(|(spec, requests, _)| *spec == name && requests.contains(&index));
                    match (wrong, excepted) {
                        (None, false) => held += 1,
                        (None, true) => other.push(format!("{name} {index}: it holds, and is said not to")),
                        (Some(_), true) => found.push((name.to_owned(), index)),
                        (Some(wrong), false) => other.push(format!("{name} {index}: {wrong}")),
                    }
                }
            }
        }
    }
    let counted: Vec<(&str, usize)> = reasons.iter().map(|(reason, specs)| (reason.as_str(), specs.len())).collect();
    let told: Vec<String> = reasons.iter().map(|(reason, specs)| format!("{} {reason}: {}", specs.len(), specs.join(" "))).collect();
    assert!(other.is_empty(), "{held} hold, {} do not:\n{}\n\nout of reach:\n{}", other.len(), other.join("\n"), told.join("\n"));
    let excepted: usize = OTHERWISE.iter().map(|(_, requests, _)| requests.len()).sum();
    assert_eq!(found.len(), excepted, "{found:?}");
    assert_eq!(counted, OUT_OF_REACH, "{held} hold; {}", told.join("\n"));
    assert_eq!(held, HELD);
}

/// What is wrong with each answer to a specification's requests; or why it is out of reach.
async fn judged(spec: &Value) -> Result<Vec<Option<String>>, String> {
    if spec.get("error").is_some() {
        return Err("a schema that is to be refused".to_owned());
    }
    let requests: Vec<(&Value, Value, &Value)> = spec["requests"]
        .as_array()
        .expect("requests")
        .iter()
        .zip(spec["expected"].as_array().expect("answers"))
        .filter_map(|(request, expected)| Some((request, asked(request)?, &expected["body"])))
        .collect();
    if requests.is_empty() {
        return Err("no request by GraphQL over HTTP".to_owned());
    }
    if requests
        .iter()
        .any(|(_, asked, _)| asked["query"].as_str().is_some_and(|query| query.contains("__schema") || query.contains("__type(")))
    {
        return Err("introspection, which tells of directives of theirs".to_owned());
    }
    let converted = convert(spec)?;
    let graph = graph_of(&converted)?;
    let mut told = Vec::new();
    for (request, asked, expected) in requests {
        let answer = answer(&graph, spec, request, &asked).await;
        let (data, errors) = (answer.get("data").unwrap_or(&Value::Null), answer.get("errors").is_some());
        let wanted = (expected.get("data").unwrap_or(&Value::Null), expected.get("errors").is_some());
        told.push(
            (wanted != (data, errors))
                .then(|| format!("{}\n  got {answer}\n  not {expected}\n  fields {}", asked["query"], converted.fields)),
        );
    }
    Ok(told)
}

fn graph_of(converted: &Converted) -> Result<Graph, String> {
    let wide = json!({"depth": 1000, "cost": 100_000_000, "errors": 1000, "calls": 1000});
    let graph = try_graph(&converted.sdl, json!({"fields": converted.fields, "limits": wide}));
    graph.map_err(|problems| format!("a schema that is refused here: {}", problems[0].message))
}

/// What a request asks for, where it asks a graph.
fn asked(request: &Value) -> Option<Value> {
    let is_graph = request["url"].as_str().is_some_and(|url| url.ends_with("/graphql"));
    let body = match request.get("textBody").and_then(Value::as_str) {
        Some(text) => serde_json::from_str(text).ok()?,
        None => request["body"].clone(),
    };
    (is_graph && request["method"] == "POST" && body["query"].is_string()).then_some(body)
}

async fn answer(graph: &Graph, spec: &Value, request: &Value, asked: &Value) -> Value {
    let mocks = spec["mock"].clone();
    let table = Table::new(move |made| mocked(&mocks, made));
    let mut head = RequestHeader::build("POST", b"/graphql/t", None).expect("a request");
    for (name, value) in request["headers"].as_object().into_iter().flatten() {
        head.append_header(name.clone(), value.as_str().unwrap_or_default()).expect("a header");
    }
    let facts = Facts::new("192.0.2.1".parse().expect("an address"), HeaderValue::from_static("r-1"));
    let inquiry = Inquiry { head: &head, facts: &facts, body: Bytes::new(), calls: &table, deadline: None };
    let variables = asked.get("variables").map(Value::to_string);
    let query = asked["query"].as_str().unwrap_or_default();
    let asked = Request { variables: variables.as_deref().map(str::as_bytes), operation: asked["operationName"].as_str(), ..ask(query) };
    let outcome: Outcome = tokio::time::timeout(Duration::from_secs(60), graph.run(asked, &inquiry)).await.expect("an answer in time");
    assert!(matches!(outcome.kind, Kind::Data | Kind::Refused(_)));
    json_of(&outcome)
}

/// What one of the mocks says to this call.
fn mocked(mocks: &Value, made: &Made) -> Said {
    let [method, pool, target] = made.line.splitn(3, ' ').collect::<Vec<_>>()[..] else { panic!("{}", made.line) };
    let is_meant = |mock: &&Value| {
        let request = &mock["request"];
        let url = request["url"].as_str().unwrap_or_default();
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let body = match &request["body"] {
            Value::String(text) => serde_json::from_str(text).unwrap_or_else(|_| text.clone().into()),
            other => other.clone(),
        };
        let sent: Value = made.body.as_deref().and_then(|body| serde_json::from_slice(body).ok()).unwrap_or_default();
        request["method"].as_str().unwrap_or("GET") == method
            && upstream(host) == pool
            && plain(path) == plain(target)
            && (body.is_null() || body == sent)
    };
    let Some(mock) = mocks.as_array().into_iter().flatten().find(is_meant) else { return super::table::status(404) };
    let response = &mock["response"];
    let status = response["status"].as_u64().unwrap_or(200) as u16;
    let body = match (response.get("body"), response.get("textBody")) {
        (Some(body), _) => body.to_string(),
        (None, Some(text)) => text.as_str().unwrap_or_default().to_owned(),
        (None, None) => String::new(),
    };
    Said::Answer(status, Vec::new(), body)
}

/// The path, and the pairs of the query in an order: values with commas are several, as batches ask.
fn plain(target: &str) -> (String, Vec<(String, String)>) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let decoded = |text: &str| percent_encoding::percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .flat_map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decoded(name), decoded(value));
            value.split(',').map(|value| (name.clone(), value.to_owned())).collect::<Vec<_>>()
        })
        .filter(|(_, value)| !value.is_empty())
        .collect();
    pairs.sort();
    (decoded(path.trim_end_matches('/')), pairs)
}
