//! What a token costs a request: `cargo bench -p frontgate-filters --bench jwt`. One that was seen before is looked up; of one that was
//! never seen the signature is checked, and its claims are read.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use frontgate_filters::count::metrics::Families;
use frontgate_filters::filter::build::{Build, Nowhere};
use frontgate_filters::filter::{Facts, Filter, Request, Verdict};
use frontgate_filters::jwt::Algorithm;
use frontgate_filters::jwt::issuer::Issuer;
use frontgate_filters::registry::FilterEntry;
use http::HeaderValue;
use pingora_http::RequestHeader;
use prometheus::Registry;
use serde_json::json;

/// The filter with the keys of this issuer.
fn filter(issuer: &Issuer, algorithm: &str) -> Arc<dyn Filter> {
    let file = std::env::temp_dir().join(format!("frontgate-bench-{}.json", std::process::id()));
    std::fs::write(&file, issuer.jwks()).expect("a file");
    let options = json!({"jwt": {"issuer": "any", "audience": "any", "algorithms": [algorithm], "keys": {"jwks": {"file": file}},
        "claim_headers": {"X-User-Id": "claim.sub"}}});
    let entry: FilterEntry = serde_json::from_value(options).expect("options");
    let metrics = Families::new(&Registry::new());
    let with = Build { name: "login", metrics: &metrics, outside: &Nowhere::default(), previous: None };
    let filter = entry.config.options().build(&with).expect("a filter");
    let _ = std::fs::remove_file(&file);
    filter
}

fn request(token: &str) -> RequestHeader {
    let mut head = RequestHeader::build("GET", b"/", None).expect("a head");
    head.insert_header("Authorization", format!("Bearer {token}")).expect("a header");
    head
}

fn tokens(c: &mut Criterion) {
    for (name, algorithm) in [("RS256", Algorithm::RS256), ("ES256", Algorithm::ES256)] {
        let issuer = Issuer::fresh("k1", algorithm).expect("a key");
        let filter = filter(&issuer, name);
        let token = |number: u64| issuer.token(&json!({"sub": "user-1", "exp": 9_999_999_999_u64, "roles": ["user"], "jti": number}));
        let mut facts = Facts::new(IpAddr::V4(Ipv4Addr::LOCALHOST), HeaderValue::from_static("r-1"));
        let now = Instant::now();
        let mut passes = |head: &mut RequestHeader| {
            let passed = filter.request(&mut Request::new(head, &mut facts, now)).is_continue();
            assert!(passed);
        };

        let mut seen = request(&token(0));
        c.bench_function(&format!("{name}, seen before"), |bencher| bencher.iter(|| passes(black_box(&mut seen))));
        let mut number = 0;
        let mut fresh = || {
            number += 1;
            request(&token(number))
        };
        c.bench_function(&format!("{name}, never seen"), |bencher| {
            bencher.iter_batched_ref(&mut fresh, |head| passes(head), BatchSize::SmallInput);
        });
    }
}

trait IsContinue {
    fn is_continue(&self) -> bool;
}

impl IsContinue for Verdict<'_> {
    fn is_continue(&self) -> bool {
        matches!(self, Verdict::Continue)
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30).measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500));
    targets = tokens
}
criterion_main!(benches);
