//! The cases that are written down, one process of the real binary each, in front of pools that answer as the case says.

use std::collections::BTreeMap;
use std::process::Command;

use frontgate_test_support::vectors;
use serde_json::{Value, json};

use super::mock::{self, ask, target};
use super::strict;
use crate::harness::{Gate, Origin, Process, Reply};

fn collection(file: &str) -> Vec<Value> {
    let path = vectors(file).expect("it is carried along");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The pools that a case names, and those that its routes do.
fn pools(case: &Value, late: &Gate) -> BTreeMap<String, Origin> {
    let mut names: Vec<String> = case["upstreams"].as_array().unwrap().iter().map(|name| text(name).to_owned()).collect();
    for rest in text(&case["routes"]).split("upstream: ").skip(1) {
        names.push(rest.chars().take_while(|letter| letter.is_alphanumeric()).collect());
    }
    names.sort();
    names.dedup();
    let of = |name: &str| {
        let told: Vec<Value> = case["mock"].as_array().unwrap().iter().filter(|told| told["pool"] == name).cloned().collect();
        let late = late.clone();
        Origin::start(move |request, stream| {
            let asked = target(request);
            let method = request.line().split(' ').next().unwrap_or_default();
            match told.iter().find(|told| told["method"] == method && told["path"] == asked.path) {
                Some(told) => {
                    // However slow this machine is: what comes too late comes when the client has its answer.
                    if told.get("delay_ms").is_some() {
                        late.pass();
                    }
                    let more: String = told["headers"]
                        .as_object()
                        .into_iter()
                        .flatten()
                        .map(|(name, value)| format!("{name}: {}\r\n", text(value)))
                        .collect();
                    let status = told["status"].as_u64().unwrap() as u16;
                    mock::send(stream, status, text(&told["type"]), &more, &body_of(told, request))
                }
                None => mock::unknown(stream),
            }
        })
    };
    names.iter().map(|name| (name.clone(), of(name))).collect()
}

fn body_of(told: &Value, request: &crate::harness::origin::Request) -> Vec<u8> {
    let asked = target(request);
    if told["echo"] == true {
        let mut echo = json!({"path": mock::decoded(asked.path, false), "query": mock::parameters(asked.query), "foo": 42});
        if let Some(body) = mock::body(request) {
            echo["body"] = body.into();
        }
        return echo.to_string().into_bytes();
    }
    let Some(raw) = told["raw"].as_str() else { return told["json"].to_string().into_bytes() };
    if told["raw_escapes"] == true {
        let mut bytes = Vec::new();
        let mut parts = raw.split("\\xff");
        bytes.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
        parts.for_each(|part| {
            bytes.push(0xff);
            bytes.extend_from_slice(part.as_bytes());
        });
        return bytes;
    }
    raw.as_bytes().to_vec()
}

/// What is wrong with an answer, in words.
fn judged(expect: &Value, reply: &Reply, asked: &[String]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut hold = |holds: bool, words: String| {
        if !holds {
            wrong.push(words);
        }
    };
    hold(expect["status"] == reply.status, format!("status {} instead of {}: {}", reply.status, expect["status"], reply.text()));
    hold(reply.whole && strict::value(&reply.body).is_some(), format!("no JSON: {}", reply.text()));
    for (name, value) in expect["headers"].as_object().into_iter().flatten() {
        hold(reply.header(name) == value.as_str(), format!("{name} is {:?} instead of {value}", reply.header(name)));
    }
    if reply.status == 200 {
        let kind = reply.header("content-type").unwrap_or_default();
        hold(kind.starts_with("application/json"), format!("its type is {kind}"));
        hold(reply.header("content-length") == Some(&*reply.body.len().to_string()), "no length".to_owned());
        let partial = reply.header("x-bff-complete") == Some("false");
        hold(partial == reply.header("x-bff-missing").is_some(), "what is missing is not said, or nothing is".to_owned());
    }
    if let Some(json) = expect.get("json") {
        hold(serde_json::from_slice::<Value>(&reply.body).is_ok_and(|found| found == *json), format!("{} instead of {json}", reply.text()));
    }
    if let Some(whole) = expect["text"].as_str() {
        hold(reply.body == whole.as_bytes(), format!("{} instead of {whole}", reply.text()));
    }
    if let Some(problem) = expect["problem"].as_object() {
        hold(reply.header("content-type") == Some("application/problem+json"), reply.head.clone());
        let found: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        for (name, value) in problem {
            hold(found[name] == *value, format!("{name} is {} instead of {value}", found[name]));
        }
    }
    for (target, times) in expect["calls_made"].as_object().into_iter().flatten() {
        let made = asked.iter().filter(|asked| *asked == target).count();
        hold(*times == made, format!("{target} was asked for {made} times instead of {times}: {asked:?}"));
    }
    for prefix in expect["calls_not_made"].as_array().into_iter().flatten() {
        hold(!asked.iter().any(|asked| asked.starts_with(text(prefix))), format!("{prefix} was asked for: {asked:?}"));
    }
    wrong
}

/// Plays a case; what is wrong, in words.
fn play(number: usize, case: &Value) -> Vec<String> {
    let late = Gate::default();
    let pools = pools(case, &late);
    let config = format!(
        "version: 1\nserver:\n  listeners: [{{address: 127.0.0.1:0}}]\n  admin: 127.0.0.1:0\n{}routes:\n{}telemetry: {{access_log: \"off\"}}\n",
        mock::running(&pools),
        text(&case["routes"])
    );
    let process = Process::start(&format!("compose-{number}"), &config);
    let request = &case["request"];
    let headers: Vec<(&str, &str)> =
        request["headers"].as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), text(value))).collect();

    let reply = ask(process.address, text(&request["method"]), text(&request["target"]), &headers, request["body"].as_str());

    late.open();
    let received: Vec<_> = pools.values().flat_map(Origin::received).collect();
    let asked: Vec<String> = received.iter().map(|request| target(request).whole.to_owned()).collect();
    judged(&case["expect"], &reply, &asked)
}

