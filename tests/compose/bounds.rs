//! Where a page's calls may lead, how long each may take, which methods ask for a page, and whose memory its answers are.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::json;

use super::mock::{self, ask, target};
use super::rules::Scene;
use crate::harness::client::raw;
use crate::harness::{Gate, until};

#[test]
fn no_value_leads_out_of_the_path_that_a_call_is_written_with() {
    let routes = "
- {name: query, path: /query, aggregate: {calls: {x: {upstream: a, get: '/v1/users/{query.id}'}}}}
- {name: body, path: /body, aggregate: {calls: {x: {upstream: a, get: '/v1/users/{body.id}/more'}}}}
- {name: answer, path: /answer, aggregate: {calls: {y: {upstream: b, get: /given}, x: {upstream: a, get: '/v1/users/{y.id}'}}}}
";
    let scene = Scene::start("astray", "", routes, |request, stream| match target(request).path {
        "/given" => mock::answer(stream, 200, &json!({"id": "../../internal/secrets"})),
        _ => mock::answer(stream, 200, &json!({"at": target(request).whole})),
    });

    for id in ["../../internal/secrets", "..%2F..%2Finternal", "%2e%2e%2finternal", "a%2F..%2Fb", "..%5Cx", "a%00", "a%0Ab", "..", "."] {
        scene.get(&format!("/query?id={id}")).is_problem(502);
    }
    for id in ["../../internal", "a/./b", "..\\x", "a\u{0}"] {
        ask(scene.process.address, "POST", "/body", &[], Some(&json!({"id": id}).to_string())).is_problem(502);
    }
    scene.get("/answer").is_problem(502);
    assert!(scene.asked().iter().all(|asked| asked == "/given"), "{:?}", scene.asked());

    // A slash within a value is a part of it.
    assert_eq!(scene.get("/query?id=a%2Fb").json()["x"]["at"], "/v1/users/a%2Fb");
}

#[test]
fn who_waits_shorter_for_the_same_has_a_request_of_its_own() {
    let gates: [Gate; 2] = Default::default();
    let held = gates.clone();
    let page = |path: &str, calls: &str| format!("- {{name: {path}, path: /{path}, timeout: 60s, aggregate: {{calls: {{{calls}}}}}}}\n");
    let short = |path: &str| format!("short: {{upstream: a, get: /of/{path}, timeout: 100ms, optional: true}}");
    let long = |name: &str, path: &str| format!("{name}: {{upstream: a, get: /of/{path}, timeout: 50s}}");
    let routes = page("last", &[long("long", "last"), short("last"), long("again", "last")].join(", "))
        + &page("first", &[short("first"), long("long", "first"), long("again", "first")].join(", "));
    let scene = Scene::start("same", "", &routes, move |request, stream| {
        held[usize::from(target(request).path == "/of/first")].pass();
        mock::answer(stream, 200, &json!({"at": target(request).whole}))
    });
    let address = scene.process.address;

    for (path, gate) in ["last", "first"].into_iter().zip(&gates) {
        let asking = std::thread::spawn(move || ask(address, "GET", &format!("/{path}"), &[], None));
        until("the short one to be over", || {
            scene.metric(&format!("frontgate_calls_total{{route=\"{path}\",call=\"short\",result=\"timeout\"}}")) == 1.0
        });
        gate.open();
        let page = asking.join().unwrap();

        assert_eq!((page.status, page.header("x-bff-missing")), (200, Some("short")), "{path}: {}", page.text());
        assert_eq!((&page.json()["long"]["at"], &page.json()["again"]), (&json!(format!("/of/{path}")), &page.json()["long"]), "{path}");
        let of_path = scene.asked().into_iter().filter(|asked| asked.ends_with(path)).count();
        assert_eq!(of_path, 2, "two who wait alike share one");
    }
}

#[test]
fn a_page_is_asked_for_with_the_methods_of_calls_unless_its_route_names_others() {
    let routes = "
- {name: any, path: /any, aggregate: {calls: {x: {upstream: a, get: /x}}}}
- {name: named, path: /named, methods: [GET, REPORT], aggregate: {calls: {x: {upstream: a, get: /x}}}}
";
    let scene = Scene::start("methods", "", routes, |request, stream| mock::answer(stream, 200, &json!({"at": target(request).whole})));
    let status = |method: &str, path: &str| ask(scene.process.address, method, path, &[("Content-Length", "0")], None);

    for method in ["OPTIONS", "FOO", "PROPFIND"] {
        let refused = status(method, "/any");
        refused.is_problem(405);
        assert_eq!(refused.header("allow"), Some("GET, HEAD, POST, PUT, PATCH, DELETE"), "{method}");
    }
    assert_eq!(scene.asked().len(), 0);
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
        assert_eq!(status(method, "/any").status, 200, "{method}");
    }
    assert_eq!(status("REPORT", "/named").status, 200);
    assert_eq!(status("OPTIONS", "/named").status, 405);
}

/// The bytes that all bodies together hold.
fn held(scene: &Scene) -> f64 {
    scene.metric("frontgate_call_memory_bytes")
}

/// Asks for something that is longer than sockets take, and reads nothing of it.
fn slow_reader(scene: &Scene, path: &str) -> TcpStream {
    let mut stream = raw(scene.process.address);
    write!(stream, "GET {path} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n").unwrap();
    stream
}

#[test]
fn whatever_becomes_of_an_answer_it_is_counted_until_its_client_has_it() {
    const LONG: usize = 24 << 20;
    let more = "filters: {slim: {trim: {profiles: {}, otherwise: {drop: [x.gone]}}}}";
    let limits = "limits: {answer: 64MiB, total: 64MiB}";
    let routes = format!(
        "
- {{name: trimmed, path: /trimmed, filters: [slim], aggregate: {{{limits}, calls: {{x: {{upstream: a, get: /long}}}}}}}}
- {{name: passed, path: /passed, aggregate: {{{limits}, errors: pass, calls: {{x: {{upstream: a, get: /fails}}}}}}}}
- {{name: plain, path: /plain, aggregate: {{{limits}, calls: {{x: {{upstream: a, get: /long}}}}}}}}
"
    );
    let long = format!(r#"{{"gone":1,"text":"{}"}}"#, "x".repeat(LONG));
    let scene = Scene::start("held", more, &routes, move |request, stream| {
        let status = if target(request).path == "/fails" { 422 } else { 200 };
        mock::send(stream, status, "application/json", "", long.as_bytes())
    });

    for path in ["/plain", "/trimmed", "/passed"] {
        let mut reader = slow_reader(&scene, path);
        // All of it is there, and no more than the answer itself.
        let mut head = [0; 15];
        reader.read_exact(&mut head).unwrap();
        until("the answer to be counted alone", || (LONG as f64..1.2 * LONG as f64).contains(&held(&scene)));

        let mut rest = Vec::new();
        reader.read_to_end(&mut rest).unwrap();
        assert!(rest.len() > LONG, "{path}: {}", rest.len());
        until("nothing to be held", || held(&scene) == 0.0);
    }
}
