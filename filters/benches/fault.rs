//! What a drill costs a request that it does not hit, by chance and by who asks, and one that has been stopped:
//! `cargo bench -p frontgate-filters --bench fault`.
#![allow(missing_docs)]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use criterion::{Criterion, criterion_group, criterion_main};
use frontgate_filters::count::metrics::Families;
use frontgate_filters::filter::build::{Build, Nowhere};
use frontgate_filters::filter::{Facts, Filter, Request};
use frontgate_filters::registry::FilterEntry;
use frontgate_filters::words::moment::Moment;
use http::HeaderValue;
use pingora_http::RequestHeader;
use prometheus::Registry;

/// A drill that hits next to nobody.
fn drill(options: &str) -> Arc<dyn Filter> {
    let until = Moment(SystemTime::now() + Duration::from_secs(3600));
    let text =
        format!(r#"{{"fault": {{"until": "{until}", {options} "rules": [{{"abort": {{"status": 503}}, "share": "0.0000001%"}}]}}}}"#);
    let entry: FilterEntry = serde_json::from_str(&text).expect("valid options");
    let metrics = Families::new(&Registry::new());
    let with = Build { name: "drill", metrics: &metrics, outside: &Nowhere::default(), previous: None };
    entry.config.options().build(&with).expect("a filter")
}

fn benchmarks(criterion: &mut Criterion) {
    for (name, options, stopped) in [
        ("by chance", "", false),
        ("by who asks", r#""by": "header.x-user","#, false),
        ("with a header of trusted proxies", r#""trusted_header": "x-fault","#, false),
        ("stopped", "", true),
    ] {
        let filter = drill(options);
        filter.stop_faults(stopped);
        let mut head = RequestHeader::build("GET", b"/api/v1/products/17?x=1", None).expect("a head");
        head.insert_header("Host", "shop.example").expect("a header");
        head.insert_header("X-User", "alice").expect("a header");
        let mut facts = Facts::new(IpAddr::V4(Ipv4Addr::LOCALHOST), HeaderValue::from_static("r"));
        (facts.upstream, facts.route_index) = (Some(Arc::from("catalog")), 0);
        let now = Instant::now();
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut request = Request::new(black_box(&mut head), &mut facts, now);
                black_box(filter.request(&mut request));
            });
        });
    }
}

criterion_group!(all, benchmarks);
criterion_main!(all);
