//! Upstreams that may give way to another: stable in place of a version, the primary in place of replicas.

use http::HeaderValue;

use super::bench::*;
use crate::chain::Exchange;
use crate::filter::inspect::{CircuitState, Forced};
use crate::filter::{Attempt, Facts, Failure, Outcome};

fn of_version(version: &'static str) -> Facts {
    let mut facts = facts();
    facts.instead = Some("catalog-next".into());
    facts.variant = Some(HeaderValue::from_static(version));
    facts.version = facts.variant.clone();
    facts
}

fn state(bench: &Bench, upstream: &str) -> Option<CircuitState> {
    let circuits = bench.filter.inspect().circuits;
    circuits.into_iter().find(|circuit| *circuit.upstream == *upstream).map(|circuit| circuit.state)
}

#[test]
fn an_open_circuit_gives_way_to_the_one_that_is_asked_instead() {
    let bench = Bench::new("{}");
    bench.filter.force_circuit("catalog", Some(Forced::Open));
    let mut facts = of_version("v2");

    let reply = bench.ask(&mut request("GET", "/"), &mut facts, &mut Exchange::default());

    assert!(reply.is_none());
    assert_eq!((facts.upstream.as_deref(), facts.instead, facts.circuit), (Some("catalog-next"), None, Some(CircuitState::Closed)));
    assert_eq!((facts.variant, facts.version), (Some(Facts::STABLE), None), "what comes is of no version");
}

#[test]
fn it_refuses_where_that_circuit_is_open_too_or_nobody_is_asked_instead() {
    for forced in [&["catalog", "catalog-next"][..], &["catalog"]] {
        let bench = Bench::new("{}");
        forced.iter().for_each(|upstream| assert!(bench.filter.force_circuit(upstream, Some(Forced::Open))));
        let mut facts = of_version("v2");
        if forced.len() == 1 {
            facts.instead = None;
        }

        let reply = bench.ask(&mut request("GET", "/"), &mut facts, &mut Exchange::default()).expect("a refusal");

        assert_eq!((reply.status.as_u16(), reply.code()), (503, "circuit_open"), "{forced:?}");
    }
}

#[test]
fn a_request_that_goes_on_elsewhere_counts_where_it_failed_and_is_not_kept() {
    let bench = Bench::new(r#"{"consecutive": 1, "fallback": [{"cached": {"max_age": "10m"}}]}"#);
    let goes_on = |to: &str, upstream_broke: bool| {
        let (mut facts, mut exchange) = (of_version("v2"), Exchange::default());
        bench.ask(&mut request("GET", "/"), &mut facts, &mut exchange);
        let attempt = |upstream, result, last| Attempt {
            upstream,
            result,
            took: std::time::Duration::ZERO,
            now: bench.now,
            last,
            replayable: true,
            grpc: None,
        };
        exchange.attempt(&attempt("catalog", Err(Failure::Connect), false));
        exchange.moved(to, bench.now);
        let mut answer = status(200);
        exchange.attempt(&attempt(to, Ok(&answer), true));
        exchange.head(&http::Method::GET, &mut answer);
        assert!(!exchange.wants_body(), "nothing is copied");
        exchange.done(&Outcome { status: 200, complete: !upstream_broke, upstream_broke, grpc: None });
    };

    // To other endpoints of the same upstream: what came of it in the end counts.
    goes_on("catalog", false);
    assert_eq!(state(&bench, "catalog"), Some(CircuitState::Closed));
    goes_on("catalog-next", true);
    assert_eq!(state(&bench, "catalog"), Some(CircuitState::Open));
    assert_ne!(state(&bench, "catalog-next"), Some(CircuitState::Open), "what broke there is none of this circuit's");
}

#[test]
fn what_is_kept_is_kept_of_one_version() {
    let bench = Bench::new(r#"{"fallback": [{"cached": {"max_age": "10m"}}]}"#);
    let send = |facts: Facts, works: bool| {
        let origin = move |_: &str| Ok(status(if works { 200 } else { 503 }));
        bench.send(request("GET", "/"), facts, origin, "of the version")
    };
    assert_eq!(send(of_version("v2"), true).status, 200);

    assert_eq!(send(of_version("v2"), false).text(), "of the version");
    assert_eq!(send(of_version("v3"), false).status, 503);
    assert_eq!(send(facts(), false).status, 503);
}
