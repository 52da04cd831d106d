//! Upstreams that fail behind a circuit breaker: fallbacks, their marks, operators, recovery.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::Duration;

use crate::harness::{Gate, Gateway, Origin, exchange, get, operate, origin::response, until, yaml};

/// An origin whose status can be changed; 0 closes the connection before the head.
fn moody() -> (Origin, Arc<AtomicU16>) {
    let mood = Arc::new(AtomicU16::new(200));
    let status = mood.clone();
    let origin = Origin::start(move |request, stream| {
        let text = match status.load(Ordering::SeqCst) {
            0 => return false,
            200 => response("200 OK", "Content-Type: application/json\r\nETag: \"a\"\r\n", r#"{"items":[1,2],"debug":{"x":1}}"#),
            status => response(&format!("{status} Bad"), "Content-Type: text/plain\r\n", &format!("failed {}", request.line())),
        };
        stream.write_all(text.as_bytes()).is_ok()
    });
    (origin, mood)
}

/// A circuit that stays open for as long as a test takes.
const LONG: &str = "open_for: 10m\nmax_open_for: 10m";
/// One that soon lets a request try again.
const SHORT: &str = "open_for: 300ms\nmax_open_for: 400ms";

fn over(origin: &Origin, other: &Origin, breaker: &str) -> Gateway {
    Gateway::start(&text(origin, other, breaker))
}

/// A breaker that opens at the third failure; `breaker` are its further options.
fn text(origin: &Origin, other: &Origin, breaker: &str) -> String {
    yaml(
        "
        server:
          listeners: [{address: 127.0.0.1:0}]
          admin: 127.0.0.1:0
        upstreams:
          main: {endpoints: [$ORIGIN]}
          other: {endpoints: [$OTHER]}
        filters:
          slim:
            trim: {by: query.as, profiles: {tv: {drop: [debug]}}}
          guard:
            circuit_breaker:
              consecutive: 3
              half_open: {max_concurrent: 1, successes: 1}
              $BREAKER
        routes:
          - {name: all, path: /**, upstream: main, filters: [slim, guard]}
          - {name: other, path: /other, upstream: other}
        ",
        &[("$ORIGIN", &origin.address), ("$OTHER", &other.address), ("$BREAKER", &breaker)],
    )
}

fn state(gateway: &Gateway) -> f64 {
    gateway.metric("frontgate_circuit_state{filter=\"guard\",upstream=\"main\"}")
}

#[test]
fn an_open_circuit_refuses_and_closes_again_by_itself() {
    let (origin, mood) = moody();
    let gateway = over(&origin, &origin, LONG);
    mood.store(503, Ordering::SeqCst);
    (0..3).for_each(|_| assert_eq!(get(gateway.address, "/").text(), "failed GET / HTTP/1.1"));

    let refused = get(gateway.address, "/");
    assert_eq!(refused.is_problem(503).json()["code"], "circuit_open");
    assert!((500..=600).contains(&refused.header("retry-after").unwrap().parse::<u64>().unwrap()), "{}", refused.head);
    assert_eq!((state(&gateway), origin.received().len()), (2.0, 3));

    let gateway = over(&origin, &origin, SHORT);
    until("the circuit to open", || get(gateway.address, "/").header("retry-after") == Some("1"));
    mood.store(200, Ordering::SeqCst);
    until("the circuit to close", || get(gateway.address, "/").status == 200);
    assert_eq!(state(&gateway), 0.0);
    until("circuit transitions total", || {
        gateway.metric("frontgate_circuit_transitions_total{filter=\"guard\",to=\"open\",upstream=\"main\"}") >= 1.0
    });
}

#[test]
fn the_last_good_answer_is_served_marked_and_trimmed() {
    let (origin, mood) = moody();
    let gateway = over(&origin, &origin, &format!("{LONG}\nfallback: [{{cached: {{max_age: 10m}}}}]"));
    assert!(get(gateway.address, "/list?as=pc").text().contains("debug"));
    assert!(!get(gateway.address, "/list?as=tv").text().contains("debug"));

    mood.store(503, Ordering::SeqCst);
    let tried = get(gateway.address, "/list?as=tv");
    assert_eq!((tried.status, tried.text().as_str()), (200, r#"{"items":[1,2]}"#));
    assert_eq!(tried.header("x-bff-fallback"), Some("cached"));
    assert_eq!(tried.header("cache-status"), Some("frontgate; fwd=stale; fwd-status=503"));
    assert_eq!((tried.header("cache-control"), tried.header("age").is_some()), (Some("no-store"), true));
    until("the circuit to open", || {
        get(gateway.address, "/list?as=pc");
        state(&gateway) == 2.0
    });
    let open = get(gateway.address, "/list?as=tv");
    assert_eq!((open.status, open.text().as_str()), (200, r#"{"items":[1,2]}"#));
    assert_eq!(open.header("cache-status"), Some("frontgate; hit; detail=circuit-open"));
    assert_eq!(open.header("content-length"), Some("15"));

    let head = exchange(gateway.address, b"HEAD /list?as=pc HTTP/1.1\r\nHost: test.example\r\nConnection: close\r\n\r\n").unwrap();
    assert_eq!((head.status, head.header("x-bff-fallback")), (200, Some("cached")));
    // Another path was never answered, and a POST has no stand-in.
    assert_eq!(get(gateway.address, "/elsewhere").status, 503);
    let post =
        exchange(gateway.address, b"POST /list?as=pc HTTP/1.1\r\nHost: test.example\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    assert_eq!(post.unwrap().status, 503);
}

#[test]
fn another_upstream_answers_and_then_a_fixed_answer() {
    let ((origin, mood), (other, other_mood)) = (moody(), moody());
    let gateway = over(
        &origin,
        &other,
        &format!("{LONG}\nfallback: [{{upstream: other}}, {{respond: {{status: 200, json: {{items: [], degraded: true}}}}}}]"),
    );
    for failure in [0, 503] {
        mood.store(failure, Ordering::SeqCst);
        other_mood.store(200, Ordering::SeqCst);
        let stand_in = get(gateway.address, "/list?as=pc");
        assert_eq!((stand_in.status, stand_in.header("x-bff-fallback")), (200, Some("upstream")), "{failure}: {}", stand_in.head);
        other_mood.store(500, Ordering::SeqCst);
        let fixed = get(gateway.address, "/list?as=pc");
        assert_eq!((fixed.status, fixed.header("x-bff-fallback")), (200, Some("respond")), "{failure}: {}", fixed.head);
        assert_eq!(fixed.json(), serde_json::json!({"items": [], "degraded": true}));
    }
    until("the circuit to open", || {
        get(gateway.address, "/");
        state(&gateway) == 2.0
    });
    other_mood.store(200, Ordering::SeqCst);
    assert_eq!(get(gateway.address, "/list?as=pc").header("x-bff-fallback"), Some("upstream"));
    until("fallback total", || gateway.metric("frontgate_fallback_total{filter=\"guard\",kind=\"respond\"}") >= 2.0);
}

#[test]
fn an_operator_holds_a_circuit_and_lets_it_go() {
    let (origin, _mood) = moody();
    let gateway = over(&origin, &origin, LONG);
    let admin = gateway.running.admin().unwrap();
    let post = |target: &str| operate(admin, "POST", target).status;

    assert_eq!(post("/-/circuit?filter=guard&upstream=main&force=open"), 200);
    get(gateway.address, "/").is_problem(503);
    assert_eq!(operate(admin, "GET", "/healthz?full=1").json()["circuits"][0]["forced"], "open");
    assert_eq!(post("/-/circuit?filter=guard&upstream=main&force=auto"), 200);
    assert_eq!(get(gateway.address, "/").status, 200);
    assert_eq!(post("/-/circuit?filter=guard&upstream=nowhere&force=open"), 404);
    assert_eq!(post("/-/circuit?filter=guard&upstream=main&force=ajar"), 400);
}

#[test]
fn a_breaker_comes_last_and_shares_no_users_answers() {
    let check = |filters: &str, fallback: &str| {
        let text = yaml(
            "
            upstreams:
              main: {endpoints: [127.0.0.1:1]}
            filters:
              stamp:
                version_header: {value: v1}
              login:
                jwt: {issuer: any, audience: any, algorithms: [HS256], keys: {secret: {env: FRONTGATE_TEST_SECRET}}}
              guard:
                circuit_breaker: {fallback: [$FALLBACK]}
            routes:
              - {name: all, path: /**, upstream: main, filters: $FILTERS}
            ",
            &[("$FALLBACK", &fallback), ("$FILTERS", &filters)],
        );
        match frontgate::config::load_text("t.yaml", &text) {
            Ok(_) => String::new(),
            Err(problems) => problems.render(false),
        }
    };

    let found = check("[guard, stamp, login]", "{respond: {status: 200}}");
    assert!(found.contains("must be the last filter"), "{found}");
    let found = check("[stamp, login, guard]", "{cached: {max_age: 1m}}");
    assert!(found.contains("per: claim.sub"), "{found}");
    let found = check("[stamp, login, guard]", "{cached: {max_age: 1m, per: claim.sub}}");
    assert!(!found.contains("per: claim.sub"), "{found}");
    let found = check("[stamp, login, guard]", "{upstream: nowhere}");
    assert!(found.contains("there is no upstream `nowhere`"), "{found}");
}

#[test]
fn an_observing_breaker_opens_and_changes_nothing() {
    let (origin, mood) = moody();
    let gateway =
        over(&origin, &origin, &format!("{SHORT}\nmode: observe\nfallback: [{{cached: {{max_age: 10m}}}}, {{respond: {{status: 200}}}}]"));
    assert_eq!(get(gateway.address, "/list?as=pc").status, 200);

    mood.store(503, Ordering::SeqCst);
    for _ in 0..10 {
        let reply = get(gateway.address, "/list?as=pc");
        assert_eq!((reply.status, reply.header("x-bff-fallback")), (503, None), "{}", reply.head);
        assert!(reply.text().starts_with("failed GET"));
    }

    assert_eq!(origin.received().len(), 11);
    until("circuit transitions total", || {
        gateway.metric("frontgate_circuit_transitions_total{filter=\"guard\",to=\"open\",upstream=\"main\"}") >= 1.0
    });
}

#[test]
fn an_upstream_that_asks_for_time_gets_it() {
    let origin = Origin::start(|_, stream| stream.write_all(response("503 Busy", "Retry-After: 40\r\n", "busy").as_bytes()).is_ok());
    let gateway = over(&origin, &origin, "open_for: 300ms\nmax_open_for: 60s");
    (0..3).for_each(|_| assert_eq!(get(gateway.address, "/").text(), "busy"));

    let refused = get(gateway.address, "/");

    assert_eq!(refused.is_problem(503).json()["code"], "circuit_open");
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((30..=40).contains(&seconds), "{seconds}");
}

#[test]
fn what_a_limit_refuses_a_circuit_never_sees() {
    let (origin, mood) = moody();
    let limited = "[slim, {rate_limit: {key: client_ip, rate: 2/h, burst: 2}}, guard]";
    let gateway = Gateway::start(&text(&origin, &origin, LONG).replace("[slim, guard]", limited));
    mood.store(503, Ordering::SeqCst);
    (0..2).for_each(|_| assert_eq!(get(gateway.address, "/").status, 503));

    (0..20).for_each(|_| assert_eq!(get(gateway.address, "/").status, 429));

    let circuit = operate(gateway.running.admin().unwrap(), "GET", "/healthz?full=1").json()["circuits"][0].clone();
    assert_eq!((&circuit["state"], &circuit["requests"], &circuit["failures"]), (&"closed".into(), &2.into(), &2.into()), "{circuit}");
    assert_eq!(origin.received().len(), 2);
}

#[test]
fn an_adaptive_timeout_learns_nothing_from_those_in_flight_when_the_circuit_opens() {
    let (slow, held) = (Arc::new(AtomicBool::new(false)), Gate::default());
    let (wait, gate) = (slow.clone(), held.clone());
    let origin = Origin::start(move |_, stream| {
        if wait.load(Ordering::SeqCst) {
            gate.pass();
        }
        stream.write_all(response("200 OK", "", "ok").as_bytes()).is_ok()
    });
    let gateway = Gateway::start(&yaml(
        "
        upstreams:
          main:
            endpoints: [$ORIGIN]
            timeouts: {first_byte: {adaptive: {min: 100ms, max: 5s}}}
        filters:
          guard:
            circuit_breaker: {consecutive: 3, open_for: 10m, max_open_for: 10m}
        routes:
          - {name: all, path: /**, upstream: main, filters: [guard]}
        ",
        &[("$ORIGIN", &origin.address)],
    ));
    let timeout = || gateway.metric("frontgate_upstream_adaptive_timeout_seconds{upstream=\"main\"}");
    (0..600).for_each(|_| assert_eq!(get(gateway.address, "/").status, 200));
    until("the timeout to follow", || timeout() < 5.0);
    let (address, before) = (gateway.address, timeout());

    slow.store(true, Ordering::SeqCst);
    let waiting: Vec<_> = (0..60).map(|_| std::thread::spawn(move || get(address, "/").status)).collect();
    assert!(waiting.into_iter().all(|one| matches!(one.join().unwrap(), 503 | 504)));
    assert_eq!(state(&gateway), 2.0);
    // Conclusions are drawn once a second.
    std::thread::sleep(Duration::from_millis(2_200));

    assert!(timeout() < before + 0.1, "{before} became {}", timeout());
    held.open();
}

#[test]
fn what_was_changed_or_is_gone_does_not_come_back_from_the_cache() {
    let well = Arc::new(AtomicBool::new(true));
    let works = well.clone();
    let origin = Origin::start(move |request, stream| {
        let line = request.line();
        let answer = match line {
            _ if !works.load(Ordering::SeqCst) => response("503 Down", "", ""),
            _ if line.starts_with("GET /gone") && !request.header("x-gone").is_empty() => response("404 Not Found", "", ""),
            _ if line.starts_with("GET") => response("200 OK", "Vary: Accept-Language\r\n", "kept"),
            _ if line.contains("refused") => response("409 Conflict", "", ""),
            _ if line.contains("lost") => response("410 Gone", "", ""),
            _ if line.starts_with("POST") => response("303 See Other", "Location: /\r\n", ""),
            _ => response("204 No Content", "", ""),
        };
        stream.write_all(answer.as_bytes()).is_ok()
    });
    // Who writes passes another route, without a breaker.
    let gateway = Gateway::start(&yaml(
        "
        server:
          listeners: [{address: 127.0.0.1:0}]
        upstreams:
          main: {endpoints: [$ORIGIN]}
        filters:
          guard: {circuit_breaker: {min_requests: 1000, fallback: [{cached: {max_age: 10m}}]}}
        routes:
          - {name: read, path: /**, methods: [GET], upstream: main, filters: [guard]}
          - {name: write, path: /**, methods: [PUT, POST, DELETE, PATCH, OPTIONS, PURGE], upstream: main}
        ",
        &[("$ORIGIN", &origin.address)],
    ));
    let ask = |line: &str, headers: &str| {
        let text = format!("{line} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n{headers}\r\n");
        exchange(gateway.address, text.as_bytes()).unwrap().status
    };
    let paths = ["/PUT", "/POST", "/DELETE", "/PATCH", "/PURGE", "/OPTIONS", "/refused", "/lost", "/gone", "/other?x=1"];
    for path in paths {
        for language in ["en", "de"] {
            assert_eq!(ask(&format!("GET {path}"), &format!("Accept-Language: {language}\r\n")), 200);
        }
    }

    for path in &paths[..6] {
        ask(&format!("{} {path}", &path[1..]), "");
    }
    ask("PUT /refused", "");
    ask("DELETE /lost", "");
    ask("GET /gone", "X-Gone: 1\r\nAccept-Language: en\r\n");
    ask("PUT /other?x=2", "");
    // One language comes anew; the other one must not be found again by it.
    assert_eq!(ask("GET /PUT", "Accept-Language: en\r\n"), 200);
    well.store(false, Ordering::SeqCst);

    let kept = |path: &str, language: &str| ask(&format!("GET {path}"), &format!("Accept-Language: {language}\r\n")) == 200;
    for path in ["/POST", "/DELETE", "/PATCH", "/PURGE", "/lost", "/gone"] {
        assert!(!kept(path, "en") && !kept(path, "de"), "{path} is back");
    }
    for path in ["/OPTIONS", "/refused", "/other?x=1"] {
        assert!(kept(path, "en") && kept(path, "de"), "{path} is away");
    }
    assert_eq!((kept("/PUT", "en"), kept("/PUT", "de")), (true, false));
}
