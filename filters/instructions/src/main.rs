//! Trims one of the benchmark's payloads, for its instructions to be counted: `trim-instructions PAYLOAD [ROUNDS]`. With `read:PAYLOAD` it
//! reads it as one checked value with new names and marks, with `check:PAYLOAD` it only checks it, with `merge:PAYLOAD` it checks it three times
//! and puts the three together, with `serde:PAYLOAD` serde_json checks it. With `--backend` it only says which instructions it would use.
#![allow(clippy::print_stdout, reason = "that is what it is for")]
#![allow(dead_code, unused_imports, reason = "the engine has more to it than is used here")]

/// The engine's own sources, without the filters around them.
#[path = "../../src/json/mod.rs"]
mod json;
#[path = "../../benches/payloads/mod.rs"]
mod payloads;
mod words;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let wanted = arguments.next().unwrap_or_default();
    let backend = *payloads::backends().last().expect("the scalar one");
    if wanted == "--backend" {
        println!("{backend:?}");
        return;
    }
    let rounds: u64 = arguments.next().and_then(|rounds| rounds.parse().ok()).unwrap_or(1);
    let (work, name) = wanted.split_once(':').unwrap_or(("trim", &wanted));
    let Some(payload) = payloads::payloads(|payload| payload == name).next() else { std::process::exit(1) };
    let once = || match work {
        "read" => payload.read(backend).0 as u64,
        "check" => payload.check(backend) as u64,
        "merge" => payload.merge(backend) as u64,
        "serde" => payload.check_by_serde_json() as u64,
        _ => payload.trim(backend),
    };
    let left: u64 = (0..rounds).map(|_| once()).sum();
    let read = if work == "merge" { 3 * payload.text.len() } else { payload.text.len() };
    println!("{read} bytes, {} left", left / rounds.max(1));
}
