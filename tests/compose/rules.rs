//! What an aggregate promises, rule by rule: whose failure is whose, what is marked, what goes along and what stays behind, what is asked for and how
//! often.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::mock::{self, ask, target};
use super::strict;
use crate::harness::client::raw;
use crate::harness::origin::Request;
use crate::harness::{Gate, Log, Origin, Process, Reply, until, yaml};

/// A gateway before one service that is two upstreams, `a` and `b`, and before one where nobody listens, `dead`.
struct Scene {
    process: Process,
    origin: Origin,
}

impl Scene {
    /// `more` are further sections.
    fn start(name: &str, more: &str, routes: &str, behave: impl Fn(&Request, &mut TcpStream) -> bool + Send + Sync + 'static) -> Self {
        let origin = Origin::start(behave);
        let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let text = yaml(
            "
            server:
              listeners: [{address: 127.0.0.1:0}]
              admin: 127.0.0.1:0
            upstreams:
              a: {endpoints: [$ORIGIN], timeouts: {connect: 20s, first_byte: 20s, between_bytes: 20s}}
              b: {endpoints: [$ORIGIN], timeouts: {connect: 20s, first_byte: 20s, between_bytes: 20s}}
              again: {endpoints: [$ORIGIN], retry: {attempts: 2, when: [503], budget: 100%}}
              dead: {endpoints: [$DEAD]}
            $MORE
            routes:
              $ROUTES
            ",
            &[("$ORIGIN", &origin.address), ("$DEAD", &dead), ("$MORE", &more), ("$ROUTES", &routes.trim_matches('\n'))],
        );
        Self { process: Process::start(name, &text), origin }
    }

    fn get(&self, path: &str) -> Reply {
        ask(self.process.address, "GET", path, &[], None)
    }

    /// What was asked for, in its order.
    fn asked(&self) -> Vec<String> {
        self.origin.received().iter().map(|request| target(request).whole.to_owned()).collect()
    }

    fn metric(&self, series: &str) -> f64 {
        let text = self.process.ask("GET", "/metrics").text();
        text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok()).unwrap_or(0.0)
    }
}

