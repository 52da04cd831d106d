//! The integration test of lura, KrakenD's engine: the same requests, the same upstreams, its configuration in this gateway's language.

use frontgate_test_support::vectors;
use serde_json::{Value, json};

use super::mock::{self, ask, target};
use crate::harness::origin::Request;
use crate::harness::{Gate, Origin, Process};

/// What is not in reach, or not wanted, and why.
const LEFT_OUT: &[(&str, &str)] = &[("header-params-all", "all headers at once: what goes along is named, on purpose")];

/// Where this gateway means something else by the same: the status, and the `code` of its problem.
const OTHERWISE: &[(&str, u16, &str)] = &[
    // Redirects are not followed: where they lead is not for the upstream to say.
    ("redirect", 502, "call_failed"),
    ("found", 502, "call_failed"),
    // A 429 is true for the client as well: 500 in lura.
    ("sequential ko first", 429, "call_refused"),
    ("error-status-code-2", 429, "call_refused"),
];

type Behaviour = Box<dyn Fn(&Request) -> Option<Value> + Send + Sync>;

fn person() -> Value {
    json!({"email": "some@email.com", "name": "a"})
}

fn random(request: &Request) -> Option<Value> {
    Some(json!({"path": target(request).path, "random": 42}))
}

/// What each of the upstreams answers with 200, and where there is nothing, it is something else.
fn behaviours(late: &Gate) -> Vec<(&'static str, Behaviour)> {
    let late = late.clone();
    vec![
        (
            "B1",
            Box::new(|request: &Request| {
                let came = ["application/json", "bearer AuthorizationToken", "x-y-z"];
                let names = ["content-type", "authorization", "x-y-z"];
                let right =
                    names.iter().zip(came).all(|(name, value)| request.header(name) == [value]) && request.body == br#"{"foo":"bar"}"#;
                right.then(|| json!({"path": target(request).path}))
            }),
        ),
        (
            "B2",
            Box::new(|_: &Request| {
                Some(json!([{"body": "some content", "date": "123456789"}, {"body": "some other content", "date": "123496789"}]))
            }),
        ),
        ("B3", Box::new(|_: &Request| Some(person()))),
        ("B4", Box::new(|_: &Request| None)),
        (
            "B5",
            Box::new(move |_: &Request| {
                late.pass();
                Some(person())
            }),
        ),
        (
            "B6",
            Box::new(|request: &Request| {
                let asked = target(request);
                Some(json!({"path": asked.path, "query": mock::parameters(asked.query), "headers": mock::headers(request)}))
            }),
        ),
        ("B7", Box::new(random)),
        ("B8", Box::new(|_: &Request| None)),
        ("B9", Box::new(|_: &Request| None)),
        ("B11", Box::new(|request: &Request| Some(json!({"headers": {"X-Forwarded-For": request.header("x-forwarded-for")}})))),
        (
            "B12",
            Box::new(|request: &Request| {
                let method = request.line().split(' ').next().unwrap_or_default();
                Some(
                    json!({"headers": mock::headers(request), "body": mock::body(request), "url": target(request).whole, "method": method}),
                )
            }),
        ),
    ]
}

fn upstream(name: &'static str, behaviour: Behaviour) -> Origin {
    Origin::start(move |request, stream| match (behaviour(request), name) {
        (Some(answer), _) => mock::answer(stream, 200, &answer),
        (None, "B4") => mock::send(stream, 429, "text/plain; charset=utf-8", "", b"sad panda\n"),
        (None, "B8") => mock::send(stream, 301, "text/html", "Location: /\r\n", b"<a>Moved</a>"),
        (None, "B9") => mock::send(stream, 302, "text/html", "Location: /\r\n", b"<a>Found</a>"),
        (None, _) => mock::send(stream, 400, "text/plain", "", b"not as it was sent"),
    })
}

/// What an answer says of the headers that came along, without those that every gateway chooses for itself; a client's media type goes along with
/// its body.
fn comparable(mut body: Value) -> Value {
    for name in ["first", "second", "third"] {
        if let Some(part) = body.as_object_mut().and_then(|body| body.get_mut(name)) {
            *part = comparable(part.take());
        }
    }
    if let Some(headers) = body.as_object_mut().and_then(|body| body.get_mut("headers")).and_then(Value::as_object_mut) {
        let kept = headers.iter().filter(|(name, _)| !mock::is_of_the_hop(name) && !name.eq_ignore_ascii_case("content-type"));
        *headers = kept.map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect();
    }
    body
}

#[test]
fn what_lura_s_tests_ask_is_answered_alike_as_far_as_both_mean_the_same() {
    let read = |file: &str| std::fs::read_to_string(vectors(file).expect("it is carried along")).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&read("compose/lura/cases.json")).unwrap();
    let late = Gate::default();
    let upstreams: Vec<_> = behaviours(&late).into_iter().map(|(name, behaviour)| (name, upstream(name, behaviour))).collect();
    let config = upstreams.iter().fold(read("compose/lura/frontgate.yaml"), |text, (name, origin)| {
        text.replace(&format!("\"${name}:\""), &format!("\"{}\"", origin.address))
    });
    let process = Process::start("lura", &config);
    let mut wrong = Vec::new();
    let mut tried = 0;

    for case in &cases {
        let name = case["name"].as_str().unwrap();
        if LEFT_OUT.iter().any(|(left, _)| *left == name) {
            continue;
        }
        tried += 1;
        let headers: Vec<(&str, &str)> =
            case["headers"].as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect();

        let reply =
            ask(process.address, case["method"].as_str().unwrap_or("GET"), case["url"].as_str().unwrap(), &headers, case["body"].as_str());

        let mut hold = |holds: bool, words: &str| {
            if !holds {
                wrong.push(format!("{name}: {words}: {}{}\n  wanted {case}", reply.head, reply.text()));
            }
        };
        if let Some((_, status, code)) = OTHERWISE.iter().find(|(other, ..)| *other == name) {
            hold(reply.status == *status && reply.header("content-type") == Some("application/problem+json"), "not that refusal");
            hold(reply.json()["code"] == *code, "another code");
            continue;
        }
        hold(reply.status == 200 && case["expStatusCode"].as_u64().is_none_or(|status| status == 200), "the status");
        if let Some(complete) = case["expHeaders"]["X-KrakenD-Completed"].as_str() {
            hold(reply.header("x-bff-complete") == Some(complete), "complete or not");
        }
        if name == "x-forwarded-for" {
            // Who is no trusted proxy says nothing of others: the upstream hears of him alone.
            hold(reply.json() == json!({"headers": {"X-Forwarded-For": ["127.0.0.1"]}}), "whom it came from");
            continue;
        }
        if let Some(body) = case["expBody"].as_str() {
            let mut body = comparable(serde_json::from_str(body).unwrap());
            // A service's error is its own, and not for the client to read.
            body.as_object_mut().unwrap().remove("error_backend_a");
            hold(comparable(serde_json::from_slice(&reply.body).unwrap_or_default()) == body, &format!("the body, which is to be {body}"));
        }
    }

    late.open();
    println!("{tried} of {} of lura's cases, {} left out", cases.len(), LEFT_OUT.len());
    assert_eq!((cases.len(), tried), (29, 28));
    assert!(wrong.is_empty(), "{} things wrong:\n{}", wrong.len(), wrong.join("\n"));
}
