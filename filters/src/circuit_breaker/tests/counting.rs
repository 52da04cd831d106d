use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use prometheus::Registry;

use super::bench::*;
use crate::chain::Exchange;
use crate::count::metrics::Families;
use crate::filter::inspect::{CircuitState as State, Forced};
use crate::filter::{Attempt, Failure, Filter, Outcome};
use crate::grpc;

const BROKEN: Outcome = Outcome { status: 200, complete: false, upstream_broke: true, grpc: None };
const LEFT: Outcome = Outcome { status: 200, complete: false, upstream_broke: false, grpc: None };

fn attempt<'a>(bench: &Bench, result: Result<&'a pingora_http::ResponseHeader, Failure>, last: bool) -> Attempt<'a> {
    Attempt { upstream: "catalog", result, took: Duration::from_millis(10), now: bench.now, last, replayable: true, grpc: None }
}

fn gauge(bench: &Bench) -> i64 {
    let help = "The state of a circuit: 0 closed, 1 half-open, 2 open.";
    bench.metrics.gauges("circuit_state", help, &["filter", "upstream"]).with_label_values(&["guard", "catalog"]).get()
}

fn transitions(bench: &Bench, to: &str) -> u64 {
    let family = bench.metrics.counters("circuit_transitions_total", "Changes of a circuit's state.", &["filter", "upstream", "to"]);
    family.with_label_values(&["guard", "catalog", to]).get()
}

fn refused(got: &Got) -> bool {
    got.status == 503 && got.text().contains("circuit_open")
}

#[test]
fn only_what_is_the_upstreams_fault_counts() {
    let failing: &[Result<u16, Failure>] = &[Ok(500), Ok(503), Ok(599), Err(Failure::Connect), Err(Failure::Timeout)];
    let fine: &[Result<u16, Failure>] = &[Ok(200), Ok(304)];
    let neutral: &[Result<u16, Failure>] = &[Ok(404), Ok(429), Err(Failure::Neutral), Err(Failure::Unavailable)];
    for (results, requests, failures) in [(failing, 1, 1), (fine, 1, 0), (neutral, 0, 0)] {
        for result in results {
            let bench = Bench::new("{}");
            bench.get("/", |_| result.map(status));
            let seen = bench.circuit();
            assert_eq!((seen.requests, seen.failures), (requests, failures), "{result:?}");
        }
    }
}

