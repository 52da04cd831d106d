//! KrakenD's own integration tests: the same requests, the same upstreams, its configuration in this gateway's language, its answers where both mean
//! the same by them.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use frontgate_filters::jwt::Algorithm;
use frontgate_filters::jwt::issuer::Issuer;
use frontgate_test_support::vectors;
use serde_json::{Value, json};

use super::mock::{self, ask, target};
use crate::harness::origin::Request;
use crate::harness::{Gate, Origin, Process};

/// What is not in reach, or not wanted, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    ("botdetector_1", "no filter judges by User-Agent; ours would be a part of the route and not of the composition"),
    ("botdetector_2", "as botdetector_1"),
    ("botdetector_3", "as botdetector_1"),
    ("botdetector_4", "as botdetector_1"),
    ("cel-1", "arithmetic in a condition: no expression language, on purpose"),
    ("cel-2", "as cel-1"),
    ("cel-3", "as cel-1"),
    ("cel-4", "as cel-1"),
    ("cors_1", "a preflight never reaches the composition: tests/auth has those of the filter"),
    ("cors_2", "as cors_1"),
    ("cors_3", "as cors_1"),
    ("cors_4", "as cors_1"),
    ("integration_jsonschema", "KrakenD's own health page"),
    ("jsonschema_1", "no schema is checked for a client's body"),
    ("jwt_4", "tokens are read and never signed"),
    ("lua_1", "no scripts, on purpose"),
    ("lua_2", "no scripts, on purpose"),
    ("negotitate_json", "a composition is JSON whatever a client prefers, and XML is not read"),
    ("negotitate_plain", "as negotitate_json"),
    ("no-op_1", "one answer that passes untouched is a route with `upstream`, and its cookies pass there"),
    ("no-op_2", "as no-op_1"),
    ("param_forwarding_2", "all headers at once: what goes along is named, on purpose"),
    ("router_redirect", "a path in other letters is another path"),
    ("rss", "RSS is not read"),
    ("sequential_4", "no scripts, on purpose: a body in base64 as a part of a path"),
    ("xml_1", "XML is neither read nor written"),
    ("xml_2", "as xml_1"),
];

/// Where this gateway means something else by the same: the status, and the `code` of its problem.
const OTHERWISE: &[(&str, u16, &str)] = &[
    // Redirects are not followed: where they lead is not for the upstream to say.
    ("backend_301", 502, "call_failed"),
    ("backend_302", 502, "call_failed"),
    ("backend_303", 502, "call_failed"),
    ("backend_307", 502, "call_failed"),
    // What is not there is not there for the client either, and no fault of anybody's: 500 in KrakenD.
    ("backend_404", 404, "call_refused"),
    ("cel-6", 401, ""),
    ("jwt_1", 403, ""),
    ("jwt_2", 401, ""),
    ("router_401_1", 401, ""),
    ("router_404", 404, ""),
    ("router_405", 405, ""),
];

/// The upstream on port 8081.
fn main_upstream(late: &Gate) -> Origin {
    let late = late.clone();
    Origin::start(move |request, stream| {
        let asked = target(request);
        let cookies = "Set-Cookie: test1=test1\r\nSet-Cookie: test2=test2\r\n";
        match asked.path.split('/').nth(1).unwrap_or_default() {
            "param_forwarding" => mock::send(stream, 200, "application/json", cookies, echo(request).to_string().as_bytes()),
            "delayed" => {
                late.pass();
                mock::answer(stream, 200, &echo(request))
            }
            "collection" => mock::answer(stream, 200, &(0..10).map(|number| json!({"i": number, "path": asked.path})).collect()),
            "redirect" => {
                let query = mock::parameters(asked.query);
                let status = query["status"][0].as_str().and_then(|status| status.parse().ok()).unwrap_or(500);
                let location = format!("Location: /param_forwarding/?{}\r\n", asked.query);
                mock::send(stream, status, "text/html", &location, b"<a>Moved</a>")
            }
            _ => mock::unknown(stream),
        }
    })
}

fn echo(request: &Request) -> Value {
    let asked = target(request);
    let mut found = json!({"path": mock::decoded(asked.path, false), "query": mock::parameters(asked.query), "headers": mock::headers(request), "foo": 42});
    if found["query"]["dump_body"][0] == "1" {
        found["body"] = mock::body(request).into();
    }
    found
}

/// What KrakenD is for itself.
fn itself() -> Origin {
    Origin::start(|request, stream| match target(request).path.starts_with("/__debug") {
        true => mock::answer(stream, 200, &json!({"message": "pong"})),
        false => mock::unknown(stream),
    })
}

/// Headers that neither client nor configuration chose are of the gateway that was asked, and names are in small letters.
fn comparable(mut body: Value) -> Value {
    if let Some(headers) = body.as_object_mut().and_then(|body| body.get_mut("headers")).and_then(Value::as_object_mut) {
        let kept = headers.iter().filter(|(name, _)| !mock::is_of_the_hop(name) && !name.eq_ignore_ascii_case("referer"));
        *headers = kept.map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect();
    }
    for name in ["first", "second"] {
        if let Some(part) = body.as_object_mut().and_then(|body| body.get_mut(name)) {
            *part = comparable(part.take());
        }
    }
    body
}

