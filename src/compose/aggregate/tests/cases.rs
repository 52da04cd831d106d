//! The cases that are carried along, each answered as its mock says.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use super::table::{Asked, Made, Said, Table, aggregate, ask, get};
use crate::compose::Failed;

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// What a mock that says what it was asked answers.
fn echo(path: &str, query: &str, body: Option<&Bytes>) -> Value {
    let decoded = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let mut parameters = Map::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let values = parameters.entry(decoded(name)).or_insert_with(|| json!([]));
        values.as_array_mut().expect("a list").push(decoded(value).into());
    }
    let mut said = json!({"path": percent_decode_str(path).decode_utf8_lossy(), "query": parameters, "foo": 42});
    if let Some(body) = body {
        said["body"] = String::from_utf8_lossy(body).into();
    }
    said
}

/// What the mock of a case answers to a call.
fn answer(mock: &[Value], made: &Made) -> Said {
    let [method, pool, target] = made.line.splitn(3, ' ').collect::<Vec<_>>()[..] else { panic!("{}", made.line) };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let one = mock.iter().find(|one| text(&one["method"]) == method && text(&one["pool"]) == pool && text(&one["path"]) == path);
    let Some(one) = one else { return super::table::status(404, "{}") };
    if one["delay_ms"].as_u64().is_some_and(|delay| made.timeout.is_some_and(|timeout| timeout < Duration::from_millis(delay))) {
        return Said::Fails(Failed::Timeout);
    }
    let body = match (&one["raw"], &one["echo"]) {
        (Value::String(raw), _) if one["raw_escapes"] == true => {
            let mut bytes = Vec::new();
            raw.split("\\xff").enumerate().for_each(|(index, part)| {
                bytes.extend_from_slice(if index > 0 { b"\xff" } else { b"" });
                bytes.extend_from_slice(part.as_bytes());
            });
            bytes
        }
        (Value::String(raw), _) => raw.clone().into_bytes(),
        (_, Value::Bool(true)) => echo(path, query, made.body.as_ref()).to_string().into_bytes(),
        _ => one["json"].to_string().into_bytes(),
    };
    let headers = one["headers"].as_object().into_iter().flatten();
    let mut headers: Vec<(&'static str, String)> =
        headers.map(|(name, value)| (&*name.to_ascii_lowercase().leak(), text(value).to_owned())).collect();
    headers.push(("content-type", text(&one["type"]).to_owned()));
    Said::Answer(one["status"].as_u64().expect("a status") as u16, headers, vec![body.into()])
}

fn asked(request: &Value) -> Asked {
    let mut asked = get(text(&request["target"]));
    asked.head.set_method(Method::from_bytes(text(&request["method"]).as_bytes()).expect("a method"));
    for (name, value) in request["headers"].as_object().into_iter().flatten() {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        asked.head.append_header(name, HeaderValue::from_str(text(value)).expect("a value")).expect("a header");
    }
    asked.body = Bytes::copy_from_slice(text(&request["body"]).as_bytes());
    asked
}

#[tokio::test]
async fn the_cases_hold() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("../../../../tests/data/compose/aggregate/cases.json")).expect("JSON");
    for case in &cases {
        let name = text(&case["name"]);
        let (aggregate, path) = aggregate(text(&case["routes"]));
        let asked = asked(&case["request"]);
        assert!(path.matches(asked.head.uri.path()), "{name}");
        let mock = case["mock"].as_array().expect("a mock").clone();
        let table: Arc<Table> = Table::new(move |made| answer(&mock, made));
        let begun = Instant::now();

        let came = ask(&aggregate, &asked, &table).await;

        let expect = &case["expect"];
        assert_eq!(came.status, expect["status"].as_u64().expect("a status") as u16, "{name}: {}", came.text);
        for (header, value) in expect["headers"].as_object().into_iter().flatten() {
            assert_eq!(came.header(header), value.as_str(), "{name}: {header}");
        }
        if came.header("x-bff-complete") == Some("true") {
            assert!(came.missing.is_empty() && came.header("x-bff-missing").is_none(), "{name}");
        }
        if let Some(json) = expect.get("json") {
            assert_eq!(&came.json(), json, "{name}");
        }
        if let Some(exact) = expect["text"].as_str() {
            assert_eq!(came.text, exact, "{name}");
        }
        for (member, value) in expect["problem"].as_object().into_iter().flatten() {
            assert_eq!(&came.json()[member], value, "{name}");
        }
        if let Some(within) = expect["within_ms"].as_u64() {
            assert!(begun.elapsed() < Duration::from_millis(within), "{name}");
        }
        let targets: Vec<String> = table.lines().iter().map(|line| line.splitn(3, ' ').nth(2).expect("a target").to_owned()).collect();
        for (target, times) in expect["calls_made"].as_object().into_iter().flatten() {
            let made = targets.iter().filter(|made| *made == target).count() as u64;
            assert_eq!(Some(made), times.as_u64(), "{name}: {targets:?}");
        }
        for prefix in expect["calls_not_made"].as_array().into_iter().flatten() {
            assert!(!targets.iter().any(|target| target.starts_with(text(prefix))), "{name}: {targets:?}");
        }
    }
    assert!(cases.len() >= 34, "{}", cases.len());
}
