//! What an answer costs in each coding, by size: `cargo bench -p frontgate-filters --bench compress`. As the filter does it: a new body each time,
//! in pieces as they come from a connection.
#![allow(missing_docs, reason = "the macros document nothing")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use frontgate_filters::coding::{Coding, Packer, Then};

/// What one read brings at most.
const PIECE: usize = 16 << 10;

/// A list as shops have them, of about this many bytes.
fn list(size: usize) -> Vec<u8> {
    let mut text = String::from("{\"items\":[");
    for id in 1_u64.. {
        if text.len() >= size {
            break;
        }
        let price = id.wrapping_mul(6_364_136_223_846_793_005) >> 50;
        text.push_str(&format!(
            "{{\"id\":\"p-{id:04}\",\"title\":\"Lamp No. {id} with a shade of linen\",\"price\":{{\"amount\":{price},\"currency\":\"EUR\"}},\
             \"tags\":[\"light\",\"home\"],\"text\":\"A lamp that stands where it is put, with a cord of two metres.\"}},"
        ));
    }
    text.into_bytes()
}

fn benches(criterion: &mut Criterion) {
    for size in [2_000, 17_500, 1_000_000] {
        let text = list(size);
        let mut group = criterion.benchmark_group(format!("{}K", size / 1_000));
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.sample_size(20).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
        for coding in Coding::ALL {
            group.bench_with_input(BenchmarkId::from_parameter(coding.name()), &text, |bencher, text| {
                bencher.iter(|| {
                    let mut packer = Packer::new(coding, Some(text.len() as u64)).expect("a place");
                    for piece in text.chunks(PIECE) {
                        black_box(packer.pack(piece, Then::More).expect("it packs"));
                    }
                    black_box(packer.pack(b"", Then::End).expect("it packs"))
                });
            });
        }
        group.finish();
    }
}

criterion_group!(all, benches);
criterion_main!(all);
