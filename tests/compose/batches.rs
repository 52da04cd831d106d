//! What answers to calls for several values at once have to look like.

use serde_json::{Value, json};

use super::mock::{self, target};
use super::rules::Scene;

/// A list, and a call for all of its values at once, with more keys.
fn page(path: &str, more: &str) -> String {
    format!(
        "
- name: {path}
  path: /{path}
  aggregate:
    calls:
      cart: {{upstream: a, get: /cart}}
      goods: {{upstream: b, get: '/{path}?ids={{each}}', each: cart.items.id, batch: 50, into: cart.items.goods, {more}}}"
    )
}

#[test]
fn an_answer_that_cannot_say_what_is_whose_is_a_failed_call() {
    // Each with what is asked for, and whether an answer says for nobody anything, or is none.
    let answers = [
        ("data", "at: items, by: id", json!({"data": []}), false),
        ("object", "at: items, by: id", json!({"items": {"1": {"id": 1}}}), false),
        ("one", "at: items, by: id", json!({"items": {"id": 1}}), false),
        ("nothing", "at: items, by: id", json!({"items": null}), false),
        ("nameless", "at: items, by: id", json!({"items": [{"key": 1}, {"key": 2}]}), false),
        ("nobodies", "at: items, by: id", json!({"items": [{"id": null}]}), false),
        ("scalars", "at: items, by: id", json!({"items": [1, 2]}), false),
        ("whole", "by: id", json!({"1": {"id": 1}}), false),
        ("error", "by: id", json!({"error": "down"}), false),
        ("deep", "at: pages.items, by: id", json!({"pages": [{"more": []}]}), false),
        ("empty", "at: items, by: id", json!({"items": []}), true),
        ("blank", "by: id", json!([]), true),
        ("others", "at: items, by: id", json!({"items": [{"id": 3}]}), true),
        ("some", "at: items, by: id", json!({"items": [{"key": 1}, {"id": 3}]}), true),
        ("pages", "at: pages.items, by: id", json!({"pages": [{"items": []}, {"items": [{"id": 3}]}]}), true),
        ("pageless", "at: pages.items, by: id", json!({"pages": []}), true),
        ("nested", "at: items, by: of.id", json!({"items": [{"of": {"id": 3}}]}), true),
    ];
    let routes: String = answers.iter().map(|(path, more, ..)| page(path, more)).collect();
    let told: Vec<(String, Value)> = answers.iter().map(|(path, _, answer, _)| (format!("/{path}"), answer.clone())).collect();
    let scene = Scene::start("batches", "", &routes, move |request, stream| {
        let path = target(request).path;
        match told.iter().find(|(known, _)| known == path) {
            Some((_, answer)) => {
                mock::send(stream, 200, "application/json", "Cache-Control: max-age=60\r\n", answer.to_string().as_bytes())
            }
            None => mock::send(stream, 200, "application/json", "Cache-Control: max-age=60\r\n", br#"{"items":[{"id":1},{"id":2}]}"#),
        }
    });

    for (path, _, answer, good) in &answers {
        let reply = scene.get(&format!("/{path}"));

        assert_eq!((reply.status, reply.text().as_str()), (200, r#"{"cart":{"items":[{"id":1},{"id":2}]}}"#), "{path}");
        let said = (reply.header("x-bff-complete"), reply.header("x-bff-missing"), reply.header("cache-control"));
        let wanted = if *good { (Some("true"), None, Some("max-age=60")) } else { (Some("false"), Some("goods"), Some("no-store")) };
        assert_eq!(said, wanted, "{path}: {answer}");
        let malformed = scene.metric(&format!("frontgate_calls_total{{route=\"{path}\",call=\"goods\",result=\"malformed\"}}"));
        assert_eq!(malformed, f64::from(u8::from(!good)), "{path}");
    }
}

#[test]
fn what_has_no_content_has_nothing_for_anybody() {
    let scene = Scene::start("batch-204", "", &page("none", "by: id"), |request, stream| match target(request).path {
        "/none" => std::io::Write::write_all(stream, b"HTTP/1.1 204 No Content\r\n\r\n").is_ok(),
        _ => mock::answer(stream, 200, &json!({"items": [{"id": 1}]})),
    });

    let reply = scene.get("/none");

    assert_eq!((reply.text().as_str(), reply.header("x-bff-complete")), (r#"{"cart":{"items":[{"id":1}]}}"#, Some("true")));
}

#[test]
fn an_answer_of_the_wrong_shape_takes_no_good_one_s_place() {
    let answers = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = answers.clone();
    let guard = "filters: {guard: {circuit_breaker: {consecutive: 100, fallback: [{cached: {max_age: 10m}}]}}}";
    let route = page("kept", "at: items, by: id").replace("  path: /kept\n", "  path: /kept\n  filters: [guard]\n");
    let scene = Scene::start("batch-kept", guard, &route, move |request, stream| match target(request).path {
        "/kept" => match count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            0 => mock::answer(stream, 200, &json!({"items": [{"id": 1, "title": "Cup"}]})),
            1 => mock::answer(stream, 200, &json!({"data": []})),
            _ => mock::answer(stream, 503, &json!({})),
        },
        _ => mock::answer(stream, 200, &json!({"items": [{"id": 1}]})),
    });
    let good = r#"{"cart":{"items":[{"id":1,"goods":{"id":1,"title":"Cup"}}]}}"#;

    assert_eq!(scene.get("/kept").text(), good);
    assert_eq!(scene.get("/kept").header("x-bff-missing"), Some("goods"));
    assert_eq!(scene.get("/kept").text(), good);
}
