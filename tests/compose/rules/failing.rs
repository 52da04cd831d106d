//! Whose failure is whose: required calls and optional ones, clients that leave, tries and circuits.

use super::*;

#[test]
fn what_a_required_call_fails_with_is_the_answer_s_status_and_nothing_of_its_text() {
    let routes = "
- {name: it, path: '/it/{status}', aggregate: {calls: {x: {upstream: a, get: '/{status}'}, beside: {upstream: b, get: /good}}}}
- {name: dead, path: /dead, aggregate: {calls: {x: {upstream: dead, get: /x}, beside: {upstream: b, get: /good}}}}
- {name: value, path: /value, aggregate: {calls: {y: {upstream: a, get: /y}, x: {upstream: b, get: '/{y.nothing}'}}}}
- {name: redirect, path: /pass, aggregate: {errors: pass, calls: {x: {upstream: a, get: /422}, beside: {upstream: b, get: /good}}}}
- {name: expected, path: /expected, aggregate: {calls: {x: {upstream: a, get: /404, expect: 200-404}}}}
- {name: empty, path: /empty, aggregate: {calls: {x: {upstream: a, get: /204}, beside: {upstream: b, get: /good}}}}
";
    let scene = Scene::start("statuses", "", routes, by_path);

    for (status, ours, code) in [
        (401, 401, "call_refused"),
        (403, 403, "call_refused"),
        (404, 404, "call_refused"),
        (409, 409, "call_refused"),
        (410, 410, "call_refused"),
        (422, 422, "call_refused"),
        (429, 429, "call_refused"),
        (302, 502, "call_failed"),
        (304, 502, "call_failed"),
        (400, 502, "call_failed"),
        (402, 502, "call_failed"),
        (405, 502, "call_failed"),
        (418, 502, "call_failed"),
        (500, 502, "call_failed"),
        (503, 502, "call_failed"),
        (504, 502, "call_failed"),
    ] {
        let reply = scene.get(&format!("/it/{status}"));
        reply.is_problem(ours);
        let json = reply.json();
        assert_eq!((&json["code"], &json["call"]), (&json!(code), &json!("x")), "{status}: {json}");
        assert!(!reply.text().contains("secret") && reply.header("x-own").is_none(), "{status}: {}{}", reply.head, reply.text());
        assert_eq!(reply.header("retry-after"), (status == 429).then_some("7"), "{status}: {}", reply.head);
    }
    for path in ["/dead", "/value"] {
        let reply = scene.get(path);
        reply.is_problem(502);
        assert_eq!((&reply.json()["code"], &reply.json()["call"]), (&json!("call_failed"), &json!("x")), "{path}");
    }
    let passed = scene.get("/pass");
    assert_eq!(
        (passed.status, passed.header("content-type"), passed.text().as_str()),
        (422, Some("application/json"), r#"{"secret":"of the service"}"#)
    );
    assert_eq!(scene.get("/expected").text(), r#"{"x":{"secret":"of the service"}}"#);
    assert_eq!(scene.get("/empty").text(), r#"{"x":null,"beside":{"at":"/good"}}"#);
}

#[test]
fn the_first_required_call_that_fails_ends_the_request_and_the_others() {
    let (left, began) = (Arc::<AtomicUsize>::default(), Instant::now());
    let count = left.clone();
    let routes = "
- name: it
  path: /it
  timeout: 60s
  aggregate: {calls: {slow: {upstream: a, get: /slow}, slower: {upstream: b, get: /slower, optional: true}, bad: {upstream: b, get: /500}}}
";
    let scene = Scene::start("first", "", routes, move |request, stream| match target(request).path {
        "/500" => by_path(request, stream),
        _ => waits(stream, &count),
    });

    scene.get("/it").is_problem(502);

    until("the others to be given up", || left.load(Ordering::SeqCst) == 2);
    assert!(began.elapsed() < Duration::from_secs(20), "nobody waited for them: {:?}", began.elapsed());
}

/// Never answers, and counts who leaves.
fn waits(stream: &mut TcpStream, left: &AtomicUsize) -> bool {
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    if matches!(stream.read(&mut [0]), Ok(0)) || stream.take_error().is_ok_and(|error| error.is_some()) {
        left.fetch_add(1, Ordering::SeqCst);
    }
    false
}

#[test]
fn a_client_that_leaves_ends_every_call() {
    let left = Arc::<AtomicUsize>::default();
    let count = left.clone();
    let routes = "- {name: it, path: /it, timeout: 60s, aggregate: {calls: {x: {upstream: a, get: /x}, y: {upstream: b, get: /y}}}}";
    let scene = Scene::start("leaves", "", routes, move |_, stream| waits(stream, &count));

    let mut client = raw(scene.process.address);
    client.write_all(b"GET /it HTTP/1.1\r\nHost: test.example\r\n\r\n").unwrap();
    until("both calls", || scene.asked().len() == 2);
    drop(client);

    until("both calls to be given up", || left.load(Ordering::SeqCst) == 2);
}

#[test]
fn where_nothing_came_it_is_an_error_even_if_all_of_it_was_optional() {
    let routes = "
- {name: all, path: /all, aggregate: {calls: {x: {upstream: a, get: /500, optional: true}, y: {upstream: b, get: /503, optional: true}}}}
- {name: one, path: /one, aggregate: {calls: {x: {upstream: a, get: /500, optional: true}, y: {upstream: b, get: /503, otherwise: {}}}}}
- {name: none, path: /none, aggregate: {calls: {x: {upstream: a, get: /500, otherwise: 1}, y: {upstream: b, get: /503, otherwise: [2]}}}}
- {name: some, path: /some, aggregate: {calls: {x: {upstream: a, get: /500, optional: true}, y: {upstream: b, get: /good, optional: true}}}}
";
    let scene = Scene::start("nothing", "", routes, by_path);

    scene.get("/all").is_problem(502);
    scene.get("/one").is_problem(502);
    let none = scene.get("/none");
    assert_eq!((none.status, none.text().as_str(), none.header("x-bff-missing")), (200, r#"{"x":1,"y":[2]}"#, Some("x, y")));
    let some = scene.get("/some");
    assert_eq!(
        (some.text().as_str(), some.header("x-bff-missing"), some.header("cache-control")),
        (r#"{"y":{"at":"/good"}}"#, Some("x"), Some("no-store"))
    );
}

#[test]
fn calls_are_tried_again_where_their_upstream_s_rule_says_so_and_nothing_can_happen_twice() {
    let routes = "
- {name: get, path: /get, aggregate: {calls: {x: {upstream: again, get: /503}}}}
- {name: post, path: /post, methods: [POST], aggregate: {calls: {x: {upstream: again, post: /503, body: {}}}}}
";
    let scene = Scene::start("again", "", routes, by_path);

    scene.get("/get").is_problem(502);
    assert_eq!(scene.asked().len(), 2, "a GET is tried twice");
    ask(scene.process.address, "POST", "/post", &[], None).is_problem(502);
    assert_eq!(scene.asked().len(), 3, "a POST once");
}

#[test]
fn a_circuit_breaker_guards_each_call_and_every_other_filter_the_whole() {
    let more = "
filters:
  guard: {circuit_breaker: {consecutive: 3, open_for: 60s}}
  few: {rate_limit: {key: client_ip, rate: 7/h, burst: 7}}
  stamp: {version_header: {value: v1}}
";
    let routes = "
- {name: needed, path: /needed, filters: [stamp, few, guard], aggregate: {calls: {x: {upstream: a, get: /500}, y: {upstream: b, get: /good}}}}
- {name: without, path: /without, filters: [stamp, few, guard], aggregate: {calls: {x: {upstream: a, get: /good, optional: true}, y: {upstream: b, get: /good}}}}
";
    let scene = Scene::start("guarded", more, routes, by_path);

    for _ in 0..3 {
        scene.get("/needed").is_problem(502);
    }
    let asked = scene.asked().iter().filter(|asked| *asked == "/500").count();
    let refused = scene.get("/needed");
    refused.is_problem(503);
    assert_eq!(refused.json()["call"], "x");
    assert!(refused.header("retry-after").is_some(), "{}", refused.head);
    assert_eq!(scene.asked().iter().filter(|asked| *asked == "/500").count(), asked, "nobody was asked");
    // The circuit is the upstream's, and the other upstream's is closed.
    let partial = scene.get("/without");
    assert_eq!((partial.status, partial.text().as_str(), partial.header("x-bff-missing")), (200, r#"{"y":{"at":"/good"}}"#, Some("x")));
    assert_eq!(partial.header("x-bff-version"), Some("v1"), "{}", partial.head);
    assert!(scene.metric("frontgate_calls_total{route=\"without\",call=\"x\",result=\"circuit_open\"}") == 1.0);
    // Five requests of two calls each: two are left of seven.
    assert_eq!((scene.get("/without").status, scene.get("/without").status, scene.get("/without").status), (200, 200, 429));
}
