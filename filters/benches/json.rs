//! What it costs to find out that a text is one JSON value, without and with all else that a plan can say, beside serde_json's `RawValue`,
//! which finds out as much, and beside copying the bytes.
//!
//! All of one payload run right after each other: compare within a run, never across runs.
#![allow(missing_docs, dead_code, reason = "the macros document nothing, and the payloads are shared")]

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

#[path = "payloads/mod.rs"]
mod payloads;

use frontgate_filters::json;

fn benches(criterion: &mut Criterion) {
    let wanted = ["2K-min-keep", "17K-min-keep", "17K-pretty-keep", "200K-min-keep", "twitter-keep", "citm-keep", "geometry-keep"];
    for payload in payloads::payloads(|name| wanted.contains(&name)) {
        let mut group = criterion.benchmark_group(format!("json/{}", payload.name));
        group.throughput(Throughput::Bytes(payload.text.len() as u64));
        group.sample_size(10).warm_up_time(Duration::from_millis(150)).measurement_time(Duration::from_millis(700));
        group.bench_function("memcpy", |bencher| bencher.iter(|| black_box(Bytes::copy_from_slice(&payload.text))));
        for backend in payloads::backends() {
            group.bench_function(format!("check/{backend:?}"), |bencher| bencher.iter(|| black_box(payload.check(backend))));
            group.bench_function(format!("read/{backend:?}"), |bencher| bencher.iter(|| black_box(payload.read(backend))));
        }
        group.bench_function("RawValue", |bencher| bencher.iter(|| black_box(payload.check_by_serde_json())));
        group.finish();
    }
}

criterion_group!(all, benches);
criterion_main!(all);
