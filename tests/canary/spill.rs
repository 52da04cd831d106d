//! What becomes of a request for a version that nobody serves just now.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use super::{ask, named, nobody, text, who};
use crate::harness::origin::response;
use crate::harness::{Gateway, Log, Origin, until};

const ALL: &str = "canary: [{version: v2, upstream: next, share: 100%}]";

fn spilled(gateway: &Gateway) -> f64 {
    gateway.metric("frontgate_canary_spilled_total{route=\"shop\",version=\"v2\"}")
}

#[test]
fn stable_answers_where_no_connection_to_the_version_comes_about() {
    let stable = named("stable");
    let log = Log::new("canary-spill");
    let gateway = Gateway::start(&log.of(&text(stable.address, nobody(), stable.address, "", ALL)));

    let reply = ask(gateway.address, "GET /x", "");
    assert_eq!((reply.status, reply.header("x-bff-version")), (200, Some("stable")), "{}", reply.head);
    assert_eq!(stable.last().header("x-bff-version"), ["stable"]);
    // Nothing of it was sent, so it may be sent elsewhere whatever its method.
    let post = ask(gateway.address, "POST /x", "Content-Length: 5\r\n\r\nhello");
    assert_eq!(post.status, 200, "{}", post.head);
    assert_eq!((stable.last().line(), &stable.last().body[..]), ("POST /x HTTP/1.1", &b"hello"[..]));

    let lines = log.wait_for(2);
    assert_eq!((&lines[0]["upstream"], &lines[0]["version"], &lines[0]["attempts"]), (&"stable".into(), &"stable".into(), &2.into()));
    assert_eq!(lines[0]["reason"], "spilled");
    assert_eq!(spilled(&gateway), 2.0);
    until("the count", || gateway.metric("frontgate_canary_requests_total{route=\"shop\",version=\"stable\",code=\"200\"}") == 2.0);
    gateway.comes_to("frontgate_upstream_attempts_total{upstream=\"next\",result=\"connect_failure\"}", 2.0);
}

#[test]
fn a_version_without_a_usable_endpoint_is_not_tried() {
    let (stable, next) = (named("stable"), nobody());
    let unhealthy = text(stable.address, next, stable.address, "", &format!("{ALL}\nfilters: [guard]"))
        .replace("next: {endpoints", "next: {health: {tcp: true, start: unhealthy}, endpoints");
    let gateway = Gateway::start(&unhealthy);

    for _ in 0..5 {
        assert_eq!(who(gateway.address, ""), "stable");
    }
    assert_eq!(gateway.metric("frontgate_upstream_attempts_total{upstream=\"next\",result=\"connect_failure\"}"), 0.0);
    assert_eq!(spilled(&gateway), 5.0);
    assert_eq!(gateway.metric("frontgate_circuit_state{filter=\"guard\",upstream=\"stable\"}"), 0.0);
}

#[test]
fn the_circuit_of_the_version_hears_of_what_could_not_be_reached_and_that_of_stable_does_not() {
    let stable = named("stable");
    let guarded = text(stable.address, nobody(), stable.address, "", &format!("{ALL}\nfilters: [guard]"));
    let gateway = Gateway::start(&guarded);
    let state = |upstream: &str| gateway.metric(&format!("frontgate_circuit_state{{filter=\"guard\",upstream=\"{upstream}\"}}"));

    assert_eq!(who(gateway.address, ""), "stable");

    assert_eq!((state("next"), state("stable")), (2.0, 0.0));
    // Open, it lets nobody try, and stable answers all the same.
    for count in 2..5 {
        let reply = ask(gateway.address, "GET /x", "");
        assert_eq!((reply.status, reply.header("x-bff-version")), (200, Some("stable")), "{}", reply.head);
        assert_eq!((spilled(&gateway), stable.received().len()), (f64::from(count), count as usize));
    }
    gateway.comes_to("frontgate_upstream_attempts_total{upstream=\"next\",result=\"connect_failure\"}", 1.0);
    // What was asked for by name, or is to fail, meets the open circuit.
    let failing = Gateway::start(&guarded.replace("share: 100%", "share: 100%, otherwise: fail"));
    ask(failing.address, "GET /x", "").is_problem(502);
    assert_eq!(ask(failing.address, "GET /x", "").is_problem(503).json()["code"], "circuit_open");
}

#[test]
fn what_is_to_fail_does_and_what_was_answered_stays() {
    let stable = named("stable");
    let failing = Origin::start(|_, stream| stream.write_all(response("503 No", "", "next").as_bytes()).is_ok());
    let fails = Gateway::start(&text(stable.address, nobody(), stable.address, "", &ALL.replace("100%", "100%, otherwise: fail")));
    assert_eq!(ask(fails.address, "GET /x", "").is_problem(502).header("x-bff-version"), Some("v2"));

    let answered = Gateway::start(&text(stable.address, failing.address, stable.address, "", ALL));
    let reply = ask(answered.address, "GET /x", "");
    assert_eq!((reply.status, reply.text().as_str(), reply.header("x-bff-version")), (503, "next", Some("v2")));
    until("the count", || answered.metric("frontgate_canary_requests_total{route=\"shop\",version=\"v2\",code=\"503\"}") == 1.0);
    assert_eq!((stable.received().len(), spilled(&fails), spilled(&answered)), (0, 0.0, 0.0));
}

#[test]
fn retries_stay_with_the_version() {
    let stable = named("stable");
    let status = Arc::new(AtomicU16::new(503));
    let mood = status.clone();
    let flaky = Origin::start(move |_, stream| {
        let code = mood.swap(200, Ordering::SeqCst);
        stream.write_all(response(&format!("{code} Such"), "", "{\"name\":\"next\"}").as_bytes()).is_ok()
    });
    let retry = "next: {retry: {attempts: 2, when: [connect_failure, 503]}, endpoints: [";
    let retrying = text(stable.address, flaky.address, stable.address, "", ALL);
    let answered = Gateway::start(&retrying.replace("next: {endpoints: [", retry));
    let refused = Gateway::start(&retrying.replace("next: {endpoints: [", &format!("{retry}{}, ", nobody())));

    for _ in 0..4 {
        status.store(503, Ordering::SeqCst);
        assert_eq!(who(answered.address, ""), "next");
        status.store(200, Ordering::SeqCst);
        assert_eq!(who(refused.address, ""), "next");
    }
    assert_eq!((stable.received().len(), spilled(&answered), spilled(&refused)), (0, 0.0, 0.0));
}

#[test]
fn endpoints_of_the_own_upstream_give_way_to_the_others() {
    let stable = named("stable");
    let route = "canary: [{version: v2, endpoints: v2, share: 100%}]\nfilters: [slim, guard]";
    let own = text(stable.address, stable.address, stable.address, "", route).replace(
        &format!("stable: {{endpoints: [{}]}}", stable.address),
        &format!("stable: {{endpoints: [{}, {{address: {}, version: v2}}]}}", stable.address, nobody()),
    );
    let gateway = Gateway::start(&own);

    for _ in 0..3 {
        let reply = ask(gateway.address, "GET /x?as=tv", "");
        assert_eq!((reply.status, reply.header("x-bff-version")), (200, Some("stable")), "{}", reply.head);
    }
    assert_eq!(spilled(&gateway), 3.0);
    // One circuit for all of the upstream: what the request came to counts.
    assert_eq!(gateway.metric("frontgate_circuit_state{filter=\"guard\",upstream=\"stable\"}"), 0.0);
}
