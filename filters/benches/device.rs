//! What it costs to tell a device's class: `cargo bench -p frontgate-filters --bench device`.
//!
//! It counts allocations too and fails where there is one: the gateway classifies on its hot path.
#![allow(unsafe_code, missing_docs)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};

use criterion::{Criterion, criterion_group, criterion_main};
use frontgate_filters::device::{Devices, Table};
use http::header::{HeaderMap, HeaderValue, USER_AGENT};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const AGENTS: &[(&str, &str)] = &[
    ("desktop", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"),
    (
        "mobile",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.1 Mobile/15E148 Safari/604.1",
    ),
    (
        "smart_tv",
        "Mozilla/5.0 (Web0S; Linux/SmartTV) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/94.0.4606.128 Safari/537.36 WebAppManager",
    ),
];

const WRITTEN: &str = r#"[
    {"smart_tv": ["tizen", "web0s", "android tv", "hbbtv", "bravia", "appletv", "roku", "crkey"]},
    {"tablet": {"any": ["ipad", "tablet", "android"], "none": ["mobile"]}},
    {"mobile": ["mobile", "iphone", "android"]}
]"#;

fn classify(criterion: &mut Criterion) {
    let table: Table = serde_json::from_str(WRITTEN).expect("a table");
    let written = Devices::new(&table).expect("a table that compiles");
    for (name, devices) in [("builtin", &**Devices::builtin()), ("written", &written)] {
        let mut group = criterion.benchmark_group(name);
        for &(class, agent) in AGENTS {
            let mut headers = HeaderMap::new();
            headers.insert(USER_AGENT, HeaderValue::from_static(agent));
            headers.insert("sec-ch-ua-mobile", HeaderValue::from_static("?0"));
            assert_eq!(&*devices.classes()[devices.classify(&headers)], class);

            let before = ALLOCATIONS.load(Ordering::Relaxed);
            for _ in 0..1000 {
                black_box(devices.classify(black_box(&headers)));
            }
            assert_eq!(ALLOCATIONS.load(Ordering::Relaxed) - before, 0, "classifying allocates");

            group.bench_function(class, |bencher| bencher.iter(|| devices.classify(black_box(&headers))));
        }
    }
}

criterion_group!(benches, classify);
criterion_main!(benches);
