//! Upstreams that know which endpoints are healthy: retries, probes, ejection, hashing, adaptive timeouts.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::harness::{Gate, Gateway, Log, Origin, exchange, get, operate, origin::response, until, yaml};

/// An origin that answers its own name with a status that can be changed.
fn named(name: &'static str, healthy: Arc<AtomicBool>) -> Origin {
    Origin::start(move |_, stream| {
        let status = if healthy.load(Ordering::SeqCst) { "200 OK" } else { "503 Service Unavailable" };
        stream.write_all(response(status, "Content-Type: text/plain\r\n", name).as_bytes()).is_ok()
    })
}

/// Probes that come often, and wait for as long as a busy machine takes.
const PROBES: &str = "health: {path: /healthz, interval: 20ms, timeout: 10s, unhealthy_after: 2, healthy_after: 2}";

/// One upstream with these endpoints; `upstream` are its further keys.
fn over(endpoints: &[SocketAddr], upstream: &str) -> Gateway {
    let endpoints: Vec<String> = endpoints.iter().map(SocketAddr::to_string).collect();
    Gateway::start(&yaml(
        "
        server:
          listeners: [{address: 127.0.0.1:0}]
          admin: 127.0.0.1:0
        upstreams:
          main:
            endpoints: [$ENDPOINTS]
            $UPSTREAM
        routes:
          - {name: all, path: /**, upstream: main}
        ",
        &[("$ENDPOINTS", &endpoints.join(", ")), ("$UPSTREAM", &upstream)],
    ))
}

/// An address where nothing listens.
fn dead() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

#[test]
fn a_failed_connection_is_tried_again_elsewhere() {
    let origin = Origin::json("{}");
    let gateway = over(&[dead(), origin.address], "retry: {attempts: 2, when: [connect_failure]}");

    for _ in 0..20 {
        assert_eq!(get(gateway.address, "/").status, 200);
    }

    let failed = gateway.metric("frontgate_upstream_attempts_total{upstream=\"main\",result=\"connect_failure\"}");
    assert!(failed >= 9.0, "{failed}");
}

#[test]
fn a_status_is_tried_again_where_it_is_listed_and_the_method_is_idempotent() {
    let (failing, healthy) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(true)));
    let (a, b) = (named("a", failing), named("b", healthy));
    let gateway = over(&[a.address, b.address], "retry: {attempts: 2, when: [503]}");

    for _ in 0..10 {
        assert_eq!(get(gateway.address, "/").text(), "b");
    }
    let posts: Vec<u16> = (0..10)
        .map(|_| {
            exchange(gateway.address, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi").unwrap().status
        })
        .collect();

    assert!(posts.contains(&503) && posts.contains(&200), "{posts:?}");
    assert_eq!(a.received().iter().filter(|request| request.line().starts_with("POST")).count(), 5);
}

#[test]
fn a_put_is_sent_again_with_its_body() {
    let (failing, healthy) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(true)));
    let (a, b) = (named("a", failing), named("b", healthy));
    let gateway = over(&[a.address, b.address], "retry: {attempts: 2, when: [503]}");

    for _ in 0..4 {
        let reply = exchange(gateway.address, b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nConnection: close\r\n\r\nwhole").unwrap();
        assert_eq!((reply.status, reply.text()), (200, "b".to_owned()));
    }

    assert!(b.received().iter().all(|request| request.body == b"whole"));
    assert_eq!(b.received().len(), 4);
}

#[test]
fn without_retry_a_failure_is_passed_on() {
    let gateway = over(&[dead()], "");

    get(gateway.address, "/").is_problem(502);
}

#[test]
fn probes_take_an_endpoint_out_and_bring_it_back() {
    let (healthy_a, healthy_b) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(true)));
    let (a, b) = (named("a", healthy_a.clone()), named("b", healthy_b));
    let gateway = over(&[a.address, b.address], &format!("required: true\n{PROBES}"));
    let healthy = "frontgate_upstream_endpoints{upstream=\"main\",state=\"healthy\"}";
    until("both healthy", || gateway.metric(healthy) == 2.0);

    healthy_a.store(false, Ordering::SeqCst);
    until("a out", || gateway.metric(healthy) == 1.0);
    assert!((0..20).all(|_| get(gateway.address, "/").text() == "b"));

    healthy_a.store(true, Ordering::SeqCst);
    until("a back", || gateway.metric(healthy) == 2.0);
    until("a serves", || get(gateway.address, "/").text() == "a");
}

#[test]
fn a_required_upstream_that_is_down_makes_the_gateway_unready_but_not_dead() {
    let health = "required: true\nhealth: {tcp: true, interval: 20ms, timeout: 10s, unhealthy_after: 1, healthy_after: 1}";
    let gateway = over(&[dead()], health);
    let admin = gateway.running.admin().unwrap();

    until("unready", || operate(admin, "GET", "/readyz").status == 503);

    assert_eq!(operate(admin, "GET", "/healthz").status, 200);
    let full = operate(admin, "GET", "/healthz?full=1");
    assert_eq!(full.status, 503);
    assert_eq!(full.json()["upstreams"]["main"]["endpoints"][0]["state"], "unhealthy");
    // Nothing else is left, so it is asked all the same.
    get(gateway.address, "/").is_problem(502);
}

#[test]
fn an_endpoint_whose_answers_fail_is_ejected_for_a_while() {
    let (healthy_a, healthy_b) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(true)));
    let (a, b) = (named("a", healthy_a.clone()), named("b", healthy_b));

    let gateway = over(&[a.address, b.address], "outlier: {consecutive: 3, eject_for: 10m, max_ejected: 50%}");
    let failed = (0..40).filter(|_| get(gateway.address, "/").status == 503).count();
    assert_eq!(failed, 3);

    let gateway = over(&[a.address, b.address], "outlier: {consecutive: 3, eject_for: 400ms, max_ejected: 50%}");
    let ejected = "frontgate_upstream_endpoints{upstream=\"main\",state=\"ejected\"}";
    until("a to be ejected", || {
        get(gateway.address, "/");
        gateway.metric(ejected) == 1.0
    });
    healthy_a.store(true, Ordering::SeqCst);
    until("a to be asked again", || get(gateway.address, "/").text() == "a");
}

#[test]
fn a_consistent_hash_sends_the_same_key_to_the_same_endpoint() {
    let origins: Vec<Origin> = ["a", "b", "c", "d"].into_iter().map(|name| named(name, Arc::new(AtomicBool::new(true)))).collect();
    let addresses: Vec<SocketAddr> = origins.iter().map(|origin| origin.address).collect();
    let gateway = over(&addresses, "balance: {consistent_hash: query.user}");

    let mut seen = std::collections::BTreeSet::new();
    for user in 0..24 {
        let path = format!("/?user={user}");
        let first = get(gateway.address, &path).text();
        assert!((0..3).all(|_| get(gateway.address, &path).text() == first));
        seen.insert(first);
    }

    assert!(seen.len() >= 3, "{seen:?}");
}

#[test]
fn an_adaptive_timeout_follows_what_the_upstream_takes() {
    let (slow, held) = (Arc::new(AtomicBool::new(false)), Gate::default());
    let (wait, gate) = (slow.clone(), held.clone());
    let origin = Origin::start(move |_, stream| {
        if wait.load(Ordering::SeqCst) {
            gate.pass();
        }
        stream.write_all(response("200 OK", "", "ok").as_bytes()).is_ok()
    });
    let gateway = over(&[origin.address], "timeouts: {first_byte: {adaptive: {min: 100ms, max: 10m}}}");
    (0..120).for_each(|_| assert_eq!(get(gateway.address, "/").status, 200));
    let timeout = "frontgate_upstream_adaptive_timeout_seconds{upstream=\"main\"}";
    until("the timeout to follow", || gateway.metric(timeout) < 10.0);

    slow.store(true, Ordering::SeqCst);
    get(gateway.address, "/").is_problem(504);
    held.open();
}

#[test]
fn a_full_upstream_refuses_at_once_and_has_room_again() {
    let held = Gate::default();
    let gate = held.clone();
    let origin = Origin::start(move |_, stream| {
        gate.pass();
        stream.write_all(response("200 OK", "", "ok").as_bytes()).is_ok()
    });
    let gateway = over(&[origin.address], "max_connections: 2");
    let address = gateway.address;
    let waiting: Vec<_> = (0..2).map(|_| std::thread::spawn(move || get(address, "/").status)).collect();
    until("two requests to be held", || origin.received().len() == 2);

    let refused = get(address, "/");
    assert_eq!(refused.is_problem(503).json()["code"], "upstream_full");
    assert_eq!(refused.header("retry-after"), Some("1"));

    held.open();
    assert!(waiting.into_iter().all(|one| one.join().unwrap() == 200));
    until("room", || get(address, "/").status == 200);
    assert_eq!(origin.received().len(), 3, "the refused one never reached it");
}

#[test]
fn a_further_attempt_takes_the_place_of_the_one_before() {
    let origin = Origin::json("{}");
    let gateway = over(&[dead(), origin.address], "max_connections: 1\nretry: {attempts: 2, when: [connect_failure]}");
    let admin = gateway.running.admin().unwrap();

    for _ in 0..10 {
        until("the request before to be over", || operate(admin, "GET", "/healthz?full=1").json()["upstreams"]["main"]["in_flight"] == 0);
        assert_eq!(get(gateway.address, "/").status, 200);
    }
}

#[test]
fn probes_that_all_fail_do_not_stop_an_upstream_that_answers() {
    let origin = Origin::start(|request, stream| {
        let status = if request.line().contains("/healthz") { "500 Failing" } else { "200 OK" };
        stream.write_all(response(status, "", "ok").as_bytes()).is_ok()
    });
    let gateway = over(&[origin.address], PROBES);
    until("it to be found unhealthy", || gateway.metric("frontgate_upstream_endpoints{upstream=\"main\",state=\"unhealthy\"}") == 1.0);

    assert!((0..10).all(|_| get(gateway.address, "/").status == 200));
}

#[test]
fn where_all_are_unhealthy_and_none_is_to_be_tried_the_answer_is_503_at_once() {
    let healthy = Arc::new(AtomicBool::new(false));
    let origin = named("a", healthy.clone());
    let log = Log::new("panic");
    let gateway = Gateway::start(&log.of(&yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0}]}
        upstreams:
          main: {endpoints: [$ORIGIN], panic: false, $PROBES}
          other: {endpoints: [$ORIGIN]}
        filters: {guard: {circuit_breaker: {consecutive: 1, fallback: [{upstream: other}]}}}
        routes:
          - {name: all, path: /**, upstream: main}
          - {name: guarded, path: /guarded, upstream: main, filters: [guard]}
        ",
        &[("$ORIGIN", &origin.address), ("$PROBES", &PROBES)],
    )));
    until("it to be found unhealthy", || gateway.metric("frontgate_upstream_endpoints{upstream=\"main\",state=\"unhealthy\"}") == 1.0);
    let asked = || origin.received().iter().filter(|request| !request.line().contains("/healthz")).count();
    let before = asked();
    let lines = log.lines().len();

    let refused = get(gateway.address, "/");

    assert_eq!((refused.is_problem(503).json()["code"].as_str(), refused.header("retry-after")), (Some("no_endpoint"), Some("1")));
    let line = log.wait_for(lines + 1)[lines].clone();
    assert_eq!((&line["flags"], line.get("attempts")), (&"UH".into(), None), "{line}");
    assert_eq!(asked(), before, "nobody was asked");
    // It is no failure of the upstream's answers, and a fallback serves in its place.
    assert!((0..3).all(|_| get(gateway.address, "/guarded").header("x-bff-fallback") == Some("upstream")));
    assert_eq!(gateway.metric("frontgate_circuit_state{filter=\"guard\",upstream=\"main\"}"), 0.0);
    healthy.store(true, Ordering::SeqCst);
    until("it to be asked again", || get(gateway.address, "/").text() == "a");
}

#[test]
fn a_further_attempt_goes_to_a_healthy_endpoint_once_more_rather_than_to_an_unhealthy_one() {
    let (well, failing) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false)));
    let bad = named("bad", failing);
    let good = Origin::start(move |request, stream| {
        // Every other answer fails.
        let fails = !request.line().contains("/healthz") && well.fetch_xor(true, Ordering::SeqCst);
        let status = if fails { "503 Service Unavailable" } else { "200 OK" };
        stream.write_all(response(status, "", "good").as_bytes()).is_ok()
    });
    let upstream = format!("panic: false\nretry: {{attempts: 2, when: [503], budget: 100%}}\n{PROBES}");
    let gateway = over(&[bad.address, good.address], &upstream);
    until("one to be found unhealthy", || gateway.metric("frontgate_upstream_endpoints{upstream=\"main\",state=\"unhealthy\"}") == 1.0);

    for _ in 0..10 {
        let reply = get(gateway.address, "/");
        assert_eq!((reply.status, reply.text()), (200, "good".to_owned()));
    }

    assert!(bad.received().iter().all(|request| request.line().contains("/healthz")), "only its probes reach the unhealthy one");
}

#[test]
fn an_endpoint_that_comes_back_gets_a_tenth_of_its_share_at_first() {
    let (healthy_a, healthy_b) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(true)));
    let (a, b) = (named("a", healthy_a.clone()), named("b", healthy_b));
    let gateway = over(&[a.address, b.address], &format!("{PROBES}\nslow_start: 1h"));
    let healthy = "frontgate_upstream_endpoints{upstream=\"main\",state=\"healthy\"}";
    until("a out", || gateway.metric(healthy) == 1.0);

    healthy_a.store(true, Ordering::SeqCst);
    until("a back", || gateway.metric(healthy) == 2.0);
    let of_a = (0..400).filter(|_| get(gateway.address, "/").text() == "a").count();

    // A whole share would be 200; a tenth of it is 20.
    assert!((2..=60).contains(&of_a), "{of_a}");
}

#[test]
fn the_command_line_shows_upstreams_as_a_table() {
    let origin = Origin::json("{}");
    let gateway = over(&[origin.address, dead()], "");
    let admin = gateway.running.admin().unwrap().to_string();

    let output = std::process::Command::new(env!("CARGO_BIN_EXE_frontgate")).args(["upstreams", "--admin", &admin]).output().unwrap();

    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert!(output.status.success(), "{text}");
    assert_eq!(rows[0], ["UPSTREAM", "ENDPOINT", "NAME", "STATE", "WEIGHT", "IN", "FLIGHT", "PROTOCOL", "VERSION", "LAST", "ERROR"]);
    assert_eq!(rows[1], ["main", &origin.address.to_string(), "-", "healthy", "(not", "probed)", "1", "0", "-", "-", "-"]);
    let columns: Vec<usize> = text.lines().map(|line| line.find("healthy").or(line.find("STATE")).unwrap()).collect();
    assert!(columns.iter().all(|column| *column == columns[0]), "{text}");
}
