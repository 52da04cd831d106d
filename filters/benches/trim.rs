//! What trimming costs beside what it replaces: parsing to a DOM, deleting, printing. And beside copying the bytes.
//!
//! All of one payload run right after each other: compare within a run, never across runs.
#![allow(missing_docs, dead_code, reason = "the macros document nothing, and the payloads are shared with an example")]

use std::hint::black_box;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

#[path = "payloads/mod.rs"]
mod payloads;

#[path = "payloads/dom.rs"]
mod dom;

use frontgate_filters::json;
use payloads::{CHUNK, Payload};

fn benches(criterion: &mut Criterion) {
    for payload in payloads::payloads(|_| true) {
        let mut group = criterion.benchmark_group(&payload.name);
        group.throughput(Throughput::Bytes(payload.text.len() as u64));
        group.sample_size(10).warm_up_time(Duration::from_millis(150)).measurement_time(Duration::from_millis(700));
        group.bench_function("memcpy", |bencher| bencher.iter(|| copy(&payload)));
        for backend in payloads::backends() {
            group.bench_function(format!("trim/{backend:?}"), |bencher| bencher.iter(|| black_box(payload.trim(backend))));
        }
        group.bench_function("serde_json", |bencher| bencher.iter(|| black_box(payload.by_serde_json())));
        group.bench_function("sonic_rs", |bencher| bencher.iter(|| black_box(payload.by_sonic_rs())));
        group.finish();
    }
}

/// One new buffer a chunk, as the trimmer's caller has them.
fn copy(payload: &Payload) {
    for chunk in payload.text.chunks(CHUNK) {
        black_box(Bytes::from(BytesMut::from(chunk)));
    }
}

criterion_group!(all, benches);
criterion_main!(all);
