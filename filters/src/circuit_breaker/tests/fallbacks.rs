use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use super::bench::*;
use crate::chain::Exchange;
use crate::filter::inspect::Forced;
use crate::filter::{Attempt, Failure, Filter, Request, Rescue, ResponseFilter, Verdict, Want};

const ALL: &str = r#"{"min_requests": 1, "fallback": [
    {"cached": {"max_age": "10m"}},
    {"upstream": "catalog-next"},
    {"respond": {"status": 203, "headers": {"X-Why": "degraded"}, "json": {"items": []}}}
]}"#;

fn open(bench: &Bench) {
    bench.force(Some(Forced::Open));
}

fn count(bench: &Bench, kind: &str) -> u64 {
    bench
        .metrics
        .counters("fallback_total", "Answers given in place of the upstream's.", &["filter", "kind"])
        .with_label_values(&["guard", kind])
        .get()
}

#[test]
fn an_open_circuit_is_answered_from_the_store_first() {
    let mut bench = Bench::new(ALL);
    bench.get("/a?x=1", |_| Ok(with(200, &[("ETag", "\"1\""), ("Age", "5"), ("Cache-Control", "max-age=9"), ("Content-Type", "a/b")])));
    open(&bench);
    bench.later(100);

    let got = bench.get("/a?x=1", |_| panic!("open"));

    assert_eq!((got.status, got.text()), (200, "fresh"));
    assert_eq!(got.header("x-bff-fallback"), Some("cached"));
    assert_eq!(got.header("cache-status"), Some("frontgate; hit; detail=circuit-open"));
    assert_eq!(got.header("cache-control"), Some("no-store"));
    assert_eq!(got.header("age"), Some("105"));
    assert_eq!((got.header("etag"), got.header("content-type")), (Some("\"1\""), Some("a/b")));
    assert_eq!(count(&bench, "cached"), 1);
}

