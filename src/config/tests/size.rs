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
fn ten_thousand_routes_load_in_a_second() {
    let mut text = r#"
version: 1
server:
  listeners: [{address: "127.0.0.1:8080"}]
upstreams:
  a: {endpoints: ["1.1.1.1:1"]}
telemetry: {access_log: "off"}
routes:
"#
    .to_owned();
    for number in 0..10_000 {
        text.push_str(&format!("  - {{name: r{number}, path: \"/api/v1/r{number}/{{id}}/**\", methods: [GET, POST], upstream: a}}\n"));
    }
    let began = busy();

    let loaded = loaded(&text);
    let read = busy() - began;
    let snapshot = Snapshot::compile(loaded, None, &Metrics::new(), None);

    println!("10,000 routes: read and checked in {read:?}, compiled in {:?}", busy() - began - read);
    assert_eq!(snapshot.map(|snapshot| snapshot.routes.len()), Ok(10_000));
    // A debug build is an order of magnitude slower than what is shipped.
    let limit = Duration::from_secs(if cfg!(debug_assertions) { 15 } else { 1 });
    assert!(busy() - began < limit, "{:?}", busy() - began);
}

#[test]
fn no_document_of_the_yaml_collection_brings_the_loader_down() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors/yaml-test-suite/cases.jsonl");
    let Ok(cases) = std::fs::read_to_string(path) else {
        eprintln!("SKIPPED: the YAML collection is not beside the project");
        return;
    };
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
