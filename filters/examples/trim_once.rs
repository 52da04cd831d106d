//! Trims one of the benchmark's payloads a few times, for instruction counts: `trim_once [PAYLOAD [ROUNDS]]`, without arguments all of them.
//!
//! ```text
//! valgrind --tool=callgrind --toggle-collect='*Trimmer*push*' target/release/examples/trim_once 200K-min-drop
//! ```
#![allow(clippy::print_stdout, reason = "that is what it is for")]
#![allow(dead_code, reason = "the payloads are shared with the benchmark")]

#[path = "../benches/payloads/dom.rs"]
mod dom;
#[path = "../benches/payloads/mod.rs"]
mod payloads;

use frontgate_filters::json;
use std::time::{Duration, Instant};

fn best(rounds: usize, mut run: impl FnMut()) -> f64 {
    run();
    let once = |run: &mut dyn FnMut()| {
        let begin = Instant::now();
        run();
        begin.elapsed()
    };
    (0..rounds).map(|_| once(&mut run)).min().unwrap_or(Duration::MAX).as_secs_f64()
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let wanted = arguments.next();
    let rounds = arguments.next().and_then(|rounds| rounds.parse().ok());
    for payload in payloads::payloads(|name| wanted.as_ref().is_none_or(|wanted| name == wanted)) {
        let backend = *payloads::backends().last().expect("the scalar one");
        if let Some(rounds) = rounds {
            let left: u64 = (0..rounds).map(|_| payload.trim(backend)).sum();
            println!("{} {} bytes, {} left", payload.name, payload.text.len(), left / rounds.max(1));
            continue;
        }
        let rounds = (40_000_000 / payload.text.len()).clamp(11, 3000);
        let size = payload.text.len() as f64 / 1e9;
        let trim = best(rounds, || {
            std::hint::black_box(payload.trim(backend));
        });
        let copy = best(rounds, || payload.text.chunks(payloads::CHUNK).for_each(|chunk| drop(std::hint::black_box(chunk.to_vec()))));
        let serde = best(rounds / 10 + 3, || drop(std::hint::black_box(payload.by_serde_json())));
        let sonic = best(rounds / 10 + 3, || drop(std::hint::black_box(payload.by_sonic_rs())));
        println!(
            "{:18} {:9} B  copy {:6.2}  trim {:5.2}  serde {:4.2}  sonic {:4.2} GB/s   x serde {:5.1}  x sonic {:5.1}  / copy {:4.2}  kept {:3.0}%",
            payload.name,
            payload.text.len(),
            size / copy,
            size / trim,
            size / serde,
            size / sonic,
            serde / trim,
            sonic / trim,
            copy / trim,
            100.0 * payload.trim(backend) as f64 / payload.text.len() as f64
        );
    }
}