#[test]
fn then_the_other_pool_and_then_the_fixed_answer() {
    let bench = Bench::new(ALL);
    open(&bench);

    let got = bench.get("/", |_| Ok(with(200, &[("Cache-Control", "max-age=9"), ("X-BFF-Fallback", "mine")])));
    assert_eq!((got.asked.as_slice(), got.header("x-bff-fallback")), (["catalog-next".to_owned()].as_slice(), Some("upstream")));
    assert_eq!(got.header("cache-control"), Some("no-store"));

    let got = bench.get("/", |_| Err(Failure::Connect));
    assert_eq!((got.asked.len(), got.status, got.text()), (1, 203, r#"{"items":[]}"#));
    assert_eq!((got.header("x-bff-fallback"), got.header("x-why")), (Some("respond"), Some("degraded")));
    assert_eq!((got.header("content-type"), got.header("cache-control")), (Some("application/json"), Some("no-store")));
    assert_eq!(
        (count(&bench, "cached"), count(&bench, "upstream"), count(&bench, "respond")),
        (0, 1, 1),
        "the dead one has answered nobody"
    );
}

#[test]
fn a_failed_try_is_rescued_while_the_circuit_is_closed() {
    let bench = Bench::new(&ALL.replace(r#""min_requests": 1"#, r#""min_requests": 100"#));
    bench.get("/a", |_| Ok(status(200)));

    for (result, cache_status) in [
        (Ok(503), "frontgate; fwd=stale; fwd-status=503"),
        (Err(Failure::Timeout), "frontgate; fwd=stale"),
        (Err(Failure::Unavailable), "frontgate; fwd=stale"),
    ] {
        let got = bench.get("/a", |_| result.map(status));
        assert_eq!((got.status, got.text(), got.circuit), (200, "fresh", Some("closed")));
        assert_eq!(got.header("cache-status"), Some(cache_status));
    }

    let got = bench.get("/b", |pool| if pool == "catalog" { Ok(status(500)) } else { Ok(status(200)) });
    assert_eq!(
        (got.asked.as_slice(), got.header("x-bff-fallback")),
        (["catalog", "catalog-next"].map(str::to_owned).as_slice(), Some("upstream"))
    );
    let got = bench.get("/b", |_| Ok(status(500)));
    assert_eq!((got.asked.len(), got.status, got.header("x-bff-fallback")), (2, 203, Some("respond")));

    // A fallback's answers are nobody's successes, and are not kept for the upstream's own.
    let seen = bench.circuit();
    assert_eq!((seen.requests, seen.failures), (5, 4));
    assert_eq!(bench.filter.inspect().circuits.len(), 1, "the circuit of the fallback upstream was never asked");
    open(&bench);
    assert_eq!(bench.get("/b", |_| Ok(status(200))).header("x-bff-fallback"), Some("upstream"));
}

#[test]
fn answers_that_are_no_failures_are_not_replaced() {
    let bench = Bench::new(ALL);
    for code in [404, 429, 304] {
        assert_eq!(bench.get("/", |_| Ok(status(code))).status, code);
    }
    let got = bench.get("/", |_| Err(Failure::Neutral));
    assert_eq!((got.status, got.header("x-bff-fallback")), (502, None));
}

#[test]
fn only_get_and_head_are_answered_in_its_place() {
    let bench = Bench::new(ALL);
    bench.get("/a", |_| Ok(status(200)));
    assert_eq!(bench.send(request("POST", "/a"), facts(), |_| Ok(status(500)), "").status, 500);
    open(&bench);

    let got = bench.send(request("POST", "/a"), facts(), |_| panic!("open"), "");
    assert!(got.status == 503 && got.text().contains("circuit_open"));

    let got = bench.send(request("HEAD", "/a"), facts(), |_| panic!("open"), "");
    assert_eq!((got.status, got.header("x-bff-fallback"), got.header("content-length")), (200, Some("cached"), Some("5")));
}

#[test]
fn when_nothing_serves_the_failure_goes_out_or_the_refusal() {
    let bench = Bench::new(r#"{"min_requests": 100, "fallback": [{"upstream": "catalog-next"}]}"#);
    let got = bench.get("/", |pool| Ok(status(if pool == "catalog" { 500 } else { 501 })));
    assert_eq!((got.status, got.header("x-bff-fallback"), count(&bench, "upstream")), (501, Some("upstream"), 1));
    let got = bench.get("/", |_| Err(Failure::Connect));
    assert_eq!((got.status, got.header("x-bff-fallback"), count(&bench, "upstream")), (502, None, 1));
    open(&bench);

    let got = bench.get("/", |_| Ok(status(500)));

    assert!(got.status == 503 && got.text().contains("circuit_open") && got.header("x-bff-fallback").is_none(), "{got:?}");
    assert_eq!(got.header("retry-after"), Some("5"));
}

#[test]
fn a_pool_is_no_fallback_for_itself_nor_for_what_cannot_be_sent_again() {
    let bench = Bench::new(r#"{"fallback": [{"upstream": "catalog-next"}]}"#);
    let mut mine = facts();
    mine.upstream = Some("catalog-next".into());
    assert_eq!(bench.send(request("GET", "/"), mine, |_| Ok(status(500)), "").asked, ["catalog-next"]);

    let (mut head, mut facts, mut exchange) = (request("GET", "/"), facts(), Exchange::default());
    bench.ask(&mut head, &mut facts, &mut exchange);
    let failed = Attempt {
        upstream: "catalog",
        result: Err(Failure::Connect),
        took: Duration::ZERO,
        now: bench.now,
        last: true,
        replayable: false,
        grpc: None,
    };
    assert!(matches!(exchange.attempt(&failed), Rescue::Pass));
}

#[test]
fn attempts_that_others_follow_are_not_rescued() {
    let bench = Bench::new(ALL);
    let (mut head, mut facts, mut exchange) = (request("GET", "/"), facts(), Exchange::default());
    bench.ask(&mut head, &mut facts, &mut exchange);
    let mut attempt = Attempt {
        upstream: "catalog",
        result: Err(Failure::Connect),
        took: Duration::ZERO,
        now: bench.now,
        last: false,
        replayable: true,
        grpc: None,
    };
    assert!(matches!(exchange.attempt(&attempt), Rescue::Pass));
    attempt.last = true;
    assert!(matches!(exchange.attempt(&attempt), Rescue::Pool(pool) if *pool == *"catalog-next"));
}

#[test]
fn a_fallback_passes_the_filters_before_the_breaker() {
    struct Outer;
    struct Marks;
    impl Filter for Outer {
        fn request<'a>(&'a self, _: &'a mut Request<'_>) -> Verdict<'a> {
            Verdict::ContinueWith(Box::new(Marks))
        }
    }
    impl ResponseFilter for Marks {
        fn head(&mut self, head: &mut pingora_http::ResponseHeader) -> Want {
            head.insert_header("x-outer", HeaderValue::from_static("yes")).expect("a header");
            Want::Nothing
        }
    }
    let mut bench = Bench::new(ALL);
    let outer = crate::chain::Link { name: "outer".into(), kind: "outer", mode: Default::default(), filter: Arc::new(Outer) };
    bench.chain = crate::chain::Chain::new(vec![outer, bench.chain.links()[0].clone()]);

    bench.get("/a", |_| Ok(status(200)));
    let rescued = bench.get("/a", |_| Ok(status(500)));
    open(&bench);
    let refused = bench.get("/a", |_| panic!("open"));

    for got in [rescued, refused] {
        assert_eq!((got.header("x-bff-fallback"), got.header("x-outer")), (Some("cached"), Some("yes")));
    }
}