#[test]
fn what_is_a_failure_can_be_said() {
    let bench = Bench::new(r#"{"failures": ["timeout", 429, "502-504"]}"#);
    for result in [Ok(429), Ok(503), Err(Failure::Timeout), Ok(500), Err(Failure::Connect)] {
        bench.get("/", |_| result.map(status));
    }
    let seen = bench.circuit();
    assert_eq!((seen.requests, seen.failures), (4, 3));
}

#[test]
fn a_grpc_call_counts_by_its_status_in_the_head_or_at_its_end() {
    // The status in a head that is all of the answer, or at the end; what is counted.
    for (options, in_head, at_end, requests, failures) in [
        ("{}", Some(14), None, 1, 1),
        ("{}", Some(4), None, 1, 1),
        ("{}", Some(5), None, 0, 0),
        ("{}", None, Some(0), 1, 0),
        ("{}", None, Some(13), 1, 1),
        ("{}", None, Some(5), 1, 0),
        (r#"{"failures": ["grpc:2"]}"#, Some(14), None, 0, 0),
        (r#"{"failures": ["grpc:2"]}"#, None, Some(2), 1, 1),
        (r#"{"failures": ["503"]}"#, Some(14), None, 1, 1),
    ] {
        let bench = Bench::new(options);
        let (mut head, mut facts, mut exchange) = (request("POST", "/a.B/C"), facts(), Exchange::default());
        bench.ask(&mut head, &mut facts, &mut exchange);
        let named = |number: Option<u16>| number.and_then(grpc::Status::named);

        exchange.attempt(&Attempt { grpc: named(in_head), ..attempt(&bench, Ok(&status(200)), true) });
        exchange.done(&Outcome { status: 200, complete: true, upstream_broke: false, grpc: named(at_end) });

        let seen = bench.circuit();
        assert_eq!((seen.requests, seen.failures), (requests, failures), "{options} {in_head:?} {at_end:?}");
    }
}

#[test]
fn a_request_counts_once_by_its_last_attempt() {
    let bench = Bench::new("{}");
    let (mut head, mut facts, mut exchange) = (request("GET", "/"), facts(), Exchange::default());
    bench.ask(&mut head, &mut facts, &mut exchange);

    exchange.attempt(&attempt(&bench, Ok(&status(503)), false));
    exchange.attempt(&attempt(&bench, Err(Failure::Connect), false));
    exchange.attempt(&attempt(&bench, Ok(&status(200)), true));
    exchange.done(&Outcome { status: 200, complete: true, upstream_broke: false, grpc: None });

    let seen = bench.circuit();
    assert_eq!((seen.requests, seen.failures), (1, 0));
}

#[test]
fn an_open_circuit_refuses_with_the_time_that_is_left() {
    let mut bench = Bench::new(r#"{"min_requests": 2, "open_for": "30s"}"#);
    (0..2).for_each(|_| drop(bench.get("/", |_| Ok(status(500)))));
    bench.later(10);

    let got = bench.get("/", |_| panic!("the upstream is left alone"));

    assert!(refused(&got), "{got:?}");
    let seconds: u64 = got.header("retry-after").expect("a time").parse().expect("a number");
    // Up to a tenth of jitter.
    assert!((20..=23).contains(&seconds), "{seconds}");
    assert_eq!(got.circuit, Some("open"));
    assert_eq!(gauge(&bench), 2);
    assert_eq!(transitions(&bench, "open"), 1);
}

#[test]
fn the_upstream_says_how_long_it_wants_to_be_left_alone() {
    let date = ("Date", "Sun, 06 Nov 1994 08:49:37 GMT");
    for (value, left) in [("40", 40), ("Sun, 06 Nov 1994 08:50:07 GMT", 30), ("100000", 60), ("soon", 5)] {
        let bench = Bench::new(r#"{"min_requests": 1}"#);
        bench.get("/", |_| Ok(with(503, &[("Retry-After", value), date])));
        let got = bench.get("/", |_| panic!("the upstream is left alone"));
        let seconds: u64 = got.header("retry-after").expect("a time").parse().expect("a number");
        assert!((left..=left + 1).contains(&seconds), "{value}: {seconds}");
    }
}

#[test]
fn probes_close_it_and_every_one_gives_its_place_back() {
    let mut bench = Bench::new(r#"{"min_requests": 1, "half_open": {"max_concurrent": 1, "successes": 2}}"#);
    bench.get("/", |_| Ok(status(500)));
    bench.later(6);
    let probe = |end: &dyn Fn(&mut Exchange)| {
        let (mut head, mut facts, mut exchange) = (request("GET", "/"), facts(), Exchange::default());
        assert!(bench.ask(&mut head, &mut facts, &mut exchange).is_none());
        assert_eq!(facts.circuit, Some(State::HalfOpen));
        let other = bench.get("/", |_| panic!("one probe at a time"));
        assert!(refused(&other) && other.header("retry-after") == Some("1"), "{other:?}");
        end(&mut exchange);
    };

    probe(&|exchange| exchange.done(&LEFT));
    probe(&|exchange| *exchange = Exchange::default());
    probe(&|exchange| {
        exchange.attempt(&attempt(&bench, Err(Failure::Neutral), true));
    });
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let (mut head, mut facts, mut exchange) = (request("GET", "/"), facts(), Exchange::default());
        bench.ask(&mut head, &mut facts, &mut exchange);
        panic!("as a filter might");
    }));
    assert!(panicked.is_err());
    // A long body holds no place: it is given back at the head.
    let (mut head, mut facts, mut long) = (request("GET", "/"), facts(), Exchange::default());
    bench.ask(&mut head, &mut facts, &mut long);
    long.attempt(&attempt(&bench, Ok(&status(200)), true));

    assert_eq!(bench.get("/", |_| Ok(status(200))).circuit, Some("half_open"));

    assert_eq!(bench.get("/", |_| Ok(status(200))).circuit, Some("closed"));
    let total = |to| transitions(&bench, to);
    assert_eq!((total("open"), total("half_open"), total("closed")), (1, 1, 1));
    assert_eq!(gauge(&bench), 0);
}

#[test]
fn bodies_that_break_off_open_it_though_their_heads_were_fine() {
    let bench = Bench::new(r#"{"consecutive": 5}"#);
    let broken = |bench: &Bench| {
        let (mut head, mut facts, mut exchange) = (request("GET", "/"), facts(), Exchange::default());
        if bench.ask(&mut head, &mut facts, &mut exchange).is_some() {
            return false;
        }
        exchange.attempt(&attempt(bench, Ok(&status(200)), true));
        exchange.head(&Method::GET, &mut status(200));
        exchange.body(&mut Some(Bytes::from_static(b"half of")), false);
        exchange.done(&BROKEN);
        true
    };

    let passed = (0..9).filter(|_| broken(&bench)).count();

    assert_eq!(passed, 5);
    assert_eq!(bench.circuit().state, State::Open);
}

#[test]
fn a_client_that_leaves_neither_counts_nor_ends_a_row() {
    let bench = Bench::new(r#"{"consecutive": 2}"#);
    bench.get("/", |_| Ok(status(500)));
    let (mut head, mut facts, mut exchange) = (request("GET", "/"), facts(), Exchange::default());
    bench.ask(&mut head, &mut facts, &mut exchange);
    exchange.done(&LEFT);
    bench.get("/", |_| Ok(status(500)));
    assert_eq!(bench.circuit().state, State::Open);
}

#[test]
fn an_observing_breaker_counts_and_lets_everything_pass() {
    let bench = Bench::new(r#"{"mode": "observe", "min_requests": 1, "fallback": [{"upstream": "catalog-next"}]}"#);
    bench.get("/", |_| Ok(status(500)));

    let got = bench.get("/", |pool| {
        assert_eq!(pool, "catalog");
        Ok(status(200))
    });

    assert_eq!((got.status, got.header("x-bff-fallback"), got.circuit), (200, None, Some("open")));
}

#[test]
fn state_and_answers_survive_a_reload_and_pools_come_and_go() {
    let options = r#"{"min_requests": 1, "fallback": [{"cached": {"max_age": "10m"}}]}"#;
    let metrics = Families::new(&Registry::new());
    let (_, before) = build(options, None, &metrics, &["catalog", "old"]);
    let states = |filter: &Arc<dyn Filter>| -> Vec<(String, State)> {
        filter.inspect().circuits.into_iter().map(|circuit| (circuit.upstream.to_string(), circuit.state)).collect()
    };
    let mut bench = Bench::new(options);
    bench.filter = before.clone();
    bench.chain = crate::chain::Chain::new(vec![crate::chain::Link {
        name: "guard".into(),
        kind: "circuit_breaker",
        mode: Default::default(),
        filter: before.clone(),
    }]);
    bench.get("/", |_| Ok(status(200)));
    assert!(bench.filter.force_circuit("catalog", Some(Forced::Open)) && bench.filter.force_circuit("old", Some(Forced::Open)));

    let (_, after) = build(options, Some(&before), &metrics, &["a-new-one", "catalog"]);

    assert_eq!(states(&after), [("catalog".to_owned(), State::Open)], "others were not asked yet");
    assert!(after.force_circuit("a-new-one", None) && !after.force_circuit("old", None));
    assert_eq!(states(&after), [("a-new-one".to_owned(), State::Closed), ("catalog".to_owned(), State::Open)]);
    bench.filter = after.clone();
    bench.chain = crate::chain::Chain::new(vec![crate::chain::Link { filter: after, ..bench.chain.links()[0].clone() }]);
    assert_eq!(bench.get("/", |_| panic!("open")).header("x-bff-fallback"), Some("cached"));
}

#[test]
fn an_operator_can_hold_it() {
    let bench = Bench::new(r#"{"min_requests": 1, "open_for": "7s"}"#);
    let force = |forced| bench.force(forced);

    force(Some(Forced::Open));
    assert_eq!(bench.get("/", |_| panic!("open")).header("retry-after"), Some("7"));
    force(Some(Forced::Closed));
    (0..3).for_each(|_| assert_eq!(bench.get("/", |_| Ok(status(500))).circuit, Some("closed")));
    force(None);

    let seen = bench.circuit();
    assert_eq!((seen.state, seen.requests, seen.forced), (State::Closed, 0, None));
}

#[test]
fn explaining_tells_the_state_and_the_thresholds() {
    let bench = Bench::new(r#"{"consecutive": 3, "slow": {"over": "800ms", "ratio": "80%"}}"#);
    let (mut head, mut facts) = (request("GET", "/"), facts());

    let decisions = now(bench.chain.explain(&mut crate::filter::Request::new(&mut head, &mut facts, Instant::now())));

    assert_eq!(
        decisions[0].reasons,
        ["the circuit of `catalog` is closed; it opens at 50% failures among at least 20 requests in 10s, at 3 failures in a row, at 80% \
          answers slower than 800ms"]
    );
}