fn parsed(body: &Value) -> Value {
    body.as_str().map_or_else(|| body.clone(), |text| serde_json::from_str(text).unwrap_or_else(|_| text.into()))
}

#[test]
fn what_krakend_s_tests_ask_is_answered_alike_as_far_as_both_mean_the_same() {
    let read = |file: &str| std::fs::read_to_string(vectors(file).expect("it is carried along")).unwrap();
    let specs: Value = serde_json::from_str(&read("compose/krakend/specs.json")).unwrap();
    let specs = specs.as_object().unwrap();
    let late = Gate::default();
    let (main, itself) = (main_upstream(&late), itself());
    let issuer = Issuer::fresh("sim2", Algorithm::ES256).unwrap();
    let folder = Process::folder("krakend-keys");
    let keys = folder.join("keys.json");
    std::fs::write(&keys, issuer.jwks()).unwrap();
    let config = read("compose/krakend/frontgate.yaml")
        .replace("$MAIN", &main.address.to_string())
        .replace("$ITSELF", &itself.address.to_string())
        .replace("$KEYS", &keys.display().to_string());
    let process = Process::start("krakend", &config);
    let mut wrong = Vec::new();
    let mut tried = 0;

    for (name, spec) in specs {
        if LEFT_OUT.iter().any(|(left, _)| left == name) {
            continue;
        }
        tried += 1;
        let (asked, expect) = (&spec["in"], &spec["out"]);
        let path = asked["url"].as_str().unwrap().strip_prefix("http://localhost:8080").unwrap();
        let headers: Vec<(String, String)> = asked["header"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, value)| {
                let value = value.as_str().unwrap();
                (name.clone(), if name.eq_ignore_ascii_case("authorization") { signed_by_us(value, &issuer) } else { value.to_owned() })
            })
            .collect();
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let body = asked.get("body").map(ToString::to_string);

        let reply = ask(process.address, asked["method"].as_str().unwrap_or("GET"), path, &headers, body.as_deref());

        let mut hold = |holds: bool, words: &str| {
            if !holds {
                wrong.push(format!("{name}: {words}: {}{}\n  wanted {expect}", reply.head, reply.text()));
            }
        };
        hold(reply.header("set-cookie").is_none(), "an upstream's cookie");
        if let Some((_, status, code)) = OTHERWISE.iter().find(|(other, ..)| other == name) {
            hold(reply.status == *status && reply.header("content-type") == Some("application/problem+json"), "not that refusal");
            hold(code.is_empty() || reply.json()["code"] == *code, "another code");
            continue;
        }
        hold(expect["status_code"] == reply.status, "the status");
        let complete = expect["header"]["X-Krakend-Completed"][0].as_str();
        hold(complete.is_none_or(|complete| reply.header("x-bff-complete") == Some(complete)), "complete or not");
        if let Some(origins) = expect["header"]["Access-Control-Allow-Origin"][0].as_str() {
            hold(reply.header("access-control-allow-origin") == Some(origins), "whom it is open to");
        }
        if let Some(body) = expect.get("body") {
            let mut body = comparable(parsed(body));
            // A service's error is its own, and not for the client to read.
            if let Some(body) = body.as_object_mut() {
                body.remove("error_backend_b");
            }
            let found = serde_json::from_slice(&reply.body).unwrap_or_default();
            hold(comparable(found) == body, &format!("the body, which is to be {body}"));
        }
    }

    late.open();
    let _ = std::fs::remove_dir_all(folder);
    let unknown: Vec<_> = LEFT_OUT
        .iter()
        .map(|(name, _)| name)
        .chain(OTHERWISE.iter().map(|(name, ..)| name))
        .filter(|name| !specs.contains_key(**name))
        .collect();
    assert!(unknown.is_empty(), "no such cases: {unknown:?}");
    println!("{tried} of {} of KrakenD's cases, {} left out", specs.len(), LEFT_OUT.len());
    assert_eq!((specs.len(), tried), (59, 59 - LEFT_OUT.len()));
    assert!(wrong.is_empty(), "{} things wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// The same claims under a key that this test has; what is no token stays what it is.
fn signed_by_us(header: &str, issuer: &Issuer) -> String {
    let parts: Vec<&str> = header.trim_start_matches("bearer ").split('.').collect();
    let read = |part: &str| {
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).ok()?;
        serde_json::from_slice::<Value>(&bytes).ok()
    };
    let [head, claims, _] = parts[..] else { return header.to_owned() };
    let (Some(_), Some(mut claims)) = (read(head), read(claims)) else { return header.to_owned() };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    if claims["exp"].as_u64().is_some_and(|until| until > now) {
        claims["exp"] = json!(now + 3600);
    }
    format!("Bearer {}", issuer.token(&claims))
}
