//! How a limit's cost grows with its keys: for 1, 1,000, 100,000, a million and ten million keys that take turns at random, the nanoseconds of one
//! decision and the bytes that the process grew by. Prints one line of JSON each: `cargo run --release -p frontgate-filters --example keys`.

use std::hint::black_box;
use std::io::Write;
use std::time::{Duration, Instant};

use frontgate_filters::count::stripe::Counter;
use frontgate_filters::rate_limit::estimate::Estimate;
use frontgate_filters::rate_limit::exact::Exact;
use frontgate_filters::rate_limit::law::{Law, Ledger};

const DECISIONS: u64 = 4_000_000;

/// Bytes of this process in memory.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().split(' ').next().and_then(|number| number.parse::<u64>().ok()).unwrap_or_default() * 1024
}

/// xorshift: the next of a sequence that visits its numbers in no order.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [kind, keys] = &arguments[..] {
        return measure(kind, keys.parse().expect("how many keys"));
    }
    for keys in [1_u64, 1_000, 100_000, 1_000_000, 10_000_000] {
        for kind in ["exact", "estimated"] {
            // A process each: memory that an earlier one gave back would not be counted.
            let program = std::env::current_exe().expect("its own name");
            let done = std::process::Command::new(program).args([kind, &keys.to_string()]).status();
            assert!(done.is_ok_and(|status| status.success()), "{kind} with {keys} keys");
        }
    }
}

fn measure(kind: &str, keys: u64) {
    let law = Law::new("100/s".parse().expect("a rate"), 200).expect("a law");
    let (began, before) = (Instant::now(), resident());
    let evictions = Counter::new("evictions", "Evictions.").expect("a counter");
    let ledger: Box<dyn Ledger> = match kind {
        "exact" => Box::new(Exact::new([law].into(), Exact::BUCKETS, evictions.clone(), began)),
        _ => Box::new(Estimate::new(&[law], began)),
    };
    let mut state = 0x2545_f491_4f6c_dd1d;
    let start = Instant::now();
    let decisions = DECISIONS.max(keys);
    for number in 0..decisions {
        // Every key once, then at random.
        let key = if number < keys { number } else { next(&mut state) % keys };
        black_box(ledger.take(key.wrapping_mul(0x9e37_79b9_7f4a_7c15), 0, began + Duration::from_nanos(number * 1000)));
    }
    let each = start.elapsed().as_nanos() as f64 / decisions as f64;
    let bytes = resident().saturating_sub(before);
    let line = format!(r#"{{"kind": "{kind}", "keys": {keys}, "ns": {each:.1}, "bytes": {bytes}, "evictions": {}}}"#, evictions.get());
    writeln!(std::io::stdout(), "{line}").expect("standard output");
}
