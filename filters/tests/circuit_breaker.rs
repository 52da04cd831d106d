//! What a closed circuit costs a request: heap allocations. Alone in its binary, because its allocator counts.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use frontgate_filters::chain::{Chain, Exchange, Link};
use frontgate_filters::count::metrics::Families;
use frontgate_filters::filter::build::{Build, Nowhere};
use frontgate_filters::filter::{Attempt, Facts, Outcome, Request};
use frontgate_filters::registry::{FilterEntry, Mode};
use http::HeaderValue;
use pingora_http::{RequestHeader, ResponseHeader};
use prometheus::Registry;

/// The half; the list of halves is in place.
const ALLOCATIONS: u64 = 1;

struct Counting;
thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

#[allow(unsafe_code, reason = "an allocator cannot be written without")]
// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps alloc's contract.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps dealloc's contract.
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps realloc's contract.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn chain(options: &str) -> Chain {
    let entry: FilterEntry = serde_json::from_str(options).expect("valid options");
    let outside = Nowhere { upstreams: vec!["a".into(), "catalog".into(), "z".into()], routes: Vec::new() };
    let metrics = Families::new(&Registry::new());
    let filter =
        entry.config.options().build(&Build { name: "guard", metrics: &metrics, outside: &outside, previous: None }).expect("a filter");
    Chain::new(vec![Link { name: "guard".into(), kind: "circuit_breaker", mode: Mode::Enforce, filter }])
}

/// The allocations of one request, from the way in to the end.
fn cost(chain: &Chain, answer: &ResponseHeader) -> u64 {
    let mut head = RequestHeader::build("GET", b"/a?x=1", None).expect("a head");
    head.insert_header("Host", "shop.example").expect("a header");
    let mut facts = Facts::new(IpAddr::V4(Ipv4Addr::LOCALHOST), HeaderValue::from_static("r"));
    facts.upstream = Some(Arc::from("catalog"));
    let mut answer = answer.clone();
    let mut body = Some(Bytes::from_static(b"{}"));
    let now = Instant::now();

    let attempted = answer.clone();
    let attempt = Attempt {
        upstream: "catalog",
        result: Ok(&attempted),
        took: Duration::from_millis(3),
        now,
        last: true,
        replayable: true,
        grpc: None,
    };

    let before = COUNT.get();
    let mut exchange = Exchange::default();
    {
        let mut request = Request::new(&mut head, &mut facts, now);
        let run = pin!(chain.request(&mut request, &mut exchange));
        assert!(matches!(run.poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(None)));
    }
    exchange.attempt(&attempt);
    exchange.head(&head.method, &mut answer);
    exchange.body(&mut body, true);
    exchange.done(&Outcome { status: 200, complete: true, upstream_broke: false, grpc: None });
    COUNT.get() - before
}

#[test]
fn a_closed_circuit_costs_no_more_than_its_half() {
    let answer = ResponseHeader::build(200, None).expect("a head");
    let plain = chain(r#"{"circuit_breaker": {"consecutive": 5, "slow": {"over": "1s", "ratio": "50%"}, "fallback": [{"respond": {}}]}}"#);
    cost(&plain, &answer);

    let most = (0..10).map(|_| cost(&plain, &answer)).max();

    assert_eq!(most, Some(ALLOCATIONS));
}

#[test]
fn a_store_costs_more_only_where_it_keeps_the_answer() {
    let stored = chain(r#"{"circuit_breaker": {"fallback": [{"cached": {"max_age": "10m"}}]}}"#);
    let answer = ResponseHeader::build(200, None).expect("a head");
    cost(&stored, &answer);
    let mut uncacheable = answer.clone();
    uncacheable.insert_header("Cache-Control", "no-store").expect("a header");

    assert_eq!(cost(&stored, &uncacheable), ALLOCATIONS);
    let kept = cost(&stored, &answer);
    assert!(kept <= ALLOCATIONS + 6, "{kept}");
}
