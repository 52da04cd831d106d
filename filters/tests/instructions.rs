//! What a byte costs: the instructions that the trimmer and the reader spend on it are counted, and may not become more.
//!
//! Counted by callgrind in a small program with nothing but the engine, built as for a release. Times would need a quiet machine, counts do
//! not. Who makes the engine cheaper lowers the limits: they are what was measured, and three per cent.

use std::env;
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use frontgate_test_support::{skipped, tool};

/// Instructions per input byte with AVX2, under which there is a payload of `benches/payloads`.
const LIMITS: &[(&str, u32, f64)] = &[
    ("2K-min-drop", 50, 5.68),
    ("2K-min-keep", 50, 7.51),
    ("20K-min-drop", 10, 4.71),
    ("200K-min-drop", 2, 4.47),
    ("200K-min-keep", 2, 5.82),
    ("200K-min-deep", 2, 3.74),
    ("200K-min-none", 2, 2.78),
    ("200K-pretty-drop", 2, 3.91),
    ("200K-pretty-keep", 2, 6.19),
    ("geometry-drop", 1, 2.34),
    ("geometry-keep", 1, 1.60),
    ("check:2K-min-keep", 50, 5.58),
    ("check:17K-min-keep", 5, 5.18),
    ("check:17K-pretty-keep", 5, 6.27),
    ("check:geometry-keep", 1, 11.88),
    ("merge:2K-min-keep", 20, 6.24),
    ("merge:17K-min-keep", 5, 5.33),
    ("read:2K-min-keep", 50, 10.96),
    ("read:17K-min-keep", 5, 9.96),
    ("read:17K-min-drop", 5, 9.87),
    ("read:17K-pretty-keep", 5, 9.48),
];

/// What is checked must cost half of what serde_json's `RawValue` costs, which finds out as much.
const BESIDE: (&str, &str, u32) = ("check:17K-min-keep", "serde:17K-min-keep", 5);

#[test]
fn a_byte_costs_no_more_instructions_than_it_did() {
    if !cfg!(target_arch = "x86_64") {
        return skipped("this is not x86-64; instructions were not counted");
    }
    if tool("valgrind").is_none() {
        return;
    }
    let program = program();
    if !output(Command::new(&program).arg("--backend")).contains("Avx2")
        && !output(valgrind().arg(&program).arg("--backend")).contains("Avx2")
    {
        return skipped("this processor has no AVX2; instructions were not counted");
    }

    // Each half of the payloads in a thread: valgrind uses one processor.
    let (left, right) = LIMITS.split_at(LIMITS.len() / 2);
    let count = |part: &[(&'static str, u32, f64)]| -> Vec<(&'static str, f64, f64)> {
        part.iter().map(|&(payload, rounds, limit)| (payload, per_byte(&program, payload, rounds), limit)).collect()
    };
    let counts = thread::scope(|scope| {
        let other = scope.spawn(|| count(right));
        let mut counts = count(left);
        counts.extend(other.join().expect("the other half"));
        counts
    });
    for (payload, found, limit) in &counts {
        println!("{payload:24} {found:5.2} instructions a byte, at most {limit:.2}");
    }
    let (checked, raw) = (per_byte(&program, BESIDE.0, BESIDE.2), per_byte(&program, BESIDE.1, BESIDE.2));
    println!("{checked:.2} for the check, {raw:.2} by RawValue");
    assert!(checked <= raw / 2.0, "the check costs {checked:.2} instructions a byte, RawValue {raw:.2}");
    let over: Vec<_> = counts.iter().filter(|(_, found, limit)| found > limit).collect();
    assert!(over.is_empty(), "more instructions a byte than allowed (payload, found, limit): {over:?}");
}

/// Builds the program as for a release.
fn program() -> PathBuf {
    let target =
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target")), PathBuf::from);
    let built = Command::new(env!("CARGO"))
        .args(["build", "--release", "--quiet", "-p", "frontgate-trim-instructions", "--target-dir"])
        .arg(&target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    assert!(built.is_ok_and(|status| status.success()), "the program is built");
    target.join("release/trim-instructions")
}

/// Counts within the engine only: neither what makes the payload nor what hands it over.
fn valgrind() -> Command {
    let mut command = Command::new("valgrind");
    // One instruction that copies a whole buffer would be counted once for each of its bytes.
    command.env("GLIBC_TUNABLES", "glibc.cpu.x86_rep_movsb_threshold=1000000000");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    command.args(
        ["*Trimmer*push*", "*Reader*push*", "*Reader*finish*", "*Payload*splice*", "*check_by_serde_json*"]
            .map(|work| format!("--toggle-collect={work}")),
    );
    command
}

fn output(command: &mut Command) -> String {
    let output = command.output().expect("it starts");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "{text}");
    text
}

fn per_byte(program: &PathBuf, payload: &str, rounds: u32) -> f64 {
    let text = output(valgrind().arg(program).args([payload, &rounds.to_string()]));
    let number = |text: &str| text.split_whitespace().next()?.parse::<f64>().ok();
    let counted = text.lines().find_map(|line| number(line.split_once("Collected :")?.1));
    let bytes = text.lines().find_map(|line| number(line.split_once(" bytes, ")?.0));
    let (Some(counted), Some(bytes)) = (counted, bytes) else { panic!("{payload}: no counts in {text}") };
    counted / bytes / f64::from(rounds)
}
