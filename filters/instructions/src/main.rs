//! Trims one of the benchmark's payloads, for its instructions to be counted: `trim-instructions PAYLOAD [ROUNDS]`. With
//! `--backend` it only says which instructions it would use.
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
    let Some(payload) = payloads::payloads(|name| name == wanted).next() else { std::process::exit(1) };
    let left: u64 = (0..rounds).map(|_| payload.trim(backend)).sum();
    println!("{} bytes, {} left", payload.text.len(), left / rounds.max(1));
}