/// Answers with the status that is the path's last segment, or with what was asked for.
fn by_path(request: &Request, stream: &mut TcpStream) -> bool {
    let asked = target(request);
    let last = asked.path.rsplit('/').next().unwrap_or_default();
    match last.parse() {
        Ok(200) | Err(_) => mock::answer(stream, 200, &json!({"at": asked.whole})),
        Ok(204) => stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").is_ok(),
        Ok(status) => mock::send(stream, status, "application/json", "Retry-After: 7\r\nX-Own: 1\r\n", br#"{"secret":"of the service"}"#),
    }
}

#[test]
fn members_come_in_the_configuration_s_order_whoever_answers_first() {
    let first = Gate::default();
    let held = first.clone();
    let routes = "- {name: it, path: /it, aggregate: {calls: {z: {upstream: a, get: /late}, a: {upstream: b, get: /early}}}}";
    let scene = Scene::start("order", "", routes, move |request, stream| {
        if target(request).path == "/late" {
            held.pass();
        }
        by_path(request, stream)
    });
    let address = scene.process.address;

    let asking = std::thread::spawn(move || ask(address, "GET", "/it", &[], None));
    // Both are asked at once: the one that is held back keeps nobody.
    until("both calls", || scene.asked().len() == 2);
    first.open();

    assert_eq!(asking.join().unwrap().text(), r#"{"z":{"at":"/late"},"a":{"at":"/early"}}"#);
}

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
fn caches_are_told_the_strictest_of_all_calls_and_nothing_where_one_says_nothing() {
    let routes = "
- name: it
  path: '/it/{one}/{other}'
  aggregate: {calls: {x: {upstream: a, get: '/{one}', back: [Set-Cookie]}, y: {upstream: b, get: '/{other}'}}}
";
    let said = |path: &str| match path {
        "/minute" => "Cache-Control: public, max-age=60\r\n",
        "/second" => "Cache-Control: max-age=1\r\n",
        "/private" => "Cache-Control: private, max-age=30\r\n",
        "/no-store" => "Cache-Control: no-store\r\n",
        "/no-cache" => "Cache-Control: no-cache\r\n",
        "/cookie" => "Set-Cookie: x=1\r\nSet-Cookie: y=2\r\nCache-Control: max-age=60\r\n",
        _ => "",
    };
    let scene = Scene::start("caches", "", routes, move |request, stream| {
        mock::send(stream, 200, "application/json", said(target(request).path), b"1")
    });
    let cached = |path: &str| {
        let reply = scene.get(path);
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        reply
            .header("cache-control")
            .unwrap_or_default()
            .split(',')
            .map(|word| word.trim().to_owned())
            .filter(|word| !word.is_empty())
            .collect::<Vec<_>>()
    };
    let has = |path: &str, word: &str| cached(path).iter().any(|found| found == word);

    assert!(has("/it/minute/second", "max-age=1"), "{:?}", cached("/it/minute/second"));
    assert!(has("/it/second/minute", "max-age=1") && !has("/it/second/minute", "max-age=60"));
    assert!(has("/it/private/minute", "private") && has("/it/private/minute", "max-age=30") && !has("/it/private/minute", "public"));
    assert!(has("/it/minute/no-store", "no-store") && !cached("/it/minute/no-store").iter().any(|word| word.starts_with("max-age=60")));
    assert!(has("/it/no-cache/minute", "no-cache"));
    assert_eq!(cached("/it/minute/nothing"), Vec::<String>::new());
    // Both of one name, and in the order in which they came.
    let reply = scene.get("/it/cookie/minute");
    let cookies: Vec<_> =
        reply.head.lines().filter(|line| line.to_ascii_lowercase().starts_with("set-cookie:")).map(|line| line[11..].trim()).collect();
    assert_eq!(cookies, ["x=1", "y=2"], "{}", reply.head);
    assert!(scene.get("/it/minute/cookie").header("set-cookie").is_none(), "the other call gives none back");
}

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
fn a_head_is_a_get_without_its_body() {
    let scene =
        Scene::start("head", "", "- {name: it, path: /it, methods: [GET, HEAD], aggregate: {calls: {x: {upstream: a, get: /x}}}}", by_path);
    let whole = scene.get("/it");

    let reply = ask(scene.process.address, "HEAD", "/it", &[], None);

    assert_eq!((reply.status, reply.body.len()), (200, 0));
    assert_eq!(reply.header("content-length"), Some(&*whole.body.len().to_string()), "{}", reply.head);
    assert_eq!(scene.origin.last().line(), "GET /x HTTP/1.1");
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

#[test]
fn what_became_of_calls_is_counted_and_logged() {
    let log = Log::new("compose-seen");
    let routes = "
- name: it
  path: /it
  aggregate:
    calls:
      good: {upstream: a, get: /good}
      bad: {upstream: b, get: /500, optional: true}
      refused: {upstream: b, get: /404, optional: true}
      dead: {upstream: dead, get: /x, optional: true}
      text: {upstream: b, get: '/{good.nothing}', optional: true}
      unmet: {upstream: b, get: /unmet, when: {good.at: never}}
- {name: alone, path: /alone, upstream: a}
";
    let origin = Origin::start(by_path);
    let scene = Scene::start("seen", &format!("telemetry: {{access_log: {{to: {{file: \"{}\"}}}}}}", log_path(&log)), routes, by_path);
    drop(origin);

    let reply = scene.get("/it");

    assert_eq!(reply.header("x-bff-missing"), Some("bad, refused, dead, text"), "{}{}", reply.head, reply.text());
    for (call, result) in [
        ("good", "ok"),
        ("bad", "status_5xx"),
        ("refused", "status_4xx"),
        ("dead", "connect"),
        ("text", "value_missing"),
        ("unmet", "skipped"),
    ] {
        let series = format!("frontgate_calls_total{{route=\"it\",call=\"{call}\",result=\"{result}\"}}");
        until(&series, || scene.metric(&series) == 1.0);
    }
    until("the partial answer to be counted", || scene.metric("frontgate_incomplete_total{route=\"it\"}") == 1.0);
    let line = log.wait_for(1).remove(0);
    assert_eq!(line["route"], "it", "{line}");
    assert_eq!(line["calls"], 4, "{line}");
    let missing = line["missing"].as_str().unwrap();
    assert!(missing.starts_with("bad (status 5") && missing.ends_with("dead (connect), text (value_missing)"), "{line}");
    assert!(missing.contains("refused (status 4") && !missing.contains("unmet"), "{line}");
    scene.get("/alone");
    let line = log.wait_for(2).remove(1);
    assert!(line.get("calls").is_none_or(Value::is_null) && line.get("missing").is_none_or(Value::is_null), "{line}");
}

fn log_path(log: &Log) -> String {
    let text = log.of("telemetry: {access_log: \"off\"}\n");
    text.split('"').nth(1).unwrap().to_owned()
}

#[test]
fn a_thousand_requests_of_several_clients_keep_connections_and_leave_none_behind() {
    let routes = "- {name: it, path: '/it/{id}', aggregate: {calls: {x: {upstream: a, get: '/x/{id}x'}, y: {upstream: b, get: '/y/{id}y'}, z: {upstream: a, get: '/z{x.at}'}}}}";
    let scene = Scene::start("many", "", routes, by_path);
    let address: SocketAddr = scene.process.address;

    std::thread::scope(|scope| {
        for client in 0..8 {
            scope.spawn(move || {
                let mut stream = raw(address);
                for number in 0..125 {
                    let id = client * 1000 + number;
                    stream.write_all(format!("GET /it/{id} HTTP/1.1\r\nHost: test.example\r\n\r\n").as_bytes()).unwrap();
                    let reply = crate::harness::client::read_reply(&mut stream, false).expect("an answer");
                    assert_eq!(
                        reply.text(),
                        format!(r#"{{"x":{{"at":"/x/{id}x"}},"y":{{"at":"/y/{id}y"}},"z":{{"at":"/z%2Fx%2F{id}x"}}}}"#)
                    );
                }
            });
        }
    });

    assert_eq!(scene.asked().len(), 3000);
    // Eight clients with at most two calls at once each, and some that were made while another was on its way back.
    assert!(scene.origin.connections() < 200, "{} connections for 3000 calls", scene.origin.connections());
    until("nothing to be in flight", || {
        let full = scene.process.ask("GET", "/healthz?full=1").json();
        ["a", "b"].iter().all(|pool| full["upstreams"][pool]["in_flight"] == 0)
    });
}
