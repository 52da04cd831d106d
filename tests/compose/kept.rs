//! What a circuit breaker keeps of calls' answers: the last good one, and nobody else's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use super::mock::{self, ask};
use crate::harness::{Origin, Process, yaml};

/// A service that says who asks, or what it is told to say; and fails once it is told to.
struct Service {
    origin: Origin,
    is_broken: Arc<AtomicBool>,
    fails: Arc<AtomicBool>,
}

impl Service {
    fn start() -> Self {
        let (is_broken, fails) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (broken, failing) = (is_broken.clone(), fails.clone());
        let origin = Origin::start(move |request, stream| {
            let user = request.header("x-user").first().map(|user| (*user).to_owned());
            match (failing.load(Ordering::SeqCst), broken.load(Ordering::SeqCst)) {
                (true, _) => mock::answer(stream, 503, &json!({})),
                (false, true) => mock::send(stream, 200, "application/json", "", b"{\"user\": "),
                (false, false) => mock::answer(stream, 200, &json!({"user": user})),
            }
        });
        Self { origin, is_broken, fails }
    }
}

fn gateway(name: &str, service: &Service, cached: &str) -> Process {
    let text = yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0}], admin: 127.0.0.1:0}
        upstreams: {a: {endpoints: [$ORIGIN], timeouts: {connect: 20s, first_byte: 20s, between_bytes: 20s}}}
        filters: {guard: {circuit_breaker: {min_requests: 1000, fallback: [{cached: {$CACHED}}]}}}
        routes:
          - {name: it, path: /it, filters: [guard], aggregate: {calls: {me: {upstream: a, get: /me, headers: {X-User: '{header.X-User}'}}}}}
        ",
        &[("$ORIGIN", &service.origin.address), ("$CACHED", &cached)],
    );
    Process::start(&format!("kept-{name}"), &text)
}

#[test]
fn a_caller_whose_service_fails_is_given_his_own_last_answer_and_nobody_else_s() {
    for (name, cached) in [("fields", "max_age: 1h"), ("per", "max_age: 1h, per: header.X-User")] {
        let service = Service::start();
        let process = gateway(name, &service, cached);
        let get = |user: &str| ask(process.address, "GET", "/it", &[("X-User", user)], None);
        assert_eq!(get("alice").text(), r#"{"me":{"user":"alice"}}"#);

        service.fails.store(true, Ordering::SeqCst);

        get("bob").is_problem(502);
        let kept = get("alice");
        assert_eq!((kept.status, kept.text().as_str()), (200, r#"{"me":{"user":"alice"}}"#), "{name}");
        // It answers for the call, which is not missing; and it is no answer to be kept by others.
        assert_eq!((kept.header("x-bff-complete"), kept.header("x-bff-missing")), (Some("true"), None), "{}", kept.head);
        assert_eq!(kept.header("cache-control"), Some("no-store"), "{}", kept.head);
    }
}

#[test]
fn an_answer_that_is_no_json_is_not_kept_in_the_place_of_the_last_good_one() {
    let service = Service::start();
    let process = gateway("broken", &service, "max_age: 1h");
    let get = || ask(process.address, "GET", "/it", &[("X-User", "alice")], None);
    assert_eq!(get().status, 200);

    service.is_broken.store(true, Ordering::SeqCst);
    get().is_problem(502);
    service.fails.store(true, Ordering::SeqCst);

    let kept = get();
    assert_eq!((kept.status, kept.text().as_str()), (200, r#"{"me":{"user":"alice"}}"#), "{}", kept.head);
}
