use serde_json::Value;

use crate::harness::{Gateway, Origin, exchange, until};

/// Serves these requests and gives back their lines of the access log. `$ORIGIN` and `$LOG` in the text are filled in.
fn lines_of(name: &str, configuration: &str, origin: &Origin, requests: &[&str]) -> Vec<Value> {
    let log = std::env::temp_dir().join(format!("frontgate-test-{}-{name}.log", std::process::id()));
    let text = configuration.replace("$ORIGIN", &origin.address.to_string()).replace("$LOG", &log.display().to_string());
    let gateway = Gateway::start(&text);
    let read = || std::fs::read_to_string(&log).unwrap_or_default();

    for (number, request) in requests.iter().enumerate() {
        exchange(gateway.address, request.as_bytes()).unwrap();
        until("a line in the log", || read().lines().count() > number);
    }

    let lines = read().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    std::fs::remove_file(&log).unwrap();
    lines
}

const PLAIN: &str = r#"
version: 1
server:
  listeners: [{address: "127.0.0.1:0"}]
upstreams:
  main: {endpoints: ["$ORIGIN"]}
routes:
  - {name: all, path: "/**", upstream: main}
telemetry:
  access_log: {to: {file: "$LOG"}}
"#;

#[test]
fn a_trace_goes_on_from_trusted_proxies_alone() {
    let origin = Origin::json("{}");
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\nTraceparent: {parent}\r\nTracestate: vendor=1\r\nConnection: close\r\n\r\n");
    let trusting = PLAIN.replace("server:\n", "server:\n  trusted_proxies: [127.0.0.1]\n");

    let strange = lines_of("trace-strange", PLAIN, &origin, &[&request]);
    let seen_from_a_stranger = origin.last();
    let known = lines_of("trace-known", &trusting, &origin, &[&request]);
    let seen_from_a_proxy = origin.last();

    assert_eq!(strange[0].get("trace_id"), None);
    assert_eq!(seen_from_a_stranger.header("traceparent"), [""; 0]);
    assert_eq!(seen_from_a_stranger.header("tracestate"), [""; 0]);
    assert_eq!(known[0]["trace_id"], "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(seen_from_a_proxy.header("traceparent"), [parent]);
    assert_eq!(seen_from_a_proxy.header("tracestate"), ["vendor=1"]);
}

#[test]
fn a_trace_that_is_malformed_or_told_twice_is_not_logged() {
    let origin = Origin::json("{}");
    let trusting = PLAIN.replace("server:\n", "server:\n  trusted_proxies: [127.0.0.1]\n");
    let request = |traceparent: &str| format!("GET / HTTP/1.1\r\nHost: a\r\n{traceparent}Connection: close\r\n\r\n");
    let parent = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n";

    let lines = lines_of(
        "trace-malformed",
        &trusting,
        &origin,
        &[
            &request(""),
            &request("traceparent: 00-00000000000000000000000000000000-b7ad6b7169203331-01\r\n"),
            &request("traceparent: 00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01\r\n"),
            &request(&parent.repeat(2)),
        ],
    );

    assert_eq!(lines.len(), 4);
    assert!(lines.iter().all(|line| line.get("trace_id").is_none()), "{lines:?}");
}
