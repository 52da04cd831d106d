//! Configurations that are large, hostile, or strange.

use std::time::Duration;

use base64::Engine;

use super::*;
use crate::snapshot::Snapshot;
use crate::telemetry::Metrics;

/// How long this thread has been on a processor: a busy machine makes nothing of it longer.
fn busy() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells");
    Duration::from_nanos(text.split(' ').next().and_then(|nanos| nanos.parse().ok()).expect("a number"))
}

#[test]
fn a_bomb_of_aliases_is_refused_quickly() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..9 {
        let alias = format!("*a{}", level - 1);
        text.push_str(&format!("a{level}: &a{level} [{}]\n", vec![alias; 10].join(", ")));
    }
    let began = busy();

    assert!(load_text("bomb.yaml", &text).is_err());

    assert!(busy() - began < Duration::from_secs(5), "{:?}", busy() - began);
}

#[test]
fn what_is_no_configuration_any_more_is_refused_by_its_size() {
    let refused = |text: &str| load_text("large.yaml", text).expect_err("too large").render(false);

    for (name, text) in [
        ("aliases", format!("a: &a [{}]\nb: [{}]\n", "x, ".repeat(1000), "*a, ".repeat(100))),
        ("dense", format!("a: [{}]\n", "x,".repeat(100_000))),
        ("deep in number", format!("a: [{}]\n", "{},".repeat(2_000_000))),
        ("long in number", format!("a: [{}]\n", "xxxxxxxxx,".repeat(250_000))),
    ] {
        assert!(refused(&text).contains("too large or too complex"), "{name}: {}", refused(&text));
    }
    assert!(refused(&format!("# {}\n", "x".repeat(9 << 20))).contains("larger than 8 MiB"));
}

/// How long it takes is shown by `loadtest/scale`; here it must not grow faster than the file does.
#[test]
fn ten_times_the_routes_take_about_ten_times_as_long_to_load() {
    let load = |count: usize| {
        let mut text = format!("{HEAD}upstreams: {{a: {{endpoints: [1.1.1.1:1]}}}}\nroutes:\n");
        for number in 0..count {
            text.push_str(&format!(
                "  - name: r{number}\n    path: /api/v1/r{number}/{{id}}/**\n    methods: [GET, POST]\n    upstream: a\n"
            ));
        }
        let began = busy();
        let loaded = load_text("many.yaml", &text).unwrap_or_else(|found| panic!("{}", found.render(false)));
        let config =
            Config { telemetry: model::Telemetry { access_log: model::AccessLog::Off, ..Default::default() }, ..loaded.config.clone() };
        let snapshot = Snapshot::compile(Loaded { config, ..loaded }, None, &Metrics::new(), None).expect("a snapshot");
        let took = busy() - began;
        assert_eq!(snapshot.routes.len(), count);
        took
    };
    let least = |count: usize| (0..3).map(|_| load(count)).min().unwrap_or_default();

    let (few, many) = (least(1_000), least(10_000));

    println!("1,000 routes: {few:?}; 10,000: {many:?}");
    // Whatever compares all with all takes a hundred times as long.
    assert!(many < 30 * few, "{few:?} became {many:?}");
}

#[test]
fn no_document_of_the_yaml_collection_brings_the_loader_down() {
    let Some(file) = frontgate_test_support::vectors("yaml-test-suite/cases.jsonl") else { return };
    let cases = std::fs::read_to_string(file).expect("a file");
    let mut count = 0;
    for line in cases.lines() {
        let case: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let bytes = base64::engine::general_purpose::STANDARD.decode(case["yaml_b64"].as_str().expect("base64")).expect("base64");
        let text = String::from_utf8_lossy(&bytes);
        assert!(load_text("case.yaml", &text).is_err(), "no document of it is a configuration: {case}");
        count += 1;
    }
    println!("{count} documents");
    assert!(count > 300);
}