#[test]
fn every_case_that_is_written_down_is_answered_as_it_says() {
    let cases = collection("compose/aggregate/cases.json");
    let mut wrong = Vec::new();

    for (number, case) in cases.iter().enumerate() {
        wrong.extend(play(number, case).into_iter().map(|words| format!("{}: {words}", case["name"])));
    }

    assert!(cases.len() >= 34, "{}", cases.len());
    assert!(wrong.is_empty(), "{} things wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// What `check` says in the words that it has for the same elsewhere.
const SAID_OTHERWISE: &[(&str, &str)] = &[("unknown pool", "there is no upstream q")];

#[test]
fn what_is_written_wrong_is_said_as_it_is_written_down() {
    let cases = collection("compose/aggregate/check.json");
    let folder = Process::folder("compose-check");
    let file = folder.join("frontgate.yaml");
    let mut wrong = Vec::new();

    for case in &cases {
        let answer = case["answer"].as_str().map_or(String::new(), |answer| format!("      answer: {answer}\n"));
        let config = format!(
            "version: 1\nserver:\n  listeners: [{{address: 127.0.0.1:0}}]\nupstreams:\n  p: {{endpoints: [\"127.0.0.1:9\"]}}\nroutes:\n  - name: it\n    path: \"{}\"\n    timeout: {}\n    aggregate:\n      calls: {}\n{answer}telemetry: {{access_log: \"off\"}}\n",
            text(&case["path"]),
            text(&case["timeout"]),
            text(&case["calls"]),
        );
        std::fs::write(&file, &config).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_frontgate")).args(["check", "-c"]).arg(&file).output().unwrap();
        let said = format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let plain = said.replace('`', "").split_whitespace().collect::<Vec<_>>().join(" ");
        let (refused, warned) = (!output.status.success(), plain.contains("warning:") || plain.contains("warning["));
        let level = text(&case["level"]);
        let words = SAID_OTHERWISE.iter().find(|(name, _)| case["name"] == *name).map_or(text(&case["says"]), |(_, words)| words);
        // What is an error may be worth a warning as well.
        if refused != (level == "error") || warned && level == "ok" || !warned && level == "warning" || !plain.contains(words) {
            wrong.push(format!("{} should be {level} and say {}:\n{said}", case["name"], case["says"]));
        }
    }

    let _ = std::fs::remove_dir_all(folder);
    assert!(cases.len() >= 15, "{}", cases.len());
    assert!(wrong.is_empty(), "{} of {} are wrong:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
