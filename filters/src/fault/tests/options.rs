//! What can be written, and what is wrong with it.

use std::time::{Duration, SystemTime};

use super::config;
use crate::registry::FilterEntry;
use crate::words::moment::Moment;
use crate::words::spanned::Weight;

const RULE: &str = "rules: [{abort: {status: 503}, share: 1%}]";

fn problems(options: &str) -> Vec<String> {
    config(options).check(SystemTime::now()).into_iter().map(|problem| problem.message).collect()
}

#[test]
fn what_is_right_has_no_problems() {
    for options in [
        RULE,
        "rules: [{delay: 400ms, share: 5%}, {abort: {grpc_status: UNAVAILABLE}, share: 5%, at: client}]",
        "max_share: 100%, i_know: true, rules: [{delay: {p50: 100ms, p99: 2s}, share: 100%}]",
        "max_share: 50%, rules: [{delay: {between: [100ms, 2s]}, share: 50%}]",
        "match: {header.x-chaos: \"on\", device: mobile}, by: claim.sub, rules: [{abort: {status: 429, retry_after: 3s}, share: 1%}]",
        "trusted_header: X-Frontgate-Fault, stop_when: {error_ratio: 5%, over: 30s}, max_active: 5, rules: [{delay: 1s, share: 10%}]",
        // Fractions whose sum is a little more in binary digits.
        "rules: [{delay: 1s, share: 3.3%}, {delay: 2s, share: 3.3%}, {abort: {status: 500}, share: 3.4%}]",
    ] {
        assert_eq!(problems(options), [""; 0], "{options}");
    }
}

#[test]
fn each_mistake_has_its_words() {
    for (options, words) in [
        ("rules: []", "a drill without `rules` does nothing"),
        ("rules: [{share: 1%}]", "a rule has a fault"),
        ("rules: [{delay: 1s, abort: {status: 503}, share: 1%}]", "a rule has one fault"),
        ("rules: [{delay: 1s, share: 0%}]", "a `share` of 0% hits nobody"),
        ("rules: [{delay: 0s, share: 1%}]", "a delay of 0s is none"),
        ("rules: [{delay: 6m, share: 1%}]", "the maximum is 5m"),
        ("rules: [{delay: {p50: 1s, p99: 1s}, share: 1%}]", "`p99` (1s) must be longer than `p50` (1s)"),
        ("rules: [{delay: {p50: 0s, p99: 1s}, share: 1%}]", "half of all delays cannot be 0s"),
        ("rules: [{delay: {between: [2s, 1s]}, share: 1%}]", "there is nothing `between` 2s and 1s"),
        ("rules: [{abort: {status: 200}, share: 1%}]", "200 is no error"),
        ("rules: [{abort: {}, share: 1%}]", "an `abort` has a `status` or a `grpc_status`"),
        ("rules: [{abort: {status: 503, grpc_status: UNAVAILABLE}, share: 1%}]", "an `abort` is one answer"),
        ("rules: [{abort: {grpc_status: UNAVAILABLE, retry_after: 1s}, share: 1%}]", "`retry_after` belongs to a `status`"),
        ("rules: [{abort: {status: 503, retry_after: 1500ms}, share: 1%}]", "whole seconds"),
        ("rules: [{delay: 1s, share: 6%}, {abort: {status: 503}, share: 5%}]", "the rules hit 11% of all requests, and `max_share` is 10%"),
        ("max_share: 51%, rules: [{delay: 1s, share: 1%}]", "needs `i_know: true`"),
        ("max_active: 0, rules: [{delay: 1s, share: 1%}]", "`max_active` must be at least 1"),
        ("match: {}, rules: [{delay: 1s, share: 1%}]", "`match` names no fact"),
        ("match: {method: get}, rules: [{delay: 1s, share: 1%}]", "`get` is not a method"),
        ("stop_when: {error_ratio: 0%, over: 30s}, rules: [{delay: 1s, share: 1%}]", "more than 0%"),
        ("stop_when: {error_ratio: 5%, over: 1h}, rules: [{delay: 1s, share: 1%}]", "`over` is between 1s and 10m"),
    ] {
        let found = problems(options);
        assert_eq!(found.len(), 1, "{options}: {found:?}");
        assert!(found[0].contains(words), "{options}: {found:?}");
    }
}

#[test]
fn what_cannot_be_read_is_refused() {
    for options in [
        "rules: [{delay: soon, share: 1%}]",
        "rules: [{delay: 1s}]",
        "rules: [{abort: {grpc_status: OK}, share: 1%}]",
        "rules: [{abort: {grpc_status: 14}, share: 1%}]",
        "rules: [{hang: true, share: 1%}]",
        "rules: [{delay: 1s, share: 1%, at: nowhere}]",
        "trusted_header: Host, rules: [{delay: 1s, share: 1%}]",
        "trusted_header: X-Forwarded-For, rules: [{delay: 1s, share: 1%}]",
        "trusted_header: \"a b\", rules: [{delay: 1s, share: 1%}]",
    ] {
        let text = super::written(options);
        assert!(serde_yaml::from_str::<super::Config>(&text).is_err(), "{options}");
    }
    assert!(serde_yaml::from_str::<super::Config>(&format!("{{{RULE}}}")).is_err(), "a drill has an end");
}

#[test]
fn a_drill_ends_within_a_day_and_one_that_has_ended_is_doubtful() {
    let now = SystemTime::now();
    let at = |until: SystemTime| {
        let text = format!("{{until: {}, {RULE}}}", Moment(until));
        let config: super::Config = serde_yaml::from_str(&text).expect("options");
        config.check(now).into_iter().map(|problem| problem.weight).collect::<Vec<_>>()
    };
    let hours = |hours: u64| Duration::from_secs(hours * 3600);

    assert_eq!(at(now + hours(23)), []);
    assert_eq!(at(now + hours(25)), [Weight::Wrong]);
    assert_eq!(at(now - hours(1)), [Weight::Doubtful]);
}

#[test]
fn it_prints_as_it_is_written() {
    let text = "{\"fault\":{\"until\":\"2026-12-01T18:00:00Z\",\"max_share\":\"10%\",\"max_active\":100,\"by\":\"claim.sub\",\"rules\":[\
                {\"delay\":{\"p50\":\"100ms\",\"p99\":\"2s\"},\"share\":\"5%\"},\
                {\"abort\":{\"status\":503},\"share\":\"1%\",\"at\":\"client\"}]}}";
    let entry: FilterEntry = serde_json::from_str(text).expect("a filter");

    assert_eq!(serde_json::to_value(&entry).expect("JSON"), serde_json::from_str::<serde_json::Value>(text).expect("JSON"));
}
