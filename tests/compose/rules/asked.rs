//! What is asked for, how often, and what goes along.

use super::*;

#[test]
fn a_call_whose_part_a_device_does_not_get_is_not_made() {
    let more = "
filters:
  slim:
    trim:
      profiles:
        smart_tv: {drop: [reviews, user.debug, base]}
        mobile: {keep: [user.name]}
      fields: query.fields
";
    let routes = "
- name: it
  path: /it
  filters: [slim]
  aggregate:
    calls:
      user: {upstream: a, get: /user}
      reviews: {upstream: b, get: /reviews}
      base: {upstream: a, get: /base}
      needs: {upstream: b, get: '/needs/{base.id}'}
";
    let scene = Scene::start("devices", more, routes, |request, stream| {
        mock::answer(stream, 200, &json!({"name": target(request).path, "id": 7, "debug": true}))
    });
    let as_a = |agent: &str, path: &str| {
        let before = scene.asked().len();
        let reply = ask(scene.process.address, "GET", path, &[("User-Agent", agent)], None);
        assert_eq!((reply.status, reply.header("x-bff-complete")), (200, Some("true")), "{agent}: {}{}", reply.head, reply.text());
        let mut asked = scene.asked()[before..].to_vec();
        asked.sort();
        (asked, reply.json())
    };

    let (asked, _) = as_a("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "/it");
    assert_eq!(asked, ["/base", "/needs/7", "/reviews", "/user"]);
    let (asked, body) = as_a("SMART-TV; Tizen 6.0", "/it");
    // What another call needs is asked for all the same, and trimmed.
    assert_eq!(asked, ["/base", "/needs/7", "/user"]);
    assert_eq!(body, json!({"user": {"name": "/user", "id": 7}, "needs": {"name": "/needs/7", "id": 7, "debug": true}}));
    let (asked, body) = as_a("Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Mobile", "/it");
    assert_eq!((asked, body), (vec!["/user".to_owned()], json!({"user": {"name": "/user"}})));
    // The client's own list, too.
    let (asked, body) = as_a("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "/it?fields=reviews.name");
    assert_eq!((asked, body), (vec!["/reviews".to_owned()], json!({"reviews": {"name": "/reviews"}})));
}

#[test]
fn what_each_goes_through_is_asked_for_once_in_order_and_so_many_at_once() {
    let (now, most) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let (at_once, top) = (now.clone(), most.clone());
    let routes = "
- {name: it, path: /it, aggregate: {calls: {list: {upstream: a, get: /list}, x: {upstream: b, get: '/x/{each}', each: list.items.id, concurrency: 2, into: list.items.x}}}}
- {name: most, path: /most, aggregate: {calls: {list: {upstream: a, get: /list}, x: {upstream: b, get: '/x/{each}', each: list.items.id, most: 3, into: list.items.x, optional: true}}}}
- {name: batch, path: /batch, aggregate: {calls: {list: {upstream: a, get: /list}, x: {upstream: b, get: '/b?ids={each}', each: list.items.id, batch: 2, by: id, into: list.items.x, otherwise: none}}}}
- {name: fail, path: /fail, aggregate: {calls: {list: {upstream: a, get: /list}, x: {upstream: b, get: '/fail/{each}', each: list.items.id, into: list.items.x, otherwise: null}}}}
- {name: left, path: /left, aggregate: {calls: {list: {upstream: a, get: /list}, x: {upstream: b, get: '/fail/{each}', each: list.items.id, into: list.items.x, optional: true}}}}
";
    let scene = Scene::start("each", "", routes, move |request, stream| {
        let asked = target(request);
        if asked.path == "/list" {
            return mock::answer(
                stream,
                200,
                &json!({"items": [{"id": "c"}, {"id": null}, {"id": "a"}, {"id": "c"}, {"id": "b"}, {}, {"id": "d"}]}),
            );
        }
        if asked.path == "/b" {
            let query = mock::parameters(asked.query);
            let ids = query["ids"][0].as_str().unwrap();
            // Somebody else's, and nothing for one of them.
            let found: Vec<Value> = ids.split(',').filter(|id| *id != "a").chain(["z"]).map(|id| json!({"id": id})).collect();
            return mock::answer(stream, 200, &found.into());
        }
        if asked.path == "/fail/a" {
            return mock::answer(stream, 500, &json!({}));
        }
        let here = at_once.fetch_add(1, Ordering::SeqCst) + 1;
        top.fetch_max(here, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(20));
        let sent = mock::answer(stream, 200, &json!(asked.path));
        at_once.fetch_sub(1, Ordering::SeqCst);
        sent
    });
    let of = |path: &str| {
        let before = scene.asked().len();
        let reply = scene.get(path);
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        let asked: Vec<String> = scene.asked()[before..].iter().filter(|asked| *asked != "/list").cloned().collect();
        let items: Vec<String> = reply.json()["list"]["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item.get("x").map_or("-".to_owned(), Value::to_string))
            .collect();
        (asked, items.join(" "), reply.header("x-bff-missing").map(str::to_owned))
    };

    let (asked, items, missing) = of("/it");
    let mut sorted = asked.clone();
    sorted.sort();
    assert_eq!((sorted, missing), (["/x/a", "/x/b", "/x/c", "/x/d"].map(str::to_owned).to_vec(), None));
    assert_eq!(items, r#""/x/c" - "/x/a" "/x/c" "/x/b" - "/x/d""#);
    assert!(most.load(Ordering::SeqCst) <= 2 && now.load(Ordering::SeqCst) == 0, "{most:?}");
    let (asked, items, missing) = of("/most");
    assert_eq!((asked, items.as_str(), missing.as_deref()), (vec![], "- - - - - - -", Some("x")));
    let (mut asked, items, missing) = of("/batch");
    asked.sort();
    assert_eq!(asked, ["/b?ids=b,d", "/b?ids=c,a"]);
    // Who is not found has what stands in, and nothing is missing by that.
    assert_eq!((items.as_str(), missing), (r#"{"id":"c"} "none" "none" {"id":"c"} {"id":"b"} "none" {"id":"d"}"#, None));
    let (_, items, missing) = of("/fail");
    assert_eq!((items.as_str(), missing.as_deref()), (r#""/fail/c" null null "/fail/c" "/fail/b" null "/fail/d""#, Some("x")));
    let (_, items, missing) = of("/left");
    assert_eq!((items.as_str(), missing.as_deref()), (r#""/fail/c" - - "/fail/c" "/fail/b" - "/fail/d""#, Some("x")));
}

#[test]
fn the_same_is_asked_for_once_in_a_request_and_anew_in_the_next() {
    let routes = "
- name: it
  path: /it
  aggregate:
    calls:
      one: {upstream: a, get: /same}
      two: {upstream: a, get: /same}
      pool: {upstream: b, get: /same}
      named: {upstream: a, get: /same, headers: {X-Name: '{header.X-Name}'}}
      posted: {upstream: a, post: /same, body: 1}
      again: {upstream: a, post: /same, body: 1}
";
    let scene = Scene::start("once", "", routes, by_path);
    let named = |name| ask(scene.process.address, "GET", "/it", &[("X-Name", name)], None);

    let first = named("u1");
    assert_eq!((first.status, strict::members(&first.body).unwrap().len()), (200, 6));
    assert_eq!(scene.asked().len(), 5, "{:?}", scene.asked());
    named("u2");
    assert_eq!(scene.asked().len(), 10, "nothing is kept for the next");
    let names: Vec<String> = scene
        .origin
        .received()
        .iter()
        .flat_map(|request| request.header("x-name").iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
        .collect();
    assert_eq!(names, ["u1", "u2"]);
}

#[test]
fn what_a_client_says_of_itself_goes_along_only_where_it_is_named() {
    let routes = "
- {name: it, path: /it, aggregate: {calls: {x: {upstream: a, get: /x}, y: {upstream: b, get: /y, headers: {Authorization: '{header.Authorization}', X-Not: '{header.X-Not}', X-Text: 'of {header.X-Who}'}}}}}
- {name: posted, path: /posted, methods: [POST], aggregate: {calls: {x: {upstream: a, post: /x}, y: {upstream: b, put: /y, body: {id: '{body.id}', all: '{body}', not: '{body.not}', list: ['{body.not}', '{...body.tags}']}}, z: {upstream: b, get: /z}}}}
";
    let scene = Scene::start("along", "", routes, by_path);
    let said = [
        ("Authorization", "Bearer t"),
        ("Cookie", "session=1"),
        ("X-Who", "me"),
        ("X-User-Id", "root"),
        ("Accept", "text/html"),
        ("Accept-Encoding", "zstd"),
        ("Forwarded", "for=1.2.3.4"),
        ("X-Forwarded-For", "1.2.3.4"),
        ("If-None-Match", "\"1\""),
        ("Range", "bytes=0-1"),
        ("Expect-CT", "1"),
    ];

    assert_eq!(ask(scene.process.address, "GET", "/it", &said, None).status, 200);

    let received = scene.origin.received();
    let of = |path: &str| received.iter().find(|request| target(request).path == path).unwrap();
    for (path, own) in [("/x", vec![]), ("/y", vec!["authorization", "x-text"])] {
        let request = of(path);
        let names = mock::headers(request);
        let mut names: Vec<&str> = names.as_object().unwrap().keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, own, "{}", request.head);
        assert_eq!(request.header("accept"), ["application/json"], "{}", request.head);
        assert_eq!(request.header("x-forwarded-for"), ["127.0.0.1"], "{}", request.head);
        assert_eq!(request.header("x-real-ip"), ["127.0.0.1"], "{}", request.head);
        assert_eq!((request.header("x-request-id").len(), request.header("host").len()), (1, 1), "{}", request.head);
        assert!(request.body.is_empty() && request.header("content-length").is_empty(), "{}", request.head);
    }
    assert_eq!((of("/y").header("authorization"), of("/y").header("x-text")), (vec!["Bearer t"], vec!["of me"]));

    let body = r#"{"id":  7.0, "tags":[1,"\u00e9"]}"#;
    assert_eq!(
        ask(scene.process.address, "POST", "/posted", &[("Content-Type", "application/json"), ("Cookie", "session=1")], Some(body)).status,
        200
    );
    let received = scene.origin.received();
    let of = |path: &str| received.iter().rev().find(|request| target(request).path == path).unwrap();
    assert_eq!(mock::body(of("/x")).as_deref(), Some(body), "the client's body goes along as it came");
    assert_eq!(of("/x").header("content-type"), ["application/json"], "{}", of("/x").head);
    assert_eq!(mock::body(of("/y")).unwrap(), format!(r#"{{"id":7.0,"all":{body},"list":[null,1,"\u00e9"]}}"#));
    assert!(of("/z").body.is_empty(), "a GET has none");
    assert!(of("/x").header("cookie").is_empty() && of("/y").header("cookie").is_empty());
}

#[test]
fn bounds_of_an_answer_of_a_request_and_of_its_calls_hold() {
    let routes = "
- {name: answer, path: '/answer/{size}', aggregate: {limits: {answer: 10KiB}, calls: {x: {upstream: a, get: '/{size}'}}}}
- {name: total, path: /total, aggregate: {limits: {answer: 10KiB, total: 15KiB}, calls: {x: {upstream: a, get: /9000}, y: {upstream: b, get: /9001, optional: true}}}}
- {name: calls, path: /calls, aggregate: {limits: {calls: 3}, calls: {list: {upstream: a, get: /list}, x: {upstream: b, get: '/1{each}', each: list, optional: true}}}}
";
    let scene = Scene::start("bounds", "", routes, |request, stream| match target(request).path {
        "/list" => mock::answer(stream, 200, &json!([1, 2, 3, 4, 5])),
        path => mock::answer(stream, 200, &"x".repeat(path[1..].parse::<usize>().unwrap() - 2).into()),
    });

    assert_eq!(scene.get("/answer/10240").status, 200);
    let reply = scene.get("/answer/10241");
    reply.is_problem(502);
    assert_eq!(reply.json()["call"], "x");
    let total = scene.get("/total");
    assert!(total.status == 502 || total.header("x-bff-missing") == Some("y"), "{}{}", total.head, total.text());
    let calls = scene.get("/calls");
    let made = scene.asked().iter().filter(|asked| asked.len() == 3 && asked.starts_with("/1")).count();
    assert!(made <= 2, "{:?}", scene.asked());
    assert!(calls.status == 502 || calls.header("x-bff-missing") == Some("x"), "{}{}", calls.head, calls.text());
    scene.process.ask("GET", "/metrics");
    assert!(
        scene.metric("frontgate_calls_total{route=\"answer\",call=\"x\",result=\"too_large\"}") == 1.0,
        "{}",
        scene.process.ask("GET", "/metrics").text()
    );
}
