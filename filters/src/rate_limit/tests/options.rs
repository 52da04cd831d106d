//! Options that are refused, and what they print as.

use crate::filter::options::Options;
use crate::rate_limit::Config;
use crate::registry::{FilterConfig, FilterEntry};

fn problems(options: &str) -> Vec<String> {
    let config: Config = serde_json::from_str(options).unwrap_or_else(|error| panic!("{options}: {error}"));
    config.problems().into_iter().map(|problem| problem.message).collect()
}

#[test]
fn good_options_have_no_problems() {
    for options in [
        r#"{"key": "client_ip", "rate": "100/s", "burst": 200, "concurrency": 50}"#,
        r#"{"key": "client_ip", "rate": "10/h"}"#,
        r#"{"key": "client_ip", "rate": "100/s", "burst": 20}"#,
        r#"{"key": "client_ip", "rate": "100/s", "exact": false}"#,
        r#"{"key": "header.X-Api-Key", "rate": "600/m", "on_missing_key": "reject"}"#,
        r#"{"key": "client_ip", "concurrency": 5}"#,
        r#"{"key": ["claim.sub", "route"], "tier": "claim.plan", "rates": {"free": {"rate": "10/s", "burst": 20}, "plus": "50/s"},
            "otherwise": "free", "exact": true}"#,
    ] {
        assert_eq!(problems(options), Vec::<String>::new(), "{options}");
        let config: Config = serde_json::from_str(options).expect("options");
        let printed = serde_json::to_string(&config).expect("JSON");
        assert_eq!(serde_json::from_str::<Config>(&printed).expect("options"), config, "{printed}");
    }
}

#[test]
fn options_that_do_not_fit_together_are_named() {
    for (options, message) in [
        (r#"{"key": [], "rate": "1/s"}"#, "the key has no parts"),
        (r#"{"key": ["route", "route"], "rate": "1/s"}"#, "duplicate `route` in this key"),
        (r#"{"key": "route"}"#, "this `rate_limit` limits nothing"),
        (r#"{"key": "route", "concurrency": 1, "burst": 2}"#, "`burst` is set without `rate`"),
        (r#"{"key": "route", "concurrency": 1, "exact": true}"#, "`exact` is set without `rate` or `rates`"),
        (r#"{"key": "route", "rate": "1/s", "tier": "claim.plan"}"#, "`tier` is set without `rates`"),
        (r#"{"key": "route", "rate": "1/s", "otherwise": "free"}"#, "`otherwise` is set without `rates`"),
        (r#"{"key": "route", "tier": "claim.plan", "rates": {}, "otherwise": "a"}"#, "`rates` names no tier"),
        (
            r#"{"key": "route", "tier": "claim.plan", "rates": {"a": "1/s"}}"#,
            "`rates` is set without `otherwise`, the tier of a request that names none",
        ),
        (r#"{"key": "route", "tier": "claim.plan", "rates": {"a": "1/s"}, "otherwise": "b"}"#, "there is no tier `b`"),
        (
            r#"{"key": "route", "rates": {"a": "1/s"}, "otherwise": "a"}"#,
            "`rates` is set without `tier`, which names the tier of a request",
        ),
        (r#"{"key": "route", "rate": "1/h", "burst": 9000}"#, "at 1/h this burst takes longer than 366 days to come back"),
        (r#"{"key": "client_ip", "rate": "30/m", "exact": false}"#, "a rate of 30/m with a burst of 30 cannot be estimated"),
        (r#"{"key": "client_ip", "rate": "100/s", "burst": 99, "exact": false}"#, "a rate of 100/s with a burst of 99 cannot be estimated"),
    ] {
        assert_eq!(problems(options), [message], "{options}");
    }
    let both = problems(r#"{"key": "route", "rate": "1/s", "tier": "claim.p", "rates": {"a": "1/s"}, "otherwise": "a"}"#);
    assert_eq!(both.len(), 1, "{both:?}");
}

#[test]
fn values_that_cannot_be_are_refused_when_they_are_read() {
    for options in [
        r#"{"rate": "1/s"}"#,
        r#"{"key": "client_ip", "rate": "0/s"}"#,
        r#"{"key": "client_ip", "rate": "1/s", "burst": 0}"#,
        r#"{"key": "client_ip", "rate": "1/s", "concurrency": 0}"#,
        r#"{"key": "clientip", "rate": "1/s"}"#,
        r#"{"key": 5, "rate": "1/s"}"#,
        r#"{"key": "client_ip", "rate": "1/s", "on_missing_key": "deny"}"#,
        r#"{"key": "client_ip", "rate": "1/s", "brust": 5}"#,
        r#"{"key": "client_ip", "tier": "claim.p", "rates": {"a": {"burst": 1}}, "otherwise": "a"}"#,
    ] {
        assert!(serde_json::from_str::<Config>(options).is_err(), "{options}");
    }
}

#[test]
fn the_registry_knows_the_selectors() {
    let text = r#"{"rate_limit": {"key": ["claim.sub", "route"], "tier": "claim.plan", "rates": {"a": "1/s"}, "otherwise": "a", "mode": "observe"}}"#;
    let entry: FilterEntry = serde_json::from_str(text).expect("a filter");

    let selectors: Vec<String> = entry.config.options().selectors().iter().map(|selector| selector.value.to_string()).collect();

    assert_eq!(selectors, ["claim.sub", "route", "claim.plan"]);
    assert!(matches!(entry.config, FilterConfig::RateLimit(_)));
}
