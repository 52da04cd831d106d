//! What the circuit breaker costs a request whose circuit is closed, with and without a store, and one whose circuit is open:
//! `cargo bench -p frontgate-filters --bench circuit_breaker`.
#![allow(missing_docs)]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use frontgate_filters::chain::{Chain, Exchange, Link};
use frontgate_filters::count::metrics::Families;
use frontgate_filters::filter::build::{Build, Nowhere};
use frontgate_filters::filter::{Attempt, Facts, Outcome, Request};
use frontgate_filters::registry::{FilterEntry, Mode};
use http::{HeaderValue, Method};
use pingora_http::{RequestHeader, ResponseHeader};
use prometheus::Registry;

fn chain(options: &str) -> Chain {
    let entry: FilterEntry = serde_json::from_str(options).expect("valid options");
    let outside = Nowhere { upstreams: vec!["a".into(), "catalog".into(), "z".into()], routes: Vec::new() };
    let metrics = Families::new(&Registry::new());
    let filter =
        entry.config.options().build(&Build { name: "guard", metrics: &metrics, outside: &outside, previous: None }).expect("a filter");
    Chain::new(vec![Link { name: "guard".into(), kind: "circuit_breaker", mode: Mode::Enforce, filter }])
}

/// A request through the chain and, where it is let through, its answer back.
fn exchange(chain: &Chain, head: &mut RequestHeader, facts: &mut Facts, answer: &ResponseHeader, out: &mut ResponseHeader, body: &Bytes) {
    let mut exchange = Exchange::default();
    let now = Instant::now();
    let reply = {
        let mut request = Request::new(head, facts, now);
        match pin!(chain.request(&mut request, &mut exchange)).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(reply) => reply,
            Poll::Pending => return,
        }
    };
    if black_box(reply).is_none() {
        exchange.attempt(&Attempt {
            upstream: "catalog",
            result: Ok(answer),
            took: Duration::from_millis(3),
            now,
            last: true,
            replayable: true,
            grpc: None,
        });
        exchange.head(&Method::GET, out);
        exchange.body(&mut Some(body.clone()), true);
    }
    exchange.done(&Outcome { status: 200, complete: true, upstream_broke: false, grpc: None });
}

fn benchmarks(criterion: &mut Criterion) {
    let closed = r#"{"circuit_breaker": {"consecutive": 5, "slow": {"over": "1s", "ratio": "50%"}}}"#;
    let stored = r#"{"circuit_breaker": {"fallback": [{"cached": {"max_age": "10m"}}]}}"#;
    let open = r#"{"circuit_breaker": {"consecutive": 1, "open_for": "1h", "max_open_for": "1h"}}"#;
    for (name, options, status) in [("closed", closed, 200), ("closed, keeping 8 KiB", stored, 200), ("open", open, 500)] {
        let chain = chain(options);
        let mut head = RequestHeader::build("GET", b"/api/v1/products/17?x=1", None).expect("a head");
        head.insert_header("Host", "shop.example").expect("a header");
        let mut facts = Facts::new(IpAddr::V4(Ipv4Addr::LOCALHOST), HeaderValue::from_static("r"));
        facts.upstream = Some(Arc::from("catalog"));
        let answer = ResponseHeader::build(status, None).expect("a head");
        let (mut out, body) = (answer.clone(), Bytes::from(vec![b'x'; 8 << 10]));
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| exchange(&chain, &mut head, &mut facts, &answer, &mut out, &body));
        });
    }
}

criterion_group!(all, benchmarks);
criterion_main!(all);
