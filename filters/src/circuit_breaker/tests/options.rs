use super::super::Config;
use crate::filter::options::{Options, Placement};
use crate::registry::FilterEntry;
use crate::words::units::{Duration, Share};

fn config(options: &str) -> Config {
    serde_json::from_str(options).expect(options)
}

#[test]
fn nothing_need_be_written() {
    let config = config("{}");
    let seconds = |seconds| Duration(std::time::Duration::from_secs(seconds));
    assert_eq!((config.window.value, config.open_for.value, config.max_open_for.value), (seconds(10), seconds(5), seconds(60)));
    assert_eq!((config.min_requests.value, config.failure_ratio.value), (20, Share(0.5)));
    assert_eq!((config.half_open.max_concurrent.value, config.half_open.successes.value), (5, 3));
    assert_eq!(
        serde_json::to_value(&config.failures).expect("JSON"),
        serde_json::json!(["connect_failure", "timeout", "500-599", "grpc:4", "grpc:13", "grpc:14"])
    );
    assert!(config.consecutive.is_none() && config.slow.is_none() && config.fallback.is_empty());
    assert_eq!(config.problems(), []);
}

#[test]
fn the_documented_example_is_read_and_written_alike() {
    let yaml = r#"
circuit_breaker:
  window: 30s
  min_requests: 20
  failure_ratio: 65%
  consecutive: 10
  slow: {over: 800ms, ratio: 80%}
  open_for: 10s
  max_open_for: 60s
  half_open: {max_concurrent: 5, successes: 3}
  failures: [connect_failure, timeout, 500-599, 429]
  fallback:
    - cached: {max_age: 10m, per: claim.sub}
    - upstream: catalog-next
    - respond: {status: 200, json: {items: [], degraded: true}}
"#;
    let entry: FilterEntry = serde_yaml::from_str(yaml).expect("valid options");
    assert_eq!(entry.config.options().problems(), []);
    assert_eq!(entry.config.options().upstreams().iter().map(|name| name.as_str()).collect::<Vec<_>>(), ["catalog-next"]);
    assert_eq!(entry.config.options().selectors().iter().map(|selector| selector.to_string()).collect::<Vec<_>>(), ["claim.sub"]);
    let again: FilterEntry = serde_json::from_value(serde_json::to_value(&entry).expect("JSON")).expect("as it was written");
    assert_eq!(again, entry);
}

#[test]
fn mistakes_are_told() {
    for (options, words) in [
        (r#"{"window": "0s"}"#, "too short"),
        (r#"{"min_requests": 0}"#, "between 1 and 100000"),
        (r#"{"min_requests": 100001}"#, "between 1 and 100000"),
        (r#"{"failure_ratio": "0%"}"#, "open the circuit on success"),
        (r#"{"consecutive": 0}"#, "at least 1"),
        (r#"{"slow": {"over": "0s", "ratio": "10%"}}"#, "every answer"),
        (r#"{"slow": {"over": "1s", "ratio": "0%"}}"#, "open the circuit on success"),
        (r#"{"open_for": "0s"}"#, "above 0s"),
        (r#"{"open_for": "2m"}"#, "`max_open_for` (1m) is shorter than `open_for` (2m)"),
        (r#"{"half_open": {"max_concurrent": 0}}"#, "never closes"),
        (r#"{"half_open": {"successes": 0}}"#, "at least 1"),
        (r#"{"failures": []}"#, "nothing opens"),
        (r#"{"failures": ["200-299"]}"#, "not a failure"),
        (r#"{"failures": [200]}"#, "not a failure"),
        (r#"{"fallback": [{"cached": {"max_age": "0s"}}]}"#, "above 0s"),
        (r#"{"fallback": [{"cached": {"max_age": "1s"}}, {"cached": {"max_age": "2s"}}]}"#, "at most one `cached`"),
        (r#"{"fallback": [{"respond": {}}, {"upstream": "a"}]}"#, "never reached"),
        (r#"{"fallback": [{"respond": {"status": 101}}]}"#, "200 to 599"),
        (r#"{"fallback": [{"respond": {"status": 204, "body": "x"}}]}"#, "no body"),
        (r#"{"fallback": [{"respond": {"json": 1, "body": "x"}}]}"#, "`json` or `body`, not both"),
        (r#"{"fallback": [{"respond": {"headers": {"a b": "x"}}}]}"#, "not a header name"),
        (r#"{"fallback": [{"respond": {"headers": {"Content-Length": "1"}}}]}"#, "itself sets"),
        (r#"{"fallback": [{"respond": {"headers": {"a": "x\ny"}}}]}"#, "that no header can"),
    ] {
        let problems = config(options).problems();
        assert!(problems.len() == 1 && problems[0].message.contains(words), "{options}: {problems:?}");
    }
}

#[test]
fn what_cannot_be_read_is_refused() {
    for options in [
        r#"{"failures": ["connect"]}"#,
        r#"{"failures": ["599-500"]}"#,
        r#"{"failures": [-500]}"#,
        r#"{"forced": "open"}"#,
        r#"{"fallback": [{"cached": {"max_age": "1s"}, "upstream": "a"}]}"#,
        r#"{"fallback": [{"cache": {}}]}"#,
        r#"{"fallback": [{"cached": {}}]}"#,
    ] {
        assert!(serde_json::from_str::<Config>(options).is_err(), "{options}");
    }
}

#[test]
fn a_store_for_all_is_told_from_one_for_each() {
    let anonymous = |options: &str| config(options).placement().iter().any(|rule| matches!(rule, Placement::Anonymous(..)));
    assert!(anonymous(r#"{"fallback": [{"cached": {"max_age": "1s"}}]}"#));
    assert!(!anonymous(r#"{"fallback": [{"cached": {"max_age": "1s", "per": "claim.sub"}}]}"#));
    assert!(!anonymous("{}"));
}
