//! What a decision costs while two threads decide: `cargo bench -p frontgate-filters --bench rate_limit`. The time is one thread's for one
//! decision, both running; `filter` has key, tier, count and response half in it, the others are the ledger alone. A thousand clients come in no
//! order; where both threads have one client and nobody else, what is measured is how long a cache line takes from core to core.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use frontgate_filters::count::metrics::Families;
use frontgate_filters::count::stripe::Counter;
use frontgate_filters::filter::build::{Build, Nowhere};
use frontgate_filters::filter::{Facts, Filter, Request, Verdict};
use frontgate_filters::rate_limit::estimate::Estimate;
use frontgate_filters::rate_limit::exact::Exact;
use frontgate_filters::rate_limit::law::{Law, Ledger};
use frontgate_filters::registry::FilterEntry;
use http::HeaderValue;
use pingora_http::RequestHeader;
use prometheus::Registry;

/// Runs `work(thread, iterations)` in two threads at once; the longer of their times.
fn two(iterations: u64, work: impl Fn(u64, u64) + Sync) -> Duration {
    let ready = Barrier::new(2);
    std::thread::scope(|scope| {
        let (ready, work) = (&ready, &work);
        let threads: Vec<_> = (0..2)
            .map(|thread| {
                scope.spawn(move || {
                    ready.wait();
                    let began = Instant::now();
                    work(thread, iterations);
                    began.elapsed()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread that does not panic")).max().unwrap_or_default()
    })
}

fn ledgers(c: &mut Criterion) {
    let law = Law::new("100000000/s".parse().expect("a rate"), 100_000_000).expect("a law");
    let now = Instant::now();
    let evictions = Counter::new("evictions", "Evictions.").expect("a counter");
    let ledgers: [(&str, Box<dyn Ledger>); 2] = [
        ("exact", Box::new(Exact::new([law].into(), Exact::BUCKETS, evictions, now))),
        ("estimated", Box::new(Estimate::new(&[law], now))),
    ];
    for (name, ledger) in &ledgers {
        for (keys, what) in [(1, "one key"), (10_000, "ten thousand keys")] {
            c.bench_function(&format!("{name}, {what}"), |bencher| {
                bencher.iter_custom(|iterations| {
                    let now = Instant::now();
                    two(iterations, |thread, iterations| {
                        for number in 0..iterations {
                            let key = ((number + thread * 5_000) % keys).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                            black_box(ledger.take(key, 0, now + Duration::from_nanos(number * 50)));
                        }
                    })
                });
            });
        }
    }
}

fn filter(c: &mut Criterion) {
    let metrics = Families::new(&Registry::new());
    for (name, clients, options) in [
        ("exact", 1_000, r#"{"key": "client_ip", "rate": "1000000/s", "exact": true}"#),
        ("exact, one client", 1, r#"{"key": "client_ip", "rate": "100000000/s", "exact": true}"#),
        ("estimated", 1_000, r#"{"key": "client_ip", "rate": "1000000/s", "exact": false}"#),
        ("estimated, one client", 1, r#"{"key": "client_ip", "rate": "100000000/s", "exact": false}"#),
        ("header, with requests in flight", 1, r#"{"key": "header.x-api-key", "rate": "100000000/s", "concurrency": 50}"#),
        ("refusing", 1_000, r#"{"key": "client_ip", "rate": "1/m", "exact": true}"#),
    ] {
        let entry: FilterEntry = serde_json::from_str(&format!(r#"{{"rate_limit": {options}}}"#)).expect("options");
        let with = Build { name, metrics: &metrics, outside: &Nowhere::default(), previous: None };
        let filter: Arc<dyn Filter> = entry.config.options().build(&with).expect("a filter");
        c.bench_function(&format!("filter, {name}"), |bencher| {
            bencher.iter_custom(|iterations| {
                let now = Instant::now();
                two(iterations, |thread, iterations| {
                    let mut head = RequestHeader::build("GET", b"/", None).expect("a head");
                    head.append_header("X-Api-Key", format!("key-{thread}")).expect("a header");
                    let mut facts = Facts::new(IpAddr::V4(Ipv4Addr::LOCALHOST), HeaderValue::from_static("r-1"));
                    let mut random = 0x2545_f491_4f6c_dd1d ^ (thread << 40);
                    for number in 0..iterations {
                        random ^= random << 13;
                        random ^= random >> 7;
                        random ^= random << 17;
                        facts.client_ip = IpAddr::V4(Ipv4Addr::from_bits((random % clients) as u32));
                        // Slower than the clock on the wall, so that no round begins before the last one's end.
                        let now = now + Duration::from_nanos(number * 50);
                        let mut request = Request::new(&mut head, &mut facts, now);
                        black_box(matches!(filter.request(&mut request), Verdict::ContinueWith(_)));
                    }
                })
            });
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30).measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500));
    targets = ledgers, filter
}
criterion_main!(benches);
